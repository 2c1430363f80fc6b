"""The kinds of random fields that a broad prior mixes; each draws a mechanism with random parameters on a ground.

    stationary      Gaussian fields of four smoothnesses and all lengths, half of them anisotropic
    trend           a quadratic surface with something smaller on it
    waves           the families of `waves.py`; plane, radial, modulated and interfering waves
    fronts          smooth fields on the sides of one or two lines, joined sharply
    patches         cells with hard edges
    plumes          blobs, and plumes that widen downwind of a source
    nonstationary   lengths or amplitudes that change from place to place
    skewed          much zero, long tails, ridges, filaments

Lengths are in units of positions: the longest side of a domain is about 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.data.random_fields import (
    DEGREES,
    Amplified,
    Blend,
    Blobs,
    Cosines,
    Mechanism,
    ModulatedWave,
    Plumes,
    Polynomial,
    Positions,
    Rescaled,
    Rings,
    Shaped,
    Sum,
    Voronoi,
    Warped,
    WaveFamily,
    single,
)
from gridless.data.waves import FAMILIES, fresh
from gridless.domain import Domain

SHORTEST, LONGEST = 0.05, 2.0  # lengths of stationary fields
FEW = 64  # cosines of a smooth part
SIDE = 20  # a field is measured at so many random places per axis, one in each cell
STEP = 1e-5  # of a tangent


@dataclass(frozen=True)
class Ground:
    """Where fields live: from coordinates in [0, 1] to the positions that they are functions of."""

    domain: Domain | None = None

    @property
    def flat(self) -> bool:
        """Whether positions are coordinates."""
        return self.domain is None

    @cached_property
    def axes(self) -> int:
        """Numbers of a position."""
        return self._embedded(torch.full((2,), 0.5)).shape[-1]

    @cached_property
    def _centre(self) -> Tensor:
        """Of a region on a large sphere, whose positions would lose digits; elsewhere 0."""
        middle = self._embedded(torch.full((2,), 0.5, dtype=torch.float64))
        regional = self.domain is not None and self.domain.sphere is not None and not any(self.domain.joins)
        return middle if regional else torch.zeros_like(middle)

    def _embedded(self, u: Float[Tensor, "*B d"]) -> Float[Tensor, "*B e"]:
        return u if self.domain is None else self.domain.embed(u)

    def positions(self, u: Float[Tensor, "*B 2"]) -> Float[np.ndarray, "*B e"]:
        """At coordinates, float32."""
        return single((self._embedded(u.double()) - self._centre).numpy())

    def scattered(self, rng: np.random.Generator) -> Positions:
        """SIDE² random places, one in each cell of a grid."""
        cell = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), -1).reshape(-1, 2)
        return self.positions(torch.from_numpy((cell + rng.random(cell.shape)) / SIDE))

    def places(self, rng: np.random.Generator, count: int) -> Positions:
        return self.positions(torch.from_numpy(rng.random((count, 2))))

    def headings(self, rng: np.random.Generator, count: int) -> tuple[Positions, Positions]:
        """Random places and a random unit tangent at each."""
        u = torch.from_numpy(0.02 + 0.96 * rng.random((count, 2)))
        here = self._embedded(u)
        steps = [(self._embedded(u + STEP * axis) - here) for axis in torch.eye(2, dtype=torch.float64)]
        angle = torch.from_numpy(2 * pi * rng.random((count, 1)))
        y, x = (step / step.norm(dim=-1, keepdim=True) for step in steps)
        tangent = angle.cos() * y + angle.sin() * x
        return single((here - self._centre).numpy()), single(tangent.numpy())


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(log_uniforms(rng, low, high, 1)[0])


def log_uniforms(rng: np.random.Generator, low: float, high: float, size: int) -> Float[np.ndarray, " {size}"]:
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def _standardised(part: Mechanism, some: Positions) -> Mechanism:
    """With mean 0 and deviation 1 over some places."""
    values = part(some)
    deviation = float(values.std()) or 1.0
    return Rescaled(part, 1 / deviation, -float(values.mean()) / deviation)


def _smooth(rng: np.random.Generator, ground: Ground, low: float = 0.3, high: float = 1.0) -> Cosines:
    return Cosines.gaussian(rng, ground.axes, log_uniform(rng, low, high), features=FEW)


def _gaussian(rng: np.random.Generator, ground: Ground, low: float = SHORTEST, high: float = LONGEST) -> Cosines:
    squeeze = log_uniform(rng, 1, 4) if rng.random() < 0.5 else 1.0
    return Cosines.gaussian(rng, ground.axes, log_uniform(rng, low, high), int(rng.choice(DEGREES)), squeeze)


def _displacement(rng: np.random.Generator, ground: Ground) -> Mechanism:
    """Smooth, of 0.3 at most, and too small beside its length to fold."""
    length = log_uniform(rng, 0.3, 1.0)
    size = min(0.3, rng.uniform(0.15, 0.5) * length)
    field = Cosines.gaussian(rng, ground.axes, length, outputs=ground.axes, features=FEW)
    return Rescaled(field, size)


def stationary(rng: np.random.Generator, ground: Ground) -> Mechanism:
    field = _gaussian(rng, ground)
    if rng.random() < 0.7:
        return field
    return Sum([field, Rescaled(_gaussian(rng, ground), float(rng.uniform(0.2, 1)))])


def trend(rng: np.random.Generator, ground: Ground) -> Mechanism:
    axes, some = ground.axes, ground.scattered(rng)
    curvature = rng.uniform(0, 1.5) * rng.standard_normal((axes, axes))
    surface = Polynomial(ground.places(rng, 1)[0], single(rng.standard_normal(axes)), single(curvature))
    rest = _standardised(_gaussian(rng, ground), some)
    return Sum([_standardised(surface, some), Rescaled(rest, float(rng.uniform(0.05, 0.5)))])


def waves(rng: np.random.Generator, ground: Ground) -> Mechanism:
    if ground.flat and rng.random() < 0.5:
        return WaveFamily(fresh(tuple(FAMILIES), rng, 1))
    choice = rng.integers(4)
    if choice == 0:
        return _plane_waves(rng, ground, int(rng.integers(1, 6)))
    if choice == 1:
        return _rings(rng, ground, log_uniform(rng, 0.5, 8))
    if choice == 2:
        _, tangents = ground.headings(rng, 2)
        carrier, modulator = log_uniform(rng, 2, 8), log_uniform(rng, 0.5, 2)
        amplitude, turn = (rng.uniform(0.5, 1), 0.0) if rng.random() < 0.5 else (0.0, rng.uniform(1, 3))
        k, q = single(2 * pi * carrier * tangents[0]), single(2 * pi * modulator * tangents[1])
        return ModulatedWave(k, 2 * pi * rng.random(), q, amplitude, turn)
    cycles = log_uniform(rng, 1.5, 8)
    if rng.random() < 0.5:
        return Sum([_rings(rng, ground, cycles * rng.uniform(0.9, 1.1)) for _ in range(int(rng.integers(2, 4)))])
    return _beats(rng, ground, cycles)


def _plane_waves(rng: np.random.Generator, ground: Ground, count: int) -> Cosines:
    _, tangents = ground.headings(rng, count)
    frequency = 2 * pi * log_uniforms(rng, 0.5, 8, count) * tangents.T
    return Cosines(single(frequency), single(2 * pi * rng.random(count)), single(rng.uniform(0.3, 1, (count, 1))))


def _rings(rng: np.random.Generator, ground: Ground, cycles: float) -> Rings:
    return Rings(ground.places(rng, 1)[0], float(cycles), 2 * pi * rng.random(), log_uniform(rng, 0.3, 5))


def _beats(rng: np.random.Generator, ground: Ground, cycles: float) -> Cosines:
    """Two waves of almost one frequency."""
    _, tangents = ground.headings(rng, 2)
    frequency = 2 * pi * np.stack([cycles * tangents[0], cycles * tangents[0] + rng.uniform(0.5, 1) * tangents[1]], 1)
    return Cosines(single(frequency), single(2 * pi * rng.random(2)), single(np.ones((2, 1))))


def fronts(rng: np.random.Generator, ground: Ground) -> Mechanism:
    some, count = ground.scattered(rng), 1 + int(rng.random() < 0.3)
    sides = [_standardised(_smooth(rng, ground, 0.2, 2.0), some) for _ in range(count + 1)]
    field = sides[0]
    for side in sides[1:]:
        jump = rng.uniform(1, 4) * rng.choice((-1, 1))
        field = Blend(_level(rng, ground), log_uniform(rng, 0.002, 0.1), field, Rescaled(side, 1.0, float(jump)))
    return field


def _level(rng: np.random.Generator, ground: Ground) -> Mechanism:
    """About the distance from a smooth line through a random place."""
    length = log_uniform(rng, 0.3, 1.0)
    level = Cosines.gaussian(rng, ground.axes, length, features=FEW)
    here = float(level(ground.places(rng, 1))[0, 0])
    return Rescaled(level, length / 2**0.5, -here * length / 2**0.5)


def patches(rng: np.random.Generator, ground: Ground) -> Mechanism:
    count, axes = round(log_uniform(rng, 3, 30)), ground.axes
    squeezed = np.eye(axes)
    if rng.random() < 0.5:
        heading = ground.headings(rng, 1)[1][0]
        squeezed += log_uniform(rng, 1, 4) * np.outer(heading, heading)
    slopes = rng.uniform(0, 1.5) * rng.standard_normal((count, axes)) * (rng.random() < 0.5)
    seeds, levels = ground.places(rng, count), rng.standard_normal(count)
    cells: Mechanism = Voronoi(seeds, single(squeezed), single(levels), single(slopes))
    if rng.random() < 0.5:
        cells = Warped(cells, _displacement(rng, ground))
    return Sum([cells, Rescaled(_smooth(rng, ground), float(rng.uniform(0, 0.3)))])


def plumes(rng: np.random.Generator, ground: Ground) -> Mechanism:
    count = round(log_uniform(rng, 1, 12))
    places, headings = ground.headings(rng, count)
    height = log_uniforms(rng, 0.3, 1.0, count)
    if rng.random() < 0.5:
        width = log_uniforms(rng, 0.03, 0.2, count)
        length = np.minimum(width * rng.uniform(1, 4, count), 0.4)
        parts: list[Mechanism] = [Blobs(places, headings, single(length), single(width), single(height))]
    else:
        if not ground.axes > 2:  # one wind blows over a plane
            headings = headings[:1] + single(0.15 * rng.standard_normal(headings.shape))
            headings /= np.linalg.norm(headings, axis=-1, keepdims=True)
        width, spread = log_uniforms(rng, 0.015, 0.06, count), rng.uniform(0.05, 0.4, count)
        decay = log_uniforms(rng, 0.2, 2.0, count)
        parts = [Plumes(places, headings, single(width), single(spread), single(decay), single(height))]
    if rng.random() < 0.5:
        weak = Shaped(_smooth(rng, ground), "exponential", 0.5)
        parts.append(Rescaled(weak, float(rng.uniform(0.02, 0.1))))
    return Sum(parts)


def nonstationary(rng: np.random.Generator, ground: Ground) -> Mechanism:
    choice = rng.integers(3)
    if choice == 0:
        return Warped(_gaussian(rng, ground, high=0.5), _displacement(rng, ground))
    if choice == 1:
        growth = Rescaled(_smooth(rng, ground), float(rng.uniform(0.7, 1.5)))
        return Amplified(_gaussian(rng, ground, high=0.5), growth)
    some = ground.scattered(rng)
    short = _standardised(_gaussian(rng, ground, high=0.2), some)
    long = _standardised(_gaussian(rng, ground, low=0.3), some)
    return Blend(_level(rng, ground), log_uniform(rng, 0.05, 0.3), short, long)


def skewed(rng: np.random.Generator, ground: Ground) -> Mechanism:
    g = _standardised(_gaussian(rng, ground, low=0.08, high=1.0), ground.scattered(rng))
    choice = rng.integers(5)
    if choice == 0:
        return Shaped(g, "exponential", float(rng.uniform(0.5, 1.5)))
    if choice == 1:
        return Shaped(g, "rain", float(rng.uniform(0, 1.2)))
    if choice == 2:
        return Shaped(g, "square")
    smooth = _standardised(_smooth(rng, ground, 0.1, 0.6), ground.scattered(rng))
    if choice == 3:
        return Rescaled(Shaped(smooth, "ridges"), float(rng.choice((-1, 1))))
    return Shaped(smooth, "filaments", log_uniform(rng, 0.1, 0.5))


KINDS: dict[str, Callable[[np.random.Generator, Ground], Mechanism]] = {
    "stationary": stationary,
    "trend": trend,
    "waves": waves,
    "fronts": fronts,
    "patches": patches,
    "plumes": plumes,
    "nonstationary": nonstationary,
    "skewed": skewed,
}
