"""Random fields as functions of positions: one small class a mechanism, which combine.

    Cosines      sums of cosines: Gaussian fields by random Fourier features, displacements, plane waves
    Rings        waves around a point          ModulatedWave   a wave whose amplitude or phase another one moves
    WaveFamily   a family of `waves.py`        Polynomial      a level, a slope and a curvature
    Voronoi      cells around seeds            Blobs, Plumes   elongated Gaussians, and what widens from a source
    Sum, Rescaled, Warped, Amplified, Blend, Shaped            made of other fields

Each is called at positions (Q e), float32, and answers (Q k): k is 1 but for Cosines with several weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float

from gridless.data.waves import Waves

FEATURES = 192  # cosines of a smooth Gaussian field
ROUGH = 640  # … of a rough one, whose spectrum has long tails: fewer are seen as a weave
FASTEST = 2000.0  # radians per unit: what float32 positions can tell
DEGREES = (1, 3, 5, 0)  # of freedom of the spectra of Matérn 1/2, 3/2, 5/2; 0: squared exponential, a Gaussian

Positions = Float[np.ndarray, "Q e"]
Values = Float[np.ndarray, "Q k"]
Shape = Literal["exponential", "rain", "square", "ridges", "filaments"]


class Mechanism(Protocol):
    """A function of positions."""

    def __call__(self, p: Positions) -> Values: ...


@dataclass(frozen=True, eq=False)
class Cosines:
    frequency: Float[np.ndarray, "e F"]
    phase: Float[np.ndarray, " F"]
    weight: Float[np.ndarray, "F k"]

    def __call__(self, p: Positions) -> Values:
        return np.cos(p @ self.frequency + self.phase) @ self.weight

    @classmethod
    def gaussian(
        cls,
        rng: np.random.Generator,
        axes: int,
        length: float,
        degrees: int = 0,
        squeeze: float = 1.0,
        outputs: int = 1,
        features: int | None = None,
    ) -> "Cosines":
        """Stationary Gaussian fields of unit variance in `axes` positions. `degrees`: of the spectrum; `squeeze`: how much
        shorter the length is along one random direction; `features`: how many cosines, None: enough."""
        features = features or (ROUGH if degrees else FEATURES)
        frequency = rng.standard_normal((features, axes))
        if degrees:
            frequency *= np.sqrt(degrees / rng.chisquare(degrees, (features, 1)))
        direction = rng.standard_normal(axes)
        direction /= np.linalg.norm(direction)
        frequency += (squeeze - 1) * (frequency @ direction)[:, None] * direction
        frequency = np.clip(frequency / length, -FASTEST, FASTEST)
        weight = rng.standard_normal((features, outputs)) * (2 / features) ** 0.5
        return cls(single(frequency.T), single(2 * pi * rng.random(features)), single(weight))


@dataclass(frozen=True, eq=False)
class Rings:
    """sin(2π k r + φ) exp(−r / decay), r the distance from a point."""

    centre: Float[np.ndarray, " e"]
    cycles: float
    phase: float
    decay: float

    def __call__(self, p: Positions) -> Values:
        r = np.sqrt(np.square(p - self.centre).sum(-1, keepdims=True))
        return np.sin(single(2 * pi * self.cycles) * r + single(self.phase)) * np.exp(r / single(-self.decay))


@dataclass(frozen=True, eq=False)
class ModulatedWave:
    """(1 + m sin μ) sin(k·p + φ + b sin μ), μ = q·p."""

    carrier: Float[np.ndarray, " e"]
    phase: float
    modulator: Float[np.ndarray, " e"]
    amplitude: float
    turn: float

    def __call__(self, p: Positions) -> Values:
        mu = np.sin(p @ self.modulator)
        wave = (1 + single(self.amplitude) * mu) * np.sin(
            p @ self.carrier + single(self.phase) + single(self.turn) * mu
        )
        return wave[:, None]


@dataclass(frozen=True, eq=False)
class WaveFamily:
    """One field of a family of waves; positions are coordinates of the unit square."""

    waves: Waves

    def __call__(self, p: Positions) -> Values:
        return self.waves(torch.from_numpy(p)[None])[0].numpy()


@dataclass(frozen=True, eq=False)
class Polynomial:
    centre: Float[np.ndarray, " e"]
    slope: Float[np.ndarray, " e"]
    curvature: Float[np.ndarray, "e e"]

    def __call__(self, p: Positions) -> Values:
        x = p - self.centre
        return (x @ self.slope + ((x @ self.curvature) * x).sum(-1))[:, None]


@dataclass(frozen=True, eq=False)
class Voronoi:
    """A level and a slope in the cell of each seed, whose distances are measured after a linear map."""

    seeds: Float[np.ndarray, "S e"]
    map: Float[np.ndarray, "e e"]
    level: Float[np.ndarray, " S"]
    slope: Float[np.ndarray, "S e"]

    def __call__(self, p: Positions) -> Values:
        x, seeds = p @ self.map, self.seeds @ self.map
        cell = (np.square(seeds).sum(-1) - 2 * x @ seeds.T).argmin(-1)
        return (self.level[cell] + ((p - self.seeds[cell]) * self.slope[cell]).sum(-1))[:, None]


@dataclass(frozen=True, eq=False)
class Blobs:
    """Gaussians, `length` long along one direction and `width` across."""

    centre: Float[np.ndarray, "S e"]
    direction: Float[np.ndarray, "S e"]
    length: Float[np.ndarray, " S"]
    width: Float[np.ndarray, " S"]
    height: Float[np.ndarray, " S"]

    def __call__(self, p: Positions) -> Values:
        along, across = _along_and_across(p, self.centre, self.direction)
        return (np.exp(-0.5 * (np.square(along / self.length) + across / self.width**2)) @ self.height)[:, None]


@dataclass(frozen=True, eq=False)
class Plumes:
    """Downwind of a source: as wide as `width` there, wider by `spread` per unit, thinner as it widens and decays."""

    source: Float[np.ndarray, "S e"]
    direction: Float[np.ndarray, "S e"]
    width: Float[np.ndarray, " S"]
    spread: Float[np.ndarray, " S"]
    decay: Float[np.ndarray, " S"]
    height: Float[np.ndarray, " S"]

    def __call__(self, p: Positions) -> Values:
        along, across = _along_and_across(p, self.source, self.direction)
        down, up = np.maximum(along, 0), np.minimum(along, 0)
        wide = self.width + self.spread * down
        fade = self.width / wide * np.exp(-down / self.decay - 0.5 * np.square(up / self.width))
        return ((fade * np.exp(-0.5 * across / np.square(wide))) @ self.height)[:, None]


def _along_and_across(p: Positions, centre: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (Q S) from each centre along its direction, and squared ones across."""
    away = p[:, None] - centre
    along = (away * direction).sum(-1)
    return along, np.maximum(np.square(away).sum(-1) - np.square(along), 0)


