"""Daily highs of US weather stations: what is read at stations that were left out, and how honest is the spread?

    python benchmarks/stations.py --data noaa_stations_1990_1993.npz --json results/stations.json

Stations that report on 90 % of the days or more; a fifth of them left out, by seed; every fifth day of 1993; days on which
a station is silent are short of its reading. RMSE in degrees Fahrenheit over all left-out readings of a seed; coverage is
the share of left-out *readings* inside the 90 % interval of a reading. Kriging sees places on the unit sphere (chords).
`kriging, pooled` has weighed its hypotheses on every 15th day of 1990–1992, at the known stations only. scikit-learn's
kernels are fitted to each day anew (WhiteKernel; longitude and latitude standardised, one length each; values standardised).
"""

from common import finish, parser  # isort: skip  (before torch)

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.preprocessing import StandardScaler

from gridless.bases import Kriging
from gridless.samples import Samples

SEEDS, LEFT_OUT, ENOUGH, EVERY = range(5), 0.2, 0.9, 5
TRAINING_EVERY = 15
T4 = 2.776  # two-sided 95 % of Student's t with 4 degrees of freedom
Z90 = 1.645
Answer = tuple[np.ndarray, np.ndarray | None]  # mean and the standard deviation of a reading at the places asked
Method = Callable[[np.ndarray, np.ndarray, np.ndarray], Answer]  # known places and values, places asked


def on_sphere(place: np.ndarray) -> np.ndarray:
    """Latitude and longitude in degrees as points of the unit sphere."""
    lat, lon = np.radians(place.astype(np.float64)).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)


