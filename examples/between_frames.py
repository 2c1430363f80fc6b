"""A film at moments that it has not: between its frames, and after the last one.

python examples/between_frames.py between.png [--side 64]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import gridless as gl

FRAMES, SEEN = 8, 6  # every five minutes; the last two are the forecast


def shower(minutes: float, side: int) -> np.ndarray:
    """Two cells of rain that move to the east, in mm/h: (side, side)."""
    y, x = (np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side
    y, x = y[:, None], x[None]
    one = 8 * np.exp(-((x - 0.25 - 0.011 * minutes) ** 2 + (y - 0.4 - 0.003 * minutes) ** 2) / 0.008)
    return one + 5 * np.exp(-((x - 0.15 - 0.011 * minutes) ** 2 + (y - 0.65 - 0.003 * minutes) ** 2) / 0.015)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--side", type=int, default=64, help="of a frame, in cells")
    args = parser.parse_args(argv)
    side = args.side
    units = {"time": "min", "y": "km", "x": "km"}
    axes = {"time": 5.0 * np.arange(FRAMES), "y": np.arange(side), "x": np.arange(side)}
    domain = gl.Domain.of_grid(axes, units=units)
    film = torch.from_numpy(np.stack([shower(5.0 * i, side) for i in range(FRAMES)])).float()[..., None]
    mask = torch.ones(FRAMES, side, side, dtype=torch.bool)
    mask[SEEN:] = False  # a forecast is a hole at the end
    field = gl.bases.Advection().encode(gl.Samples.from_grid(film, axes=3, mask=mask, domain=domain))
    moments = {"20 min, seen": 20.0, "22.5 min, between": 22.5, "25 min, the last seen": 25.0, "33 min, ahead": 33.0}
    km = np.arange(side, dtype=float)
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    for column, (title, minute) in enumerate(moments.items()):
        answer = field({"time": minute, "y": km[:, None], "x": km})[..., 0].numpy()
        truth = shower(minute, side)
        for row, (name, values) in enumerate({"field": answer, "truth": truth}.items()):
            panel = figure.add_subplot(2, len(moments), 1 + column + row * len(moments))
            panel.imshow(values, cmap="YlGnBu", vmin=0, vmax=8)
            panel.set(xticks=[], yticks=[], title=title if row == 0 else "", ylabel=name if column == 0 else "")
        print(f"{title}: off by {np.sqrt(np.mean((answer - truth) ** 2)):.3f} mm/h")
    figure.savefig(args.output, dpi=70, bbox_inches="tight")


if __name__ == "__main__":
    main()
