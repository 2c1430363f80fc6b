"""Burgers' equation on the periodic unit line: ∂u/∂t + u ∂u/∂x = ν ∂²u/∂x².

Pseudo-spectral, free of aliasing (2/3), in float64. Shocks are 4 ν / (their jump) wide and want a grid to match.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import pi

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gridless.data.spectra import dealiased, random_modes, spectrum_of, wave_numbers

DRAWN = 21  # highest mode of a random velocity: 0.01 % of the variance lie beyond


@dataclass(frozen=True, eq=False)
class Burgers:
    """The equation on a grid of `side`; its spectra are those of the velocity."""

    side: int
    viscosity: float
    """Squared domains per second."""
    device: str | torch.device = "cpu"

    @property
    def decay(self) -> Float[Tensor, " half"]:
        return self.viscosity * 4 * pi**2 * self._numbers.square()

    def velocities(self, spectrum: Complex[Tensor, "B half"]) -> Float[Tensor, "B 1 n"]:
        return torch.fft.irfft(spectrum, n=self.side, norm="forward")[:, None]

    def rate(self, velocities: Float[Tensor, "B 1 n"], time: Float[Tensor, " B"]) -> Complex[Tensor, "B half"]:
        return torch.fft.rfft(velocities[:, 0].square(), norm="forward") * self._slope

    @cached_property
    def _numbers(self) -> Float[Tensor, " half"]:
        return wave_numbers(self.side, 1, self.device)[0]

    @cached_property
    def _slope(self) -> Complex[Tensor, " half"]:
        """From u² to the change of u."""
        return -1j * pi * self._numbers * dealiased(self.side, 1, self.device)


def random_velocity(numbers: Sequence[int], side: int) -> Complex[Tensor, "B half"]:
    """The velocity that each number stands for, whatever the side and the others: Gaussian, of the covariance
    625 (−Δ + 25)^−2 as in the paper of the Fourier neural operator, without its mean."""

    def variance(square: Tensor) -> Tensor:
        return 625 * (4 * pi**2 * square + 25) ** -2.0

    return spectrum_of(
        random_modes([np.random.default_rng((number, 0)) for number in numbers], 1, DRAWN, variance), side
    )
