"""The Navier–Stokes equations in the plane, in vorticity form on the periodic unit square:

    ∂w/∂t + u·∇w = ν Δw − μ w + f,    u = (∂ψ/∂y, −∂ψ/∂x),    −Δψ = w

Pseudo-spectral, free of aliasing (2/3), in float64. Advection is the curl of the divergence of u u, which needs four
transforms: ∂xy(u_x² − u_y²) − (∂xx − ∂yy)(u_x u_y), and conserves energy and enstrophy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import pi
from typing import Literal

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gridless.data.spectra import (
    block_numbers,
    dealiased,
    mean_square,
    random_modes,
    spectrum_of,
    wave_numbers,
)

DRAWN = 21  # highest mode of a random vorticity, which a grid of 64 keeps: 0.02 % of the variance lie beyond
FORCED = 4  # highest mode of a forcing
KOLMOGOROV = 0.5  # amplitude of the shear's vorticity, per second²
DRAG = 0.1  # of the Kolmogorov flow, per second: what else would take the energy out of the large scales
STIRRED = 0.2  # root mean square of the random forcing, per second²
TURNING = 1.0  # … and the deviation of the frequencies of its modes, radians per second

ForcingKind = Literal["fno", "kolmogorov", "random"]


@dataclass(frozen=True, eq=False)
class Forcing:
    """Large waves, whose phases may turn: the modes c exp(iωt) of the vorticity's source, one set or one for each flow."""

    modes: Complex[Tensor, "#B 9 5"]
    frequencies: Float[Tensor, "#B 9 5"]
    drag: float = 0.0
    """Per second."""

    def at(self, time: Float[Tensor, " B"]) -> Complex[Tensor, "#B 9 5"]:
        if not self.turns:
            return self.modes
        return self.modes * torch.polar(torch.ones_like(self.frequencies), self.frequencies * time[:, None, None])

    @cached_property
    def turns(self) -> bool:
        return bool(self.frequencies.any())

    def to(self, device) -> "Forcing":
        return Forcing(self.modes.to(device), self.frequencies.to(device), self.drag)


@dataclass(frozen=True, eq=False)
class NavierStokes:
    """The equation on a grid of side × side; its spectra are those of the vorticity."""

    side: int
    viscosity: float
    """Squared domains per second."""
    forcing: Forcing | None = None
    device: str | torch.device = "cpu"

    @property
    def decay(self) -> Float[Tensor, "n half"]:
        return self.viscosity * self._laplacian + (0.0 if self.forcing is None else self.forcing.drag)

    def velocities(self, spectrum: Complex[Tensor, "B n half"]) -> Float[Tensor, "B 2 n n"]:
        """Along y and along x."""
        return torch.fft.irfft2(spectrum[:, None] * self._stream, s=(self.side, self.side), norm="forward")

    def rate(self, velocities: Float[Tensor, "B 2 n n"], time: Float[Tensor, " B"]) -> Complex[Tensor, "B n half"]:
        v, u = velocities.unbind(1)
        products = torch.fft.rfft2(torch.stack([u * v, (v - u) * (v + u)], 1), norm="forward")
        change = (products * self._curl).sum(1)
        if self.forcing is not None:
            rows, columns = self._forced
            change[:, rows, columns] += self.forcing.at(time)
        return change

    @cached_property
    def _laplacian(self) -> Float[Tensor, "n half"]:
        ky, kx = wave_numbers(self.side, 2, self.device)
        return 4 * pi**2 * (ky.square() + kx.square())

    @cached_property
    def _stream(self) -> Complex[Tensor, "2 n half"]:
        """From vorticity to velocities."""
        ky, kx = wave_numbers(self.side, 2, self.device)
        inverse = torch.where(self._laplacian > 0, 2 * pi / self._laplacian, 0.0) * dealiased(self.side, 2, self.device)
        return 1j * torch.stack([-kx * inverse, ky * inverse])

    @cached_property
    def _curl(self) -> Float[Tensor, "2 n half"]:
        """From u v and v² − u² to the change of vorticity."""
        ky, kx = wave_numbers(self.side, 2, self.device)
        both = 4 * pi**2 * torch.stack([kx.square() - ky.square(), kx * ky])
        return both * dealiased(self.side, 2, self.device)

    @cached_property
    def _forced(self) -> tuple[Tensor, slice]:
        rows = torch.cat([torch.arange(FORCED + 1), torch.arange(self.side - FORCED, self.side)])
        return rows.to(self.device), slice(FORCED + 1)


