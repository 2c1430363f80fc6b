"""Lengths of quantities that cannot be compared: how long a field stays alike along one of them, over the first.

A place and a time, a place and an elevation have no common unit, so that kriging weighs how far apart a difference of one
of them puts two readings. All combinations of ratios are looked at roughly, and the likeliest few are weighed in earnest. A
large ratio says that the quantity matters by its trend alone, or not at all.
"""

from collections.abc import Sequence
from itertools import product
from typing import Literal

from gridless.bases.hypotheses import Weighed

ROUGH = ("matern32",)  # stands for all kernels where stretches are compared
KEPT = 3  # stretches of a field


def stretches_of(
    groups: Sequence[int], ratios: Sequence[float], anisotropy: Sequence[float]
) -> list[tuple[float, ...]]:
    """Of every number of a position, the stretch of lengths along it: every combination of `ratios` of the quantities to the
    first; where there is one quantity, `anisotropy` of one axis against the others."""
    if len(set(groups)) > 1:
        combinations = product((1.0,), *[ratios] * (len(set(groups)) - 1))
        return [tuple(combination[group] for group in groups) for combination in combinations]
    others, axes = [ratio for ratio in anisotropy if ratio != 1], range(len(groups))
    alone = [tuple(ratio if i == axis else 1.0 for i in axes) for axis in axes for ratio in others]
    return [(1.0,) * len(groups), *(alone if len(groups) > 1 else [])]


def trends_of(trend: Literal["constant", "linear", "either"], groups: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Along which numbers of a position a field may have a linear trend: none, all; and of several quantities, all but the
    first, as temperature falls with elevation wherever one is."""
    none, every = tuple(0.0 for _ in groups), tuple(1.0 for _ in groups)
    beside = tuple(float(group > 0) for group in groups)
    linear = (every,) if beside == none else (beside, every)
    return {"constant": (none,), "linear": linear, "either": (none, *linear)}[trend]


def likeliest(weighed: Weighed, stretches: int) -> list[int]:
    """The stretches under which readings of one field are likeliest, over all other hypotheses of a table of one kernel."""
    table, evidence = weighed.table, weighed.log_evidence[0]
    rest = len(table.noise) * (1 if table.variance is None else len(table.variance))
    of_each = evidence.view(-1, stretches, rest).logsumexp((0, 2))
    return sorted(of_each.topk(min(KEPT, stretches)).indices.tolist())
