"""How a model is trained."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import FiniteFloat

from gridless.config.frozen import config
from gridless.config.numbers import Count, Natural, NonNegative, Positive


@config
class Optimizer:
    """AdamW, or Muon for the matrices and AdamW for the rest, and their schedule."""

    lr: Positive = 5e-4
    floor: Annotated[FiniteFloat, Gt(0), Le(1)] = 0.01
    """The schedule ends at floor · lr, never at zero."""
    warmup: Annotated[FiniteFloat, Ge(0), Lt(1)] = 0.05
    """Share of the steps in which the rate rises to lr."""
    weight_decay: NonNegative = 1e-4
    clip: Positive = 1.0
    """The largest norm of a step's gradient."""
    muon: Positive | None = None
    """Matrices within the network learn by Muon instead of AdamW, at this multiple of lr; None: AdamW for all."""
    ema: Annotated[FiniteFloat, Ge(0), Le(1)] | None = None
    """Decay of the moving average of the weights that is kept in the end; None: the last weights are."""


@config
class Train:
    """How long, on what batches, how often something is written."""

    steps: Count | None = None
    seconds: Positive | None = None
    """A budget for training and fitting the base, without validation; turned into steps at the start, and corrected by
    the measured speed on the way."""
    batch: Count = 16
    queries: Count | None = None
    """Asked points per sample and step; None: all of them."""
    loss: Literal["mse", "l1", "relative", "skill"] | None = None
    """None: the head's own. The others are for a head that answers one value; `relative`: the squared error over the
    squared values of the same field, so that weak fields count as strong ones do; `skill`: over
    the base's squared error of the same field."""
    optimizer: Optimizer = Optimizer()
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """torch.compile the model: minutes at the start, faster steps where it has a backend."""
    workers: Natural = 0
    """Processes that draw the batches ahead, the same ones; 0: drawn between the steps."""
    seed: Natural = 0
    keep: Literal["last", "best"] = "last"
    """`best`: in the end, the weights that validated best, those of the untrained model among them."""
    validate_every: Count = 500
    checkpoint_every: Count = 500
