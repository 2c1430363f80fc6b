"""Films: fields at even steps of time, of NetCDF, Zarr or xarray, as one signal whose first axis is time.

Frames that are missing between others, and what is NaN or masked, are holes. Frames are put in the order of their times.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from gridless.config import Axis, FilmData, Quantity
from gridless.data.archive_splits import ends
from gridless.data.archives import open_archive
from gridless.data.arrays import array_signal
from gridless.data.clocks import Clock
from gridless.data.durations import Duration, whole
from gridless.data.geometry import Geometry, is_time
from gridless.data.labelled import is_labelled, quantities, time_axis, variables, with_belongings
from gridless.data.signals import GridSignal
from gridless.data.templates import standard_times
from gridless.domain import TIME, Domain

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class Film:
    """Frames (T *grid C), NaN where nothing was measured; their clock, whose first time is that of the first frame; the
    domain of one frame; the dimension of time; and what was read: a dataset in the order of time, each step of which is the
    frame that `index` says."""

    name: str
    values: Float[np.ndarray, "T *grid C"]
    clock: Clock
    frame_domain: Domain
    dim: str
    dataset: "xr.Dataset"
    index: Int[np.ndarray, " steps"]

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> "Film":
        """Frames `start` … `stop` − 1."""
        clock = replace(self.clock, first=self.clock.at(np.array([start]))[0])
        steps = np.flatnonzero((self.index >= start) & (self.index < stop))
        dataset, index = self.dataset.isel({self.dim: steps}), self.index[steps] - start
        return replace(self, values=self.values[start:stop], clock=clock, dataset=dataset, index=index)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the variables that are its channels."""
        return tuple(quantity.name for quantity in self.frame_domain.quantities)

    @property
    def coordinate(self) -> "xr.DataArray":
        """The times of what was read, with their attributes."""
        on_it = [c for name, c in self.dataset.coords.items() if c.dims == (self.dim,) and "reference" not in str(name)]
        return next(c for c in sorted(on_it, key=lambda c: c.name != self.dim) if is_time(c))

    def signal(self) -> GridSignal:
        """Raises ValueError where nothing was measured."""
        return replace(array_signal(self.values, self.name), domain=self.domain(len(self)))

    def domain(self, frames: int) -> Domain:
        """Of so many frames from the first on, measured or not: (time, *axes of a frame). Time is in datetime64; of another
        calendar, and where steps are months, it is a number since the first frame."""
        clock = self.clock
        if clock.standard:
            since = (clock.first.astype("datetime64[us]").astype(np.int64)) / 1e6
            time = Axis(
                name=str(self.coordinate.name), unit=TIME, start=since - clock.step / 2, length=clock.step * frames
            )
        else:
            time = Axis(name="time", unit=clock.unit, start=-clock.step / 2, length=clock.step * frames)
        frame = self.frame_domain
        sphere = None if frame.sphere is None else (frame.sphere[0] + 1, frame.sphere[1] + 1)
        return replace(frame, axes=(time, *frame.axes), sphere=sphere)


def read_film(
    source: "str | Path | xr.Dataset | xr.DataArray",
    variable: "str | tuple[str, ...] | None" = None,
    every: str | None = None,
    last: int | None = None,
) -> Film:
    """The film in a file of NetCDF or Zarr, or of an xarray object. `variable`: the data variable, or several, which are
    channels then; `every`: only frames so far apart, from the last one back; `last`: only so many, the latest.

    Raises ValueError, naming the file, for one without an axis of time, for uneven steps of time, for two frames of one
    time, and for frames on no even grid; FileNotFoundError where there is no file.
    """
    name = "the film" if is_labelled(source) else str(source)
    item: Any = source if is_labelled(source) else open_archive(Path(source))  # pyright: ignore[reportArgumentType]
    dataset = with_belongings(item, name)
    arrays = variables(dataset, variable, name)
    dataset = dataset.drop_vars([each for each in dataset.data_vars if each not in {array.name for array in arrays}])
    axis = time_axis(arrays[0])
    if axis is None:
        raise ValueError(f"{name}: {arrays[0].name} has no axis of time; a film has frames at several times")
    dim, times = axis[0], standard_times(axis[1])
    if times.dtype != object and np.isnat(times).any():
        raise ValueError(f"{name}: {int(np.isnat(times).sum())} of {len(times)} frames have no time; leave them out")
    order = np.argsort(times, kind="stable")
    clock, index = Clock.of(times[order], name)
    if every is not None:
        clock, index, kept = _thinned(clock, index, Duration.of(every, "every"), name)
        order = order[kept]
    if last is not None:
        kept = index > index[-1] - last
        order, index = order[kept], index[kept]
    clock, index = replace(clock, first=clock.at(index[:1])[0]), index - index[0]
    dataset = dataset.transpose(dim, ...).isel({dim: order})
    arrays = tuple(dataset[array.name] for array in arrays)
    geometry = Geometry.of(arrays[0].isel({dim: 0}))
    if geometry.places is not None:
        uneven = ", ".join(dict.fromkeys(geometry.places))
        raise ValueError(f"{name}: its frames lie on no even grid ({uneven}); interpolate them to one first")
    return Film(name, _frames(arrays, index, geometry), clock, _frame_domain(arrays, geometry), dim, dataset, index)


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
    part = film.part(start, stop)
    return (replace(part, name=f"{part.name} {split}").signal(),) if stop > start else ()


def _thinned(
    clock: Clock, index: Int[np.ndarray, " T"], every: Duration, name: str
) -> tuple[Clock, Int[np.ndarray, " t"], Bool[np.ndarray, " T"]]:
    """The clock of frames `every` so often, counted back from the last, which of its frames there are, and which these are
    of all."""
    steps = clock.frames_in(every, "every")
    if not whole(steps):
        apart = Duration(clock.step, clock.unit)
        raise ValueError(f"every is {every}, the frames of {name} are {apart} apart; give a multiple of that")
    stride = round(steps)
    kept = (index[-1] - index) % stride == 0
    first = int(index[-1]) % stride
    thin = Clock(clock.at(np.array([first]))[0], clock.step * stride, clock.unit)
    return thin, (index[kept] - first) // stride, kept


def _frames(
    arrays: "tuple[xr.DataArray, ...]", index: Int[np.ndarray, " T"], geometry: Geometry
) -> Float[np.ndarray, "T *grid C"]:
    """Read from the disk, each frame at its place, missing ones NaN."""
    sizes = tuple(arrays[0].sizes[dim] for dim in geometry.dims)
    columns = [np.asarray(array.values) for array in arrays]
    kind = np.result_type(*(c.dtype if np.issubdtype(c.dtype, np.floating) else np.float64 for c in columns))
    values = np.full((int(index[-1]) + 1, *sizes, len(columns)), np.nan, kind)
    for channel, column in enumerate(columns):
        values[index, ..., channel] = column.reshape(len(index), *sizes)
    return values


def _frame_domain(arrays: "tuple[xr.DataArray, ...]", geometry: Geometry) -> Domain:
    """Of one frame; without coordinates, its rows and columns are counted."""
    of: tuple[Quantity, ...] = quantities(arrays)
    domain = geometry.domain_of(of)
    if domain is None:
        axes = [Axis(name=dim, start=-0.5, length=float(arrays[0].sizes[dim])) for dim in geometry.dims]
        domain = Domain(axes=tuple(axes), quantities=of)
    return domain
