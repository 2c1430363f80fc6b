"""Kinds of fields that the prior over fields does not make, and no training saw: six constructions of others.

    gradient noise   octaves of Perlin's noise (Perlin, 1985; the quintic blend of 2002)
    wavelets         a sparse sum of Mexican hats and Haar steps over dyadic scales
    test functions   Franke, Branin, the six-hump camel, peaks, Ackley; moved, turned and zoomed
    checkers         the sign of a product of two sines, turned
    shocks           Sod's shock tube (density) or a saw-tooth of Burgers' equation, extruded along a line
    spirals          one or two rotating waves around moving centres

All on the unit square, with mean 0 and deviation 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi

import numpy as np

from gridless.coords import grid
from gridless.data.field_kinds import Ground, log_uniform
from gridless.data.prior import PriorField
from gridless.data.random_fields import Rescaled, single

SEED = 70_000_007
MEASURED = 96  # points per axis at which a field's mean and deviation are taken

Values = np.ndarray
Function = Callable[[np.ndarray, np.ndarray], Values]  # of y and x (Q), values (Q)


@dataclass(frozen=True, eq=False)
class Plane:
    """A function of y and x as a mechanism, in float64."""

    function: Function

    def __call__(self, p: np.ndarray) -> np.ndarray:
        y, x = p.astype(np.float64).T
        return single(self.function(y, x)[:, None])


def turned(rng: np.random.Generator, zoom: float = 1.0) -> Callable[[np.ndarray, np.ndarray], tuple]:
    """A random rotation around the middle of the square and a small shift, then a zoom: coordinates around 0."""
    angle, (dy, dx) = 2 * pi * rng.random(), rng.uniform(-0.15, 0.15, 2)
    c, s = np.cos(angle), np.sin(angle)
    return lambda y, x: (
        zoom * (c * (y - 0.5 - dy) - s * (x - 0.5 - dx)),
        zoom * (s * (y - 0.5 - dy) + c * (x - 0.5 - dx)),
    )


def gradient_noise(rng: np.random.Generator) -> Function:
    base, gain, octaves = log_uniform(rng, 1.5, 5), rng.uniform(0.3, 0.7), int(rng.integers(2, 6))
    tables = [2 * pi * rng.random((256, 256)) for _ in range(octaves)]
    shifts = rng.uniform(0, 100, (octaves, 2))

    def octave(table: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        iy, ix = np.floor(y).astype(int), np.floor(x).astype(int)
        fy, fx = y - iy, x - ix
        corners = {}
        for a in (0, 1):
            for b in (0, 1):
                angle = table[(iy + a) % 256, (ix + b) % 256]
                corners[a, b] = np.sin(angle) * (fy - a) + np.cos(angle) * (fx - b)
        wy, wx = (f**3 * (f * (6 * f - 15) + 10) for f in (fy, fx))
        low, high = (corners[a, 0] * (1 - wx) + corners[a, 1] * wx for a in (0, 1))
        return low * (1 - wy) + high * wy

    def noise(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        scales = base * 2.0 ** np.arange(octaves)
        return sum(
            gain**k * octave(tables[k], scales[k] * y + shifts[k, 0], scales[k] * x + shifts[k, 1])
            for k in range(octaves)
        )

    return noise


def wavelets(rng: np.random.Generator) -> Function:
    count, roughness, haar = int(rng.integers(12, 60)), rng.uniform(0.5, 1.5), rng.random() < 0.5
    level = rng.integers(0, 5, count)
    centre, angle = rng.random((count, 2)), 2 * pi * rng.random(count)
    weight = rng.laplace(size=count) * 2.0 ** (-roughness * level)

    def part(k: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        size = 0.5 / 2.0 ** level[k]
        dy, dx = (y - centre[k, 0]) / size, (x - centre[k, 1]) / size
        if haar:
            along = np.cos(angle[k]) * dy + np.sin(angle[k]) * dx
            return np.sign(along) * (np.maximum(np.abs(dy), np.abs(dx)) < 1)
        r2 = 4 * (dy**2 + dx**2)
        return (1 - r2 / 2) * np.exp(-r2 / 2)

    return lambda y, x: sum(weight[k] * part(k, y, x) for k in range(count))


def franke(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    a, b = 9 * (y + 0.5), 9 * (x + 0.5)
    return (
        0.75 * np.exp(-((a - 2) ** 2 + (b - 2) ** 2) / 4)
        + 0.75 * np.exp(-((a + 1) ** 2) / 49 - (b + 1) / 10)
        + 0.5 * np.exp(-((a - 7) ** 2 + (b - 3) ** 2) / 4)
        - 0.2 * np.exp(-((a - 4) ** 2) - (b - 7) ** 2)
    )


def branin(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    a, b = 15 * (x + 0.5) - 5, 15 * (y + 0.5)
    return (b - 5.1 / (4 * pi**2) * a**2 + 5 / pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * pi)) * np.cos(a) + 10


def camel(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    a, b = 3.2 * x, 1.8 * y
    return (4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (4 * b**2 - 4) * b**2


def peaks(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    a, b = 6 * x, 6 * y
    return (
        3 * (1 - a) ** 2 * np.exp(-(a**2) - (b + 1) ** 2)
        - 10 * (a / 5 - a**3 - b**5) * np.exp(-(a**2) - b**2)
        - np.exp(-((a + 1) ** 2) - b**2) / 3
    )


def ackley(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    a, b = 4 * y, 4 * x
    waves = np.exp((np.cos(2 * pi * a) + np.cos(2 * pi * b)) / 2)
    return 20 - 20 * np.exp(-0.2 * np.sqrt((a**2 + b**2) / 2)) - waves


FUNCTIONS = (franke, branin, camel, peaks, ackley)


def test_functions(rng: np.random.Generator) -> Function:
    function, placed = FUNCTIONS[rng.integers(len(FUNCTIONS))], turned(rng, log_uniform(rng, 0.7, 1.3))
    return lambda y, x: function(*placed(y, x))


def checkers(rng: np.random.Generator) -> Function:
    placed, (high, wide), phase = turned(rng), rng.uniform(0.7, 3, 2), 2 * pi * rng.random(2)

    def signs(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        a, b = placed(y, x)
        return np.sign(np.sin(2 * pi * high * a + phase[0]) * np.sin(2 * pi * wide * b + phase[1]))

    return signs


def shocks(rng: np.random.Generator) -> Function:
    placed = turned(rng)
    if rng.random() < 0.5:
        time = rng.uniform(0.1, 0.25)
        return lambda y, x: sod(placed(y, x)[0] / time)
    count, width = int(rng.integers(1, 5)), log_uniform(rng, 0.002, 0.03)
    start = rng.random()

    def teeth(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        along = np.mod(count * placed(y, x)[0] + start, 1) - 0.5
        return 2 * along - np.tanh(along / (2 * width * count))

    return teeth


def sod(speed: np.ndarray) -> np.ndarray:
    """Density of Sod's problem at position / time (Sod, 1978): left (1, 0, 1), right (0.125, 0, 0.1), γ = 1.4."""
    sound, velocity, behind, front, shock = 1.4**0.5, 0.92745, 0.42632, 0.26557, 1.75216
    tail = velocity - sound * (behind ** ((1.4 - 1) / 2))
    fan = ((2 / 2.4) * (1 + (0.4 / 2) * (-speed / sound))).clip(0) ** 5
    edges = [speed < -sound, speed < tail, speed < velocity, speed < shock]
    return np.select(edges, [np.ones_like(speed), fan, behind, front], 0.125)


