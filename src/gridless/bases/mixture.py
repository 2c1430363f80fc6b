"""Two solved bases, weighed by the evidence of the readings: one that knows the fields of its training, and one that knows
nothing but that fields are smooth.

For each sample, p = probability of the first: the answer is the mean of the mixture p N(m, s^2) + (1 - p) N(m', s'^2), the
variance is the mean of both plus p (1 - p) (m - m')^2, and a posterior sample is one of the first or of the second.
"""

import warnings
from dataclasses import dataclass
from math import log
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.bases.mode_mixture import NEGLIGIBLE
from gridless.protocols import Answer
from gridless.samples import Samples

FAMILIAR = 0.99  # prior probability that a field is like the training fields


class Draws(Protocol):
    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]: ...


class Solved(Protocol):
    """A base whose spread is known."""

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]: ...

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]: ...

    def draws(self, n: int, seed: int) -> Draws: ...

    def to(self, device) -> "Solved": ...


class Weighable(Solved, Protocol):
    """… and how well it explains the readings."""

    @property
    def log_evidence(self) -> Float[Tensor, "B C"]:
        """Logarithm of the density of the readings of each channel, in their own units."""
        ...


class Base(Protocol):
    def solve(self, samples: Samples) -> Weighable: ...


@dataclass(frozen=True, eq=False)
class SolvedMixture:
    first: Solved
    second: Solved
    familiarity: Float[Tensor, " B"]
    """Probability of the first."""

    spread = True
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        first = self.first(coords, cell)
        return first + self._correction(first, coords, cell)

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        p, first, second = self.familiarity[:, None, None], self.first.std(coords, cell), self.second.std(coords, cell)
        apart = (self.first(coords, cell) - self.second(coords, cell)).square()
        variance = p * first.square() + (1 - p) * second.square() + p * (1 - p) * apart
        return torch.where(p < 1, variance.sqrt().to(first), first)

    def draws(self, n: int, seed: int) -> "MixtureDraws":
        generator = np.random.default_rng((seed, 1))  # every field of a batch sees the same numbers
        lots = torch.from_numpy(generator.random(n)).to(self.familiarity)
        return MixtureDraws(self.first.draws(n, seed), self.second.draws(n, seed), lots < self.familiarity[:, None])

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedMixture":
        return SolvedMixture(self.first.to(device), self.second.to(device), self.familiarity.to(device))

    def _correction(self, first: Tensor, coords: Tensor, cell: Tensor | None) -> Float[Tensor, "B Q C"]:
        """None for a field that is surely of the first kind, whatever the second says."""
        p = self.familiarity[:, None, None].to(first)
        return torch.where(p < 1, (1 - p) * (self.second(coords, cell).to(first) - first), 0)


@dataclass(frozen=True, eq=False)
class ReadingMixture(SolvedMixture):
    """Of two bases that both know the error of a reading."""

    def reading_variance(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B 1 C"]:
        """Of a reading around the field."""
        p, parts = self.familiarity[:, None, None], (self.first, self.second)
        first, second = (part.reading_variance(coords) for part in parts)  # pyright: ignore[reportAttributeAccessIssue]
        return (p * first + (1 - p) * second).to(second)

    def left_out(self) -> Answer:
        """What would be answered at each reading's place without it, as much of either base as all readings say. Raises
        ValueError where one of them cannot leave readings out."""
        parts = [getattr(part, "left_out", None) for part in (self.first, self.second)]
        if None in parts:
            raise ValueError("one of these bases cannot leave readings out")
        first, second = (part() for part in parts)  # pyright: ignore[reportOptionalCall]
        p = self.familiarity[:, None, None].to(first.mean)
        apart = p * (1 - p) * (first.mean - second.mean).square()
        variance = p * first.deviation().square() + (1 - p) * second.deviation().square() + apart
        return Answer(p * first.mean + (1 - p) * second.mean, variance.sqrt())


def familiarity(log_evidence: Float[Tensor, " B"], fallback: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """How likely readings are of a field like the training fields; one where the fallback is negligible, and none where
    they are."""
    probability = torch.sigmoid(log_evidence - fallback + log(FAMILIAR / (1 - FAMILIAR)))
    probability = torch.where(probability > 1 - NEGLIGIBLE, 1, probability)
    return torch.where(probability < NEGLIGIBLE, 0, probability)


def warn_of_unlike(unlike: int, batch: int) -> None:
    """Warns where there are any."""
    if unlike:
        warnings.warn(
            f"the readings of {unlike} of {batch} fields are unlike the fields this model was trained on: the answer is "
            "less sure there; train on fields of this kind, or use kriging",
            stacklevel=3,
        )


@dataclass(frozen=True, eq=False)
class MixtureDraws:
    first: Draws
    second: Draws
    chosen: Bool[Tensor, "B n"]
    """Which samples are of the first."""

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]:
        return torch.where(self.chosen[..., None, None], self.first(coords), self.second(coords))
