"""Templates: a dataset that says where a field is asked, and what the file of its answer looks like.

The axes of a field are found in it by name, as latitude and longitude (also two-dimensional), as time, or through the grid
mapping of either side. What belongs to these coordinates stays: bounds, mappings, scalar coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gridless.data.archives import STANDARD, open_archive
from gridless.data.geometry import is_time, kind_of
from gridless.data.labelled import BELONGING, belongings, data_variables, is_labelled, with_belongings, words
from gridless.data.projections import Attributes, attributes_of, native_axes, projected, unprojected
from gridless.data.stamps import comparable, named
from gridless.domain import TIME, Domain

if TYPE_CHECKING:
    import xarray as xr

    Like = xr.Dataset | xr.DataArray | str | Path

ALONG = 65  # places along an axis that stand for all
MARGIN = 0.01  # of the extent, around readings and a template
NORTHING, EASTING = ("projection_y_coordinate", "grid_latitude"), ("projection_x_coordinate", "grid_longitude")


@dataclass(frozen=True, eq=False)
class Template:
    """Coordinates with all that belongs to them, and the variable among those of the dataset that is meant, if one is."""

    grid: "xr.Dataset"
    variable: "xr.DataArray | None"
    same: bool
    """Whether that variable is the quantity itself, so that its attributes describe the answer."""

    @classmethod
    def of(cls, like: "Like", quantity: str, variable: str | None = None) -> "Template":
        """Raises ValueError for what is no template, and for a `variable` that it does not have."""
        given: Any = open_archive(like) if isinstance(like, str | Path) else like
        if not is_labelled(given):
            raise ValueError(f"like is a {type(like).__name__}; expected an xarray.Dataset, a DataArray or their path")
        dataset = with_belongings(given, "the template")
        names = data_variables(dataset)
        if variable is not None and variable not in names:
            raise ValueError(
                f"the template has no variable {variable!r}; it has {', '.join(names) or 'coordinates alone'}"
            )
        chosen = variable or (quantity if quantity in names else names[0] if len(names) == 1 else None)
        sizes = (dataset if chosen is None else dataset[chosen]).sizes
        if empty := [str(dim) for dim, n in sizes.items() if n == 0]:
            raise ValueError(f"the template has no place along {', '.join(empty)}; expected one at least")
        grid = dataset.drop_vars([name for name in dataset.data_vars])
        same = chosen is not None and chosen in (variable, quantity)
        return cls(grid, None if chosen is None else dataset[chosen], same)

    @cached_property
    def mapping_name(self) -> str | None:
        """The coordinate that holds the grid mapping."""
        named_by = [] if self.variable is None else [self.variable.encoding, self.variable.attrs]
        names = [str(name).split(":")[0] for where in named_by if (name := where.get("grid_mapping"))]
        names += [str(name) for name, each in self.grid.coords.items() if "grid_mapping_name" in each.attrs]
        return next((name for name in names if name in self.grid.coords), None)

    @property
    def mapping(self) -> Attributes:
        return () if self.mapping_name is None else attributes_of(self.grid[self.mapping_name].attrs)

    @cached_property
    def time(self) -> str | None:
        """The dimension of time."""
        for dim in self._dims:
            on_it = [c for name, c in self.grid.coords.items() if c.dims == (dim,) and "reference" not in str(name)]
            if any(is_time(coordinate) for coordinate in on_it):
                return str(dim)
        return None

    def times(self) -> np.ndarray:
        """Along the dimension of time."""
        own = self.grid.coords.get(self.time)
        on_it = [] if own is None else [own]
        on_it += [c for name, c in self.grid.coords.items() if c.dims == (self.time,) and "reference" not in str(name)]
        return standard_times(next(c.values for c in on_it if is_time(c)))

    def dims(self, needed: Sequence[str]) -> tuple[str, ...]:
        """Of the answer: those that are needed and those of one sample, in the template's order. Raises ValueError for
        others, along which the field does not change."""
        if self.variable is None:
            return tuple(needed)
        kept = [dim for dim in self._dims if dim in needed or self.variable.sizes[dim] == 1]
        if strange := [dim for dim in self._dims if dim not in kept]:
            size = self.variable.sizes[strange[0]]
            raise ValueError(
                f"the template has {size} samples along {strange[0]}, which the field does not know; choose one: "
                f"like.isel({strange[0]}=[0])"
            )
        return (*kept, *(dim for dim in needed if dim not in kept))

    @property
    def _dims(self) -> tuple[str, ...]:
        """Dimensions of the variable; of a template of coordinates alone, those of all of them."""
        return tuple(map(str, self.grid.sizes if self.variable is None else self.variable.dims))

    def kept(self, dims: Sequence[str]) -> "xr.Dataset":
        """The coordinates over these dimensions, and what belongs to them; attributes that name what is not there go."""
        inside = {str(n) for n, c in self.grid.coords.items() if set(map(str, c.dims)) <= set(dims)}
        belonging = {each for name in inside for each in belongings([self.grid[name]])}
        grid = self.grid.drop_vars([n for n in self.grid.coords if str(n) not in inside | belonging]).copy()
        for name in grid.coords:
            attributes = grid[name].attrs
            for key in [key for key in BELONGING if key in attributes and words(attributes[key]) - set(grid.variables)]:
                del attributes[key]
        return grid


@dataclass(frozen=True)
class Places:
    """Which coordinates of a template are the axes of a field. Small and plain, to be sent to a worker."""

    names: tuple[tuple[str, str], ...]
    """(axis of the field, coordinate of the template); the last two are (latitude or northing, longitude or easting)."""
    given: Attributes = ()
    """The projection of the template's last two, if they are not in degrees."""
    wanted: Attributes = ()
    """The projection of the field's last two, if the template's are in another or in degrees."""

    @classmethod
    def of(cls, domain: Domain, template: Template) -> "Places":
        """Raises ValueError for an axis that the template does not have."""
        plane = native_axes(domain) if domain.mapping else domain.sphere or ()
        names = [
            (axis.name, _named(axis.name, axis.unit, template)) for i, axis in enumerate(domain.axes) if i not in plane
        ]
        if not plane:
            return cls(tuple(names))
        y, x = (domain.axes[i].name for i in plane)
        native, degrees = _native(template, y, x), _degrees(template)
        if native and template.mapping == domain.mapping and domain.mapping:
            return cls((*names, (y, native[0]), (x, native[1])))
        if degrees:
            return cls((*names, (y, degrees[0]), (x, degrees[1])), wanted=domain.mapping)
        if native and template.mapping:
            return cls((*names, (y, native[0]), (x, native[1])), template.mapping, domain.mapping)
        raise ValueError(
            f"the field lies in {y} and {x}; the template has neither latitude and longitude nor a grid mapping, only "
            f"{_listed(template.grid)}"
        )

    def dims(self, grid: "xr.Dataset") -> tuple[str, ...]:
        """Along which the coordinates change."""
        return tuple(dict.fromkeys(str(dim) for _, name in self.names for dim in grid[name].dims))

    def coordinates(self, grid: "xr.Dataset", dims: Sequence[str]) -> dict[str, np.ndarray]:
        """The coordinates of a block of the template by the field's axes, each over all of `dims`."""
        sizes = {dim: grid.sizes[dim] for dim in dims}
        full = {
            axis: standard_times(grid[name].variable.set_dims(sizes).transpose(*dims).values)
            for axis, name in self.names
        }
        if self.given or self.wanted:
            *_, y, x = full
            if self.given:
                full[y], full[x] = unprojected(self.given, full[x], full[y])
            if self.wanted:
                full[x], full[y] = projected(self.wanted, full[y], full[x])
        return full


