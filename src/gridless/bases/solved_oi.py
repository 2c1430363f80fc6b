"""What optimal interpolation made of readings: values, how sure it is, and posterior samples that are functions."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gridless.bases.covariance import Covariance, RandomFunctions, RandomNumbers
from gridless.bases.oi_prior import TAPER, OiPosterior, OiPrior, Places, Readings
from gridless.bases.solved_modes import shared
from gridless.bases.spatial import GridNodes
from gridless.domain import Domain
from gridless.protocols import Answer
from gridless.samples import mapped, moved_parts

SMALLEST = 1e-4  # of the spread, relative to the fields' standard deviation


@dataclass(frozen=True, eq=False)
class ArchiveFields:
    """What is known of a place before any reading: what is usual there, modes, and residuals."""

    basis: GridNodes
    cells: GridNodes
    """Where residuals are known; linear in between."""
    usual: Float[Tensor, "G C H"]
    modes: Float[Tensor, "G C M"]
    residual_std: Float[Tensor, "G C K"]
    domain: Domain | None

    def places(self, coords: Float[Tensor, "#B Q d"]) -> Places:
        """Coordinates in [0, 1] as the prior sees them."""
        x = coords if self.domain is None else self.domain.embed(coords)
        modes = self.basis.evaluate(coords, self.modes.flatten(1)).unflatten(-1, self.modes.shape[1:])
        residual = self.cells.evaluate(coords, self.residual_std.flatten(1)).unflatten(-1, self.residual_std.shape[1:])
        return Places(x, modes, residual)

    def usual_at(self, coords: Float[Tensor, "#B Q d"], season: Float[Tensor, "B H"]) -> Float[Tensor, "B Q C"]:
        """The climatology, of the part of the year or day that `season` stands for."""
        at = self.basis.evaluate(coords, self.usual.flatten(1)).unflatten(-1, self.usual.shape[1:])
        return (at * season[:, None, None, : self.usual.shape[-1]]).sum(-1)

    def to(self, device) -> "ArchiveFields":
        return moved_parts(self, device)


@dataclass(frozen=True, eq=False)
class SolvedOi:
    """Answers in the readings' units; NaN where the archive was never measured, unless `fill`."""

    fields: ArchiveFields
    prior: OiPrior
    readings: Readings
    posterior: OiPosterior
    usual: Float[Tensor, "B N C"]
    """The climatology at the readings' places."""
    season: Float[Tensor, "B H"]
    widening: float
    doubt: Float[Tensor, " B"]
    """Variance of every place, of an archive that was not fitted."""
    fill: bool
    dtype: torch.dtype

    spread = True
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self._moments(coords, False)[0]

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        """Standard deviations of the field, without a reading's noise, as wide as fields that were left out asked for."""
        return self.mean_and_std(coords, cell).deviation()

    def mean_and_std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Answer:
        """Both at once, for the price of one."""
        return Answer(*self._moments(coords, True))

    def _moments(self, coords: Tensor, spread: bool) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B Q C"]]:
        coords = shared(coords)
        anomaly, variance = self.prior.moments(self.posterior, self.readings.places, self.fields.places(coords), spread)
        mean = self._within(self.fields.usual_at(coords, self.season) + anomaly, coords)
        return mean, self._within(self._deviation(variance), coords)

    def left_out(self) -> Answer:
        """What would be answered at each reading's place without it (all its channels), under the hypotheses that all
        readings weigh: mean and standard deviation of the reading, from the inverse of the readings' covariance
        (Rasmussen and Williams, 2006, equations 5.10 to 5.12)."""
        posterior, channels = self.posterior, self.usual.shape[-1]
        precision = torch.cholesky_inverse(posterior.root).unflatten(3, (-1, channels)).unflatten(2, (-1, channels))
        precision = precision.diagonal(dim1=2, dim2=4).movedim(-1, 2)  # (B T N C C)
        within = torch.linalg.inv(precision)
        rest = (within @ posterior.weights.unflatten(2, (-1, channels))[..., None])[..., 0]
        each, share = (
            self.readings.anomaly.unflatten(1, (-1, channels))[:, None] - rest,
            posterior.share[..., None, None],
        )
        mean = (share * each).sum(1)
        variance = (share * (within.diagonal(dim1=-2, dim2=-1) + (each - mean[:, None]).square())).sum(1)
        return Answer((self.usual + mean).to(self.dtype), self._deviation(variance).to(self.dtype))

    def _deviation(self, variance: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        """As wide as fields that were left out asked for."""
        variance = variance.clamp(min=SMALLEST**2 * self.prior.variance) * self.widening**2
        return (variance + self.doubt[:, None, None]).sqrt()

    def reading_variance(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B 1 1"]:
        """Of a reading around the field."""
        return (self.posterior.share * self.posterior.noise_variance).sum(1)[:, None, None].to(self.dtype)

    @property
    def log_evidence(self) -> Float[Tensor, " B"]:
        """Logarithm of the density of the readings, in their own units."""
        return self.posterior.log_evidence

    def draws(self, n: int, seed: int) -> "OiDraws":
        """`n` posterior samples that are functions, of a hypothesis each, drawn by how likely it is; every field of a batch
        sees the same random numbers. Raises ValueError for n below 1."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        return OiDraws.of(self, n, seed)

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedOi":
        return moved_parts(self, device)

    def _within(self, values: Float[Tensor, "B Q C"], coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        values = values.to(self.dtype)
        return values if self.fill else values.where(self.fields.basis.contains(coords), torch.nan)


@dataclass(frozen=True, eq=False)
class OiDraw:
    """One random function of each field, before the readings, and what they add to it (Matheron's rule)."""

    hypothesis: Int[Tensor, " B"]
    residual: RandomFunctions
    """Of each channel (B C)."""
    near: RandomFunctions
    """Cosines that the functions which modes are multiplied by share …"""
    weights: Float[Tensor, "M F"]
    """… each with weights of its own."""
    update: Float[Tensor, "B n"]

    def before(self, solved: SolvedOi, at: Places) -> Float[Tensor, "B N C"]:
        """The function without what the readings add."""
        rows, posterior = torch.arange(len(self.hypothesis), device=self.hypothesis.device), solved.posterior
        a, b, shape = (
            part[rows, self.hypothesis]
            for part in (posterior.mode_variance, posterior.residual_variance, posterior.shape)
        )
        waves = torch.cos(at.x @ self.near.frequency.mT + self.near.phase[:, None])
        each = waves @ self.weights.mT * (2 / waves.shape[-1]) ** 0.5  # (B N M)
        each = each * (torch.arange(each.shape[-1], device=rows.device) < solved.prior.rank[shape][:, None])[:, None]
        low = (at.modes * each[:, :, None]).sum(-1)
        residual = self.residual(at.x[:, None]).mT * at.of_shape(shape).view(low.shape)
        return a.sqrt()[:, None, None] * low + b.sqrt()[:, None, None] * residual


@dataclass(frozen=True, eq=False)
class OiDraws:
    """Posterior samples as functions of coordinates; their deviations from the mean are widened as the spread is."""

    solved: SolvedOi
    drawn: tuple[OiDraw, ...]

    @classmethod
    def of(cls, solved: SolvedOi, n: int, seed: int) -> "OiDraws":
        posterior, readings, prior = solved.posterior, solved.readings, solved.prior
        (batch, kept, count), (channels, rank) = posterior.weights.shape, readings.places.modes.shape[2:]
        rows, drawn = torch.arange(batch, device=posterior.share.device), []
        for i in range(n):
            rng = np.random.default_rng((seed, i))
            lot = torch.full((batch, 1), rng.random(), dtype=torch.float64, device=rows.device)
            chosen = torch.searchsorted(posterior.share.cumsum(1), lot)[:, 0].clamp(max=kept - 1)
            shape = posterior.shape[rows, chosen]
            rate, kernel = prior.rate[shape], prior.kernel[shape]
            taper = prior.taper_rate[shape][:, None] * rate / rate.amin(1, keepdim=True)
            numbers = RandomNumbers.stack([RandomNumbers.draw(rng, rate.shape[1]) for _ in range(channels + 1)])
            numbers = moved_parts(numbers, rate.device)
            draw = OiDraw(
                chosen,
                _functions(mapped(numbers, lambda t: t[:-1]), kernel[:, None], rate[:, None]),
                _functions(mapped(numbers, lambda t: t[-1]), torch.full_like(shape, TAPER), taper),
                torch.from_numpy(rng.standard_normal((rank, numbers.phase.shape[-1]))).to(rate),
                posterior.weights[:, 0],
            )
            noise = posterior.noise_variance[rows, chosen, None]
            if readings.noise_variance is not None:
                noise = noise + readings.noise_variance
            noise = noise.sqrt() * torch.from_numpy(rng.standard_normal(count)).to(rate)
            rest = readings.anomaly - draw.before(solved, readings.places).flatten(1) - noise
            rest = rest.where(readings.measured, 0)[..., None]
            drawn.append(replace(draw, update=torch.cholesky_solve(rest, posterior.root[rows, chosen])[..., 0]))
        return cls(solved, tuple(drawn))

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]:
        solved, coords = self.solved, shared(coords)
        asked, usual = solved.fields.places(coords), solved.fields.usual_at(coords, solved.season)
        seen, posterior = solved.readings.places, solved.posterior
        mean, _ = solved.prior.moments(posterior, seen, asked, False)
        out = []
        for draw in self.drawn:
            of_draw = posterior.chosen(draw.hypothesis)
            update = (solved.prior.covariance(of_draw, 0, asked, seen) @ draw.update[..., None])[..., 0]
            anomaly = draw.before(solved, asked) + update.view_as(mean)
            out.append(solved._within(usual + mean + solved.widening * (anomaly - mean), coords))
        return torch.stack(out, 1)

    def to(self, device) -> "OiDraws":
        return OiDraws(self.solved.to(device), tuple(moved_parts(draw, device) for draw in self.drawn))


def _functions(numbers: RandomNumbers, kernel: Int[Tensor, "B *C"], rate: Float[Tensor, "B *C e"]) -> RandomFunctions:
    """Of variance 1 and no level, the same numbers for every field."""
    outer = torch.broadcast_shapes(kernel.shape, (len(kernel), *numbers.level.shape))
    one = torch.ones(outer, dtype=rate.dtype, device=rate.device)
    numbers = mapped(numbers, lambda t: t.expand(len(kernel), *t.shape))
    zero = torch.zeros_like(rate.expand(*outer, -1))
    covariance = Covariance(kernel.expand(outer), rate.expand(*outer, -1), one, 0 * one, zero)
    return RandomFunctions.of(covariance, replace(numbers, level=0 * one))
