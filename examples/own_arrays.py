"""A small system learns arrays of one's own, is saved, loaded, and asked between their cells.

python examples/own_arrays.py own.png [--steps 100] [--folder mine]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import gridless as gl


def winds(count: int, side: int, seed: int) -> list[np.ndarray]:
    """Arrays (side side 2): east and north wind around a vortex, each array another one."""
    rng, out = np.random.default_rng(seed), []
    y, x = np.meshgrid(*2 * [(np.arange(side) + 0.5) / side], indexing="ij")
    for _ in range(count):
        (cy, cx), size = rng.uniform(0.25, 0.75, 2), rng.uniform(0.15, 0.4)
        near = 10 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / size**2) / size
        out.append(np.stack([-(y - cy) * near, (x - cx) * near], -1).astype(np.float32))
    return out


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=Path("mine"), help="where the weights go")
    args = parser.parse_args(argv)
    model = gl.FieldModel(gl.preset("conv", "small", channels=2, signal={"window": 8}))
    facts = gl.fit(model, winds(64, 32, seed=0), gl.SuperResolution(scale=4), steps=args.steps, quiet=True)
    model.save_pretrained(args.folder)
    again = gl.FieldModel.from_pretrained(args.folder)
    coarse, fine = winds(1, 8, seed=1)[0], winds(1, 64, seed=1)[0]  # one vortex that no training saw, at two steps
    field = again.encode(gl.Samples.from_grid(coarse))
    answer = field.to_grid(shape=(64, 64)).numpy()
    assert torch.equal(field(gl.grid(5, 5)), model.eval().encode(gl.Samples.from_grid(coarse))(gl.grid(5, 5)))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    pictures = {"8 × 8 cells, seen": coarse, f"field after {facts['steps']} steps": answer, "truth": fine}
    for panel, (title, wind) in zip(figure.subplots(1, 3), pictures.items(), strict=True):
        panel.imshow(np.hypot(*np.moveaxis(wind, -1, 0)), cmap="viridis", extent=(0, 1, 1, 0), vmin=0, vmax=5)
        every = slice(None, None, len(wind) // 8)
        at = (np.arange(len(wind)) + 0.5)[every] / len(wind)
        panel.quiver(at, at, wind[every, every, 0], -wind[every, every, 1], color="white", scale=60, width=0.006)
        panel.set(title=title, xticks=[], yticks=[])
    figure.savefig(args.output, dpi=80, bbox_inches="tight")
    print(f"{args.output}: {facts['params']:,} parameters, RMSE {np.sqrt(np.mean((answer - fine) ** 2)):.2f} m/s")


if __name__ == "__main__":
    main()
