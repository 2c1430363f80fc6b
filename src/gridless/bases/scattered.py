"""Fields from scattered readings without training: what a user would reach for today, and what stands beside every model.

    mean, nearest
    idw       inverse distance weights, the square of the distance (Shepard, 1968); exact at a reading
    linear    on the Delaunay triangles, nearest outside of them (scipy)
    rbf       thin-plate spline through all readings (scipy)
    gp        kriging: a squared exponential with fitted length scale, variance and noise (scikit-learn); knows its spread,
              that of the field: a further reading scatters more, by its noise
    oracle    knows that `simple` fields are one plane wave: a scan over its frequencies with least squares, refined by
              Gauss-Newton. Not a fair baseline: it shows what knowing the family is worth

With fewer than three readings, or all on one line, linear and rbf answer as nearest does. Answers are computed in float64
by numpy and have no gradient.
"""

import warnings
from collections.abc import Callable
from importlib import import_module
from math import pi

import numpy as np
import torch
from torch import Tensor

from gridless.bases.interpolation import Constant
from gridless.field import Field
from gridless.samples import Samples

Answer = Callable[[np.ndarray], np.ndarray]  # points (Q, d) -> values (Q, C), or values and standard deviations (Q, 2C)


BLOCK = 1 << 20  # distances at once


class Scattered:
    """A classical field from scattered readings, or a grid's as points."""

    def __init__(self, kind: str):
        if kind not in SCATTERED:
            raise ValueError(f"no baseline {kind!r} for scattered readings; there are {', '.join(SCATTERED)}")
        self.name = kind

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out."""
        points = samples.as_points()
        answers = []
        for b in range(len(points)):
            real = slice(None) if points.mask is None else points.mask[b]
            x, y = (t[b, real].double().cpu().numpy() for t in (points.coords, points.values))
            answers.append(SCATTERED[self.name](x, y))

        def correction(coords: Tensor, cell: Tensor) -> Tensor:
            asked = coords.detach().double().cpu().numpy()
            found = np.stack([answer(x) for answer, x in zip(answers, asked, strict=True)])
            return torch.from_numpy(found).to(points.values)

        return Field(samples, Constant(), correction, spread=self.name == "gp")


def mean(x: np.ndarray, y: np.ndarray) -> Answer:
    return lambda q: np.tile(y.mean(0), (len(q), 1))


def nearest(x: np.ndarray, y: np.ndarray) -> Answer:
    tree = _scipy("spatial").cKDTree(x)
    return lambda q: y[tree.query(q)[1]]


def idw(x: np.ndarray, y: np.ndarray, neighbours: int | None = None) -> Answer:
    """`neighbours`: only so many nearest readings are weighed; all of them if left out."""
    tree = _scipy("spatial").cKDTree(x)
    count = min(neighbours or len(x), len(x))

    def answer(q: np.ndarray) -> np.ndarray:
        blocks = np.array_split(q, 1 + len(q) * count // BLOCK)
        return np.concatenate([weighted(block) for block in blocks])

    def weighted(q: np.ndarray) -> np.ndarray:
        distance, index = (part.reshape(len(q), count) for part in tree.query(q, count))
        weight = np.square(distance[:, :1] / np.where(distance > 0, distance, 1))  # over the nearest: never overflows
        weight = np.where(distance[:, :1] > 0, weight, distance == 0)
        return (weight[..., None] * y[index]).sum(1) / weight.sum(1, keepdims=True)

    return answer


def linear(x: np.ndarray, y: np.ndarray) -> Answer:
    if _flat(x):
        return nearest(x, y)
    inside, outside = _scipy("interpolate").LinearNDInterpolator(x, y), nearest(x, y)

    def answer(q: np.ndarray) -> np.ndarray:
        found = inside(q)
        return np.where(np.isnan(found), outside(q), found)

    return answer


def rbf(x: np.ndarray, y: np.ndarray) -> Answer:
    return nearest(x, y) if _flat(x) else _scipy("interpolate").RBFInterpolator(x, y, kernel="thin_plate_spline")


def gp(x: np.ndarray, y: np.ndarray) -> Answer:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    except ImportError as error:
        raise ImportError(f"gp needs scikit-learn ({error}); pip install 'gridless[sensors]'") from error
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(0.2, (0.02, 5.0)) + WhiteKernel(1e-3, (1e-6, 1.0))
    centre, scale = y.mean(0), y.std(0) + 1e-9
    parts = []
    for channel in ((y - centre) / scale).T:
        model = GaussianProcessRegressor(kernel, alpha=1e-10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            parts.append(model.fit(x, channel))

    def answer(q: np.ndarray) -> np.ndarray:
        found = [model.predict(q, return_std=True) for model in parts]
        value = np.stack([v for v, _ in found], -1) * scale + centre
        noise = np.array([model.kernel_.k2.noise_level for model in parts])  # of a reading, not of the field
        std = np.sqrt(np.clip(np.stack([s for _, s in found], -1) ** 2 - noise, 1e-12, None)) * scale
        return np.concatenate([value, std], -1)

    return answer


def oracle(x: np.ndarray, y: np.ndarray) -> Answer:
    """½ + a sin + b cos of one wave vector, a scan of [0.8, 3.2]² cycles per unit; all channels share the wave."""
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
    return lambda q: 0.5 + np.stack([np.sin(2 * pi * q @ best), np.cos(2 * pi * q @ best)], -1) @ weight


def _flat(x: np.ndarray) -> bool:
    """Whether the readings span no triangle."""
    return len(x) < 3 or np.linalg.matrix_rank(x - x.mean(0), tol=1e-9) < x.shape[1]


def _scipy(room: str):
    try:
        return import_module(f"scipy.{room}")
    except ImportError as error:
        raise ImportError(f"this baseline needs scipy ({error}); pip install 'gridless[sensors]'") from error


SCATTERED = {"mean": mean, "nearest": nearest, "idw": idw, "linear": linear, "rbf": rbf, "gp": gp, "oracle": oracle}
