"""A global grid of a quarter of a degree over many months, written to Zarr: seconds and memory.

    python benchmarks/large_fields.py [--months 120] [--step 0.25] [--readings 60] [--json results/large-fields.json]

Each month has readings of its own, at other places, of a smooth made-up field; kriging with one kernel and two lengths
answers each of them on the whole grid, with its standard error. The answer is lazy, a block a month, one block at a
time. The peak is that of the whole process, its packages included. At the end a month is read back and compared with its
field, asked at some places.
"""

import tempfile

import common  # before torch
import dask
import numpy as np
import pandas as pd
import xarray as xr

import gridless as gl
from gridless.data.archive_writing import write_zarr
from gridless.data.archives import open_archive

BASE = gl.bases.Kriging(kernels=("matern32",), lengths=(0.3, 1.0), noises=(0.03,), trend="constant")
CHECKED = 200  # places of the last month that are asked again


def readings(months: int, count: int) -> pd.DataFrame:
    """`count` places a month, evenly spread over the sphere."""
    rng = np.random.default_rng(0)
    stamps = np.arange("2010-01", np.datetime64("2010-01") + months, dtype="datetime64[M]").astype("datetime64[ns]")
    month = np.repeat(np.arange(months), count)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, len(month)))), rng.uniform(-180, 180, len(month))
    value = 25 * np.cos(np.radians(lat)) + 3 * np.sin(np.radians(2 * lon) + month / 6) * np.cos(np.radians(lat)) ** 2
    return pd.DataFrame({"time": stamps[month], "lat": lat, "lon": lon, "sst": value + rng.normal(0, 0.1, len(month))})


def template(step: float) -> xr.Dataset:
    lat, lon = np.arange(-90 + step / 2, 90, step), np.arange(step / 2, 360, step)
    return xr.Dataset(
        coords={
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}),
            "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}),
        }
    )


def run(months: int, step: float, count: int, folder: str) -> dict:
    before = common.resident()
    series = gl.read_table(
        readings(months, count), values="sst", time="time", units={"sst": "degC"}, domain=gl.Domain.globe()
    ).encode(BASE)
    like, path = template(step), f"{folder}/answer.zarr"

    def write() -> None:
        with dask.config.set(scheduler="synchronous"):
            write_zarr(series.to_xarray(like, chunks={"time": 1}), path)

    taken = common.seconds(write)
    peak = common.peak()
    with open_archive(path) as answer:
        rng = np.random.default_rng(1)
        i, j = rng.integers(answer.sizes["lat"], size=CHECKED), rng.integers(answer.sizes["lon"], size=CHECKED)
        mean, std = series[months - 1].mean_and_std({"lat": answer.lat.values[i], "lon": answer.lon.values[j]})
        apart = [
            float(np.abs(answer[name][months - 1].values[i, j] - asked[:, 0].numpy()).max())
            for name, asked in (("sst", mean), ("sst_standard_error", std))
        ]
        size = 2 * answer.sst.size * 4 / 2**30
    return {
        "months": months,
        "step_degrees": step,
        "grid": [int(answer.sizes["lat"]), int(answer.sizes["lon"])],
        "readings_a_month": count,
        "seconds": round(taken, 1),
        "seconds_a_month": round(taken / months, 2),
        "answer_gib": round(size, 3),
        "before_gib": round(before, 2),
        "peak_gib": round(peak, 2),
        "apart": max(apart),
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--months", type=int, default=120)
    parser.add_argument("--step", type=float, default=0.25)
    parser.add_argument("--readings", type=int, default=60)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = run(args.months, args.step, args.readings, folder)
    command = (
        f"python benchmarks/large_fields.py --months {args.months} --step {args.step:g} --readings {args.readings}"
    )
    packages = ("torch", "xarray", "dask", "zarr")
    common.finish("large-fields", {"command": command} | report, args.json, packages)


if __name__ == "__main__":
    main()
