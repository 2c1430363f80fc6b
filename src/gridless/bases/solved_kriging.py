"""What kriging made of readings: answers anywhere, how sure it is, and posterior samples that are functions."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gridless.bases.covariance import Covariance, RandomFunctions, RandomNumbers
from gridless.bases.gaussian_process import Expansion, Posterior, Readings, condition
from gridless.bases.hypotheses import Table
from gridless.bases.neighbourhoods import Neighbourhoods, representative
from gridless.bases.standardised import Standardised
from gridless.protocols import Answer
from gridless.samples import Samples, mapped, moved_parts

WHOLE = 256  # readings whose every hypothesis is weighed by all of them; beyond, by GROUPS groups of so many first
GROUPS = 5
LARGEST = 1500  # readings that are solved at once
HYPOTHESES, HYPOTHESES_OF_MANY, HYPOTHESES_NEARBY = 16, 8, 4  # kept of a field; beyond WHOLE readings; beyond LARGEST
NEGLIGIBLE = 1e-4  # a hypothesis less likely than this says nothing


@dataclass(frozen=True, eq=False)
class Piece:
    """Some of the scalar fields, solved together; or one, whose neighbourhoods are the posterior's fields."""

    rows: Int[Tensor, " F"]
    posterior: Posterior
    log_evidence: Float[Tensor, " F"]
    neighbourhoods: Neighbourhoods | None = None
    places: Float[Tensor, "N e"] | None = None  # of all readings, where there are neighbourhoods

    @classmethod
    def few(cls, standard: Standardised, table: Table, rows: Int[Tensor, " F"]) -> "Piece":
        """Every hypothesis weighed by all readings."""
        readings = standard.of_rows(rows)
        together = mapped(readings, lambda t: t[:, None])
        weighed = table.weigh(together)
        index = weighed.best(HYPOTHESES)
        return cls._whole(rows, readings, table, index, table.covariance(index, weighed.level))

    @classmethod
    def many(cls, standard: Standardised, table: Table, rows: Int[Tensor, "1"]) -> "Piece":
        """The likeliest hypotheses of representative groups, weighed by all readings."""
        readings = standard.of_rows(rows)
        weighed = table.weigh(groups(readings))
        index = weighed.best(HYPOTHESES_OF_MANY)
        return cls._whole(rows, readings, table, index, table.covariance(index, weighed.level))

    @classmethod
    def neighbourhoods_of(cls, standard: Standardised, table: Table, rows: Int[Tensor, "1"], size: int) -> "Piece":
        """The same, weighed by all neighbourhoods as if they were independent; a reading counts once."""
        readings = standard.of_rows(rows)
        weighed = table.weigh(groups(readings))
        index = weighed.best(HYPOTHESES_NEARBY)
        near = Neighbourhoods.of(readings.x[0], size, table.stretch(index[0, 0]))
        local = readings.select((0, near.index))
        covariance = table.covariance(index, weighed.level)
        conditioned = condition(mapped(local, lambda t: t[None]), covariance, table.given_variance(index))
        once = readings.z.shape[1] / near.index.numel()
        share, evidence, count = _shares(once * conditioned.log_evidence + table.prior(index))
        j = len(near.index)
        expansion = Expansion(
            local,
            mapped(covariance, lambda t: t[:, :count].expand(j, *[-1] * (t.ndim - 1))),
            conditioned.weights[0, :count].transpose(0, 1).contiguous(),
        )
        variance = conditioned.variance[:, :count].expand(j, -1)
        return cls(rows, Posterior(expansion, variance, share.expand(j, -1)), evidence, near, readings.x[0])

    @classmethod
    def _whole(cls, rows: Tensor, readings: Readings, table: Table, index: Tensor, covariance: Covariance) -> "Piece":
        conditioned = condition(mapped(readings, lambda t: t[:, None]), covariance, table.given_variance(index))
        share, evidence, count = _shares(conditioned.log_evidence + table.prior(index))
        weights = conditioned.weights[:, :count, 0]
        expansion = Expansion(readings, covariance.select((slice(None), slice(count))), weights)
        return cls(rows, Posterior(expansion, conditioned.variance[:, :count], share), evidence)

    @property
    def mixture(self) -> Posterior:
        """The hypotheses of each field."""
        return self.posterior if self.neighbourhoods is None else self.posterior.select(slice(1))

    def moments(self, x: Float[Tensor, "F Q e"], spread: bool) -> tuple[Float[Tensor, "F Q"], Float[Tensor, "F Q"]]:
        """Mean and variance of the fields at `x`, standardised."""
        if self.neighbourhoods is None:
            return self.posterior.moments(x, spread)
        first = second = torch.zeros_like(x[0, :, 0])
        for j, at, weight in self.neighbourhoods.parts(x[0]):
            mean, variance = self.posterior.select(slice(j, j + 1)).moments(x[:, at], spread)
            first = first.index_add(0, at, weight * mean[0])
            second = second.index_add(0, at, weight * (variance + mean.square())[0])
        return first[None], (second - first.square()).clamp(min=0)[None]

    def left_out(self) -> tuple[Float[Tensor, "F N"], Float[Tensor, "F N"]]:
        """Mean and variance of each reading without it, standardised; a reading of several neighbourhoods takes what all of
        them say."""
        mean, variance = self.posterior.left_out()
        if self.neighbourhoods is None:
            return mean, variance
        assert self.places is not None
        index, x = self.neighbourhoods.index, self.places
        weight = self.neighbourhoods.weights(x).mT.gather(1, index) + NEGLIGIBLE
        total, first, second = (
            torch.zeros_like(x[:, 0]).index_add(0, index.flatten(), part.flatten())
            for part in (weight, weight * mean, weight * (variance + mean.square()))
        )
        known, total = total > 0, total.where(total > 0, 1)
        first, second = first / total, second / total
        return first[None], (second - first.square()).clamp(min=0).where(known, 1)[None]

    def drawn(self, choice: Tensor, numbers: RandomNumbers, noise: Float[Tensor, "F n N"]) -> "PieceDraws":
        """Posterior samples (F n) of the parts `choice` of the mixture."""
        mixture, each = self.mixture, torch.arange(len(choice), device=choice.device)[:, None]
        functions = RandomFunctions.of(mixture.mean.covariance.select((each, choice)), numbers)
        unit = mixture.variance[each, choice].sqrt()
        if self.neighbourhoods is None:
            return PieceDraws(self.rows, functions, unit, self.posterior.drawn(choice, functions, noise))
        index = self.neighbourhoods.index
        weights = noise.new_empty(len(index), choice.shape[1], index.shape[1])
        for j in range(len(index)):
            posterior = self.posterior.select(slice(j, j + 1)).drawn(choice, functions, noise[:, :, index[j]])
            weights[j] = posterior.weights[0]
        covariance = mapped(posterior.covariance, lambda t: t.expand(len(index), *[-1] * (t.ndim - 1)))
        update = Expansion(self.posterior.mean.readings, covariance, weights)
        return PieceDraws(self.rows, functions, unit, update, self.neighbourhoods)


