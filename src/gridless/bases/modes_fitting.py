"""Clusters of training fields that look alike, their modes, and what these leave out.

Clusters: k-means on the magnitudes of the fields' windowed spectra, which do not change when a field is shifted, then
some rounds of reassigning every field to its likeliest cluster. The residual is measured on fields that the cluster's own
modes have not seen (each half of a cluster on the modes of the other), cell by cell: it is largest where modes fail.
"""

import time
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gridless import config
from gridless.bases.archive import Archive, GriddedField
from gridless.bases.clusters import k_means, principal
from gridless.bases.mode_mixture import chunks
from gridless.bases.spatial import Legendre
from gridless.bases.training_fields import CELLS, FormulaFields, Formulas, TrainingFields
from gridless.data.signals import Formula, GridSignal, Signal
from gridless.data.sources import Source
from gridless.data.sources import signals as as_signals
from gridless.data.waves import WaveSource


class FittedModes(nn.Module):
    """The buffers that fitting fills (`Modes`)."""

    config: config.Pod
    axes: int
    channels: int
    mean: Tensor
    modes: Tensor
    cluster_means: Tensor
    cluster_factors: Tensor
    cluster_shares: Tensor
    residual_std: Tensor
    scale: Tensor
    inside: Tensor
    joins: Tensor

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Axes of the grid that join at their ends."""
        return tuple(self.joins.tolist())


FEWEST = 4  # fields of a cluster that answers
AT_ONCE = 500  # fields
REASSIGNMENTS = 4
SNAPSHOTS = 2000  # training fields of each kind, at least
PER_CLUSTER = 600  # … and, on average, of each cluster


@torch.no_grad()
def fit_modes(modes: FittedModes, fields: Sequence[GriddedField] | FormulaFields) -> dict[str, float | int]:
    """Clusters, means and modes of exactly these training fields; says how many there were and how long it took.

    `fields`: with base.representation "grid" a sequence of gridded fields, each with `values` (*grid C) and a `mask`
    (*grid) bool or None, all on one grid, read a few at a time and several times; NaN is not measured. With "legendre",
    formula fields: a batch that is called at coordinates (B Q d) and sliced, such as `Waves`. Raises ValueError for fields
    of another number of axes or channels, of different grids, and for fewer than two.
    """
    begun, clusters = time.perf_counter(), len(modes.cluster_shares)
    if len(fields) < 2:
        raise ValueError(
            f"modes are what fields differ by: fit_modes takes at least 2 training fields, got {len(fields)}"
        )
    count = modes.config.modes
    if modes.config.representation == "grid":
        training = Archive.of(fields, modes.periodic, modes.channels)
    else:
        training = Formulas(fields, Legendre(modes.config.degree), (CELLS,) * modes.axes, modes.channels)
    modes.scale, modes.inside = training.scale.to(modes.mean), training.inside.to(modes.mean.device)
    parts = training.decomposed(count)
    modes.mean, modes.modes = parts.mean.to(modes.mean), parts.modes.to(modes.mean)
    weights, outside = parts.weights.to(modes.mean), parts.outside.to(modes.mean)
    chosen = weights.new_zeros(len(weights), dtype=torch.long)
    if clusters > 1:
        chosen = k_means(training.spectra().to(weights), clusters)
    for _ in range(REASSIGNMENTS if clusters > 1 else 0):
        chosen = _likeliest(modes, weights, _describe(modes, weights, outside, chosen))
    _measure_residual(modes, training, weights, outside, chosen)
    _describe(modes, weights, outside, chosen)
    return {"base_fields": len(fields), "base_seconds": round(time.perf_counter() - begun, 3)}


class FormulaBatch:
    """Formula signals as one batch of fields, called at coordinates and sliced."""

    def __init__(self, formulas: Sequence[Formula]):
        self.formulas = formulas

    def __len__(self) -> int:
        return len(self.formulas)

    def __getitem__(self, some: slice) -> "FormulaBatch":
        return FormulaBatch(self.formulas[some])

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        return torch.stack([formula.at(x) for formula, x in zip(self.formulas, coords, strict=True)])


def training_fields(modes: FittedModes, data: Sequence | Source) -> Sequence[GridSignal] | FormulaFields:
    """What modes are fitted to, of the data that training has: anything that `gl.fit` takes. Raises ValueError where they
    hold something else than the modes' representation."""
    data = as_signals(data)
    if isinstance(data, WaveSource):
        return data.first(enough_fields(modes, len(data.families)))
    signals = data.draw(np.random.default_rng(0), enough_fields(modes)) if isinstance(data, Source) else data
    first = signals[0]
    if _all_grids(signals) and modes.config.representation == "grid":
        if first.domain is not None and not modes.config.periodic:
            modes.joins = torch.tensor(first.domain.joins, device=modes.joins.device)
        return signals
    if _all_formulas(signals) and modes.config.representation == "legendre":
        return FormulaBatch(list(signals))
    raise ValueError(
        f"base.representation {modes.config.representation!r} is fitted to "
        f"{'grids' if modes.config.representation == 'grid' else 'formulas'}, got {type(first).__name__} {first.name}"
    )


def _all_grids(signals: Sequence[Signal]) -> TypeGuard[Sequence[GridSignal]]:
    """As the first is; the others may not be read yet."""
    return isinstance(signals[0], GridSignal)


def _all_formulas(signals: Sequence[Signal]) -> TypeGuard[Sequence[Formula]]:
    return isinstance(signals[0], Formula)


