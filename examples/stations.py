"""A table of weather stations as a field: its map, how sure it is, and where it changes fastest.

python examples/stations.py stations.png [--table stations.csv --value tmax] [--side 80]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import gridless as gl


def made_up(count: int) -> pd.DataFrame:
    """So many stations on one day, in °C: colder to the north, a front across, each reading ± 0.3."""
    rng = np.random.default_rng(3)
    lat, lon = rng.uniform(44, 54, count), rng.uniform(0, 16, count)
    front = 3.5 * np.tanh((lon - 7 - 0.8 * (lat - 49)) / 1.2)
    return pd.DataFrame({"lat": lat, "lon": lon, "tmax": 16 - 0.7 * (lat - 49) - front + rng.normal(0, 0.3, count)})


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--table", type=Path, help="CSV or Parquet with the columns lat and lon; else made up")
    parser.add_argument("--value", default="tmax", help="column of the readings")
    parser.add_argument("--side", type=int, default=80, help="places of the map along each axis")
    args = parser.parse_args(argv)
    readings = gl.read_table(args.table or made_up(90), coords=("lat", "lon"), values=args.value)
    field = gl.FieldModel.from_pretrained("sensors").encode(readings)
    places = readings.domain.to_user(readings.coords)
    lat, lon = (np.linspace(float(places[k].min()), float(places[k].max()), args.side) for k in ("lat", "lon"))
    asked = {"lat": lat[:, None], "lon": lon}  # names broadcast to a map
    mean, std = (part[..., 0].numpy() for part in field.mean_and_std(asked))
    slope = field.gradient(asked)[..., 0, :].numpy()  # per degree of latitude, and of longitude
    steep = np.hypot(slope[..., 0], slope[..., 1] / np.cos(np.radians(lat))[:, None]) / 1.11  # per 100 km
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = {f"{args.value}": (mean, "RdYlBu_r"), "spread": (std, "viridis"), "change per 100 km": (steep, "magma")}
    for axes, (title, (values, colours)) in zip(figure.subplots(1, 3, sharey=True), panels.items(), strict=True):
        drawn = axes.pcolormesh(lon, lat, values, cmap=colours, rasterized=True)
        axes.scatter(places["lon"], places["lat"], s=6, c="white", edgecolors="black", linewidths=0.5)
        axes.set(title=title, xlabel="longitude")
        figure.colorbar(drawn, ax=axes, shrink=0.9)
    figure.savefig(args.output, dpi=90, bbox_inches="tight")
    print(f"{args.output}: {mean.min():.1f} … {mean.max():.1f}, ± {std.mean():.2f} in the mean")


if __name__ == "__main__":
    main()