@dataclass(frozen=True, eq=False)
class PieceDraws:
    """Posterior samples of some scalar fields: random functions, and what the readings add to them."""

    rows: Int[Tensor, " F"]
    functions: RandomFunctions  # (F n)
    unit: Float[Tensor, "F n"]
    update: Expansion  # (F n), or (J n)
    neighbourhoods: Neighbourhoods | None = None

    def __call__(self, x: Float[Tensor, "F Q e"]) -> Float[Tensor, "F n Q"]:
        out = self.unit[..., None] * self.functions(x[:, None])
        if self.neighbourhoods is None:
            return out + self.update(x)
        for j, at, weight in self.neighbourhoods.parts(x[0]):
            out = out.index_add(2, at, weight * self.update.select(slice(j, j + 1))(x[:, at]))
        return out


def groups(readings: Readings) -> Readings:
    """Of one field, the groups (1 G N) by which hypotheses are weighed: all readings, or representatives."""
    if readings.z.shape[1] <= WHOLE:
        return mapped(readings, lambda t: t[:, None])
    index = representative(readings.x[0], WHOLE, GROUPS)
    return mapped(readings, lambda t: t[:, index])


def _shares(log_weight: Float[Tensor, "F K"]) -> tuple[Float[Tensor, "F K"], Float[Tensor, " F"], int]:
    """How likely each hypothesis is, without the negligible ones; how likely the readings are; and how many to keep."""
    share = log_weight.softmax(1)
    share = share.where(share > NEGLIGIBLE, 0)
    count = int((share > 0).any(0).nonzero().max()) + 1
    share = share[:, :count]
    return share / share.sum(1, keepdim=True), log_weight.logsumexp(1), count


