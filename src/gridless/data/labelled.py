"""Labelled arrays (xarray) as signals, by the rules of CF: variables, their axis of time, what they are called."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import numpy as np
from jaxtyping import Float, Shaped

from gridless.config import Quantity
from gridless.data.archives import decoded, loaded
from gridless.data.geometry import Geometry, is_time
from gridless.data.signals import GridSignal, Readings
from gridless.data.snapshots import Snapshots
from gridless.data.stamps import comparable, named
from gridless.samples import Samples

if TYPE_CHECKING:
    import xarray as xr


BELONGING = ("bounds", "climatology", "grid_mapping", "coordinates", "formula_terms", "cell_measures")
"""Attributes that name variables which belong to others."""


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
    if time is None or set(first.dims) == {time[0]}:  # a series at one place is one field, along time
        geometry = Geometry.of(first)
        return geometry.signal(_stacked(arrays), str(first.name or name), quantities(arrays)).samples()
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
    array = variables(item, None, name)[0]
    return Geometry.of(array, keep=True).signal(_stacked([array]), str(item.name or name), quantities([array]))


def variables(
    item: "xr.Dataset | xr.DataArray", variable: str | Sequence[str] | None, name: str = "the dataset"
) -> list["xr.DataArray"]:
    """The data variables that are meant. Raises ValueError, naming those there are."""
    dataset = with_belongings(item, name)
    fields = data_variables(dataset)
    if variable is None:
        if len(fields) != 1:
            raise ValueError(f"{name} has the variables {', '.join(fields) or '(none)'}; say which, variable=…")
        return [dataset[fields[0]]]
    wanted = [variable] if isinstance(variable, str) else list(variable)
    if missing := [each for each in wanted if each not in dataset.variables]:
        raise ValueError(f"{name} has no variable {', '.join(missing)}; it has {', '.join(fields) or '(none)'}")
    arrays = [dataset[each] for each in wanted]
    if any(array.dims != arrays[0].dims for array in arrays):
        raise ValueError(f"{name}: {', '.join(wanted)} have unlike dimensions; channels share all of them")
    return arrays


def with_belongings(item: "xr.Dataset | xr.DataArray", name: str = "the dataset") -> "xr.Dataset":
    """A dataset whose bounds, grid mappings and auxiliary coordinates are coordinates, and whose times are decoded."""
    given: Any = item
    dataset = given if hasattr(given, "data_vars") else given.to_dataset(name=given.name or "value")
    dataset = dataset.set_coords([each for each in belongings(dataset.variables.values()) if each in dataset.data_vars])
    undecoded = [v for v in dataset.variables.values() if " since " in str(v.attrs.get("units", ""))]
    return decoded(dataset, name) if undecoded else dataset


def belongings(variables: Iterable[Any]) -> set[str]:
    """Names in the attributes that CF gives to what belongs to a variable."""
    texts = [
        where[key] for each in variables for where in (each.attrs, each.encoding) for key in BELONGING if key in where
    ]
    return {word for text in texts for word in words(text)}


def words(text: Any) -> set[str]:
    """The variables that an attribute names: of `area: areacello` the second word."""
    return {word for word in str(text).split() if not word.endswith(":")}


def data_variables(item: "xr.Dataset") -> list[str]:
    """The names of what was measured: numbers over dimensions, no bounds and no grid mapping."""
    return [str(name) for name, array in item.data_vars.items() if array.ndim and np.issubdtype(array.dtype, np.number)]


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


def quantities(arrays: Sequence["xr.DataArray"]) -> tuple[Quantity, ...]:
    """What the attributes say of the values."""
    keys = {"unit": "units", "standard_name": "standard_name", "long_name": "long_name", "cell_methods": "cell_methods"}
    return tuple(
        Quantity(name=str(array.name or "value"), **{key: str(array.attrs.get(word, "")) for key, word in keys.items()})
        for array in arrays
    )


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
    columns = [loaded(array) for array in arrays]
    floats = [c if np.issubdtype(c.dtype, np.floating) else c.astype(np.float64) for c in columns]
    return np.stack(floats, -1)
