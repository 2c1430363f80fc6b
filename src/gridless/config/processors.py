"""What latents do among themselves, between encoder and decoder."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from gridless.config.frozen import config


@config
class SelfAttention:
    kind: Literal["self-attention"] = "self-attention"
    depth: NonNegativeInt = 0
    heads: PositiveInt = 8
    head_width: PositiveInt = 64
    expansion: PositiveFloat = 4.0


Processor = SelfAttention
