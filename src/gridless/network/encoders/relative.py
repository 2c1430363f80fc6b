"""Readings in the context of all readings, by attention that sees differences of places alone (`nn/relative.py`).

depth × { x += relative attention(norm x); x += feed-forward(norm x) };  latents = norm x, at the readings' places
"""

from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.nn.relative import RelativeBlock
from gridless.nn.residual import scale_branches


class RelativeEncoder(nn.Module):
    """As many latents as there are readings."""

    def __init__(self, encoder: config.RelativeEncoder, signal: config.Signal, width: int, positions: bool):
        super().__init__()
        self.width = width
        args = (width, width, encoder.heads, encoder.head_width, signal.places, encoder.expansion)
        blocks = [RelativeBlock(*args) for _ in range(encoder.depth)]
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tokens) -> tuple[Tokens, Float[Tensor, "B T D"]]:
        x = tokens.x
        for block in self.blocks:
            x = block(x, tokens.pos, tokens.mask)
        x = self.norm(x)
        return Tokens(x, tokens.pos, tokens.mask), x
