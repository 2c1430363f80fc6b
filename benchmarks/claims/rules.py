"""rules.toml, read: the claims in the documents' order, and the measured contrasts that decide each."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

RULES = Path(__file__).with_name("rules.toml")


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


def claims() -> list[Claim]:
    """All claims, in the documents' order."""
    table = tomllib.loads(RULES.read_text(encoding="utf-8"))
    return [Claim(**{**row, "tests": tuple(Contrast(**test) for test in row["tests"])}) for row in table["claim"]]
