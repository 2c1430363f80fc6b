"""How queries read latents by cross-attention."""

from typing import Literal

from gridless.config.frozen import config
from gridless.config.numbers import Count


@config
class Bias:
    """Distance penalty on the attention logits, −alpha·distance²: along the raster order of patches (as published),
    or between the coordinate and the token's learned position."""

    kind: Literal["none", "raster", "euclid"] = "none"
    alpha: float = 10.0


@config
class Attention:
    """Cross-attention from questions to latents."""

    heads: Count = 2
    head_width: Count = 64
    bias: Bias = Bias()
    rotation: bool = False
    """What is read of a latent depends on how the query lies to it (`nn/rotation.py`)."""
    nearest: Count | None = None
    """A query reads only so many latents, those whose positions are nearest; None: all."""
