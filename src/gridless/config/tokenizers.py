"""What is measured, cut into tokens: patches of a grid, or scattered points."""

from typing import Annotated, Literal

from pydantic import Discriminator

from gridless.config.fourier import Gaussian
from gridless.config.frozen import config
from gridless.config.numbers import Count, Natural


@config
class Stem:
    """Residual convolutions at full resolution, before the patches are cut."""

    width: Count = 32
    blocks: Natural = 2
    activation: Literal["gelu", "relu"] = "gelu"
    """Inside the blocks; relu costs a quarter of gelu's time on a CPU."""


@config
class Patches:
    """Patches of a grid: each a token."""

    kind: Literal["patches"] = "patches"
    size: Count = 2
    position: Literal["concat", "learned", "none"] = "concat"
    """`concat`: Fourier features of the patch centre take at most `position_width` of the token, as many on every axis;
    `learned`: an added table."""
    position_width: Count = 32
    stem: Stem | None = None


@config
class Points:
    """Scattered readings: each a token of its value and the Fourier features of its place."""

    kind: Literal["points"] = "points"
    fourier: Gaussian = Gaussian(std=1.0, count=64)
    place: bool = True
    """Whether a token knows its place; false for an encoder that sees differences of places alone."""
    base: bool = False
    """Tokens and questions know what the base says there, and how sure it is: of a reading's place, without that reading.
    Kriging can leave readings out; where a base cannot, tokens know nothing of it."""
    frozen: Count | None = None
    """Values enter through a random linear layer of this width that does not learn; None: as they are."""
    product: bool = True
    """The features times the value stand beside both: their mean over the readings is a spectrum."""


Tokenizer = Annotated[Patches | Points, Discriminator("kind")]