@dataclass(frozen=True, eq=False)
class Sum:
    parts: Sequence[Mechanism]

    def __call__(self, p: Positions) -> Values:
        return np.add.reduce([part(p) for part in self.parts])


@dataclass(frozen=True, eq=False)
class Rescaled:
    part: Mechanism
    factor: float
    offset: float = 0.0

    def __call__(self, p: Positions) -> Values:
        return single(self.factor) * self.part(p) + single(self.offset)


@dataclass(frozen=True, eq=False)
class Warped:
    """A field of displaced positions."""

    part: Mechanism
    displacement: Mechanism

    def __call__(self, p: Positions) -> Values:
        return self.part(p + self.displacement(p))


@dataclass(frozen=True, eq=False)
class Amplified:
    """A field times the exponential of another."""

    part: Mechanism
    logarithm: Mechanism

    def __call__(self, p: Positions) -> Values:
        return self.part(p) * np.exp(self.logarithm(p))


@dataclass(frozen=True, eq=False)
class Blend:
    """One field where a level is negative, another where it is positive, joined by tanh(level / width)."""

    level: Mechanism
    width: float
    low: Mechanism
    high: Mechanism

    def __call__(self, p: Positions) -> Values:
        share = 0.5 + 0.5 * np.tanh(self.level(p) / single(self.width))
        return (1 - share) * self.low(p) + share * self.high(p)


@dataclass(frozen=True, eq=False)
class Shaped:
    """A skewed function of another field g, with a parameter a: exp(a g), max(g − a, 0), g², |g| or exp(−g²/a²)."""

    part: Mechanism
    shape: Shape
    a: float = 1.0

    def __call__(self, p: Positions) -> Values:
        g, a = self.part(p), single(self.a)
        match self.shape:
            case "exponential":
                return np.exp(a * g)
            case "rain":
                return np.maximum(g - a, 0)
            case "square":
                return np.square(g)
            case "ridges":
                return np.abs(g)
            case "filaments":
                return np.exp(-np.square(g / a))


def single(x) -> np.ndarray:
    """As float32, in which fields are computed."""
    return np.asarray(x, np.float32)
