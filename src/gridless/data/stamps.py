"""Time stamps: whatever tables and archives write, in UTC and one resolution, so that they can be compared.

Naive stamps are UTC unless a time zone is given for them. A column that mixes naive and zoned stamps is refused: nobody
knows how far apart they are.
"""

import re
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from gridless.data.optional import optional

RESOLUTION = "datetime64[us]"  # pandas gives us, files give ns
ZONED = re.compile(r"(?:Z|[+-]\d\d(?::?\d\d)?)$", re.IGNORECASE)
NAMED = 5  # rows that an error names


def utc_stamps(
    column: Any, tz: str | None = None, needed: Bool[np.ndarray, " N"] | None = None
) -> Shaped[np.ndarray, " N"]:
    """Stamps as datetime64[us] in UTC of a column of ISO 8601 text, datetimes or pandas stamps; `tz` is that of naive ones.
    NaT where `needed` is False.

    Raises ValueError, naming rows (the first is 1), for what is no stamp, for a mix of naive and zoned ones, and for hours
    that a change of clocks skips or repeats.
    """
    pd, name = optional("pandas", "a table"), column.name
    needed = np.ones(len(column), bool) if needed is None else needed
    column = column[needed].reset_index(drop=True)

    def rows_of(flags: object) -> str:
        every = np.zeros(len(needed), bool)
        every[needed] = np.asarray(flags, bool)
        return rows(every)

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        stamps, zoned = column, np.ones(len(column), bool)
    elif pd.api.types.is_datetime64_any_dtype(column.dtype):
        stamps, zoned = column, np.zeros(len(column), bool)
    elif pd.api.types.is_numeric_dtype(column.dtype):
        raise ValueError(
            f"column {name} holds {column.dtype}, expected time stamps in ISO 8601, such as 2020-01-31T12:00Z"
        )
    else:
        zoned, stamps = column.map(_is_zoned).to_numpy(bool), _parsed(column, pd)
    if (missing := stamps.isna()).any():
        raise ValueError(
            f"column {name} has no time stamp in {rows_of(missing)}; write ISO 8601, such as 2020-01-31T12:00Z"
        )
    if zoned.any() and not zoned.all():
        raise ValueError(
            f"column {name} mixes stamps with and without a time zone: {rows_of(~zoned)} have none; give all of them one"
        )
    if getattr(stamps.dt, "tz", None) is not None:  # text is parsed as if naive stamps were UTC
        stamps = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
    if tz is not None:
        if zoned.any():
            raise ValueError(f"column {name} has time zones of its own; leave tz={tz!r} out")
        local = _localised(stamps, tz)
        if (unclear := local.isna()).any():
            raise ValueError(
                f"column {name}: in {rows_of(unclear)} the clocks of {tz} change, so that hour is twofold or none; write "
                "stamps with their offset"
            )
        stamps = local
    out = np.full(len(needed), np.datetime64("NaT"), RESOLUTION)
    out[needed] = stamps.to_numpy().astype(RESOLUTION)
    return out


def comparable(times: object) -> Shaped[np.ndarray, " N"]:
    """Times of an archive in the resolution of `utc_stamps`; dates of other calendars stay what they are."""
    array = np.asarray(times)
    return array.astype(RESOLUTION) if np.issubdtype(array.dtype, np.datetime64) else array


def rows(flags: Bool[np.ndarray, " N"]) -> str:
    """`rows 3, 7, 9 … (12 of them)`, of which the first is 1."""
    index = np.flatnonzero(flags) + 1
    listed = ", ".join(map(str, index[:NAMED]))
    if len(index) > NAMED:
        return f"rows {listed} … ({len(index)} of them)"
    return f"row{'s' if len(index) > 1 else ''} {listed}"


def named(times: Shaped[np.ndarray, " N"]) -> str:
    """A few of these times, as text."""
    listed = ", ".join(_text(time) for time in times[:NAMED])
    return listed + (f" … ({len(times)} of them)" if len(times) > NAMED else "")


def _text(time: Any) -> str:
    text = str(time)
    return re.sub(r"(?:T00:00)?(?::00)?(?:\.0+)?$", "", text) if "T" in text else text.removesuffix(" 00:00:00")


def _is_zoned(value: object) -> bool:
    if isinstance(value, str):
        return ZONED.search(value.strip()) is not None and "T" in value.strip().replace(" ", "T").upper()
    return getattr(value, "tzinfo", None) is not None


def _parsed(column: Any, pd: Any) -> Any:
    """As UTC, whatever their offsets; what is no stamp becomes NaT."""
    texts = column.map(lambda value: value.isoformat() if hasattr(value, "isoformat") else value)
    return pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")


def _localised(stamps: Any, tz: str) -> Any:
    """In UTC; NaT where the clocks change."""
    try:
        zoned = stamps.dt.tz_localize(tz, ambiguous="NaT", nonexistent="NaT")
    except (KeyError, ValueError, ModuleNotFoundError):
        raise ValueError(f"tz is {tz!r}, expected a time zone such as Europe/Berlin or UTC") from None
    return zoned.dt.tz_convert("UTC").dt.tz_localize(None)
