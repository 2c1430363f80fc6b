"""The best guess from scattered readings that is linear among fields of a kind: modes that training fields are made of,
weighted to fit what was read.

Training fields fall into clusters that look alike (fitting.py). A field of cluster k is
    m_k(x) + Σ_j w_j φ_kj(x) + what is left out,
with the cluster's mean m_k, its leading modes φ_k (proper orthogonal decomposition), w_j ~ N(0, λ_kj) and a rest of
variance r_k(x); a reading adds noise N(0, s²). Given readings y, the weights of a cluster are the posterior mean,
    w = Λ Φᵀ (Φ Λ Φᵀ + V)⁻¹ (y − m),    V = diag(s² + r_k),
that is least squares on the sensors (gappy POD, Everson & Sirovich 1995), regularised by how large each mode usually is.
The likelihood of y says which clusters it may come from and how noisy it is; the answer is the mean over these guesses
(a mixture of probabilistic principal component analysers, Tipping & Bishop 1999, whose rest is the same everywhere). One
cluster is plain POD.

Means and modes are polynomials of orthonormal Legendre products on [0, 1]^d: exact at any coordinate, with a true
gradient.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gridless import config
from gridless.bases import evidence
from gridless.field import Field
from gridless.samples import Samples

CELLS = 32  # per axis, where spectra and what is left out are measured
SMALLEST = 1e-4  # of the spread, relative to the fields' standard deviation
NOISES = (1e-4, 1e-3, 3e-3, 0.01, 0.02, 0.04, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4)  # s, relative to that deviation
SCREENED = (0.01, 0.14)  # … at which all clusters are compared, by
LEADING = 20  # modes
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
        if axes not in (2, 3):
            raise ValueError(f"base.kind 'pod' takes two or three axes, got {axes}")
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
        self.register_buffer("rest", torch.zeros(pod.clusters, *[CELLS] * axes))  # deviation of what they leave out
        self.register_buffer("shares", torch.full((pod.clusters,), 1 / pod.clusters))

    @property
    def fitted(self) -> bool:
        return bool(self.factors.any())

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out, and how sure it is."""
        solved = self.solved(samples)

        def correction(coords: Tensor, cell: Tensor) -> Tensor:  # none
            std = solved.std(coords).to(samples.values.dtype)
            return torch.cat([torch.zeros_like(std), std], -1)

        return Field(samples, solved, correction, spread=True, posterior=solved.posterior(correction))

    def solved(self, samples: Samples) -> "SolvedPod":
        """What the field of these readings takes as its base."""
        points, rank = samples.as_points(), self.factors.shape[2]
        most = max(len(self.shares) * min(rank, LEADING), LOOKED_AT * rank) * max(points.values.shape[1], rank)
        parts = [
            self._solved(points.select(some)) for some in chunks(len(points.values), max(1, NUMBERS_AT_ONCE // most))
        ]
        return SolvedPod(self, *(torch.cat(part) for part in zip(*parts, strict=True)))

    def _solved(self, points: Samples) -> tuple[Tensor, ...]:
        """The fields of a SolvedPod. Clusters whose leading modes two kinds of noise both call unlikely are not looked at
        closely."""
        basis, mask = self.basis(points.coords.double()), points.mask
        residual = points.values[..., 0].double() - basis @ self.mean.double()
        seen, real = basis @ self.modes.double(), torch.ones_like(residual)
        if mask is not None:
            seen, residual, real = seen * mask[..., None], residual * mask, real * mask
        variance = max(self.variance, 1e-6)
        noises = [noise**2 * variance for noise in NOISES]

        factors, centres, share = (x.double() for x in (self.factors, self.centres, self.shares.log()))
        leading = factors[..., :LEADING].transpose(0, 1)  # (M K R), for one product instead of K
        part = (seen @ leading.flatten(1)).unflatten(2, leading.shape[1:]).transpose(1, 2).contiguous()  # (b K N R)
        beside = residual[:, None] - (seen @ centres.mT).mT
        left = (self.left.double() + factors[..., LEADING:].square().sum((1, 2)))[:, None]
        at = [evidence.posterior(part, beside, real[:, None] / (noise**2 * variance + left))[0] for noise in SCREENED]
        near = (torch.stack(at).amax(0) + share).topk(min(LOOKED_AT, len(share)), 1).indices

        part = torch.stack([seen @ factors[k] for k in near.unbind(1)], 1)  # (b L N R)
        beside = beside.gather(1, near[..., None].expand(-1, -1, beside.shape[2]))
        left = self._left_at(near, points.coords)
        at = [evidence.posterior(part, beside, real[:, None] / (noise + left))[0] + share[near] for noise in noises]
        best = torch.stack(at, -1).flatten(1).topk(min(KEPT, near.shape[1] * len(noises)), 1)

        rows, which = torch.arange(len(near), device=near.device)[:, None], best.indices // len(noises)
        noise = seen.new_tensor(noises)[best.indices % len(noises)][..., None]
        precision = real[:, None] / (noise + left[rows, which])
        _, inside, root = evidence.posterior(part[rows, which], beside[rows, which], precision)
        cluster = near[rows, which]
        weights = [
            centres[k] + (factors[k] @ w[..., None])[..., 0]
            for k, w in zip(cluster.unbind(1), inside.unbind(1), strict=True)
        ]
        likely = best.values.softmax(1)
        likely = likely.where(likely > NEGLIGIBLE, 0)
        return likely / likely.sum(1, keepdim=True), torch.stack(weights, 1), cluster, root

    @property
    def left(self) -> Float[Tensor, " K"]:
        """Variance that a cluster's modes leave out, a mean over the domain."""
        return self.rest.flatten(1).square().mean(1)

    @property
    def variance(self) -> float:
        """Of the training fields, a mean over the domain."""
        within = self.factors.square().sum((1, 2)) + self.left
        return float((self.shares * (within + self.centres.square().sum(1))).sum())

    def _left_at(self, clusters: Int[Tensor, "B T"], coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B T Q"]:
        """Variance that the modes of these clusters leave out at these places."""
        where = (2 * coords.flip(-1) - 1).to(self.rest)
        where = where.view(len(coords), *[1] * (self.axes - 1), *coords.shape[1:]).expand(
            len(clusters), *[-1] * (1 + self.axes)
        )
        found = F.grid_sample(self.rest[clusters], where, padding_mode="border", align_corners=False)
        return found.flatten(2).double().square()

    def basis(self, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B P"]:
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
    modes, and the Cholesky root of the precision of the cluster's own weights."""

    pod: Pod
    share: Float[Tensor, "B T"]
    weights: Float[Tensor, "B T M"]
    cluster: Int[Tensor, "B T"]
    root: Float[Tensor, "B T R R"]

    name = "pod"

    def __call__(self, samples: Samples, coords: Tensor, cell: Tensor | None = None) -> Float[Tensor, "B Q 1"]:
        pod = self.pod
        polynomial = pod.mean.double() + (self.share[..., None] * self.weights).sum(1) @ pod.modes.double().mT
        values = (pod.basis(_alike(coords)) @ polynomial[..., None]).expand(len(coords), -1, -1)
        return values.to(samples.values.dtype)

    def std(self, coords: Tensor) -> Float[Tensor, "B Q 1"]:
        """The posterior standard deviation of the value, without a reading's noise: within the clusters, between them and
        of what they leave out."""
        variance = sum(self._variances(coords)).clamp(min=SMALLEST**2 * self.pod.variance)
        return variance.sqrt()[..., None].to(coords.dtype)

    def posterior(
        self, correction: Callable[[Tensor, Tensor], Float[Tensor, "B Q 2"]]
    ) -> Callable[[int, int], Callable[[Tensor, Tensor], Float[Tensor, "B n Q 1"]]]:
        """`n, seed -> ` posterior samples of a field whose `correction` gives what it adds to this and its deviation."""

        def sampled(n: int, seed: int) -> Callable[[Tensor, Tensor], Tensor]:
            draws = self._draws(n, seed)

            def at(coords: Tensor, cell: Tensor) -> Tensor:
                value, std = correction(coords, cell).chunk(2, -1)
                return value[:, None] + draws(coords, std)

            return at

        return sampled

    def _draws(self, n: int, seed: int) -> Callable[[Tensor, Tensor], Float[Tensor, "B n Q 1"]]:
        """`coords, std -> ` how far n posterior samples are from the mean, when the whole standard deviation is `std`.

        A sample is a guess, drawn by how likely it is, with weights drawn from its posterior. What the modes leave out has
        no shape of its own: there the sample's own deviation is taken larger, by as much as it lacks."""
        pod, rank, guesses = self.pod, self.root.shape[-1], self.share.shape[1]
        generator = torch.Generator().manual_seed(seed)  # every field of a batch sees the same numbers
        drawn = [(torch.rand(1, generator=generator), torch.randn(rank, 1, generator=generator)) for _ in range(n)]
        lot, normal = (torch.stack(part).to(self.share) for part in zip(*drawn, strict=True))
        lots = lot[:, 0].expand(len(self.share), n).contiguous()
        chosen = torch.searchsorted(self.share.cumsum(1), lots).clamp(max=guesses - 1)
        rows, away = torch.arange(len(chosen), device=chosen.device), []
        mean = (self.share[..., None] * self.weights).sum(1)
        for t, one in zip(chosen.unbind(1), normal, strict=True):
            inside = torch.linalg.solve_triangular(self.root[rows, t].mT, one.expand(len(rows), -1, -1), upper=True)
            weights = self.weights[rows, t] + (pod.factors[self.cluster[rows, t]].double() @ inside)[..., 0]
            away.append(weights - mean)
        away = torch.stack(away, 1)  # (B n M)

        def at(coords: Tensor, std: Tensor) -> Tensor:
            told, _ = self._variances(coords)
            modes = pod.basis(_alike(coords)) @ pod.modes.double()
            scale = std[..., 0].double() / told.clamp(min=1e-12 * max(pod.variance, 1e-6)).sqrt()
            return (away @ modes.mT * scale[:, None])[..., None].to(std.dtype)

        return at

    def _variances(self, coords: Tensor) -> tuple[Float[Tensor, "B Q"], Float[Tensor, "B Q"]]:
        """Of what the modes tell, within and between the guesses, and of what they leave out."""
        places = _alike(coords)
        modes = self.pod.basis(places) @ self.pod.modes.double()
        mean = modes @ (self.share[..., None] * self.weights).sum(1)[..., None]
        told, left = torch.zeros_like(mean[..., 0]), torch.zeros_like(mean[..., 0])
        for t in range(self.share.shape[1]):
            if not self.share[:, t].any():
                break  # the likeliest come first
            own = self.cluster[:, t]
            along = (modes @ self.pod.factors[own].double()).mT
            within = torch.linalg.solve_triangular(self.root[:, t], along, upper=False).square().sum(1)
            between = (modes @ self.weights[:, t, :, None] - mean)[..., 0].square()
            told = told + self.share[:, t, None] * (within + between)
            left = left + self.share[:, t, None] * self.pod._left_at(own[:, None], places)[:, 0]
        return told, left

    def gate(self, cell: Tensor) -> float:
        return 1.0


def _alike(coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "#B Q d"]:
    """In double precision; once, where all samples are asked at the same places."""
    alike = coords.stride(0) == 0 and not coords.requires_grad  # a gradient is of each sample's own coordinates
    return (coords[:1] if alike else coords).double()


def chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
