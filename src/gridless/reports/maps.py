"""A map of an answer: the mean beside its spread, in the coordinates of the data, with the readings in the same colours."""

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from gridless.reports.plots import GREY, blank

if TYPE_CHECKING:
    import xarray as xr

MEAN, SPREAD = "viridis", "magma_r"
WIDTH, HEIGHT = 5.6, 5.2  # inches of a panel, at most
LARGEST = 2000  # samples along an axis that a picture can show


def draw_map(
    dataset: "xr.Dataset", name: str, readings: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
) -> bytes:
    """A PNG of the variable `name` and, if it is there, its standard error. `readings`: their y, x and values. Raises
    ValueError for an answer that is no map, ImportError without matplotlib."""
    mean = dataset[name].squeeze()
    if mean.ndim != 2:
        sizes = ", ".join(f"{dim} {n}" for dim, n in mean.sizes.items())
        raise ValueError(
            f"a map has two axes, this answer has {sizes or 'none'}; write .nc, or choose one along the others"
        )
    error = dataset.get(f"{name}_standard_error")
    panels = [(mean, MEAN, _label(mean, name))]
    if error is not None:
        panels.append((error.squeeze(), SPREAD, _label(error, name, "standard error")))
    y, x = _axes(mean)
    ratio = _aspect(y, x)
    tall = float(np.clip(np.ptp(np.asarray(y)) * ratio / max(float(np.ptp(np.asarray(x))), 1e-12), 0.15, 2.0))
    width = WIDTH if tall <= 1 else WIDTH / tall
    figure = blank(len(panels) * (width + 0.9), min(HEIGHT, width * tall) + 1.5)
    figure.patch.set_facecolor("white")
    for column, (values, colours, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), column + 1)
        shown = values.transpose(*mean.dims).values
        low, high = _range(shown, readings if column == 0 else None)
        axes.set_facecolor("#e9eaec")
        shades: dict[str, Any] = {"cmap": colours, "vmin": low, "vmax": high}
        drawn = axes.pcolormesh(x, y, np.ma.masked_invalid(shown), shading="nearest", rasterized=True, **shades)
        if readings is not None:
            north, east, seen = readings
            if x.attrs.get("units") == "degrees_east":  # by the names that the map has for them
                first = float(np.min(x)) - (float(np.max(x)) - float(np.min(x))) / max(len(x) - 1, 1)
                east = first + np.mod(east - first, 360)
            dots: dict[str, Any] = {"c": seen, "edgecolors": "white", **shades}
            if column > 0:
                dots = {"c": "none", "edgecolors": "#30343b"}
            axes.scatter(east, north, s=_size(len(seen)), linewidths=0.6, zorder=3, **dots)
        axes.set_aspect(ratio)
        axes.set_xlim(float(np.min(x)), float(np.max(x)))
        axes.set_ylim(float(np.min(y)), float(np.max(y)))
        axes.set_xlabel(_axis_label(x), color=GREY)
        axes.set_ylabel(_axis_label(y) if column == 0 else "", color=GREY)
        axes.tick_params(colors=GREY, labelsize=9, length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", fraction=0.06, pad=0.03, aspect=32)
        bar.set_label(label)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=GREY, labelsize=9, length=0)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _axes(mean: "xr.DataArray") -> tuple["xr.DataArray", "xr.DataArray"]:
    """The vertical and the horizontal coordinate of the array: latitude upwards, whatever the order."""
    y, x = (mean[dim] for dim in mean.dims)
    return y, x


def _aspect(y: "xr.DataArray", x: "xr.DataArray") -> Any:
    """Degrees of longitude are as short as they are in the middle of the map; units that are alike are drawn alike."""
    units = str(y.attrs.get("units", "")), str(x.attrs.get("units", ""))
    if units == ("degrees_north", "degrees_east"):
        return 1 / max(0.3, float(np.cos(np.radians((float(y.min()) + float(y.max())) / 2))))
    if units[0] == units[1]:
        return 1.0
    return float(np.ptp(x.values)) / max(float(np.ptp(y.values)), 1e-12) * 0.6


def _range(values: np.ndarray, readings: tuple[np.ndarray, np.ndarray, np.ndarray] | None) -> tuple[float, float]:
    every = [values[np.isfinite(values)].ravel(), *([] if readings is None else [readings[2]])]
    numbers = np.concatenate(every)
    if not numbers.size:
        raise ValueError("the answer is NaN everywhere: no place of it lies in the field's domain")
    return float(numbers.min()), float(numbers.max())


def _size(count: int) -> float:
    return float(np.clip(2400 / max(count, 1), 6, 34))


def _label(array: "xr.DataArray", name: str, what: str = "") -> str:
    unit = array.attrs.get("units", "")
    text = f"{name}, {what}" if what else name
    return f"{text} ({unit})" if unit else text


def _axis_label(coordinate: "xr.DataArray") -> str:
    unit = str(coordinate.attrs.get("units", ""))
    unit = {"degrees_north": "°N", "degrees_east": "°E"}.get(unit, unit)
    return f"{coordinate.name} ({unit})" if unit else str(coordinate.name)
