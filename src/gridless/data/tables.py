"""Tables of readings: CSV, Parquet or a pandas DataFrame in, Samples out.

One row is one reading. With a column of time stamps every stamp is a field of its own (`Snapshots`); a column of stamps
among the coordinates is an axis of one field.
"""

import gzip
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from gridless.config import Quantity
from gridless.data.optional import optional
from gridless.data.room import check_room
from gridless.data.snapshots import Snapshots
from gridless.data.stamps import rows, utc_stamps
from gridless.data.templates import domain_over
from gridless.domain import LATITUDE, LONGITUDE, Domain
from gridless.intake import finite
from gridless.samples import Samples

if TYPE_CHECKING:
    import pandas as pd

    from gridless.data.templates import Like

TEXT = 2  # bytes of memory that a character becomes, and as many for each copy: "1," is a number of eight bytes
PIECE = 1 << 24  # bytes of a table that are unpacked at once
DEGREES = {"degrees_north": LATITUDE, "degrees_east": LONGITUDE}


def read_table(
    source: "str | Path | pd.DataFrame",
    coords: Sequence[str] = ("lat", "lon"),
    values: str | Sequence[str] = "value",
    *,
    time: str | None = None,
    noise: str | None = None,
    units: Mapping[str, str] | None = None,
    tz: str | None = None,
    domain: "Domain | Like | None" = None,
    fill_values: Sequence[float] = (),
) -> Samples | Snapshots:
    """Readings of a CSV or Parquet file or a DataFrame, one a row: Samples, or Snapshots where `time` names the column of
    time stamps (one field for each stamp, all over one domain).

    coords       columns of the coordinates, one per axis; a column of stamps is an axis of time
    values       column of the readings, or one for each channel
    noise        column with the standard deviation of each reading's error, in units of the value
    units        of columns: {"tmax": "degC", "x": "m"}; latitude and longitude have degrees
    tz           of stamps without a time zone; UTC if not given
    domain       where the field lies: a Domain, or the dataset (or its path) where it will be asked, so that the box holds
                 both; the smallest box around all readings, with a margin, if not given
    fill_values  numbers that mean "not measured"

    Rows without a reading are left out, and a warning counts them; readings at one place and time are averaged. Raises
    ValueError, in one line, for missing columns, coordinates, stamps and noise that are missing or no numbers (naming the
    rows, of which the first is 1), for readings that look like fill values, and where no reading is left.
    """
    frame: Any = table_frame(source)
    names = (values,) if isinstance(values, str) else tuple(values)
    wanted = [*coords, *names, *(name for name in (time, noise) if name is not None)]
    _check_columns(frame, wanted)
    if strangers := sorted(set(units or ()) - set(wanted)):
        raise ValueError(
            f"units of {', '.join(strangers)}, which are no columns that are read; those are {', '.join(wanted)}"
        )
    measured, read = _values(frame, names, tuple(fill_values))
    if not measured.any():
        raise ValueError(f"no row of {len(frame)} has a reading of {', '.join(names)}; expected at least one")
    if left_out := int((~measured).sum()):
        warnings.warn(
            f"{left_out:,} of {len(frame):,} rows have no reading of {', '.join(names)} and are left out", stacklevel=2
        )
    places = {name: coordinate_column(frame[name], measured, tz)[measured] for name in coords}
    errors = None if noise is None else _numbers(frame[noise], measured, "a standard deviation")[measured]
    stamps = None if time is None else utc_stamps(frame[time], tz, measured)[measured]
    table = Table(places, read[measured], errors, stamps)
    return table.samples(_named(_domain(places, units or {}, domain), names, units or {}))


@dataclass(frozen=True, eq=False)
class Table:
    """Readings by rows: all that were measured."""

    places: Mapping[str, np.ndarray]
    values: Float[np.ndarray, "N C"]
    noise: Float[np.ndarray, " N"] | None
    stamps: np.ndarray | None

    def samples(self, domain: Domain) -> Samples | Snapshots:
        if self.stamps is None:
            return self._of(slice(None), domain)
        times, of_row = np.unique(self.stamps, return_inverse=True)
        order = np.argsort(of_row, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(of_row))[:-1])
        return Snapshots(times, tuple(self._of(part, domain) for part in parts), domain)

    def _of(self, part: Any, domain: Domain) -> Samples:
        places = {name: column[part] for name, column in self.places.items()}
        noise = None if self.noise is None else torch.from_numpy(self.noise[part])
        return Samples.from_points(places, torch.from_numpy(self.values[part]), noise=noise, domain=domain)


