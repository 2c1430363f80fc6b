"""sweep.json: the arms of a recipe beside the whole model, scored on the same pictures, and the table of that.

{"cases": [[picture, scale], …], "bases": {metric: [bicubic's value per case]}, "runs": [{"arm", "budget", "seed",
"facts", "scores": {metric: [value per case]}}, …]}. A value that all cases share stands once, not in a list. Floats have
four digits; a value without bound (the PSNR of equal pictures) is null. The metrics are the task's, the first is the one
compared.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gridless.config.errors import ConfigError
from gridless.config.merging import load_json
from gridless.files import write_text
from gridless.scoring.results import METRICS, Metric, number, read_results, scale_text
from gridless.scoring.statistics import estimate_mean

WHOLE = "full"
FACTS = ("params", "steps", "train_seconds", "flops", "commit", "hardware")
DIGITS = 4


@dataclass(frozen=True)
class Scored:
    """A finished run: one value per case for each metric."""

    arm: str
    budget: str
    seed: int
    facts: dict
    scores: dict[str, Float[np.ndarray, "cases"]]


@dataclass(frozen=True)
class Comparison:
    """Runs scored on the same `cases`, (picture, scale) each; `bases`: what bicubic scores there, if that is a rival."""

    cases: list[tuple[str, float]] = field(default_factory=list)
    bases: dict[str, Float[np.ndarray, "cases"]] = field(default_factory=dict)
    runs: list[Scored] = field(default_factory=list)

    @property
    def metric(self) -> str:
        return next(iter(self.runs[0].scores))

    @property
    def scales(self) -> list[float]:
        return list(dict.fromkeys(scale for _, scale in self.cases))

    def at(self, scale: float) -> list[int]:
        """The cases of a scale."""
        return [index for index, (_, scale_of_case) in enumerate(self.cases) if scale_of_case == scale]

    def values(self, run: Scored) -> Float[np.ndarray, "cases"]:
        """The compared metric, as gain over the base where there is one."""
        return run.scores[self.metric] - self.bases.get(self.metric, 0.0)


@dataclass(frozen=True)
class Effect:
    """What the whole model has more than an arm, a mean over pictures and seeds, and half of its 95 % t-interval: over
    pictures (their means over seeds) and over seeds (their means over pictures). None with fewer than two of them."""

    mean: float
    over_pictures: float | None
    over_seeds: float | None


def paired(comparison: Comparison, budget: str, arm: str, metric: str | None = None) -> dict[float, np.ndarray]:
    """Whole model − arm by scale, (seeds, pictures): same seed, same picture. The seeds are those that both have."""
    metric = metric or comparison.metric
    whole = {run.seed: run.scores[metric] for run in comparison.runs if run.arm == WHOLE}
    own = {run.seed: run.scores[metric] for run in comparison.runs if (run.budget, run.arm) == (budget, arm)}
    shared = [seed for seed in own if seed in whole]
    if not shared:
        return {}
    gains = np.stack([whole[seed] - own[seed] for seed in shared])
    return {scale: gains[:, comparison.at(scale)] for scale in comparison.scales}


def effect(gains: Float[np.ndarray, "seeds pictures"]) -> Effect:
    over_pictures, over_seeds = estimate_mean(gains.mean(0)), estimate_mean(gains.mean(1))
    return Effect(float(gains.mean()), over_pictures.half_width, over_seeds.half_width)


def as_markdown(comparison: Comparison) -> str:
    """A ranking: every arm's gain over bicubic, or its score where there is no base, and what the whole model has more than
    it: paired mean ± half of the 95 % t-interval over pictures (± that over seeds)."""
    if not comparison.runs:
        return "no run is finished"
    style = METRICS.get(comparison.metric, Metric(comparison.metric, "", 4, 0))
    based = comparison.metric in comparison.bases
    name = "gain" if based else style.title
    scales = [f" ×{scale_text(scale)}" if scale != 1 else "" for scale in comparison.scales]
    head = ["arm", "equal", "params", "steps", *(name + s for s in scales), *(f"full − arm{s}" for s in scales)]
    lines = []
    arms: dict[tuple[str, str], list[Scored]] = {}
    for run in comparison.runs:
        arms.setdefault((run.budget, run.arm), []).append(run)
    sign = -1 if style.sign < 0 else 1
    means = {key: float(np.mean([comparison.values(run).mean() for run in own])) for key, own in arms.items()}
    for (budget, arm), own in sorted(arms.items(), key=lambda item: -sign * means[item[0]]):
        facts, gains = own[0].facts, paired(comparison, budget, arm)
        line = [arm, "both" if arm == WHOLE else budget, f"{facts['params']:,}", str(facts["steps"])]
        for scale in comparison.scales:
            values = np.stack([comparison.values(run)[comparison.at(scale)] for run in own])
            line.append(number(float(values.mean()), style.digits, signed=based))
        for scale in comparison.scales:
            line.append(_text(effect(gains[scale]), style.digits + 1) if arm != WHOLE and scale in gains else "")
        lines.append(line)
    first, *rest = ("| " + " | ".join(line) + " |" for line in [head, *lines])
    return "\n".join([first, "|" + "---|" * len(head), *rest])


def _text(effect: Effect, digits: int) -> str:
    text = number(effect.mean, digits, signed=True)
    if effect.over_pictures is not None:
        text += f" ± {number(effect.over_pictures, digits)}"
    return text if effect.over_seeds is None else f"{text} (± {number(effect.over_seeds, digits)})"


def read_run(folder: Path, arm: str, budget: str, seed: int) -> Comparison:
    """An evaluated run folder as a comparison of one."""
    facts = load_json(folder / "run.json")
    rows = [
        _pictured(row) for row in read_results(folder / "results.csv") if row["params"] or row["model"] == "bicubic"
    ]
    cases = list(dict.fromkeys((row["image"], row["scale"]) for row in rows))
    models: dict[str, dict[str, dict]] = {}
    for row in rows:
        owner = models.setdefault("bicubic" if row["model"] == "bicubic" else "own", {})
        owner.setdefault(row["metric"], {})[row["image"], row["scale"]] = round(row["value"], DIGITS)
    arrays = {
        owner: {metric: np.array([by_case[case] for case in cases]) for metric, by_case in scores.items()}
        for owner, scores in models.items()
    }
    run = Scored(arm, budget, seed, {name: facts[name] for name in FACTS if name in facts}, arrays["own"])
    return Comparison(cases, arrays.get("bicubic", {}), [run])


def _pictured(row: dict) -> dict:
    """A field from scattered readings as a picture at ×1, named by what was read too."""
    if row["sensors"] is None:
        return row
    return row | {"image": f"{row['image']}, {row['sensors']} sensors, noise {row['noise']:g}", "scale": 1.0}


def read_comparison(path: str | Path) -> Comparison:
    """A sweep.json."""
    table = load_json(Path(path))
    if not isinstance(table, dict) or not {"cases", "bases", "runs"} <= table.keys():
        raise ConfigError(f"{path}: expected a sweep.json with cases, bases and runs; `gridless sweep` writes one")
    cases = [(picture, scale) for picture, scale in table["cases"]]
    runs = [Scored(**{**run, "scores": _arrays(run["scores"], len(cases))}) for run in table["runs"]]
    return Comparison(cases, _arrays(table["bases"], len(cases)), runs)


def write_comparison(comparison: Comparison, path: Path) -> None:
    """sweep.json, one line for each run."""
    runs = [{**vars(run), "scores": _lists(run.scores)} for run in comparison.runs]
    lines = ",\n".join(_json(run) for run in runs)
    text = (
        f'{{"cases": {_json(comparison.cases)},\n"bases": {_json(_lists(comparison.bases))},\n"runs": [\n{lines}\n]}}\n'
    )
    write_text(path, text)


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lists(scores: dict[str, np.ndarray]) -> dict[str, list | float | None]:
    rounded = {metric: [_rounded(x) for x in values] for metric, values in scores.items()}
    return {metric: values if len(set(values)) > 1 else values[0] for metric, values in rounded.items()}


def _rounded(value: float) -> float | None:
    return round(float(value), DIGITS) if math.isfinite(value) else None


def _arrays(scores: dict[str, Sequence | float | None], count: int) -> dict[str, np.ndarray]:
    listed = {metric: values if isinstance(values, list) else [values] * count for metric, values in scores.items()}
    return {metric: np.array([math.inf if x is None else x for x in values]) for metric, values in listed.items()}
