"""Maps beside or below one another, in the coordinates of the data: readings as dots, grey where nothing is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from gridless.reports.plots import GREY, blank

MEAN, SPREAD = "viridis", "magma_r"
GROUND = "#e4e5e8"  # where nothing is known: land
FLATTEST, TALLEST = 0.15, 2.0  # height over width of a map
BELOW = 0.35  # flatter maps than this stand below one another
LONG, SHORT, HEIGHT = (
    10.5,
    5.6,
    5.2,
)  # inches: the width of a map that stands alone in its row, of others, at most so high
IN_A_ROW = 3
INK = "#30343b"
Dots = tuple[Shaped[np.ndarray, " N"], Shaped[np.ndarray, " N"], Float[np.ndarray, " N"] | None]


@dataclass(frozen=True, eq=False)
class Ground:
    """Where the cells of a map lie: their centres, what the axes are called, and their units."""

    y: Shaped[np.ndarray, " H"]
    x: Shaped[np.ndarray, " W"]
    names: tuple[str, str]
    units: tuple[str, str]

    @property
    def geographic(self) -> bool:
        return self.units == ("degrees_north", "degrees_east")

    @property
    def aspect(self) -> float:
        """Of a unit of y to one of x: degrees of longitude are as short as in the middle of the map; units that are alike
        are drawn alike."""
        if self.geographic:
            return 1 / max(0.3, float(np.cos(np.radians((float(self.y.min()) + float(self.y.max())) / 2))))
        return 1.0 if self.units[0] == self.units[1] else 0.6 * _length(self.x) / _length(self.y)

    @property
    def tall(self) -> float:
        """Height over width, as far as a map can be drawn."""
        return float(np.clip(_length(self.y) * self.aspect / _length(self.x), FLATTEST, TALLEST))


@dataclass(frozen=True, eq=False)
class Panel:
    """One map (H W) in its colours, from `low` to `high`; NaN is not known. `dots`: y, x and values of readings, which are
    hollow where the values are None. `blank`: no colours, only where the map has values."""

    title: str
    values: Float[np.ndarray, "H W"]
    label: str
    colours: str
    low: float
    high: float
    dots: Dots | None = None
    blank: bool = False


def draw_panels(panels: Sequence[Panel], ground: Ground, title: str = "") -> bytes:
    """A PNG of all panels: below one another where the ground is flat, else up to three in a row."""
    tall = ground.tall
    flat = tall < BELOW
    columns = 1 if flat else min(IN_A_ROW, len(panels))
    rows = -(-len(panels) // columns)
    width = LONG if flat else SHORT if tall <= 1 else SHORT / tall
    width = min(width, 1.2 * LONG / columns)
    height = min(HEIGHT, width * tall)
    size = (columns * (width + 0.2) + 1.2, rows * (height + (0.55 if flat else 1.0)) + (0.4 if title else 0.0) + 0.2)
    figure = blank(*size)
    figure.patch.set_facecolor("white")
    if title:
        figure.suptitle(title, fontsize=13, x=0.01, ha="left", color=INK)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        drawn = draw_panel(axes, panel, ground, tall)
        name_axes(axes, ground, number % columns == 0, not flat or number == len(panels) - 1)
        placed: dict[str, Any] = (
            {"orientation": "vertical", "pad": 0.01, "aspect": 9, "fraction": 0.05}
            if flat
            else {"orientation": "horizontal", "pad": 0.03, "aspect": 32, "fraction": 0.06}
        )
        bar = figure.colorbar(drawn, ax=axes, **placed)
        bar.set_label(panel.label, color=INK, fontsize=9)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=GREY, labelsize=8, length=0)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def draw_panel(axes: Any, panel: Panel, ground: Ground, tall: float) -> Any:
    """One map on matplotlib's axes, `tall` times as high as wide; what its colour bar shows."""
    shades: dict[str, Any] = {"cmap": panel.colours, "vmin": panel.low, "vmax": panel.high}
    axes.set_facecolor(GROUND)
    shown = np.ma.masked_invalid(panel.values)
    drawn = axes.pcolormesh(ground.x, ground.y, shown, shading="nearest", rasterized=True, **shades)
    if panel.blank:
        paper: dict[str, Any] = {"cmap": "Greys", "vmin": 0, "vmax": 1}
        axes.pcolormesh(ground.x, ground.y, 0 * shown, shading="nearest", rasterized=True, **paper)
    if panel.dots is not None:
        north, east, seen = panel.dots
        filled = {"c": seen, "edgecolors": INK if panel.blank else "white", **shades}
        about: dict[str, Any] = {"facecolors": "none", "edgecolors": INK} if seen is None else filled
        size = float(np.clip(2400 / max(len(north), 1), 6, 34))
        axes.scatter(east, north, s=size, linewidths=0.6, zorder=3, clip_on=False, **about)
    axes.set_xlim(float(np.min(ground.x)), float(np.max(ground.x)))
    axes.set_ylim(float(np.min(ground.y)), float(np.max(ground.y)))
    axes.set_aspect(tall * _length(ground.x) / _length(ground.y))
    if panel.title:
        axes.set_title(panel.title, loc="left", fontsize=10, color=INK)
    axes.tick_params(colors=GREY, labelsize=9, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return drawn


def name_axes(axes: Any, ground: Ground, left: bool, bottom: bool) -> None:
    """Degrees, or names and units, at the `left` and at the `bottom` of a page."""
    if ground.geographic:
        axes.yaxis.set_major_formatter(lambda value, _: _degrees(value, "N", "S"))
        axes.xaxis.set_major_formatter(lambda value, _: _degrees((value + 180) % 360 - 180, "E", "W"))
    else:
        names = [f"{name} ({unit})" if unit else name for name, unit in zip(ground.names, ground.units, strict=True)]
        axes.set_ylabel(names[0] if left else "", color=GREY)
        axes.set_xlabel(names[1] if bottom else "", color=GREY)
    if not bottom:
        axes.set_xticklabels([])


def _degrees(value: float, above: str, below: str) -> str:
    rounded = round(value, 3)
    side = "" if rounded in (0, -180) else above if rounded > 0 else below
    return f"{abs(rounded):g}°{side}"


def _length(centres: Shaped[np.ndarray, " n"]) -> float:
    """From the first centre to the last, in units of its own; a little where there is one."""
    return max(float(np.ptp(np.asarray(centres).astype(np.float64))), 1e-12)
