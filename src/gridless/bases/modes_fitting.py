"""Clusters of training fields that look alike, their modes, and what these leave out.

Clusters: k-means on the magnitudes of the fields' windowed spectra, which do not change when a field is shifted, then
some rounds of reassigning every field to its likeliest cluster. The rest is measured on fields that the cluster's own
modes have not seen (each half of a cluster on the modes of the other), cell by cell: it is largest where polynomials fail.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gridless.bases.clusters import k_means, principal
from gridless.bases.modes import CELLS, Pod, chunks
from gridless.coords import grid
from gridless.data.waves import WaveSource, fixed

SNAPSHOTS = 2000  # training fields of each family, at least
PER_CLUSTER = 600  # … and, on average, of each cluster
FEWEST = 4  # … of a cluster that answers
AT_ONCE = 2000  # snapshots
REASSIGNMENTS = 4


@torch.no_grad()
def fit_pod(pod: Pod, source: WaveSource) -> Pod:
    """Clusters, means and modes of the training fields of these families."""
    clusters, modes = len(pod.shares), pod.modes.shape[1]
    count = max(SNAPSHOTS, -(-PER_CLUSTER * clusters // len(source.families)))
    parts = [_snapshots(pod, family, count, spectra=clusters > 1) for family in source.families]
    coefficients, spectra = (torch.cat(part).to(pod.mean) for part in zip(*parts, strict=True))
    pod.mean.copy_(coefficients.mean(0))
    away = coefficients - pod.mean
    pod.modes.copy_(principal(away)[1][:, :modes])
    weights = away @ pod.modes
    outside = (away.square().sum(1) - weights.square().sum(1)).clamp(min=0)
    chosen = weights.new_zeros(len(weights), dtype=torch.long) if clusters == 1 else k_means(spectra, clusters)
    for _ in range(REASSIGNMENTS if clusters > 1 else 0):
        chosen = _likeliest(pod, weights, _describe(pod, weights, outside, chosen))
    _doubt(pod, source, weights, outside, chosen)
    _describe(pod, weights, outside, chosen)
    return pod


def _snapshots(pod: Pod, family: str, count: int, spectra: bool) -> tuple[Tensor, Tensor]:
    """Polynomials of training fields, (count, degree^d), and the magnitudes of their spectra (or none)."""
    nodes, weights = np.polynomial.legendre.leggauss(pod.degree)
    points, share = _product((nodes + 1) / 2, pod.axes), _product(weights / 2, pod.axes).prod(-1)
    project = (pod.basis(points) * share[:, None]).float()
    even = grid(*[CELLS] * pod.axes)
    window = _product(np.hanning(CELLS + 2)[1:-1], pod.axes).prod(-1).float()
    fields, found = fixed(family, "train", count), []
    for start in range(0, count, AT_ONCE):
        some = fields[start : start + AT_ONCE]
        values = some(points.float().expand(len(some), -1, -1))[..., 0]
        polynomials, magnitudes = values @ project, torch.zeros(len(some), 0)
        if spectra:
            seen = (some(even.expand(len(some), -1, -1))[..., 0] - 0.5) * window
            seen = seen.unflatten(1, [CELLS] * pod.axes)
            magnitudes = torch.fft.rfftn(seen, dim=tuple(range(1, 1 + pod.axes))).abs().flatten(1)
        found.append((polynomials, magnitudes))
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


def _describe(
    pod: Pod, weights: Tensor, outside: Tensor, chosen: Int[Tensor, " S"], most: Int[Tensor, " K"] | None = None
) -> Float[Tensor, " K"]:
    """Share, mean and modes (`most`: so many; None: as its fields can tell) of every cluster, and the variance of what its
    modes leave out of its own fields; one with too few fields to tell gets no share. Fields of cluster −1 are left out."""
    rank, left = pod.factors.shape[2], weights.new_zeros(len(pod.shares))
    for k in range(len(pod.shares)):
        own = chosen == k
        count = int(own.sum())
        pod.shares[k] = count / len(weights) if count >= FEWEST else 0
        pod.factors[k] = 0
        if count == 0:
            continue
        pod.centres[k] = weights[own].mean(0)
        variances, modes = principal(weights[own] - pod.centres[k])
        kept = min(rank, count // 2 if most is None else int(most[k]))  # fewer fields do not tell so many modes
        pod.factors[k, :, :kept] = modes[:, :kept] * variances[:kept].sqrt()
        left[k] = variances[kept:].sum() + outside[own].mean()
    pod.shares /= pod.shares.sum()
    return left


def _likeliest(pod: Pod, weights: Float[Tensor, "S M"], left: Float[Tensor, " K"]) -> Int[Tensor, " S"]:
    """The cluster of each training field, all of whose weights are known."""
    best, chosen = weights.new_full((len(weights),), -torch.inf), weights.new_zeros(len(weights), dtype=torch.long)
    for k, (share, factor) in enumerate(zip(pod.shares, pod.factors, strict=True)):
        modes, variances = _directions(factor)
        others = weights.shape[1] - len(variances)
        noise = (left[k] / weights.shape[1]).clamp(min=1e-9)
        away = weights - pod.centres[k]
        along = away @ modes
        across = away.square().sum(1) - along.square().sum(1)
        spread = (variances + noise).log().sum() + others * noise.log()
        score = share.log() - 0.5 * (across / noise + (along.square() / (variances + noise)).sum(1) + spread)
        chosen = torch.where(score > best, k, chosen)
        best = torch.maximum(score, best)
    return chosen


def _doubt(pod: Pod, source: WaveSource, weights: Tensor, outside: Tensor, chosen: Int[Tensor, " S"]) -> None:
    """The deviation, cell by cell, of the fields of each cluster from the modes of those that it is not among."""
    nearest, second = torch.empty_like(weights), _turns(chosen) == 1
    count = chosen.bincount(minlength=len(pod.shares))
    for half in (second, ~second):
        _describe(pod, weights, outside, chosen.where(~half, -1), count // 2)  # as many modes as will answer
        for k in range(len(pod.shares)):
            own, (modes, _) = half & (chosen == k), _directions(pod.factors[k])
            nearest[own] = pod.centres[k] + (weights[own] - pod.centres[k]) @ modes @ modes.mT
    even = grid(*[CELLS] * pod.axes).to(pod.mean)
    basis, squares, start = pod.basis(even), weights.new_zeros(pod.rest.flatten(1).shape), 0
    for family in source.families:
        fields = fixed(family, "train", len(weights) // len(source.families))
        for some in chunks(len(fields), AT_ONCE):
            part = fields[some]
            which = slice(start, start := start + len(part))
            guess = (pod.mean + nearest[which] @ pod.modes.mT) @ basis.mT
            wrong = part(even.expand(len(part), -1, -1))[..., 0] - guess
            squares.index_add_(0, chosen[which], wrong.square())
    pod.rest.copy_((squares / count.clamp(min=1)[:, None]).sqrt().view_as(pod.rest))


def _directions(factor: Float[Tensor, "M R"]) -> tuple[Float[Tensor, "M r"], Float[Tensor, " r"]]:
    """The modes that a cluster has, orthonormal, and their variances."""
    variances = factor.square().sum(0)
    inside = variances > 0
    return factor[:, inside] / variances[inside].sqrt(), variances[inside]


def _turns(chosen: Int[Tensor, " S"]) -> Int[Tensor, " S"]:
    """0 and 1 by turns among the fields of each cluster."""
    order = chosen.argsort(stable=True)
    count = chosen.bincount()
    first = (count.cumsum(0) - count)[chosen[order]]
    turns = torch.empty_like(chosen)
    turns[order] = (torch.arange(len(chosen), device=chosen.device) - first) % 2
    return turns


def _product(line: np.ndarray, axes: int) -> Float[Tensor, "P d"]:
    """All tuples of numbers of a line, in raster order."""
    return torch.stack(torch.meshgrid(*[torch.from_numpy(line)] * axes, indexing="ij"), -1).flatten(0, -2)
