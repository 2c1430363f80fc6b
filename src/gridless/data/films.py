"""Films: fields at even steps of time, of NetCDF, Zarr or xarray, as one signal whose first axis is time.

Frames that are missing between others, and what is NaN or masked, are holes. Frames are put in the order of their times,
and read when they are asked for.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int

from gridless.config import Axis, FilmData
from gridless.data.archive_splits import ends
from gridless.data.archives import loaded, open_archive
from gridless.data.arrays import array_signal
from gridless.data.clocks import Clock
from gridless.data.durations import Duration, whole
from gridless.data.geometry import Geometry, is_time
from gridless.data.labelled import is_labelled, quantities, time_axis, variables, with_belongings
from gridless.data.room import check_room
from gridless.data.signals import GridSignal
from gridless.data.templates import standard_times
from gridless.domain import TIME, Domain
from gridless.samples import Samples

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class Film:
    """`frames` frames at the times of a clock, whose first is that of the first frame. `dataset`: what there is of them, in
    the order of time along `dim`, each step the frame that `index` says; `coordinate`: the times of all that was read, as
    they are written; `geometry`: where the samples of one frame lie; `names`: the variables that are its channels."""

    name: str
    names: tuple[str, ...]
    dataset: "xr.Dataset"
    dim: str
    coordinate: "xr.DataArray"
    index: Int[np.ndarray, " steps"]
    frames: int
    clock: Clock
    geometry: Geometry

    def __len__(self) -> int:
        return self.frames

    @cached_property
    def values(self) -> Float[np.ndarray, "T *grid C"]:
        """Read from the disk; NaN where nothing was measured, as in frames that are missing."""
        return self._read(np.arange(len(self.index)))

    def part(self, start: int, stop: int, stride: int = 1) -> "Film":
        """Frames `start` … `stop` − 1, or every so many of them from the first on."""
        frames = range(start, stop, stride)
        clock = Clock(self.clock.at(np.array([start]))[0], self.clock.step * stride, self.clock.unit)
        steps = np.flatnonzero((self.index >= start) & (self.index < stop) & ((self.index - start) % stride == 0))
        index = (self.index[steps] - start) // stride
        return replace(self, dataset=self.dataset.isel({self.dim: steps}), index=index, frames=len(frames), clock=clock)

    def thinned(self, stride: int) -> "Film":
        """Every so many frames, counted back from the last."""
        return self.part((len(self) - 1) % stride, len(self), stride)

    def until_the_last_seen(self) -> "Film":
        """Without the frames at its end of which nothing was measured. Raises ValueError where nothing was at all."""
        for step in range(len(self.index) - 1, -1, -1):
            if np.isfinite(self._read(np.array([step]))).all(-1).any():
                return self.part(0, int(self.index[step]) + 1)
        raise ValueError(f"{self.name}: nothing was measured, all {len(self)} frames are masked or NaN")

    def signal(self, name: str | None = None) -> GridSignal:
        """Called as its file, or by `name`. Raises ValueError where nothing was measured."""
        return replace(array_signal(self.values, name or Path(self.name).stem), domain=self.domain(len(self)))

    def samples(self, ahead: int = 0) -> Samples:
        """The film, and `ahead` frames behind it of which nothing was measured: what a forecast is made from."""
        signal = self.signal()
        mask = np.ones(signal.shape, bool) if signal.mask is None else signal.mask
        hole = ((0, ahead), *((0, 0),) * (signal.axes - 1))
        values = torch.from_numpy(np.pad(np.ascontiguousarray(signal.values), (*hole, (0, 0))))
        known = torch.from_numpy(np.pad(mask, hole))
        return Samples.from_grid(values, signal.axes, known, domain=self.domain(len(self) + ahead))

    def domain(self, frames: int) -> Domain:
        """Of so many frames from the first on, measured or not: (time, *axes of a frame). Time is in datetime64; of another
        calendar, and where steps are months, it is a number since the first frame."""
        clock = self.clock
        name, unit, start = "time", str(clock.unit), 0.0
        if clock.standard:
            name, unit = str(self.coordinate.name), TIME
            start = float(clock.first.astype("datetime64[us]").astype(np.int64)) / 1e6
        time = Axis(name=name, unit=unit, start=start - clock.step / 2, length=clock.step * frames)
        arrays = [self.dataset[each] for each in self.names]
        frame = self.geometry.domain_of(quantities(arrays))
        if frame is None:  # rows and columns without coordinates are counted
            axes = [Axis(name=dim, start=-0.5, length=float(self.dataset.sizes[dim])) for dim in self.geometry.dims]
            frame = Domain(axes=tuple(axes), quantities=quantities(arrays))
        sphere = None if frame.sphere is None else (frame.sphere[0] + 1, frame.sphere[1] + 1)
        return replace(frame, axes=(time, *frame.axes), sphere=sphere)

    def _read(self, steps: Int[np.ndarray, " steps"]) -> Float[np.ndarray, "T *grid C"]:
        """The frames from the first of these steps of the dataset to the last."""
        sizes = tuple(self.dataset.sizes[dim] for dim in self.geometry.dims)
        whole_film = len(steps) == len(self.index)
        first, count = (0, self.frames) if whole_film else (int(self.index[steps[0]]), len(steps))
        check_room(prod((count, *sizes, len(self.names))), self.name)
        columns = [loaded(self.dataset[each].isel({self.dim: steps})) for each in self.names]
        kind = np.result_type(*(c.dtype if np.issubdtype(c.dtype, np.floating) else np.float64 for c in columns))
        values = np.full((count, *sizes, len(columns)), np.nan, kind)
        for channel, column in enumerate(columns):
            values[self.index[steps] - first, ..., channel] = column.reshape(len(steps), *sizes)
        return values


def read_film(
    source: "str | Path | xr.Dataset | xr.DataArray",
    variable: "str | tuple[str, ...] | None" = None,
    every: str | None = None,
) -> Film:
    """The film in a file of NetCDF or Zarr, or of an xarray object. `variable`: the data variable, or several, which are
    channels then; `every`: only frames so far apart, from the last one back.

    Raises ValueError, naming the file, for one without an axis of time, for uneven steps of time, for two frames of one
    time, and for frames on no even grid; FileNotFoundError where there is no file.
    """
    name = "the film" if is_labelled(source) else str(source)
    item: Any = source if is_labelled(source) else open_archive(Path(source))  # pyright: ignore[reportArgumentType]
    dataset = with_belongings(item, name)
    names = tuple(str(array.name) for array in variables(dataset, variable, name))
    axis = time_axis(dataset[names[0]])
    if axis is None:
        raise ValueError(f"{name}: {names[0]} has no axis of time; a film has frames at several times")
    dim, times = axis[0], standard_times(axis[1])
    if times.dtype != object and np.isnat(times).any():
        raise ValueError(f"{name}: {int(np.isnat(times).sum())} of {len(times)} frames have no time; leave them out")
    order = np.argsort(times, kind="stable")
    clock, index = Clock.of(times[order], name)
    dataset = dataset.drop_vars([each for each in dataset.data_vars if each not in names])
    dataset = dataset.transpose(dim, ...).isel({dim: order})
    geometry = Geometry.of(dataset[names[0]].isel({dim: 0}))
    if geometry.places is not None:
        uneven = ", ".join(dict.fromkeys(geometry.places))
        raise ValueError(f"{name}: its frames lie on no even grid ({uneven}); interpolate them to one first")
    on_time = [c for key, c in dataset.coords.items() if c.dims == (dim,) and "reference" not in str(key)]
    coordinate = next(c for c in sorted(on_time, key=lambda c: c.name != dim) if is_time(c))
    film = Film(name, names, dataset, dim, coordinate, index, int(index[-1]) + 1, clock, geometry)
    if every is None:
        return film
    steps = clock.frames_in(duration := Duration.of(every, "every"), "every")
    if not whole(steps):
        apart = Duration(clock.step, clock.unit)
        raise ValueError(f"every is {duration}, the frames of {name} are {apart} apart; give a multiple of that")
    return film.thinned(round(steps))


def split_film(data: FilmData, split: str) -> tuple[GridSignal, ...]:
    """The part of a film that is `split` (train, val or test), as one signal; none where it has no frames. Raises ValueError
    for a missing path and for too few frames."""
    if data.path is None:
        raise ValueError("data.kind 'films' needs data.path (--data FILE), a file of NetCDF or Zarr")
    film = read_film(data.path, data.variable, data.every)
    train, val = ends(len(film), data.val, data.test)
    if train < 1:
        raise ValueError(
            f"{data.path} has {len(film)} frames, of which data.val {data.val:g} and data.test {data.test:g} leave none to "
            "learn from; make them smaller"
        )
    start, stop = {"train": (0, train), "val": (train, val), "test": (val, len(film))}[split]
    return (film.part(start, stop).signal(f"{Path(data.path).stem}-{split}"),) if stop > start else ()
