"""Labelled arrays (xarray) as signals: axes found by CF's attributes, even grids as grids, all others as points.

A grid is even where each dimension has a coordinate of its own in even steps: latitude and longitude, or metres of a
projection. Uneven axes, and grids whose latitude and longitude are two-dimensional, become scattered points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import numpy as np
import torch
from jaxtyping import Float, Shaped

from gridless.config import Quantity
from gridless.data.arrays import array_signal
from gridless.data.projections import attributes_of
from gridless.data.signals import GridSignal, Readings
from gridless.data.snapshots import Snapshots
from gridless.data.stamps import comparable, named
from gridless.domain import LATITUDE, LONGITUDE, Domain
from gridless.samples import Samples

if TYPE_CHECKING:
    import xarray as xr

EVEN = 1e-3  # of a step
INDICES = ("", "1", "none", "count")  # units of a coordinate that only counts
MARGIN = 0.01  # around scattered points, a share of the extent


def is_labelled(item: object) -> "TypeGuard[xr.Dataset | xr.DataArray]":
    """Whether it is an xarray.DataArray or Dataset, without importing xarray."""
    return hasattr(item, "dims") and hasattr(item, "coords") and (hasattr(item, "values") or hasattr(item, "data_vars"))


def read_labelled(
    item: "xr.Dataset | xr.DataArray", variable: str | Sequence[str] | None = None, name: str = "the dataset"
) -> Samples | Snapshots:
    """Samples, or Snapshots of a variable with an axis of time: one field for each step, read when it is asked for.

    `variable`: the data variable, or several, which are channels then; not needed where there is one. Raises ValueError
    for an unknown variable, for dimensions without a coordinate, and where nothing was measured.
    """
    arrays = variables(item, variable, name)
    first = arrays[0]
    time = time_axis(first)
    if time is None:
        return Geometry.of(first).signal(_stacked(arrays), str(first.name or name), quantities(arrays)).samples()
    dim, times = time
    geometry = Geometry.of(first.isel({dim: 0}))
    steps = Steps(tuple(arrays), dim, geometry)
    domain = geometry.domain_of(quantities(arrays))
    if domain is None:
        raise ValueError(
            f"{first.name}: its dimensions {', '.join(map(str, first.dims))} have no coordinates but {dim}"
        )
    return Snapshots(comparable(times), steps, domain)


def labelled_signal(item: "xr.DataArray", name: str) -> GridSignal | Readings:
    """One signal of a labelled array: every dimension an axis, time too; one channel."""
    return Geometry.of(item, keep=True).signal(_stacked([item]), str(item.name or name), quantities([item]))


def variables(
    item: "xr.Dataset | xr.DataArray", variable: str | Sequence[str] | None, name: str = "the dataset"
) -> list["xr.DataArray"]:
    """The data variables that are meant. Raises ValueError, naming those there are."""
    if not hasattr(item, "data_vars"):
        return [item]  # pyright: ignore[reportReturnType]  an array
    fields = data_variables(item)  # pyright: ignore[reportArgumentType]  a dataset
    if variable is None:
        if len(fields) != 1:
            raise ValueError(f"{name} has the variables {', '.join(fields) or '(none)'}; say which, variable=…")
        return [item[fields[0]]]
    wanted = [variable] if isinstance(variable, str) else list(variable)
    if missing := [each for each in wanted if each not in item.variables]:
        raise ValueError(f"{name} has no variable {', '.join(missing)}; it has {', '.join(fields) or '(none)'}")
    arrays = [item[each] for each in wanted]
    if any(array.dims != arrays[0].dims for array in arrays):
        raise ValueError(f"{name}: {', '.join(wanted)} have unlike dimensions; channels share all of them")
    return arrays


def data_variables(item: "xr.Dataset") -> list[str]:
    """The names of what was measured: numbers over dimensions, no bounds and no grid mapping."""
    related = {
        str(bound)
        for each in item.variables.values()
        for bound in (each.attrs.get("bounds"), each.attrs.get("climatology"))
        if bound
    }
    return [
        str(name)
        for name, array in item.data_vars.items()
        if array.ndim and str(name) not in related and np.issubdtype(array.dtype, np.number)
    ]


def time_axis(array: "xr.DataArray") -> tuple[str, Shaped[np.ndarray, " T"]] | None:
    """The dimension of time and its times: datetime64 or dates of another calendar; None where there is none."""
    for dim in map(str, array.dims):
        on_it = [array.coords[dim]] if dim in array.coords else []
        on_it += [
            each
            for name, each in array.coords.items()
            if each.dims == (dim,) and name != dim and "reference" not in str(name)
        ]
        for coordinate in on_it:
            if is_time(coordinate):
                return dim, np.asarray(coordinate.values)
    return None


def is_time(coordinate: "xr.DataArray") -> bool:
    """Whether its values are dates: datetime64, or those of another calendar."""
    if np.issubdtype(coordinate.dtype, np.datetime64):
        return True
    return coordinate.dtype == object and coordinate.size > 0 and hasattr(coordinate.values.flat[0], "calendar")


def kind_of(coordinate: "xr.DataArray") -> str:
    """`latitude`, `longitude`, or nothing: by standard name, units or name, as CF has it."""
    standard, unit = str(coordinate.attrs.get("standard_name", "")), str(coordinate.attrs.get("units", ""))
    name = str(coordinate.name).lower()
    if standard and standard not in ("latitude", "longitude"):
        return ""
    for kind, words in (("latitude", LATITUDE), ("longitude", LONGITUDE)):
        degrees = unit.lower() in (words[-1], words[-1][:-1].replace("degrees", "degree"), *words[-1:])
        if standard == kind or degrees or (not standard and unit in ("", "degrees", "degree") and name in words):
            return kind
    return ""


def quantities(arrays: Sequence["xr.DataArray"]) -> tuple[Quantity, ...]:
    """What the attributes say of the values."""
    keys = {"unit": "units", "standard_name": "standard_name", "long_name": "long_name", "cell_methods": "cell_methods"}
    return tuple(
        Quantity(name=str(array.name or "value"), **{key: str(array.attrs.get(word, "")) for key, word in keys.items()})
        for array in arrays
    )


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the samples of a labelled array lie: cells of an even grid over a domain, or scattered `places`."""

    dims: tuple[str, ...]
    """Axes of the array, without those of one sample."""
    domain: Domain | None
    places: Mapping[str, np.ndarray] | None = None

    @classmethod
    def of(cls, array: "xr.DataArray", keep: bool = False) -> "Geometry":
        """`keep`: also axes of one sample."""
        array = array if keep else array.squeeze(drop=False)
        dims = tuple(map(str, array.dims))
        if not dims:
            raise ValueError(f"{array.name} holds a single number; expected an array with coordinates")
        on_dims = {dim: array.coords[dim] for dim in dims if dim in array.coords}
        sphere = _two_dimensional(array)
        counted = [dim for dim in dims if dim not in on_dims or (sphere and _counts(on_dims[dim]))]
        if counted and sphere:
            return cls._scattered(
                array, dims, [*(d for d in dims if d not in sphere[0].dims), *(str(c.name) for c in sphere)]
            )
        if len(counted) == len(dims):
            return cls(dims, None)
        if counted:
            raise ValueError(
                f"{array.name}: its dimension {counted[0]} has no coordinate; give it one, or latitude and longitude over it"
            )
        for dim, coordinate in on_dims.items():
            if coordinate.dtype == object:
                raise ValueError(
                    f"{array.name}: {dim} holds {type(coordinate.values.flat[0]).__name__}; expected numbers or datetime64 "
                    "along an axis of the field"
                )
        if all(_even(coordinate.values) for coordinate in on_dims.values()):
            domain = Domain.of_grid({d: c.values for d, c in on_dims.items()}, units=_units(on_dims))
            return cls(dims, _mapped(domain, array))
        return cls._scattered(array, dims, dims)

    @classmethod
    def _scattered(cls, array: "xr.DataArray", dims: tuple[str, ...], names: Sequence[str]) -> "Geometry":
        shaped = array.coords.to_dataset().reset_coords()[list(names)].broadcast_like(array).transpose(*dims)
        places = {name: np.asarray(shaped[name].values).reshape(-1) for name in names}
        numbers = {name: column[_known(column)] for name, column in places.items()}
        domain = Domain.around(numbers, units=_units({name: array.coords[name] for name in names}), margin=MARGIN)
        return cls(dims, _mapped(domain, array) if tuple(names) == dims else domain, places)

    def domain_of(self, of: tuple[Quantity, ...]) -> Domain | None:
        return None if self.domain is None else replace(self.domain, quantities=of)

    def signal(
        self, values: Float[np.ndarray, "*dims C"], name: str, of: tuple[Quantity, ...]
    ) -> GridSignal | Readings:
        """The values (their axes of one sample are dropped) as a signal; NaN was not measured."""
        values = values.reshape(
            *(n for n, keep in zip(values.shape[:-1], self._kept(values), strict=True) if keep), values.shape[-1]
        )
        signal, domain = array_signal(values, name), self.domain_of(of)
        if self.places is None or domain is None:
            return replace(signal, domain=domain)
        known = np.logical_and.reduce([_known(column) for column in self.places.values()])
        flat = np.isfinite(values).all(-1).reshape(-1) & known
        if not flat.any():
            raise ValueError(f"{name}: nothing was measured, all {flat.size} samples are masked or NaN")
        places = {axis: column[flat] for axis, column in self.places.items()}
        read = torch.from_numpy(signal.values.reshape(-1, values.shape[-1])[flat])
        return Readings(name, Samples.from_points(places, read, domain=domain))

    def _kept(self, values: np.ndarray) -> list[bool]:
        shape = values.shape[:-1]
        return [True] * len(shape) if len(shape) == len(self.dims) else [n > 1 for n in shape]


