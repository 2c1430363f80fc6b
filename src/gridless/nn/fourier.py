"""Fourier features of coordinates. Frequencies are in cycles per unit: γ(x) = [sin 2πfx, cos 2πfx]."""

from math import log10, pi

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config


class AxisFourier(nn.Module):
    """The same band of frequencies on each axis: [sin, cos] per axis, 2 · count · d features."""

    frequencies: Float[Tensor, " count"]

    def __init__(self, band: config.Band, axes: int, nyquist: float):
        super().__init__()
        high = nyquist if band.high is None else band.high
        if band.spacing == "log":
            frequencies = torch.logspace(log10(band.low), log10(high), band.count)
        else:
            frequencies = torch.linspace(band.low, high, band.count)
        self.register_buffer("frequencies", frequencies)
        self.width = 2 * band.count * axes

    def forward(self, x: Float[Tensor, "*B d"]) -> Float[Tensor, "*B F"]:
        phase = 2 * pi * x[..., None] * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], -1).flatten(-2)


class GaussianFourier(nn.Module):
    """Random directions and frequencies: N(0, std²) cycles per unit on every axis, 2 · count features; with several
    `octaves`, every second (third …) has a doubled (fourfold …) std."""

    def __init__(self, fourier: config.Gaussian, axes: int):
        super().__init__()
        matrix = torch.randn(axes, fourier.count) * fourier.std * 2.0 ** (torch.arange(fourier.count) % fourier.octaves)
        if fourier.learned:
            self.matrix = nn.Parameter(matrix)
        else:
            self.register_buffer("matrix", matrix)
        self.width = 2 * fourier.count

    def forward(self, x: Float[Tensor, "*B d"]) -> Float[Tensor, "*B F"]:
        # a sum, not a matmul: autocast would round the phase to bf16
        phase = 2 * pi * (x[..., None] * self.matrix).sum(-2)
        return torch.cat([phase.sin(), phase.cos()], -1)


def sinusoidal_table(count: int, width: int) -> Float[Tensor, "count width"]:
    """The Transformer's position table (Vaswani et al. 2017, section 3.5), base 10,000."""
    position = torch.arange(count)[:, None]
    rate = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([(position * rate).sin(), (position * rate).cos()], -1).flatten(1)[:, :width]
