"""evaluate(): models and baselines answer the same cases; one row per picture, scale, model and metric."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from gridless.bases import BASELINES, Interpolation
from gridless.data import Photo, write_photo
from gridless.model import FieldModel
from gridless.samples import Samples
from gridless.scoring import metrics
from gridless.scoring.results import COLUMNS
from gridless.tasks import Case, Reconstruction, SuperResolution

PICTURES = 24  # of a test set are saved for the report
VALUES_AT_ONCE = 1 << 18  # of small pictures answered together


def evaluate(
    models: Sequence[FieldModel | str],
    data: Sequence[Photo],
    task: SuperResolution | Reconstruction,
    *,
    label: str = "photos",
    split: str = "test",
    facts: dict | None = None,
    save: str | Path | None = None,
) -> list[dict]:
    """Rows with the columns of results.csv. A model is a FieldModel, or a baseline by name
    (nearest, bilinear, bicubic, lanczos).

    `facts`: the run's (train_seconds, seed), for the trained models' rows. `save`: a folder for the pictures,
    <image>/x<scale>/{input, truth, <model>}.png, of the first PICTURES.
    """
    rows = []
    models = [models] if isinstance(models, (str, FieldModel)) else models
    cases = ((number, case) for number, photo in enumerate(data) for case in task.cases(photo))
    for group in _alike(cases):
        answers = [_answers(model, [case for _, case in group]) for model in models]
        for i, (number, case) in enumerate(group):
            place = None if save is None or number >= PICTURES else Path(save, case.name, f"x{case.scale:g}")
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
                write_photo(place / "input.png", case.seen / 255)
                write_photo(place / "truth.png", case.truth / 255)
            for model, (name, pictures, params) in zip(models, answers, strict=True):
                if place is not None:
                    write_photo(place / f"{name}.png", pictures[i])
                own, found = facts or {}, scores(pictures[i], case, task)
                if isinstance(task, Reconstruction) and isinstance(model, FieldModel):
                    found["floats_per_value"] = model.latent_floats(case.shape) / case.truth.size
                row = {
                    "model": name, "task": task.name, "data": label, "split": split, "image": case.name,
                    "scale": f"{case.scale:g}", "params": params,
                    "train_seconds": own.get("train_seconds", "") if params else 0,
                    "seed": own.get("seed", "") if params else "",
                }  # fmt: skip
                rows += [{**row, "metric": metric, "value": value} for metric, value in found.items()]
    return [{column: row[column] for column in COLUMNS} for row in rows]


def _alike(cases: Iterable[tuple[int, Case]]) -> Iterator[list[tuple[int, Case]]]:
    """Runs of cases with one shape, so that small pictures are answered together: at most VALUES_AT_ONCE values."""
    group: list[tuple[int, Case]] = []
    for number, case in cases:
        full = group and (len(group) + 1) * case.truth.size > VALUES_AT_ONCE
        if group and (full or (case.seen.shape, case.truth.shape) != (group[0][1].seen.shape, group[0][1].truth.shape)):
            yield group
            group = []
        group.append((number, case))
    if group:
        yield group


def scores(answer: np.ndarray, case: Case, task: SuperResolution | Reconstruction) -> dict[str, float]:
    """The task's metrics of one answer."""
    truth = case.truth / 255
    if isinstance(task, Reconstruction):
        return {"psnr": metrics.psnr(answer, truth), "psnr_rgb": metrics.psnr_rgb(answer, truth)}
    out = {
        "psnr_rgb": metrics.psnr_rgb(answer, truth),
        "psnr_y_shave": metrics.psnr_y_shave(answer, truth, math.ceil(case.scale)),
        "ssim": metrics.ssim(answer, truth),
        "lr_consistency": metrics.lr_consistency(answer, case.seen / 255),
    }
    return {name: round(value, 6) for name, value in out.items()}


def _answers(model: FieldModel | str, cases: Sequence[Case]) -> tuple[str, list[np.ndarray], int]:
    """Cases of one shape, answered together."""
    samples, shape = Samples.stack([case.samples() for case in cases]), cases[0].shape
    if isinstance(model, str):
        if model not in BASELINES:
            raise ValueError(f"no baseline {model!r}; there are {', '.join(BASELINES)}")
        name, params, field = model, 0, Interpolation(model).encode(samples)
    else:
        name, params, field = model.name, model.parameter_count(), None
    with torch.no_grad():
        if field is None:
            field = model.encode(samples.to(next(model.parameters()).device))
        pictures = field.to_image(shape=shape).cpu().numpy()
    return name, list(pictures if len(cases) > 1 else pictures[None]), params
