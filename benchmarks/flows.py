"""How long simulated flows take and how far a finer grid is: `python benchmarks/flows.py --json results/flows.json`.

20 frames of 64 cells along every axis, seconds of the processor on one thread, the mean of at least four trajectories. The
error is the relative L2 distance of the last frame from a simulation on half as many cells again along every axis, which
also takes shorter steps; the largest of two trajectories.
"""

from pathlib import Path

import common
import numpy as np
import torch

from gridless.config import FlowData
from gridless.data.flows import TOGETHER, resolution, simulated

SIDE, FRAMES = 64, 20
ROUNDED = 1e-7  # of a film's float32
KINDS = (
    *(("navier-stokes", nu, force, 1.0) for nu in (1e-3, 1e-4) for force in (None, "fno", "kolmogorov", "random")),
    *(("burgers", nu, None, 0.05) for nu in (1e-1, 1e-2, 1e-3)),
)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--picture", type=Path, help="draw one film of each forcing into this PNG")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.picture:
        draw(args.picture)
    rows = []
    for equation, viscosity, forcing, step in KINDS:
        data = FlowData(equation=equation, viscosity=viscosity, forcing=forcing, side=SIDE, frames=FRAMES, step=step)
        cells = resolution(data)
        finer, usual = list(simulated(data, range(2), cells * 3 // 2)), list(simulated(data, range(2)))
        away = [np.linalg.norm(a[-1] - b[-1]) / np.linalg.norm(b[-1]) for a, b in zip(usual, finer, strict=True)]
        count = min(64, max(4, 2 * TOGETHER // cells ** (2 if equation == "navier-stokes" else 1)))
        taken = common.in_turns({"all": lambda d=data, n=count: list(simulated(d, range(n)))}, 1, 0, clock=cpu)["all"]
        rows.append(
            {
                "equation": equation,
                "viscosity": viscosity,
                "forcing": forcing,
                "step": step,
                "cells": cells,
                "cpu_seconds": float(f"{taken[0] / count:.2g}"),
                "error": float(f"{max(away):.2g}"),
            }
        )
        print(rows[-1], flush=True)
    common.finish("flows", {"side": SIDE, "frames": FRAMES, "rows": rows}, args.json, ("torch", "numpy"))


def cpu() -> float:
    return common.time.process_time()


def table(report: dict) -> str:
    """As docs/simulations.md has it."""
    lines = [
        "| equation | ν | forcing | seconds a frame | cells inside | seconds of one core | a finer grid is away |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in report["rows"]:
        inside = f"{row['cells']}²" if row["equation"] == "navier-stokes" else f"{row['cells']}"
        shown = [row["equation"], f"{row['viscosity']:g}", row["forcing"] or "none", f"{row['step']:g}", inside]
        away = f"{row['error']:.1e}" if row["error"] >= ROUNDED else f"< {ROUNDED:.0e}"
        lines.append(f"| {' | '.join(shown)} | {row['cpu_seconds']:g} | {away} |")
    return "\n".join(lines)


def draw(path: Path) -> None:
    from matplotlib import pyplot as plt
    from PIL import Image

    kinds, frames = (None, "fno", "kolmogorov", "random"), (0, 4, 9, 14, 19)
    figure, axes = plt.subplots(len(kinds), len(frames), figsize=(7.5, 6.4), layout="constrained")
    for line, forcing in zip(axes, kinds, strict=True):
        film = next(simulated(FlowData(viscosity=1e-4, forcing=forcing, side=SIDE, frames=FRAMES), [0]))
        highest = float(np.abs(film).max())
        for axis, frame in zip(line, frames, strict=True):
            drawn = axis.imshow(film[frame], cmap="RdBu_r", vmin=-highest, vmax=highest, origin="lower")
            axis.set(xticks=[], yticks=[])
            if forcing is None:
                axis.set_title(f"{frame} s", fontsize=9)
        line[0].set_ylabel(forcing or "none", fontsize=9)
        figure.colorbar(drawn, ax=line, shrink=0.8).ax.tick_params(labelsize=7)
    figure.savefig(path, dpi=100)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
