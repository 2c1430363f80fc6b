"""Answers: a field, or fields over time, on the grid of a template, as a dataset by the rules of CF.

The mean keeps the name of what was measured, its spread is `NAME_standard_error`. Units are those of the readings. Outside
the field's domain the answer is NaN. A template in dask chunks is answered lazily, block by block.
"""

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from gridless.config import Quantity
from gridless.data.labelled import belongings
from gridless.data.optional import optional
from gridless.data.snapshots import FieldSeries
from gridless.data.templates import Places, Template, matched
from gridless.domain import Domain

if TYPE_CHECKING:
    import xarray as xr

    from gridless.data.templates import Like
    from gridless.field import Field

CONVENTIONS = "CF-1.11"
ERROR = "_standard_error"
FILL = np.float32(1e20)
PRECISION = "float32"
TEMPERATURES = (
    "k",
    "kelvin",
    "degc",
    "°c",
    "celsius",
    "degree_c",
    "degree_celsius",
    "degrees_celsius",
    "degf",
    "degree_f",
)
OF_ITS_VALUES = (
    "ancillary_variables", "coordinates", "grid_mapping", "cell_measures", "units", "units_metadata", "_FillValue",
    "missing_value", "scale_factor", "add_offset", "valid_min", "valid_max", "valid_range", "actual_range", "flag_values",
    "flag_meanings", "flag_masks",
)  # fmt: skip
"""Attributes of a template's variable that say nothing of the answer."""


def answered(
    source: "Field | FieldSeries",
    like: "Like",
    *,
    spread: bool = True,
    variable: str | None = None,
    mask: "bool | xr.DataArray" = False,
    chunks: Mapping[str, int] | None = None,
    history: str | None = None,
) -> "xr.Dataset":
    """See `Field.to_xarray`."""
    xarray = optional("xarray", "to_xarray")
    domain = domain_of(source)
    of = quantities_of(source)
    template = Template.of(like, of[0].name, variable)
    places = Places.of(domain, template)
    if isinstance(source, FieldSeries):
        template, time = _with_times(template, source, xarray)
    else:
        time = None
    dims = template.dims((*((time,) if time else ()), *places.dims(template.grid)))
    grid = template.kept(dims)
    block = Block(source, places, dims, time, tuple(q.name for q in of), spread)
    sizes = {dim: grid.sizes.get(dim, 1) for dim in dims}
    lazy = _chunks(template, dims, sizes, chunks)
    if isinstance(source, FieldSeries):
        matched(template.times(), source.times)  # before anything is computed
    if lazy is None:
        _warn_of_outside(domain, places, grid, dims, time, sizes)
        dataset = grid.assign(block.values(grid, sizes))
    else:
        dask = optional("dask.array", "a template in chunks")
        empty = dask.zeros(tuple(sizes.values()), chunks=lazy, dtype=PRECISION)
        hollow = grid.assign({name: (dims, empty) for name in block.outputs})
        dataset = xarray.map_blocks(_answer_block, hollow, kwargs={"answer": _sent(block)}, template=hollow)
    keep = _mask(template, mask)
    if keep is not None:
        dataset = dataset.assign({name: dataset[name].where(keep).transpose(*dims) for name in block.outputs})
    return _described(dataset, template, of, spread, source, history)


@dataclass(frozen=True, eq=False)
class Block:
    """Answers a block of a template: called where the block is, with all that it needs."""

    source: "Field | FieldSeries"
    places: Places
    dims: tuple[str, ...]
    time: str | None
    names: tuple[str, ...]
    spread: bool

    @property
    def outputs(self) -> tuple[str, ...]:
        return (*self.names, *((name + ERROR for name in self.names) if self.spread else ()))

    def __call__(self, block: "xr.Dataset") -> "xr.Dataset":
        return block.assign(self.values(block, {dim: block.sizes[dim] for dim in self.dims}))

    def values(self, grid: "xr.Dataset", sizes: Mapping[str, int]) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """By the names of the outputs: dimensions, and values over them."""
        space = [dim for dim in self.dims if dim != self.time]
        grid = (
            grid
            if all(dim in grid.sizes for dim in space)
            else grid.expand_dims({d: sizes[d] for d in space if d not in grid.sizes})
        )
        at = self.places.coordinates(grid, space)
        if not isinstance(self.source, FieldSeries):
            out = self._at(self.source, at)
        else:
            times = Template(grid, None, False).times()
            index = matched(times, self.source.times)
            out = np.stack([self._at(self.source[int(i)], at) for i in index], 1)
            out = np.moveaxis(out, 1, 1 + self.dims.index(str(self.time)))
        return {name: (self.dims, out[i]) for i, name in enumerate(self.outputs)}

    def _at(self, field: "Field", at: dict[str, np.ndarray]) -> np.ndarray:
        domain = domain_of(field)
        inside = domain.contains(at)
        out = np.full((len(self.outputs), *inside.shape), np.nan, PRECISION)
        asked = {axis: column[inside] for axis, column in at.items()}
        if inside.any():
            parts = field.mean_and_std(asked) if self.spread else (field(asked),)
            columns = [part.detach().cpu().numpy()[:, channel] for part in parts for channel in range(part.shape[-1])]
            for row, column in zip(out, columns, strict=True):
                row[inside] = column
        return out


