"""A field of longitude joins where its grid ends: a month of sea surface temperature, asked across the date line.

    python benchmarks/dateline.py --data ersstv5_2010_2020.npz [--json results/dateline.json]

The grid is turned so that it begins at the date line, as cells and as nodes, with its period; beside it the same grid
without one, asked at its two ends. On every parallel the field is asked at the middle between neighbouring cells, just
beside it on both sides: how large is the jump there, at the join and at all other places? A jump is |right − left|, 1e-4
cells from the middle; the mean over parallels that are sea on both sides. Interpolation, kriging of 300 readings, and an
untrained network with random weights on top of the interpolation (a mosaic round the circle).
"""

import common  # before torch
import numpy as np
import torch

import gridless as gl

BESIDE = 1e-4  # of a cell


def jumps(field: gl.Field, sea: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> dict[str, float]:
    """The mean jump at the join, and the mean and the largest mean between other neighbours."""
    step = lon[1] - lon[0]
    rows, columns = np.nonzero(sea & np.roll(sea, -1, 1))
    middle = lon[columns] + step / 2
    sides = [field({"lat": lat[rows], "lon": middle + side * BESIDE * step})[..., 0] for side in (-1, 1)]
    jump = (sides[1] - sides[0]).abs().double().cpu().numpy()
    mean = np.array([np.nanmean(jump[columns == j]) if (columns == j).any() else np.nan for j in range(len(lon))])
    return {"join": float(mean[-1]), "elsewhere": float(np.nanmean(mean[:-1])), "largest": float(np.nanmax(mean[:-1]))}


def ends(field: gl.Field, sea: np.ndarray) -> dict[str, float]:
    """The mean jump from the one end of the grid to the other, where nobody said that they are one place."""
    rows = np.flatnonzero(sea[:, 0] & sea[:, -1])
    u = torch.from_numpy((rows + 0.5) / len(sea))
    sides = [field(torch.stack([u, torch.full_like(u, end)], -1))[..., 0] for end in (1.0, 0.0)]
    return {"join": float((sides[1] - sides[0]).abs().nanmean())}


def domain(lat: np.ndarray, lon: np.ndarray, kind: str, period: bool) -> gl.Domain:
    axes = gl.Domain.of_grid({"lat": lat, "lon": lon}, samples=kind).axes
    if period:
        return gl.Domain(axes=axes, sphere=(0, 1))
    flat = gl.Axis(name="lon", start=axes[1].start, length=axes[1].length, samples=kind)
    return gl.Domain(axes=(axes[0], flat))


def network() -> gl.FieldModel:
    torch.manual_seed(0)
    base = {"kind": "bicubic", "exact": False, "fill": True}
    model = gl.FieldModel(gl.preset("hybrid", "tiny", channels=1, base=base))
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)
    return model.eval()


@torch.no_grad()
def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--data", required=True)
    args = parser.parse_args()
    data = np.load(args.data)
    sst, lat, lon = data["sst"][0].astype(np.float32), data["lat"].astype(float), data["lon"].astype(float)
    turn = int(np.argmin(np.abs(lon - 180)))  # begin at the date line
    sst, lon = np.roll(sst, -turn, 1), np.concatenate([lon[turn:], lon[:turn] + 360])
    sea, rows = np.isfinite(sst), []
    values, mask = torch.from_numpy(np.nan_to_num(sst))[..., None], torch.from_numpy(sea)
    for kind in ("cells", "nodes"):
        for period in (True, False):
            samples = gl.Samples.from_grid(values, mask=mask, domain=domain(lat, lon, kind, period))
            for name, model in {"bicubic": gl.bases.Interpolation(fill=True), "network": network()}.items():
                field = model.encode(samples)
                found = jumps(field, sea, lat, lon) if period else ends(field, sea)
                rows.append({"model": name, "samples": kind, "period": period, **found})
    cells = np.argwhere(sea)[np.random.default_rng(0).permutation(int(sea.sum()))[:300]]
    whole = domain(lat, lon, "cells", True)
    places = {"lat": lat[cells[:, 0]], "lon": lon[cells[:, 1]]}
    readings = gl.Samples.from_points(places, sst[tuple(cells.T)][:, None], domain=whole)
    kriged = jumps(gl.bases.Kriging().encode(readings), sea, lat, lon)
    rows.append({"model": "kriging, 300 readings", "period": True, **kriged})
    for row in rows:
        print(row)
    command = "python benchmarks/dateline.py --data ersstv5_2010_2020.npz"
    common.finish("dateline", {"command": command, "rows": rows}, args.json)


if __name__ == "__main__":
    main()
