"""How many steps a training takes, and where on the schedule each of them stands.

A budget in seconds becomes steps by a few timed ones on a copy of the model. A machine's speed changes, so whenever
another tenth of the schedule is done, the steps that are left are counted anew from the time that the last tenth took: the
schedule goes on from where it stands and reaches its end at the new last step. What was decided is kept with the
checkpoint written at the same step, so that an interrupted training goes on with the plan that it had.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from math import floor

import numpy as np
from pydantic import NonNegativeFloat, NonNegativeInt

from gridless.config.frozen import config

TENTHS = 10
WARM, TIMED = 4, 24  # steps on a copy that a budget's first plan is made from
SHARE = 0.05  # of the budget that they may take
FEWEST = 10  # steps, whatever the budget


@config
class Plan:
    """A stretch of the schedule: from `progress` (0 … 1) after step `begin`, when `seconds` had been spent, to 1 at step
    `end`."""

    begin: NonNegativeInt
    end: NonNegativeInt
    progress: NonNegativeFloat = 0.0
    seconds: NonNegativeFloat = 0.0

    def at(self, step: int) -> float:
        """The share of the schedule that is done after this step."""
        return self.progress + (1 - self.progress) * (step - self.begin) / (self.end - self.begin)

    def is_milestone(self, step: int) -> bool:
        """Whether another tenth of the schedule ends with this step, and steps are left."""
        tenths = [floor(TENTHS * self.at(s) + 1e-9) for s in (step - 1, step)]
        return tenths[0] < tenths[1] < TENTHS and step < self.end

    def replanned(self, step: int, seconds: float, budget: float) -> "Plan":
        """After `seconds` at this step: as many more steps as fit into the budget at the speed of this stretch."""
        each = (seconds - self.seconds) / (step - self.begin)
        left = max(1, round((budget - seconds) / max(each, 1e-9)))
        return replace(self, begin=step, end=step + left, progress=self.at(step), seconds=seconds)


@config
class State:
    """Where a training stands."""

    step: NonNegativeInt
    train_seconds: NonNegativeFloat
    """Spent on fitting the base and on steps, not on validation."""
    plan: Plan
    best_score: float | None = None
    """Of the weights that are kept, where those that validate best are; less is better."""
    best_step: NonNegativeInt = 0


def steps_within(seconds: float, step: Callable[[int], object]) -> int:
    """How many steps fit into `seconds`, from the median of a few that are taken now."""
    times, began = [], time.perf_counter()
    for number in range(WARM + TIMED):
        start = time.perf_counter()
        step(number)
        times.append(time.perf_counter() - start)
        if number >= 2 and time.perf_counter() - began > SHARE * seconds:
            break
    warm = min(WARM, len(times) // 2)
    return max(FEWEST, int(seconds / max(1e-9, float(np.median(times[warm:])))))
