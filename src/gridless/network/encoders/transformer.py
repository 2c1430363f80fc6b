"""LAINR's and Trans-INR's encoder: a transformer over patches and learnable tokens.

Source: Lee et al. 2023 (LAINR, arXiv 2310.05624) and Chen & Wang 2022 (Trans-INR, arXiv 2208.02801), section 3.
    sequence = patches, then learnable tokens
    depth × { x += attention(norm x); x += feed-forward(norm x) }            → nn/attention.py
    latents = outputs at the learnable tokens, normalised
Deviations: feed-forwards are gated (GEGLU) as everywhere in this package unless `gated = false`; tokens carry learned
positions in the window, started on an even grid; the patches' outputs are returned too, for local read-out.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.network.encoders.position_tokens import PositionTokens, latents
from gridless.nn.attention import SelfAttentionBlock
from gridless.nn.residual import scale_branches


class TransformerEncoder(nn.Module):
    """Patches in; latents (the learnable tokens) and contextual patches out."""

    def __init__(self, encoder: config.TransformerEncoder, signal: config.Signal, width: int, positions: bool):
        super().__init__()
        self.width, self.count, self.read = width, encoder.tokens.count, encoder.tokens.read
        self.tokens = PositionTokens(encoder.tokens, signal, width, positions) if self.count else None
        args = (width, encoder.heads, encoder.head_width, encoder.expansion, encoder.gated)
        blocks = [SelfAttentionBlock(*args) for _ in range(encoder.depth)]
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Tokens) -> tuple[Tokens | None, Float[Tensor, "B N D"]]:
        b, n, _ = patches.x.shape
        x, mask = patches.x, patches.mask
        if self.tokens is not None:
            tokens = self.tokens(patches)
            x = torch.cat([x, tokens.x.to(x.dtype)], 1)
            mask = None if mask is None else torch.cat([mask, mask.new_ones(b, x.shape[1] - n)], 1)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return latents(self.read, x, patches, None if self.tokens is None else tokens.pos), x[:, :n]
