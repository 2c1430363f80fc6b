"""Learnable tokens with learnable positions: what an encoder hands to the decoder in the end."""

import torch
from torch import nn

from gridless import config
from gridless.coords import even_points
from gridless.nn.fourier import sinusoidal_table
from gridless.samples import Tokens


class PositionTokens(nn.Module):
    """`count` vectors; their positions in the window start on an even grid and learn if a spatial bias reads them
    (`positions`)."""

    def __init__(self, tokens: config.PositionTokens, axes: int, width: int, positions: bool):
        super().__init__()
        start = torch.randn(tokens.count, width) if tokens.init == "normal" else sinusoidal_table(tokens.count, width)
        self.x = nn.Parameter(start * tokens.std)
        even = even_points(tokens.count, axes)
        if positions:
            self.pos = nn.Parameter(even)
        else:
            self.register_buffer("pos", even)

    def forward(self, batch: int) -> Tokens:
        return Tokens(self.x.expand(batch, -1, -1), self.pos.expand(batch, -1, -1))