def _answer_block(block: "xr.Dataset", answer: Any) -> "xr.Dataset":
    return (
        answer(block) if isinstance(answer, Block) else answer.result()(block)
    )  # of a scheduler that knows no futures


def _sent(block: Block) -> Any:
    """On a dask cluster sent to every worker once, not with every task."""
    if "distributed" not in sys.modules:
        return block
    try:
        return sys.modules["distributed"].default_client().scatter(block, broadcast=True, hash=False)
    except ValueError:  # no client
        return block


def domain_of(source: "Field | FieldSeries") -> Domain:
    """Raises ValueError for a field that has none, and for a batch of fields."""
    if isinstance(source, FieldSeries):
        return source.domain
    if source.samples.domain is None:
        raise ValueError(
            "these samples have no domain, so that nobody knows where they lie; make them with domain=…, read_table or read"
        )
    if len(source.samples) != 1:
        raise ValueError(f"this field holds a batch of {len(source.samples)}; encode them one by one, or as Snapshots")
    return source.samples.domain


def quantities_of(source: "Field | FieldSeries") -> tuple[Quantity, ...]:
    """What the channels of the answer are; `value` where nobody said. Names as a file may have them."""
    domain = domain_of(source)
    channels = len(domain.quantities) or 1 if isinstance(source, FieldSeries) else source.channels
    known = domain.quantities if len(domain.quantities) == channels else ()
    if not known:
        known = tuple(Quantity(name="value" if channels == 1 else f"value_{i}") for i in range(channels))
    return tuple(_writable(quantity) for quantity in known)


def _writable(quantity: Quantity) -> Quantity:
    name = re.sub(r"\W+", "_", quantity.name, flags=re.ASCII).strip("_") or "value"
    name = name if name[0].isalpha() else f"value_{name}"
    return (
        quantity
        if name == quantity.name
        else replace(quantity, name=name, long_name=quantity.long_name or quantity.name)
    )


def _with_times(template: Template, source: FieldSeries, xarray: Any) -> tuple[Template, str | None]:
    """A template with an axis of time where one is needed, and its name."""
    if template.time is not None:
        return template, template.time
    coords = template.grid.coords
    others = [
        n
        for n, c in coords.items()
        if "time" in (n, *c.dims) or (not c.ndim and c.attrs.get("standard_name") == "time")
    ]
    about = {"standard_name": "time", "axis": "T"}
    grid = template.grid.drop_vars(others).assign_coords(time=("time", source.times, about))
    variable = template.variable
    variable = None if variable is None else variable.drop_vars(others, errors="ignore").expand_dims("time")
    return Template(grid, variable, template.same), "time"


def _chunks(
    template: Template, dims: Sequence[str], sizes: Mapping[str, int], chunks: Mapping[str, int] | None
) -> tuple[int, ...] | None:
    """The size of a block along each dimension, one for all blocks; None: everything is answered at once."""
    if chunks is not None:
        if strange := sorted(set(chunks) - set(dims)):
            raise ValueError(f"chunks of {', '.join(strange)}, which is no dimension of the answer ({', '.join(dims)})")
        return tuple(min(chunks.get(dim, sizes[dim]), sizes[dim]) for dim in dims)
    blocks = {} if template.variable is None else dict(template.variable.chunksizes)
    if not blocks:
        return None
    return tuple(min(max(blocks.get(dim, (sizes[dim],))), sizes[dim]) for dim in dims)


def _warn_of_outside(
    domain: Domain, places: Places, grid: "xr.Dataset", dims: Sequence[str], time: str | None, sizes: Mapping[str, int]
) -> None:
    space = [dim for dim in dims if dim != time]
    grid = grid.expand_dims({dim: sizes[dim] for dim in space if dim not in grid.sizes})
    inside = domain.contains(places.coordinates(grid, space))
    if not inside.all():
        ranges = ", ".join(f"{a.name} {a.start:.6g} … {a.start + a.length:.6g}" for a in domain.axes)
        warnings.warn(
            f"{int((~inside).sum()):,} of {inside.size:,} places lie outside the field's domain ({ranges}) and are NaN; "
            "give the readings a larger domain to ask there",
            stacklevel=4,
        )