def enough_fields(modes: FittedModes, kinds: int = 1) -> int:
    """So many training fields of each of some kinds tell these modes, where any number can be drawn."""
    return max(SNAPSHOTS, -(-PER_CLUSTER * modes.config.clusters // kinds))


def _describe(
    modes: FittedModes,
    weights: Tensor,
    outside: Tensor,
    chosen: Int[Tensor, " S"],
    most: Int[Tensor, " K"] | None = None,
) -> Float[Tensor, " K"]:
    """Share, mean and modes (`most`: so many; None: as its fields can tell) of every cluster, and the variance of what its
    modes leave out of its own fields; one with too few fields to tell gets no share. Fields of cluster −1 are left out."""
    clusters, rank = len(modes.cluster_shares), modes.config.rank or modes.config.modes
    means, shares = weights.new_zeros(clusters, weights.shape[1]), weights.new_zeros(clusters)
    rank, left_out = min(rank, weights.shape[1]), weights.new_zeros(clusters)
    factors = weights.new_zeros(clusters, weights.shape[1], rank)
    for k in range(clusters):
        members = chosen == k
        count = int(members.sum())
        shares[k] = count / len(weights) if count >= FEWEST or clusters == 1 else 0
        if count == 0:
            continue
        means[k] = weights[members].mean(0)
        variances, directions = principal(weights[members] - means[k])
        kept = min(rank, max(1, count // 2) if most is None else int(most[k]))  # fewer fields do not tell so many modes
        factors[k, :, :kept] = directions[:, :kept] * variances[:kept].sqrt()
        left_out[k] = variances[kept:].sum() + outside[members].mean()
    modes.cluster_means, modes.cluster_factors, modes.cluster_shares = means, factors, shares / shares.sum()
    return left_out


def _likeliest(modes: FittedModes, weights: Float[Tensor, "S M"], left_out: Float[Tensor, " K"]) -> Int[Tensor, " S"]:
    """The cluster of each training field, all of whose weights are known."""
    best, chosen = weights.new_full((len(weights),), -torch.inf), weights.new_zeros(len(weights), dtype=torch.long)
    for k, (share, factor) in enumerate(zip(modes.cluster_shares, modes.cluster_factors, strict=True)):
        directions, variances = _directions(factor)
        others = weights.shape[1] - len(variances)
        noise = (left_out[k] / weights.shape[1]).clamp(min=1e-9)
        away = weights - modes.cluster_means[k]
        along = away @ directions
        across = away.square().sum(1) - along.square().sum(1)
        spread = (variances + noise).log().sum() + others * noise.log()
        score = share.log() - 0.5 * (across / noise + (along.square() / (variances + noise)).sum(1) + spread)
        chosen = torch.where(score > best, k, chosen)
        best = torch.maximum(score, best)
    return chosen


def _measure_residual(
    modes: FittedModes, training: TrainingFields, weights: Tensor, outside: Tensor, chosen: Int[Tensor, " S"]
) -> None:
    """The deviation, cell by cell, of the fields of each cluster from the modes of those that it is not among."""
    clusters, nearest, second = len(modes.cluster_shares), torch.empty_like(weights), _halves(chosen, training.run)
    count = chosen.bincount(minlength=clusters)
    for half in (second, ~second):
        _describe(modes, weights, outside, chosen.where(~half, -1), count // 2)  # as many modes as will answer
        for k in range(clusters):
            members, (directions, _) = half & (chosen == k), _directions(modes.cluster_factors[k])
            away = weights[members] - modes.cluster_means[k]
            nearest[members] = modes.cluster_means[k] + away @ directions @ directions.mT
    at_cells = training.at_cells(torch.cat([modes.mean[..., None], modes.modes], -1))  # (G C 1+M)
    squares = weights.new_zeros(clusters, *at_cells.shape[:2])
    counts = torch.zeros_like(squares)
    for some in chunks(len(weights), AT_ONCE):
        values, measured = (x.to(weights) for x in training.values(some))
        guess = at_cells[..., 0] + torch.einsum("sm,gcm->sgc", nearest[some], at_cells[..., 1:])
        squares.index_add_(0, chosen[some], (values - guess).square() * measured)
        counts.index_add_(0, chosen[some], measured)
    whole = squares.sum(0, keepdim=True) / counts.sum(0, keepdim=True).clamp(min=1)
    variance = torch.where(counts > 0, squares / counts.clamp(min=1), whole * (count > 0)[:, None, None])
    modes.residual_std = torch.stack([training.extended(of_one) for of_one in variance.sqrt()]).unflatten(
        1, modes.inside.shape[:-1]
    )


def _directions(factor: Float[Tensor, "M R"]) -> tuple[Float[Tensor, "M r"], Float[Tensor, " r"]]:
    """The modes that a cluster has, orthonormal, and their variances."""
    variances = factor.square().sum(0)
    inside = variances > 0
    return factor[:, inside] / variances[inside].sqrt(), variances[inside]


def _halves(chosen: Int[Tensor, " S"], run: int) -> Tensor:
    """Which fields of each cluster are of its second half: by turns, `run` neighbours together, which may be alike."""
    order = chosen.argsort(stable=True)
    count = chosen.bincount()
    first = (count.cumsum(0) - count)[chosen[order]]
    place = torch.arange(len(chosen), device=chosen.device) - first
    turns = torch.empty_like(chosen)
    turns[order] = place // run % 2
    return turns == 1
