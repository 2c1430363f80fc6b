"""Files with the names that the README's commands use: small, and made of smooth fields and noise."""

from pathlib import Path

import h5netcdf  # noqa: F401  xarray writes NetCDF with it
import nibabel
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image


def picture(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 3 + c) * np.cos(y / (4 + c)) for c in range(3)]
    return Image.fromarray((127.5 + 120 * np.stack(waves, -1)).astype(np.uint8))


def sea(steps: int) -> xr.DataArray:
    """Degrees in kelvin, on a small grid with land in one corner."""
    lat, lon = np.linspace(-10, 10, 12), np.linspace(200, 230, 18)
    times = pd.date_range("2020-01-01", periods=steps, freq="MS")
    rng = np.random.default_rng(0)
    season = np.cos(2 * np.pi * np.arange(steps) / 12)[:, None, None]
    values = (
        295
        - 0.1 * lat[:, None] ** 2
        + season * lat[:, None] / 5
        + np.sin(lon / 5 + season)
        + rng.normal(0, 0.1, (steps, 12, 18))
    )
    values[:, :2, :3] = np.nan
    coords = {
        "time": times,
        "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
        "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
    }
    return xr.DataArray(values, coords, ("time", "lat", "lon"), "sst", {"units": "K"})


def rain(frames: int) -> xr.DataArray:
    """A blob that moves, every five minutes."""
    times = pd.date_range("2020-01-01", periods=frames, freq="5min")
    y, x = np.mgrid[:24, :24]
    values = np.stack([np.exp(-((x - 8 - t) ** 2 + (y - 12) ** 2) / 20) for t in range(frames)])
    coords = {"time": times} | {n: (n, np.arange(24) * 1000.0, {"units": "m"}) for n in ("y", "x")}
    return xr.DataArray(values, coords, ("time", "y", "x"), "rain", {"units": "mm/h"})


def lay_out(folder: Path) -> None:
    """All of them, in `folder`."""
    picture(20, 30).save(folder / "cat.jpg")
    for name in ("cat.png", "brick.png"):
        picture(16, 24).save(folder / name)
    picture(16, 24).save(folder / "scan.tif", save_all=True, append_images=[picture(16, 24)])
    for name in ("holiday", "DIR/train", "DIR/val", "DIR/test"):
        (folder / name).mkdir(parents=True)
        picture(100, 110).resize((64, 60) if name == "holiday" else (110, 100)).save(folder / name / "one.png")
    field = sea(24)
    field.to_dataset().to_netcdf(folder / "sst.nc", engine="h5netcdf")
    tmax = field.isel(time=0, drop=True).fillna(290.0).rename("tmax") - 273.15
    tmax.drop_attrs(deep=False).to_dataset().to_netcdf(folder / "grid.nc", engine="h5netcdf")
    rain(24).to_dataset().to_netcdf(folder / "radar.nc", engine="h5netcdf")
    rng = np.random.default_rng(1)
    places = {"lat": rng.uniform(-5, 9, 20), "lon": rng.uniform(206, 229, 20), "day": rng.uniform(0, 30, 20)}
    stations = pd.DataFrame(places)
    stations["tmax"] = 20 - 0.1 * stations["lat"] ** 2 + 0.02 * stations["day"]
    stations["sst"] = stations["tmax"] + 273.15
    stations.to_csv(folder / "stations.csv", index=False)
    pd.DataFrame(
        {name: rng.uniform(column.min(), column.max(), 5) for name, column in stations[list(places)].items()}
    ).to_csv(folder / "places.csv", index=False)
    z, y, x = np.mgrid[:10, :12, :5]
    head = (100 * np.exp(-((z - 5) ** 2 + (y - 6) ** 2 + 9 * (x - 2) ** 2) / 30)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(head, np.diag([1.0, 1.0, 3.0, 1.0])), folder / "brain.nii.gz")
