"""What the file of an answer says: names, units, standard errors, encodings and history, by the rules of CF."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from gridless.config import Quantity
from gridless.data.labelled import belongings
from gridless.data.snapshots import FieldSeries
from gridless.data.templates import Template
from gridless.domain import Domain

if TYPE_CHECKING:
    import xarray as xr

    from gridless.field import Field

CONVENTIONS = "CF-1.11"
ERROR = "_standard_error"
FILL = np.float32(1e20)
PRECISION = "float32"  # finer than any spread
TEMPERATURES = (
    "k", "kelvin", "degc", "°c", "celsius", "degree_c", "degree_celsius", "degrees_celsius", "degf", "°f", "fahrenheit",
)  # fmt: skip
OF_ITS_VALUES = (
    "ancillary_variables", "coordinates", "grid_mapping", "cell_measures", "units", "units_metadata", "_FillValue",
    "missing_value", "scale_factor", "add_offset", "valid_min", "valid_max", "valid_range", "actual_range", "flag_values",
    "flag_meanings", "flag_masks",
)  # fmt: skip
"""Attributes of a template's variable that say nothing of the answer."""


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


def described(
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
        dataset[name].encoding = coordinate_encoding(dataset[name], set(dataset.variables))
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
                f"readings theirs: --units {quantity.name}={unit}, in Python units={{{quantity.name!r}: {unit!r}}}"
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


def coordinate_encoding(coordinate: "xr.DataArray", names: set) -> dict[str, Any]:
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

    series = isinstance(source, FieldSeries)
    model = source.model if series else getattr(source.correction, "network", source.solved)
    about = dict(template.grid.attrs)
    about["Conventions"] = CONVENTIONS
    about.setdefault("title", f"{', '.join(q.name for q in quantities_of(source))} by gridless")
    about["source"] = f"gridless {__version__}, {getattr(model, 'name', type(model).__name__)}"
    line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {history or 'gridless: to_xarray'}"
    about["history"] = f"{about['history']}\n{line}" if about.get("history") else line
    return about