def domain_over(domain: Domain, like: "Like") -> Domain:
    """The smallest box, with a margin, around a domain of scattered readings and the places of a template."""
    template = Template.of(like, "")
    places = Places.of(domain, template)
    at = places.coordinates(template.grid, places.dims(template.grid))
    inside = domain.to_user(
        torch.linspace(0, 1, ALONG)[:, None].expand(-1, len(domain.axes))
    )  # which way round the globe
    every = {axis.name: np.concatenate([inside[axis.name], at[axis.name].ravel()]) for axis in domain.axes}
    around = Domain.around(every, units={axis.name: axis.unit for axis in domain.axes}, margin=MARGIN)
    return replace(domain, axes=around.axes, sphere=around.sphere)


def standard_times(values: np.ndarray) -> np.ndarray:
    """Dates of the calendar that everyone uses as datetime64; those of another calendar, and numbers, as they are."""
    if values.dtype != object or not values.size or getattr(values.flat[0], "calendar", None) not in STANDARD:
        return comparable(values)
    return np.array([np.datetime64(date.isoformat(), "us") for date in values.flat]).reshape(values.shape)


def matched(asked: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Where each asked time stands among `times`. Raises ValueError, naming those that do not."""
    if asked.dtype != times.dtype:
        calendars = [getattr(each.flat[0], "calendar", "standard") if each.size else "no" for each in (asked, times)]
        raise ValueError(f"the template counts in the {calendars[0]} calendar, the fields in the {calendars[1]} one")
    where = {time: i for i, time in enumerate(times.tolist() if times.dtype != object else times)}
    if len(where) < len(times):
        raise ValueError(f"two fields of one time, among {named(times)}; a template asks for one of each")
    index = [where.get(time, -1) for time in (asked.tolist() if asked.dtype != object else asked)]
    if strange := [i for i, each in enumerate(index) if each < 0]:
        raise ValueError(
            f"no field of the times {named(asked[strange])}, which the template asks; there are fields of {named(times)}"
        )
    return np.array(index, np.int64)


def _named(axis: str, unit: str, template: Template) -> str:
    coords = template.grid.coords
    if axis in coords:
        return axis
    alike = [
        str(name)
        for name, c in coords.items()
        if unit == TIME and c.ndim == 1 and is_time(c) and "reference" not in str(name)
    ]
    alike += [
        str(n)
        for n, c in coords.items()
        if unit in ("degrees_north", "degrees_east") and kind_of(c) and c.attrs.get("units") == unit
    ]
    if not alike:
        raise ValueError(
            f"the template has no coordinate {axis} ({unit or 'no unit'}); it has {_listed(template.grid)}"
        )
    return alike[0]


def _degrees(template: Template) -> tuple[str, str] | None:
    """Latitude and longitude: those of the variable first, and of one dimension first."""
    of_kind: dict[str, list[str]] = {"latitude": [], "longitude": []}
    for name, coordinate in sorted(template.grid.coords.items(), key=lambda item: item[1].ndim):
        if (kind := kind_of(coordinate)) and (coordinate.ndim or kind):
            of_kind[kind].append(str(name))
    both = [names[0] for names in of_kind.values() if names]
    return (both[0], both[1]) if len(both) == 2 else None


def _native(template: Template, y: str, x: str) -> tuple[str, str] | None:
    """Northing and easting."""
    out = []
    for axis, standard, letter in ((y, NORTHING, "Y"), (x, EASTING, "X")):
        coords = {str(name): c for name, c in template.grid.coords.items() if c.ndim == 1}
        alike = [n for n, c in coords.items() if c.attrs.get("standard_name") in standard]
        alike += [n for n, c in coords.items() if c.attrs.get("axis") == letter and not kind_of(c)]
        alike += [axis] if axis in coords and not kind_of(coords[axis]) else []
        out += alike[:1]
    return (out[0], out[1]) if len(out) == 2 else None


def _listed(grid: "xr.Dataset") -> str:
    names = [
        f"{name} ({c.attrs['units']})" if "units" in c.attrs else str(name) for name, c in grid.coords.items() if c.ndim
    ]
    return ", ".join(names) or "no coordinates"
