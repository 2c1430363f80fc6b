"""Regular grids over a domain, as templates for an answer."""

import re
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from gridless.data.optional import optional
from gridless.data.room import check_room
from gridless.domain import TIME, Domain

if TYPE_CHECKING:
    import xarray as xr

STEP = re.compile(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*([^\d\s]*)\s*")
DEGREES = ("deg", "degree", "degrees", "°")
STANDARD = {"degrees_north": "latitude", "degrees_east": "longitude"}


def regular_grid(domain: Domain, step: str | float) -> "xr.Dataset":
    """A dataset of coordinates at the multiples of `step` inside the domain: a number, or one with its unit (`0.25deg`,
    `500m`). Raises ValueError for another unit than the axes', and for axes of time."""
    xarray = optional("xarray", "a grid")
    match = STEP.fullmatch(str(step))
    if match is None or not float(match[1]) > 0:
        raise ValueError(f"the step of a grid is {step!r}; expected a positive number with a unit, such as 0.25deg")
    size, unit = float(match[1]), match[2]
    coordinates, cells = {}, 1
    for axis in domain.axes:
        if axis.unit == TIME:
            raise ValueError(f"the field has an axis of time, {axis.name}; give a template that says when (like)")
        degrees = axis.unit.startswith("degrees")
        if unit and unit != axis.unit and not (degrees and unit in DEGREES):
            raise ValueError(f"the step of the grid is in {unit!r}, the axis {axis.name} in {axis.unit or 'no unit'!r}")
        low, high = sorted((axis.start, axis.start + axis.length))
        first, last = ceil(low / size - 1e-9), floor(high / size + 1e-9)
        if axis.period is not None and (last - first) * size > axis.period - size / 2:
            last -= 1  # where it begins again
        if last < first:
            raise ValueError(f"no multiple of {size:g} lies in {axis.name} {low:g} … {high:g}; give a smaller step")
        cells *= last - first + 1
        check_room(cells, f"a grid of {step}")
        about = {"units": axis.unit} if axis.unit else {}
        if axis.unit in STANDARD:
            about |= {"standard_name": STANDARD[axis.unit], "axis": "Y" if axis.unit == "degrees_north" else "X"}
        coordinates[axis.name] = (axis.name, size * np.arange(first, last + 1), about)
    return xarray.Dataset(coords=coordinates)
