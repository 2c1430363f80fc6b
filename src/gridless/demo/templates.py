"""A NetCDF of a visitor as a template: looked at before it is read, since a small file can announce a large array."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gridless.data.archive_writing import write_netcdf
from gridless.data.archives import open_archive
from gridless.data.geometry import is_time, kind_of
from gridless.data.labelled import data_variables
from gridless.data.optional import optional
from gridless.demo.limits import TEMPLATE_CELLS, TEMPLATE_VALUES, check_bytes
from gridless.domain import Domain

if TYPE_CHECKING:
    import xarray as xr

DEGREES = {"latitude": "degrees_north", "longitude": "degrees_east"}


@dataclass(frozen=True, eq=False)
class Template:
    """Two axes of a dataset, on which an answer is asked."""

    name: str
    grid: "xr.Dataset"
    """Its coordinates alone."""
    y: str
    x: str
    quantity: str | None
    """What its variable is called, if it has one."""
    unit: str

    def domain(self) -> Domain:
        """The box of the two axes."""
        units = {}
        for name in (self.y, self.x):
            axis = self.grid[name]
            units[name] = DEGREES.get(kind_of(axis), str(axis.attrs.get("units", "")))
        return Domain.around({name: self.grid[name].values for name in units}, units=units, margin=0.01)


def read_template(path: str | Path) -> Template:
    """The template in a NetCDF file. Raises ValueError, in one line, for a file that is none, has no two axes of places, or
    is larger than this page takes."""
    path = Path(path)
    check_bytes(path)
    if path.suffix.lower() not in (".nc", ".nc4", ".cdf", ".netcdf"):
        raise ValueError(f"{path.name} is no NetCDF file (.nc); a template is a dataset with two axes")
    _check_announced(path)
    with open_archive(path) as dataset:
        y, x = _axes(dataset, path.name)
        cells = dataset.sizes[y] * dataset.sizes[x]
        if cells > TEMPLATE_CELLS:
            raise ValueError(
                f"{path.name} has {dataset.sizes[y]:,} × {dataset.sizes[x]:,} places, this page answers up to "
                f"{TEMPLATE_CELLS:,}; use the command line: `gridless predict sensors FILE --like {path.name}`"
            )
        others = [dim for dim in dataset.dims if dim not in (y, x)]
        flat = dataset.isel({dim: 0 for dim in others}, drop=True)
        named = [name for name in data_variables(flat) if set(flat[name].dims) == {y, x}]
        quantity = str(named[0]) if len(named) == 1 else None
        unit = "" if quantity is None else str(flat[quantity].attrs.get("units", ""))
        grid = flat.drop_vars([name for name in flat.variables if name not in (y, x)]).load()
        return Template(path.name, grid, y, x, quantity, unit)


def regular(domain: Domain, shape: tuple[int, int]) -> "xr.Dataset":
    """Coordinates of the cells of a domain of two axes, as a template."""
    xarray = optional("xarray", "an answer in NetCDF")
    coordinates = {}
    for axis, count in zip(domain.axes, shape, strict=True):
        values = axis.start + axis.length * (np.arange(count) + 0.5) / count
        about = {"units": axis.unit} if axis.unit else {}
        standard = {unit: kind for kind, unit in DEGREES.items()}.get(axis.unit)
        coordinates[axis.name] = (
            axis.name,
            values,
            about if standard is None else {**about, "standard_name": standard},
        )
    return xarray.Dataset(coords=coordinates)


def write_answer(field: Any, grid: "xr.Dataset", path: Path) -> Path:
    """The field's mean and spread on a grid, as NetCDF. Raises ValueError where the two do not fit."""
    write_netcdf(field.to_xarray(grid, history="gridless demo"), path)
    return path


def _check_announced(path: Path) -> None:
    """Raises ValueError for an HDF5 file with an array of more values than are ever read, before one is."""
    h5py = optional("h5py", "NetCDF")
    if not h5py.is_hdf5(path):
        return  # the older format is not compressed: what it announces, it holds
    with h5py.File(path, "r") as file:
        largest = 0

        def look(name: str, item: Any) -> None:
            nonlocal largest
            if isinstance(item, h5py.Dataset) and item.shape is not None:
                largest = max(largest, prod(item.shape) if len(item.shape) > 1 else 100 * prod(item.shape))

        file.visititems(look)
    if largest > TEMPLATE_VALUES:
        raise ValueError(
            f"{path.name} announces {largest:,} values, this page takes {TEMPLATE_VALUES:,}; cut a part out"
        )


def _axes(dataset: "xr.Dataset", name: str) -> tuple[str, str]:
    """Latitude and longitude, or the last two dimensions that have coordinates."""
    own = [str(dim) for dim in dataset.dims if dim in dataset.coords and dataset.sizes[dim] > 1]
    own = [dim for dim in own if not is_time(dataset[dim]) and np.issubdtype(dataset[dim].dtype, np.number)]
    kinds = {kind_of(dataset[dim]): dim for dim in own}
    if "latitude" in kinds and "longitude" in kinds:
        return kinds["latitude"], kinds["longitude"]
    if len(own) < 2:
        sizes = ", ".join(f"{dim} {n}" for dim, n in dataset.sizes.items()) or "no dimensions"
        raise ValueError(f"{name} has no two axes of places ({sizes}); expected coordinates such as lat and lon")
    return own[-2], own[-1]
