"""Learnable tokens with learnable positions: what an encoder hands to the decoder in the end."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.coords import even_points
from gridless.network.encoded import Tokens
from gridless.nn.fourier import sinusoidal_table


class PositionTokens(nn.Module):
    """`count` vectors; their positions in the window start on an even grid and learn if a spatial bias reads them
    (`positions`)."""

    def __init__(self, tokens: config.PositionTokens, signal: config.Signal, width: int, positions: bool):
        super().__init__()
        start = torch.randn(tokens.count, width) if tokens.init == "normal" else sinusoidal_table(tokens.count, width)
        self.x = nn.Parameter(start * tokens.std)
        even = even_positions(tokens.count, signal)
        if positions:
            self.pos = nn.Parameter(even)
        else:
            self.register_buffer("pos", even)

    def forward(self, batch: int) -> Tokens:
        return Tokens(self.x.expand(batch, -1, -1), self.pos.expand(batch, -1, -1))


def even_positions(count: int, signal: config.Signal) -> Float[Tensor, "count p"]:
    """`count` places spread evenly over the window, in its units."""
    window = torch.tensor(signal.windows, dtype=torch.float32) / signal.unit
    return F.pad(even_points(count, signal.axes) * window, (0, signal.places - signal.axes))


def latents(
    read: str, outputs: Float[Tensor, "B T D"], patches: Tokens, pos: Float[Tensor, "B M d"] | None
) -> Tokens | None:
    """What an encoder hands on of its outputs (the patches', then the position tokens'): those at the position tokens,
    None without any, or with `read = "all"` every one."""
    n = patches.x.shape[1]
    if read == "tokens":
        return None if pos is None else Tokens(outputs[:, n:], pos)
    mask = patches.mask
    if pos is None:
        return Tokens(outputs, patches.pos, mask)
    if mask is not None:
        mask = torch.cat([mask, mask.new_ones(pos.shape[:2])], 1)
    return Tokens(outputs, torch.cat([patches.pos, pos], 1), mask)
