"""The simplest decoder: an MLP of the coordinate's Fourier features and one vector for the whole signal.

Source: the teaching notebook of MAMBA-GINR's public code (SimpleMambaGINR): the latents' mean, concatenated with the
coordinate, through a ReLU network. Kept to show what reading the latents at the query is worth.
Deviation: Fourier features stand beside the raw coordinate.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.nn.fourier import AxisFourier


class MlpDecoder(nn.Module):
    joint = False

    def __init__(self, decoder: config.Mlp, signal: config.Signal, width: int, patch: int, latents: int):
        super().__init__()
        self.local_width = decoder.hidden
        self.fourier = AxisFourier(decoder.band, signal.places, signal.unit / 2)
        self.first = nn.Linear(signal.places + self.fourier.width + (width if latents else 0), decoder.hidden)
        self.rest = nn.ModuleList(nn.Linear(decoder.hidden, decoder.hidden) for _ in range(decoder.depth - 1))
        self.width = decoder.hidden

    def prepare(self, latents: Tokens) -> Tokens:
        """What every query reads, once per field: one vector."""
        real = latents.x.new_ones(latents.x.shape[:2]) if latents.mask is None else latents.mask.to(latents.x.dtype)
        share = (real / real.sum(1, keepdim=True))[..., None]
        x, pos = ((part * share).sum(1, keepdim=True) for part in (latents.x, latents.pos))
        return Tokens(x, pos)

    def forward(
        self, coords: Float[Tensor, "B Q d"], latents: Tokens | None, local: Float[Tensor, "B Q H"] | None
    ) -> Float[Tensor, "B Q H"]:
        parts = [coords, self.fourier(coords)]
        if latents is not None:
            parts.append(latents.x.expand(-1, coords.shape[1], -1))
        x = self.first(torch.cat(parts, -1))
        x = (x if local is None else x + local).relu()
        for layer in self.rest:
            x = layer(x).relu()
        return x
