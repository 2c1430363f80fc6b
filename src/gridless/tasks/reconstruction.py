"""A grid is seen, the same grid asked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
import torch
from torch import Tensor

from gridless import config
from gridless.bases.interpolation import Interpolation
from gridless.config.frozen import config as frozen
from gridless.data.cropping import even_crops, grid_signal, middle, pick, random_crop
from gridless.data.grid_questions import asked_cells, batch_of, grid_case
from gridless.data.signals import Signal
from gridless.data.sources import Source
from gridless.protocols import Batch, Case
from gridless.tasks.super_resolution import VALIDATED_SIDE


@frozen
class Reconstruction(config.Reconstruction):
    """A grid is seen, the same grid is asked."""

    def draw(
        self,
        signals: Sequence[Signal] | Source,
        rng: np.random.Generator,
        *,
        window: tuple[int, ...],
        batch: int,
        queries: int | None,
    ) -> Batch:
        """Random crops of the window's size; with a `queries` of None all of their samples are asked."""
        every, parts = np.arange(int(np.prod(window))), []
        if queries is not None and queries > len(every):
            raise ValueError(f"train.queries {queries} are more than the {len(every)} samples of a window {window}")
        for _ in range(batch):
            signal = grid_signal(pick(signals, rng, window), len(window))
            crop = random_crop(signal, window, rng)
            crop = crop if self.turned is False else crop.turned(rng, bool(self.turned))
            index = every if queries is None else rng.choice(every, queries, replace=False)
            parts.append((crop, *asked_cells(crop, index, window)))
        drawn = batch_of(parts)
        samples, coords, target, latents_at = drawn.samples, drawn.coords, drawn.target, None
        if self.jitter:
            moved = ceil(self.jitter_share * batch)
            coords = torch.cat([_shifted(coords[:moved], self.jitter, rng), coords[moved:]])
        if self.offset:
            latents_at, coords = coords, _shifted(coords, self.offset, rng)
        if (self.jitter or self.offset) and self.resampled:
            target = Interpolation("bicubic", fill=True).solve(samples)(coords)
        return Batch(samples, coords, drawn.cell, target, latents_at, drawn.measured)

    def cases(self, signals: Sequence[Signal]) -> Iterator[Case]:
        """Each signal whole, or its crops of the side that is seen."""
        for signal in signals:
            signal = middle(grid_signal(signal), self.largest)
            crops = [signal] if self.seen is None else even_crops(signal, (self.seen,) * signal.axes)
            for crop in crops:
                yield grid_case(crop.name, crop.samples(), crop, {"scale": 1.0})

    def for_validation(self) -> "Reconstruction":
        """The same of a crop from the middle."""
        return replace(self, largest=VALIDATED_SIDE if self.seen is None else None)


def _shifted(coords: Tensor, std: float, rng: np.random.Generator) -> Tensor:
    return (coords + torch.from_numpy(rng.normal(0, std, coords.shape)).to(coords.dtype)).clamp(0, 1)
