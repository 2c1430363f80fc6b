"""Readings of stations or of a grid in; a CF file, a table or a map out."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gridless.bases import Kriging
from gridless.config import Axis
from gridless.data.answer_attributes import ERROR, quantities_of
from gridless.data.answer_tables import answered_table
from gridless.data.answers import answered
from gridless.data.archive_writing import write_netcdf, write_zarr
from gridless.data.archives import open_archive
from gridless.data.kinds import kind_of_file
from gridless.data.projections import attributes_of, projected
from gridless.data.regular_grids import regular_grid
from gridless.data.snapshots import FieldSeries, Snapshots
from gridless.data.sources import read
from gridless.data.tables import read_table
from gridless.data.templates import Template
from gridless.domain import LATITUDE, LONGITUDE, TIME, Domain
from gridless.files import replacing, write_bytes, write_text
from gridless.model import FieldModel
from gridless.reports.maps import draw_map
from gridless.reports.panels import Dots
from gridless.runs.reading_options import ReadingOptions
from gridless.samples import Samples

if TYPE_CHECKING:
    import xarray as xr

KRIGING = "kriging"
"""The name of the model without weights."""
DEGREES = {"degrees_north": LATITUDE, "degrees_east": LONGITUDE}
"""Names of the columns that hold them."""
AT_ONCE = 1 << 25  # values of an answer that is made in memory; beyond, it is written time by time


def model_of(name: str, device: str | torch.device = "cpu") -> Any:
    """What answers: a run folder, a model that ships, a Hub repository, or kriging."""
    if name == KRIGING and not Path(name).exists():
        return Kriging()
    return FieldModel.from_pretrained(name, device)


def predict_readings(model: Any, source: Path, output: Path, options: ReadingOptions, history: str) -> str:
    """Writes what the model answers to the readings in `source`; a line that says what was written.

    The suffix of `output` says what: a dataset (.nc, .zarr), a table (.csv, .parquet) or a map (.png). Raises ValueError
    for readings, templates and outputs that do not fit, before anything is computed where that can be known.
    """
    options.check(output)
    samples = _samples(source, options, getattr(model, "domain", None))
    if isinstance(model, FieldModel) and model.points:
        check_fit(model, samples.samples(0) if isinstance(samples, Snapshots) else samples, source)
    fields = samples.encode(model) if isinstance(samples, Snapshots) else model.encode(samples)
    if options.at is not None:
        return _write_table(fields, options.at, output, options)
    like: Any = (
        grid_of(options.like, fields)
        if options.grid is None
        else regular_grid(domain_of_samples(samples), options.grid)
    )
    picture = output.suffix.lower() == ".png"
    chunks = None if picture else _chunks(fields, like)
    variable = options.variable if kind_of_file(source) == "table" else None
    dataset = answered(
        fields, like, spread=options.spread, variable=variable, mask=options.mask, chunks=chunks, history=history
    )
    name = quantities_of(fields)[0].name
    if picture:
        write_bytes(output, draw_map(dataset, name, _shown(samples, dataset, name)))
    elif kind_of_file(output) == "archive" and output.suffix.lower() == ".zarr":
        write_zarr(dataset, output)
    else:
        write_netcdf(dataset, output)
    sizes = " × ".join(f"{n:,}" for n in dataset[name].shape)
    also = f" and {name}{ERROR}" if name + ERROR in dataset else ""
    return f"{output}: {name}{also}, {sizes} ({', '.join(map(str, dataset[name].dims))})"


def check_fit(model: FieldModel, samples: Samples, source: Path) -> None:
    """Raises ValueError, naming kriging as what answers them, for readings of other axes or channels than a model of points
    takes, or whose positions have more numbers."""
    signal, domain = model.config.signal, samples.domain
    positions = samples.positions(samples.as_points().point_coords).shape[-1]
    takes, came = [_counted(signal.channels, "value"), _counted(signal.axes, "axis", "axes")], []
    if samples.channels != signal.channels:
        came.append(_counted(samples.channels, "value"))
    if samples.axes != signal.axes:
        came.append(
            _counted(samples.axes, "axis", "axes") + ("" if domain is None else f" ({', '.join(domain.names)})")
        )
    if not came and positions > signal.places:
        takes, came = [f"positions of at most {signal.places} numbers"], [f"positions of {positions}"]
    if came:
        raise ValueError(
            f"{model.name} takes {' and '.join(takes)}, {source.name} has {' and '.join(came)}; "
            f"`gridless predict kriging {source} …` answers it"
        )


def _counted(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def domain_of_samples(samples: Samples | Snapshots):
    """Raises ValueError where nobody said where the samples lie."""
    if samples.domain is None:
        raise ValueError("the file says not where its samples lie: it has no coordinates")
    return samples.domain


def _samples(source: Path, options: ReadingOptions, trained: Domain | None) -> Samples | Snapshots:
    if kind_of_file(source) == "archive":
        return read(source, options.variable)
    if not options.value:
        raise ValueError("which column holds the readings? give --value NAME")
    domain = options.like if trained is None else domain_of_columns(trained, options)
    return read_table(
        source,
        options.coords,
        options.value,
        time=options.time,
        noise=options.noise,
        units=options.units_of_columns(),
        tz=options.tz,
        domain=domain,
        fill_values=options.fill_values,
    )


def grid_of(like: Path | None, fields: Any) -> Any:
    """A template with several times, of which readings without a time know none, as its grid alone; and a warning. Any other
    as it is."""
    if like is None or isinstance(fields, FieldSeries):
        return like
    template = Template.of(like, "")
    time, axes = template.time, () if fields.samples.domain is None else fields.samples.domain.axes
    steps = 1 if time is None or time not in template.grid.sizes else template.grid.sizes[time]
    if steps == 1 or any(axis.name == time or axis.unit == TIME for axis in axes):
        return like
    warnings.warn(
        f"{like} has {steps} times and these readings have none: they are answered on its grid, without a time"
    )
    grid = open_archive(like).isel({time: 0}, drop=True)
    grid.encoding.pop("unlimited_dims", None)  # it has none any more
    return grid


def domain_of_columns(trained: Domain, options: ReadingOptions) -> Domain:
    """That of a model which was trained in one, its axes and quantities called as the columns of a table are. Readings whose
    unit nobody says are in the model's. Raises ValueError for columns that are none of its axes, and other units."""
    axes = [replace(axis, name=_column(axis, options.coords)) for axis in trained.axes]
    units, learnt = options.units_of_columns(), trained.quantities
    if len(learnt) != len(options.value):
        return replace(trained, axes=tuple(axes), quantities=())
    quantities = []
    for name, quantity in zip(options.value, learnt, strict=True):
        unit = units.get(name, quantity.unit)
        if unit != quantity.unit:
            raise ValueError(
                f"{name} is in {unit}, this model learnt {quantity.name} in {quantity.unit}; convert it first"
            )
        if unit and name not in units:
            warnings.warn(f"{name} is taken to be in {unit}, as what this model learnt; --units {name}={unit} says so")
        quantities.append(replace(quantity, name=name))
    return replace(trained, axes=tuple(axes), quantities=tuple(quantities))


