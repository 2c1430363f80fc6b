"""The best guess from scattered readings that is linear among fields of a kind: modes that training fields are made of,
weighted to fit what was read.

Training fields fall into clusters that look alike. A field of cluster k is m_k(x) + Σ_j w_j φ_kj(x) with the cluster's
mean m_k, its leading modes φ_k (proper orthogonal decomposition), w_j ~ N(0, λ_kj), and what the modes leave out; a
reading adds noise N(0, s²). Given readings y, the weights of a cluster are the posterior mean,
    w = Λ Φᵀ (Φ Λ Φᵀ + v I)⁻¹ (y − m),    v = s² + the variance left out,
that is least squares on the sensors (gappy POD, Everson & Sirovich 1995), regularised by how large each mode usually is.
The likelihood of y says which clusters it may come from and how noisy it is; the answer is the mean over these guesses
(a mixture of probabilistic principal component analysers, Tipping & Bishop 1999). One cluster is plain POD.

Clusters: k-means on the magnitudes of the fields' windowed spectra, which do not change when a field is shifted, then
some rounds of reassigning every field to its likeliest cluster. Means and modes are polynomials of orthonormal Legendre
products on [0, 1]^d: exact at any coordinate, with a true gradient. All of it is fitted once on training fields, frozen,
and kept in the checkpoint.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gridless import config
from gridless.bases.clusters import k_means, principal
from gridless.bases.evidence import Fit
from gridless.coords import grid
from gridless.data.synthetic import WaveSource, fixed
from gridless.field import Field
from gridless.samples import Samples

SNAPSHOTS = 2000  # training fields of each family, at least
PER_CLUSTER = 300  # … and, on average, of each cluster
AT_ONCE = 2000  # snapshots
SPECTRUM = 32  # points per axis at which spectra are taken
REASSIGNMENTS = 4
SMALLEST = 1e-4  # of the spread, relative to the fields' standard deviation
NOISES = (1e-4, 1e-3, 3e-3, 0.01, 0.02, 0.04, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4)  # s, relative to that deviation
SCREENED = (0.01, 0.14)  # … at which all clusters are compared
LOOKED_AT = 16  # clusters that are then compared at all of them
KEPT = 16  # pairs of a cluster and a noise that an answer is made of
NEGLIGIBLE = 1e-4  # a guess that is so unlikely is left out
NUMBERS_AT_ONCE = 1 << 23  # when clusters are compared


class Pod(nn.Module):
    """Unfitted, it answers the signal's mean everywhere."""

    name = "pod"

    def __init__(self, pod: config.Pod, signal: config.Signal):
        super().__init__()
        modes, degree, axes, channels = pod.modes, pod.degree, signal.axes, signal.channels
        if channels != 1:
            raise ValueError(f"base.kind 'pod' takes one channel, got {channels}")
        rank = modes if pod.rank is None else pod.rank
        if modes > degree**axes:
            raise ValueError(
                f"base.modes {modes} are more than the {degree}^{axes} polynomials of base.degree {degree}"
            )
        if rank > modes:
            raise ValueError(f"base.rank {rank} is more than the base.modes {modes} that clusters share")
        self.degree, self.axes = degree, axes
        mean = torch.zeros(degree**axes)
        mean[0] = signal.mean
        self.register_buffer("mean", mean)
        self.register_buffer("modes", torch.zeros(degree**axes, modes))
        self.register_buffer("centres", torch.zeros(pod.clusters, modes))
        self.register_buffer("factors", torch.zeros(pod.clusters, modes, rank))  # modes times standard deviations
        self.register_buffer("left", torch.zeros(pod.clusters))  # variance that a cluster's modes leave out
        self.register_buffer("shares", torch.full((pod.clusters,), 1 / pod.clusters))

    @property
    def fitted(self) -> bool:
        return bool(self.factors.any())

    # --- fitting --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit(self, source: WaveSource) -> "Pod":
        """Clusters, means and modes of the training fields of these families."""
        clusters, modes = len(self.shares), self.modes.shape[1]
        count = max(SNAPSHOTS, -(-PER_CLUSTER * clusters // len(source.families)))
        parts = [self._snapshots(family, count, spectra=clusters > 1) for family in source.families]
        coefficients, spectra = (torch.cat(part).to(self.mean) for part in zip(*parts, strict=True))
        self.mean.copy_(coefficients.mean(0))
        away = coefficients - self.mean
        self.modes.copy_(principal(away)[1][:, :modes])
        weights = away @ self.modes
        outside = (away.square().sum(1) - weights.square().sum(1)).clamp(min=0)
        chosen = weights.new_zeros(len(weights), dtype=torch.long) if clusters == 1 else k_means(spectra, clusters)
        self._describe(weights, outside, chosen)
        for _ in range(REASSIGNMENTS if clusters > 1 else 0):
            self._describe(weights, outside, self._likeliest(weights))
        return self

    def _snapshots(self, family: str, count: int, spectra: bool) -> tuple[Tensor, Tensor]:
        """Polynomials of training fields, (count, degree^d), and the magnitudes of their spectra (or none)."""
        nodes, weights = np.polynomial.legendre.leggauss(self.degree)
        points, share = _product((nodes + 1) / 2, self.axes), _product(weights / 2, self.axes).prod(-1)
        project = (self._basis(points) * share[:, None]).float()
        even = grid(*[SPECTRUM] * self.axes)
        window = _product(np.hanning(SPECTRUM + 2)[1:-1], self.axes).prod(-1).float()
        fields, found = fixed(family, "train", count), []
        for start in range(0, count, AT_ONCE):
            some = fields[start : start + AT_ONCE]
            values = some(points.float().expand(len(some), -1, -1))[..., 0]
            polynomials, magnitudes = values @ project, torch.zeros(len(some), 0)
            if spectra:
                seen = (some(even.expand(len(some), -1, -1))[..., 0] - 0.5) * window
                seen = seen.unflatten(1, [SPECTRUM] * self.axes)
                magnitudes = torch.fft.rfftn(seen, dim=tuple(range(1, 1 + self.axes))).abs().flatten(1)
            found.append((polynomials, magnitudes))
        return tuple(torch.cat(part) for part in zip(*found, strict=True))

    def _describe(self, weights: Tensor, outside: Tensor, chosen: Int[Tensor, " S"]) -> None:
        """Share, mean, modes and rest of every cluster; one with too few fields to tell gets no share."""
        rank = self.factors.shape[2]
        for k in range(len(self.shares)):
            own = chosen == k
            count = int(own.sum())
            self.shares[k] = count / len(weights) if count > 1 else 0
            if count < 2:
                continue
            self.centres[k] = weights[own].mean(0)
            variances, modes = principal(weights[own] - self.centres[k])
            kept = min(rank, count // 2)  # fewer fields do not tell so many modes
            self.factors[k] = 0
            self.factors[k, :, :kept] = modes[:, :kept] * variances[:kept].sqrt()
            self.left[k] = variances[kept:].sum() + outside[own].mean()

    def _likeliest(self, weights: Float[Tensor, "S M"]) -> Int[Tensor, " S"]:
        """The cluster of each training field, all of whose weights are known."""
        best, chosen = weights.new_full((len(weights),), -torch.inf), weights.new_zeros(len(weights), dtype=torch.long)
        for k, (share, factor) in enumerate(zip(self.shares, self.factors, strict=True)):
            variances = factor.square().sum(0)
            inside = variances > 0
            modes, variances = factor[:, inside] / variances[inside].sqrt(), variances[inside]
            others = weights.shape[1] - len(variances)
            noise = (self.left[k] / weights.shape[1]).clamp(min=1e-9)
            away = weights - self.centres[k]
            along = away @ modes
            across = away.square().sum(1) - along.square().sum(1)
            spread = (variances + noise).log().sum() + others * noise.log()
            score = share.log() - 0.5 * (across / noise + (along.square() / (variances + noise)).sum(1) + spread)
            chosen = torch.where(score > best, k, chosen)
            best = torch.maximum(score, best)
        return chosen

    # --- answering ------------------------------------------------------------------------------------------------

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out, and how sure it is."""
        solved = self.solved(samples)

        def correction(coords: Tensor, cell: Tensor) -> Tensor:  # none
            std = solved.std(coords).to(samples.values.dtype)
            return torch.cat([torch.zeros_like(std), std], -1)

        return Field(samples, solved, correction, spread=True)

    def solved(self, samples: Samples) -> "SolvedPod":
        """What the field of these readings takes as its base."""
        points, rank = samples.as_points(), self.factors.shape[2]
        size = max(1, NUMBERS_AT_ONCE // (max(len(self.shares), KEPT) * rank * max(points.values.shape[1], rank)))
        parts = [self._solved(points.select(some)) for some in _chunks(len(points.values), size)]
        return SolvedPod(self, *(torch.cat(part) for part in zip(*parts, strict=True)))

    def _solved(self, points: Samples) -> tuple[Tensor, ...]:
        """The fields of a SolvedPod. Clusters that two kinds of noise both call unlikely are not looked at closely."""
        basis, mask = self._basis(points.coords.double()), points.mask
        residual = points.values.double() - (basis @ self.mean.double())[..., None]
        seen = basis @ self.modes.double()
        real = torch.full((len(seen),), seen.shape[1], device=seen.device)
        if mask is not None:
            seen, residual, real = seen * mask[..., None], residual * mask[..., None], mask.sum(1)
        part = seen[:, None] @ self.factors.double()  # (b K N R)
        rest = residual - seen @ self.centres.double().mT  # (b N K)
        fit = Fit(
            part.mT @ part,
            (part.mT @ rest.mT[..., None])[..., 0],
            rest.square().sum(1),
            self.left.double().expand(len(seen), -1),
            self.shares.double().log().expand(len(seen), -1),
            real,
        )
        variance = max(self.variance, 1e-6)
        first = fit.likelihoods([noise**2 * variance for noise in SCREENED]).amax(-1)
        near = first.topk(min(LOOKED_AT, first.shape[1]), 1).indices
        fit = fit.of(near)
        noises = [noise**2 * variance for noise in NOISES]
        likelihoods = fit.likelihoods(noises).flatten(1)
        best = likelihoods.topk(min(KEPT, likelihoods.shape[1]), 1)
        which = best.indices // len(noises)
        fit, cluster = fit.of(which), near.gather(1, which)
        noise = fit.left + seen.new_tensor(noises)[best.indices % len(noises)]
        root = fit.root(noise)
        inside = torch.cholesky_solve(fit.along[..., None], root)
        weights = [
            self.centres[k].double() + (self.factors[k].double() @ w)[..., 0]  # in double: autocast leaves that alone
            for k, w in zip(cluster.unbind(1), inside.unbind(1), strict=True)
        ]
        share = best.values.softmax(1)
        share = share.where(share > NEGLIGIBLE, 0)
        return share / share.sum(1, keepdim=True), torch.stack(weights, 1), cluster, root, noise

    @property
    def variance(self) -> float:
        """Of the training fields, a mean over the domain."""
        within = self.factors.square().sum((1, 2)) + self.left
        return float((self.shares * (within + self.centres.square().sum(1))).sum())

    def _basis(self, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B P"]:
        """Orthonormal Legendre polynomials of every axis, and their products."""
        out = None
        for x in (2 * coords - 1).unbind(-1):
            rows = [torch.ones_like(x), x]
            for n in range(1, self.degree - 1):
                rows.append(((2 * n + 1) * x * rows[n] - n * rows[n - 1]) / (n + 1))
            own = torch.stack([(2 * n + 1) ** 0.5 * row for n, row in enumerate(rows[: self.degree])], -1)
            out = own if out is None else (out[..., :, None] * own[..., None, :]).flatten(-2)
        return out


@dataclass(frozen=True, eq=False)
class SolvedPod:
    """The posterior of each sample: T guesses at its cluster and noise, how likely each is, the weights of the shared
    modes, and the Cholesky root of the precision of the cluster's own weights, times the noise."""

    pod: Pod
    share: Float[Tensor, "B T"]
    weights: Float[Tensor, "B T M"]
    cluster: Int[Tensor, "B T"]
    root: Float[Tensor, "B T R R"]
    noise: Float[Tensor, "B T"]

    name = "pod"

    def __call__(self, samples: Samples, coords: Tensor, cell: Tensor | None = None) -> Float[Tensor, "B Q 1"]:
        pod = self.pod
        polynomial = pod.mean.double() + (self.share[..., None] * self.weights).sum(1) @ pod.modes.double().mT
        values = (pod._basis(_alike(coords)) @ polynomial[..., None]).expand(len(coords), -1, -1)
        return values.to(samples.values.dtype)

    def std(self, coords: Tensor) -> Float[Tensor, "B Q 1"]:
        """The posterior standard deviation of the value, without a reading's noise: within the clusters and between."""
        modes = self.pod._basis(_alike(coords)) @ self.pod.modes.double()
        mean = modes @ (self.share[..., None] * self.weights).sum(1)[..., None]
        variance = torch.zeros_like(mean[..., 0])
        for t in range(self.share.shape[1]):
            if not self.share[:, t].any():
                break  # the likeliest come first
            own = self.cluster[:, t]
            along = (modes @ self.pod.factors[own].double()).mT
            along = torch.linalg.solve_triangular(self.root[:, t], along, upper=False)
            within = self.noise[:, t, None] * along.square().sum(1) + self.pod.left[own, None]
            between = (modes @ self.weights[:, t, :, None] - mean)[..., 0].square()
            variance = variance + self.share[:, t, None] * (within + between)
        return variance.clamp(min=SMALLEST**2 * self.pod.variance).sqrt()[..., None].to(coords.dtype)

    def gate(self, cell: Tensor) -> float:
        return 1.0


def _alike(coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "#B Q d"]:
    """In double precision; once, where all samples are asked at the same places."""
    alike = coords.stride(0) == 0 and not coords.requires_grad  # a gradient is of each sample's own coordinates
    return (coords[:1] if alike else coords).double()


def _product(line: np.ndarray, axes: int) -> Float[Tensor, "P d"]:
    """All tuples of numbers of a line, in raster order."""
    return torch.stack(torch.meshgrid(*[torch.from_numpy(line)] * axes, indexing="ij"), -1).flatten(0, -2)


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
