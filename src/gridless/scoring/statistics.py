"""What a mean of paired differences shows: a t-interval, a p-value, and Holm's correction for many of them.

Source: Student 1908; the distribution for whole degrees of freedom is the finite sum of Abramowitz and Stegun 26.7.3 and
26.7.4, exact, so that no table and no further library is needed. Holm 1979, Scandinavian Journal of Statistics 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

LEVEL = 0.95
"""Of every interval in reports and documents."""


@dataclass(frozen=True)
class MeanEstimate:
    """A mean of `count` differences with its standard error, in units of the values. One value has no error: None."""

    mean: float
    count: int
    standard_error: float | None

    @property
    def half_width(self) -> float | None:
        """Of the 95 % interval: the smallest mean that would have differed from zero. None for a single value."""
        if self.standard_error is None:
            return None
        return t_quantile(0.5 + LEVEL / 2, self.count - 1) * self.standard_error

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided, of the mean being `null`. 1 for a single value, which is never significant."""
        distance = abs(self.mean - null)
        if self.standard_error is None or distance == 0:
            return 1.0
        if self.standard_error == 0:
            return 0.0
        return two_sided_p(distance / self.standard_error, self.count - 1)


def estimate_mean(values: Sequence[float] | Float[np.ndarray, " n"]) -> MeanEstimate:
    """The mean of independent `values`, paired differences as a rule. ValueError where there is none."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"a mean needs a list of at least one value, got an array of shape {values.shape}")
    count = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else None
    return MeanEstimate(float(values.mean()), count, error)


def two_sided_p(t: float, degrees: int) -> float:
    """P(|T| ≥ |t|) of Student's distribution with a whole number of degrees of freedom, to about 1e-15."""
    if degrees < 1:
        raise ValueError(f"Student's distribution needs at least 1 degree of freedom, got {degrees}")
    angle = math.atan(abs(t) / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    # products of (k − 1) / k · cos² for k = 2, 4, … (even) or k = 3, 5, … (odd), summed from the empty product on
    k = np.arange(2 + degrees % 2, degrees - 1, 2)
    terms = 1 + float(np.cumprod((k - 1) / k * cosine**2).sum())
    odd = 2 / math.pi * (angle + (sine * cosine * terms if degrees > 1 else 0.0))
    return min(1.0, max(0.0, 1 - (odd if degrees % 2 else sine * terms)))


@cache
def t_quantile(probability: float, degrees: int) -> float:
    """The t that is not exceeded with `probability` ≥ 0.5, to full precision: 2.776 for 0.975 and 4 degrees of freedom.

    ValueError below 0.5 and at 1.
    """
    if not 0.5 <= probability < 1:
        raise ValueError(f"a probability from 0.5 to below 1 is expected, got {probability}")
    outside, low, high = 2 * (1 - probability), 0.0, 1.0
    while two_sided_p(high, degrees) > outside:
        low, high = high, 2 * high
    for _ in range(60):  # halves the interval to the last bit
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, degrees) > outside else (low, middle)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value adjusted for standing among all of them: below α, the chance of any false finding is below α."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
