"""Fields of an archive in five maps: what the sensors read, the truth, the answer, how sure it is, and how wrong."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gridless.coords import grid
from gridless.data.pictures import safe_name
from gridless.data.signals import GridSignal
from gridless.domain import Domain
from gridless.protocols import Case, Task
from gridless.reports.panels import MEAN, SPREAD, Ground, Panel, draw_panels
from gridless.scoring.evaluate import Encoder, Prediction, predictions

FIELDS = 3  # are drawn, spread evenly over the split
FAR = 0.995  # of the errors lie below the end of their colours


def map_fields(model: Encoder, data: Sequence, task: Task, folder: str | Path) -> None:
    """<name>.png of a few fields that were measured on a grid of two axes with a domain, at the middle count of sensors."""
    folder = Path(folder)
    if task.kind != "sparse-field":
        return
    for index in sorted({round(share * (len(data) - 1)) for share in np.linspace(0, 1, FIELDS)}):
        signal = data[index]
        if not isinstance(signal, GridSignal) or signal.axes != 2 or signal.domain is None:
            continue
        case = next(iter(task.for_validation().cases([signal])))
        folder.mkdir(parents=True, exist_ok=True)
        name = safe_name(case.name.replace(" ", "-"))
        (folder / f"{name}.png").write_bytes(field_map(model, signal, signal.domain, case))


def field_map(model: Encoder, signal: GridSignal, domain: Domain, case: Case) -> bytes:
    """A PNG of the first channel. Readings, truth and answer share one range of colours, spread and error another."""
    truth = signal.values[..., 0].astype(np.float64)
    truth = truth if signal.mask is None else np.where(signal.mask, truth, np.nan)
    known = np.isfinite(truth)
    places = grid(*signal.shape, dtype=case.samples.values.dtype)[torch.from_numpy(known.ravel())]
    answer = predictions(model, [Case(case.name, case.samples, truth[known][:, None], coords=places)])[0]
    mean, std = _on_map(answer, known)
    at, seen = domain.to_user(case.samples.point_coords[0]), case.samples.values[0, :, 0].numpy()
    y, x = (axis.name for axis in domain.axes)
    unit = domain.quantities[0].unit if domain.quantities else ""
    wrong = np.abs(mean - truth)
    rmse = float(np.sqrt(np.mean(wrong[known] ** 2)))
    low, high = float(min(truth[known].min(), seen.min())), float(max(truth[known].max(), seen.max()))
    far = float(np.nanquantile(wrong if std is None else np.stack([wrong, std]), FAR))
    filled, hollow = (at[y], at[x], seen), (at[y], at[x], None)
    panels = [
        Panel(f"{len(seen)} readings", truth, unit, MEAN, low, high, filled, blank=True),
        Panel("truth", truth, unit, MEAN, low, high),
        Panel("answer", mean, unit, MEAN, low, high),
        *([] if std is None else [Panel("how sure it is: standard deviation", std, unit, SPREAD, 0, far, hollow)]),
        Panel(f"how wrong it is: absolute error, RMSE {rmse:.3g} {unit}".rstrip(), wrong, unit, SPREAD, 0, far, hollow),
    ]
    return draw_panels(panels, ground_of(signal.shape, domain), case.name)


def ground_of(shape: tuple[int, ...], domain: Domain) -> Ground:
    """Where the cells of a grid of two axes lie."""
    middle = torch.full((max(shape), 2), 0.5, dtype=torch.float64)
    centres = []
    for i, (axis, n) in enumerate(zip(domain.axes, shape, strict=True)):
        line = middle[:n].clone()
        line[:, i] = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        centres.append(domain.to_user(line)[axis.name])
    (a, b) = domain.axes
    return Ground(centres[0], centres[1], (a.name, b.name), (a.unit, b.unit))


def _on_map(answer: Prediction, known: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean and spread as maps, NaN where nothing was asked."""
    maps = []
    for values in (answer.mean, answer.std):
        if values is None:
            maps.append(None)
            continue
        shown = np.full(known.shape, np.nan)
        shown[known] = values[:, 0]
        maps.append(shown)
    return maps[0], maps[1]
