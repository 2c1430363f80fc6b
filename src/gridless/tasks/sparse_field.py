"""A field from scattered readings."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless import config
from gridless.config.frozen import config as frozen
from gridless.coords import grid
from gridless.data.cropping import noisy, padded, pick
from gridless.data.signals import Formula, GridSignal, Reading, Signal
from gridless.data.sources import Source
from gridless.data.waves import PLACEMENTS, place
from gridless.protocols import Batch, Case
from gridless.samples import Samples

FROZEN = 40_000_004  # seed of the places at which the fields of a fixed set are read
READINGS = 50_000_005  # seed of where the sensors of an evaluation stand and what noise they have


@frozen
class SparseField(config.SparseField):
    """A few readings of a field are seen; the field is asked anywhere (a formula), at its other samples (a grid), or at the
    stations that were left out."""

    def draw(
        self,
        signals: Sequence[Signal] | Source,
        rng: np.random.Generator,
        *,
        window: tuple[int, ...],
        batch: int,
        queries: int | None,
    ) -> Batch:
        """Fresh readings and questions; `queries` None asks as many points as the evaluation's grid has, or all that are
        not seen."""
        low, high = self.sensors
        count = round(np.exp(rng.uniform(np.log(low), np.log(high))))
        placement = PLACEMENTS[rng.integers(len(PLACEMENTS))] if self.placement == "any" else self.placement
        noise = np.where(rng.random(batch) < 0.5, rng.uniform(*self.noise, batch), 0)
        chosen = signals.draw(rng, batch) if isinstance(signals, Source) else [pick(signals, rng) for _ in range(batch)]
        formulas = [signal for signal in chosen if isinstance(signal, Formula)]
        if formulas:
            places = torch.stack([self._places(formula, rng, count, placement, queries) for formula in formulas])
            values = type(formulas[0]).batch_at(formulas, places)
            pairs = [Reading(*pair).split(count) for pair in zip(places, values, strict=True)]
        else:
            pairs = [self._pair(signal, rng, count, queries) for signal in chosen]
        growing = rng.random(batch) < self.multiplicative if self.multiplicative else np.zeros(batch, bool)
        seen = [
            noisy(reading, rng, sigma, bool(grows))
            for (reading, _), sigma, grows in zip(pairs, noise, growing, strict=True)
        ]
        samples = [_field(reading, signal) for reading, signal in zip(seen, chosen, strict=True)]
        coords, target, measured = padded([asked for _, asked in pairs])
        cell = torch.full((batch, 1, coords.shape[-1]), 1 / self.size, dtype=coords.dtype)
        return Batch(Samples.stack(samples), coords, cell, target, None, measured)

    def _places(
        self, signal: Formula, rng: np.random.Generator, count: int, placement: str, queries: int | None
    ) -> Float[Tensor, "N d"]:
        """Where a formula is read, and then where it is asked."""
        most = self.size**signal.axes if self.lattice is None else self.lattice**signal.axes - count
        asked = queries or most
        number = getattr(signal, "number", None) if self.frozen else None
        source = rng if number is None else np.random.default_rng((FROZEN, *number))
        if self.lattice is not None or number is not None:
            return place(source, 1, count + asked, "random", self.lattice)[0]
        return torch.cat([signal.places(rng, count, placement), signal.places(rng, asked)])

    def _pair(
        self, signal: Signal, rng: np.random.Generator, count: int, queries: int | None
    ) -> tuple[Reading, Reading]:
        """What is seen and what is asked of one field that was measured at some places."""
        every = signal.read(rng, 1 << 40)
        total = len(every.values)
        if total < 2:
            raise ValueError(f"{signal.name} has {total} readings; a sparse field needs one to see and one to ask")
        seen, asked = every.split(min(count, total - 1))
        return seen, asked if queries is None else asked.split(queries)[0]

    def cases(self, signals: Sequence[Signal]) -> Iterator[Case]:
        """Every count of sensors × noise × field. Where fewer were measured than a count, it is left out."""
        asked = 0
        for noise in self.noises:
            for count in self.counts:
                for number, signal in enumerate(signals):
                    case = self._case(signal, number, count, noise)
                    if case is not None:
                        asked += 1
                        yield case
        if not asked:
            raise ValueError(f"no signal has more than {min(self.counts)} readings; ask with fewer (task.counts)")

    def for_validation(self) -> "SparseField":
        """The middle count of sensors, without noise and with the most of it."""
        middle_count = sorted(self.counts)[(len(self.counts) - 1) // 2]
        return replace(self, counts=(middle_count,), noises=tuple(sorted({min(self.noises), max(self.noises)})))

    def _case(self, signal: Signal, number: int, count: int, noise: float) -> Case | None:
        rng = np.random.default_rng((READINGS, number, count, round(1000 * noise)))
        placement = "random" if self.placement == "any" else self.placement
        tags = {"sensors": count, "noise": noise, "family": signal.group}
        facts = {"peak": signal.peak, "tags": tags}
        if isinstance(signal, Formula):
            seen, shape = signal.read(rng, count, placement), (self.size,) * signal.axes
            truth = signal.at(grid(*shape)).numpy().reshape(*shape, -1)
            return Case(signal.name, _field(noisy(seen, rng, noise), signal), truth, shape, **facts)
        every = signal.read(rng, 1 << 40)
        if len(every.values) <= count:
            return None
        seen, rest = every.split(count)
        samples = _field(noisy(seen, rng, noise), signal)
        readings = not isinstance(signal, GridSignal)
        return Case(signal.name, samples, rest.values.numpy(), coords=rest.coords, readings=readings, **facts)


def _field(reading: Reading, signal: Signal) -> Samples:
    noise = None if reading.noise is None else reading.noise[None]
    return Samples(reading.values[None], coords=reading.coords[None], noise=noise, domain=signal.domain)
