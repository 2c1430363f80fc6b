"""Gaussian processes seen through readings: scalar fields side by side, each with its own covariances, all in float64.

A field's readings may be split in groups that are taken to be independent (G; mostly there is one). Source: Rasmussen and
Williams, 2006, chapter 2; the unknown variance of a field is integrated out with an inverse gamma prior (section 9.3 of
Gelman, Bayesian Data Analysis), which makes the evidence that of a Student t.
"""

from dataclasses import dataclass
from math import log, pi

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.bases.covariance import Covariance, RandomFunctions
from gridless.samples import mapped

PRIOR_DEGREES = (
    2.0  # of freedom of the prior on a field's variance, whose mean is that of the readings: two readings' worth
)
NUMBERS_AT_ONCE = 1 << 20  # of a block of covariances; some ten such blocks live at a time
NUMBERS_AT_ONCE_OF_GPU = 1 << 26  # which has many hands, and waits for each call


@dataclass(frozen=True, eq=False)
class Readings:
    """Standardised readings; where `real` is False there is none."""

    x: Float[Tensor, "*F N e"]
    z: Float[Tensor, "*F N"]
    real: Bool[Tensor, "*F N"]
    noise: Float[Tensor, "*F N"] | None = None  # known variance of each, in units of z²

    def select(self, index) -> "Readings":
        """Some fields."""
        return mapped(self, lambda t: t[index])


@dataclass(frozen=True, eq=False)
class Conditioned:
    """What readings make of a covariance: weights of the covariances with each reading, and how likely the readings are."""

    weights: Float[Tensor, "F K G N"]
    log_evidence: Float[Tensor, "F K"]
    variance: Float[Tensor, "F K"]  # of the field, in which the covariance is counted


