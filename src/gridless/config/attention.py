"""How queries read latents by cross-attention."""

from typing import Literal

from pydantic import PositiveInt

from gridless.config.frozen import config


@config
class Bias:
    """Distance penalty on the attention logits, −alpha·distance²: along the raster order of patches (as published),
    or between the coordinate and the token's learned position."""

    kind: Literal["none", "raster", "euclid"] = "none"
    alpha: float = 10.0


@config
class Attention:
    heads: PositiveInt = 2
    head_width: PositiveInt = 64
    bias: Bias = Bias()
    nearest: PositiveInt | None = None
    """A query reads only so many latents, those whose positions are nearest; None: all."""
