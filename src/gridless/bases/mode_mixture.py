"""What training fields say about a field before it is read, and what its readings add.

Training fields fall into clusters that look alike (modes_fitting.py). A field of cluster k is, in units of each channel's
own standard deviation,
    m_k(x) + sum_j w_j phi_kj(x) + residual,
with the cluster's mean m_k, its leading modes phi_k (proper orthogonal decomposition), w_j ~ N(0, lambda_kj) and a residual
of variance r_k(x). A reading adds noise N(0, s^2). Given readings y, the weights of a cluster are the posterior mean,
    w = L F' (F L F' + V)^-1 (y - m),    V = diag(s^2 + r_k),
least squares on the sensors (gappy POD, Everson & Sirovich 1995), regularised by how large each mode usually is. The
evidence of y says which clusters it may come from and how noisy it is, and the answer is the mean over these hypotheses: a
mixture of probabilistic principal component analysers (Tipping & Bishop 1999), whose residual is the same everywhere. One
cluster is plain POD.

All clusters share M modes; a cluster's own are combinations of them (`cluster_factors`: directions times deviations).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gridless.bases import evidence
from gridless.bases.spatial import GridNodes, SpatialBasis
from gridless.samples import Samples, joined, mapped, moved_parts

NOISES = (1e-4, 1e-3, 3e-3, 0.01, 0.02, 0.04, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4)  # s, relative to the fields' deviation
SCREENED_NOISES = (0.01, 0.14)  # at which all clusters are compared, by
SCREENED_MODES = 20
SCREENED_CLUSTERS = 16  # that are then compared at all noises
HYPOTHESES = 16  # pairs of a cluster and a noise that an answer is made of
NEGLIGIBLE = 1e-4  # a hypothesis that is so unlikely is left out
NUMBERS_AT_ONCE = 1 << 23  # when clusters are compared


@dataclass(frozen=True, eq=False)
class Readings:
    """Of N places and C channels, in units of each channel's scale."""

    coords: Float[Tensor, "B N d"]
    values: Float[Tensor, "B N C"]
    measured: Bool[Tensor, "B N C"]
    noise_variance: Float[Tensor, "B N C"] | None
    """What is known about a reading's noise; hypotheses come on top."""

    @classmethod
    def of(cls, samples: Samples, scale: Float[Tensor, " C"]) -> "Readings":
        """A value that is not finite is a channel that was not measured."""
        points = samples.as_points()
        values = points.values.double() / scale.double()
        measured = values.isfinite()
        if points.mask is not None:
            measured = measured & points.mask[..., None]
        noise = getattr(points, "noise", None)
        variance = None if noise is None else (noise.double()[..., None] / scale.double()).square()
        return cls(points.point_coords.double(), values.where(measured, 0), measured, variance)

    def select(self, index: slice) -> "Readings":
        return mapped(self, lambda t: t[index])


@dataclass(frozen=True, eq=False)
class ModesPosterior:
    """Of each sample, over T hypotheses of a cluster and a noise, the likeliest first."""

    probability: Float[Tensor, "B T"]
    weights: Float[Tensor, "B T M"]
    """Of the shared modes."""
    cluster: Int[Tensor, "B T"]
    precision_root: Float[Tensor, "B T R R"]
    """Of the weights of the cluster's own modes."""
    log_evidence: Float[Tensor, " B"]
    """Logarithm of the density of the readings, in their own units."""
    chi_square: Float[Tensor, " B"]
    """Of the readings, a mean over the hypotheses."""

    @property
    def mean(self) -> Float[Tensor, "B M"]:
        return (self.probability[..., None] * self.weights).sum(1)


