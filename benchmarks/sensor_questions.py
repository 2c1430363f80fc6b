"""The questions that weights for any field are asked: fixed fields, fixed readings, 400 places elsewhere.

Every field is read at each count once; noise and placement go round from field to field, so that nine fields that follow one
another have every noise with every placement at every count. Nothing of it depends on a model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from unseen_fields import UNSEEN, unseen_fields

import gridless as gl
from gridless.data.field_kinds import KINDS
from gridless.data.prior import FieldPrior, PriorField

NOISES = (0.0, 0.1, 0.3)  # deviations of the readings' errors, of that of the field
PLACEMENTS = ("random", "clustered", "tracks")
ROUND = len(NOISES) * len(PLACEMENTS)
ASKED = 400  # places of a question
READINGS = 60_000_006  # seed of where the sensors stand, what errors they have and what is asked


@dataclass(frozen=True, eq=False)
class Question:
    """Readings of one field, and the truth (Q) at other places (Q 2); `number`: of the field in its kind."""

    block: str
    kind: str
    number: int
    noise: float
    placement: str
    samples: gl.Samples
    coords: torch.Tensor
    truth: np.ndarray

    @property
    def count(self) -> int:
        return self.samples.values.shape[1]


@dataclass(frozen=True)
class Plan:
    """How many fields of each kind are read at a count: `(0, 4, 8)` are three with noises and placements of their own."""

    counts: dict[int, Sequence[int]]
    rivals: Sequence[int]
    """The fields that the slow rows answer too."""
    darcy: int = 50
    rounds: int = 5
    """Of the clock."""


ALL, HALF, FEW = range(4 * ROUND), range(2 * ROUND), (0, 4, 8)
FULL = {
    "prior": Plan({25: ALL, 50: ALL, 100: ALL, 250: ALL, 500: FEW}, range(ROUND)),
    "unseen": Plan({25: ALL, 50: ALL, 100: ALL, 250: HALF}, range(ROUND)),
}
QUICK = {block: Plan(dict.fromkeys((25, 50, 100), range(ROUND)), FEW, darcy=8, rounds=2) for block in FULL}


def questions(plans: dict[str, Plan], data: Path | None) -> Iterator[Question]:
    """Of the eight kinds of the prior at the seeds of its test split, of six kinds that it does not make, and of the
    pressures of Darcy flow where `data` is a folder with darcy_16_32.npz."""
    for block, plan in plans.items():
        each = 1 + max(max(fields) for fields in plan.counts.values())
        for kind in KINDS if block == "prior" else UNSEEN:
            fields = (
                FieldPrior(kinds=(kind,), split="test", each=each) if block == "prior" else unseen_fields(kind, each)
            )
            for i, (count, numbers) in enumerate(plan.counts.items()):
                for number in numbers:
                    yield question(block, fields[number], number, count, i)
    if data is not None:
        yield from darcy(data / "darcy_16_32.npz", plans["prior"].darcy)


def question(block: str, field: PriorField, number: int, count: int, turn: int = 0) -> Question:
    noise = NOISES[(number + turn) % len(NOISES)]
    placement = PLACEMENTS[(number // len(NOISES) + turn) % len(PLACEMENTS)]
    kind = [*KINDS, *UNSEEN].index(str(field.group))
    rng = np.random.default_rng((READINGS, kind, number, count))
    read = field.read(rng, count, placement)
    coords = field.places(rng, ASKED)
    values = read.values + noise * torch.from_numpy(rng.standard_normal(tuple(read.values.shape), np.float32))
    samples = gl.Samples(values[None], coords=read.coords[None], domain=field.domain)
    truth = field.at(coords)[:, 0].double().numpy()
    return Question(block, str(field.group), number, noise, placement, samples, coords, truth)


def darcy(path: Path, fields: int) -> Iterator[Question]:
    """Pressures on 32 × 32 nodes, in units of each field's deviation: some nodes are read, all others asked."""
    pressures = np.load(path)["y_test32"][:fields].astype(np.float64)
    side = pressures.shape[1]
    nodes = torch.from_numpy(np.stack(np.indices((side, side)), -1).reshape(-1, 2) / side).float()
    for count in (25, 50, 100):
        for number, field in enumerate(pressures):
            values = (field.ravel() - field.mean()) / field.std()
            order = np.random.default_rng((READINGS, len(KINDS) + len(UNSEEN), number, count)).permutation(len(values))
            seen, rest = order[:count], order[count:]
            samples = gl.Samples(torch.from_numpy(values[seen]).float()[None, :, None], coords=nodes[seen][None])
            yield Question("darcy", "Darcy pressure", number, 0.0, "random", samples, nodes[rest], values[rest])
