"""Kriging: a field as a mixture of Gaussian processes, weighed by how likely each makes the readings. Nothing is optimised.

Each field (and channel) is standardised by its own readings, so units do not matter. The hypotheses are trends (a broad
prior on the level, and on a slope) × kernels × lengths × noises (× axes stretched); a field's variance is integrated out.
Quantities that cannot be compared (a place, a time, an elevation: `Domain.groups`) have lengths of their own: the likeliest
stretches of one against the others, then all other hypotheses under those (`stretches.py`).
The likeliest are kept and answer together, weighed by their evidence. Up to LARGEST readings a field is solved whole;
beyond, in overlapping neighbourhoods that are blended smoothly, with hypotheses that are weighed over all of them.

Distances are Euclidean between positions: chords, where the samples' domain is a sphere or periodic. Sources: Matheron,
1963; Rasmussen and Williams, 2006, chapters 2, 4 and 5 (evidence); Wilson et al., 2020 (posterior samples as functions).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gridless.bases.covariance import KERNELS
from gridless.bases.hypotheses import Table
from gridless.bases.solved_kriging import LARGEST, WHOLE, Piece, SolvedKriging, groups
from gridless.bases.standardised import Standardised
from gridless.bases.stretches import ROUGH, likeliest, stretches_of, trends_of
from gridless.field import Field
from gridless.samples import Samples

ITERATIONS = 30  # of expectation–maximisation over hypotheses, when many fields are pooled


@dataclass(frozen=True)
class Kriging:
    """A base that is solved for readings. Lengths are over the extent of the readings (their widest axis) unless `extent`
    gives it in the units of positions; noises are standard deviations over that of the field as its readings show it."""

    kernels: tuple[str, ...] = tuple(KERNELS)
    lengths: tuple[float, ...] = (0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 0.8, 1.3, 2.5, 6.0, 15.0)
    noises: tuple[float, ...] = (0.003, 0.03, 0.1, 0.2, 0.4, 0.8)
    anisotropy: tuple[float, ...] = (1.0,)  # lengths along one axis over those along the others, in flat domains
    ratios: tuple[float, ...] = (0.25, 1.0, 4.0, 64.0)  # lengths along one quantity over those along the first
    trend: Literal["constant", "linear", "either"] = "either"
    neighbours: int = 192  # readings of a neighbourhood, where there are more than LARGEST
    extent: float | tuple[float, ...] | None = (
        None  # one for every number of a position, where it has several quantities
    )
    log_prior: tuple[float, ...] | None = None  # of each hypothesis, as `pooled` finds it

    name = "kriging"
    has_spread = True

    def __post_init__(self):
        unknown = sorted(set(self.kernels) - set(KERNELS))
        if unknown or not self.kernels:
            raise ValueError(f"kernels must be of {', '.join(KERNELS)}, got {self.kernels}")
        for name in ("lengths", "noises", "anisotropy", "ratios"):
            numbers = getattr(self, name)
            if not numbers or min(numbers) < 0 or (name != "noises" and min(numbers) == 0):
                raise ValueError(f"{name} must be positive numbers, at least one, got {numbers}")
        if self.trend not in ("constant", "linear", "either"):
            raise ValueError(f"trend must be one of constant, linear, either, got {self.trend!r}")
        if self.neighbours < 8:
            raise ValueError(f"neighbours must be at least 8, got {self.neighbours}")

    def solve(self, samples: Samples) -> SolvedKriging:
        """What the readings say about the field. Raises ValueError where a field has none, or one that is not finite."""
        standard = Standardised.of(samples, self.extent)
        count = standard.readings.real.sum(1)
        several = len(set(standard.groups)) > 1 and self.log_prior is None
        if several:  # each field has stretches of its own
            rows = torch.arange(len(count), device=count.device)[:, None]
            pieces = [self._piece(standard, self._stretched(standard, row), row) for row in rows]
            return SolvedKriging(samples, standard, tuple(pieces))
        table = self._table(standard)
        few = (count <= WHOLE).nonzero()[:, 0]
        pieces = [Piece.few(standard, table, rows) for rows in few.split(standard.fields_at_once(WHOLE)) if len(rows)]
        pieces += [self._piece(standard, table, row[None]) for row in (count > WHOLE).nonzero()[:, 0]]
        return SolvedKriging(samples, standard, tuple(pieces))

    def _piece(self, standard: Standardised, table: Table, row: Int[Tensor, "1"]) -> Piece:
        """One field, by the number of its readings."""
        count = int(standard.readings.real[row].sum())
        if count <= WHOLE:
            return Piece.few(standard, table, row)
        if count <= LARGEST:
            return Piece.many(standard, table, row)
        return Piece.neighbourhoods_of(standard, table, row, self.neighbours)

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out, and how sure it is of the field (not of a reading)."""
        return Field.of_base(self, samples)

    @classmethod
    def pooled(cls, fields: Sequence[Samples], base: "Kriging | None" = None) -> "Kriging":
        """Kriging for fields like these, in the same domain: what `base` (Kriging() if left out) weighs, with the prior
        that makes the readings of all these fields most likely, each field having a hypothesis of its own."""
        if not fields:
            raise ValueError("no fields to pool; give at least one Samples")
        base = base or cls()
        extent = base.extent or _largest([Standardised.of(some, None).extent for some in fields])
        base, evidence = replace(base, extent=extent, log_prior=None), []
        for some in fields:
            standard = Standardised.of(some, extent)
            table = base._table(standard)
            prior = table.log_prior.flatten()
            for row in range(len(standard.scale)):
                each = table.weigh(groups(standard.of_rows(torch.tensor([row])))).log_evidence
                evidence.append(each.unflatten(1, (len(prior), -1)).logsumexp(2))
        evidence = torch.cat(evidence)
        for _ in range(ITERATIONS):
            prior = (evidence + prior).softmax(1).mean(0).log()
        return replace(base, log_prior=tuple(prior.tolist()))

    def _table(self, standard: Standardised) -> Table:
        """Every hypothesis."""
        return self._of(standard, self._stretches(standard))

    def _stretched(self, standard: Standardised, row: Int[Tensor, "1"]) -> Table:
        """Every hypothesis under the stretches that are likeliest for one field."""
        every = self._stretches(standard)
        rough = replace(self, kernels=ROUGH, lengths=self.lengths[::2], noises=self.noises[::2], log_prior=None)
        weighed = rough._of(standard, every).weigh(groups(standard.of_rows(row)))
        return self._of(standard, [every[i] for i in likeliest(weighed, len(every))])

    def _of(self, standard: Standardised, stretches: list[tuple[float, ...]]) -> Table:
        known, trends = standard.readings.noise is not None, trends_of(self.trend, standard.groups)
        table = Table.of(self.kernels, self.lengths, tuple(stretches), self.noises, self.log_prior, known, trends)
        return table.to(standard.scale.device)

    def _stretches(self, standard: Standardised) -> list[tuple[float, ...]]:
        """Of the lengths along every number of a position."""
        return stretches_of(standard.groups, self.ratios, self.anisotropy if standard.flat else ())


def _largest(extents: Sequence[Float[Tensor, "F e"]]) -> float | tuple[float, ...]:
    """Over all fields; one number where all numbers of a position have the same."""
    largest = torch.cat(list(extents)).amax(0).tolist()
    return largest[0] if len(set(largest)) == 1 else tuple(largest)
