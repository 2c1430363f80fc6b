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
    (`positions`). With `content` each begins with a linear map of the nearest patch, which it would otherwise have to
    gather through the layers."""

    def __init__(self, tokens: config.PositionTokens, signal: config.Signal, width: int, positions: bool):
        super().__init__()
        start = torch.randn(tokens.count, width) if tokens.init == "normal" else sinusoidal_table(tokens.count, width)
        self.x = nn.Parameter(start * tokens.std)
        even = even_positions(tokens.count, signal)
        if positions:
            self.pos = nn.Parameter(even)
        else:
            self.register_buffer("pos", even)
        self.content = nn.Linear(width, width, bias=False) if tokens.content else None

    def forward(self, patches: Tokens) -> Tokens:
        """The tokens of as many samples as there are of patches."""
        tokens = self.alone(len(patches.x))
        if self.content is None:
            return tokens
        content = nearest_content(self.content(patches.x), patches, tokens.pos)
        return Tokens(tokens.x + content.to(tokens.x.dtype), tokens.pos)

    def alone(self, batch: int) -> Tokens:
        """The tokens before they know of a patch."""
        pos = self.pos.expand(batch, -1, -1).clone()  # a field keeps positions: those of now, whatever training does
        return Tokens(self.x.expand(batch, -1, -1), pos)


def nearest_content(
    content: Float[Tensor, "B N D"], patches: Tokens, pos: Float[Tensor, "B M d"]
) -> Float[Tensor, "B M D"]:
    """What is said at the measured patch nearest to each position; nothing where no patch was measured."""
    with torch.no_grad():
        distance = torch.cdist(pos, patches.pos.to(pos.dtype))
        if patches.mask is not None:
            distance = distance.masked_fill(~patches.mask[:, None], torch.inf)
        near = distance.argmin(-1, keepdim=True)
    said = content.gather(1, near.expand(-1, -1, content.shape[-1]))
    return said if patches.mask is None else said * patches.mask.any(1)[:, None, None]


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
