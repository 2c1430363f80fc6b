"""A decoder of one's own in a system that ships: named by its class, trained, saved and loaded like any other.

python examples/own_decoder.py decoder.png [--steps 250] [--folder ripples]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import gridless as gl


class Ripples(nn.Module):
    """Each latent sends out a wave from its place; a question sums them, nearer ones more."""

    joint = False  # an answer does not depend on the other questions

    def __init__(self, signal, width: int, patch: int, latents: int, hidden: int = 32):
        super().__init__()
        self.width = self.local_width = hidden
        self.height, self.pitch = nn.Linear(width, hidden), nn.Linear(width, hidden)

    def prepare(self, latents: gl.Tokens) -> gl.Tokens:  # once for a field
        return latents

    def forward(self, coords: Tensor, latents: gl.Tokens, local: Tensor | None = None) -> Tensor:  # -> (B Q hidden)
        away = torch.cdist(coords, latents.pos.expand(len(coords), -1, -1))[..., None]  # (B Q M 1)
        wave = torch.cos(away * (8 + self.pitch(latents.x)[:, None])) * self.height(latents.x)[:, None]
        return (wave * torch.exp(-((4 * away) ** 2))).sum(2)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--folder", type=Path, default=Path("ripples"), help="where the weights go")
    args = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    drops = [np.cos(12 * np.linalg.norm(gl.grid(8, 8).numpy() - rng.random(2), axis=1)) for _ in range(65)]
    *arrays, unseen = [drop.reshape(8, 8, 1).astype(np.float32) for drop in drops]
    model = gl.FieldModel(gl.preset("mamba-ginr", "tiny", channels=1, decoder=gl.own(Ripples, hidden=32)))
    gl.fit(model, arrays, gl.Reconstruction(), steps=args.steps, quiet=True)
    model.save_pretrained(args.folder)
    field = gl.FieldModel.from_pretrained(args.folder).encode(gl.Samples.from_grid(unseen))  # where Ripples is imported
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    pictures = {"8 × 8 samples, seen": unseen, "field of one's own decoder": field.to_grid(shape=(96, 96)).numpy()}
    for panel, (title, values) in zip(figure.subplots(1, 2), pictures.items(), strict=True):
        panel.imshow(values[..., 0], cmap="RdBu", vmin=-1.2, vmax=1.2)
        panel.set(title=title, xticks=[], yticks=[])
    figure.savefig(args.output, dpi=80, bbox_inches="tight")
    print(f"{args.output}: off by {float((field.to_grid(scale=1) - torch.from_numpy(unseen)).abs().max()):.3f} at most")


if __name__ == "__main__":
    main()
