"""A solved base as what `Field` asks for."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.mixture import Draws, Solved
from gridless.field import Field
from gridless.samples import Samples


@dataclass(frozen=True, eq=False)
class SolvedBase:
    """Called with the samples, as bases were before they were solved."""

    solved: Solved

    def __call__(self, samples: Samples, coords: Tensor, cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self.solved(coords, cell)

    def std(self, coords: Tensor) -> Float[Tensor, "B Q C"]:
        return self.solved.std(coords)

    def gate(self, cell: Tensor) -> float:
        return self.solved.gate(cell)


@dataclass(frozen=True, eq=False)
class Deviation:
    """No correction to the base, and its standard deviation."""

    solved: Solved

    def __call__(self, coords: Tensor, cell: Tensor) -> Float[Tensor, "B Q 2C"]:
        std = self.solved.std(coords)
        return torch.cat([torch.zeros_like(std), std], -1)


@dataclass(frozen=True, eq=False)
class CorrectedPosterior:
    """Posterior samples of a base to which a correction is added that changes how sure it is: a sample's distance from the
    base grows or shrinks as the standard deviation does."""

    solved: Solved
    correction: object

    def __call__(self, n: int, seed: int) -> "CorrectedDraws":
        return CorrectedDraws(self.solved, self.correction, self.solved.draws(n, seed))


@dataclass(frozen=True, eq=False)
class CorrectedDraws:
    solved: Solved
    correction: object
    draws: Draws

    def __call__(self, coords: Tensor, cell: Tensor) -> Float[Tensor, "B n Q C"]:
        value, std = self.correction(coords, cell).chunk(2, -1)
        ratio = std / self.solved.std(coords)
        return value[:, None] + (self.draws(coords) - self.solved(coords)[:, None]) * ratio[:, None]


def field_of(samples: Samples, solved: Solved) -> Field:
    deviation = Deviation(solved)
    posterior = CorrectedPosterior(solved, deviation)
    return Field(samples, SolvedBase(solved), deviation, spread=True, posterior=posterior)
