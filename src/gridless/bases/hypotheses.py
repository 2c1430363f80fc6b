"""The hypotheses that kriging weighs: trends × kernels × lengths × stretched axes × noises (× variances, where noise is
known)."""

from dataclasses import dataclass
from math import log, sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gridless.bases.covariance import (
    JITTER,
    KERNELS,
    MEAN_VARIANCE,
    Covariance,
    correlation,
    squared_distances,
)
from gridless.bases.gaussian_process import Readings, log_evidence, numbers_at_once
from gridless.samples import moved_parts

VARIANCES = (1 / 16, 1 / 4, 1.0, 4.0)  # of a field whose readings' noise is known, over the variance of the readings
UNTHINKABLE = log(1e-9)  # a prior below this is none
SMALLEST_VARIANCE = 1e-8  # that readings show of a field of variance 1: closer together, they are one reading


@dataclass(frozen=True, eq=False)
class Table:
    """Every combination, in the order shape (trend, kernel, length, axes), noise, variance."""

    kernel: Int[Tensor, " S"]
    rate: Float[Tensor, "S e"]
    noise: Float[Tensor, " E"]  # variance over that of the field as the readings show it
    variance: Float[Tensor, " A"] | None
    log_prior: Float[Tensor, "S E"]
    linear: Float[Tensor, "S e"]

    @classmethod
    def of(
        cls,
        kernels: tuple[str, ...],
        lengths: tuple[float, ...],
        stretches: tuple[tuple[float, ...], ...],
        noises: tuple[float, ...],
        log_prior: tuple[float, ...] | None,
        known_noise: bool,
        trends: tuple[tuple[float, ...], ...],
    ) -> "Table":
        """`stretches`: of the length along each axis; `trends`: 1 along which there is one. `log_prior`: of trend × kernel ×
        length × stretch × noise."""
        names = list(KERNELS)
        shapes = [
            (names.index(kernel), [1 / (length * stretch) for stretch in axes], linear)
            for linear in trends
            for kernel in kernels
            for length in lengths
            for axes in stretches
        ]
        if log_prior is not None and len(log_prior) != len(shapes) * len(noises):
            raise ValueError(
                f"log_prior must have one number for each of {len(shapes)} shapes × {len(noises)} noises, "
                f"got {len(log_prior)}; pool again with these kernels, lengths and axes"
            )
        prior = torch.tensor(log_prior or [0.0] * len(shapes) * len(noises), dtype=torch.float64)
        prior = prior.log_softmax(0).view(len(shapes), len(noises))
        possible = prior.amax(1) > UNTHINKABLE
        return cls(
            torch.tensor([kernel for kernel, _, _ in shapes])[possible],
            torch.tensor([rate for _, rate, _ in shapes], dtype=torch.float64)[possible],
            torch.tensor(noises, dtype=torch.float64).square(),
            torch.tensor(VARIANCES, dtype=torch.float64) if known_noise else None,
            prior[possible],
            torch.tensor([linear for _, _, linear in shapes], dtype=torch.float64)[possible],
        )

    @torch.no_grad()
    def weigh(self, readings: Readings) -> "Weighed":
        """How likely readings (F G N) make each hypothesis; the first group must be spread over the whole of the field,
        because it says how much of a hypothesis' variance the readings show."""
        core, of_shape = torch.cat([self.kernel[:, None].to(self.rate), self.rate], 1).unique(
            dim=0, return_inverse=True
        )
        f, g, n = readings.z.shape
        at_once = max(1, numbers_at_once(readings.z) // (f * g * n**2))
        trends, of_trend = self.linear.unique(dim=0, return_inverse=True)
        parts = [self._evidence(readings, some[:, 0].long(), some[:, 1:], trends) for some in core.split(at_once)]
        evidence, level = (torch.cat(of_all, 1) for of_all in zip(*parts, strict=True))  # (F S' T E), (F S')
        evidence = evidence[:, of_shape, of_trend]
        return Weighed(self, evidence.flatten(1), level[:, of_shape])

    def _evidence(
        self,
        readings: Readings,
        kernel: Int[Tensor, " s"],
        rate: Float[Tensor, "s e"],
        trends: Float[Tensor, "T e"],
    ) -> tuple[Float[Tensor, "F s T E"], Float[Tensor, "F s"]]:
        """Of some kernels and lengths: for every trend, noise (and variance). A trend changes a covariance by a matrix of a
        few rows, so all of them cost one decomposition (Woodbury's identity)."""
        both = readings.real[..., :, None] & readings.real[..., None, :]  # (F G N N)
        pairs, count = both[:, 0].sum((1, 2)), readings.real.sum((1, 2)).double()
        absent, real = torch.diag_embed((~readings.real).double())[:, None], readings.real[:, None]
        x = readings.x[:, None] * rate[:, None, None]  # (F s G N e)
        shape = correlation(kernel[:, None], squared_distances(x, x))
        shown = 1 - shape[:, :, 0].where(both[:, None, 0], 0).sum((2, 3)) / pairs[:, None]
        level = 1 / shown.clamp(min=SMALLEST_VARIANCE)
        shape = (level[..., None, None, None] * shape + MEAN_VARIANCE).where(both[:, None], 0) + absent
        trend = sqrt(MEAN_VARIANCE) * readings.x.where(readings.real[..., None], 0)
        sides = torch.cat([readings.z[..., None], trend], -1)[:, None]  # (F 1 G N 1+e)
        eye = torch.eye(sides.shape[-1] - 1, dtype=sides.dtype, device=sides.device)
        squares, determinants = [], []
        for noise in self.noise:
            nugget = (noise + JITTER * level)[..., None, None] * real
            for variance in self.noise.new_ones(1) if self.variance is None else self.variance:
                known = None if self.variance is None else readings.noise
                matrix = shape.clone()
                matrix.diagonal(dim1=-2, dim2=-1).add_(nugget if known is None else nugget + known[:, None] / variance)
                root, failed = torch.linalg.cholesky_ex(matrix)
                failed = (failed > 0).any(2)
                if failed.any():
                    root = root.where(~failed[..., None, None, None], torch.eye(root.shape[-1]).to(root))
                half = torch.linalg.solve_triangular(root, sides.expand(-1, len(rate), -1, -1, -1), upper=False)
                z, every = half[:, :, None, ..., :1], half[:, :, None, ..., 1:]  # (F s 1 G N ·)
                slopes = every * trends[:, None, None]
                inner = torch.linalg.cholesky(slopes.mT @ slopes + eye)
                explained = torch.linalg.solve_triangular(inner, slopes.mT @ z, upper=False)
                squares.append(z.square().sum((-3, -2, -1)) - explained.square().sum((-3, -2, -1)))
                plain, more = (2 * r.diagonal(dim1=-2, dim2=-1).log().sum((-2, -1)) for r in (root, inner))
                determinants.append((plain[..., None] + more).where(~failed[..., None], torch.inf))
        given = None if self.variance is None else self.variance.repeat(len(self.noise))
        square, determinant = torch.stack(squares, -1), torch.stack(determinants, -1)
        return log_evidence(square, determinant, count[:, None, None, None], given)[0], level

    def covariance(self, index: Int[Tensor, "F K"], level: Float[Tensor, "F S"]) -> Covariance:
        """Of some hypotheses of each field."""
        noises, variances = len(self.noise), 1 if self.variance is None else len(self.variance)
        shape = index // (noises * variances)
        noise = self.noise[index // variances % noises]
        return Covariance(self.kernel[shape], self.rate[shape], level.gather(1, shape), noise, self.linear[shape])

    def stretch(self, index: Int[Tensor, ""]) -> Float[Tensor, " e"]:
        """How much nearer readings are along each number of a position than their distance says, under a hypothesis."""
        rate = self.rate[index // (len(self.noise) * (1 if self.variance is None else len(self.variance)))]
        return rate / rate.max()

    def given_variance(self, index: Int[Tensor, "F K"]) -> Float[Tensor, "F K"] | None:
        """Where noise is known: the variance of a field under some of its hypotheses."""
        return None if self.variance is None else self.variance[index % len(self.variance)]

    def prior(self, index: Int[Tensor, "F K"]) -> Float[Tensor, "F K"]:
        """Logarithm of how likely some hypotheses are before any reading."""
        variances = 1 if self.variance is None else len(self.variance)
        return self.log_prior.flatten()[index // variances] - log(variances)

    def to(self, device) -> "Table":
        return moved_parts(self, device)


@dataclass(frozen=True, eq=False)
class Weighed:
    """A table in the light of each field's readings."""

    table: Table
    log_evidence: Float[Tensor, "F H"]
    level: Float[Tensor, "F S"]  # a hypothesis' variance over that which the readings show

    def best(self, count: int) -> Int[Tensor, "F K"]:
        """The likeliest, first ones first."""
        everything = torch.arange(self.log_evidence.shape[1], device=self.level.device)
        return (self.log_evidence + self.table.prior(everything)).topk(min(count, len(everything)), 1).indices
