"""Waves in readings: plane sinusoids found one after another, each kept if it explains more than it costs.

    z(x) = level + Σ a_m cos 2π f_m·x + b_m sin 2π f_m·x + rest

Orthogonal matching pursuit over a lattice of frequencies (Pati, Rezaiifar and Krishnaprasad, 1993), after each of which all
frequencies move to the least squares (Gauss–Newton). As many are kept as the Bayesian information criterion likes best, a
frequency counting as one of all those that were looked at. In numpy: frequencies are found, not differentiated.
"""

from dataclasses import dataclass
from functools import cache
from math import log, pi

import numpy as np
from jaxtyping import Float

HIGHEST = 10.0  # cycles per extent of the readings
STEP = 0.4  # between the frequencies that are tried, in cycles per extent: a wave shifts by less than half across it
FEWEST = 12  # readings of a field that is looked at
ROUNDS = 12  # of Gauss–Newton
PATIENCE = 2  # waves that are tried beyond the last one that paid: several may explain what none does alone
FARTHEST = 0.15  # that a frequency moves in a round
RIDGE = 1e-6
SMALLEST = 1e-6  # squared error of a fit, over the variance of the readings


@dataclass(frozen=True, eq=False)
class Waves:
    """`frequency` in cycles per unit of the places, and what a fit to `n` readings knows of amplitudes."""

    frequency: Float[np.ndarray, "M e"]
    weights: Float[np.ndarray, " K"]
    root: Float[np.ndarray, "K K"]
    """Of the covariance of the weights over the variance of a reading's error."""
    error: float
    """Variance of that error."""

    price: float
    """Logarithm of how much likelier the waves must make the readings than none do."""

    @property
    def count(self) -> int:
        return len(self.frequency)


def design(x: Float[np.ndarray, "N e"], frequency: Float[np.ndarray, "M e"]) -> Float[np.ndarray, "N K"]:
    """A level, and a cosine and a sine of every wave."""
    phase = 2 * pi * (x @ frequency.T)
    return np.concatenate([np.ones((len(x), 1)), np.cos(phase), np.sin(phase)], 1)


def cost(readings: int, axes: int) -> float:
    """Logarithm of how much likelier a wave must make the readings: of all frequencies that were tried it is the best, and
    its phase, amplitude and exact frequency are fitted."""
    return log(len(_lattice(axes))) + 0.5 * (2 + axes) * log(readings)


def waves_in(x: Float[np.ndarray, "N e"], z: Float[np.ndarray, " N"], most: int) -> Waves | None:
    """At most so many waves in readings z of mean 0 and variance 1, at places whose extent is 1; None if there is none."""
    n, axes = x.shape
    if n < FEWEST or most == 0:
        return None
    lattice = _lattice(axes)
    phase = 2 * pi * (x @ lattice.T)
    cosine, sine = np.cos(phase), np.sin(phase)
    squares = np.square(cosine).sum(0), np.square(sine).sum(0), (cosine * sine).sum(0)
    determinant = squares[0] * squares[1] - np.square(squares[2]) + 1e-9 * n * n
    frequency, rest = np.zeros((0, axes)), z - z.mean()
    best, score = frequency, _criterion(rest, 0, axes)
    while len(frequency) < min(most, len(best) + PATIENCE) and n >= 2 * (2 + axes) * (len(frequency) + 1):
        a, b = cosine.T @ rest, sine.T @ rest
        explained = (a * a * squares[1] - 2 * a * b * squares[2] + b * b * squares[0]) / determinant
        frequency = _refined(x, z, np.concatenate([frequency, lattice[explained.argmax()][None]]))
        rest = z - _fit(x, z, frequency)[1]
        if (now := _criterion(rest, len(frequency), axes)) < score:
            best, score = frequency, now
    if not len(best):
        return None
    frequency = best
    weights, fit = _fit(x, z, frequency)
    rest, columns = z - fit, design(x, frequency)
    normal = columns.T @ columns + RIDGE * n * np.eye(columns.shape[1])
    free = max(1, n - columns.shape[1] - frequency.size)
    return Waves(
        frequency,
        weights,
        np.linalg.inv(np.linalg.cholesky(normal)).T,
        float(rest @ rest) / free,
        len(frequency) * cost(n, axes),
    )


def _criterion(rest: Float[np.ndarray, " N"], count: int, axes: int) -> float:
    """Half of the Bayesian information criterion."""
    return 0.5 * len(rest) * log(float(rest @ rest) / len(rest) + SMALLEST) + count * cost(len(rest), axes)


def _fit(x, z, frequency) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " N"]]:
    """Weights by least squares, and the fit."""
    columns = design(x, frequency)
    normal = columns.T @ columns + RIDGE * len(x) * np.eye(columns.shape[1])
    weights = np.linalg.solve(normal, columns.T @ z)
    return weights, columns @ weights


def _refined(x, z, frequency) -> Float[np.ndarray, "M e"]:
    """Moved to the nearest least squares."""
    n, count = len(x), len(frequency)
    weights, fit = _fit(x, z, frequency)
    for _ in range(ROUNDS):
        columns = design(x, frequency)
        cosine, sine = columns[:, 1 : 1 + count], columns[:, 1 + count :]
        change = 2 * pi * (sine * -weights[1 : 1 + count] + cosine * weights[1 + count :])  # by the phase
        slopes = (change[..., None] * x[:, None]).reshape(n, -1)
        jacobian = np.concatenate([columns, slopes], 1)
        if jacobian.shape[1] >= n:
            break
        damping = np.r_[np.full(columns.shape[1], 1e-9), np.full(slopes.shape[1], 1e-3)] * n
        step = np.linalg.solve(jacobian.T @ jacobian + np.diag(damping), jacobian.T @ (z - fit))[columns.shape[1] :]
        moved = frequency + np.clip(step.reshape(count, -1), -FARTHEST, FARTHEST)
        better = _fit(x, z, moved)
        if np.square(z - better[1]).sum() >= np.square(z - fit).sum():
            break
        frequency, (weights, fit) = moved, better
    return frequency


@cache
def _lattice(axes: int) -> Float[np.ndarray, "F e"]:
    """Frequencies up to HIGHEST, one of each pair ± f; in three dimensions fewer directions."""
    step = STEP if axes < 3 else 2.5 * STEP
    line = np.arange(-np.floor(HIGHEST / step), np.floor(HIGHEST / step) + 1) * step
    every = np.stack(np.meshgrid(*[line] * axes, indexing="ij"), -1).reshape(-1, axes)
    sign = np.sign(every) @ 3.0 ** np.arange(axes)[::-1]
    return every[(sign > 0) & (np.linalg.norm(every, axis=1) <= HIGHEST)]
