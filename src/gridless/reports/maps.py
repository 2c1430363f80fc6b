"""A map of an answer: the mean beside its spread, in the coordinates of the data, with the readings in the same colours."""

from typing import TYPE_CHECKING

import numpy as np

from gridless.reports.panels import MEAN, SPREAD, Dots, Ground, Panel, draw_panels

if TYPE_CHECKING:
    import xarray as xr


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
    panels = [_panel(mean, _label(mean, name), MEAN, readings)]
    if error is not None:
        hollow = None if readings is None else (readings[0], readings[1], None)
        shown = error.squeeze().transpose(*mean.dims)
        panels.append(_panel(shown, _label(error, name, "standard error"), SPREAD, hollow))
    y, x = (mean[dim] for dim in mean.dims)
    units = (str(y.attrs.get("units", "")), str(x.attrs.get("units", "")))
    return draw_panels(panels, Ground(y.values, x.values, (str(y.name), str(x.name)), units))


def _panel(array: "xr.DataArray", label: tuple[str, str], colours: str, dots: Dots | None) -> Panel:
    values = array.values
    every = [values[np.isfinite(values)].ravel(), *([] if dots is None or dots[2] is None else [dots[2]])]
    numbers = np.concatenate(every)
    if not numbers.size:
        raise ValueError("the answer is NaN everywhere: no place of it lies in the field's domain")
    title, unit = label
    return Panel(title, values, unit, colours, float(numbers.min()), float(numbers.max()), dots)


def _label(array: "xr.DataArray", name: str, what: str = "") -> tuple[str, str]:
    """What a panel shows, and in which unit."""
    return f"{name}, {what}" if what else name, str(array.attrs.get("units", ""))