def random_vorticity(numbers: Sequence[int], side: int) -> Complex[Tensor, "B n half"]:
    """The vorticity that each number stands for, whatever the side and the others: Gaussian, of the covariance
    2 · 7³ (−Δ + 49)^−2.5, as the program draws that made the published sets of the Fourier neural operator (its paper says
    7^1.5 of the same, a field a sixth as strong). Mean 0."""

    def variance(square: Tensor) -> Tensor:
        return 2 * 7**3 * (4 * pi**2 * square + 49) ** -2.5

    rngs = [np.random.default_rng((number, 0)) for number in numbers]
    return spectrum_of(random_modes(rngs, 2, DRAWN, variance), side)


def forcing(kind: ForcingKind, numbers: Sequence[int]) -> Forcing:
    """What drives the flows of these numbers.

    `fno`: 0.1 (sin 2π(x + y) + cos 2π(x + y)), as the published sets have it; `kolmogorov`: 0.5 cos 8πy against a drag of
    0.1 per second; `random`: other waves for each number, of |k| ≤ 4, root mean square 0.2, whose phases turn.
    """
    still = torch.zeros(1, 2 * FORCED + 1, FORCED + 1, dtype=torch.float64)
    modes = torch.zeros_like(still, dtype=torch.complex128)
    match kind:
        case "fno":
            modes[0, 1, 1] = 0.05
            return Forcing(modes * (1 - 1j), still)
        case "kolmogorov":
            modes[0, [FORCED, -FORCED], 0] = KOLMOGOROV / 2
            return Forcing(modes, still, DRAG)
        case "random":
            return _stirring(numbers)
    raise ValueError(f"no forcing {kind!r}; there are fno, kolmogorov, random")


def _stirring(numbers: Sequence[int]) -> Forcing:
    ky, kx = block_numbers(2, FORCED)
    inside = ky.square() + kx.square() <= FORCED**2
    count = int(inside.sum() * 2 - inside[:, 0].sum()) - 1  # of the modes and their conjugates, without the mean

    def variance(square: Tensor) -> Tensor:
        return (square <= FORCED**2) * (STIRRED**2 / count)

    rngs = [np.random.default_rng((number, 1)) for number in numbers]
    modes = random_modes(rngs, 2, FORCED, variance)
    shape = (2 * FORCED + 1, FORCED + 1)
    turning = torch.from_numpy(np.stack([TURNING * rng.standard_normal(shape) for rng in rngs]))
    turning[:, FORCED + 1 :, 0] = -turning[:, 1 : FORCED + 1, 0].flip(1)  # conjugates turn against one another
    return Forcing(modes, turning)


def energy(vorticity: Complex[Tensor, "B n half"]) -> Float[Tensor, " B"]:
    """Mean of |u|² / 2."""
    return mean_square(vorticity, 2, _inverse_laplacian(vorticity)) / 2


def enstrophy(vorticity: Complex[Tensor, "B n half"]) -> Float[Tensor, " B"]:
    """Mean of w² / 2."""
    return mean_square(vorticity, 2) / 2


def energy_spectrum(vorticity: Complex[Tensor, "B n half"]) -> Float[Tensor, "B shells"]:
    """The energy of the shells |k| = 0, 1, 2 …, each rounded, up to the last that dealiasing leaves whole."""
    n = vorticity.shape[1]
    ky, kx = wave_numbers(n, 2, vorticity.device)
    shell = (ky.square() + kx.square()).sqrt().round()
    of_mode = _inverse_laplacian(vorticity)
    return torch.stack([mean_square(vorticity, 2, of_mode * (shell == k)) / 2 for k in range((n - 1) // 3 + 1)], -1)


def _inverse_laplacian(vorticity: Tensor) -> Float[Tensor, "n half"]:
    ky, kx = wave_numbers(vorticity.shape[1], 2, vorticity.device)
    square = 4 * pi**2 * (ky.square() + kx.square())
    return torch.where(square > 0, 1 / square, 0.0)
