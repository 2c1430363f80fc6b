"""Through time: ∂c/∂t = rate(c, t) − decay · c, for many spectra at once, each with steps of its own.

Runge–Kutta of the fourth order on exp(decay · t) c (the integrating factor of Lawson), so that what decays alone is exact
and viscosity limits no step. A step is as long as the fastest velocity of this very field takes for `courant` cells, and
ends at a frame; so a trajectory does not depend on which others are computed with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

COURANT = 1.0  # cells a step; the scheme is stable up to 1.35 of dealiased modes
LONGEST = 0.1  # seconds of a step, whatever the velocity: forcing is to be followed

ROUNDING = 1e-9  # of a step, for which no further one is taken


class Equation(Protocol):
    """What happens to a spectrum of `side` besides a decay of every mode."""

    @property
    def side(self) -> int:
        """Cells along every axis."""
        ...

    @property
    def decay(self) -> Float[Tensor, "*half"]:
        """Of every mode, per second."""
        ...

    def velocities(self, spectrum: Complex[Tensor, "B *half"]) -> Float[Tensor, "B v *grid"]:
        """On the grid, in domains per second."""
        ...

    def rate(self, velocities: Float[Tensor, "B v *grid"], time: Float[Tensor, " B"]) -> Complex[Tensor, "B *half"]:
        """The change of the spectrum per second, without the decay."""
        ...


@dataclass(frozen=True, eq=False)
class Moment:
    """The fields at one time, and how many steps each has taken until then."""

    time: float
    spectrum: Complex[Tensor, "B *half"]
    steps: Int[Tensor, " B"]


def march(
    equation: Equation, spectrum: Complex[Tensor, "B *half"], times: Sequence[float], courant: float = COURANT
) -> Iterator[Moment]:
    """The fields at each of the rising `times`, in seconds; `spectrum` is theirs at 0. Raises RuntimeError for fields that
    leave all bounds."""
    time = torch.zeros(len(spectrum), dtype=torch.float64, device=spectrum.device)
    steps = torch.zeros(len(spectrum), dtype=torch.int64, device=spectrum.device)
    decay = equation.decay
    for end in times:
        while bool((time < end).any()):
            velocities = equation.velocities(spectrum)
            fastest = velocities.abs().sum(1).flatten(1).amax(1)
            if not bool(fastest.isfinite().all()):
                reached = float(time.min())
                raise RuntimeError(f"a flow left all bounds after {reached:g} s; take a finer grid or more viscosity")
            longest = (courant / (equation.side * fastest)).clamp(max=LONGEST)
            left = ((end - time) / longest - ROUNDING).ceil()
            step = (end - time) / left.clamp(min=1)  # 0 of a field that is there: it stays, to the bit
            spectrum = _stepped(equation, decay, spectrum, velocities, time, step)
            time, steps = torch.where(left <= 1, end, time + step), steps + (left > 0)
        yield Moment(end, spectrum, steps)


def _stepped(equation: Equation, decay: Tensor, c: Tensor, velocities: Tensor, time: Tensor, step: Tensor) -> Tensor:
    h = step.reshape(-1, *[1] * (c.ndim - 1))
    half = torch.exp(decay * (-0.5 * h))
    middle, end = time + 0.5 * step, time + step
    first = equation.rate(velocities, time)
    decayed = half * c
    second = equation.rate(equation.velocities(decayed + half * (0.5 * h) * first), middle)
    third = equation.rate(equation.velocities(decayed + (0.5 * h) * second), middle)
    whole = half * decayed
    fourth = equation.rate(equation.velocities(whole + half * h * third), end)
    return whole + (h / 6) * (half * (half * first + 2 * (second + third)) + fourth)
