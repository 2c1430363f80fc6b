"""The documents' claims, each decided by measurement: claims.toml says which runs decide what, this makes the page.

claims.toml + results/claims/*.json → effects (paired by seed, ± 2 standard errors) → verdicts → docs/claims.md

A results file holds {"about", "command", "commit", "hardware", "runs": [{"arm", "seed", "scores": {…}, "params", "steps",
"train_seconds"}]}. An effect is the mean over seeds of arm − against (same seed: same weights where they fit, same data
order). Three seeds estimate their own spread badly, so the variance is the larger of the effect's own and of the median
over all contrasts of that file and metric.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from gridless.config.merging import ConfigError, load_json
from gridless.scoring.results import number


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


@dataclass(frozen=True)
class Claim:
    id: str
    document: str
    text: str
    predicted: str
    tests: tuple[Contrast, ...]
    least: float | None = None
    """The smallest effect that was predicted."""
    equal: float | None = None
    """The claim is that nothing changes; differences up to this size pass."""
    explanation: str = ""


@dataclass(frozen=True)
class Difference:
    """Better by `mean` ± `margin` (2 standard errors over `seeds`); in units of the metric, positive where the arm wins."""

    test: Contrast
    mean: float
    margin: float
    seeds: int
    values: tuple[float, float]
    """Means of the arm and of what it stands against."""

    @property
    def sign(self) -> int:
        return 0 if abs(self.mean) <= self.margin else int(math.copysign(1, self.mean))


def claims() -> list[Claim]:
    """All claims, in the documents' order."""
    table = tomllib.loads(files("gridless").joinpath("claims.toml").read_text())
    return [Claim(**{**row, "tests": tuple(Contrast(**test) for test in row["tests"])}) for row in table["claim"]]


def difference(test: Contrast, runs: Sequence[dict], peers: Sequence[Contrast] = ()) -> Difference | None:
    """The difference that `runs` show, None where a side has no run. `peers`: comparisons whose spread is pooled."""
    pairs = _pairs(test, runs)
    if not pairs:
        return None
    sign = -1 if test.lower else 1
    differences = np.asarray([sign * (a - b) for a, b in pairs])
    spreads = [differences.var(ddof=1)] if len(differences) > 1 else []
    others = [np.subtract(*zip(*p, strict=True)).var(ddof=1) for peer in peers if len(p := _pairs(peer, runs)) > 1]
    variance = max([*spreads, float(np.median(others)) if others else 0.0], default=math.nan)
    margin = 2 * math.sqrt(variance / len(differences)) if len(differences) > 1 else math.nan
    arm, against = (float(np.mean(side)) for side in zip(*pairs, strict=True))
    return Difference(test, float(differences.mean()), margin, len(pairs), (arm, against))


def verdict(claim: Claim, effects: Sequence[Difference]) -> str:
    """confirmed | refuted | no effect above … | depends | not decidable here, by rule (docs/claims.md states it)."""
    if not effects:
        return "not measured"
    signs, unit = {e.sign for e in effects}, effects[0].test.unit
    largest = max(abs(e.mean) + e.margin for e in effects)
    if claim.equal is not None:
        if largest <= claim.equal:
            return f"confirmed: no effect above ± {_short(largest, unit)}"
        if all(abs(e.mean) - e.margin > claim.equal for e in effects):
            return "refuted"
        return "depends" if signs != {0} else f"not decidable here: could have shown {_short(largest, unit)}"
    if signs == {1}:
        small = claim.least is not None and max(e.mean + e.margin for e in effects) < claim.least
        return "confirmed in direction, refuted in size" if small else "confirmed"
    if signs == {-1}:
        return "refuted"
    most = max(e.mean + e.margin for e in effects)
    if 1 not in signs and claim.least is not None and most < claim.least:
        return f"refuted: at most {number(most, 2, signed=True)} {unit}".rstrip()
    if signs == {0}:
        blind = claim.least is not None and min(e.margin for e in effects) > claim.least
        if blind:
            return f"not decidable here: could have shown {_short(min(e.margin for e in effects), unit)}"
        return f"no effect above ± {_short(largest, unit)} at this budget"
    return "depends"


