"""evaluate(): models and bases answer the same cases; one row per case, model and metric.

A model is anything with `encode(samples) -> field`. Cases come from a task; what is measured of an answer depends on the
kind of data alone (`MEASURES`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from gridless.data import write_photo
from gridless.data.pictures import safe_name
from gridless.data.sources import signals as as_signals
from gridless.field import Field
from gridless.model import FieldModel
from gridless.protocols import Base, Case, Task
from gridless.samples import Samples
from gridless.scoring import metrics
from gridless.scoring.results import COLUMNS, TAGS

PICTURED = 24  # cases of a kind are saved for the report
VALUES_AT_ONCE = 1 << 18  # of small cases answered together
RESERVED = ("input", "truth")  # names of files beside the models' pictures


@runtime_checkable
class Encoder(Protocol):
    """What can be evaluated."""

    def encode(self, samples: Samples) -> Field: ...


@dataclass(frozen=True)
class Baseline:
    """A base alone, as something that can be evaluated."""

    base: Base

    def encode(self, samples: Samples) -> Field:
        return Field(samples, self.base.solve(samples))


@dataclass(frozen=True, eq=False)
class Prediction:
    """One model's answer to one case; `apart`: that of a joint field asked little at a time."""

    mean: Float[np.ndarray, "*asked C"]
    std: Float[np.ndarray, "*asked C"] | None = None
    apart: Float[np.ndarray, "*asked C"] | None = None


def evaluate(
    models: Mapping[str, Encoder] | Sequence[Encoder] | Encoder,
    data: Sequence,
    task: Task,
    *,
    label: str = "data",
    split: str = "test",
    facts: Mapping[str, Mapping[str, object]] | None = None,
    save: str | Path | None = None,
    measures: Mapping[str, "Measure"] | None = None,
) -> list[dict]:
    """Rows with the columns of results.csv.

    `models`: a dictionary of names and models or bases; a sequence is called by the models' own names. `data`: any sequence
    of arrays, Samples, pictures, paths or signals. `label`, `split`: what the rows say of the data. `facts`: a model's
    train_seconds and seed, by its name. `save`: a folder for the pictures of the first cases,
    <case>/x<scale>/{input, truth, <model>}.png. `measures`: further metrics by name, each a function of an answer
    (`Prediction`) and its `Case`; None of one leaves the row out. Raises ValueError where two models would share a name.
    """
    models = named(models)
    rows, pictured, facts = [], 0, facts or {}
    channels = next((m.config.signal.channels for m in models.values() if isinstance(m, FieldModel)), None)
    for group in alike(task.cases(as_signals(data, channels))):
        answers = {name: predictions(model, group) for name, model in models.items()}
        for i, case in enumerate(group):
            if save is not None and case.kind == "picture" and pictured < PICTURED * len(models):
                pictured += len(models)
                _save(Path(save), case, {name: answers[name][i] for name in models})
            for name, model in models.items():
                row = {
                    "model": name, "task": task.kind, "data": case.tags.get("family") or label, "split": split,
                    "image": case.name, "params": _parameters(model),
                    "train_seconds": facts.get(name, {}).get("train_seconds", ""),
                    "seed": facts.get(name, {}).get("seed", ""),
                }  # fmt: skip
                row |= {tag: "" if (value := case.tags.get(tag)) is None else _text(value) for tag in TAGS}
                scores = measure(answers[name][i], case, measures or {})
                floats = getattr(model, "latent_floats", None)
                if floats is not None and task.kind == "reconstruction":
                    scores["floats_per_value"] = floats(case.samples.shape) / case.truth.size
                rows += [{**row, "metric": metric, "value": value} for metric, value in scores.items()]
    return [{column: row[column] for column in COLUMNS} for row in rows]


def validation_scores(model: FieldModel, data: Sequence, task: Task) -> dict[str, float]:
    """While a model trains: its mean PSNR, CRPS if it has a spread, and the gain over its base where grids are finer."""
    scores: dict[str, list[float]] = {}
    model.eval()
    task = task.for_validation()
    for group in alike(task.cases(data)):
        answers = predictions(model, group)
        for case, answer in zip(group, answers, strict=True):
            value, scale, noise = psnr(answer, case), case.tags.get("scale"), case.tags.get("noise")
            names = ["val_psnr_noisy" if noise else "val_psnr"]
            if case.tags.get("family") is not None:
                names.append(f"{names[0]}_{case.tags['family']}")
            for name in names:
                scores.setdefault(name, []).append(value)
            if (crps := _crps(answer, case)) is not None:
                scores.setdefault("val_crps", []).append(crps)
            if scale not in (None, 1.0):
                base = psnr(predictions(Baseline(model.base), [case])[0], case)
                scores.setdefault(f"val_gain_x{_text(scale)}", []).append(value - base)
    return {
        name: round(float(np.mean(values)), 4 + 2 * ("crps" in name))
        for name, values in scores.items()
        if np.isfinite(values).all()
    }


