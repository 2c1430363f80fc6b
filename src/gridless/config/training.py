"""How a model is trained."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from gridless.config.frozen import config


@config
class Optimizer:
    lr: PositiveFloat = 5e-4
    floor: PositiveFloat = 0.01
    """The schedule ends at floor · lr, never at zero."""
    warmup: NonNegativeFloat = 0.05
    """Share of the steps in which the rate rises to lr."""
    weight_decay: NonNegativeFloat = 1e-4
    clip: PositiveFloat = 1.0
    ema: float | None = None


@config
class Train:
    """How long, on what batches, how often something is written."""

    steps: PositiveInt | None = None
    seconds: PositiveFloat | None = None
    """A budget; it is turned into steps once, at the start, and stored."""
    batch: PositiveInt = 16
    queries: PositiveInt | None = None
    """Asked points per sample and step; None: all of them."""
    loss: Literal["mse", "l1", "head"] = "mse"
    """`head`: the head's own, for one that answers more than a value."""
    optimizer: Optimizer = Optimizer()
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """torch.compile the model: minutes at the start, faster steps where it has a backend."""
    seed: int = 0
    validate_every: PositiveInt = 500
    checkpoint_every: PositiveInt = 500