def page(folder: str | Path) -> str:
    """docs/claims.md from the results files in `folder`. Raises ConfigError where a file that a claim names is missing."""
    folder, known = Path(folder), claims()
    others = sorted(file.stem for file in folder.glob("*.json"))
    names = list(dict.fromkeys([*(test.file for claim in known for test in claim.tests), *others]))
    tables = {name: load_json(folder / f"{name}.json") for name in names if name in others}
    if not tables:
        raise ConfigError(f"{folder} holds none of {', '.join(f'{n}.json' for n in names)}; see benchmarks/claims.py")
    every = [test for claim in known for test in claim.tests]
    lines = [HEAD, "| id | claim | predicted | measured | verdict |", "|---|---|---|---|---|"]
    notes = []
    for claim in known:
        effects = []
        for test in claim.tests:
            peers = [t for t in every if (t.file, t.metric) == (test.file, test.metric) and isinstance(t.against, str)]
            found = difference(test, tables[test.file]["runs"], peers) if test.file in tables else None
            effects += [] if found is None else [found]
        measured = "<br>".join(_sentence(e) for e in effects) or "–"
        lines.append(f"| {claim.id} | {claim.text} | {claim.predicted} | {measured} | {verdict(claim, effects)} |")
        notes += [f"**{claim.id}.** {claim.explanation.strip()}\n"] if claim.explanation.strip() else []
    parts = ["\n".join(lines), "## What the numbers say\n\n" + "\n".join(notes)] if notes else ["\n".join(lines)]
    parts += [_arms(name, table) for name, table in tables.items()]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


HEAD = """# The documents' claims, measured

Generated by `gridless report --claims -o docs` from `results/claims/*.json`; a test makes this page again and compares.
The documents predicted these effects and measured none of them. Each is decided here by runs that differ in the named
part only: same data, steps, schedule and seeds. Differences are arm − reference, positive where the arm is better, mean
over seeds ± 2 standard errors (the larger of the comparison's own and the median over the file's comparisons, because
three seeds estimate their own spread badly).

A claim is *confirmed* where all of its intervals lie on the claimed side (*refuted in size* where they end below the
smallest predicted effect), *refuted* where all lie on the other side or all end below the smallest predicted effect, has
*no effect above ± x* where all contain zero (*not decidable here* where even the predicted effect could have hidden in
them), and *depends* where they disagree. All of it holds at this budget: models of some ten thousand to a few hundred
thousand parameters, trained for half a minute to five minutes on one core.
"""


def _sentence(e: Difference) -> str:
    digits = 2 if e.test.unit == "dB" else 3
    margin = "" if math.isnan(e.margin) else f" ± {number(e.margin, digits)}"
    metric = "" if e.test.metric == "psnr" else f" ({_plain(e.test.metric)})"
    if not isinstance(e.test.against, str):
        value = number(e.values[0], digits)
        return f"{e.test.arm}{metric}: {value}{margin} {e.test.unit}, against {e.test.against:g}"
    gain = number(e.mean, digits, signed=True)
    return f"{e.test.arm} − {e.test.against}{metric}: {gain}{margin} {e.test.unit}".rstrip()


def _plain(metric: str) -> str:
    """psnr_x4 → PSNR ×4; val_psnr_125 → validation after 125 steps."""
    if metric.startswith("val_psnr_"):
        return f"validation after {metric.removeprefix('val_psnr_')} steps"
    return metric.replace("psnr", "PSNR").replace("_x", " ×").replace("_", " ")


def _arms(name: str, table: dict) -> str:
    """What each arm is made of and how it scored: the match of every comparison."""
    metrics = list(dict.fromkeys(m for run in table["runs"] for m in run["scores"] if not m.startswith("val_")))
    head = ["arm", "seeds", *FACTS.values(), *(_plain(m) for m in metrics)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for arm in dict.fromkeys(run["arm"] for run in table["runs"]):
        own = [run for run in table["runs"] if run["arm"] == arm]
        facts = [_whole(np.mean([run[k] for run in own])) if k in own[0] else "" for k in FACTS]
        cells = []
        for metric in metrics:
            found = [run["scores"][metric] for run in own if metric in run["scores"]]
            spread = f" ± {number(float(np.std(found, ddof=1)), 2)}" if len(found) > 1 else ""
            cells.append(f"{number(float(np.mean(found)), 2)}{spread}" if found else "")
        lines.append("| " + " | ".join([arm, str(len(own)), *facts, *cells]) + " |")
    where = f"`{table['command']}`, commit {table['commit']}, {table['hardware']['cpu']}"
    return f"## {name}.json\n\n{table['about']} Mean ± standard deviation over seeds. {where}.\n\n" + "\n".join(lines)


FACTS = {
    "params": "parameters",
    "latent_floats": "latent floats",
    "steps": "steps",
    "train_seconds": "seconds",
}


def _pairs(test: Contrast, runs: Sequence[dict]) -> list[tuple[float, float]]:
    """(arm, against) of every seed that both have."""

    def side(arm: str) -> dict[int, float]:
        return {r["seed"]: r["scores"][test.metric] for r in runs if r["arm"] == arm and test.metric in r["scores"]}

    own = side(test.arm)
    if not isinstance(test.against, str):
        return [(value, float(test.against)) for value in own.values()]
    other = side(test.against)
    return [(own[seed], other[seed]) for seed in own if seed in other]


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _short(value: float, unit: str) -> str:
    return f"{number(value, 2)} {unit}".rstrip()