@dataclass(frozen=True)
class Stations:
    """Values (days, stations), and which stations are known or left out."""

    place: np.ndarray
    value: np.ndarray
    known: np.ndarray
    out: np.ndarray

    def seen(self, day: int) -> tuple[np.ndarray, np.ndarray]:
        """Places and readings of the known stations that report."""
        return self._reporting(day, self.known)

    def answered(self, method: Method, day: int) -> tuple[Answer, np.ndarray]:
        """What a method says about the stations left out, and their readings."""
        asked, truth = self._reporting(day, self.out)
        return method(*self.seen(day), asked), truth

    def _reporting(self, day: int, stations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        real = stations[np.isfinite(self.value[day, stations])]
        return self.place[real], self.value[day, real]


def methods(pooled: Kriging) -> dict[str, Method]:
    return {
        "kriging": partial(ours, Kriging()),
        "kriging, pooled": partial(ours, pooled),
        "scikit-learn Matérn-ARD": partial(scikit, Matern([1.0, 1.0], (1e-2, 1e2), nu=1.5)),
        "scikit-learn RBF-ARD": partial(scikit, RBF([1.0, 1.0], (1e-2, 1e2))),
        "inverse distance": inverse_distance,
        "nearest": nearest,
        "mean": level,
    }


def samples_of(place: np.ndarray, value: np.ndarray) -> Samples:
    return Samples(torch.from_numpy(value)[None, :, None], coords=torch.from_numpy(on_sphere(place))[None])


def ours(kriging: Kriging, place: np.ndarray, value: np.ndarray, asked: np.ndarray) -> Answer:
    solved, at = kriging.solve(samples_of(place, value)), torch.from_numpy(on_sphere(asked))[None]
    return tuple(answer[0, :, 0].numpy() for answer in (solved(at), solved.reading_std(at)))


def scikit(kernel, place: np.ndarray, value: np.ndarray, asked: np.ndarray) -> Answer:
    scaler = StandardScaler().fit(place)
    whole = ConstantKernel(1.0, (1e-2, 1e3)) * kernel + WhiteKernel(0.1, (1e-5, 1e1))
    model = GaussianProcessRegressor(whole, normalize_y=True, n_restarts_optimizer=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(place), value)
    return model.predict(scaler.transform(asked), return_std=True)


def inverse_distance(place: np.ndarray, value: np.ndarray, asked: np.ndarray) -> Answer:
    square = np.square(on_sphere(asked)[:, None] - on_sphere(place)[None]).sum(-1)
    weight = 1 / np.maximum(square, 1e-12)
    return weight @ value / weight.sum(1), None


def nearest(place: np.ndarray, value: np.ndarray, asked: np.ndarray) -> Answer:
    return value[np.square(on_sphere(asked)[:, None] - on_sphere(place)[None]).sum(-1).argmin(1)], None


def level(place: np.ndarray, value: np.ndarray, asked: np.ndarray) -> Answer:
    return np.full(len(asked), value.mean()), None


def scores(pairs: list[tuple[Answer, np.ndarray]]) -> dict[str, float | None]:
    error = np.concatenate([answer - truth for (answer, _), truth in pairs])
    inside = [np.abs(answer - truth) <= Z90 * std for (answer, std), truth in pairs if std is not None]
    out = {"rmse": float(np.sqrt(np.square(error).mean()))}
    return out | {"coverage": float(np.concatenate(inside).mean()) if inside else None}


def main(argv: list[str]) -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, required=True, help="noaa_stations_1990_1993.npz")
    options.add_argument(
        "--years", type=int, nargs="+", default=[1993], help="of the days asked; to choose on 1990 1991 1992"
    )
    options.add_argument("--every", type=int, default=EVERY, help="so many days apart")
    options.add_argument("--skip", nargs="*", default=[], help="methods to leave out")
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    data = np.load(args.data)
    report, year = np.isfinite(data["tmax"]).mean(0) >= ENOUGH, data["ymd"][:, 0]
    place, value = (
        np.stack([data["lat"], data["lon"]], -1)[report].astype(np.float64),
        data["tmax"][:, report].astype(np.float64),
    )
    days = np.flatnonzero(np.isin(year, args.years))[:: args.every]
    past = np.flatnonzero(year < 1993)[::TRAINING_EVERY]
    rows: dict[str, dict] = {}
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(place))
        out, known = np.split(order, [round(LEFT_OUT * len(place))])
        stations = Stations(place, value, known, out)
        start = time.perf_counter()
        pooled = Kriging.pooled([samples_of(*stations.seen(day)) for day in past])
        fitting = time.perf_counter() - start
        for name, method in methods(pooled).items():
            if name in args.skip:
                continue
            start = time.perf_counter()
            pairs = [stations.answered(method, day) for day in days]
            taken = time.perf_counter() - start
            row = rows.setdefault(name, {"rmse": [], "coverage": [], "seconds": [], "fitting_seconds": []})
            for key, number in scores(pairs).items():
                row[key].append(number)
            row["seconds"].append(round(taken, 2))
            row["fitting_seconds"].append(round(fitting, 2) if name == "kriging, pooled" else 0.0)
            print(seed, name, scores(pairs), f"{taken:.1f} s", file=sys.stderr, flush=True)
    table = [{"method": name} | summary(row) | {"by_seed": row} for name, row in rows.items()]
    facts = {"stations": len(place), "left_out": len(out), "days": len(days), "years": args.years, "seeds": list(SEEDS)}
    command = "python benchmarks/stations.py --data noaa_stations_1990_1993.npz --json results/stations.json"
    finish("stations", {"command": command} | facts | {"rows": table}, args.json, ("torch", "numpy", "scikit-learn"))


def summary(row: dict[str, list]) -> dict:
    """Means over seeds, with the half-width of a 95 % interval."""
    out = {}
    for key in ("rmse", "coverage"):
        numbers = row[key]
        if None in numbers:
            out |= {key: None, f"{key}_half_width": None}
        else:
            half = T4 * stdev(numbers) / sqrt(len(numbers))
            out |= {key: round(mean(numbers), 4), f"{key}_half_width": round(half, 4)}
    return out | {"seconds": round(sum(row["seconds"]) + sum(row["fitting_seconds"]), 1)}


if __name__ == "__main__":
    main(sys.argv[1:])