@dataclass(frozen=True, eq=False)
class Steps(Sequence["GridSignal | Readings"]):
    """The steps along one dimension, each read when it is asked for."""

    arrays: tuple["xr.DataArray", ...]
    dim: str
    geometry: Geometry

    def __len__(self) -> int:
        return self.arrays[0].sizes[self.dim]

    @cached_property
    def names(self) -> list[str]:
        time = time_axis(self.arrays[0])
        return (
            [str(i) for i in range(len(self))]
            if time is None
            else [named(time[1][i : i + 1]) for i in range(len(self))]
        )

    @overload
    def __getitem__(self, index: int) -> GridSignal | Readings: ...
    @overload
    def __getitem__(self, index: slice) -> "list[GridSignal | Readings]": ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        index = range(len(self))[index]
        step = [array.isel({self.dim: index}) for array in self.arrays]
        return self.geometry.signal(_stacked(step), f"{step[0].name} {self.names[index]}", quantities(self.arrays))


def _stacked(arrays: Sequence["xr.DataArray"]) -> Float[np.ndarray, "*dims C"]:
    """Read from the disk; whole numbers as floats."""
    columns = [np.asarray(array.values) for array in arrays]
    floats = [c if np.issubdtype(c.dtype, np.floating) else c.astype(np.float64) for c in columns]
    return np.stack(floats, -1)