@dataclass(frozen=True, eq=False)
class SolvedKriging:
    """The posterior of each field and channel."""

    samples: Samples
    standard: Standardised
    pieces: tuple[Piece, ...]

    name = "kriging"
    spread = True
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        """The posterior mean at `coords` in [0, 1] per axis."""
        mean, _ = self._moments(coords, False)
        return self.channels_last(mean * self.standard.scale[:, None] + self.standard.location[:, None])

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        """Standard deviations of the field, without a reading's noise: within the hypotheses and between them."""
        return self._deviation(self._moments(coords, True)[1])

    def mean_and_std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Answer:
        """Mean and standard deviation of the field."""
        mean, variance = self._moments(coords, True)
        mean = mean * self.standard.scale[:, None] + self.standard.location[:, None]
        return Answer(self.channels_last(mean), self._deviation(variance))

    def left_out(self) -> Answer:
        """What would be answered at each reading's place without it, under the hypotheses that all readings weigh: mean and
        standard deviation of the reading (Rasmussen and Williams, 2006, equations 5.10 to 5.12)."""
        n = self.standard.order.shape[1]
        mean, variance = (
            self._gathered([F.pad(part, (0, n - part.shape[1])) for part in parts])
            for parts in zip(*(piece.left_out() for piece in self.pieces), strict=True)
        )
        mean = mean * self.standard.scale[:, None] + self.standard.location[:, None]
        values = self.samples.values
        order = self.standard.order[..., None].expand(-1, -1, values.shape[-1])
        parts = self.channels_last(mean), self._deviation(variance)
        return Answer(*(torch.ones_like(values).scatter(1, order, x) for x in parts))

    def reading_std(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        """Standard deviations of a further reading: of the field, and of a reading's noise (where noises are known, with
        their mean)."""
        return self._deviation(self._moments(coords, True)[1] + self._noise_variance[:, None])

    def reading_variance(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B 1 C"]:
        """Of a reading around the field."""
        return self.channels_last((self._noise_variance * self.standard.scale.square())[:, None])

    def draws(self, n: int, seed: int) -> "KrigingDraws":
        """`n` posterior samples that are functions, the same wherever and however they are asked. Each is of one hypothesis,
        drawn by how likely it is. Before the readings they are sums of cosines (random Fourier features), whose covariance
        is off by some 3 %; what the readings add to them is exact. Raises ValueError for n below 1."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        return KrigingDraws.of(self, n, seed)

    def gate(self, cell: Tensor) -> float:
        return 1.0

    @property
    def log_evidence(self) -> Float[Tensor, "B C"]:
        """How likely the readings are, in their units; readings that are all equal are counted as if their scale were 1."""
        scale, count = self.standard.scale, self.standard.readings.real.sum(1)
        evidence = self._gathered([piece.log_evidence for piece in self.pieces])
        return self._per_channel(evidence - count * scale.where(scale > 0, 1).log())

    @property
    def weights(self) -> Float[Tensor, "B C K"]:
        """How likely each hypothesis is; `kernels`, `lengths` and `noises` say which."""
        return self._per_channel(self._padded([piece.mixture.share for piece in self.pieces]))

    @property
    def kernels(self) -> Int[Tensor, "B C K"]:
        """Each hypothesis' kernel, an index into KERNELS."""
        return self._per_channel(self._padded([piece.mixture.mean.covariance.kernel for piece in self.pieces]))

    @property
    def lengths(self) -> Float[Tensor, "B C K e"]:
        """Each hypothesis' length along each axis, in the units of positions."""
        lengths = self._padded([1 / piece.mixture.mean.covariance.rate for piece in self.pieces])
        return self._per_channel(lengths * self.standard.extent[:, None])

    @property
    def noises(self) -> Float[Tensor, "B C K"]:
        """Each hypothesis' standard deviation of a reading around the field, in the units of the values."""
        mixtures = [piece.mixture for piece in self.pieces]
        variance = self._padded([m.variance * m.mean.covariance.noise for m in mixtures])
        return self._per_channel(variance.sqrt() * self.standard.scale[:, None])

    @property
    def length(self) -> Float[Tensor, "B C"]:
        """The geometric mean of the lengths, by weight."""
        lengths = self.lengths.log().mean(-1).where(self.weights > 0, 0)
        return (self.weights * lengths).sum(-1).exp()

    @property
    def noise(self) -> Float[Tensor, "B C"]:
        """Standard deviation of a reading around the field beyond any known noise, in the units of the values."""
        return (self.weights * self.noises.square()).sum(-1).sqrt()

    def to(self, device) -> "SolvedKriging":
        pieces = tuple(moved_parts(piece, device) for piece in self.pieces)
        return SolvedKriging(self.samples.to(device), self.standard.to(device), pieces)

    @property
    def _noise_variance(self) -> Float[Tensor, " F"]:
        mixtures = [piece.mixture for piece in self.pieces]
        out = self._gathered([(m.share * m.variance * m.mean.covariance.noise).sum(1) for m in mixtures])
        readings = self.standard.readings
        return out if readings.noise is None else out + readings.noise.sum(1) / readings.real.sum(1)

    def _moments(self, coords: Tensor, spread: bool) -> tuple[Tensor, Tensor]:
        x = places(self, coords)
        parts = [piece.moments(x[piece.rows], spread) for piece in self.pieces]
        mean, variance = zip(*parts, strict=True)
        return self._gathered(mean), self._gathered(variance)

    def _deviation(self, variance: Float[Tensor, "F Q"]) -> Float[Tensor, "B Q C"]:
        return self.channels_last(variance.clamp(min=1e-14).sqrt() * self.standard.scale[:, None])

    def _gathered(self, parts) -> Tensor:
        """Of every piece, in the order of the fields."""
        return torch.cat(list(parts))[torch.cat([piece.rows for piece in self.pieces]).argsort()]

    def _padded(self, parts: list[Tensor]) -> Tensor:
        most = max(part.shape[1] for part in parts)
        return self._gathered(
            [torch.cat([p, p[:, :1].expand(-1, most - p.shape[1], *p.shape[2:]) * 0], 1) for p in parts]
        )

    def _per_channel(self, value: Tensor) -> Tensor:
        return value.unflatten(0, (-1, self.samples.channels))

    def channels_last(self, value: Float[Tensor, "F *n Q"]) -> Float[Tensor, "B *n Q C"]:
        """Of every field and channel, as the samples have them."""
        return self._per_channel(value).movedim(1, -1).to(self.samples.values.dtype)


@dataclass(frozen=True, eq=False)
class KrigingDraws:
    """Posterior samples as functions of coordinates."""

    solved: SolvedKriging
    pieces: tuple[PieceDraws, ...]

    @classmethod
    def of(cls, solved: SolvedKriging, n: int, seed: int) -> "KrigingDraws":
        """Every field of a batch sees the same random numbers, every channel others."""
        channels, readings = solved.samples.channels, solved.standard.readings
        lots, numbers, noise = [], [], []
        for channel in range(channels):
            for i in range(n):
                rng = np.random.default_rng((seed, i, channel))
                lots.append(rng.random())
                numbers.append(RandomNumbers.draw(rng, readings.x.shape[-1]))
                noise.append(torch.from_numpy(rng.standard_normal(readings.z.shape[1])))
        device = readings.z.device
        lot = torch.tensor(lots, dtype=torch.float64, device=device).view(channels, n)
        numbers = mapped(RandomNumbers.stack(numbers), lambda t: t.to(device).unflatten(0, (channels, n)))
        noise = torch.stack(noise).to(device).view(channels, n, -1)
        pieces = []
        for piece in solved.pieces:
            channel, share = piece.rows % channels, piece.mixture.share
            choice = torch.searchsorted(share.cumsum(1), lot[channel]).clamp(max=share.shape[1] - 1)
            count = piece.posterior.mean.readings.z.shape[1] if piece.neighbourhoods is None else noise.shape[-1]
            of_channel = mapped(numbers, lambda t, channel=channel: t[channel])
            pieces.append(piece.drawn(choice, of_channel, noise[channel, :, :count]))
        return cls(solved, tuple(pieces))

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]:
        standard, x = self.solved.standard, places(self.solved, coords)
        out = self.solved._gathered([piece(x[piece.rows]) for piece in self.pieces])
        return self.solved.channels_last(out * standard.scale[:, None, None] + standard.location[:, None, None])


def places(solved: SolvedKriging, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "F Q e"]:
    """Where each field is asked, in its own units. Raises ValueError for coordinates of another shape."""
    batch, axes = len(solved.samples), solved.samples.axes
    if coords.ndim != 3 or len(coords) not in (1, batch) or coords.shape[2] != axes:
        raise ValueError(f"expected coordinates ({batch}, Q, {axes}), got {tuple(coords.shape)}")
    return solved.standard.place(solved.samples.positions(coords))