def named(models: Mapping[str, Encoder] | Sequence[Encoder] | Encoder) -> dict[str, Encoder]:
    """Models by their names. Raises ValueError where two have one name, and for names that no file can have."""
    if isinstance(models, Mapping):
        by_name = dict(models)
    else:
        several = [models] if isinstance(models, Encoder) else list(models)
        names = [getattr(model, "name", type(model).__name__) for model in several]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"several models are called {', '.join(twice)}; give a dictionary with a name for each")
        by_name = dict(zip(names, several, strict=True))
    for name, model in by_name.items():
        if not name or name in RESERVED or name != Path(name).name or name.startswith("."):
            raise ValueError(f"{name!r} cannot be the name of a model: it names a file beside {' and '.join(RESERVED)}")
        if not hasattr(model, "encode"):
            raise ValueError(f"{name} is a {type(model).__name__} without encode(samples); give a model or a base")
    return by_name


def alike(cases: Iterable[Case]) -> Iterator[list[Case]]:
    """Runs of cases of one shape, so that small ones are answered together: at most VALUES_AT_ONCE values."""
    group: list[Case] = []
    for case in cases:
        full = group and (len(group) + 1) * case.truth.size > VALUES_AT_ONCE
        if group and (full or _shape(case) != _shape(group[0])):
            yield group
            group = []
        group.append(case)
    if group:
        yield group


def _shape(case: Case) -> tuple:
    samples = case.samples
    tags = {name: value for name, value in case.tags.items() if name != "family"}
    domain = samples.domain
    return samples.shape, samples.values.shape, case.truth.shape, case.shape, samples.mask is None, domain, tags


def predictions(model: Encoder, cases: Sequence[Case]) -> list[Prediction]:
    """Cases of one shape, answered together."""
    samples = Samples.stack([case.samples for case in cases])
    device = next(iter(model.parameters())).device if isinstance(model, nn.Module) and _parameters(model) else "cpu"
    with torch.no_grad():
        field = model.encode(samples.to(device))
        if cases[0].shape is not None and not (field.has_spread or field.joint):
            grids = np.asarray(field.to_grid(shape=cases[0].shape).cpu())
            return [Prediction(grid) for grid in (grids if len(cases) > 1 else grids[None])]
        coords = _asked(field, cases).to(device)
        if field.has_spread:
            reading = cases[0].readings and hasattr(field.solved, "reading_variance")
            mean, std = field.mean_and_std(coords, reading=reading)
        else:
            mean, std = field(coords), None
        apart = _apart(field, coords) if field.joint else None
    nothing = [None] * len(cases)
    stds = nothing if std is None else _per_case(std, cases)
    aparts = nothing if apart is None else _per_case(apart, cases)
    return [Prediction(*parts) for parts in zip(_per_case(mean, cases), stds, aparts, strict=True)]


def _per_case(values: torch.Tensor, cases: Sequence[Case]) -> list[np.ndarray]:
    rows = values.reshape(len(cases), -1, values.shape[-1]).cpu().numpy()
    return [row.reshape(case.truth.shape) for row, case in zip(rows, cases, strict=True)]


def _asked(field: Field, cases: Sequence[Case]) -> torch.Tensor:
    if cases[0].shape is not None:
        from gridless.coords import lattice, lattice_points

        axes, _ = lattice(cases[0].shape, field.samples.shape, field.samples.domain)
        return lattice_points(axes, 0, math.prod(cases[0].shape)).to(field.samples.values.dtype)
    return torch.stack([case.coords for case in cases if case.coords is not None])


