"""A broad prior over fields: what weights for scattered readings of anything are trained on.

Fields of eight kinds (`field_kinds.py`) on planes, cylinders, regions of a sphere and the globe. They are functions of
positions, so that a period and a sphere have no seam, and each has mean 0 and deviation 1 over its domain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.config import Axis
from gridless.data.field_kinds import KINDS, Ground, log_uniform, log_uniforms
from gridless.data.random_fields import Mechanism, Rescaled
from gridless.data.signals import Formula
from gridless.data.waves import SPLITS, place
from gridless.domain import Domain

DOMAINS = {"square": 0.4, "box": 0.2, "cylinder": 0.1, "region": 0.2, "globe": 0.1}
"""Shares of the domains."""
TRIES = 50  # to draw a field that varies
HIGHEST = 15.0  # deviations: a field beyond that is one spike between the places where it was measured


@dataclass(frozen=True, eq=False)
class PriorField(Formula):
    """One field of a kind, in units of its deviation."""

    name: str
    ground: Ground
    mechanism: Mechanism
    group: str | None = None
    """The name of its kind."""
    peak: float = 1.0

    axes = 2
    channels = 1

    @property
    def domain(self) -> Domain | None:
        return self.ground.domain

    def at(self, coords: Float[Tensor, "Q 2"]) -> Float[Tensor, "Q 1"]:
        return torch.from_numpy(self.mechanism(self.ground.positions(coords))).to(coords.dtype)

    def places(self, rng: np.random.Generator, count: int, placement: str = "random") -> Float[Tensor, "N 2"]:
        return place(rng, 1, count, placement)[0]


@dataclass(frozen=True)
class FieldPrior(Sequence[PriorField]):
    """As a sequence, the fixed fields of its split, kind by kind, each on a domain of its own; `draw` gives fresh ones, the
    kinds in equal shares, all on one domain. Raises ValueError for a kind, domain or split that there is not."""

    kinds: tuple[str, ...] = tuple(KINDS)
    split: str = "train"
    each: int = 32
    """Fixed fields of each kind, as a sequence."""
    domains: tuple[str, ...] = tuple(DOMAINS)

    def __post_init__(self):
        for what, names, every in (
            ("kind", self.kinds, KINDS),
            ("domain", self.domains, DOMAINS),
            ("split", (self.split,), SPLITS),
        ):
            if not names:
                raise ValueError(f"expected at least one {what}, got none; there are {', '.join(every)}")
            if unknown := [name for name in names if name not in every]:
                raise ValueError(f"no {what} {unknown[0]!r}; there are {', '.join(every)}")

    def __len__(self) -> int:
        return len(self.kinds) * self.each

    def __getitem__(self, index: int) -> PriorField:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        which, number = divmod(index % len(self), self.each)
        kind = self.kinds[which]
        rng = np.random.default_rng((SPLITS[self.split], list(KINDS).index(kind), number))
        return _field(rng, kind, Ground(_domain(rng, self.domains)), f"{kind}-{number:02d}")

    def draw(self, rng: np.random.Generator, count: int) -> list[PriorField]:
        ground = Ground(_domain(rng, self.domains))
        first, order = int(rng.integers(len(self.kinds))), rng.permutation(count)
        kinds = [self.kinds[(first + i) % len(self.kinds)] for i in order]
        return [_field(rng, kind, ground, kind) for kind in kinds]


def _field(rng: np.random.Generator, kind: str, ground: Ground, name: str) -> PriorField:
    for _ in range(TRIES):
        mechanism = KINDS[kind](rng, ground)
        values = mechanism(ground.scattered(rng)).astype(np.float64)
        mean, deviation = float(values.mean()), float(values.std())
        away = np.abs(values - mean).max()
        if 1e-4 * max(1.0, abs(mean)) < deviation and away < HIGHEST * deviation:
            peak = float(values.max() - values.min()) / deviation
            return PriorField(name, ground, Rescaled(mechanism, 1 / deviation, -mean / deviation), kind, peak)
    raise RuntimeError(f"{TRIES} fields of kind {kind!r} did not vary over {ground.domain}")


def _domain(rng: np.random.Generator, domains: Sequence[str]) -> Domain | None:
    shares = np.array([DOMAINS[name] for name in domains])
    match domains[int(rng.choice(len(domains), p=shares / shares.sum()))]:
        case "square":
            return None
        case "box":
            sides = rng.permutation([1.0, log_uniform(rng, 1 / 3, 1)])
            return Domain.box({"y": (0, float(sides[0])), "x": (0, float(sides[1]))})
        case "cylinder":
            length = float(log_uniform(rng, 0.5, 2))
            axes = (Axis(name="y", start=0.0, length=length), Axis(name="x", start=0.0, length=1.0, period=1.0))
            return Domain(axes=axes if rng.random() < 0.5 else axes[::-1])
        case "region":
            high, wide = log_uniforms(rng, 5, 60, 2)
            south, west = rng.uniform(-80, 80 - high), rng.uniform(-180, 180)
            return Domain.box({"lat": (south, south + high), "lon": (west, west + wide)})
        case _:
            return Domain.globe()
