"""Real fields and stations as questions of one form: what is read, what is asked, the truth, and what was there before.

    ostia      sea surface temperature, monthly, the tropics     months 1–42 teach, 43–54 ask    iris-sample-data
    ersst      sea surface temperature, monthly, the globe       months 1–96 teach, 97–128 ask   ersstv5_2010_2020.npz
    era5       2 m temperature, hourly, Britain, March 2019      20 days teach, 11 days ask      era5_t2m_uk_201903.npz
    noaa       daily maxima of 133 stations, United States       1990–1992 teach, 1993 asks      noaa_stations_1990_1993.npz
    pm10       daily PM10 of rural stations, Germany             2003–2007 teach, 2008–2009 ask  germany_pm10_1998_2009.npz

Of a grid, sensors stand at random measured cells, the same ones at every step of a draw, and all measured cells are asked,
weighted by their area. Of stations, a fifth is left out by the draw and never used, and its readings are asked.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

import gridless as gl
from gridless.data.signals import GridSignal

COUNTS = (100, 50, 25)
HOURS = 6  # between two test steps of era5
LEFT_OUT = 0.2


@dataclass(frozen=True, eq=False)
class Question:
    """Steps that are read at N places each and asked at Q; of a step with fewer readings some are masked."""

    samples: gl.Samples
    coords: Float[Tensor, "Q d"]
    truth: Float[np.ndarray, "B Q"]
    """NaN where nobody knows."""
    weights: Float[np.ndarray, " Q"]
    times: np.ndarray
    seed: int
    count: int
    readings: bool
    """Whether the truth is of readings, with an error of their own."""
    steps: Int[np.ndarray, " B"]
    places: Int[np.ndarray, " N"]
    """Which cells or stations are read."""


@dataclass(frozen=True, eq=False)
class Archive:
    """Fields on a grid."""

    name: str
    unit: str
    values: Float[np.ndarray, "T *grid"]
    times: np.ndarray
    domain: gl.Domain
    cycle: str
    learned: int
    """So many steps teach."""
    asked: Int[np.ndarray, " S"]
    lag: int
    """So many steps old is the last full map, where one is known."""
    counts: tuple[int, ...] = COUNTS

    @cached_property
    def inside(self) -> Bool[np.ndarray, " G"]:
        return np.isfinite(self.values).all(0).ravel()

    @cached_property
    def cells(self) -> Float[Tensor, "Q d"]:
        return gl.grid(*self.values.shape[1:], dtype=torch.float64)[torch.from_numpy(self.inside)]

    @cached_property
    def flat(self) -> Float[np.ndarray, "T Q"]:
        """Of the measured cells."""
        return self.values.reshape(len(self.values), -1)[:, self.inside].astype(np.float64)

    @cached_property
    def weights(self) -> Float[np.ndarray, " Q"]:
        area = np.cos(np.radians(np.asarray(self.domain.to_user(self.cells)["lat"])))
        return area / area.sum()

    @property
    def past(self) -> Int[np.ndarray, " S"]:
        return np.arange(self.learned)

    def signals(self, flat: Float[np.ndarray, "S Q"]) -> list[GridSignal]:
        """Fields of the measured cells as signals."""
        mask, out = self.inside.reshape(self.values.shape[1:]), []
        for number, row in enumerate(flat):
            values = np.zeros(mask.shape)
            values[mask] = row
            out.append(
                GridSignal(f"{self.name}-{number}", values[..., None], None if mask.all() else mask, self.domain)
            )
        return out

    def samples(self, flat: Float[np.ndarray, "B Q"], places: np.ndarray) -> gl.Samples:
        """Readings of some of the measured cells."""
        values = torch.from_numpy(np.ascontiguousarray(flat[:, places]))[..., None]
        return gl.Samples(values, coords=self.cells[places].expand(len(flat), -1, -1), domain=self.domain)

    def questions(self, seed: int) -> list[Question]:
        out = []
        for count in self.counts:
            places = np.random.default_rng((seed, count)).permutation(len(self.cells))[:count]
            flat = self.flat[self.asked]
            out.append(
                Question(self.samples(flat, places), self.cells, flat, self.weights, self.times[self.asked],
                         seed, count, False, self.asked, places)
            )  # fmt: skip
        return out


@dataclass(frozen=True, eq=False)
class Stations:
    """Daily readings (T S) of stations; those left out in a draw are asked."""

    name: str
    unit: str
    values: Float[np.ndarray, "T S"]
    times: np.ndarray
    place: Float[np.ndarray, "S 2"]
    domain: gl.Domain
    taught: Int[np.ndarray, " P"]
    """Days of the past, for what learns."""
    asked: Int[np.ndarray, " D"]
    positive: bool = False
    cycle: str = "year"

    @property
    def coords(self) -> Float[Tensor, "S d"]:
        return self.domain.to_unit({"lat": self.place[:, 0], "lon": self.place[:, 1]})

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Stations that are known and those left out."""
        order = np.random.default_rng(seed).permutation(len(self.place))
        out, known = np.split(order, [round(LEFT_OUT * len(order))])
        return np.sort(known), np.sort(out)

    def samples(self, days: np.ndarray, places: np.ndarray, values: np.ndarray | None = None) -> gl.Samples:
        """Readings of some days; a silent station is masked."""
        values = (self.values if values is None else values)[np.ix_(days, places)].astype(np.float64)
        mask = torch.from_numpy(np.isfinite(values))
        coords = self.coords[places].expand(len(days), -1, -1)
        return gl.Samples(
            torch.from_numpy(np.nan_to_num(values))[..., None], coords=coords, mask=mask, domain=self.domain
        )

    def questions(self, seed: int) -> list[Question]:
        known, out = self.split(seed)
        truth = self.values[np.ix_(self.asked, out)].astype(np.float64)
        weights = np.full(len(out), 1 / len(out))
        samples = self.samples(self.asked, known)
        return [Question(samples, self.coords[out], truth, weights, self.times[self.asked], seed, len(known), True,
                         self.asked, known)]  # fmt: skip


