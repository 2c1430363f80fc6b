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
    floats: tuple[float, float] | None
    """Latent floats of the two sides, where both are known."""
    p: float
    """Two-sided, of this contrast alone: of no difference, or, where equality is claimed, of a difference that large."""
    adjusted: float
    """The same among all contrasts of the page (Holm)."""
    supports: bool
    """Whether the mean lies on the claimed side."""
    p_size: float = 1.0
    """Two-sided, of an effect as large as the smallest predicted one, where a size is predicted and the mean is below it."""
    adjusted_size: float = 1.0
    """The same among all tests of the page."""

    @property
    def is_test(self) -> bool:
        """Whether it counts among those that the page corrects for."""
        return self.estimate.count > 1 and not self.contrast.exact

    @property
    def excludes(self) -> bool:
        """Whether the page establishes that the effect is smaller than predicted."""
        return self.adjusted_size < ALPHA

    @property
    def sign(self) -> int:
        """+1 for the claim, −1 against it, 0 where the page as a whole does not establish it."""
        exact = self.contrast.exact and self.estimate.mean != 0
        return (1 if self.supports else -1) if exact or self.adjusted < ALPHA else 0

    @property
    def size_ratio(self) -> float | None:
        """Parameters of the arm over those of the other side, where they differ by more than 5 %."""
        return _ratio(self.parameters)

    @property
    def floats_ratio(self) -> float | None:
        """Latent floats of the arm over those of the other side, where they differ by more than 5 %."""
        return _ratio(self.floats)


def measure(
    contrast: Contrast, runs: Sequence[dict], equal: float | None = None, least: float | None = None
) -> Effect | None:
    """The effect that `runs` show by itself, not yet adjusted; None where a side has no run. Only seeds that were planned
    count, and two arms are held against each other at one commit only. `equal`: what is claimed is a difference of at most
    this; `least`: of at least this."""
    arm, against, metric = _runs_of(contrast.arm, contrast, runs), None, contrast.metric
    if isinstance(contrast.against, str):
        against = _runs_of(contrast.against, contrast, runs)
        arm = {
            seed: run
            for seed, run in arm.items()
            if seed in against and run.get("commit") == against[seed].get("commit")
        }
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
        contrast, estimate, (float(ours.mean()), float(theirs.mean())),
        _means("params", arm, against), _means("latent_floats", arm, against), estimate.p_value(null),
        1.0, estimate.mean > 0 if equal is None else abs(estimate.mean) < equal,
        1.0 if least is None or estimate.mean >= least else estimate.p_value(least),
    )  # fmt: skip


def page_effects(claims: Sequence[Claim], tables: Mapping[str, dict]) -> dict[str, list[Effect]]:
    """The effects of every claim by its id, their p-values adjusted over all tests of the page: of every sampled contrast
    one against no difference, and one against the smallest predicted effect where a claim has one. A contrast that was
    counted, or that has a single run, is no test and does not count among them."""
    every = [(claim, effect) for claim in claims for effect in _effects(claim, tables)]
    tested = [i for i, (_, effect) in enumerate(every) if effect.is_test]
    sized = [i for i in tested if every[i][0].least is not None]
    adjusted = holm([every[i][1].p for i in tested] + [every[i][1].p_size for i in sized])
    zero = dict(zip(tested, adjusted, strict=False))
    size = dict(zip(sized, adjusted[len(tested) :], strict=True))
    out: dict[str, list[Effect]] = {claim.id: [] for claim in claims}
    for i, (claim, effect) in enumerate(every):
        out[claim.id].append(replace(effect, adjusted=zero.get(i, 1.0), adjusted_size=size.get(i, 1.0)))
    return out


def _effects(claim: Claim, tables: Mapping[str, dict]) -> list[Effect]:
    for tests in (claim.tests, claim.before):
        present = [test for test in tests if test.file in tables]
        effects = [measure(test, tables[test.file]["runs"], claim.equal, claim.least) for test in present]
        if any(effects):
            return [effect for effect in effects if effect is not None]
    return []


def commits(table: Mapping) -> dict[str, list[dict]]:
    """The runs of a results file by the commit that each was made at; the file's own where a run names none."""
    out: dict[str, list[dict]] = {}
    for run in table["runs"]:
        out.setdefault(run.get("commit", table["commit"]), []).append(run)
    return out


def _runs_of(arm: str, contrast: Contrast, runs: Sequence[dict]) -> dict[int, dict]:
    """By seed, those that were planned."""
    return {
        run["seed"]: run
        for run in runs
        if run["arm"] == arm and contrast.metric in run["scores"] and run["seed"] < contrast.seeds
    }


def _means(fact: str, arm: dict[int, dict], against: dict[int, dict] | None) -> tuple[float, float] | None:
    sides = (list(arm.values()), [] if against is None else [against[seed] for seed in arm])
    if not all(side and all(fact in run for run in side) for side in sides):
        return None
    ours, theirs = (float(np.mean([run[fact] for run in side])) for side in sides)
    return ours, theirs


def _ratio(sides: tuple[float, float] | None) -> float | None:
    if sides is None or abs(sides[0] / sides[1] - 1) <= SIZES_MATCH:
        return None
    return sides[0] / sides[1]
