"""Stationary covariance functions between places, many at once, and random functions that have them.

    matern12              exp(−s)
    matern32              (1 + √3 s) exp(−√3 s)
    matern52              (1 + √5 s + 5/3 s²) exp(−√5 s)
    squared-exponential   exp(−s²/2)                                        s: distance over length

All four are (1 + c s + d s²) exp(−a s − b s²): a kernel is four numbers, and fields of one batch may differ in theirs.
Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from math import pi, sqrt

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gridless.samples import mapped

KERNELS: dict[str, tuple[float, float, float, float]] = {
    "matern12": (1.0, 0.0, 0.0, 0.0),
    "matern32": (sqrt(3), 0.0, sqrt(3), 0.0),
    "matern52": (sqrt(5), 0.0, sqrt(5), 5 / 3),
    "squared-exponential": (0.0, 0.5, 0.0, 0.0),
}
DEGREES = (1, 3, 5, 0)  # of freedom of each kernel's spectrum, a Student t; 0 stands for a Gaussian
MEAN_VARIANCE = 10.0  # of the level, and of the trend per unit, over the variance that the readings show: broad
JITTER = 1e-10  # on the diagonal, over the covariance there: what float64 can tell apart
FEATURES = 1024  # cosines of a random function


@dataclass(frozen=True, eq=False)
class Covariance:
    """Of an unknown level (and trend), a stationary field and the noise of its readings; one for every entry of T.

    Everything is in units of a variance that the caller keeps.
    """

    kernel: Int[Tensor, "*T"]  # index into KERNELS
    rate: Float[Tensor, "*T e"]  # 1 / length, per axis
    variance: Float[Tensor, "*T"]  # of the field
    noise: Float[Tensor, "*T"]  # variance of a reading around the field
    linear: Float[Tensor, "*T e"]  # 1 with a linear trend along this number of a position, 0 without

    def __call__(self, x: Float[Tensor, "*T P e"], y: Float[Tensor, "*T N e"]) -> Float[Tensor, "*T P N"]:
        """Between the fields at `x` and at `y`."""
        scale = self.rate[..., None, :]
        out = self.variance[..., None, None] * correlation(self.kernel, squared_distances(x * scale, y * scale))
        return out + MEAN_VARIANCE * (1 + (x * self.linear[..., None, :]) @ y.mT)

    def at(self, x: Float[Tensor, "*T P e"]) -> Float[Tensor, "*T P"]:
        """The variance of the field before any reading."""
        return self.variance[..., None] + MEAN_VARIANCE * (1 + (self.linear[..., None, :] * x.square()).sum(-1))

    def of_readings(
        self, x: Float[Tensor, "*T N e"], real: Bool[Tensor, "*T N"], noise: Float[Tensor, "*T N"] | None = None
    ) -> Float[Tensor, "*T N N"]:
        """Between readings at `x`; `noise`: further variances of each. Where none is `real`, that of the identity."""
        nugget = (self.noise + JITTER * self.variance)[..., None] + (0 if noise is None else noise)
        both = real[..., :, None] & real[..., None, :]
        return self(x, x).where(both, 0) + torch.diag_embed(torch.where(real, nugget, 1.0))

    def select(self, index) -> "Covariance":
        """Some of them."""
        return mapped(self, lambda t: t[index])


def correlation(kernel: Int[Tensor, "*T"], squared: Float[Tensor, "*T P N"]) -> Float[Tensor, "*T P N"]:
    """At squared distances over squared lengths. Its gradient at distance 0 is 0, also of a kernel with a kink there."""
    table = squared.new_tensor(list(KERNELS.values()))
    a, b, c, d = table[kernel][..., None, None, :].unbind(-1)
    apart = squared > 0
    distance = squared.where(apart, 1).sqrt().where(apart, 0)
    return (1 + c * distance + d * squared) * torch.exp(-a * distance - b * squared)


def squared_distances(x: Float[Tensor, "*T P e"], y: Float[Tensor, "*T N e"]) -> Float[Tensor, "*T P N"]:
    """By differences: the product of matrices would lose what is close together."""
    axes = zip(x.unbind(-1), y.unbind(-1), strict=True)
    return reduce(torch.add, ((p[..., :, None] - q[..., None, :]).square() for p, q in axes))


@dataclass(frozen=True, eq=False)
class RandomNumbers:
    """What a random function is made of: normal numbers, and phases."""

    level: Float[Tensor, "*T"]
    slope: Float[Tensor, "*T e"]
    direction: Float[Tensor, "*T F e"]
    chi: Float[Tensor, "*T F 5"]
    weight: Float[Tensor, "*T F"]
    phase: Float[Tensor, "*T F"]

    @classmethod
    def draw(cls, rng: np.random.Generator, axes: int) -> "RandomNumbers":
        """For one function of `axes` coordinates."""
        parts = ((), (axes,), (FEATURES, axes), (FEATURES, max(DEGREES)), (FEATURES,))
        normal = [torch.as_tensor(rng.standard_normal(shape)) for shape in parts]
        return cls(*normal, phase=torch.from_numpy(2 * pi * rng.random(FEATURES)))

    @staticmethod
    def stack(numbers: Sequence["RandomNumbers"]) -> "RandomNumbers":
        """One behind another, along a new first axis."""
        names = [field.name for field in fields(RandomNumbers)]
        return RandomNumbers(*(torch.stack([getattr(n, name) for n in numbers]) for name in names))


@dataclass(frozen=True, eq=False)
class RandomFunctions:
    """Functions with a given covariance, as sums of FEATURES cosines of random frequencies: exact in mean and variance at
    each place, Gaussian in the limit of many features (Rahimi and Recht, 2007)."""

    frequency: Float[Tensor, "*T F e"]
    phase: Float[Tensor, "*T F"]
    weight: Float[Tensor, "*T F"]
    level: Float[Tensor, "*T"]
    slope: Float[Tensor, "*T e"]

    @classmethod
    def of(cls, covariance: Covariance, numbers: "RandomNumbers") -> "RandomFunctions":
        """The functions that these random numbers stand for."""
        degrees = torch.tensor(DEGREES, device=numbers.phase.device)[covariance.kernel][..., None]
        squares = numbers.chi.square() * (torch.arange(max(DEGREES), device=degrees.device) < degrees[..., None])
        spectrum = (
            (degrees / squares.sum(-1).where(degrees > 0, 1)).where(degrees > 0, 1).sqrt()
        )  # Student t over normal
        amplitude = (covariance.variance * 2 / numbers.phase.shape[-1]).sqrt()
        return cls(
            numbers.direction * spectrum[..., None] * covariance.rate[..., None, :],
            numbers.phase,
            amplitude[..., None] * numbers.weight,
            sqrt(MEAN_VARIANCE) * numbers.level,
            sqrt(MEAN_VARIANCE) * covariance.linear * numbers.slope,
        )

    def __call__(self, x: Float[Tensor, "*T P e"]) -> Float[Tensor, "*T P"]:
        waves = torch.cos(x @ self.frequency.mT + self.phase[..., None, :])
        return (waves @ self.weight[..., None])[..., 0] + self.level[..., None] + (x @ self.slope[..., None])[..., 0]