def spirals(rng: np.random.Generator) -> Function:
    centres = rng.uniform(0.1, 0.9, (int(rng.integers(1, 3)), 2))
    turns, tightness, core = rng.choice([-2, -1, 1, 2], len(centres)), rng.uniform(1, 4), rng.uniform(0.03, 0.15)
    phase = 2 * pi * rng.random(len(centres))

    def arms(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        total = np.zeros_like(y)
        for (cy, cx), n, start in zip(centres, turns, phase, strict=True):
            r = np.hypot(y - cy, x - cx)
            wave = np.cos(n * np.arctan2(y - cy, x - cx) + 2 * pi * tightness * r + start)
            total += r / (r + core) * wave * (1 if len(centres) == 1 else np.exp(-2 * r))
        return total

    return arms


UNSEEN: dict[str, Callable[[np.random.Generator], Function]] = {
    "gradient noise": gradient_noise,
    "wavelets": wavelets,
    "test functions": test_functions,
    "checkers": checkers,
    "shocks": shocks,
    "spirals": spirals,
}


def unseen_field(kind: str, number: int) -> PriorField:
    """A fixed field of a kind, by its number. Raises ValueError for a kind that there is not."""
    if kind not in UNSEEN:
        raise ValueError(f"no kind {kind!r}; there are {', '.join(UNSEEN)}")
    rng, ground = np.random.default_rng((SEED, list(UNSEEN).index(kind), number)), Ground()
    mechanism = Plane(UNSEEN[kind](rng))
    values = mechanism(ground.positions(grid(MEASURED, MEASURED))).astype(np.float64)
    mean, deviation = float(values.mean()), float(values.std())
    peak = float(np.ptp(values)) / deviation
    return PriorField(f"{kind}-{number:02d}", ground, Rescaled(mechanism, 1 / deviation, -mean / deviation), kind, peak)


def unseen_fields(kind: str, each: int) -> Sequence[PriorField]:
    return [unseen_field(kind, number) for number in range(each)]