def table_frame(source: "str | Path | pd.DataFrame") -> "pd.DataFrame":
    """The table itself. Raises ValueError or OSError, naming the file, for one that cannot be read."""
    pd = optional("pandas", "a table")
    if not isinstance(source, str | Path):
        if isinstance(source, pd.DataFrame):
            return source
        raise ValueError(f"expected a DataFrame or the path of a CSV or Parquet file, got {type(source).__name__}")
    path = Path(source)
    try:
        if path.suffix.lower() == ".parquet":
            optional("pyarrow", "a Parquet file")
            return pd.read_parquet(path)
        _check_size(path)
        return pd.read_csv(path, compression="gzip" if path.suffix.lower() == ".gz" else None)
    except ImportError:
        raise
    except Exception as error:  # of pandas and pyarrow, each has its own
        if isinstance(error, OSError) and error.errno is not None:
            raise type(error)(error.errno, error.strerror or str(error), str(path)) from None
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be read as a table ({reason}); expected CSV with a header, or Parquet"
        ) from None


def _check_size(path: Path) -> None:
    """Raises ValueError for a text, unpacked if need be, that is more than there is memory for."""
    size = path.stat().st_size
    check_room(size, path.name, TEXT)
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as file:
            size = 0
            while piece := file.read(PIECE):
                check_room(size := size + len(piece), path.name, TEXT)


def _check_columns(frame: Any, wanted: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in frame.columns]:
        there = ", ".join(" ".join(str(column).split()) for column in frame.columns)  # names may hold anything
        raise ValueError(f"the table has no column {', '.join(missing)}; it has {there}")
    if twice := sorted({name for name in wanted if wanted.count(name) > 1}):
        raise ValueError(
            f"column {', '.join(twice)} is named twice; a column is a coordinate, a value, the time or noise"
        )
    if double := [name for name in wanted if (frame.columns == name).sum() > 1]:
        raise ValueError(f"the table has several columns {', '.join(double)}; rename all but one")


def _values(
    frame: Any, names: tuple[str, ...], fill_values: tuple[float, ...]
) -> tuple[Bool[np.ndarray, " N"], Float[np.ndarray, "N C"]]:
    """Which rows hold a reading of every channel, and the readings."""
    columns = [_numbers(frame[name], np.ones(len(frame), bool), "a number", missing=True) for name in names]
    values = np.stack(columns, -1)
    values[np.isin(values, fill_values)] = np.nan
    measured = np.asarray(np.isfinite(values).all(-1))
    if (infinite := np.asarray(np.isinf(values).any(-1))).any():
        raise ValueError(f"{', '.join(names)} is infinite in {rows(infinite)}; remove these rows")
    if measured.any():
        try:
            finite(torch.from_numpy(values[measured])[None], None)
        except ValueError as error:
            text = str(error).replace("give mask=… (False there)", "fill_values=[…] leaves such rows out")
            raise ValueError(f"{', '.join(names)}: {text}") from None
    return measured, values


def coordinate_column(column: Any, needed: Bool[np.ndarray, " N"], tz: str | None) -> np.ndarray:
    """Numbers, or stamps in UTC where the column holds nothing else."""
    pd, degrees = optional("pandas", "a table"), str(column.name).lower() in (*LATITUDE, *LONGITUDE)
    dates = pd.api.types.is_datetime64_any_dtype(column.dtype)
    text = not (degrees or dates or pd.api.types.is_numeric_dtype(column.dtype))
    if dates or (text and pd.to_numeric(column, errors="coerce").isna().all()):
        return utc_stamps(column, tz, needed)
    return _numbers(column, needed, "a coordinate")


def _numbers(column: Any, needed: Bool[np.ndarray, " N"], what: str, missing: bool = False) -> Float[np.ndarray, " N"]:
    """A column as float64. Raises ValueError, naming rows, for text, and for what is missing where it is needed."""
    pd = optional("pandas", "a table")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    unread = np.isnan(numbers) & column.notna().to_numpy() & needed
    if unread.any():
        example = column.to_numpy()[np.flatnonzero(unread)[0]]
        raise ValueError(
            f"column {column.name}: expected {what}, got {example!r} in {rows(unread)}; correct or remove them"
        )
    if not missing and (lacking := ~np.isfinite(numbers) & needed).any():
        raise ValueError(
            f"column {column.name} has no {what.split()[-1]} in {rows(lacking)}; fill them in or remove these rows"
        )
    return np.array(numbers)


def _domain(places: Mapping[str, np.ndarray], units: Mapping[str, str], domain: "Domain | Like | None") -> Domain:
    """The given one, or a box around the readings and the template."""
    if isinstance(domain, Domain):
        return domain
    degrees = {name: unit for name in places for unit, known in DEGREES.items() if name.lower() in known}
    box = Domain.around(places, units=degrees | {k: v for k, v in units.items() if k in places})
    return box if domain is None else domain_over(box, domain)


def _named(domain: Domain, names: Sequence[str], units: Mapping[str, str]) -> Domain:
    """The domain that knows what the values are called, and their units."""
    if len(domain.quantities) == len(names):
        return domain
    return replace(domain, quantities=tuple(Quantity(name=name, unit=units.get(name, "")) for name in names))
