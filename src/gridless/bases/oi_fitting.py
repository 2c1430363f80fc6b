"""What optimal interpolation takes from an archive: modes, what they leave out, and how likely each hypothesis is.

Everything is judged by fields that were left out, run by run: in-sample, late modes would hold too much and leave out too
little, for they were chosen to. So the variance of mode j is that of the j-th mode of the other runs (never more than that
of an earlier one), the residual is measured cell by cell, and shapes are compared by the density of sparse readings of the
fields left out, a few changes at a time from two starts: modes everywhere, and modes that hold nearby.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gridless.bases.archive import Archive, GriddedField
from gridless.bases.climatology import Anomalies, Cycle, Sums, harmonics_of, runs
from gridless.bases.covariance import KERNELS
from gridless.bases.oi_prior import MODE_VARIANCES, NOISES, RESIDUAL_VARIANCES, OiPrior, Places, Readings
from gridless.coords import grid
from gridless.domain import Domain

FEWEST = 4  # fields of an archive
RANKS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
LENGTHS = (0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.22, 0.33, 0.5, 0.8, 1.2)  # in units of positions
TAPERS = (0.0, 2.0, 1.2, 0.8, 0.5, 0.33, 0.22)  # 0: none
STRETCHES = (0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.5, 4.0)  # of one axis
LOCAL = (0.0, 0.5, 1.0)  # how much of the residual's variance is that of the cell, rather than of all cells
SENSORS = (15, 120)  # readings of a field that is left out, from … to
JUDGED, ASKED = 64, 200  # fields that are read, and further cells of each that are asked, for the spread
TOGETHER = 7  # of about as many readings, whose evidence is worked out at once
SEARCHED = 28  # of these fields, by which shapes are searched
ROUNDS = 2  # through all options
PRIOR_ROUNDS = 40  # of expectation–maximisation
OPEN = 0.1  # of the prior is left to every hypothesis alike: readings may be noisier than past fields were
LEVEL, NORMAL_LEVEL = 0.9, 1.6449
SMOOTHING = 2  # rounds of averaging with neighbours, of variances


@dataclass(frozen=True)
class Shape:
    """How an archive's covariance is put together; see OiPrior."""

    rank: int
    taper: float
    kernel: str
    length: float
    axis: int
    stretch: float
    local: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """On the grid, in the units of the fields."""

    coefficients: Float[Tensor, "G C H"]
    modes: Float[Tensor, "G C M"]
    residual_std: Float[Tensor, "K G C"]
    prior: OiPrior
    widening: float
    inside: Tensor
    harmonics: int


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Sparse readings of a field, and of what is asked of it, under the modes of other fields."""

    x: Float[Tensor, "N e"]
    modes: Float[Tensor, "N C M"]
    cells: Int[Tensor, " N"]
    anomaly: Float[Tensor, "N C"]
    measured: Tensor
    seen: int


def fit_prior(
    fields: Sequence[GriddedField],
    phase: Float[Tensor, " S"],
    cycle: Cycle,
    periodic: tuple[bool, ...],
    domain: Domain | None,
    count: int,
    kept: int,
) -> Fitted:
    """`count` modes and `kept` shapes of these fields. Raises ValueError for fewer than FEWEST fields, and for different
    grids."""
    if len(fields) < FEWEST:
        raise ValueError(f"optimal interpolation learns from past fields: at least {FEWEST}, got {len(fields)}")
    folds = runs(len(fields))
    sums = Sums.of(fields, phase, cycle, folds)
    harmonics = harmonics_of(fields, phase, cycle, sums, folds)
    every = range(len(folds))
    usual = sums.coefficients(every, harmonics)
    whole = Archive.of(Anomalies(fields, range(len(fields)), phase, usual), periodic, usual.shape[-2])
    positions = grid(*usual.shape[:-2], dtype=torch.float64)
    positions = positions if domain is None else domain.embed(positions)
    spectrum, cases = [], []
    residual, total = torch.zeros(len(RANKS), *whole.mean.shape, dtype=torch.float64), torch.zeros_like(whole.mean)
    for fold, chosen in enumerate(folds):
        usual_of_others = sums.coefficients([other for other in every if other != fold], harmonics)
        others = [number for number in range(len(fields)) if number not in chosen]
        archive = Archive.of(Anomalies(fields, others, phase, usual_of_others), periodic, usual.shape[-2])
        parts = archive.decomposed(count)
        unseen = archive.of_other(Anomalies(fields, list(chosen), phase, usual_of_others))
        judged = np.linspace(0, len(chosen) - 1, min(len(chosen), max(1, JUDGED // len(folds)))).round().astype(int)
        modes = (parts.modes * archive.scale[:, None].float()).double()
        for number in range(len(chosen)):
            anomaly, measured, weights = unseen.explained(number, parts)
            spectrum.append(weights.square())
            residual += _left_out(anomaly, modes, weights) * measured
            total += measured
            if number in judged:
                cases.append(_case(positions, modes, anomaly, measured, len(cases)))
    width = min(len(each) for each in spectrum)
    variances = _decreasing(torch.stack([each[:width] for each in spectrum]).mean(0))
    variance = residual / total.clamp(min=1)  # (L G C)
    mean, variance = _mean(variance, total), _smoothed(variance, total, whole)
    ranks = [rank for rank in RANKS if rank <= width]
    judge = Judge(cases, variances, variance, ranks, mean, positions.shape[-1])
    shapes = judge.search(_axes(domain, positions.shape[-1]), kept)
    prior, widening = judge.weighed(shapes)
    parts = whole.decomposed(width)
    modes = parts.modes.double() * whole.scale[:, None] * variances.sqrt()
    coefficients = usual.flatten(0, -3).clone()
    coefficients[..., 0] += torch.where(whole.covered, whole.mean * whole.scale, 0)
    coefficients = whole.extended(coefficients)
    stds = torch.stack([whole.extended(judge.residual(shape)).sqrt() for shape in shapes])
    return Fitted(coefficients, modes, stds, prior, widening, whole.inside, harmonics)


def _left_out(
    anomaly: Float[Tensor, "G C"], modes: Float[Tensor, "G C M"], weights: Float[Tensor, " M"]
) -> Float[Tensor, "L G C"]:
    """Squares of what the first modes leave out, for every rank."""
    explained = (modes * weights).cumsum(-1)
    explained = torch.cat([torch.zeros_like(explained[..., :1]), explained], -1)
    ranks = [min(rank, explained.shape[-1] - 1) for rank in RANKS]
    return (anomaly[..., None] - explained[..., ranks]).square().movedim(-1, 0)


def _case(x: Tensor, modes: Tensor, anomaly: Tensor, measured: Tensor, number: int) -> LeftOut:
    """Some readings of one field, at random places."""
    rng = np.random.default_rng(number)
    cells = np.flatnonzero(measured.any(1).numpy())
    low, high = SENSORS
    count = min(round(float(np.exp(rng.uniform(np.log(low), np.log(high))))), max(1, len(cells) // 2))
    index = torch.from_numpy(rng.permutation(cells)[: count + ASKED])
    return LeftOut(x[index], modes[index], index, anomaly[index], measured[index] > 0, count)


def _decreasing(values: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
    """The nearest numbers that never increase (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values.tolist():
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] < pools[-1][0]:
            (a, n), (b, m) = pools[-2:]
            pools[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return values.new_tensor([value for value, count in pools for _ in range(count)])


def _mean(variance: Float[Tensor, "L G C"], total: Float[Tensor, "G C"]) -> Float[Tensor, "L 1 C"]:
    return (variance * total).sum(1, keepdim=True) / total.sum(0).clamp(min=1)


def _smoothed(
    variance: Float[Tensor, "L G C"], total: Float[Tensor, "G C"], archive: Archive
) -> Float[Tensor, "L G C"]:
    """With what lies around each cell; where nothing was measured, that of its neighbours."""
    known = (total > 0) & archive.covered
    flat = variance.movedim(0, -1).double()  # (G C L)
    for channel in range(flat.shape[1]):
        flat[:, channel] = archive.nodes.extended(flat[:, channel], known[:, channel])
        for _ in range(SMOOTHING):
            flat[:, channel] = archive.nodes.averaged(flat[:, channel])
    return flat.movedim(-1, 0)


def _axes(domain: Domain | None, count: int) -> tuple[int, ...]:
    """Coordinates of positions along which distances may count otherwise: of a sphere its axis, of a plane each."""
    if domain is None:
        return tuple(range(count)) if count > 1 else ()
    if domain.sphere == (0, 1) or domain.sphere == (1, 0):
        return (2,)
    plane = all(axis.period is None for axis in domain.axes) and domain.sphere is None
    return tuple(range(count)) if plane and count > 1 else ()


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares shapes by the readings of fields that were left out."""

    cases: Sequence[LeftOut]
    variances: Float[Tensor, " M"]
    variance: Float[Tensor, "L G C"]
    ranks: Sequence[int]
    mean: Float[Tensor, "L 1 C"]
    axes: int

    def residual(self, shape: Shape) -> Float[Tensor, "G C"]:
        """Its variance at every cell."""
        row = RANKS.index(shape.rank)
        return (shape.local * self.variance[row] + (1 - shape.local) * self.mean[row]).clamp(
            min=1e-8 * self.mean[0].mean()
        )

    def prior(self, shapes: Sequence[Shape]) -> OiPrior:
        """All hypotheses alike."""
        rates = torch.full((len(shapes), self.axes), 1.0, dtype=torch.float64)
        for row, shape in zip(rates, shapes, strict=True):
            row /= shape.length
            if shape.stretch != 1:
                row[shape.axis] *= shape.stretch
        names, variants = list(KERNELS), len(MODE_VARIANCES) * len(RESIDUAL_VARIANCES) * len(NOISES)
        return OiPrior(
            torch.tensor([shape.rank for shape in shapes]),
            torch.tensor([1 / shape.taper if shape.taper else 0.0 for shape in shapes], dtype=torch.float64),
            torch.tensor([names.index(shape.kernel) for shape in shapes]),
            rates,
            torch.full((len(shapes), variants), -float(np.log(len(shapes) * variants)), dtype=torch.float64),
            self.mean[0].mean(),
        )

    def readings(self, cases: Sequence[LeftOut], shapes: Sequence[Shape], asked: bool = False) -> Readings:
        """What is seen of some fields, or asked; those with fewer are padded."""
        stds = torch.stack([self.residual(shape).sqrt() for shape in shapes], -1)
        parts = [slice(case.seen, None) if asked else slice(case.seen) for case in cases]
        of_cases = [(case.x[i], case.modes[i, :, : len(self.variances)], case.cells[i], case.anomaly[i], case.measured[i])
                    for case, i in zip(cases, parts, strict=True)]  # fmt: skip
        x, modes, cells, anomaly, measured = (
            torch.nn.utils.rnn.pad_sequence(list(each), batch_first=True) for each in zip(*of_cases, strict=True)
        )
        places = Places(x, modes * self.variances.sqrt(), stds[cells])
        return Readings(places, anomaly.flatten(1), measured.flatten(1))

    def log_evidence(self, shapes: Sequence[Shape], most: int = JUDGED) -> Float[Tensor, "S K V"]:
        """Of each field (of `most` of them) under each hypothesis without noise: an archive's cells are read as they are."""
        prior = self.prior(shapes)
        cases = sorted(self.cases[:: -(-len(self.cases) // most)], key=lambda case: case.seen)
        parts = [cases[i : i + TOGETHER] for i in range(0, len(cases), TOGETHER)]
        return torch.cat([prior.log_evidence(self.readings(part, shapes), exact=True) for part in parts])

    def search(self, axes: tuple[int, ...], kept: int) -> list[Shape]:
        """The best shapes of all that were tried, best first."""
        scores: dict[Shape, float] = {}

        def score(shape: Shape) -> float:
            if shape not in scores:
                each = self.log_evidence([shape], SEARCHED)[:, 0]
                scores[shape] = float(each.logsumexp(1).sum())
            return scores[shape]

        few = [rank for rank in self.ranks if rank <= max(1, len(self.variances) // 4)][-1]
        for start in (
            Shape(few, 0.0, "matern12", 0.15, 0, 1.0, 0.5),
            Shape(self.ranks[-1], 0.5, "matern32", 0.1, 0, 1.0, 0.5),
        ):
            best, at = start, score(start)
            for _ in range(ROUNDS):
                for shape in self._changes(best, axes, score):
                    if score(shape) > at:
                        best, at = shape, score(shape)
        return sorted(scores, key=lambda shape: -scores[shape])[:kept]

    def _changes(self, best: Shape, axes: tuple[int, ...], score) -> Iterator[Shape]:
        """One option after the other, each from the best of those before."""
        options = {"length": LENGTHS, "rank": self.ranks, "taper": TAPERS, "kernel": ("matern12", "matern32", "matern52"),
                   "local": LOCAL}  # fmt: skip
        for name, values in options.items():
            tried = [replace(best, **{name: value}) for value in values]
            best = max(tried, key=score)
            yield best
        for axis, stretch in product(axes, STRETCHES):
            yield replace(best, axis=axis if stretch != 1 else 0, stretch=stretch)

    def weighed(self, shapes: Sequence[Shape]) -> tuple[OiPrior, float]:
        """The prior that makes the readings of all fields most likely; and what the spread has to be multiplied by, so
        that an interval holds as much of these fields as it says."""
        prior = self.prior(shapes)
        evidence = self.log_evidence(shapes)
        log_prior = torch.zeros_like(evidence[0]).flatten()
        for _ in range(PRIOR_ROUNDS):
            log_prior = (evidence.flatten(1) + log_prior).softmax(1).mean(0).clamp(min=1e-12).log()
        share = torch.full_like(prior.log_prior, OPEN / prior.log_prior.numel())
        share[:, :: len(NOISES)] += (1 - OPEN) * log_prior.softmax(0).view_as(evidence[0])
        prior = replace(prior, log_prior=share.log())
        return prior, self._widening(prior, shapes)

    def _widening(self, prior: OiPrior, shapes: Sequence[Shape]) -> float:
        needed = []
        for case in self.cases:
            seen, asked = (self.readings([case], shapes, later) for later in (False, True))
            if not asked.measured.any():
                continue
            mean, variance = prior.moments(prior.posterior(seen), seen.places, asked.places, True)
            far = ((mean.flatten(1) - asked.anomaly).abs() / variance.flatten(1).clamp(min=1e-20).sqrt())[
                asked.measured
            ]
            needed.append(far)
        far = torch.cat(needed)
        return float(torch.quantile(far, LEVEL)) / NORMAL_LEVEL if len(far) else 1.0
