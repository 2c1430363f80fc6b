"""Batches that are shown several times, with other questions each time and their base solved once: where solving a base
costs more than a step.

BLOCK batches are drawn, shown `train.reuse` times in another order each time, and given up for the next ones. Which batch
and which questions a step sees depends on the seed and the step alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gridless.config import Train
from gridless.protocols import Answer, Base, Batch, Solved, answer_of
from gridless.samples import moved_parts

BLOCK = 32  # batches
SPARE = 4  # times the questions of a step are drawn and answered by the base


@dataclass(frozen=True, eq=False)
class Remembered:
    """A solved base that remembers its answers to the questions of a batch and its readings left out."""

    asked: Answer
    left: Answer | None

    name = "remembered"
    spread = True
    differentiable = False

    @classmethod
    def of(cls, solved: Solved, batch: Batch) -> "Remembered":
        left = getattr(solved, "left_out", None)
        return cls(answer_of(solved, batch.coords, batch.cell), None if left is None else left())

    def __call__(self, coords: Tensor, cell: Tensor | None = None) -> Tensor:
        return self.asked.mean

    def std(self, coords: Tensor, cell: Tensor | None = None) -> Tensor | None:
        return self.asked.std

    def mean_and_std(self, coords: Tensor, cell: Tensor | None = None) -> Answer:
        """Of the questions it was made for."""
        return self.asked

    def left_out(self) -> Answer | None:
        """At each reading, without it."""
        return self.left

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "Remembered":
        return moved_parts(self, device)

    def part(self, index: Tensor) -> "Remembered":
        """Of some questions."""
        std = self.asked.std
        return replace(self, asked=Answer(self.asked.mean[:, index], None if std is None else std[:, index]))


def reused(stream: Iterator[Batch], train: Train, base: Base, device, start: int) -> Iterator[Batch]:
    """The batches of step `start` and all that follow. `stream`: those that are drawn, from the first of its block on."""
    block, place = divmod(start, BLOCK * train.reuse)
    while True:
        drawn = [_solved(next(stream), base, device) for _ in range(BLOCK)]
        for step in range(place, BLOCK * train.reuse):
            turn, i = divmod(step, BLOCK)
            order = np.random.default_rng((train.seed, block, turn)).permutation(BLOCK)
            yield _part(drawn[order[i]], train.queries, np.random.default_rng((train.seed, block, turn, i)))
        block, place = block + 1, 0


@torch.no_grad()
def _solved(batch: Batch, base: Base, device) -> Batch:
    batch = batch.to(device)
    return replace(batch, solved=Remembered.of(base.solve(batch.samples), batch))


def _part(batch: Batch, queries: int | None, rng: np.random.Generator) -> Batch:
    count = batch.coords.shape[1]
    index = torch.from_numpy(rng.permutation(count)[: queries or count]).to(batch.coords.device)
    measured = None if batch.measured is None else batch.measured[:, index]
    assert isinstance(batch.solved, Remembered), "solved when it was drawn"
    return replace(
        batch,
        coords=batch.coords[:, index],
        target=batch.target[:, index],
        measured=measured,
        solved=batch.solved.part(index),
    )
