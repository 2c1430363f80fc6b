"""A map of numbers in the coordinates of its domain, and where on it a pixel lies."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from gridless.coords import grid
from gridless.demo.readings import Readings, map_shape
from gridless.reports.panels import GROUND, INK, MEAN, SPREAD, Ground, name_axes
from gridless.reports.plots import blank

DOTS = 160  # an inch
WIDTH, LONGEST = 5.6, 5.2  # inches of a figure, and of its axes at most
LEFT, RIGHT, TOP, BOTTOM = 0.78, 0.14, 0.14, 1.12  # inches around the axes


@dataclass(frozen=True, eq=False)
class Answer:
    """Mean and spread over the cells of a map."""

    mean: Float[np.ndarray, "H W"]
    spread: Float[np.ndarray, "H W"]


@dataclass(frozen=True)
class Frame:
    """Where the axes lie in a picture, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def place(self, column: float, row: float) -> tuple[float, float] | None:
        """u of a pixel, (up, across) in [0, 1]; None beside the map."""
        up = (self.bottom - row) / (self.bottom - self.top)
        across = (column - self.left) / (self.right - self.left)
        return (up, across) if 0 <= up <= 1 and 0 <= across <= 1 else None


def answer(readings: Readings) -> Answer | None:
    """Mean and standard deviation of the field of the readings; None where those say too little (`Readings.wanting`)."""
    if readings.wanting() is not None:
        return None
    shape = map_shape(readings.domain)
    with torch.no_grad():
        mean, spread = readings.field().mean_and_std(grid(*shape, dtype=torch.float64))
    return Answer(mean[:, 0].double().numpy().reshape(shape), spread[:, 0].double().numpy().reshape(shape))


def frame_of(readings: Readings) -> Frame:
    """The same for every map of these readings."""
    high, wide = _inches(readings)
    return Frame(DOTS * LEFT, DOTS * TOP, DOTS * (LEFT + wide), DOTS * (TOP + high))


def draw(
    readings: Readings, answer: Answer | None, what: str = "mean", selected: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A map of the `mean` (readings in the same colours) or the `spread` (readings hollow), the selected reading ringed."""
    ground, (high, wide) = _ground(readings), _inches(readings)
    width, height = LEFT + wide + RIGHT, TOP + high + BOTTOM
    figure = blank(width, height)
    figure.set_layout_engine("none")
    figure.set_dpi(DOTS)
    figure.patch.set_facecolor("white")
    axes = figure.add_axes((LEFT / width, BOTTOM / height, wide / width, high / height))
    axes.set_facecolor(GROUND)
    ends = [(axis.start, axis.start + axis.length) for axis in readings.domain.axes]
    shades = _shades(readings, answer, what)
    if answer is not None:
        values = answer.mean if what == "mean" else answer.spread
        drawn = axes.imshow(
            values, origin="lower", extent=(*ends[1], *ends[0]), aspect="auto", interpolation="bicubic", **shades
        )
        below = figure.add_axes((LEFT / width, 0.46 / height, wide / width, 0.12 / height))
        bar = figure.colorbar(drawn, cax=below, orientation="horizontal")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        bar.ax.tick_params(colors=INK, labelsize=8, length=0)
        bar.set_label(_label(readings, what), color=INK, fontsize=9)
    _draw_readings(axes, readings, answer, what, selected, shades)
    axes.set_xlim(*ends[1])
    axes.set_ylim(*ends[0])
    axes.tick_params(colors=INK, labelsize=8.5, length=0)
    name_axes(axes, ground, True, True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # pyright: ignore[reportAttributeAccessIssue]


def _draw_readings(
    axes: Any, readings: Readings, answer: Answer | None, what: str, selected: int | None, shades: dict
) -> None:
    if not len(readings):
        return
    y, x, values = readings.rows.T
    size = float(np.clip(2400 / len(y), 14, 44))
    inked = {"facecolors": "none", "edgecolors": INK, "linewidths": 0.9}
    filled = {"c": values, "edgecolors": "white", "linewidths": 0.9, **shades}
    about: dict[str, Any] = filled if what == "mean" else inked
    axes.scatter(x, y, s=size, zorder=3, clip_on=False, **about)
    if selected is not None:
        ring = {"s": 7 * size, "facecolors": "none", "clip_on": False}
        for colour, thick in (("white", 3.2), ("#111418", 1.6)):
            axes.scatter(x[selected], y[selected], edgecolors=colour, linewidths=thick, zorder=4, **ring)


def _shades(readings: Readings, answer: Answer | None, what: str) -> dict[str, Any]:
    if answer is None:
        return {"cmap": MEAN, "vmin": 0, "vmax": 1}
    if what == "mean":
        both = np.concatenate([answer.mean.ravel(), readings.rows[:, 2]])
        return {"cmap": MEAN, "vmin": float(both.min()), "vmax": max(float(both.max()), float(both.min()) + 1e-9)}
    return {"cmap": SPREAD, "vmin": 0.0, "vmax": max(float(answer.spread.max()), 1e-9)}


def _label(readings: Readings, what: str) -> str:
    quantity = readings.quantity
    name = quantity.name if what == "mean" else f"{quantity.name}, standard deviation"
    name = name if len(name) <= 60 else f"{name[:59]}…"
    return _plain(f"{name} ({quantity.unit})" if quantity.unit else name)


def _plain(text: str) -> str:
    """Not as mathematics, which matplotlib sees between dollars."""
    return text.replace("$", r"\$")


def _ground(readings: Readings) -> Ground:
    centres = []
    for axis, count in zip(readings.domain.axes, map_shape(readings.domain), strict=True):
        centres.append(axis.start + axis.length * (np.arange(count) + 0.5) / count)
    names = tuple(_plain(axis.name if len(axis.name) <= 40 else f"{axis.name[:39]}…") for axis in readings.domain.axes)
    units = tuple(_plain(axis.unit) for axis in readings.domain.axes)
    return Ground(centres[0], centres[1], (names[0], names[1]), (units[0], units[1]))


def _inches(readings: Readings) -> tuple[float, float]:
    """Height and width of the axes."""
    wide = WIDTH - LEFT - RIGHT
    high = wide * _ground(readings).tall
    shrink = min(1.0, LONGEST / high)
    return high * shrink, wide * shrink