def ostia(folder: Path) -> Archive:
    import iris_sample_data
    import xarray

    path = Path(iris_sample_data.path) / "ostia_monthly.nc"
    with xarray.open_dataset(path) as opened:
        values = opened["surface_temperature"]
        axes = {"lat": values["latitude"].values.astype(float), "lon": values["longitude"].values.astype(float)}
        return Archive("ostia", "K", values.values, values["time"].values, gl.Domain.of_grid(axes), "year", 42,
                       np.arange(42, 54), 1)  # fmt: skip


def ersst(folder: Path) -> Archive:
    data = np.load(folder / "ersstv5_2010_2020.npz")
    times = data["time"].astype("U10").astype("datetime64[D]")
    domain = gl.Domain.of_grid({"lat": data["lat"].astype(float), "lon": data["lon"].astype(float)})
    return Archive("ersst", "K", data["sst"], times, domain, "year", 96, np.arange(96, 128), 1)


def era5(folder: Path) -> Archive:
    data = np.load(folder / "era5_t2m_uk_201903.npz")
    times = data["time"].astype("U13").astype("datetime64[h]")
    domain = gl.Domain.of_grid({"lat": data["lat"].astype(float), "lon": data["lon"].astype(float)})
    return Archive("era5", "K", data["t2m"], times, domain, "day", 480, np.arange(480, 744, HOURS), HOURS)


def noaa(folder: Path) -> Stations:
    data = np.load(folder / "noaa_stations_1990_1993.npz")
    enough = np.isfinite(data["tmax"]).mean(0) >= 0.9
    ymd = data["ymd"].astype(int)
    times = np.array([f"{y:04d}-{m:02d}-{d:02d}" for y, m, d in ymd], "datetime64[D]")
    place = np.stack([data["lat"][enough], data["lon"][enough]], -1).astype(np.float64)
    celsius = (data["tmax"][:, enough].astype(np.float64) - 32) / 1.8
    return Stations("noaa", "K", celsius, times, place, _box(place), np.flatnonzero(ymd[:, 0] < 1993),
                    np.flatnonzero(ymd[:, 0] == 1993)[::3])  # fmt: skip


def pm10(folder: Path) -> Stations:
    """Stations with readings on 70 % of the days since 2005; test days, every fifth of 2008–2009, have 15 or more."""
    data = np.load(folder / "germany_pm10_1998_2009.npz")
    times = data["days"].astype("datetime64[D]")
    year = times.astype("datetime64[Y]").astype(int) + 1970
    enough = np.isfinite(data["pm10"][:, year >= 2005]).mean(1) >= 0.7
    values = data["pm10"][enough].T.astype(np.float64)
    place = np.stack([data["lat"][enough], data["lon"][enough]], -1)
    full = np.isfinite(values).sum(1) >= 15
    taught, asked = full & (year >= 2003) & (year < 2008), full & (year >= 2008)
    return Stations("pm10", "µg/m³", values, times, place, _box(place), np.flatnonzero(taught),
                    np.flatnonzero(asked)[::5], positive=True)  # fmt: skip


def _box(place: np.ndarray) -> gl.Domain:
    return gl.Domain.around({"lat": place[:, 0], "lon": place[:, 1]})


SETS = {"ostia": ostia, "ersst": ersst, "era5": era5, "noaa": noaa, "pm10": pm10}
