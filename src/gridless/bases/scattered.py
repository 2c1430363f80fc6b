"""Fields from scattered readings without training: what a user would reach for today, and what stands beside every model.

    mean, nearest
    idw       inverse distance weights, the square of the distance (Shepard, 1968); exact at a reading
    linear    on the Delaunay triangles, nearest outside of them (scipy)
    rbf       thin-plate spline through all readings (scipy)
    gp        kriging: a squared exponential with fitted length scale, variance and noise (scikit-learn); knows its spread,
              that of the field: a further reading scatters more, by its noise
    oracle    knows that `simple` fields are one plane wave: a scan over its frequencies with least squares, refined by
              Gauss-Newton. Not a fair baseline: it shows what knowing the family is worth

With fewer than three readings, or all on one line, linear and rbf answer as nearest does. Distances are those of the
domain (on a sphere, of chords); linear takes the coordinates themselves. Answers are computed in float64 by numpy and have
no gradient.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.field import Field
from gridless.samples import Samples

BLOCK = 1 << 20  # distances at once

Points = Float[np.ndarray, "N d"]
Values = Float[np.ndarray, "N C"]


@dataclass(frozen=True)
class Scattered:
    """A classical field from scattered readings, or a grid's as points."""

    kind: str

    def __post_init__(self):
        if self.kind not in SCATTERED:
            raise ValueError(f"no baseline {self.kind!r} for scattered readings; there are {', '.join(SCATTERED)}")

    @property
    def name(self) -> str:
        return self.kind

    def solve(self, samples: Samples) -> "SolvedScattered":
        """Of samples on a grid, their places."""
        points = samples.as_points()
        places = points.point_coords if self.kind in PLANAR else points.positions(points.point_coords)
        answers = []
        for b in range(len(points)):
            real = slice(None) if points.mask is None else points.mask[b]
            x, y = (t[b][real].detach().double().cpu().numpy() for t in (places, points.values))
            answers.append(SCATTERED[self.kind](x, y))
        return SolvedScattered(self, points, tuple(answers))

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out."""
        return Field.of_base(self, samples)


@dataclass(frozen=True, eq=False)
class SolvedScattered:
    """One answer for each field."""

    base: Scattered
    samples: Samples
    answers: tuple[Callable[[Points], Values], ...]

    differentiable = False

    @property
    def spread(self) -> bool:
        return self.base.kind == "gp"

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self._asked(coords, "__call__")

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"] | None:
        return self._asked(coords, "std") if self.spread else None

    def reading_variance(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B 1 C"]:
        """Of a reading around the field."""
        values = self.samples.values
        none = np.zeros(values.shape[-1])
        noise = [answer.noise if isinstance(answer, GaussianProcess) else none for answer in self.answers]
        return torch.from_numpy(np.stack(noise))[:, None].to(values)

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedScattered":
        return SolvedScattered(self.base, self.samples.to(device), self.answers)

    def _asked(self, coords: Tensor, method: str) -> Tensor:
        places = coords if self.base.kind in PLANAR else self.samples.positions(coords)
        asked = places.detach().double().cpu().numpy()
        values = np.stack([getattr(answer, method)(x) for answer, x in zip(self.answers, asked, strict=True)])
        return torch.from_numpy(values).to(self.samples.values)


class Mean:
    def __init__(self, x: Points, y: Values):
        self.value = y.mean(0)

    def __call__(self, q: Points) -> Values:
        return np.tile(self.value, (len(q), 1))


class Nearest:
    def __init__(self, x: Points, y: Values):
        self.tree, self.y = _scipy("spatial").cKDTree(x), y

    def __call__(self, q: Points) -> Values:
        return self.y[self.tree.query(q)[1]]


class InverseDistance:
    """`neighbours`: only so many nearest readings are weighed; all of them if left out."""

    def __init__(self, x: Points, y: Values, neighbours: int | None = None):
        self.tree, self.y, self.count = _scipy("spatial").cKDTree(x), y, min(neighbours or len(x), len(x))

    def __call__(self, q: Points) -> Values:
        blocks = np.array_split(q, 1 + len(q) * self.count // BLOCK)
        return np.concatenate([self._weighted(block) for block in blocks])

    def _weighted(self, q: Points) -> Values:
        distance, index = (part.reshape(len(q), self.count) for part in self.tree.query(q, self.count))
        weight = np.square(distance[:, :1] / np.where(distance > 0, distance, 1))  # over the nearest: never overflows
        weight = np.where(distance[:, :1] > 0, weight, distance == 0)
        return (weight[..., None] * self.y[index]).sum(1) / weight.sum(1, keepdims=True)


class Linear:
    def __init__(self, x: Points, y: Values):
        self.inside = None if _flat(x) else _scipy("interpolate").LinearNDInterpolator(x, y)
        self.outside = Nearest(x, y)

    def __call__(self, q: Points) -> Values:
        if self.inside is None:
            return self.outside(q)
        values = self.inside(q)
        return np.where(np.isnan(values), self.outside(q), values)


class ThinPlate:
    def __init__(self, x: Points, y: Values):
        flat = _flat(x)
        self.answer = Nearest(x, y) if flat else _scipy("interpolate").RBFInterpolator(x, y, kernel="thin_plate_spline")

    def __call__(self, q: Points) -> Values:
        return self.answer(q)


class GaussianProcess:
    """scikit-learn's, of standardised values; `noise` is the variance of a reading around the field."""

    def __init__(self, x: Points, y: Values):
        try:
            from sklearn.exceptions import ConvergenceWarning
            from sklearn.gaussian_process import GaussianProcessRegressor
            from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
        except ImportError as error:
            raise ImportError(f"gp needs scikit-learn ({error}); pip install 'gridless[sensors]'") from error
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(0.2, (0.02, 5.0)) + WhiteKernel(1e-3, (1e-6, 1.0))
        self.centre, self.scale, self.parts = y.mean(0), y.std(0), []
        for channel in ((y - self.centre) / np.where(self.scale > 0, self.scale, 1)).T:
            model = GaussianProcessRegressor(kernel, alpha=1e-10)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                self.parts.append(model.fit(x, channel))
        self.noise = np.array([model.kernel_.k2.noise_level for model in self.parts]) * self.scale**2

    def __call__(self, q: Points) -> Values:
        return np.stack([model.predict(q) for model in self.parts], -1) * self.scale + self.centre

    def std(self, q: Points) -> Values:
        """Of the field: without the noise that scikit-learn's own spread has."""
        total = np.stack([model.predict(q, return_std=True)[1] for model in self.parts], -1) * self.scale
        return np.sqrt(np.clip(total**2 - self.noise, 1e-12 * self.scale**2, None))


