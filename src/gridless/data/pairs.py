"""Pairs of signals: what is seen, and another quantity that is asked, such as a coefficient and the solution it has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.coords import grid
from gridless.data.signals import Formula, GridSignal, Reading, Readings, Signal
from gridless.domain import Domain
from gridless.samples import Samples

FORMULA_POINTS = 1024  # asked of a formula where nobody says how many


@dataclass(frozen=True, eq=False)
class Pair(Signal):
    """One field that is seen and one that is asked, over the same domain, each on a grid or at places of its own."""

    name: str
    seen: Signal
    """On a grid, or readings."""
    asked: Signal
    group: str | None = None

    def __post_init__(self):
        if not isinstance(self.seen, GridSignal | Readings):
            kind = type(self.seen).__name__
            raise ValueError(f"{self.name}: what is seen lies on a grid or at points, got {kind}; read it first")
        if self.seen.axes != self.asked.axes:
            raise ValueError(
                f"{self.name}: {self.seen.axes} axes are seen and {self.asked.axes} asked; give both the same"
            )
        domains = [signal.domain for signal in (self.seen, self.asked)]
        if None in domains and domains != [None, None] and not isinstance(self.asked, Formula):
            raise ValueError(
                f"{self.name}: one signal has a domain and the other none; give both their domain, or neither"
            )

    @property
    def axes(self) -> int:
        """Of what is seen."""
        return self.seen.axes

    @property
    def channels(self) -> int:
        """Of what is seen."""
        return self.seen.channels

    @property
    def domain(self) -> Domain | None:
        """Of what is seen."""
        return self.seen.domain

    @property
    def peak(self) -> float:
        """Of what is asked: the range that PSNR is measured against."""
        return self.asked.peak

    def read(self, rng: np.random.Generator, count: int, placement: str = "random") -> Reading:
        """A pair has no readings of its own: raises ValueError."""
        raise ValueError(f"{self.name} is a pair of signals, which task.kind operator reads; give one of the two")

    def turned(self, rng: np.random.Generator) -> "Pair":
        """Both signals with their axes in the same random order. Raises ValueError for axes that are unlike, and for signals
        that lie on no grid."""
        order = [int(axis) for axis in rng.permutation(self.axes)]
        return replace(self, seen=reordered(self.seen, order), asked=reordered(self.asked, order))

    def samples(self, rng: np.random.Generator, count: int | None = None) -> Samples:
        """What is seen: all of it, or `count` random samples of it as points."""
        if count is None and isinstance(self.seen, GridSignal):
            return self.seen.samples()
        if count is None and isinstance(self.seen, Readings):
            return self.seen.points
        count = 1 << 40 if count is None else count
        reading = self.seen.read(rng, count)
        noise = None if reading.noise is None else reading.noise[None]
        return Samples(reading.values[None], coords=reading.coords[None], noise=noise, domain=self.domain)

    def question(self, rng: np.random.Generator, count: int | None) -> Reading:
        """`count` random values of what is asked (None: all; of a formula, FORMULA_POINTS), in the coordinates of what is
        seen."""
        if count is None:
            count = FORMULA_POINTS if isinstance(self.asked, Formula) else 1 << 40
        reading = self.asked.read(rng, count)
        return Reading(self.places(reading.coords), reading.values)

    def every(self, size: int) -> Reading:
        """All that was measured of what is asked, in its order; a formula on a grid of `size` samples along every axis."""
        if isinstance(self.asked, GridSignal):
            known = slice(None) if self.asked.mask is None else torch.from_numpy(self.asked.mask.reshape(-1))
            values = torch.from_numpy(np.ascontiguousarray(self.asked.floats)).flatten(0, -2)
            reading = Reading(grid(*self.asked.shape, dtype=values.dtype)[known], values[known])
        elif isinstance(self.asked, Readings):
            reading = self.asked.measured
        elif isinstance(self.asked, Formula):
            coords = grid(*[size] * self.axes)
            reading = Reading(coords, self.asked.at(coords))
        else:
            reading = self.asked.read(np.random.default_rng(0), 1 << 40)
        return Reading(self.places(reading.coords), reading.values)

    def places(self, coords: Float[Tensor, "Q d"]) -> Float[Tensor, "Q d"]:
        """Coordinates of what is asked as those of what is seen. Raises ValueError for places outside."""
        seen, asked = self.seen.domain, self.asked.domain
        if seen is None or asked is None or seen == asked:
            return coords
        return seen.to_unit(asked.to_user(coords)).to(coords.dtype)


def reordered(signal: Signal, order: Sequence[int]) -> GridSignal:
    """A grid with its axes in another order, which must all be alike."""
    if not isinstance(signal, GridSignal):
        raise ValueError(f"{signal.name} lies on no grid and has no axes to swap; set task.turned to false")
    axes = [(n, None) for n in signal.shape]
    if signal.domain is not None:
        unlike = [replace(axis, name="") for axis in signal.domain.axes]
        axes = list(zip(signal.shape, unlike, strict=True))
    if any(axis != axes[0] for axis in axes):
        raise ValueError(
            f"{signal.name}: its axes {signal.shape} are not alike and cannot be swapped; set task.turned to false"
        )
    mask = None if signal.mask is None else signal.mask.transpose(order)
    return replace(signal, values=signal.values.transpose(*order, signal.axes), mask=mask)


def pair_of(signal: Signal) -> Pair:
    """The signal, which must be a pair."""
    if not isinstance(signal, Pair):
        raise ValueError(
            f"{signal.name} is no pair; task.kind operator takes (seen, asked), one of them for each field"
        )
    return signal


def levels(signals: Sequence[Signal]) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
    """Mean and deviation per channel over all that was measured of these signals."""
    rng = np.random.default_rng(0)
    values = torch.cat(
        [signal.read(rng, 1 << 40 if not isinstance(signal, Formula) else 1024).values for signal in signals]
    )
    return values.double().mean(0), values.double().std(0, correction=0)
