"""Latents among themselves, between encoder and decoder."""

from torch import nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.nn.attention import SelfAttentionBlock
from gridless.nn.residual import scale_branches


class SelfAttentionProcessor(nn.Module):
    """SCENT's latent self-attention: `depth` pre-norm blocks with gated feed-forwards. Depth 0 changes nothing.

    With `latent`, a linear layer narrows every latent to so many numbers and another widens them: all that is answered
    follows from the numbers in between (`narrow`'s outputs).
    """

    def __init__(self, processor: config.SelfAttention, width: int):
        super().__init__()
        self.narrow = self.widen = None
        if processor.latent is not None:
            self.narrow, self.widen = nn.Linear(width, processor.latent), nn.Linear(processor.latent, width)
        blocks = [
            SelfAttentionBlock(width, processor.heads, processor.head_width, processor.expansion)
            for _ in range(processor.depth)
        ]
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)

    def forward(self, latents: Tokens) -> Tokens:
        x = latents.x
        if self.narrow is not None and self.widen is not None:
            x = self.widen(self.narrow(x))
        for block in self.blocks:
            x = block(x, latents.mask)
        return Tokens(x, latents.pos, latents.mask)
