"""Pseudo-stations: one step of an archive, read at random places. No measurements of stations, but a truth to compare with.

python examples/pseudo_stations.py ostia_monthly.nc readings.csv --variable surface_temperature --step 50
"""

import argparse
from pathlib import Path

import numpy as np

import gridless as gl


def pseudo_stations(archive: str | Path, step: int, count: int, variable: str | None = None, seed: int = 0) -> str:
    """A table in CSV: latitude, longitude and value at `count` measured cells of step number `step`, the first being 1."""
    snapshots = gl.read(archive, variable)
    if not 1 <= step <= len(snapshots):
        raise ValueError(f"{archive} has steps 1 … {len(snapshots)}, got {step}")
    signal = snapshots[step - 1]
    reading = signal.read(np.random.default_rng(seed), count)
    places = snapshots.domain.to_user(reading.coords.double())
    name = snapshots.domain.quantities[0].name
    short = {"latitude": "lat", "longitude": "lon"}
    lines = [",".join([*(short.get(axis, axis) for axis in places), name])]
    for *place, value in zip(*places.values(), reading.values[:, 0].tolist(), strict=True):
        lines.append(",".join([*(f"{x:.4f}" for x in place), f"{value:.4f}"]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--variable")
    parser.add_argument("--step", type=int, default=1, help="of the archive, the first being 1")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    table = pseudo_stations(args.archive, args.step, args.count, args.variable, args.seed)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(table, encoding="utf-8")
