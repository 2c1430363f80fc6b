"""A few readings of a map: put there by hand, edited in a table, or read from a CSV; and their field.

A reading is a row (y, x, value) in units of the map. The map is the box of a template, the box around the readings of a
table, or an invented one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from gridless.config import Quantity
from gridless.data.tables import read_table, table_frame
from gridless.data.templates import domain_over
from gridless.demo.limits import LARGEST, TABLE_BYTES, TABLE_COLUMNS, check_bytes, check_readings
from gridless.demo.models import shipped
from gridless.demo.templates import Template
from gridless.domain import LATITUDE, LONGITUDE, Domain
from gridless.field import Field
from gridless.samples import Samples

FEWEST = 3  # readings: how far others lie from one or two, nobody can tell
CELLS = 6_000  # of a map, about
KNOWN = (("lat", "lon"), ("y", "x"), ("northing", "easting"), ("north", "east"))
VALUES = ("value", "val", "z", "temperature", "temp", "t2m", "tmax", "measurement", "reading")
NEAR = 0.025  # of the longer side of a map: so near a click means a reading that is there


@dataclass(frozen=True, eq=False)
class Readings:
    """Rows (y, x, value) over a domain of two axes, whose quantity is what is read."""

    rows: Float[np.ndarray, "N 3"]
    domain: Domain
    template: Template | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def quantity(self) -> Quantity:
        return self.domain.quantities[0]

    def with_rows(self, rows: Float[np.ndarray, "N 3"]) -> "Readings":
        """Other readings of the same map. Raises ValueError for too many, and for places outside."""
        check_readings(len(rows))
        if len(rows):
            self.domain.to_unit(dict(zip(self.domain.names, rows.T[:2], strict=True)))
        return replace(self, rows=rows)

    def added(self, y: float, x: float, value: float) -> "Readings":
        return self.with_rows(np.vstack([self.rows, [[y, x, value]]]))

    def without(self, index: int) -> "Readings":
        return self.with_rows(np.delete(self.rows, index, 0))

    def revalued(self, index: int, value: float) -> "Readings":
        """The reading has another value."""
        rows = self.rows.copy()
        rows[index, 2] = value
        return self.with_rows(rows)

    def near(self, y: float, x: float) -> int | None:
        """The reading at a place, about; None: there is none."""
        if not len(self.rows):
            return None
        lengths = np.abs(np.asarray(self.domain.lengths))
        away = np.hypot(*((self.rows[:, :2] - [y, x]) / lengths).T)
        return int(away.argmin()) if away.min() <= NEAR else None

    def wanting(self) -> str | None:
        """What is missing before a spread means something; None: nothing."""
        if (missing := FEWEST - len(self.rows)) > 0:
            return (
                f"{len(self.rows)} of at least {FEWEST} readings: click on the map for {missing} more, or give a table"
            )
        if np.ptp(self.rows[:, 2]) == 0:
            return "all readings are equal, which says nothing about how far others would be: give one that differs"
        return None

    def field(self) -> Field:
        """What the shipped model answers. Raises ValueError for readings that say too little."""
        if (reason := self.wanting()) is not None:
            raise ValueError(reason)
        places = dict(zip(self.domain.names, self.rows.T[:2], strict=True))
        values = torch.from_numpy(np.ascontiguousarray(self.rows[:, 2:]))
        with torch.no_grad():
            return shipped("sensors").encode(Samples.from_points(places, values, domain=self.domain))


def invented() -> Readings:
    """Readings that nobody made, of a field that looks like weather over a hundred kilometres."""
    rng = np.random.default_rng(3)
    u = (np.stack(np.meshgrid(np.arange(4), np.arange(6), indexing="ij"), -1).reshape(-1, 2) + rng.random((24, 2))) / [
        4,
        6,
    ]
    y, x = 60 * u[:, 0], 100 * u[:, 1]
    value = 14 + 3.5 * np.sin(x / 17 + 0.4) * np.cos(y / 21) - 0.05 * y + 1.2 * np.sin((x + 2 * y) / 23)
    rows = np.round(np.stack([y, x, value], -1), 1)
    return Readings(rows, _named(Domain.box({"y": (0, 60), "x": (0, 100)}, y="km", x="km"), "temperature", "degC"))


def empty(template: Template | None = None) -> Readings:
    """A map without readings: of the template, or a square from 0 to 1."""
    domain = Domain.box({"y": (0.0, 1.0), "x": (0.0, 1.0)}) if template is None else template.domain()
    name = "value" if template is None or template.quantity is None else template.quantity
    unit = "" if template is None else template.unit
    return Readings(np.zeros((0, 3)), _named(domain, name, unit), template)


def columns_of(path: str | Path) -> tuple[list[str], tuple[str, str, str]]:
    """Columns of a CSV that hold numbers, and a guess which are y, x and the value. Raises ValueError for a table that
    this page does not take."""
    frame = _frame(path)
    numeric = _numeric(frame)
    if len(numeric) < 3:
        raise ValueError(
            f"{Path(path).name} has {len(numeric)} columns of numbers ({', '.join(_short(n) for n in numeric) or 'none'}), "
            "expected three: two coordinates and a value"
        )
    lower = {name.strip().lower(): name for name in reversed(numeric)}
    pairs = [*KNOWN, *((a, b) for a in LATITUDE for b in LONGITUDE)]
    y, x = next(((lower[a], lower[b]) for a, b in pairs if a in lower and b in lower), numeric[:2])
    rest = [name for name in numeric if name not in (y, x)]
    value = next((lower[name] for name in VALUES if lower.get(name) in rest), rest[0])
    return numeric, (y, x, value)


def read_readings(
    path: str | Path, y: str, x: str, value: str, template: Template | None = None
) -> tuple[Readings, int]:
    """The readings in three columns of a CSV, over their own box, or over that and the template's; and how many rows have
    none and are left out. Raises ValueError, in one line, for columns that do not hold readings."""
    frame = _frame(path)
    with_value: Any = frame[frame[value].notna()] if value in frame.columns else frame
    check_readings(len(with_value))
    samples = read_table(with_value, (y, x), value)
    if not isinstance(samples, Samples) or samples.domain is None or samples.coords is None:
        raise ValueError(f"columns {y}, {x} and {value} hold no readings of one map")
    domain = samples.domain
    if any(axis.unit.startswith("seconds") for axis in domain.axes):
        raise ValueError(f"columns {y} and {x} hold times; expected places, such as lat and lon")
    if template is not None:
        domain = replace(domain_over(replace(domain, quantities=()), template.grid), quantities=domain.quantities)
    keep = slice(None) if samples.mask is None else samples.mask[0]
    at = samples.domain.to_user(samples.coords[0][keep])
    rows = np.stack([at[y], at[x], samples.values[0, keep, 0].double().numpy()], -1)
    return Readings(rows, domain, template), len(frame) - len(with_value)


def typed(rows: Sequence[Sequence[object]]) -> tuple[Float[np.ndarray, "N 3"], int]:
    """The rows of a table that a visitor edits as numbers, and how many are not complete yet. Raises ValueError, naming the
    row, for text."""
    check_readings(len(rows) - 1)
    out, unfinished = [], 0
    for number, row in enumerate(rows, 1):
        words = ["" if cell is None else str(cell).strip() for cell in list(row)[:3]]
        words = ["" if word.lower() in ("nan", "none") else word for word in words]
        if len(words) < 3 or not all(words):
            unfinished += any(words)
            continue
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            raise ValueError(f"row {number}: expected three numbers, got {', '.join(map(_short, words))}") from None
        if not all(abs(n) <= LARGEST for n in numbers):
            raise ValueError(f"row {number}: {max(numbers, key=abs):g} is no reading; expected finite numbers")
        out.append(numbers)
    return np.array(out, np.float64).reshape(-1, 3), unfinished


def map_shape(domain: Domain) -> tuple[int, int]:
    """Rows and columns of a map of about `CELLS`, square where the axes have one unit."""
    high, wide = np.abs(np.asarray(domain.lengths))
    ratio = float(np.clip(high / wide if domain.axes[0].unit == domain.axes[1].unit or domain.sphere else 0.7, 0.2, 5))
    return max(8, round((CELLS * ratio) ** 0.5)), max(8, round((CELLS / ratio) ** 0.5))


def _frame(path: str | Path) -> Any:
    path = Path(path)
    if not path.is_file():
        raise ValueError("the table is not here any more, files are deleted after an hour; drop it again")
    check_bytes(path, TABLE_BYTES)
    if path.suffix.lower() != ".csv":
        raise ValueError(f"{path.name} is no .csv; save the table as CSV with a header")
    frame: Any = table_frame(path)
    if frame.shape[1] > TABLE_COLUMNS:
        raise ValueError(f"{path.name} has {frame.shape[1]:,} columns, this page takes up to {TABLE_COLUMNS}")
    return frame.rename(columns=str)


def _numeric(frame: Any) -> list[str]:
    import pandas as pd

    kept = []
    for name in dict.fromkeys(frame.columns):
        column = frame[name] if (frame.columns == name).sum() == 1 else None
        if column is not None and pd.api.types.is_numeric_dtype(column.dtype) and column.notna().any():
            kept.append(str(name))
    return kept


def _named(domain: Domain, name: str, unit: str) -> Domain:
    return replace(domain, quantities=(Quantity(name=name, unit=unit),))


def _short(word: str) -> str:
    return repr(word if len(word) <= 30 else f"{word[:30]}…")