def _mask(template: Template, mask: "bool | xr.DataArray") -> "xr.DataArray | None":
    """Where the answer is kept."""
    if mask is False:
        return None
    if mask is True:
        if template.variable is None:
            raise ValueError(
                "mask=True takes the holes of the template's variable, and it has none; name it: variable=…"
            )
        return template.variable.notnull()
    if not hasattr(mask, "dims"):
        raise ValueError(
            f"mask is {mask!r}; expected True (the template's own holes) or an xarray.DataArray of truth values"
        )
    return mask.astype(bool)


def _described(
    dataset: "xr.Dataset",
    template: Template,
    of: Sequence[Quantity],
    spread: bool,
    source: "Field | FieldSeries",
    history: str | None,
) -> "xr.Dataset":
    """With the attributes and encodings that CF asks for; nothing of the template's packing."""
    mapping, dataset = template.mapping_name, dataset.copy()
    for quantity in of:
        about = _attributes(template, quantity)
        temperature = quantity.unit.lower() in TEMPERATURES
        error = {
            "long_name": f"standard error of {about.get('long_name') or about.get('standard_name') or quantity.name}"
        }
        if "standard_name" in about:
            error["standard_name"] = f"{about['standard_name']} standard_error"
        if quantity.unit:
            error["units"] = quantity.unit
        if temperature:
            about["units_metadata"], error["units_metadata"] = "temperature: on_scale", "temperature: difference"
        if spread:
            about["ancillary_variables"] = quantity.name + ERROR
        for name, attributes in ((quantity.name, about), (quantity.name + ERROR, error)):
            if name in dataset:
                dataset[name].attrs = attributes
                dataset[name].encoding = {"_FillValue": FILL, "dtype": PRECISION}
                if coordinates := _auxiliary(dataset, name):
                    dataset[name].encoding["coordinates"] = " ".join(coordinates)
                if mapping is not None and mapping in dataset.coords:
                    dataset[name].encoding["grid_mapping"] = mapping
    for name in dataset.coords:
        dataset[name].encoding = _coordinate_encoding(dataset[name], set(dataset.variables))
    dataset.attrs = _global_attributes(template, source, history)
    return dataset


def _attributes(template: Template, quantity: Quantity) -> dict[str, Any]:
    said = {
        "standard_name": quantity.standard_name,
        "long_name": quantity.long_name,
        "cell_methods": quantity.cell_methods,
    }
    about: dict[str, Any] = {}
    if template.same and template.variable is not None:
        unit = template.variable.attrs.get("units")
        if unit and not quantity.unit:
            raise ValueError(
                f"the template's {template.variable.name} is in {unit}, the unit of {quantity.name} is not known; give the "
                f"readings theirs, e.g. units={{{quantity.name!r}: {unit!r}}}"
            )
        about = {key: value for key, value in template.variable.attrs.items() if key not in OF_ITS_VALUES}
    about |= {key: value for key, value in said.items() if value}
    return about | ({"units": quantity.unit} if quantity.unit else {})


def _auxiliary(dataset: "xr.Dataset", name: str) -> list[str]:
    """Coordinates of the variable that are no dimension, bounds or mapping: xarray would take a name within another for
    one of bounds."""
    belonging = belongings(c for c in dataset.coords.values())
    over = [
        n for n, c in dataset[name].coords.items() if n not in dataset[name].dims and "grid_mapping_name" not in c.attrs
    ]
    return sorted(str(n) for n in over if n not in belonging)


def _coordinate_encoding(coordinate: "xr.DataArray", names: set) -> dict[str, Any]:
    """Its calendar and what belongs to it, where that is there; no fill value, which CF forbids."""
    before = coordinate.encoding
    kept = {key: before[key] for key in ("bounds", "climatology") if before.get(key) in names}
    kept |= {"_FillValue": None}
    dates, unit = np.issubdtype(coordinate.dtype, np.datetime64), str(before.get("units", ""))
    if dates and (not unit or re.search(r"month|year|[+-]\d\d?:?\d\d$", unit)):
        days = coordinate.values.astype("datetime64[D]") == coordinate.values
        return kept | {
            "units": f"{'days' if days.all() else 'seconds'} since 1970-01-01",
            "calendar": "standard",
            "dtype": "int64",
        }
    if dates or coordinate.dtype == object:
        kept |= {key: before[key] for key in ("units", "calendar", "dtype") if key in before}
    return kept


def _global_attributes(template: Template, source: "Field | FieldSeries", history: str | None) -> dict[str, Any]:
    from gridless import __version__

    model = source.model if isinstance(source, FieldSeries) else source.solved
    about = dict(template.grid.attrs)
    about["Conventions"] = CONVENTIONS
    about.setdefault("title", f"{', '.join(q.name for q in quantities_of(source))} by gridless")
    about["source"] = f"gridless {__version__}, {getattr(model, 'name', type(model).__name__)}"
    line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {history or 'gridless: to_xarray'}"
    about["history"] = f"{about['history']}\n{line}" if about.get("history") else line
    return about
