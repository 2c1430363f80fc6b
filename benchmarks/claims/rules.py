"""rules.toml, read: the claims in the documents' order, and the measured contrasts that decide each."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SIDES = ("tests", "before")
RULES = Path(__file__).with_name("rules.toml")
RECIPES = {
    "encoder": "claims",
    "parts": "claims",
    "training": "claims",
    "layers": "claims",
    "decoder": "claims",
    "scent": "claims",
    "rates": "claims-rates",
    "super-resolution": "claims-sr",
    "sparse": "claims-sparse",
    "techniques": "techniques",
    "techniques-long": "techniques-long",
}
"""The recipe beside this file, recipes/NAME.toml, whose arms a table holds."""


@dataclass(frozen=True)
class Contrast:
    """One measured difference: `arm` − `against` (an arm, or a number) in `metric` of results/claims/`file`.json."""

    file: str
    metric: str
    arm: str
    against: str | float
    lower: bool = False
    """Whether a lower value is the better one."""
    unit: str = "dB"
    exact: bool = False
    """Counted, not sampled (floating-point operations): it decides by its sign, without a test."""
    seeds: int = 3
    """How many were decided before looking; runs of later ones do not count."""


@dataclass(frozen=True)
class Claim:
    """What a document says, what it predicts in its own words, and how that is tested."""

    id: str
    document: str
    text: str
    predicted: str
    tests: tuple[Contrast, ...]
    least: float | None = None
    """The smallest effect that was predicted."""
    relevant: float | None = None
    """The size from which on an effect would matter, where the document predicts in words only."""
    equal: float | None = None
    """The claim is that nothing changes; differences up to this size pass."""
    explanation: str = ""
    before: tuple[Contrast, ...] = ()
    """Of an earlier, shorter table: they stand in while no run of `tests` is there."""


def claims() -> list[Claim]:
    """All claims, in the documents' order."""
    return [Claim(**{**row, **{side: _contrasts(row.get(side, ())) for side in SIDES}}) for row in _table()["claim"]]


def planned_seeds(file: str) -> int:
    """How many seeds of a table were decided before looking; 3 where rules.toml names no number."""
    return _table()["seeds"].get(file, 3)


def arms_of(file: str) -> tuple[str, ...]:
    """The arms that the contrasts of a table name, in the order of the claims."""
    tests = [test for claim in claims() for test in claim.tests if test.file == file]
    sides = [side for test in tests for side in (test.arm, test.against) if isinstance(side, str)]
    return tuple(dict.fromkeys(sides))


def _contrasts(rows: Sequence[dict]) -> tuple[Contrast, ...]:
    return tuple(Contrast(**row, seeds=planned_seeds(row["file"])) for row in rows)


def _table() -> dict:
    return tomllib.loads(RULES.read_text(encoding="utf-8"))
