"""Forecasts as files: a film, and the field of its seen frames with a hole behind them, as a dataset by the rules of CF.

The frames of an answer are moments after the last seen one. Beside their times stand when the forecast starts
(`forecast_reference_time`) and how far each lies ahead (`forecast_period`).
"""

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gridless.data.answer_attributes import coordinate_encoding
from gridless.data.answers import answered
from gridless.data.clocks import seconds_between
from gridless.data.films import Film
from gridless.data.geometry import is_time
from gridless.data.optional import optional
from gridless.data.templates import standard_times

if TYPE_CHECKING:
    import xarray as xr

    from gridless.field import Field

REFERENCE, PERIOD = "forecast_reference_time", "forecast_period"
AT_ONCE = 1 << 25  # values of an answer that is made in memory; beyond, it is written time by time
PERIODS = {86400.0: "days", 3600.0: "hours", 60.0: "minutes", 1.0: "s"}


def forecast_dataset(
    field: "Field",
    film: Film,
    frames: Float[np.ndarray, " n"],
    *,
    fill: bool = False,
    spread: bool = True,
    history: str | None = None,
) -> "xr.Dataset":
    """What the field of a film and a hole behind it (`Film.samples`) answers at the moments that lie `frames` after the
    film's last: the mean and, with `spread`, its standard error, on the film's grid with all that belongs to it. Where no
    frame of the film was measured the answer is NaN, unless `fill`."""
    xarray = optional("xarray", "a forecast")
    dates = film.clock.at(len(film) - 1 + frames)
    like, counted = _template(film, frames, dates, xarray)
    dims = tuple(str(dim) for dim in film.dataset[film.names[0]].dims if dim != film.dim)
    seen = np.isfinite(film.values).all(-1).any(0)
    shape = tuple(film.dataset.sizes[dim] for dim in dims)
    keep: Any = False if fill or seen.all() else xarray.DataArray(seen.reshape(shape), dims=dims)
    size = len(frames) * prod(shape)
    chunks = None if size <= AT_ONCE else {counted: max(1, AT_ONCE * len(frames) // size)}
    dataset = answered(field, like, spread=spread, mask=keep, chunks=chunks, history=history)
    bare = [dim for dim in dims if dim not in film.dataset.coords]
    return _dated(dataset.drop_vars(bare), film, frames, dates, counted)


def _template(film: Film, frames: np.ndarray, dates: np.ndarray, xarray: Any) -> tuple["xr.Dataset", str]:
    """The coordinates of the answer, and the name of its axis of time, along which they are as the field counts them."""
    counted = film.domain(len(film)).axes[0].name
    grid = film.dataset.isel({film.dim: [-1] * len(frames)})
    over_time = [name for name, c in grid.coords.items() if film.dim in c.dims]
    ends = [name for name, c in grid.coords.items() if c.attrs.get("standard_name") in (REFERENCE, PERIOD)]
    grid = grid.drop_vars(dict.fromkeys([*over_time, *ends, *({counted, REFERENCE, PERIOD} & set(grid.variables))]))
    grid = grid.rename_dims({film.dim: counted}) if film.dim != counted else grid
    moments = dates if film.clock.standard else (len(film) - 1 + frames) * film.clock.step
    start = film.clock.at(np.array([len(film) - 1]))[0]
    ahead = seconds_between(start, dates)
    size = next(size for size in PERIODS if size <= ahead.min() or size == 1)
    period = {"standard_name": PERIOD, "long_name": "time since the forecast's last seen frame", "units": PERIODS[size]}
    grid = grid.assign_coords(
        {
            counted: (counted, moments),
            PERIOD: (counted, ahead / size, period),
            REFERENCE: ((), start, {"standard_name": REFERENCE, "long_name": "time of the last seen frame"}),
            **{
                dim: (dim, np.arange(n, dtype=float))
                for dim, n in grid.sizes.items()
                if dim not in (counted, *grid.coords)
            },
        }
    )
    grid[REFERENCE].encoding = _clock_encoding(film.coordinate, np.asarray([start]), xarray)
    return grid, counted


def _dated(dataset: "xr.Dataset", film: Film, frames: np.ndarray, dates: np.ndarray, counted: str) -> "xr.Dataset":
    """With its times as the film writes them, and their bounds where the film has some."""
    xarray, coordinate = optional("xarray", "a forecast"), film.coordinate
    name = str(coordinate.name)
    if counted != name:
        dataset = dataset.drop_vars(counted).rename_dims({counted: name})
    about = {
        key: value
        for key, value in coordinate.attrs.items()
        if key not in ("bounds", "climatology", "units", "calendar")
    }
    dataset = dataset.assign_coords({name: (name, dates, {"standard_name": "time", "axis": "T"} | about)})
    bounds = str(coordinate.encoding.get("bounds") or coordinate.attrs.get("bounds"))
    last = _last_edges(film, bounds, xarray)
    if last is None:
        dataset[name].encoding = _clock_encoding(coordinate, dates, xarray)
        return dataset
    moved = [[film.clock.shifted(edge, float(k)) for edge in last.values] for k in frames]
    edges = np.array(moved, dtype=dates.dtype)
    dataset = dataset.assign_coords({bounds: ((name, str(last.dims[0])), edges)})
    clock = _clock_encoding(coordinate, np.concatenate([dates, edges.ravel()]), xarray)
    dataset[name].encoding, dataset[bounds].encoding = {**clock, "bounds": bounds}, dict(clock)
    return dataset


def _last_edges(film: Film, bounds: str, xarray: Any) -> "xr.DataArray | None":
    """Where the last frame begins and ends in time, as dates; None of a film that says not."""
    if bounds not in film.dataset.coords or film.dim not in film.dataset[bounds].dims:
        return None
    edges = film.dataset[bounds].isel({film.dim: -1}, drop=True)
    units = film.coordinate.encoding.get("units")
    if np.issubdtype(edges.dtype, np.number) and units:  # counted as their times are
        about = {"units": units, "calendar": film.coordinate.encoding.get("calendar", "standard")}
        edges = edges.copy(
            data=xarray.coders.CFDatetimeCoder().decode(xarray.Variable(edges.dims, edges.values, about))
        )
    return edges.copy(data=standard_times(edges.values)) if is_time(edges) and edges.ndim == 1 else None


def _clock_encoding(coordinate: "xr.DataArray", dates: np.ndarray, xarray: Any) -> Mapping[str, Any]:
    """How the film writes its times; in floats where these moments are no whole number of its unit."""
    like = xarray.DataArray(dates, dims="t", name=coordinate.name, attrs=coordinate.attrs)
    like.encoding = dict(coordinate.encoding)
    usual = {"units": "seconds since 1970-01-01", "calendar": getattr(dates[0], "calendar", "standard")}
    encoding = usual | coordinate_encoding(like, set())
    known = {key: encoding[key] for key in ("units", "calendar")} | {"dtype": "float64"}
    numbers = xarray.coders.CFDatetimeCoder().encode(xarray.Variable("t", dates, encoding=known)).values
    whole = bool((numbers == np.rint(numbers)).all())
    return encoding | {"dtype": "int64" if whole else "float64"}
