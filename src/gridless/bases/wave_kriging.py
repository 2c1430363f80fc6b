"""Kriging that knows waves: readings as plane sinusoids and kriging of the rest, beside kriging of the readings alone.

Each field and channel is answered by the mixture of both, weighed by how likely each makes the readings; every wave has to
pay for having been sought (`Waves.price`). Where no wave is found, it is kriging itself.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.harmonics import Waves, waves_in
from gridless.bases.kriging import Kriging
from gridless.bases.solved_kriging import LARGEST, SolvedKriging, places
from gridless.bases.standardised import Standardised
from gridless.field import Field
from gridless.protocols import Answer, Draws
from gridless.samples import Samples, moved_parts

CAUTION = 1.25  # times the price of a wave, which is fitted before the rest is weighed
SURE = 1e-3  # a probability smaller than this is none


@dataclass(frozen=True)
class WaveKriging:
    """`kriging` of the readings, and around at most `most` waves in them."""

    kriging: Kriging = field(default_factory=Kriging)
    most: int = 8

    name = "kriging with waves"
    has_spread = True

    def __post_init__(self):
        if self.most < 1:
            raise ValueError(f"most is a number of waves, at least 1, got {self.most}; for none take Kriging")

    def solve(self, samples: Samples) -> "SolvedKriging | SolvedWaves":
        """What the readings say about the field. Raises ValueError where a field has none, or one that is not finite."""
        plain = self.kriging.solve(samples)
        found = [waves_of(plain.standard, row, self.most) for row in range(len(plain.standard.scale))]
        if not any(found):
            return plain
        drift = Drift.of(plain.standard, found)
        seen = samples.as_points()
        around = drift(plain, seen.point_coords).to(samples.values.dtype)
        if seen.mask is not None:
            around = around.where(seen.mask[..., None], 0)
        rest = self.kriging.solve(replace(seen, values=seen.values - around, level=None, scale=None))
        price = torch.tensor([0.0 if waves is None else CAUTION * waves.price for waves in found], dtype=torch.float64)
        price = price.to(plain.standard.scale.device).view_as(plain.log_evidence)
        share = torch.sigmoid(rest.log_evidence - plain.log_evidence - price).where(price > 0, 0)
        share = torch.where(share > 1 - SURE, 1, torch.where(share < SURE, 0, share))
        return plain if bool((share == 0).all()) else SolvedWaves(plain, rest, drift, share[:, None])

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out, and how sure it is of the field."""
        return Field.of_base(self, samples)


def waves_of(standard: Standardised, row: int, most: int) -> Waves | None:
    """In the readings of one field and channel."""
    real = standard.readings.real[row]
    if not standard.scale[row] > 0 or int(real.sum()) > LARGEST:
        return None
    x, z = standard.readings.x[row, real], standard.readings.z[row, real]
    return waves_in(x.cpu().numpy(), z.detach().cpu().numpy(), most)