@dataclass(frozen=True, eq=False)
class ModeMixture:
    """A distribution over fields: a mixture of Gaussian processes, each of few modes and a residual."""

    basis: SpatialBasis
    cells: GridNodes
    """Where the residual is known; linear in between."""
    mean: Float[Tensor, "P C"]
    modes: Float[Tensor, "P C M"]
    """Orthonormal: the mean square over the domain and the channels is one."""
    cluster_means: Float[Tensor, "K M"]
    cluster_factors: Float[Tensor, "K M R"]
    cluster_shares: Float[Tensor, " K"]
    residual_std: Float[Tensor, "K G C"]
    scale: Float[Tensor, " C"]

    @property
    def residual_variance(self) -> Float[Tensor, "K C"]:
        """What a cluster's modes leave out, a mean over the cells that count."""
        square = self.residual_std.square()
        if self.cells.inside is None:
            return square.mean(1)
        return (square * self.cells.inside).sum(1) / self.cells.inside.sum(0).clamp(min=1)

    @property
    def variance(self) -> float:
        """Of the training fields, a mean over the domain and the channels; of none, next to nothing."""
        within = self.cluster_factors.square().sum((1, 2)) + self.residual_variance.mean(1)
        return max(float((self.cluster_shares * (within + self.cluster_means.square().sum(1))).sum()), 1e-6)

    def modes_at(self, coords: Float[Tensor, "b Q d"]) -> Float[Tensor, "b Q C M"]:
        return self.basis.evaluate(coords, self.modes.flatten(1)).unflatten(-1, self.modes.shape[1:])

    def residual_variance_at(
        self, clusters: Int[Tensor, "B T"], coords: Float[Tensor, "#B Q d"]
    ) -> Float[Tensor, "B T Q C"]:
        deviations = self.residual_std[clusters].permute(0, 2, 1, 3)  # (B G T C)
        deviations_at = self.cells.evaluate(coords, deviations.flatten(2)).unflatten(-1, deviations.shape[2:])
        return deviations_at.permute(0, 2, 1, 3).square()

    def posterior(self, readings: Readings) -> ModesPosterior:
        rank, width = self.cluster_factors.shape[2], readings.values[0].numel()
        screened = len(self.cluster_shares) * min(rank, SCREENED_MODES)
        numbers = max(screened, SCREENED_CLUSTERS * rank) * max(width, rank)
        some = chunks(len(readings.values), max(1, NUMBERS_AT_ONCE // numbers))
        parts = [self._posterior(readings.select(index)) for index in some]
        return joined(parts)

    def _posterior(self, readings: Readings) -> ModesPosterior:
        """Clusters whose leading modes two kinds of noise both call unlikely are not looked at closely."""
        measured = readings.measured.flatten(1).double()  # (b N·C)
        mean = self.basis.evaluate(readings.coords, self.mean).expand_as(readings.values)
        anomaly = (readings.values - mean).flatten(1) * measured
        modes = self.modes_at(readings.coords).flatten(1, 2) * measured[..., None]  # (b N·C M)
        known = 0 if readings.noise_variance is None else readings.noise_variance.expand_as(readings.values).flatten(1)
        variance = self.variance
        near = self._likely_clusters(modes, anomaly, measured, known, variance)

        factors, means = self.cluster_factors.double(), self.cluster_means.double()
        prior = self.cluster_shares.double().log()[near] - log(len(NOISES))
        design = torch.stack([modes @ factors[k] for k in near.unbind(1)], 1)  # (b L N·C R)
        away = anomaly[:, None] - torch.stack([(modes @ means[k][..., None])[..., 0] for k in near.unbind(1)], 1)
        residual = self.residual_variance_at(near, readings.coords).flatten(2)
        if torch.is_tensor(known):
            residual = residual + known[:, None]
        noises = modes.new_tensor(NOISES).square() * variance
        scores = torch.stack(
            [evidence.posterior(design, away, measured[:, None] / (s + residual)).log_evidence + prior for s in noises],
            -1,
        ).flatten(1)
        best = scores.topk(min(HYPOTHESES, scores.shape[1]), 1)
        rows, which = torch.arange(len(near), device=near.device)[:, None], best.indices // len(noises)
        precision = measured[:, None] / (noises[best.indices % len(noises)][..., None] + residual[rows, which])
        inside = evidence.posterior(design[rows, which], away[rows, which], precision)
        cluster = near[rows, which]
        weights = [
            means[k] + (factors[k] @ w[..., None])[..., 0]
            for k, w in zip(cluster.unbind(1), inside.mean.unbind(1), strict=True)
        ]
        probability = best.values.softmax(1)
        probability = probability.where(probability > NEGLIGIBLE, 0)
        probability = probability / probability.sum(1, keepdim=True)
        return ModesPosterior(
            probability=probability,
            weights=torch.stack(weights, 1),
            cluster=cluster,
            precision_root=inside.precision_root,
            log_evidence=scores.logsumexp(1) - (readings.measured * self.scale.double().log()).sum((1, 2)),
            chi_square=(probability * inside.chi_square).sum(1),
        )

    def _likely_clusters(
        self, modes: Tensor, anomaly: Tensor, measured: Tensor, known: Tensor | int, variance: float
    ) -> Int[Tensor, "b L"]:
        """By their leading modes, at two noises, with the same residual everywhere."""
        factors, prior = self.cluster_factors.double(), self.cluster_shares.double().log()
        leading = factors[..., :SCREENED_MODES].transpose(0, 1)  # (M K R), for one product instead of K
        design = (modes @ leading.flatten(1)).unflatten(2, leading.shape[1:]).transpose(1, 2).contiguous()  # (b K N R)
        away = anomaly[:, None] - (modes @ self.cluster_means.double().mT).mT
        trailing = factors[..., SCREENED_MODES:].square().sum((1, 2))
        residual = self.residual_variance.double() + trailing[:, None]  # (K C)
        residual = residual.repeat(1, anomaly.shape[1] // residual.shape[1]) + (
            known[:, None] if torch.is_tensor(known) else known
        )
        scores = [
            evidence.posterior(design, away, measured[:, None] / (noise**2 * variance + residual)).log_evidence
            for noise in SCREENED_NOISES
        ]
        scores = torch.stack(scores).amax(0) + prior
        return scores.topk(min(SCREENED_CLUSTERS, len(prior)), 1).indices

    def to(self, device) -> "ModeMixture":
        return moved_parts(self, device)


def chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
