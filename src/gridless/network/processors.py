"""Latents among themselves, between encoder and decoder."""

from torch import nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.nn.attention import SelfAttentionBlock
from gridless.nn.residual import scale_branches


class SelfAttentionProcessor(nn.Module):
    """SCENT's latent self-attention: `depth` pre-norm blocks with gated feed-forwards. Depth 0 changes nothing."""

    def __init__(self, processor: config.SelfAttention, width: int):
        super().__init__()
        blocks = [
            SelfAttentionBlock(width, processor.heads, processor.head_width, processor.expansion)
            for _ in range(processor.depth)
        ]
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)

    def forward(self, latents: Tokens) -> Tokens:
        x = latents.x
        for block in self.blocks:
            x = block(x, latents.mask)
        return Tokens(x, latents.pos, latents.mask)
