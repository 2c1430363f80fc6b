"""What is seen and what is asked. Training draws from a task; evaluation lists its cases.

The options of every task are declared in `config/tasks.py`; these classes are the same with what they do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from math import ceil, floor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless import config
from gridless.bases.interpolation import Interpolation
from gridless.config import Uniform
from gridless.config.frozen import config as frozen
from gridless.coords import grid
from gridless.data.cropping import even_crops, grid_signal, middle, noisy, padded, pick, random_crop, stacked
from gridless.data.grid_questions import asked_cells, batch_of, grid_case
from gridless.data.pairs import Pair, pair_of
from gridless.data.signals import Formula, GridSignal, Reading, Readings, Signal
from gridless.data.sources import Source
from gridless.data.waves import PLACEMENTS, place
from gridless.protocols import Batch, Case, Task
from gridless.samples import Samples

FROZEN = 40_000_004  # seed of the places at which the fields of a fixed set are read
VALIDATED_SIDE = 192  # samples along an axis that a validation takes of a larger signal
READINGS = 50_000_005  # seed of where the sensors of an evaluation stand and what noise they have


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
        for signal in signals:
            signal = middle(grid_signal(signal), self.largest)
            crops = [signal] if self.seen is None else even_crops(signal, (self.seen,) * signal.axes)
            for crop in crops:
                yield grid_case(crop.name, crop.samples(), crop, {"scale": 1.0})

    def for_validation(self) -> "Reconstruction":
        return replace(self, largest=VALIDATED_SIDE if self.seen is None else None)


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
        return self


TASKS = {kind.__bases__[0]: kind for kind in (SuperResolution, Reconstruction, SparseField, Operator)}


def task_of(options: config.Task) -> Task:
    """The task with these options."""
    return TASKS[type(options)](**{f.name: getattr(options, f.name) for f in fields(options)})


def scale_label(scale: float | tuple[float, ...]) -> float | str:
    """A scale as results have it: a number, or one per axis."""
    if not isinstance(scale, tuple):
        return float(scale)
    return float(scale[0]) if len(set(scale)) == 1 else "×".join(f"{s:g}" for s in scale)


def _field(reading: Reading, signal: Signal) -> Samples:
    noise = None if reading.noise is None else reading.noise[None]
    return Samples(reading.values[None], coords=reading.coords[None], noise=noise, domain=signal.domain)


def _fine(coarse: int, factor: float, nodes: bool, most: int | None = None) -> int:
    """Samples of the fine grid that `coarse` ones stand for."""
    side = round((coarse - 1) * factor) + 1 if nodes else round(coarse * factor)
    return side if most is None else min(side, most)


def _factors(spans: Sequence[Uniform], rng: np.random.Generator) -> list[float]:
    """One draw for all axes that share a range, one for each other."""
    drawn = {}
    return [drawn.setdefault((s.low, s.high), rng.uniform(s.low, s.high)) for s in spans]


def _shifted(coords: Tensor, std: float, rng: np.random.Generator) -> Tensor:
    return (coords + torch.from_numpy(rng.normal(0, std, coords.shape)).to(coords.dtype)).clamp(0, 1)
