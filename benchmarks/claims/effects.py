"""From the runs of a results file to effects: paired by seed, with a t-interval, and p-values adjusted over the page.

A results file holds {"about", "command", "commit", "hardware", "runs": [{"arm", "seed", "scores": {…}, "params", "steps",
"train_seconds", "commit"}]}. An effect is the mean over seeds of arm − against: same seed, same weights where they fit,
same data order. Each has a spread of its own: Student's t pays for estimating it from a few seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import copysign

import numpy as np

from benchmarks.claims.rules import Claim, Contrast
from gridless.scoring.statistics import MeanEstimate, estimate_mean, holm

ALPHA = 0.05
SIZES_MATCH = 0.05
"""Share by which the parameters of two sides may differ without a word."""


@dataclass(frozen=True)
class Effect:
    """What one contrast shows. `estimate` is in units of the metric, positive where the arm is better."""

    contrast: Contrast
    estimate: MeanEstimate
    values: tuple[float, float]
    """Means of the arm and of what it stands against."""
    parameters: tuple[float, float] | None
    """Of the two sides, where both are known."""
    p: float
    """Two-sided, of this contrast alone: of no difference, or, where equality is claimed, of a difference that large."""
    adjusted: float
    """The same among all contrasts of the page (Holm)."""
    supports: bool
    """Whether the mean lies on the claimed side."""

    @property
    def sign(self) -> int:
        """+1 for the claim, −1 against it, 0 where the page as a whole does not establish it."""
        exact = self.contrast.exact and self.estimate.mean != 0
        return (1 if self.supports else -1) if exact or self.adjusted < ALPHA else 0

    @property
    def size_ratio(self) -> float | None:
        """Parameters of the arm over those of the other side, where they differ by more than 5 %."""
        if self.parameters is None or abs(self.parameters[0] / self.parameters[1] - 1) <= SIZES_MATCH:
            return None
        return self.parameters[0] / self.parameters[1]


def measure(contrast: Contrast, runs: Sequence[dict], equal: float | None = None) -> Effect | None:
    """The effect that `runs` show by itself, not yet adjusted; None where a side has no run. `equal`: what is claimed is a
    difference of at most this."""
    arm, against, metric = _runs_of(contrast.arm, contrast.metric, runs), None, contrast.metric
    if isinstance(contrast.against, str):
        against = _runs_of(contrast.against, metric, runs)
        arm = {seed: run for seed, run in arm.items() if seed in against}
    if not arm:
        return None
    ours = np.array([run["scores"][metric] for run in arm.values()], dtype=float)
    if against is None:
        theirs = np.full(len(ours), contrast.against, dtype=float)
    else:
        theirs = np.array([against[seed]["scores"][metric] for seed in arm], dtype=float)
    differences = (-1 if contrast.lower else 1) * (ours - theirs)
    repeated = len(set(ours)) == 1 and len(set(theirs)) == 1 and not contrast.exact
    estimate = estimate_mean(
        differences[:1] if repeated else differences
    )  # one measurement, written down several times
    null = 0.0 if equal is None else copysign(equal, estimate.mean)
    return Effect(
        contrast, estimate, (float(ours.mean()), float(theirs.mean())), _parameters(arm, against), estimate.p_value(null),
        1.0, estimate.mean > 0 if equal is None else abs(estimate.mean) < equal,
    )  # fmt: skip


def page_effects(claims: Sequence[Claim], tables: Mapping[str, dict]) -> dict[str, list[Effect]]:
    """The effects of every claim by its id, their p-values adjusted over all sampled contrasts of the page. A contrast that
    was counted, or that has a single run, is no test and does not count among them."""
    found = [
        (claim.id, effect)
        for claim in claims
        for test in claim.tests
        if test.file in tables and (effect := measure(test, tables[test.file]["runs"], claim.equal)) is not None
    ]
    tested = [i for i, (_, effect) in enumerate(found) if effect.estimate.count > 1 and not effect.contrast.exact]
    adjusted = dict(zip(tested, holm([found[i][1].p for i in tested]), strict=True))
    out: dict[str, list[Effect]] = {claim.id: [] for claim in claims}
    for i, (name, effect) in enumerate(found):
        out[name].append(replace(effect, adjusted=adjusted.get(i, 1.0)))
    return out


def commits(table: Mapping) -> dict[str, list[dict]]:
    """The runs of a results file by the commit that each was made at; the file's own where a run names none."""
    out: dict[str, list[dict]] = {}
    for run in table["runs"]:
        out.setdefault(run.get("commit", table["commit"]), []).append(run)
    return out


def _runs_of(arm: str, metric: str, runs: Sequence[dict]) -> dict[int, dict]:
    return {run["seed"]: run for run in runs if run["arm"] == arm and metric in run["scores"]}


def _parameters(arm: dict[int, dict], against: dict[int, dict] | None) -> tuple[float, float] | None:
    sides = (list(arm.values()), [] if against is None else [against[seed] for seed in arm])
    if not all(side and all("params" in run for run in side) for side in sides):
        return None
    ours, theirs = (float(np.mean([run["params"] for run in side])) for side in sides)
    return ours, theirs
