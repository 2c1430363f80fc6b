"""What `gridless predict` can be asked for beside a model and readings."""

from dataclasses import dataclass
from pathlib import Path

from gridless.data.kinds import kind_of_file


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Where the readings of a table stand, and where they are asked: at one of `like`, `grid` and `at`."""

    coords: tuple[str, ...] = ("lat", "lon")
    value: tuple[str, ...] = ()
    """Columns of the readings."""
    time: str | None = None
    noise: str | None = None
    units: tuple[str, ...] = ()
    """Of columns: tmax=degC."""
    tz: str | None = None
    fill_values: tuple[float, ...] = ()
    like: Path | None = None
    grid: str | None = None
    at: Path | None = None
    variable: str | None = None
    """Of an archive that is read; else the template's variable that is the same quantity."""
    mask: bool = False
    spread: bool = True

    def check(self, output: Path) -> None:
        """Raises ValueError for questions that are none, or do not fit the output."""
        given = [f"--{name}" for name in ("like", "grid", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"ask at one of --like grid.nc, --grid 0.25deg and --at points.csv, got {' '.join(given) or 'none'}"
            )
        kind, table = kind_of_file(output), self.at is not None
        if (kind == "table") != table or not (table or kind == "archive" or output.suffix.lower() == ".png"):
            fitting = (
                ".csv or .parquet, which --at asks for"
                if table
                else ".nc, .zarr or .png, which --like and --grid ask for"
            )
            raise ValueError(f"{str(output)!r} ends in {output.suffix or 'nothing'!r}, expected {fitting}")

    def units_of_columns(self) -> dict[str, str]:
        """Raises ValueError for what is no `column=unit`."""
        pairs = [text.partition("=") for text in self.units]
        if wrong := ["".join(pair) for pair in pairs if not (pair[0] and pair[2])]:
            raise ValueError(f"--units {' '.join(wrong)}: expected column=unit, such as tmax=degC")
        return {name: unit for name, _, unit in pairs}
