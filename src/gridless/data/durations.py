"""Durations as one writes them: 30min, 6h, 3D, 2 months. Months have no fixed length and stay apart from seconds."""

import re
from dataclasses import dataclass
from typing import Literal

SECONDS = {
    1.0: ("s", "sec", "second", "seconds"),
    60.0: ("min", "mins", "minute", "minutes"),
    3600.0: ("h", "hr", "hour", "hours"),
    86400.0: ("d", "day", "days"),
    604800.0: ("w", "week", "weeks"),
}
MONTHS = {1.0: ("mo", "month", "months"), 12.0: ("y", "yr", "year", "years")}
WRITTEN = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
WHOLE = 1e-6  # of a number that counts as whole, whatever floats have made of it

Unit = Literal["s", "month"]


@dataclass(frozen=True)
class Duration:
    """`count` seconds or months."""

    count: float
    unit: Unit

    @classmethod
    def of(cls, text: str, what: str = "a duration") -> "Duration":
        """Raises ValueError, naming `what`, for text that is no positive number with a unit of time."""
        match = WRITTEN.fullmatch(text)
        tables: tuple[tuple[Unit, dict[float, tuple[str, ...]]], ...] = (("s", SECONDS), ("month", MONTHS))
        for unit, sizes in tables:
            for size, names in sizes.items():
                if match and match[2].lower() in names and float(match[1]) > 0:
                    return cls(float(match[1]) * size, unit)
        raise ValueError(
            f"{what} is {text!r}; expected a positive number and a unit (s, min, h, D, W, month, year), such as 30min"
        )

    def __str__(self) -> str:
        names = SECONDS if self.unit == "s" else MONTHS
        size = max((size for size in names if whole(self.count / size)), default=1.0)
        count = self.count / size
        short, *_, one, several = names[size]
        return f"{count:g} {short if self.unit == 's' else one if count == 1 else several}"


def whole(number: float) -> bool:
    """Whether it is a whole number of at least 1, up to rounding."""
    return number > 0.5 and abs(number - round(number)) <= WHOLE * max(1.0, abs(number))
