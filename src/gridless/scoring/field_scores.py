"""How well fields are recovered from scattered readings: fixed fields, fixed readings, models and baselines alike."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gridless import config
from gridless.bases import SCATTERED, Modes, Scattered, enough_fields, fit_modes
from gridless.coords import grid
from gridless.data.waves import SPLITS, Waves, WaveSource, fixed, place, read
from gridless.model import FieldModel
from gridless.reports.field_plots import field_strip
from gridless.reports.plots import png
from gridless.samples import Samples
from gridless.scoring import metrics
from gridless.tasks import SparseField

VERSION = 2  # of the baselines, the readings and the metrics: kept scores of another are not used
POD_VERSION = 2  # … and of how POD is fitted
BASELINES = (*SCATTERED, "pod")
VALIDATION_FIELDS = 32
READINGS = 50_000_005  # seed of where the sensors of an evaluation stand and what noise they have


def question(family: str, split: str, fields: int, count: int, noise: float, placement: str) -> tuple[Waves, Samples]:
    """Fixed fields of a family and fixed readings of them: the same ones for ever, and (placed at random) for any number
    of fields."""
    waves = fixed(family, split, fields)
    of_places, of_noise = (
        np.random.default_rng((READINGS, k, SPLITS[split], count, round(1000 * noise))) for k in (0, 1)
    )
    return waves, read(waves, place(of_places, fields, count, placement), of_noise, noise)


def evaluate_fields(
    model: FieldModel,
    source: WaveSource,
    task: SparseField,
    *,
    facts: dict | None = None,
    baselines: Sequence[str] = BASELINES,
    cache: str | Path | None = None,
) -> list[dict]:
    """Every family × count of sensors × noise: rows of the model and of the baselines, one per field and metric.

    pod is fitted on training fields of the same families as the model; "base" is the model's own without its network.
    `cache`: a folder that keeps the baselines' scores
    (None: the user's cache folder), for they do not change.
    """
    own, rows = facts or {}, []
    trained = {"train_seconds": own.get("train_seconds", ""), "seed": own.get("seed", "")}

    @lru_cache
    def fitted() -> Modes:
        modes = Modes(config.Pod(modes=160, degree=36), model.config.signal)
        training = replace(source, split="train", fields=None)
        fit_modes(modes, training.first(enough_fields(modes, len(source))))
        return modes

    for family, noise, count in product(source.families, task.noises, task.counts):
        row = {"task": task.name, "data": family, "split": source.split, "scale": "", "sensors": count, "noise": noise}
        placement = "random" if task.placement == "any" else task.placement
        asked = family, source.split, task.fields, count, noise, placement
        found = {name: _kept(name, asked, task.size, source.families, fitted, cache) for name in baselines}
        if isinstance(model.base, Modes):
            found["base"] = scores(model.base, asked, task.size)
        found[model.name] = scores(model, asked, task.size)
        for name, of_fields in found.items():
            mine = (
                {"params": model.parameter_count(), **trained}
                if name == model.name
                else {"params": 0, "train_seconds": 0}
            )
            for i, of_one in enumerate(of_fields):
                image = {"model": name, "image": f"{family}-{i:02d}", **row, **mine}
                rows += [{"seed": "", **image, "metric": metric, "value": value} for metric, value in of_one.items()]
    return rows


@torch.no_grad()
def picture_fields(model: FieldModel, source: WaveSource, task: SparseField, folder: str | Path) -> None:
    """<family>-noise<…>.png: the first field of every family, at the middle count of sensors, without noise and with the
    most of it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count, placement = sorted(task.counts)[(len(task.counts) - 1) // 2], task.placement
    coords, device = grid(task.size, task.size), next(model.parameters()).device
    for family, noise in product(source.families, sorted({min(task.noises), max(task.noises)})):
        chosen = "random" if placement == "any" else placement
        waves, samples = question(family, source.split, 1, count, noise, chosen)
        field = model.encode(samples.to(device))
        asked = coords.to(device)
        parts = [field(asked)] if not field.has_spread else field.mean_and_std(asked)
        mean, *std = (part.cpu().unflatten(0, (task.size, task.size))[..., 0].numpy() for part in parts)
        truth = waves(coords[None])[0].unflatten(0, (task.size, task.size))[..., 0].numpy()
        read_at, values = samples.coords[0].numpy(), samples.values[0, :, 0].numpy()
        title = f"{family}, {count} sensors, noise {noise:g}"
        strip = field_strip(read_at, values, truth, mean, std[0] if std else None, title)
        (folder / f"{family}-noise{noise:g}.png").write_bytes(png(strip))


@torch.no_grad()
def scores(model, asked: tuple, size: int) -> list[dict[str, float]]:
    """The metrics of each field of a `question`; `model`: anything with encode(samples) -> field. Of a joint field also
    `psnr_apart`: at most as many points asked at a time as there are readings, as separate questions."""
    waves, samples = question(*asked)
    coords = grid(size, size)
    truth = waves(coords.expand(len(waves), -1, -1))
    device = next(model.buffers()).device if isinstance(model, nn.Module) else "cpu"
    field = model.encode(samples.to(device))
    where = coords.to(device)
    mean, *std = field.mean_and_std(where) if field.has_spread else [field(where)]
    mean, std = mean.cpu(), std[0].cpu() if std else None
    apart = None
    if field.joint:
        every = -(-len(coords) // samples.values.shape[1])
        apart = torch.empty_like(mean)
        for first in range(every):
            apart[:, first::every] = field(coords[first::every].to(device)).cpu()
    out = []
    for i in range(len(waves)):
        one = {
            "psnr": metrics.psnr(mean[i], truth[i]),
            "relative_l2": metrics.relative_l2(mean[i], truth[i]),
            "r2": metrics.r2(mean[i], truth[i]),
        }
        if std is not None:
            one |= {f"coverage_{p}": metrics.coverage(mean[i], std[i], truth[i], p / 100) for p in (50, 90)}
            one["crps"] = metrics.crps(mean[i], std[i], truth[i])
        if apart is not None:
            one["psnr_apart"] = metrics.psnr(apart[i], truth[i])
        out.append({name: round(value, 6) for name, value in one.items()})
    return out


def _kept(name: str, asked: tuple, size: int, families: tuple, fitted, cache: str | Path | None) -> list[dict]:
    """A baseline's scores, computed once and kept."""
    about = [VERSION, name, *asked, size, *((POD_VERSION, *sorted(families)) if name == "pod" else ())]
    folder = Path(cache or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "gridless", "baselines"))
    file = folder / ("-".join(str(part) for part in about) + ".json")
    if file.is_file():
        return json.loads(file.read_text())
    found = scores(fitted() if name == "pod" else Scattered(name), asked, size)
    folder.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(found))
    os.replace(aside, file)
    return found


@torch.no_grad()
def validation(model: FieldModel, source: WaveSource, task: SparseField) -> dict[str, float]:
    """Mean PSNR over validation fields, at the middle count of sensors, without noise and with the most of it; with
    several families, of each of them too."""
    device, count = next(model.parameters()).device, sorted(task.counts)[(len(task.counts) - 1) // 2]
    placement = "random" if task.placement == "any" else task.placement
    coords, scores = grid(task.size, task.size, device=device), {}
    for noise in sorted({min(task.noises), max(task.noises)}):
        for family in source.families:
            fields = min(VALIDATION_FIELDS, task.fields)
            waves, samples = question(family, source.split, fields, count, noise, placement)
            answer = model.encode(samples.to(device))(coords).cpu()
            error = (answer - waves(coords.cpu().expand(len(waves), -1, -1))).square().mean((1, 2))
            scores[noise, family] = float((-10 * error.log10()).mean())
    out = {}
    for noise, suffix in zip(sorted({n for n, _ in scores}), ("", "_noisy"), strict=False):
        own = {family: score for (n, family), score in scores.items() if n == noise}
        out[f"val_psnr{suffix}"] = float(np.mean(list(own.values())))
        out |= {f"val_psnr{suffix}_{family}": score for family, score in own.items() if len(own) > 1}
    return {name: round(value, 4) for name, value in out.items()}
