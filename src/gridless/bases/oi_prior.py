"""What an archive says about a field before it is read, as hypotheses, and what readings add to each.

A field's anomaly is a Gaussian process of the covariance, between channel c at x and c' at y,

    a · Σ_j λ_j φ_jc(x) φ_jc'(y) · ρ(|x − y| / taper)  +  b · [c = c'] s_c(x) s_c(y) · ρ(|x − y| / length)

with the leading modes φ of past fields, which hold less the farther apart two places are (a localised sample covariance:
Houtekamer & Mitchell 2001; one scale for all modes), a residual of standard deviation s and a Matérn correlation ρ. A
reading adds noise. A *shape* says how many modes, both lengths, the kernel and how distances are stretched; each shape
stands with several variances a, b and noises, and the readings say which of all these hypotheses they come from.
Sources: Gandin 1963 (optimal interpolation); Evensen 2003 (sample covariances); Rasmussen & Williams 2006, chapter 2.
"""

from dataclasses import dataclass
from math import log, pi

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gridless.bases.covariance import JITTER, KERNELS, correlation, squared_distances
from gridless.bases.mode_mixture import NEGLIGIBLE
from gridless.bases.neighbourhoods import bisected
from gridless.samples import joined, mapped, moved_parts

MODE_VARIANCES, RESIDUAL_VARIANCES = (0.3, 1.0, 3.0), (0.5, 1.0, 2.2)
"""Over those of past fields: a field may be livelier than most."""
NOISES = (0.003, 0.08, 0.3)  # standard deviations of a reading, over that of past fields
TAPER = list(KERNELS).index("matern32")
WHOLE, LARGEST = 256, 3000  # places by which hypotheses are weighed, and which are solved at once
KEPT = 6  # hypotheses that an answer is made of
NUMBERS_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Places:
    """Where a field is read or asked: positions, modes and residuals there."""

    x: Float[Tensor, "B N e"]
    modes: Float[Tensor, "B N C M"]
    """Times their standard deviations."""
    residual_std: Float[Tensor, "B N C K"]
    """Of each shape."""

    def select(self, index: slice) -> "Places":
        """Some of the fields."""
        return mapped(self, lambda t: t[index])

    def part(self, index: slice) -> "Places":
        """Some of the places."""
        return mapped(self, lambda t: t[:, index])

    def of_shape(self, shape: Int[Tensor, " B"]) -> Float[Tensor, "B n"]:
        """Residual standard deviations, channels one after the other at each place."""
        index = shape.view(-1, 1, 1, 1).expand(-1, *self.residual_std.shape[1:3], 1)
        return self.residual_std.expand(len(shape), -1, -1, -1).gather(3, index)[..., 0].flatten(1)


@dataclass(frozen=True, eq=False)
class Readings:
    """Anomalies at places; where `measured` is False there is none."""

    places: Places
    anomaly: Float[Tensor, "B n"]
    measured: Bool[Tensor, "B n"]
    noise_variance: Float[Tensor, "B n"] | None = None
    """What is known about each; hypotheses come on top."""

    def select(self, index: slice) -> "Readings":
        """Some of the fields."""
        return mapped(self, lambda t: t[index])

    def thinned(self, most: int) -> "Readings":
        """At most so many places of each field, spread over all that were read."""
        x, channels = self.places.x, self.places.modes.shape[2]
        if x.shape[1] <= most:
            return self
        index, real = [], self.measured.unflatten(1, (-1, channels)).any(-1)
        for row in range(len(x)):
            read = real[row].nonzero()[:, 0]
            order = torch.cat([read[leaf] for leaf in bisected(x[row, read].detach(), 8)]) if len(read) else read
            chosen = order[torch.linspace(0, len(order) - 1, min(most, len(order)), device=x.device).long()]
            others = (~real[row]).nonzero()[:, 0][: most - len(chosen)]
            index.append(torch.cat([chosen, others]))
        rows, columns = torch.arange(len(x), device=x.device)[:, None], torch.stack(index)
        places = mapped(self.places, lambda t: t[rows, columns])
        flat = (columns[..., None] * channels + torch.arange(channels, device=x.device)).flatten(1)
        noise = None if self.noise_variance is None else self.noise_variance[rows, flat]
        return Readings(places, self.anomaly[rows, flat], self.measured[rows, flat], noise)


@dataclass(frozen=True, eq=False)
class OiPosterior:
    """Of each field, over its T likeliest hypotheses (shape, variances, noise)."""

    share: Float[Tensor, "B T"]
    shape: Int[Tensor, "B T"]
    mode_variance: Float[Tensor, "B T"]
    residual_variance: Float[Tensor, "B T"]
    noise_variance: Float[Tensor, "B T"]
    weights: Float[Tensor, "B T n"]
    """Of the covariances with each reading."""
    root: Float[Tensor, "B T n n"]
    """Lower Cholesky root of the readings' covariance."""
    log_evidence: Float[Tensor, " B"]

    def chosen(self, hypothesis: Int[Tensor, " B"]) -> "OiPosterior":
        """One hypothesis of each field."""
        rows = torch.arange(len(hypothesis), device=hypothesis.device)
        return mapped(self, lambda t: t if t.ndim == 1 else t[rows, hypothesis][:, None])


