"""A map of an answer: the mean and its spread, in the coordinates of the data, with the readings in the same colours."""

from typing import TYPE_CHECKING

import numpy as np

from gridless.reports.panels import MEAN, SPREAD, Dots, Ground, Panel, draw_panels

if TYPE_CHECKING:
    import xarray as xr

FAR = 2e4  # metres, from which kilometres are easier to read


def draw_map(dataset: "xr.Dataset", name: str, readings: Dots | None = None) -> bytes:
    """A PNG of the variable `name` and, if it is there, its standard error. `readings`: their y, x and values. Raises
    ValueError for an answer that is no map or NaN everywhere, ImportError without matplotlib."""
    mean = _upright(dataset[name].squeeze())
    error = dataset.get(f"{name}_standard_error")
    y, x = (mean[dim] for dim in mean.dims)
    dots = None if readings is None else (_scaled(y, readings[0]), _scaled(x, _named(x, readings[1])), readings[2])
    panels = [_panel(mean, _label(mean, name), MEAN, dots)]
    if error is not None:
        hollow = None if dots is None else (dots[0], dots[1], None)
        shown = _upright(error.squeeze()).transpose(*mean.dims)
        panels.append(_panel(shown, _label(error, name, "standard error"), SPREAD, hollow))
    ground = Ground(_scaled(y, y.values), _scaled(x, x.values), (str(y.name), str(x.name)), (_unit(y), _unit(x)))
    return draw_panels(panels, ground)


def _panel(array: "xr.DataArray", label: tuple[str, str], colours: str, dots: Dots | None) -> Panel:
    values = array.values
    known = values[np.isfinite(values)].ravel()
    if not known.size:
        raise ValueError("the answer is NaN everywhere: no place of it lies in the field's domain")
    numbers = known if dots is None or dots[2] is None else np.concatenate([known, dots[2]])
    title, unit = label
    return Panel(title, values, unit, colours, float(numbers.min()), float(numbers.max()), dots)


def _upright(values: "xr.DataArray") -> "xr.DataArray":
    """(y, x), whatever the order in the file."""
    if values.ndim != 2:
        sizes = ", ".join(f"{dim} {n}" for dim, n in values.sizes.items()) or "none"
        raise ValueError(f"a map has two axes, this answer has {sizes}; write .nc, or choose one along the others")
    first = values[values.dims[0]].attrs
    turned = first.get("units") == "degrees_east" or first.get("axis") == "X"
    return values.transpose() if turned else values


def _named(x: "xr.DataArray", east: np.ndarray) -> np.ndarray:
    """Longitudes by the names that the map has for them."""
    if x.attrs.get("units") != "degrees_east":
        return east
    first = float(x.min()) - float(np.ptp(x.values)) / max(len(x) - 1, 1)
    return first + np.mod(east - first, 360)


def _scaled(coordinate: "xr.DataArray", values: np.ndarray) -> np.ndarray:
    """Kilometres instead of many metres."""
    return values / 1000 if _in_kilometres(coordinate) else values


def _unit(coordinate: "xr.DataArray") -> str:
    return "km" if _in_kilometres(coordinate) else str(coordinate.attrs.get("units", ""))


def _in_kilometres(coordinate: "xr.DataArray") -> bool:
    return coordinate.attrs.get("units") == "m" and float(np.abs(coordinate.values).max()) > FAR


def _label(array: "xr.DataArray", name: str, what: str = "") -> tuple[str, str]:
    """What a panel shows, and in which unit."""
    return f"{name}, {what}" if what else name, str(array.attrs.get("units", ""))
