"""docs/images/sensors.png: four fields of the test split from 100 readings, chosen by their truth alone."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from sensor_questions import READINGS

import gridless as gl
from gridless.data.prior import FieldPrior, PriorField
from gridless.field import Field
from gridless.files import write_bytes

FIELDS = {"fronts": 0, "patches": 0, "plumes": 2, "waves": 1}  # number among those on the unit square
COUNT, SIDE = 100, 128
VALUES, WRONG = "RdYlBu_r", "inferno"
COLUMNS = ("truth, 100 readings", "kriging", "gridless", "error of kriging", "error of gridless", "spread of gridless")
INK, FONT = "#333333", {"fontsize": 12, "color": "#333333"}


@torch.no_grad()
def maps(model: gl.FieldModel, field: PriorField) -> tuple[np.ndarray, list[np.ndarray]]:
    """Where it is read (N 2), and truth, kriging, the model, their errors and the model's spread (SIDE SIDE)."""
    rng, coords = np.random.default_rng((READINGS, COUNT)), gl.grid(SIDE, SIDE)
    read = field.read(rng, COUNT)
    answer = model.encode(gl.Samples(read.values[None], coords=read.coords[None], domain=field.domain))
    mean, std = answer.mean_and_std(coords)
    parts = [field.at(coords), Field(answer.samples, answer.solved)(coords), mean, std]
    truth, base, ours, spread = (part.reshape(SIDE, SIDE).double().numpy() for part in parts)
    return read.coords.numpy(), [truth, base, ours, np.abs(base - truth), np.abs(ours - truth), spread]


def sheet(model: gl.FieldModel) -> bytes:
    """A PNG of 256 colours."""
    figure = Figure(figsize=(11.6, 8.5), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(FIELDS), len(COLUMNS))
    figure.subplots_adjust(left=0.03, right=0.997, top=0.955, bottom=0.03, wspace=0.05, hspace=0.16)
    for line, (kind, number) in zip(axes, FIELDS.items(), strict=True):
        places, panels = maps(model, FieldPrior(kinds=(kind,), split="test", domains=("square",), each=8)[number])
        low, high = np.percentile(panels[0], (0.5, 99.5))
        most = float(np.percentile(panels[3], 99))
        for i, (axis, panel) in enumerate(zip(line, panels, strict=True)):
            scale = {"cmap": VALUES, "vmin": low, "vmax": high} if i < 3 else {"cmap": WRONG, "vmin": 0, "vmax": most}
            axis.imshow(panel, origin="lower", extent=(0, 1, 0, 1), interpolation="bilinear", **scale)
            axis.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
            for side in axis.spines.values():
                side.set(color="#999999", linewidth=0.5)
        line[0].scatter(places[:, 1], places[:, 0], s=9, c="white", edgecolors=INK, linewidths=0.6)
        line[0].set_ylabel(kind, **FONT)
        for i in (1, 2):
            rmse = np.sqrt(np.mean(panels[i + 2] ** 2))
            line[i].set_xlabel(f"RMSE {rmse:.3f}", **(FONT | {"fontsize": 10.5}), labelpad=3)
        line[3].set_xlabel(f"colours: 0 … {most:.2g}", **(FONT | {"fontsize": 10.5}), labelpad=3)
    for axis, title in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(title, **FONT, pad=6)
    file = BytesIO()
    figure.savefig(file, dpi=92)
    small = BytesIO()
    Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def draw(model: gl.FieldModel, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, sheet(model))
