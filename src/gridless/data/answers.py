"""Answers: a field, or fields over time, on the grid of a template, as a dataset by the rules of CF.

The mean keeps the name of what was measured, its spread is `NAME_standard_error`. Units are those of the readings. Outside
the field's domain the answer is NaN. A template in dask chunks is answered lazily, block by block.
"""

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gridless.data.answer_attributes import ERROR, PRECISION, described, domain_of, quantities_of
from gridless.data.optional import optional
from gridless.data.snapshots import FieldSeries
from gridless.data.templates import Places, Template, matched
from gridless.domain import Domain

if TYPE_CHECKING:
    import xarray as xr

    from gridless.data.templates import Like
    from gridless.field import Field


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
    return described(dataset, template, of, spread, source, history)


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
