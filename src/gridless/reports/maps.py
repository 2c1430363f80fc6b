"""A map of an answer: the mean and its spread, in the coordinates of the data, with the readings in the same colours."""

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from gridless.reports.plots import GREY, blank

if TYPE_CHECKING:
    import xarray as xr

MEAN, SPREAD = "viridis", "magma_r"
WIDTH, HEIGHT = 5.6, 5.2  # inches of a panel, at most
FLAT = 0.45  # height over width of a map, below which mean and spread lie above one another
THIN = 0.2  # … that is drawn higher than it is, to be seen at all
EMPTY = "#e9eaec"  # where nothing is known
FAR = 2e4  # metres, from which kilometres are easier to read
NAMES = {"degrees_north": "°N", "degrees_east": "°E"}

Dots = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Readings: their y, x and values."""


def draw_map(dataset: "xr.Dataset", name: str, readings: Dots | None = None) -> bytes:
    """A PNG of the variable `name` and, if it is there, its standard error. Raises ValueError for an answer that is no map
    or NaN everywhere, ImportError without matplotlib."""
    mean = _upright(dataset[name].squeeze())
    error = dataset.get(f"{name}_standard_error")
    y, x = (mean[dim] for dim in mean.dims)
    ratio, tall = _shape(y, x)
    stacked = tall < FLAT
    count = 1 if error is None else 2
    width = 2 * WIDTH if stacked and count > 1 else WIDTH / max(tall, 1)
    height = min(HEIGHT, width * tall) + 1.4
    figure = blank((1 if stacked else count) * (width + 0.9), (count if stacked else 1) * height)
    figure.patch.set_facecolor("white")
    for number in range(count):
        values = mean if error is None or number == 0 else _upright(error.squeeze())
        axes = figure.add_subplot(count if stacked else 1, 1 if stacked else count, number + 1)
        label = _label(values, name) if number == 0 else _label(values, name, "standard error")
        colours = (MEAN, SPREAD)[number]
        drawn = _panel(axes, values.values, y, x, colours, readings, filled=number == 0)
        axes.set_aspect(ratio)
        axes.set_xlabel(_axis_label(x) if not stacked or number == count - 1 else "", color=GREY)
        axes.set_ylabel(_axis_label(y) if stacked or number == 0 else "", color=GREY)
        bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", fraction=0.06, pad=0.03, aspect=32)
        bar.set_label(label)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        bar.ax.tick_params(colors=GREY, labelsize=9, length=0)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _panel(
    axes: Any, values: np.ndarray, y: "xr.DataArray", x: "xr.DataArray", colours: str, dots: Dots | None, filled: bool
) -> Any:
    """Values with the readings on them: `filled` in their colours, else as rings."""
    low, high = _range(values, dots if filled else None)
    shades: dict[str, Any] = {"cmap": colours, "vmin": low, "vmax": high}
    axes.set_facecolor(EMPTY)
    shown = np.ma.masked_invalid(values)
    drawn = axes.pcolormesh(_numbers(x), _numbers(y), shown, shading="nearest", rasterized=True, **shades)
    if dots is not None:
        north, east, seen = dots
        if x.attrs.get("units") == "degrees_east":  # by the names that the map has for them
            first = float(x.min()) - float(np.ptp(x.values)) / max(len(x) - 1, 1)
            east = first + np.mod(east - first, 360)
        look: dict[str, Any] = {"c": seen, "edgecolors": "white", **shades}
        if not filled:
            look = {"c": "none", "edgecolors": "#30343b"}
        size = float(np.clip(2400 / max(len(seen), 1), 6, 34))
        axes.scatter(_scaled(x, east), _scaled(y, north), s=size, linewidths=0.6, zorder=3, **look)
    axes.set_xlim(_numbers(x).min(), _numbers(x).max())
    axes.set_ylim(_numbers(y).min(), _numbers(y).max())
    axes.tick_params(colors=GREY, labelsize=9, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return drawn


def _upright(values: "xr.DataArray") -> "xr.DataArray":
    """(y, x), whatever the order in the file."""
    if values.ndim != 2:
        sizes = ", ".join(f"{dim} {n}" for dim, n in values.sizes.items()) or "none"
        raise ValueError(f"a map has two axes, this answer has {sizes}; write .nc, or choose one along the others")
    first = values[values.dims[0]].attrs
    turned = first.get("units") == "degrees_east" or first.get("axis") == "X"
    return values.transpose() if turned else values


def _shape(y: "xr.DataArray", x: "xr.DataArray") -> tuple[Any, float]:
    """A unit of y over one of x as they are drawn, and the height of the map over its width. Degrees of longitude are as
    short as in the middle of the map; units that are alike are drawn alike."""
    units, extent = (y.attrs.get("units"), x.attrs.get("units")), [float(np.ptp(_numbers(c))) or 1.0 for c in (y, x)]
    if units == ("degrees_north", "degrees_east"):
        ratio = 1 / max(0.3, float(np.cos(np.radians((float(y.min()) + float(y.max())) / 2))))
    elif units[0] == units[1]:
        ratio = 1.0
    else:
        return "auto", 0.7
    tall = extent[0] * ratio / extent[1]
    return (ratio, tall) if THIN <= tall <= 1 / THIN else ("auto", float(np.clip(tall, THIN, 1 / THIN)))


def _range(values: np.ndarray, dots: Dots | None) -> tuple[float, float]:
    known = np.concatenate([values[np.isfinite(values)].ravel(), *([] if dots is None else [dots[2]])])
    if not np.isfinite(values).any():
        raise ValueError("the answer is NaN everywhere: no place of it lies in the field's domain")
    return float(known.min()), float(known.max())


def _numbers(coordinate: "xr.DataArray") -> np.ndarray:
    """What stands along the axis; kilometres instead of many metres."""
    return _scaled(coordinate, coordinate.values)


def _scaled(coordinate: "xr.DataArray", values: np.ndarray) -> np.ndarray:
    return values / 1000 if _in_kilometres(coordinate) else values


def _in_kilometres(coordinate: "xr.DataArray") -> bool:
    return coordinate.attrs.get("units") == "m" and float(np.abs(coordinate.values).max()) > FAR


def _label(array: "xr.DataArray", name: str, what: str = "") -> str:
    unit = array.attrs.get("units", "")
    text = f"{name}, {what}" if what else name
    return f"{text} ({unit})" if unit else text


def _axis_label(coordinate: "xr.DataArray") -> str:
    unit = "km" if _in_kilometres(coordinate) else str(coordinate.attrs.get("units", ""))
    return f"{coordinate.name} ({NAMES.get(unit, unit)})" if unit else str(coordinate.name)
