"""Does a photo show where its windows meet? The largest step of value and gradient on lines across the borders of their
blends, a hundred times finer than the pixels, beside those at the same places in the field of one window; and how far the
two fields are from one another.

    python -m benchmarks.seams MODEL -o results/seams.json

MODEL: a run folder, a folder of weights or a name that ships. The photo is scikit-image's coffee, never trained on.
"""

from benchmarks.common import commit, hardware  # first: it sets how OpenMP waits before torch is imported

# isort: split

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

import gridless as gl
from gridless.files import write_json
from gridless.network.mosaic import Windows, tiles_of

FINER = 100
LINES = 12


def of_one_tile(model: gl.FieldModel, largest: int) -> gl.FieldModel:
    """The same weights, answering pictures of this size in one window."""
    config = replace(model.config, signal=replace(model.config.signal, tile=largest))
    other = gl.FieldModel(config)
    other.load_state_dict(model.state_dict())
    return other.eval()


def blend_borders(windows: Windows, axis: int) -> torch.Tensor:
    """Where the weight of a window begins or ends to change along an axis, in samples."""
    starts, size = windows.starts[axis], windows.size[axis]
    pairs = [(b + (a + size - b) / 4, a + size - (a + size - b) / 4) for a, b in zip(starts, starts[1:], strict=False)]
    return torch.tensor([place for pair in pairs for place in pair], dtype=torch.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = gl.FieldModel.from_pretrained(arguments.model)
    photo = next(p for p in gl.data.photos("test") if p.name == "coffee")
    samples = gl.Samples.from_grid(torch.from_numpy(photo.values))
    height, width = samples.grid_shape
    field, whole = model.encode(samples), of_one_tile(model, max(height, width)).encode(samples)
    signal = model.config.signal
    windows = Windows((height, width), tiles_of(signal, (height, width)), signal.overlap)
    borders = blend_borders(windows, 1)
    x = torch.cat([b + torch.arange(-2 * FINER, 2 * FINER, dtype=torch.float64) / FINER for b in borders])
    between = x.diff() < 1.5 / FINER
    steps = {}
    for name, asked in (("windows", field), ("one window", whole)):
        value, gradient = [], []
        for row in torch.linspace(0.04, 0.96, LINES):
            coords = torch.stack([torch.full_like(x, float(row)), x / width], -1).float()
            value.append(asked(coords).diff(dim=0)[between].abs().max())
            gradient.append((asked.gradient(coords)[..., 1] / width).diff(dim=0)[between].abs().max())
        steps[name] = {"value": float(torch.stack(value).max()), "gradient": float(torch.stack(gradient).max())}
    difference = 255 * (field.to_image(scale=2) - whole.to_image(scale=2))
    table = {
        "model": arguments.model,
        "photo": [photo.name, height, width],
        "windows": [list(starts) for starts in windows.starts],
        "largest_step_per_hundredth_of_a_pixel": steps,
        "levels_from_one_window": {
            "rms": float(difference.square().mean().sqrt()),
            "max": float(difference.abs().max()),
        },
        "commit": commit(),
        "hardware": hardware(),
    }
    write_json(arguments.output, table)
    print(json.dumps(table))


if __name__ == "__main__":
    main()
