"""Latents among themselves, between encoder and decoder."""

from torch import nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.nn.attention import SelfAttentionBlock
from gridless.nn.residual import scale_branches


class SelfAttentionProcessor(nn.Module):
    """SCENT's latent self-attention: `depth` pre-norm blocks with gated feed-forwards. Depth 0 changes nothing.

    With `latent`, a linear layer narrows every latent to so many numbers and another widens them: all that is answered
    follows from the numbers in between (`narrow`'s outputs). `tied`: one block `depth` times, SCENT's temporal warp.
    """

    def __init__(self, processor: config.SelfAttention, width: int):
        super().__init__()
        self.narrow = self.widen = None
        self.group = processor.group
        if processor.latent is not None:
            wide, kept = self.group * width, self.group * processor.latent
            self.narrow, self.widen = nn.Linear(wide, kept), nn.Linear(kept, wide)
        blocks = [
            SelfAttentionBlock(width, processor.heads, processor.head_width, processor.expansion)
            for _ in range(min(processor.depth, 1) if processor.tied else processor.depth)
        ]
        self.times = processor.depth if processor.tied else 1
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks, self.times)

    def forward(self, latents: Tokens) -> Tokens:
        x = latents.x
        if self.narrow is not None and self.widen is not None:
            if x.shape[1] % self.group:
                raise ValueError(
                    f"processor.group {self.group} does not divide the {x.shape[1]} latents that it narrows; set a divisor"
                )
            together = x.unflatten(1, (-1, self.group)).flatten(2)
            x = self.widen(self.narrow(together)).unflatten(2, (self.group, -1)).flatten(1, 2)
        for block in [*self.blocks] * self.times:
            x = block(x, latents.mask)
        return Tokens(x, latents.pos, latents.mask)
