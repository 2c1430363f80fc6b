"""Answers at the places of a table: the table with a mean and a standard error beside each row."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gridless.data.answer_attributes import domain_of, quantities_of
from gridless.data.snapshots import FieldSeries
from gridless.data.stamps import rows, utc_stamps
from gridless.data.tables import coordinate_column, table_frame
from gridless.data.templates import matched
from gridless.domain import LATITUDE, LONGITUDE

if TYPE_CHECKING:
    import pandas as pd

    from gridless.field import Field


def answered_table(
    source: "Field | FieldSeries",
    points: "pd.DataFrame | str | Path",
    *,
    time: str | None = None,
    tz: str | None = None,
    spread: bool | None = None,
) -> "pd.DataFrame":
    """See `Field.to_table`. `time`: the column of stamps of fields over time. `spread`: whether with standard errors; if
    not given, where the field has them."""
    frame: Any = table_frame(points)
    domain = domain_of(source)
    every = np.ones(len(frame), bool)
    places = {axis.name: coordinate_column(frame[_column(frame, axis.name)], every, tz) for axis in domain.axes}
    inside = domain.contains(places)
    if not inside.all():
        warnings.warn(f"{rows(~inside)} of the table lie outside the field's domain and are NaN", stacklevel=3)
    parts = _of_times(source, frame, time, tz, inside)
    means, errors = (np.full((len(frame), len(quantities_of(source))), np.nan) for _ in range(2))
    known = spread is not False
    for field, asked in parts:
        known = field.has_spread if spread is None else spread
        at = {name: column[asked] for name, column in places.items()}
        if asked.any():
            mean, error = field.mean_and_std(at) if known else (field(at), None)
            means[asked] = mean.detach().cpu().numpy()
            errors[asked] = np.nan if error is None else error.detach().cpu().numpy()
    columns = {}
    for i, quantity in enumerate(quantities_of(source)):
        columns[f"{quantity.name}_mean"] = means[:, i]
        if known:
            columns[f"{quantity.name}_standard_error"] = errors[:, i]
    return frame.assign(**columns)


def _of_times(
    source: "Field | FieldSeries", frame: Any, time: str | None, tz: str | None, inside: np.ndarray
) -> "Iterable[tuple[Field, np.ndarray]]":
    """A field and its rows, one time after the other."""
    if not isinstance(source, FieldSeries):
        return [(source, inside)]
    if time is None:
        raise ValueError("these are fields of several times; name the column that says which, time=…")
    index = matched(utc_stamps(frame[_column(frame, time)], tz), source.times)
    return ((source[int(i)], inside & (index == i)) for i in np.unique(index))


def _column(frame: "pd.DataFrame", axis: str) -> str:
    """Of an axis: by its name, or as latitude and longitude."""
    if axis in frame.columns:
        return axis
    for kind in (LATITUDE, LONGITUDE):
        if axis.lower() in kind:
            alike = [str(name) for name in frame.columns if str(name).lower() in kind]
            if len(alike) == 1:
                return alike[0]
    raise ValueError(f"the table has no column {axis}; it has {', '.join(map(str, frame.columns))}")
