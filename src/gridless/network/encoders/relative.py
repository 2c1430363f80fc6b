"""Readings in the context of all readings, by attention that sees differences of places alone (`nn/relative.py`).

x = readings, or with `count` some of them, strewn evenly
x += relative attention(norm x; norm all readings);  x += feed-forward(norm x)        with `count`
depth × { x += relative attention(norm x); x += feed-forward(norm x) }                (one less with `count`)
latents = norm x, at their readings' places
"""

from dataclasses import replace

from jaxtyping import Float, Int64
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.network.encoders.contexts import partition, rows_at
from gridless.nn.relative import RelativeBlock
from gridless.nn.residual import scale_branches


class RelativeEncoder(nn.Module):
    """As many latents as there are readings, or `count`."""

    def __init__(self, encoder: config.RelativeEncoder, signal: config.Signal, width: int, positions: bool):
        super().__init__()
        self.width, self.count = width, encoder.count
        args = (width, width, encoder.heads, encoder.head_width, signal.places, encoder.expansion)
        blocks = [RelativeBlock(*args) for _ in range(encoder.depth)]
        self.reading_norm = None if self.count is None else nn.LayerNorm(width)
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tokens) -> tuple[Tokens, Float[Tensor, "B N D"]]:
        blocks = [block for block in self.blocks if isinstance(block, RelativeBlock)]
        latents = tokens
        if self.reading_norm is not None:
            first, *blocks = blocks
            latents = some(tokens, partition(tokens, 0, self.training)[:, : self.count])
            read = first.attention.keys_values(self.reading_norm(tokens.x), tokens.pos)
            latents = replace(latents, x=first(latents.x, latents.pos, tokens.mask, read))
        x = latents.x
        for block in blocks:
            x = block(x, latents.pos, latents.mask)
        x = self.norm(x)
        return replace(latents, x=x), x


def some(tokens: Tokens, index: Int64[Tensor, "B N"]) -> Tokens:
    """These of the tokens."""
    mask = None if tokens.mask is None else tokens.mask.gather(1, index)
    return Tokens(rows_at(tokens.x, index), rows_at(tokens.pos, index), mask)