def _column(axis: Axis, columns: Sequence[str]) -> str:
    """The column that holds an axis: of its name, or latitude and longitude by whatever name."""
    known = DEGREES.get(axis.unit, ())
    alike = [name for name in columns if name == axis.name or name.lower() in known]
    if len(alike) != 1:
        raise ValueError(
            f"this model lies in a domain with the axis {axis.name} ({axis.unit or 'no unit'}), the coordinates are "
            f"{', '.join(columns)}; say which column it is: --coords"
        )
    return alike[0]


def _chunks(fields: Any, like: Any) -> dict[str, int] | None:
    """One block per time where the answer is larger than memory should hold."""
    template, several = Template.of(like, ""), isinstance(fields, FieldSeries)
    sizes = {str(dim): n for dim, n in template.grid.sizes.items() if dim in template.grid.indexes}
    if several and template.time is None:
        sizes = {"time": len(fields)} | sizes
    if not sizes or prod(sizes.values()) <= AT_ONCE:
        return None
    first = (template.time or "time") if several else max(sizes, key=lambda dim: sizes[dim])
    return {first: 1 if several else max(1, AT_ONCE * sizes[first] // prod(sizes.values()))}


def _write_table(fields: Any, places: Path, output: Path, options: ReadingOptions) -> str:
    if isinstance(fields, FieldSeries) and options.time is None:
        raise ValueError("these are fields of several times; give --time, the column of --at that says which")
    time = options.time if isinstance(fields, FieldSeries) else None
    frame = answered_table(fields, places, time=time, tz=options.tz, spread=None if options.spread else False)
    if output.suffix.lower() == ".parquet":
        with replacing(output) as part:
            frame.to_parquet(part)
    else:
        write_text(output, frame.to_csv(index=False))
    return f"{output}: {len(frame):,} rows"


def _shown(samples: Samples | Snapshots, dataset: "xr.Dataset", name: str) -> Dots | None:
    """The readings, as dots on a map of the axes that they have; not those of a grid."""
    one = samples.samples(0) if isinstance(samples, Snapshots) else samples
    if one.coords is None or one.domain is None or (isinstance(samples, Snapshots) and len(samples) > 1):
        return None
    real = slice(None) if one.mask is None else one.mask[0]
    at, values = one.domain.to_user(one.coords[0, real]), one.values[0, real, 0].numpy()
    answer = dataset[name].squeeze()
    mapping = [attributes_of(c.attrs) for c in dataset.coords.values() if "grid_mapping_name" in c.attrs]
    if one.domain.sphere is not None and not one.domain.mapping:
        latitude, longitude = (at[one.domain.names[i]] for i in one.domain.sphere)
        if {answer[dim].attrs.get("units") for dim in answer.dims} == {"degrees_north", "degrees_east"}:
            return latitude, longitude, values
        if any(mapping):
            east, north = projected(next(filter(None, mapping)), latitude, longitude)
            return north, east, values
    dims = [str(dim) for dim in answer.dims]
    return (at[dims[0]], at[dims[1]], values) if len(dims) == 2 and set(dims) <= set(at) else None
