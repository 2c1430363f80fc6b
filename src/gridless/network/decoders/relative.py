"""Questions that read the readings several times, by attention that sees differences of places alone (`nn/relative.py`).

    x = start + W (what the base says there)
    depth × { x += relative attention(norm x; latents); x += feed-forward(norm x) }

A question starts with what it is about and learns where it is by what lies around it; it never reads another question.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.nn.relative import RelativeBlock
from gridless.nn.residual import scale_branches


class RelativeDecoder(nn.Module):
    joint = False

    def __init__(self, decoder: config.RelativeDecoder, signal: config.Signal, width: int, patch: int, latents: int):
        super().__init__()
        self.width = self.local_width = hidden = decoder.hidden
        args = (hidden, width, decoder.heads, decoder.head_width, signal.places, decoder.expansion)
        blocks = [RelativeBlock(*args) for _ in range(decoder.depth)]
        self.start = nn.Parameter(torch.zeros(hidden))
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)
        self.norm = nn.LayerNorm(hidden)

    def prepare(self, latents: Tokens) -> Tokens:
        """Keys and values of all blocks, side by side."""
        parts = [block.attention.keys_values(latents.x, latents.pos) for block in self._blocks]
        return replace(latents, x=torch.cat(parts, -1))

    def forward(
        self, coords: Float[Tensor, "B Q d"], latents: Tokens | None, local: Float[Tensor, "B Q H"] | None = None
    ) -> Float[Tensor, "B Q F"]:
        assert latents is not None, "this decoder reads the readings"
        x = self.start.expand(*coords.shape[:2], -1)
        x = x if local is None else x + local
        for block, keys_values in zip(self._blocks, latents.x.chunk(len(self.blocks), -1), strict=True):
            x = block(x, coords, latents.mask, keys_values)
        return self.norm(x)

    @property
    def _blocks(self) -> list[RelativeBlock]:
        return [block for block in self.blocks if isinstance(block, RelativeBlock)]
