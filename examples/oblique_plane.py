"""A volume of thick slices, cut along a plane that lies across all of them.

python examples/oblique_plane.py oblique.png [--side 200] [--slices 12]
"""

import argparse
from math import cos, pi, radians, sin
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import gridless as gl


def knot(coords: Tensor) -> Tensor:
    """A soft tube along a trefoil knot, and a ball in its middle: (N 3) in [0, 1] -> (N 1)."""
    t = torch.linspace(0, 2 * pi, 500)
    path = torch.stack([t.sin() + 2 * (2 * t).sin(), t.cos() - 2 * (2 * t).cos(), -(3 * t).sin()], -1)
    away = torch.cdist(coords, 0.5 + path[:, [2, 0, 1]] * torch.tensor([0.25, 0.13, 0.13])).min(1).values
    ball = (coords - 0.5).norm(dim=1)
    return (torch.exp(-((away / 0.05) ** 2)) + 0.7 * torch.sigmoid((0.12 - ball) / 0.015))[:, None]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--side", type=int, default=200, help="of the pictures, in pixels")
    parser.add_argument("--slices", type=int, default=12, help="of the volume; 48 × 48 voxels each")
    parser.add_argument("--angle", type=float, default=35.0, help="of the plane against the slices, in degrees")
    args = parser.parse_args(argv)
    shape = (args.slices, 48, 48)
    seen = gl.Samples.from_grid(knot(gl.grid(*shape)).unflatten(0, shape), axes=3)
    v, u = (gl.grid(args.side, args.side) - 0.5).unbind(-1)
    tilt = radians(args.angle)  # about the x axis, through the middle
    plane = 0.5 + torch.stack([v * sin(tilt), v * cos(tilt), u], -1)  # (Q 3): any points may be asked
    answers = {name: gl.bases.Interpolation(name).encode(seen)(plane) for name in ("nearest", "bspline")}
    truth = knot(plane)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    titles = {"nearest": "nearest voxel", "bspline": "field: cubic B-splines", "truth": "truth"}
    axes = figure.subplots(1, 3)
    for panel, (name, values) in zip(axes, (answers | {"truth": truth}).items(), strict=True):
        panel.imshow(values.view(args.side, args.side).numpy(), cmap="magma", vmin=0, vmax=1.1)
        panel.set(title=titles[name], xticks=[], yticks=[])
    figure.savefig(args.output, dpi=80, bbox_inches="tight")
    error = {name: float((values - truth).square().mean().sqrt()) for name, values in answers.items()}
    print(f"{args.output}: " + ", ".join(f"RMSE {value:.3f} ({name})" for name, value in error.items()))


if __name__ == "__main__":
    main()