def _two_dimensional(array: "xr.DataArray") -> tuple["xr.DataArray", "xr.DataArray"] | None:
    """Latitude and longitude that both depend on the same several dimensions of the array."""
    found = {}
    for coordinate in array.coords.values():
        if coordinate.ndim > 1 and set(coordinate.dims) <= set(array.dims) and (kind := kind_of(coordinate)):
            found[kind] = coordinate
    return (found["latitude"], found["longitude"]) if len(found) == 2 else None


def _counts(coordinate: "xr.DataArray") -> bool:
    """Whether it is an index, not a place."""
    return (
        str(coordinate.attrs.get("units", "")).lower() in INDICES
        and not is_time(coordinate)
        and not kind_of(coordinate)
    )


def _even(values: np.ndarray) -> bool:
    numbers = values.astype(np.int64) / 1e9 if np.issubdtype(values.dtype, np.datetime64) else values.astype(np.float64)
    steps = np.diff(numbers)
    return len(steps) > 0 and steps.mean() != 0 and np.allclose(steps, steps.mean(), rtol=EVEN, atol=0)


def _known(column: np.ndarray) -> np.ndarray:
    return ~np.isnat(column) if np.issubdtype(column.dtype, np.datetime64) else np.isfinite(column)


def _units(coordinates: Mapping[str, "xr.DataArray"]) -> dict[str, str]:
    names = {"latitude": "degrees_north", "longitude": "degrees_east"}
    given = {name: names.get(kind_of(c), str(c.attrs.get("units", ""))) for name, c in coordinates.items()}
    return {name: "" if "since" in unit else unit for name, unit in given.items()}


def _mapped(domain: Domain, array: "xr.DataArray") -> Domain:
    """With the grid mapping of the array; degrees of a rotated pole are places on a sphere too."""
    name = array.encoding.get("grid_mapping") or array.attrs.get("grid_mapping")
    if name is None or name not in array.coords or domain.sphere is not None:
        return domain
    mapping = attributes_of(array.coords[name].attrs)
    standard = [str(array.coords[axis.name].attrs.get("standard_name", "")) for axis in domain.axes]
    rotated = ("grid_latitude", "grid_longitude")
    if mapping and all(each in standard for each in rotated):
        return replace(domain, mapping=mapping, sphere=tuple(standard.index(each) for each in rotated))
    return replace(domain, mapping=mapping)
