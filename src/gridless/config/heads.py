"""Features to an answer: a value, a value and its standard deviation, or posterior samples."""

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from pydantic import Discriminator

from gridless.config.frozen import config
from gridless.config.numbers import Count, NonNegative, Positive
from gridless.config.own import Own


@config
class PointHead:
    """One value."""

    kind: Literal["point"] = "point"


@config
class GaussianHead:
    """A value and its standard deviation."""

    kind: Literal["gaussian"] = "gaussian"
    hidden: Count = 64
    """Of the two layers that read the standard deviation from the decoder's features."""
    combine: Literal["residual", "precision"] = "residual"
    """With a base that knows its spread: correct its value and multiply its deviation, or weigh both answers by their
    precision."""
    relative: bool = False
    """Errors count over the base's own in the same field, so that fields it answers well are learned as much as others."""


@config
class Time:
    """How a flow's time enters the network."""

    scale: Positive = 1000.0
    mlp: bool = True
    how: Literal["add", "adaln"] = "add"


@config
class FlowHead:
    """Posterior samples by flow matching: of a joint decoder, over the answers; of another, over the latents."""

    kind: Literal["flow"] = "flow"
    steps: Count = 25
    """Of Heun's method, from noise to an answer."""
    samples: Count = 8
    """A field's value and spread are mean and standard deviation of so many posterior samples."""
    times: Literal["uniform", "logit-normal"] = "uniform"
    path: Literal["linear", "cosine"] = "linear"
    time: Time = Time()
    keeps_state: bool = True
    """False: the solver shows the network fresh noise instead of where it stands, as V1's sampler does."""
    sigmoid: bool = False
    """Of the velocity, as proposed for V1 and V2."""
    self_condition: bool = False
    """The network sees its own last guess of the answer."""
    consistency: NonNegative = 0.0
    """Weight: guesses of the answer from two times of one path agree."""
    frequency: NonNegative = 0.0
    """Weight: the guess's error is small in every low frequency (a non-uniform Fourier transform over the queries)."""
    reflow: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the steps whose noise is paired with the answer that the flow itself gives it (rectified flow)."""
    depth: Count = 2
    """Attention blocks of the flow over latents."""
    heads: Count = 4
    head_width: Count = 16


Head = Annotated[PointHead | GaussianHead | FlowHead | Own, Discriminator("kind")]
