"""A field in five panels: what the sensors read, the truth, the answer, how sure it is, and how wrong."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gridless.protocols import Task
from gridless.reports import plots
from gridless.scoring.evaluate import Encoder, predictions

PANEL, GAP, HEAD = 224, 16, 64


def picture_fields(model: Encoder, data: Sequence, task: Task, folder: str | Path) -> None:
    """<family>-noise<…>.png of the first field of every kind that is asked on a grid of two axes, at the middle count of
    sensors, without noise and with the most of it."""
    folder, pictured = Path(folder), set()
    if task.kind != "sparse-field":
        return
    for case in task.for_validation().cases(data):
        name = f"{case.tags.get('family') or 'field'}-noise{case.tags['noise']:g}"
        if case.shape is None or len(case.shape) != 2 or case.truth.shape[-1] != 1 or name in pictured:
            continue
        pictured.add(name)
        answer, samples = predictions(model, [case])[0], case.samples
        std = None if answer.std is None else answer.std[..., 0]
        title = f"{case.tags.get('family') or 'field'}, {case.tags['sensors']} sensors, noise {case.tags['noise']:g}"
        read_at, values = samples.point_coords[0].numpy(), samples.values[0, :, 0].numpy()
        strip = field_strip(read_at, values, case.truth[..., 0], answer.mean[..., 0], std, title)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(plots.png(strip))


def field_strip(
    coords: np.ndarray, values: np.ndarray, truth: np.ndarray, mean: np.ndarray, std: np.ndarray | None, title: str = ""
) -> Image.Image:
    """sensors | truth | mean | spread | error, of one channel; RGBA on transparent paper.

    coords (N 2) in [0, 1], (y, x), and values (N) of the readings; truth, mean and std (H W). Values share one scale, that
    of the truth; spread and error share another, whose end is written beside it.
    """
    low, high = float(truth.min()), float(truth.max())
    wrong = np.abs(mean - truth)
    limit = plots.error_limit([wrong / (high - low)]) * (high - low)
    zoom = max(1, PANEL // max(truth.shape))
    size = truth.shape[1] * zoom, truth.shape[0] * zoom
    panels = [("sensors", str(len(coords)), _dots(coords, (values - low) / (high - low), size))]
    panels.append(("truth", f"{low:.2f} … {high:.2f}", _panel((truth - low) / (high - low), size)))
    panels.append(
        ("mean", f"{-10 * np.log10(np.mean(wrong**2) + 1e-20):.1f} dB", _panel((mean - low) / (high - low), size))
    )
    if std is not None:
        panels.append(("spread", f"0 … {limit:.2g}", _panel(std / limit, size)))
    panels.append(("error", f"0 … {limit:.2g}", _panel(wrong / limit, size)))
    paper = Image.new("RGBA", (len(panels) * (size[0] + GAP) - GAP, HEAD + size[1]), (*plots.INK, 0))
    draw = ImageDraw.Draw(paper)
    plots.write_line(draw, (0, 4), title, 20, paper.width, bold=True)
    for i, (name, note, picture) in enumerate(panels):
        x = i * (size[0] + GAP)
        room = size[0] - plots.write_line(draw, (x + size[0], 38), note, 15, size[0], right=True) - 10
        plots.write_line(draw, (x, 37), name, 16, room, bold=True)
        paper.paste(picture, (x, HEAD))
    return paper


def _panel(values: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(plots._heat(values)).resize(size, Image.Resampling.NEAREST)


def _dots(coords: np.ndarray, values: np.ndarray, size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size, plots.INK)
    draw = ImageDraw.Draw(picture)
    for (y, x), colour in zip(coords * size[::-1], plots._heat(values[None])[0], strict=True):
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=tuple(colour.tolist()), outline="white")
    return picture