class PlaneWave:
    """½ + a sin + b cos of one wave vector, a scan of [0.8, 3.2]² cycles per unit; all channels share the wave."""

    def __init__(self, x: Points, y: Values):
        steps = np.linspace(0.8, 3.2, 97)
        k = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
        phase = 2 * pi * x @ k.T
        sine, cosine, z = np.sin(phase), np.cos(phase), y - 0.5
        ss, cc, sc = (sine**2).sum(0), (cosine**2).sum(0), (sine * cosine).sum(0)
        sz, cz = sine.T @ z, cosine.T @ z
        det = (ss * cc - sc**2 + 1e-9)[:, None]
        explained = ((cc[:, None] * sz**2 - 2 * sc[:, None] * sz * cz + ss[:, None] * cz**2) / det).sum(1)
        best = k[explained.argmax()]
        for _ in range(20):
            phase = 2 * pi * x @ best
            wave = np.stack([np.sin(phase), np.cos(phase)], -1)
            weight = np.linalg.lstsq(wave, z, rcond=None)[0]
            slope = (wave[:, 1:] * weight[:1] - wave[:, :1] * weight[1:])[..., None] * 2 * pi * x[:, None]  # (N C d)
            design = np.concatenate([slope.reshape(-1, x.shape[1]), np.repeat(wave, z.shape[1], 0)], 1)
            step = np.linalg.lstsq(design, (z - wave @ weight).ravel(), rcond=None)[0][: x.shape[1]]
            best = best + np.clip(step, -0.05, 0.05)
        phase = 2 * pi * x @ best
        weight = np.linalg.lstsq(np.stack([np.sin(phase), np.cos(phase)], -1), z, rcond=None)[0]
        self.wave, self.weight = best, weight

    def __call__(self, q: Points) -> Values:
        phase = 2 * pi * q @ self.wave
        return 0.5 + np.stack([np.sin(phase), np.cos(phase)], -1) @ self.weight


def _flat(x: np.ndarray) -> bool:
    """Whether the readings span no triangle."""
    return len(x) < 3 or np.linalg.matrix_rank(x - x.mean(0), tol=1e-9) < x.shape[1]


def _scipy(room: str):
    try:
        return import_module(f"scipy.{room}")
    except ImportError as error:
        raise ImportError(f"this baseline needs scipy ({error}); pip install 'gridless[sensors]'") from error


SCATTERED = {
    "mean": Mean,
    "nearest": Nearest,
    "idw": InverseDistance,
    "linear": Linear,
    "rbf": ThinPlate,
    "gp": GaussianProcess,
    "oracle": PlaneWave,
}
PLANAR = ("linear", "oracle")
"""Of coordinates; the others of positions."""