def _apart(field: Field, coords: torch.Tensor) -> torch.Tensor:
    """At most as many points asked at a time as there are readings, as separate questions."""
    points = coords if coords.ndim == 2 else coords[0]
    every = -(-len(points) // field.samples.values.shape[1])
    parts = [field(points[first::every]) for first in range(every)]
    out = parts[0].new_empty(*parts[0].shape[:-2], len(points), parts[0].shape[-1])
    for first, part in enumerate(parts):
        out[..., first::every, :] = part
    return out


# --- what is measured of an answer, by the kind of data -----------------------------------------------------------------


Measure = Callable[[Prediction, Case], float | None]


def measure(answer: Prediction, case: Case, further: Mapping[str, Measure]) -> dict[str, float]:
    """The metrics of one answer: those of its kind of data, and further ones."""
    scores = {name: metric(answer, case) for name, metric in {**MEASURES[case.kind], **further}.items()}
    return {name: round(value, 6) for name, value in scores.items() if value is not None}


def psnr(answer: Prediction, case: Case) -> float:
    """Of the floats, against the range of the values."""
    mean, truth = known_values(answer.mean, case)
    return metrics.psnr(mean / case.peak, truth / case.peak)


def known_values(values: np.ndarray, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Answer and truth where the truth was measured."""
    truth = case.truth.astype(np.float64) / (255 if case.truth.dtype == np.uint8 else 1)
    values = np.asarray(values, np.float64)
    return (values, truth) if case.measured is None else (values[case.measured], truth[case.measured])


def _rmse(answer: Prediction, case: Case) -> float:
    return metrics.rmse(*known_values(answer.mean, case))


def _relative(answer: Prediction, case: Case) -> float:
    return metrics.relative_l2(*known_values(answer.mean, case))


def _r2(answer: Prediction, case: Case) -> float:
    return metrics.r2(*known_values(answer.mean, case))


def _coverage(answer: Prediction, case: Case, level: float) -> float | None:
    if answer.std is None:
        return None
    mean, truth = known_values(answer.mean, case)
    return metrics.coverage(mean, known_values(answer.std, case)[0], truth, level)


def _crps(answer: Prediction, case: Case) -> float | None:
    if answer.std is None:
        return None
    mean, truth = known_values(answer.mean, case)
    return metrics.crps(mean, known_values(answer.std, case)[0], truth)


def _psnr_apart(answer: Prediction, case: Case) -> float | None:
    return None if answer.apart is None else psnr(Prediction(answer.apart), case)


def _psnr_rgb(answer: Prediction, case: Case) -> float:
    return metrics.psnr_rgb(answer.mean, case.truth / 255)


def _psnr_y_shave(answer: Prediction, case: Case) -> float | None:
    shave = math.ceil(_scale(case))
    if 2 * shave >= min(case.truth.shape[:2]):
        return None
    return metrics.psnr_y_shave(answer.mean, case.truth / 255, shave)


def _ssim(answer: Prediction, case: Case) -> float | None:
    """Not of pictures smaller than its window."""
    return None if min(case.truth.shape[:2]) < 11 else metrics.ssim(answer.mean, case.truth / 255)


def _lr_consistency(answer: Prediction, case: Case) -> float:
    seen = case.samples.on_grid()[0].numpy()
    return metrics.lr_consistency(answer.mean, seen)


def _scale(case: Case) -> float:
    scale = case.tags["scale"]
    return max(map(float, scale.split("×"))) if isinstance(scale, str) else float(scale or 1)


def _finer(metric: Callable[[Prediction, Case], float | None]) -> Callable[[Prediction, Case], float | None]:
    """A metric of pictures that are asked at another size than they are seen."""
    return lambda answer, case: None if case.tags.get("scale") == 1.0 else metric(answer, case)


def _same(metric: Callable[[Prediction, Case], float | None]) -> Callable[[Prediction, Case], float | None]:
    """A metric of pictures that are asked as they are seen."""
    return lambda answer, case: metric(answer, case) if case.tags.get("scale") in (None, 1.0) else None


VALUES = {
    "psnr": psnr,
    "rmse": _rmse,
    "relative_l2": _relative,
    "r2": _r2,
    "coverage_50": partial(_coverage, level=0.5),
    "coverage_90": partial(_coverage, level=0.9),
    "crps": _crps,
    "psnr_apart": _psnr_apart,
}
PICTURE = {
    "psnr": _same(psnr),
    "psnr_rgb": _psnr_rgb,
    "psnr_y_shave": _finer(_psnr_y_shave),
    "ssim": _finer(_ssim),
    "lr_consistency": _finer(_lr_consistency),
    "coverage_90": partial(_coverage, level=0.9),
    "crps": _crps,
}
MEASURES: dict[str, dict[str, Measure]] = {"values": VALUES, "picture": PICTURE}


def _parameters(model: Encoder) -> int:
    count = getattr(model, "parameter_count", None)
    return 0 if count is None else count()


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _save(folder: Path, case: Case, answers: Mapping[str, Prediction]) -> None:
    """The pictures of one case."""
    place = folder / safe_name(case.name) / f"x{_text(case.tags.get('scale') or 1.0)}"
    place.mkdir(parents=True, exist_ok=True)
    write_photo(place / "input.png", case.samples.on_grid()[0].numpy())
    write_photo(place / "truth.png", case.truth / 255)
    for model, answer in answers.items():
        write_photo(place / f"{model}.png", answer.mean)
