"""One signal of a pair is seen, the other asked."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from gridless import config
from gridless.bases.interpolation import Interpolation
from gridless.config.frozen import config as frozen
from gridless.data.cropping import padded, pick
from gridless.data.pairs import Pair, pair_of
from gridless.data.signals import GridSignal, Reading, Readings, Signal
from gridless.data.sources import Source
from gridless.protocols import Batch, Case
from gridless.samples import Samples
from gridless.tasks.sparse_field import READINGS


@frozen
class Operator(config.Operator):
    """Of a pair, one signal is seen and the other asked: another quantity, anywhere in the same domain."""

    def draw(
        self,
        signals: Sequence[Signal] | Source,
        rng: np.random.Generator,
        *,
        window: tuple[int, ...],
        batch: int,
        queries: int | None,
    ) -> Batch:
        """Whole signals; `queries` of what is asked (None: all), other ones for each field."""
        count = None if self.sensors is None else round(np.exp(rng.uniform(*np.log(self.sensors))))
        pairs = [pair_of(pick(signals, rng)) for _ in range(batch)]
        pairs = [pair.turned(rng) for pair in pairs] if self.turned else pairs
        samples = Samples.stack([pair.samples(rng, count) for pair in pairs])
        asked = [self._asked(pair, rng, queries) for pair in pairs]
        coords, target, measured = padded(asked)
        cell = torch.full((batch, 1, coords.shape[-1]), 1 / self.size, dtype=coords.dtype)
        return Batch(samples, coords, cell, target, None, measured)

    def _asked(self, pair: Pair, rng: np.random.Generator, queries: int | None) -> Reading:
        """Values that were measured and, of a grid without holes, interpolated ones."""
        reading, grid_asked = pair.question(rng, queries), pair.asked
        count = round(self.between * len(reading.values))
        if not count or not isinstance(grid_asked, GridSignal) or grid_asked.mask is not None:
            return reading
        edge = 0.5 / np.array(grid_asked.shape)  # beyond the outermost samples nothing is known
        places = torch.from_numpy(rng.uniform(edge, 1 - edge, (count, pair.axes))).to(reading.coords.dtype)
        values = Interpolation("bicubic").solve(grid_asked.samples())(places[None])[0]
        return Reading(torch.cat([reading.coords, pair.places(places)]), torch.cat([reading.values, values]))

    def cases(self, signals: Sequence[Signal]) -> Iterator[Case]:
        """Every count of samples that are seen × pair."""
        for count in self.counts or (None,):
            for number, signal in enumerate(signals):
                pair = pair_of(signal)
                seen = pair.samples(np.random.default_rng((READINGS, number, count or 0)), count)
                asked, readings = pair.every(self.size), isinstance(pair.asked, Readings)
                tags = {"sensors": count, "family": pair.group}
                truth = asked.values.numpy()
                yield Case(pair.name, seen, truth, coords=asked.coords, peak=pair.peak, readings=readings, tags=tags)

    def for_validation(self) -> "Operator":
        """Itself: validation asks what testing does."""
        return self