@dataclass(frozen=True, eq=False)
class OiPrior:
    """K shapes, and how likely each is with each of V = mode × residual variances × noises."""

    rank: Int[Tensor, " K"]
    taper_rate: Float[Tensor, " K"]
    """1 / length; 0: modes hold everywhere."""
    kernel: Int[Tensor, " K"]
    rate: Float[Tensor, "K e"]
    log_prior: Float[Tensor, "K V"]
    variance: Float[Tensor, ""]
    """Of past fields, the unit of the noises."""

    @property
    def variants(self) -> tuple[Float[Tensor, " V"], Float[Tensor, " V"], Float[Tensor, " V"]]:
        """Mode variance, residual variance and noise variance of each."""
        a, b, s = (torch.tensor(t, dtype=self.rate.dtype, device=self.rate.device) for t in
                   (MODE_VARIANCES, RESIDUAL_VARIANCES, NOISES))  # fmt: skip
        a, b, s = torch.cartesian_prod(a, b, s).unbind(1)
        return a, b, s.square() * self.variance

    def parts(
        self, shape: Int[Tensor, " B"], x: Places, y: Places
    ) -> tuple[Float[Tensor, "B n m"], Float[Tensor, "B n m"]]:
        """What modes and residual have in common at two lists of places, each field by a shape of its own; `x` may be the
        same for all."""
        channels, rate = y.modes.shape[2], self.rate[shape][:, None]
        squared = squared_distances(x.x * rate, y.x * rate)
        near = correlation(self.kernel[shape], squared)
        within = torch.arange(y.modes.shape[-1], device=shape.device) < self.rank[shape][:, None]
        low = x.modes.flatten(1, 2) @ (y.modes * within[:, None, None]).flatten(1, 2).mT
        if self.taper_rate.any():
            taper = self.taper_rate[shape] / rate[:, 0].amin(-1)  # stretched as the residual is
            tapered = correlation(torch.full_like(shape, TAPER), squared * taper.square()[:, None, None])
            low = low * _of_channels(tapered, channels)
        residual = _of_channels(near, channels) * x.of_shape(shape)[:, :, None] * y.of_shape(shape)[:, None]
        if channels > 1:
            same = torch.eye(channels, dtype=residual.dtype, device=residual.device)
            residual = residual * same.repeat(near.shape[1], near.shape[2])
        return low, residual

    def log_evidence(self, readings: Readings, exact: bool = False) -> Float[Tensor, "B K V"]:
        """Logarithm of the density of the readings under each hypothesis, or (`exact`) those with the least noise."""
        variants, (batch, count) = self.variants, readings.anomaly.shape
        if exact:
            variants = tuple(part[:: len(NOISES)] for part in variants)
        step = max(1, NUMBERS_AT_ONCE // (count * count * len(variants[0])))
        return torch.cat(
            [self._log_evidence(readings.select(slice(i, i + step)), *variants) for i in range(0, batch, step)]
        )

    @torch.no_grad()
    def _log_evidence(self, readings: Readings, a: Tensor, b: Tensor, noise: Tensor) -> Float[Tensor, "b K V"]:
        scores = []
        for k in range(len(self.rank)):
            shape = torch.full((len(readings.anomaly),), k, device=self.rank.device)
            low, residual = self.parts(shape, readings.places, readings.places)
            matrix = a[:, None, None] * low[:, None] + b[:, None, None] * residual[:, None]
            root = _root(matrix, noise.expand(len(shape), -1), readings)
            scores.append(_log_density(root, readings)[0])
        return torch.stack(scores, 1)

    def posterior(self, readings: Readings) -> OiPosterior:
        """Of each field alone. Raises ValueError for more than LARGEST places."""
        batch, count = readings.anomaly.shape
        if readings.places.x.shape[1] > LARGEST:
            raise ValueError(
                f"optimal interpolation solves at most {LARGEST} readings of a field at once, got "
                f"{readings.places.x.shape[1]}; thin them out, or use base.kind 'pod' or 'kriging'"
            )
        step = max(1, 2 * NUMBERS_AT_ONCE // (KEPT * count * count))
        return joined([self._posterior(readings.select(slice(i, i + step))) for i in range(0, batch, step)])

    def _posterior(self, readings: Readings) -> OiPosterior:
        """The likeliest hypotheses, and what readings say under each; differentiable by readings and places."""
        chosen = (self.log_evidence(readings.thinned(WHOLE)) + self.log_prior).flatten(1)
        index = chosen.topk(min(KEPT, chosen.shape[1]), 1).indices
        variants = len(self.log_prior[0])
        shape, variant = index // variants, index % variants
        a, b, noise = (part[variant] for part in self.variants)
        roots = []
        for t in range(index.shape[1]):
            low, residual = self.parts(shape[:, t], readings.places, readings.places)
            roots.append(a[:, t, None, None] * low + b[:, t, None, None] * residual)
        root = _root(torch.stack(roots, 1), noise, readings)
        density, weights = _log_density(root, readings)
        score = density + self.log_prior.flatten()[index]
        share = score.softmax(1)
        share = share.where(share > NEGLIGIBLE, 0)
        share = share / share.sum(1, keepdim=True)
        return OiPosterior(share, shape, a, b, noise, weights, root, score.logsumexp(1))

    def moments(
        self, posterior: OiPosterior, seen: Places, asked: Places, spread: bool
    ) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B Q C"]]:
        """Mean and variance of the anomaly, within the hypotheses and between them; without `spread`, zeros."""
        batch, count = posterior.weights.shape[0], posterior.weights.shape[2]
        channels = seen.modes.shape[2]
        step = max(1, NUMBERS_AT_ONCE // (batch * count * channels))
        parts = [
            self._moments(posterior, seen, asked.part(slice(i, i + step)), spread)
            for i in range(0, asked.x.shape[1], step)
        ]
        return tuple(torch.cat(part, 1).unflatten(1, (-1, channels)) for part in zip(*parts, strict=True))  # pyright: ignore[reportReturnType]

    def _moments(self, posterior: OiPosterior, seen: Places, asked: Places, spread: bool) -> tuple[Tensor, Tensor]:
        means, within = [], []
        for t in range(posterior.share.shape[1]):
            if not posterior.share[:, t].any():
                break  # the likeliest come first
            cross = self.covariance(posterior, t, asked, seen)
            means.append((cross @ posterior.weights[:, t, :, None])[..., 0])
            if spread:
                known = torch.linalg.solve_triangular(posterior.root[:, t], cross.mT, upper=False).square().sum(1)
                within.append((self.prior_variance(posterior, t, asked) - known).clamp(min=0))
        share = posterior.share[:, : len(means), None]
        each = torch.stack(means, 1)
        mean = (share * each).sum(1)
        if not spread:
            return mean, torch.zeros_like(mean)
        return mean, (share * (torch.stack(within, 1) + (each - mean[:, None]).square())).sum(1)

    def covariance(self, posterior: OiPosterior, t: int, x: Places, y: Places) -> Float[Tensor, "B n m"]:
        """Of the fields under their hypothesis `t`."""
        low, residual = self.parts(posterior.shape[:, t], x, y)
        return (
            posterior.mode_variance[:, t, None, None] * low + posterior.residual_variance[:, t, None, None] * residual
        )

    def prior_variance(self, posterior: OiPosterior, t: int, x: Places) -> Float[Tensor, "B n"]:
        """Of the fields under their hypothesis `t`, before any reading."""
        shape = posterior.shape[:, t]
        within = torch.arange(x.modes.shape[-1], device=shape.device) < self.rank[shape][:, None]
        low = (x.modes.square().flatten(1, 2) @ within[..., None].to(x.modes))[..., 0]
        residual = x.of_shape(shape).square()
        return posterior.mode_variance[:, t, None] * low + posterior.residual_variance[:, t, None] * residual

    def to(self, device) -> "OiPrior":
        return moved_parts(self, device)


def _of_channels(near: Float[Tensor, "B N M"], channels: int) -> Float[Tensor, "B n m"]:
    return near if channels == 1 else near.repeat_interleave(channels, 1).repeat_interleave(channels, 2)


def _root(
    matrix: Float[Tensor, "B T n n"], noise: Float[Tensor, "B T"], readings: Readings
) -> Float[Tensor, "B T n n"]:
    """Of the readings' covariances; where nothing was measured, that of the identity."""
    real = readings.measured[:, None]
    nugget = noise[..., None] + JITTER * matrix.diagonal(dim1=-2, dim2=-1).detach().amax(-1, keepdim=True)
    if readings.noise_variance is not None:
        nugget = nugget + readings.noise_variance[:, None]
    matrix = matrix.where(real[..., :, None] & real[..., None, :], 0)
    return torch.linalg.cholesky(matrix + torch.diag_embed(nugget.where(real, 1.0)))


def _log_density(
    root: Float[Tensor, "B T n n"], readings: Readings
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T n"]]:
    anomaly = readings.anomaly.where(readings.measured, 0)[:, None, :, None].expand(-1, root.shape[1], -1, -1)
    weights = torch.cholesky_solve(anomaly, root)[..., 0]
    square = (weights * anomaly[..., 0]).sum(-1)
    determinant = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    count = readings.measured.sum(1, keepdim=True)
    return -0.5 * (square + determinant + count * log(2 * pi)), weights
