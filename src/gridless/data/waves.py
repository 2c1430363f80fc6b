"""Waves with a formula: the exact value and gradient at any coordinate, any number of fresh fields, no files.

Six families after the generator of MAMBA-GINR's flow-matching experiments. With P = 2π (y, x), R and Θ the polar
coordinates of P around the middle, and μ_j = q_j·P, every field is

    value = (z + 1) / 2,    z = Σ_j a_j (1 + m_j sin μ_j) sin(k_j·P + φ_j + r_j R + t_j Θ + b_j sin μ_j)

    simple           one plane wave, k ~ U(1, 3)
    multi_frequency  the mean of two or three, k ~ U(0.5, 5), a ~ U(0.3, 1)
    radial           rings, r ~ U(2, 8)
    interference     two waves, k₁ ~ U(2, 6), k₂ = k₁ + U(−1, 1)
    modulated        half amplitude (k ~ U(3, 7), q ~ U(0.5, 2), m ~ U(0.5, 1)), half frequency modulation (b ~ U(1, 3))
    composite        0.4 rings, r ~ U(2, 6) + 0.3 spokes, t ∈ {2 … 5} + 0.3 plane wave, k ~ U(2, 5)

k, q, r count cycles per unit; all k are positive, as there. Values leave [0, 1] for interference and modulated.
Deviations: coordinates are cell centres; noise is added to readings only, never to the truth, in units of the value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from math import ceil, pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.data.signals import Formula
from gridless.samples import mapped

SPLITS = {"train": 10_000_001, "val": 20_000_002, "test": 30_000_003}  # seeds: the splits never share a field
PLACEMENTS = ("random", "grid", "clustered", "tracks")
CLUSTER = 0.08  # standard deviation of a cluster of sensors
TRACKS = (2, 8)  # lines that readings lie on
BEND = 0.35  # standard deviation of how far a curved line leaves its tangent, over the squared distance


@dataclass(frozen=True, eq=False)
class Waves:
    """A batch of fields, each a sum of J terms; the letters are those of the formula above."""

    a: Float[Tensor, "B J"]
    k: Float[Tensor, "B J 2"]
    phi: Float[Tensor, "B J"]
    r: Float[Tensor, "B J"]
    t: Float[Tensor, "B J"]
    m: Float[Tensor, "B J"]
    b: Float[Tensor, "B J"]
    q: Float[Tensor, "B J 2"]

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, index) -> "Waves":
        """Some of the fields, as a batch."""
        index = slice(index, index + 1) if isinstance(index, int) else index
        return mapped(self, lambda t: t[index])

    @staticmethod
    def joined(waves: Sequence["Waves"]) -> "Waves":
        """Batches behind one another; terms that one has fewer of are zero."""
        terms = max(part.a.shape[1] for part in waves)
        letters = {f.name: [getattr(part, f.name) for part in waves] for f in fields(Waves)}
        pad = {name: [_padded(x, terms) for x in parts] for name, parts in letters.items()}
        return Waves(**{name: torch.cat(parts) for name, parts in pad.items()})

    def __call__(self, coords: Float[Tensor, "B Q 2"]) -> Float[Tensor, "B Q 1"]:
        """Values at coordinates (y, x) in [0, 1]."""
        p = self._parts(coords)
        z = (p.a * (1 + p.m * p.mu.sin()) * p.phase.sin()).sum(-1, keepdim=True)
        return (z + 1) / 2

    def gradient(self, coords: Float[Tensor, "B Q 2"]) -> Float[Tensor, "B Q 1 2"]:
        """Derivatives along y and x, per unit. At the very middle rings and spokes have none; there it is finite."""
        p = self._parts(coords)
        sine, cosine = p.mu.sin()[..., None], p.mu.cos()[..., None]
        along = p.k + (p.r[..., None] * p.outward + p.t[..., None] * p.around)
        rise = p.m[..., None] * cosine * p.q * p.phase.sin()[..., None]
        turn = (1 + p.m[..., None] * sine) * p.phase.cos()[..., None] * (along + p.b[..., None] * cosine * p.q)
        return pi * (p.a[..., None] * (rise + turn)).sum(-2)[..., None, :]  # 2π per unit, and the value is (z + 1) / 2

    def _parts(self, coords: Tensor) -> "_Parts":
        """Everything with axes (B Q J) or (B Q J 2)."""
        a, k, phi, r, t, m, b, q = (getattr(self, f.name).to(coords)[:, None] for f in fields(self))
        place = 2 * pi * coords[..., None, :]
        middle = place - pi
        distance = middle.square().sum(-1).clamp(min=1e-24).sqrt()
        outward = middle / distance[..., None]
        around = torch.stack([outward[..., 1], -outward[..., 0]], -1) / distance[..., None]
        mu = (q * place).sum(-1)
        angle = torch.atan2(middle[..., 0], middle[..., 1])
        phase = (k * place).sum(-1) + phi + r * distance + t * angle + b * mu.sin()
        return _Parts(a, k, r, t, m, b, q, mu, phase, outward, around)


def _padded(letter: Tensor, terms: int) -> Tensor:
    missing = terms - letter.shape[1]
    return letter if not missing else torch.cat([letter, letter.new_zeros(len(letter), missing, *letter.shape[2:])], 1)


@dataclass(frozen=True, eq=False)
class _Parts:
    a: Tensor
    k: Tensor
    r: Tensor
    t: Tensor
    m: Tensor
    b: Tensor
    q: Tensor
    mu: Tensor
    phase: Tensor
    outward: Tensor
    around: Tensor


# --- families: uniform numbers (n, NUMBERS) in, the letters of the formula out; what is missing is zero -------------

NUMBERS = 16


def _between(low: float, high: float, u: np.ndarray) -> np.ndarray:
    return low + (high - low) * u


def _turn(u: np.ndarray) -> np.ndarray:
    return 2 * pi * u


def _simple(u: np.ndarray) -> dict[str, np.ndarray]:
    return {"a": np.ones((len(u), 1)), "k": _between(1, 3, u[:, None, :2]), "phi": _turn(u[:, 2:3])}


def _multi_frequency(u: np.ndarray) -> dict[str, np.ndarray]:
    count = 2 + (u[:, :1] < 0.5)
    a = np.where(np.arange(3) < count, _between(0.3, 1, u[:, 1:4]), 0) / count
    return {"a": a, "k": _between(0.5, 5, u[:, 4:10].reshape(-1, 3, 2)), "phi": _turn(u[:, 10:13])}


def _radial(u: np.ndarray) -> dict[str, np.ndarray]:
    return {"a": np.ones((len(u), 1)), "r": _between(2, 8, u[:, :1]), "phi": _turn(u[:, 1:2])}


def _interference(u: np.ndarray) -> dict[str, np.ndarray]:
    first = _between(2, 6, u[:, None, :2])
    k = np.concatenate([first, first + _between(-1, 1, u[:, None, 2:4])], 1)
    return {"a": np.ones((len(u), 2)), "k": k, "phi": _turn(u[:, 4:6])}


def _modulated(u: np.ndarray) -> dict[str, np.ndarray]:
    amplitude = u[:, :1] < 0.5
    carrier, modulator = _between(3, 7, u[:, 1:3]), _between(0.5, 2, u[:, 3:5])
    along_x = np.stack([np.zeros(len(u)), carrier[:, 1]], -1)  # the frequency-modulated carrier runs along x
    return {
        "a": np.ones((len(u), 1)),
        "k": np.where(amplitude, carrier, along_x)[:, None],
        "q": np.where(amplitude, modulator, modulator[:, :1])[:, None],
        "m": np.where(amplitude, _between(0.5, 1, u[:, 5:6]), 0),
        "b": np.where(amplitude, 0, _between(1, 3, u[:, 6:7])),
    }


def _composite(u: np.ndarray) -> dict[str, np.ndarray]:
    none = np.zeros(len(u))
    plane = np.zeros((len(u), 3, 2))
    plane[:, 2] = _between(2, 5, u[:, 2:4])
    return {
        "a": np.broadcast_to([0.4, 0.3, 0.3], (len(u), 3)),
        "r": np.stack([_between(2, 6, u[:, 0]), none, none], -1),
        "t": np.stack([none, np.floor(_between(2, 6, u[:, 1])), none], -1),
        "k": plane,
    }


FAMILIES = {
    "simple": _simple,
    "multi_frequency": _multi_frequency,
    "radial": _radial,
    "interference": _interference,
    "modulated": _modulated,
    "composite": _composite,
}


def fresh(families: Sequence[str], rng: np.random.Generator, count: int) -> Waves:
    """`count` new fields, each of one of the families, all equally likely."""
    return _waves(families, rng.integers(len(families), size=count), rng.random((count, NUMBERS)))


def fixed(family: str, split: str, count: int) -> Waves:
    """The first `count` fields of a split ("train", "val", "test"): the same ones for ever, whatever the count."""
    return _waves([family], np.zeros(count, int), _numbers(family, split, count))


@lru_cache(maxsize=64)
def _numbers(family: str, split: str, count: int) -> np.ndarray:
    """What the first `count` fields of a split are made of."""
    known(family)
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    return np.random.default_rng((SPLITS[split], list(FAMILIES).index(family))).random((count, NUMBERS))


def known(family: str) -> None:
    """Raises ValueError for a family that there is not."""
    if family not in FAMILIES:
        raise ValueError(f"no family {family!r}; there are {', '.join(FAMILIES)}")


def _waves(families: Sequence[str], chosen: np.ndarray, numbers: np.ndarray) -> Waves:
    """Field i is made of `numbers[i]` by the family `families[chosen[i]]`."""
    for family in families:
        known(family)
    parts = [(chosen == i, FAMILIES[name](numbers[chosen == i])) for i, name in enumerate(families)]
    shape = len(chosen), max(letters["a"].shape[1] for _, letters in parts)
    whole = {f.name: np.zeros((*shape, 2) if f.name in "kq" else shape) for f in fields(Waves)}
    for rows, letters in parts:
        for letter, value in letters.items():
            whole[letter][rows, : value.shape[1]] = value
    return Waves(**{letter: torch.from_numpy(value) for letter, value in whole.items()})


@dataclass(frozen=True, eq=False)
class WaveSignal(Formula):
    """One field of a family."""

    name: str
    waves: Waves
    group: str | None = None
    number: tuple[int, int] | None = None
    """Family and number in a fixed set; None: a fresh one."""

    axes = 2
    channels = 1

    def at(self, coords: Float[Tensor, "Q 2"]) -> Float[Tensor, "Q 1"]:
        return self.waves(coords[None])[0].to(coords.dtype)

    def places(self, rng: np.random.Generator, count: int, placement: str = "random") -> Float[Tensor, "N 2"]:
        return place(rng, 1, count, placement)[0]

    @classmethod
    def batch_at(cls, formulas: Sequence["WaveSignal"], coords: Float[Tensor, "B Q 2"]) -> Float[Tensor, "B Q 1"]:
        return Waves.joined([formula.waves for formula in formulas])(coords).to(coords.dtype)


@dataclass(frozen=True)
class WaveSource(Sequence[WaveSignal]):
    """Waves to learn from and to be asked of. As a sequence, the fixed fields of its split, family by family; `draw` gives
    fresh ones, or with `fields` again and again the first so many of the split."""

    families: tuple[str, ...] = ("simple",)
    split: str = "train"
    fields: int | None = None
    each: int = 64
    """Fixed fields of each family, as a sequence."""

    def __post_init__(self):
        for family in self.families:
            known(family)

    def __len__(self) -> int:
        return len(self.families) * (self.fields or self.each)

    def __getitem__(self, index: int) -> WaveSignal:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        number, each = index % len(self), self.fields or self.each
        family = self.families[number // each]
        numbers = _numbers(family, self.split, each)[number % each]
        waves = _waves([family], np.zeros(1, int), numbers[None])
        return WaveSignal(f"{family}-{number % each:02d}", waves, family, (number // each, number % each))

    def draw(self, rng: np.random.Generator, count: int) -> list[WaveSignal]:
        if self.fields is not None:
            return [self[int(rng.integers(len(self)))] for _ in range(count)]
        waves = fresh(self.families, rng, count)
        return [WaveSignal("wave", waves[i]) for i in range(count)]

    def first(self, count: int) -> Waves:
        """The first `count` fields of the split of every family, one family after another; of a fixed set, all of it."""
        count = count if self.fields is None else self.fields
        chosen = np.arange(len(self.families)).repeat(count)
        return _waves(self.families, chosen, np.concatenate([_numbers(f, self.split, count) for f in self.families]))


def place(
    rng: np.random.Generator, batch: int, count: int, placement: str = "random", lattice: int | None = None
) -> Float[Tensor, "B N 2"]:
    """Where `count` sensors stand: `random` anywhere (with `lattice`: on different cell centres of a lattice × lattice
    grid), on an even `grid` with a random offset, `clustered` around a few places, or along a few `tracks`, as ships and
    satellites read."""
    if placement not in PLACEMENTS:
        raise ValueError(f"no placement {placement!r}; there are {', '.join(PLACEMENTS)}")
    match placement:
        case "random" if lattice is not None:
            if count > lattice**2:
                raise ValueError(f"{count} sensors do not fit the {lattice**2} cells of a lattice of {lattice}")
            cells = np.argsort(rng.random((batch, lattice**2)), 1)[:, :count]
            coords = (np.stack([cells // lattice, cells % lattice], -1) + 0.5) / lattice
        case "random":
            coords = rng.random((batch, count, 2))
        case "grid":
            side = ceil(count**0.5)
            chosen = np.linspace(0, side**2 - 1, count).round().astype(int)  # an even thinning where it is no square
            nodes = np.stack([chosen // side, chosen % side], -1)
            coords = (nodes + rng.random((batch, 1, 2))) / side
        case "clustered":
            centres = rng.random((batch, max(1, round(count / 10)), 2))
            member = rng.integers(centres.shape[1], size=(batch, count))
            near = np.take_along_axis(centres, member[..., None], 1) + CLUSTER * rng.standard_normal((batch, count, 2))
            coords = _reflected(near)
        case "tracks":
            coords = np.stack([_reflected(_tracks(rng, count)) for _ in range(batch)])
    return torch.from_numpy(coords.astype(np.float32))


def _reflected(coords: np.ndarray) -> np.ndarray:
    """At the border, as often as it takes."""
    return 1 - np.abs(1 - np.abs(coords) % 2)


def _tracks(rng: np.random.Generator, count: int) -> np.ndarray:
    """Places (count, 2) on straight or gently curved lines through random places, even or random along each."""
    lines = min(int(rng.integers(TRACKS[0], TRACKS[1] + 1)), count)
    line, rank = np.arange(count) % lines, np.arange(count) // lines
    angle, length = 2 * pi * rng.random(lines), rng.uniform(0.6, 1.6, lines)
    middle, bend = rng.random((lines, 2)), BEND * rng.standard_normal(lines) * (rng.random() < 0.5)
    even = (rank + rng.random(lines)[line]) / -(-count // lines)
    share = even if rng.random() < 0.5 else rng.random(count)
    along = (share - 0.5) * length[line]
    heading = np.stack([np.sin(angle), np.cos(angle)], -1)[line]
    across = heading[:, ::-1] * (1, -1)
    return middle[line] + along[:, None] * heading + (bend[line] * along**2)[:, None] * across
