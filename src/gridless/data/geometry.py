"""Where the samples of a labelled array lie: on an even grid, or at scattered points.

A grid is even where each dimension has a coordinate of its own in even steps: latitude and longitude, or metres of a
projection. Uneven axes, and grids whose latitude and longitude are two-dimensional, become scattered points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from gridless.config import Quantity
from gridless.data.arrays import array_signal
from gridless.data.optional import optional
from gridless.data.projections import attributes_of
from gridless.data.signals import GridSignal, Readings
from gridless.domain import LATITUDE, LONGITUDE, Domain
from gridless.samples import Samples

if TYPE_CHECKING:
    import xarray as xr

EVEN = 1e-3  # of a step
INDICES = ("", "1", "none", "count")  # units of a coordinate that only counts
MARGIN = 0.01  # around scattered points, a share of the extent


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
        if all(map(_even, on_dims.values())):
            domain = Domain.of_grid({d: c.values for d, c in on_dims.items()}, units=_units(on_dims))
            return cls(dims, _mapped(domain, array))
        return cls._scattered(array, dims, dims)

    @classmethod
    def _scattered(cls, array: "xr.DataArray", dims: tuple[str, ...], names: Sequence[str]) -> "Geometry":
        sizes = {dim: array.sizes[dim] for dim in dims}
        over = {name: array.coords[name].variable.to_base_variable().set_dims(sizes).transpose(*dims) for name in names}
        places = {name: np.asarray(variable.values).reshape(-1) for name, variable in over.items()}
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


def is_time(coordinate: "xr.DataArray") -> bool:
    """Whether its values are dates: datetime64, or those of another calendar."""
    if np.issubdtype(coordinate.dtype, np.datetime64):
        return True
    return coordinate.dtype == object and coordinate.size > 0 and hasattr(coordinate.values.flat[0], "calendar")


def kind_of(coordinate: "xr.DataArray") -> str:
    """`latitude`, `longitude`, or nothing: by standard name or units, as CF has it, or by name where it has neither."""
    criteria = optional("cf_xarray", "a labelled array").criteria
    standard, unit = str(coordinate.attrs.get("standard_name", "")), str(coordinate.attrs.get("units", ""))
    for kind in ("latitude", "longitude"):
        if standard == kind or (not standard and unit in criteria.coordinate_criteria[kind]["units"]):
            return kind
        if not standard and unit in ("", "degrees", "degree"):
            name = str(coordinate.name).lower()
            if name in (LATITUDE, LONGITUDE)[kind == "longitude"] or criteria.regex[kind].fullmatch(name):
                return kind
    return ""


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


def _even(coordinate: "xr.DataArray") -> bool:
    if np.issubdtype(coordinate.dtype, np.datetime64):
        numbers = coordinate.values.astype("datetime64[ns]").astype(np.int64) / 1e9
    else:
        numbers = coordinate.values.astype(np.float64)
    if kind_of(coordinate) == "longitude":
        numbers = np.unwrap(numbers, period=360)
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