def condition(readings: Readings, covariance: Covariance, variance: Float[Tensor, "F K"] | None = None) -> Conditioned:
    """Readings (F G N) under each field's covariances (F K), whose unit is `variance`, or an unknown one.

    Readings under a covariance that float64 cannot tell from a singular one have the evidence −inf.
    """
    f, g, n = readings.z.shape
    k = covariance.noise.shape[1]
    field, entry, group = (
        torch.cartesian_prod(*(torch.arange(m, device=readings.z.device) for m in (f, k, g))).view(-1, 3).T
    )
    step = max(1, numbers_at_once(readings.z) // n**2)
    # written into one place: small answers kept between large scraps would tear the memory to shreds
    weights, square, determinant, failed = (
        readings.z.new_empty(len(field), n),
        *(readings.z.new_empty(len(field)) for _ in range(3)),
    )
    for s in (slice(start, start + step) for start in range(0, len(field), step)):
        subset = readings.select((field[s], group[s]))
        unit = None if variance is None else variance[field[s], entry[s]]
        root, singular = _root(subset, covariance.select((field[s], entry[s])), unit)
        each = torch.cholesky_solve(subset.z[..., None], root)[..., 0]
        weights[s], square[s], failed[s] = each, (each * subset.z).sum(-1), singular.to(square)
        determinant[s] = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    weights, square, determinant, failed = (
        t.view(f, k, g, *t.shape[1:]) for t in (weights, square, determinant, failed)
    )
    count = readings.real.sum((1, 2))[:, None].to(square)
    evidence, unit = log_evidence(square.sum(2), determinant.sum(2), count, variance)
    return Conditioned(weights, evidence.where(failed.sum(2) == 0, -torch.inf), unit)


def log_evidence(
    square: Float[Tensor, "*T"], determinant: Float[Tensor, "*T"], count: Float[Tensor, "*T"], variance: Tensor | None
) -> tuple[Float[Tensor, "*T"], Float[Tensor, "*T"]]:
    """Of `count` readings z whose covariance over the field's variance has this log-determinant, and z' C⁻¹ z = `square`;
    and that variance: its posterior mean unless it is given."""
    if variance is not None:
        rest = count * (2 * pi * variance).log() + square / variance
        return -0.5 * (rest + determinant), variance.expand_as(square)
    half = 0.5 * (count + PRIOR_DEGREES)
    constant = half.lgamma() - 0.5 * count * log(pi * PRIOR_DEGREES)  # lgamma(PRIOR_DEGREES / 2) is 0
    evidence = constant - 0.5 * determinant - half * (square / PRIOR_DEGREES).log1p()
    return evidence, (square + PRIOR_DEGREES) / count.clamp(min=1)  # degrees of freedom − 2 are `count`


def numbers_at_once(like: Tensor) -> int:
    """Of a block of covariances, on the device of `like`."""
    return NUMBERS_AT_ONCE if like.device.type == "cpu" else NUMBERS_AT_ONCE_OF_GPU


def _root(readings: Readings, covariance: Covariance, unit: Tensor | None) -> tuple[Tensor, Tensor]:
    noise = readings.noise
    if noise is not None:
        assert unit is not None, "known noises are in units of the field's variance"
        noise = noise / unit[..., None]
    root, failed = torch.linalg.cholesky_ex(covariance.of_readings(readings.x, readings.real, noise))
    eye = torch.eye(root.shape[-1], dtype=root.dtype, device=root.device)
    failed = failed > 0
    return root.where(~failed[..., None, None], eye), failed


@dataclass(frozen=True, eq=False)
class Expansion:
    """Sums of covariances with the readings: functions, K of each field."""

    readings: Readings  # (F N)
    covariance: Covariance  # (F K)
    weights: Float[Tensor, "F K N"]

    def __call__(self, x: Float[Tensor, "F Q e"]) -> Float[Tensor, "F K Q"]:
        return torch.cat([(c @ self.weights[..., None])[..., 0] for c in self.blocks(x)], -1)

    def blocks(self, x: Float[Tensor, "F Q e"]):
        """Covariances (F K q N) of a few places at a time with the readings."""
        real = self.readings.real[:, None, None]
        for some in x.split(max(1, numbers_at_once(x) // self.weights.numel()), 1):
            yield self.covariance(some[:, None], self.readings.x[:, None]).where(real, 0)

    def select(self, index) -> "Expansion":
        """Some fields."""
        return mapped(self, lambda t: t[index])


@dataclass(frozen=True, eq=False)
class Posterior:
    """Each field as a mixture of K Gaussian processes that have seen its readings."""

    mean: Expansion
    variance: Float[Tensor, "F K"]
    share: Float[Tensor, "F K"]  # how likely each of the mixture is

    def moments(
        self, x: Float[Tensor, "F Q e"], spread: bool = True
    ) -> tuple[Float[Tensor, "F Q"], Float[Tensor, "F Q"]]:
        """Mean and variance of the fields at `x`, within and between the mixture's parts; without `spread`, zeros."""
        share, root = self.share[..., None], self._root() if spread else None
        means, variances, start = [], [], 0
        for c in self.mean.blocks(x):
            each = (c @ self.mean.weights[..., None])[..., 0]
            means.append((share * each).sum(1))
            if spread:
                known = torch.linalg.solve_triangular(root, c.mT, upper=False).square().sum(-2)
                prior = self.mean.covariance.at(x[:, None, start : start + c.shape[2]])
                within = self.variance[..., None] * (prior - known).clamp(min=0)
                variances.append((share * (within + (each - means[-1][:, None]).square())).sum(1))
            start += c.shape[2]
        mean = torch.cat(means, -1)
        return mean, torch.cat(variances, -1) if spread else torch.zeros_like(mean)

    def left_out(self) -> tuple[Float[Tensor, "F N"], Float[Tensor, "F N"]]:
        """Mean and variance of each reading without it, within and between the mixture's parts: from the diagonal of the
        inverse covariance."""
        root, z = self._root(), self.mean.readings.z[:, None]
        eye = torch.eye(root.shape[-1], dtype=root.dtype, device=root.device).expand_as(root)
        precision = torch.linalg.solve_triangular(root, eye, upper=False).square().sum(-2)
        each, share = z - self.mean.weights / precision, self.share[..., None]
        mean = (share * each).sum(1)
        return mean, (share * (self.variance[..., None] / precision + (each - mean[:, None]).square())).sum(1)

    def _root(self) -> Float[Tensor, "F K N N"]:
        """Worked out when asked: kept, it would be most of the memory of a field."""
        readings = mapped(self.mean.readings, lambda t: t[:, None])
        return _root(readings, self.mean.covariance, self.variance)[0]

    def drawn(self, choice, functions: RandomFunctions, noise: Float[Tensor, "F n N"]) -> Expansion:
        """What to add to `functions` (F n), times their standard deviation, so that they are posterior samples of the
        parts `choice` of the mixture (Matheron's rule; Wilson et al., 2020, equation 12). `noise`: normal numbers."""
        rows = torch.arange(len(choice), device=choice.device)[:, None]
        covariance, variance = self.mean.covariance.select((rows, choice)), self.variance[rows, choice]
        readings = mapped(self.mean.readings, lambda t: t[:, None])
        root, _ = _root(readings, covariance, variance)
        nugget = covariance.noise[..., None]
        if readings.noise is not None:
            nugget = nugget + readings.noise / variance[..., None]
        prior = variance.sqrt()[..., None] * (functions(readings.x) + nugget.sqrt() * noise)
        rest = (readings.z - prior).where(readings.real, 0)
        return Expansion(self.mean.readings, covariance, torch.cholesky_solve(rest[..., None], root)[..., 0])

    def select(self, index) -> "Posterior":
        """Some fields."""
        return mapped(self, lambda t: t[index])