@dataclass(frozen=True, eq=False)
class Drift:
    """The waves of every field and channel, F = B · C of them, with as many columns as the one that has most."""

    frequency: Float[Tensor, "F M e"]
    weights: Float[Tensor, "F K"]
    root: Float[Tensor, "F K K"]
    error: Float[Tensor, " F"]

    @classmethod
    def of(cls, standard: Standardised, found: list[Waves | None]) -> "Drift":
        most, axes = max(w.count for w in found if w is not None), standard.readings.x.shape[-1]
        fields, columns = len(found), 1 + 2 * most
        frequency, weights = np.zeros((fields, most, axes)), np.zeros((fields, columns))
        root, error = np.zeros((fields, columns, columns)), np.zeros(fields)
        for row, waves in enumerate(found):
            if waves is None:
                continue
            m = waves.count
            at = np.r_[0, 1 : 1 + m, 1 + most : 1 + most + m]
            frequency[row, :m], weights[row, at], error[row] = waves.frequency, waves.weights, waves.error
            root[row][np.ix_(at, at)] = waves.root
        parts = (torch.from_numpy(part).to(standard.scale) for part in (frequency, weights, root, error))
        return cls(*parts)

    def __call__(self, solved: SolvedKriging, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        """The waves at coordinates, in the units of the values."""
        columns = self._design(places(solved, coords))
        value = (columns @ self.weights[..., None])[..., 0] * solved.standard.scale[:, None]
        return solved.channels_last(value)

    def std(self, solved: SolvedKriging, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        """How well their amplitudes are known."""
        columns = self._design(places(solved, coords))
        variance = (columns @ self.root).square().sum(-1) * self.error[:, None]
        return solved.channels_last(variance.sqrt() * solved.standard.scale[:, None])

    def _design(self, x: Float[Tensor, "F Q e"]) -> Float[Tensor, "F Q K"]:
        phase = 2 * torch.pi * (x @ self.frequency.mT)
        return torch.cat([torch.ones_like(x[..., :1]), phase.cos(), phase.sin()], -1)

    def to(self, device) -> "Drift":
        return moved_parts(self, device)


@dataclass(frozen=True, eq=False)
class SolvedWaves:
    """The mixture of kriging as it is and of kriging around waves; `share`: how likely the second is. Its derivative by the
    samples takes the frequencies as known."""

    plain: SolvedKriging
    rest: SolvedKriging
    drift: Drift
    share: Float[Tensor, "B 1 C"]

    name = "kriging with waves"
    spread = True
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        first = self.plain(coords, cell)
        return first + self._share(first) * (self.drift(self.plain, coords) + self.rest(coords, cell) - first)

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self.mean_and_std(coords, cell).deviation()

    def mean_and_std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Answer:
        """Within both answers and between them."""
        rest = self.rest.mean_and_std(coords, cell)
        variance = rest.deviation().square() + self.drift.std(self.plain, coords).square()
        around = Answer(rest.mean + self.drift(self.plain, coords), variance.sqrt())
        return self._mixed(self.plain.mean_and_std(coords, cell), around)

    def left_out(self) -> Answer:
        """At each reading, without it; the waves as all readings say."""
        rest, seen = self.rest.left_out(), self.plain.samples.as_points()
        around = Answer(rest.mean + self.drift(self.plain, seen.point_coords), rest.std)
        return self._mixed(self.plain.left_out(), around)

    def _mixed(self, plain: Answer, around: Answer) -> Answer:
        p, apart = self._share(plain.mean), around.mean - plain.mean
        variance = (1 - p) * plain.deviation().square() + p * around.deviation().square() + p * (1 - p) * apart.square()
        return Answer(plain.mean + p * apart, variance.sqrt())

    def reading_variance(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B 1 C"]:
        """Of a reading around the field."""
        plain, p = self.plain.reading_variance(coords), self.share
        return plain + p.to(plain) * (self.rest.reading_variance(coords) - plain)

    def draws(self, n: int, seed: int) -> "WaveDraws":
        """Posterior samples that are functions, each of one of the two."""
        rng = np.random.default_rng((seed, 2))  # every field of a batch sees the same numbers
        lots = torch.from_numpy(rng.random(n)).to(self.share)
        numbers = torch.from_numpy(rng.standard_normal((n, self.drift.weights.shape[1]))).to(self.drift.weights)
        return WaveDraws(self, self.plain.draws(n, seed), self.rest.draws(n, seed), lots, numbers)

    def gate(self, cell: Tensor) -> float:
        return 1.0

    @property
    def log_evidence(self) -> Float[Tensor, "B C"]:
        """How likely the readings are."""
        return self.plain.log_evidence - (1 - self.share[:, 0]).clamp(min=SURE).log()

    def to(self, device) -> "SolvedWaves":
        drift, share = self.drift.to(device), self.share.to(device)
        return SolvedWaves(self.plain.to(device), self.rest.to(device), drift, share)

    def _share(self, like: Tensor) -> Float[Tensor, "B 1 C"]:
        return self.share.to(like)


@dataclass(frozen=True, eq=False)
class WaveDraws:
    solved: SolvedWaves
    plain: Draws
    rest: Draws
    lots: Float[Tensor, " n"]
    numbers: Float[Tensor, "n K"]
    """Of the amplitudes of the waves."""

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]:
        solved, drift = self.solved, self.solved.drift
        amplitudes = drift.weights[:, None] + drift.error.sqrt()[:, None, None] * (self.numbers @ drift.root.mT)
        parts = [replace(drift, weights=amplitudes[:, i])(solved.plain, coords) for i in range(len(self.numbers))]
        around = self.rest(coords) + torch.stack(parts, 1)
        chosen = self.lots[:, None] < solved.share  # (B n C)
        return torch.where(chosen[:, :, None], around, self.plain(coords))
