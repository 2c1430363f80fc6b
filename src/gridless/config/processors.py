"""What latents do among themselves, between encoder and decoder."""

from typing import Literal

from gridless.config.frozen import config
from gridless.config.numbers import Count, Natural, Positive


@config
class SelfAttention:
    """Blocks of self-attention among the latents; depth 0 changes nothing."""

    kind: Literal["self-attention"] = "self-attention"
    latent: Count | None = None
    """Numbers that are kept of each latent, before the blocks: how much a field may say. None: the encoder's width."""
    group: Count = 1
    """So many consecutive latents are narrowed together, which saves what neighbours have in common."""
    depth: Natural = 0
    tied: bool = False
    """One block, `depth` times."""
    heads: Count = 8
    head_width: Count = 64
    expansion: Positive = 4.0


Processor = SelfAttention
