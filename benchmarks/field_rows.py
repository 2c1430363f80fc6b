"""The rows of the table of real fields: each is fitted to what was there before a question, and answers it.

A method has a `name`, what it `sees`, `fit(set, question)` for what the past teaches, and `answer(question)`: values (B Q)
and their standard deviations, or None: of the field on grids, of a reading at stations.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from field_sets import Archive, Question, Stations
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

import gridless as gl
from gridless.bases import Kriging, Modes, Oi, Scattered
from gridless.bases.climatology import Anomalies, Sums, design, harmonics_of, phases, runs

POOLED = 24  # past fields that kriging is pooled over
Answer = tuple[np.ndarray, np.ndarray | None]
READ, PAST, LAST = "readings of the step", "past fields", "the last full map"


class Method(Protocol):
    name: str
    sees: str

    def fit(self, data: Archive | Stations, question: Question) -> None: ...
    def answer(self, question: Question) -> Answer: ...


@dataclass(eq=False)
class Climatology:
    """What is usual at each cell, by harmonics of the year or the day."""

    name: str = "climatology"
    sees: str = f"{PAST}"
    usual: Callable[[np.ndarray], np.ndarray] = field(init=False)

    def fit(self, data: Archive, question: Question) -> None:
        signals, folds = data.signals(data.flat[data.past]), runs(data.learned)
        phase = phases(data.times[data.past], data.cycle)
        sums = Sums.of(signals, phase, data.cycle, folds)
        harmonics = harmonics_of(signals, phase, data.cycle, sums, folds)
        flat = sums.coefficients(range(len(folds)), harmonics).flatten(0, -2)[torch.from_numpy(data.inside)]
        self.usual = lambda times: (design(phases(times, data.cycle)) @ flat.mT).numpy()
        past = Anomalies(signals, range(data.learned), phase, sums.coefficients(range(len(folds)), harmonics))
        self.spread = np.sqrt(np.mean([np.square(past[i].values.numpy()) for i in range(len(past))], 0)).ravel()[
            data.inside
        ]

    def answer(self, question: Question) -> Answer:
        usual = self.usual(question.times)
        return usual, np.broadcast_to(self.spread, usual.shape)


@dataclass(eq=False)
class Persistence:
    """The last full map, its anomaly as it was or damped by what past maps say, cell by cell and all alike, half each."""

    damped: bool
    sees: str = f"{PAST}, {LAST}"
    name: str = field(init=False)

    def __post_init__(self):
        self.name = "damped persistence" if self.damped else "persistence"

    def fit(self, data: Archive, question: Question) -> None:
        self.data, self.climatology = data, Climatology()
        self.climatology.fit(data, question)
        anomaly = data.flat[data.past] - self.climatology.usual(data.times[data.past])
        before, after = anomaly[: -data.lag], anomaly[data.lag :]
        product, square = (before * after).mean(0), np.square(before).mean(0)
        self.share = (product + product.mean()) / (square + square.mean())
        self.spread = np.sqrt(
            np.square(self.forecast(data.past[data.lag :]) - data.flat[data.past[data.lag :]]).mean(0)
        )

    def forecast(self, steps: np.ndarray) -> np.ndarray:
        usual, before = (self.climatology.usual(self.data.times[s]) for s in (steps, steps - self.data.lag))
        return usual + (self.share if self.damped else 1.0) * (self.data.flat[steps - self.data.lag] - before)

    def answer(self, question: Question) -> Answer:
        forecast = self.forecast(question.steps)
        return forecast, np.broadcast_to(self.spread, forecast.shape)


@dataclass(eq=False)
class OfSamples:
    """Anything with `encode(samples)`, of the values as they are."""

    name: str
    model: object
    sees: str = READ

    def fit(self, data: Archive | Stations, question: Question) -> None: ...

    def answer(self, question: Question) -> Answer:
        return asked(self.model.encode(question.samples), question)


@dataclass(eq=False)
class OfAnomalies:
    """The same of anomalies to the climatology (grids)."""

    name: str
    model: object
    sees: str = f"{READ}, {PAST}: climatology"

    def fit(self, data: Archive, question: Question) -> None:
        self.climatology = Climatology()
        self.climatology.fit(data, question)

    def answer(self, question: Question) -> Answer:
        usual = self.climatology.usual(question.times)
        values = question.samples.values - torch.from_numpy(usual[:, question.places])[..., None]
        mean, std = asked(self.model.encode(replace(question.samples, values=values)), question)
        return mean + usual, std


@dataclass(eq=False)
class Pooled(OfAnomalies):
    """Kriging with the prior that past fields teach, read at as many random cells."""

    name: str = "kriging, pooled"
    model: object = None
    sees: str = f"{READ}, {PAST}: climatology, covariance"

    def fit(self, data: Archive, question: Question) -> None:
        super().fit(data, question)
        steps = np.linspace(0, data.learned - 1, min(POOLED, data.learned)).round().astype(int)
        anomaly, rng = data.flat[steps] - self.climatology.usual(data.times[steps]), np.random.default_rng(0)
        self.model = Kriging.pooled(
            [data.samples(row[None], rng.permutation(len(row))[: question.count]) for row in anomaly]
        )


@dataclass(eq=False)
class Pod(OfAnomalies):
    """POD modes of past fields with their variances as the prior."""

    name: str = "POD with prior"
    model: object = None
    sees: str = f"{READ}, {PAST}"

    def fit(self, data: Archive, question: Question) -> None:
        super().fit(data, question)
        options = gl.config.Pod(representation="grid", modes=min(48, data.learned))
        self.model = Modes(options, gl.config.Signal(axes=2, channels=1))
        self.model.fit(data.signals(data.flat[data.past] - self.climatology.usual(data.times[data.past])))


@dataclass(eq=False)
class GappyEof(OfAnomalies):
    """The leading modes of past fields, fitted to the readings by least squares without a prior (gappy POD; what iterated
    truncated decompositions such as DINEOF settle at); the rank is that which best tells a fifth of the readings that was
    held back."""

    name: str = "gappy EOF"
    model: object = None
    sees: str = f"{READ}, {PAST}"
    ranks: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16)

    def fit(self, data: Archive, question: Question) -> None:
        super().fit(data, question)
        past = (data.flat[data.past] - self.climatology.usual(data.times[data.past])) * np.sqrt(data.weights)
        left = np.linalg.eigh(past @ past.T)[1][:, ::-1][:, : max(self.ranks)]
        modes = (left.T @ past) / np.sqrt(data.weights)
        self.modes = modes / np.sqrt(np.square(modes).mean(1, keepdims=True))

    def answer(self, question: Question) -> Answer:
        usual = self.climatology.usual(question.times)
        read = question.samples.values[..., 0].numpy() - usual[:, question.places]
        held, seen = np.random.default_rng(0).random(read.shape[1]) < 0.2, self.modes[:, question.places]

        def weights(rank: int, known: np.ndarray) -> np.ndarray:
            return np.linalg.lstsq(seen[:rank, known].T, read[:, known].T, rcond=None)[0].T

        ranks = [rank for rank in self.ranks if rank <= (~held).sum()]
        errors = [np.square(weights(rank, ~held) @ seen[:rank] - read)[:, held].mean() for rank in ranks]
        best = ranks[int(np.argmin(errors))]
        return usual + weights(best, np.ones_like(held)) @ self.modes[:best], None


@dataclass(eq=False)
class OptimalInterpolation:
    """Ours: modes that hold nearby, and a Matérn residual."""

    name: str = "OI"
    sees: str = f"{READ}, {PAST}"

    def fit(self, data: Archive, question: Question) -> None:
        self.base = Oi(gl.config.Oi(cycle=data.cycle), gl.config.Signal(axes=2, channels=1))
        self.base.fit(data.signals(data.flat[data.past]), data.times[data.past])

    def answer(self, question: Question) -> Answer:
        return asked(self.base.encode(question.samples, question.times), question)


@dataclass(eq=False)
class Innovation:
    """The same of what the damped last map misses."""

    name: str = "damped last map + OI"
    sees: str = f"{READ}, {PAST}, {LAST}"

    def fit(self, data: Archive, question: Question) -> None:
        self.persistence = Persistence(damped=True)
        self.persistence.fit(data, question)
        steps = data.past[data.lag :]
        self.base = Oi(gl.config.Oi(), gl.config.Signal(axes=2, channels=1))
        self.base.fit(data.signals(data.flat[steps] - self.persistence.forecast(steps)))

    def answer(self, question: Question) -> Answer:
        forecast = self.persistence.forecast(question.steps)
        values = question.samples.values - torch.from_numpy(forecast[:, question.places])[..., None]
        mean, std = asked(self.base.encode(replace(question.samples, values=values)), question)
        return forecast + mean, std


class Scikit:
    """scikit-learn's Gaussian process, fitted to every step anew: coordinates and values standardised, a length each."""

    def __init__(self, kernel):
        self.kernel = kernel

    def encode(self, samples: gl.Samples) -> "Scikit":
        self.samples = samples
        return self

    def answer(self, coords: np.ndarray, reading: bool) -> Answer:
        means, stds = [], []
        for b in range(len(self.samples)):
            real = slice(None) if self.samples.mask is None else self.samples.mask[b].numpy()
            x, y = self.samples.point_coords[b].numpy()[real], self.samples.values[b, :, 0].numpy()[real]
            centre, scale = x.mean(0), x.std(0)
            whole = ConstantKernel(1.0, (1e-2, 1e3)) * self.kernel + WhiteKernel(0.1, (1e-5, 1e1))
            model = GaussianProcessRegressor(whole, normalize_y=True, random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit((x - centre) / scale, y)
            mean, std = model.predict((coords - centre) / scale, return_std=True)
            if not reading:
                noise = model.kernel_.k2.noise_level * model._y_train_std**2
                std = np.sqrt(np.clip(std**2 - noise, 1e-12, None))
            means.append(mean)
            stds.append(std)
        return np.stack(means), np.stack(stds)


@dataclass(eq=False)
class PooledStations:
    """Kriging with the prior that past days of the known stations teach. `plane`: on a plane whose axes may count
    otherwise, instead of the sphere; `logarithm`: of log(1 + value), a mean and a deviation of the value again."""

    name: str = "kriging, pooled"
    plane: bool = False
    logarithm: bool = False
    sees: str = f"{READ}, past days: covariance"

    def fit(self, data: Stations, question: Question) -> None:
        days = data.taught[:: max(1, len(data.taught) // (3 * POOLED))]
        past = self._seen(data.samples(days, question.places))
        base = Kriging(anisotropy=(0.6, 1.0, 1.6)) if self.plane else Kriging()
        self.model = Kriging.pooled([past.select(slice(b, b + 1)) for b in range(len(past))], base)

    def answer(self, question: Question) -> Answer:
        coords = self._placed(question.samples, question.coords)
        seen = replace(question, samples=self._seen(question.samples), coords=coords)
        mean, std = asked(self.model.encode(seen.samples), seen)
        if not self.logarithm:
            return mean, std
        usual, variance = np.exp(mean + std**2 / 2), std**2
        return usual - 1, usual * np.sqrt(np.expm1(variance))

    def _seen(self, samples: gl.Samples) -> gl.Samples:
        values = samples.values.clamp(min=0).log1p() if self.logarithm else samples.values
        domain = None if self.plane else samples.domain
        return replace(samples, values=values, coords=self._placed(samples, samples.point_coords), domain=domain)

    def _placed(self, samples: gl.Samples, coords: torch.Tensor) -> torch.Tensor:
        """In a plane of equal units, in [0, 1]."""
        if not self.plane:
            return coords
        latitude, longitude = samples.domain.axes
        wide = longitude.length * np.cos(np.radians(latitude.start + latitude.length / 2))
        sides = torch.tensor([latitude.length, wide], dtype=coords.dtype)
        return coords * sides / sides.max()


def asked(model_field, question: Question) -> Answer:
    """What a field says at the places of a question."""
    if isinstance(model_field, Scikit):
        return model_field.answer(question.coords.numpy(), question.readings)
    with torch.no_grad():
        if not model_field.has_spread:
            return model_field(question.coords).reshape(question.truth.shape).double().numpy(), None
        reading = question.readings and hasattr(model_field.solved, "reading_variance")
        parts = model_field.mean_and_std(question.coords, reading=reading)
        mean, std = (part.reshape(question.truth.shape).double().numpy() for part in parts)
        return mean, std


def methods(data: Archive | Stations) -> list[Method]:
    """All rows of one set."""
    matern, rbf = Scikit(Matern([1.0, 1.0], (1e-2, 1e2), nu=1.5)), Scikit(RBF([1.0, 1.0], (1e-2, 1e2)))
    scattered = {"nearest": Scattered("nearest"), "linear": Scattered("linear"), "RBF (thin plate)": Scattered("rbf"),
                 "inverse distance": Scattered("idw")}  # fmt: skip
    kriged = {"scikit-learn RBF-ARD": rbf, "scikit-learn Matérn-ARD": matern, "kriging": Kriging()}
    if isinstance(data, Stations):
        rows = {"mean": Scattered("mean"), **scattered, **kriged}
        pooled = [PooledStations(), PooledStations("kriging, pooled, anisotropic", plane=True)]
        if data.positive:
            pooled.append(PooledStations("kriging, pooled, of logarithms", logarithm=True))
        return [*(OfSamples(name, model) for name, model in rows.items()), *pooled]
    return [
        Climatology(), Persistence(False), Persistence(True), OfSamples("inverse distance, raw", Scattered("idw")),
        *(OfAnomalies(name, model) for name, model in {**scattered, **kriged}.items()),
        Pooled(), Pod(), GappyEof(), OptimalInterpolation(), Innovation(),
    ]  # fmt: skip
