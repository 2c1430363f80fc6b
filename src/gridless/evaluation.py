"""evaluate(): models and baselines answer the same cases; one row per picture, scale, model and metric."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gridless import metrics
from gridless.bases import BASELINES, Interpolation
from gridless.data.images import Photo, write_photo
from gridless.model import FieldModel
from gridless.results import COLUMNS
from gridless.tasks import Case, Reconstruction, SuperResolution


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
    <image>/x<scale>/{input, truth, <model>}.png.
    """
    rows = []
    models = [models] if isinstance(models, (str, FieldModel)) else models
    for photo in data:
        for case in task.cases(photo):
            place = None if save is None else Path(save, case.name, f"x{case.scale:g}")
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
                write_photo(place / "input.png", case.seen / 255)
                write_photo(place / "truth.png", case.truth / 255)
            for model in models:
                name, answer, params = _answer(model, case)
                if place is not None:
                    write_photo(place / f"{name}.png", answer)
                own = facts or {}
                row = {
                    "model": name, "task": task.name, "data": label, "split": split, "image": case.name,
                    "scale": f"{case.scale:g}", "params": params,
                    "train_seconds": own.get("train_seconds", "") if params else 0,
                    "seed": own.get("seed", "") if params else "",
                }  # fmt: skip
                rows += [
                    {**row, "metric": metric, "value": value} for metric, value in scores(answer, case, task).items()
                ]
    return [{column: row[column] for column in COLUMNS} for row in rows]


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


def _answer(model: FieldModel | str, case: Case) -> tuple[str, np.ndarray, int]:
    if isinstance(model, str):
        if model not in BASELINES:
            raise ValueError(f"no baseline {model!r}; there are {', '.join(BASELINES)}")
        return model, Interpolation(model).encode(case.samples()).to_image(shape=case.shape).numpy(), 0
    device = next(model.parameters()).device
    with torch.no_grad():
        picture = model.encode(case.samples().to(device)).to_image(shape=case.shape)
    return model.name, picture.cpu().numpy(), model.parameter_count()
