"""A coarse grid is seen, the fine one asked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import floor
from typing import Any

import numpy as np

from gridless import config
from gridless.config import Uniform
from gridless.config.frozen import config as frozen
from gridless.data.cropping import even_crops, grid_signal, middle, pick, random_crop, stacked
from gridless.data.grid_questions import asked_cells, batch_of, grid_case
from gridless.data.signals import GridSignal, Signal
from gridless.data.sources import Source
from gridless.protocols import Batch, Case

VALIDATED_SIDE = 192  # samples along an axis that a validation takes of a larger signal


@frozen
class SuperResolution(config.SuperResolution):
    """A coarse grid is seen, the fine one asked. Pictures are made smaller by Pillow's bicubic, in 8 bits; other data by the
    same kernel on floats."""

    def draw(
        self,
        signals: Sequence[Signal] | Source,
        rng: np.random.Generator,
        *,
        window: tuple[int, ...],
        batch: int,
        queries: int | None,
    ) -> Batch:
        """Random crops; with a `queries` of None as many points as are seen."""
        spans = self._spans(len(window))
        count, parts = queries or int(np.prod(window)), []
        for _ in range(batch):
            least = [n * span.low for n, span in zip(window, spans, strict=True)]
            signal = grid_signal(pick(signals, rng, least, self.slices), len(window))
            factors = _factors(spans, rng)
            sides = [
                _fine(n, factor, nodes, most)
                for n, factor, nodes, most in zip(window, factors, signal.nodes, signal.shape, strict=True)
            ]
            crop = random_crop(signal, sides, rng)
            crop = crop if self.turned is False else crop.turned(rng, bool(self.turned))
            crop = crop.recoloured(rng) if self.recolour else crop
            seen = crop.reduced(window, self.profile) if tuple(sides) != tuple(window) else crop
            index = rng.integers(int(np.prod(sides)), size=count)
            parts.append((seen, *asked_cells(crop, index, window)))
        return batch_of(parts)

    def cases(self, signals: Sequence[Signal]) -> Iterator[Case]:
        """Each scale: the signal cropped to round(⌊n/s⌋·s), and its reduction to ⌊n/s⌋."""
        for signal in signals:
            signal = middle(stacked(grid_signal(signal)) if self.slices else grid_signal(signal), self.largest)
            for scale in self._asked_scales(signal.axes):
                factors = self._per_axis(scale, signal.axes)
                if len(factors) != signal.axes:
                    raise ValueError(f"{signal.name} has {signal.axes} axes, task.scales names {len(factors)}")
                for crop, coarse in self._pairs(signal, factors):
                    seen = crop.reduced(coarse, self.profile) if coarse != crop.shape else crop
                    yield grid_case(
                        crop.name, seen.samples(), crop, {"scale": scale_label(factors if self.slices else scale)}
                    )

    def for_validation(self) -> "SuperResolution":
        """The same of a crop from the middle."""
        return replace(self, largest=VALIDATED_SIDE if self.seen is None else None)

    def _pairs(self, signal: GridSignal, factors: Sequence[float]) -> Iterator[tuple[GridSignal, tuple[int, ...]]]:
        """What is asked, and the shape at which it is seen."""
        sizes = list(zip(signal.shape, factors, signal.nodes, strict=True))
        if self.seen is not None:
            coarse = (self.seen,) * signal.axes
            sides = [_fine(self.seen, factor, nodes) for _, factor, nodes in sizes]
            yield from ((crop, coarse) for crop in even_crops(signal, sides))
            return
        # 33 / 1.1 is 29.999… in floats
        coarse = tuple(floor((n - nodes) / factor + 1e-9) + nodes for n, factor, nodes in sizes)
        if min(coarse) < 1:
            raise ValueError(f"{signal.name} {signal.shape} is too small for ×{scale_label(tuple(factors))}")
        sides = [_fine(n, factor, nodes) for n, (_, factor, nodes) in zip(coarse, sizes, strict=True)]
        yield signal.crop((0,) * signal.axes, sides), coarse

    def _spans(self, axes: int) -> list[Uniform]:
        factors = self._per_axis(self.scale, axes)
        if len(factors) != axes:
            raise ValueError(f"task.scale names {len(factors)} axes, the signals have {axes}")
        return [f if isinstance(f, Uniform) else Uniform(f, f) for f in factors]

    def _per_axis(self, scale: Any, axes: int) -> tuple:
        """A factor for every axis; one number is that of all, of slices that of the last."""
        if isinstance(scale, tuple):
            return scale
        return (*[1.0] * (axes - 1), scale) if self.slices else (scale,) * axes

    def _asked_scales(self, axes: int) -> list[float | tuple[float, ...]]:
        if self.scales is not None:
            return list(self.scales)
        per_axis = isinstance(self.scale, tuple) or self.slices
        spans = self._spans(axes)
        highest = max(span.high for span in spans)
        if all(span.low == span.high for span in spans):
            return [tuple(span.low for span in spans) if per_axis else highest]
        whole = range(2, floor(highest) + 1) or (highest,)
        if not per_axis:
            return [float(n) for n in whole]
        return [tuple(s.low if s.low == s.high else min(float(n), s.high) for s in spans) for n in whole]


def scale_label(scale: float | tuple[float, ...]) -> float | str:
    """A scale as results have it: a number, or one per axis."""
    if not isinstance(scale, tuple):
        return float(scale)
    return float(scale[0]) if len(set(scale)) == 1 else "×".join(f"{s:g}" for s in scale)


def _fine(coarse: int, factor: float, nodes: bool, most: int | None = None) -> int:
    """Samples of the fine grid that `coarse` ones stand for."""
    side = round((coarse - 1) * factor) + 1 if nodes else round(coarse * factor)
    return side if most is None else min(side, most)


def _factors(spans: Sequence[Uniform], rng: np.random.Generator) -> list[float]:
    """One draw for all axes that share a range, one for each other."""
    drawn = {}
    return [drawn.setdefault((s.low, s.high), rng.uniform(s.low, s.high)) for s in spans]
