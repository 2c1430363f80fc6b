"""From a recipe to its data, task and model; the verbs `train`, `eval` and `sweep` share this."""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
import torch

from gridless import config as c
from gridless.bases import BASELINES
from gridless.config.merging import ConfigError, build, difference, dump, load_json
from gridless.data import Photo, cifar10, folder, photos
from gridless.data.waves import WaveSource
from gridless.model import FieldModel
from gridless.scoring.evaluate import evaluate
from gridless.scoring.field_scores import BASELINES as FIELD_BASELINES
from gridless.scoring.field_scores import evaluate_fields, picture_fields
from gridless.scoring.results import read_results, write_results
from gridless.tasks import Batch, Reconstruction, SparseField, SuperResolution, Task, Uniform
from gridless.training.fit import fit, trial
from gridless.training.locking import held

ROUNDS = 12  # timed training steps of each recipe that is compared


def load_data(data: c.AnyData, split: str) -> list[Photo] | WaveSource:
    """The pictures or waves of a split: train, val or test. A folder of pictures without these inside is a test set."""
    if isinstance(data, c.WaveData):
        return WaveSource(data.families, split, data.fields)
    pictures = _pictures(data, split)
    return pictures if split == "train" else pictures[: data.held_out]


def _pictures(data: c.Data, split: str) -> list[Photo]:
    if split not in ("train", "val", "test"):
        raise ConfigError(f"no split {split!r}; there are train, val and test")
    match data.kind:
        case "photos":
            return photos(split)
        case "folder":
            if data.path is None:
                raise ConfigError("data.kind 'folder' needs data.path, a directory of pictures")
            root = Path(data.path)
            if (root / split).is_dir():
                return folder(root / split)
            if split != "test" or any((root / other).is_dir() for other in ("train", "val")):
                raise ConfigError(f"{root} has no folder {split}; training takes one with train, val and test inside")
            return folder(root)
        case "cifar10":
            if data.path is None:
                raise ConfigError("data.kind 'cifar10' needs data.path (--data DIR), a directory with its batches")
            return cifar10(data.path, split)


def build_task(task: c.Task) -> Task:
    match task:
        case c.SuperResolution():
            return SuperResolution(Uniform(*task.scale), task.scales, task.recolour, task.seen)
        case c.Reconstruction():
            return Reconstruction(task.turned, task.jitter, task.offset, task.resampled, task.seen)
        case c.SparseField():
            return SparseField(**{f.name: getattr(task, f.name) for f in fields(SparseField)})


def train_run(recipe: c.Recipe, output: str | Path, quiet: bool = False, profile: bool = False) -> dict:
    """Train the recipe into the run folder `output`; goes on where an interrupted run stands."""
    output = Path(output)
    known = output / "recipe.json"
    if known.is_file():
        other = difference(dump(build(c.Recipe, load_json(known), "recipe")), dump(recipe))
        if other:
            raise ConfigError(f"{output} holds a run with another {other}; give another folder with -o, or remove it")
    torch.manual_seed(recipe.train.seed)
    model = FieldModel(recipe.model)
    pictures, held_out = load_data(recipe.data, "train"), load_data(recipe.data, "val")
    output.mkdir(parents=True, exist_ok=True)
    task, train = build_task(recipe.task), recipe.train
    with held(output):
        if not known.is_file() and os.environ.get("RANK", "0") == "0":
            aside = known.with_suffix(".part")
            aside.write_text(json.dumps(dump(recipe), indent=2) + "\n")
            aside.rename(known)
        return fit(model, pictures, task, train=train, folder=output, validation=held_out, quiet=quiet, profile=profile)


def device() -> str:
    """Where answers are computed: a GPU if torch sees one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_run(run: str | Path) -> tuple[FieldModel, c.Recipe, dict]:
    """A run folder's model, recipe and facts."""
    run = Path(run)
    if not run.is_dir():
        raise ConfigError(f"no run at {run}; expected a folder written by `gridless train`")
    if not (run / "run.json").is_file():
        raise ConfigError(f"{run} holds no run.json; expected a folder written by `gridless train`")
    facts = load_json(run / "run.json")
    if not facts.get("complete"):
        raise ConfigError(f"{run} is not finished; `gridless train` with the same flags goes on with it")
    return FieldModel.from_pretrained(run, device()), build(c.Recipe, load_json(run / "recipe.json"), "recipe"), facts


def evaluate_run(
    run: str | Path,
    scales: Sequence[float] | None = None,
    split: str = "test",
    data: str | Path | None = None,
    baselines: Sequence[str] = BASELINES,
    pictures: bool = True,
) -> list[dict]:
    """Answer the split beside the baselines; writes RUN/results.csv and, for the report, RUN/predictions/.

    `data`: a folder instead of the recipe's, of pictures or (where the recipe reads CIFAR-10) of its batches.
    """
    model, recipe, facts = load_run(run)
    task, source = build_task(recipe.task), recipe.data
    if data is not None:
        source = replace(source, kind="cifar10" if source.kind == "cifar10" else "folder", path=str(data))
    if isinstance(task, SparseField):
        if scales or data is not None:
            raise ConfigError("a sparse field has no scales and no folder of pictures; leave --scales and --data out")
        waves = load_data(source, split)
        rivals = FIELD_BASELINES if tuple(baselines) == BASELINES else [b for b in FIELD_BASELINES if b in baselines]
        rows = evaluate_fields(model, waves, task, facts=facts, baselines=rivals)
        if pictures:
            picture_fields(model, waves, task, Path(run, "fields"))
        write_results(rows, Path(run, "results.csv"))
        return read_results(Path(run, "results.csv"))
    if isinstance(task, Reconstruction):
        baselines = ()
    elif scales:
        if not all(0 < s < inf for s in scales):
            raise ConfigError(f"scales must be positive numbers, got {' '.join(f'{s:g}' for s in scales)}")
        task = replace(task, scales=tuple(scales))
    label = Path(source.path).name if source.kind == "folder" else source.kind
    asked, save = load_data(source, split), Path(run, "predictions")
    with held(run):
        shutil.rmtree(save, ignore_errors=True)
        save = save if pictures else None
        rows = evaluate([*baselines, model], asked, task, label=label, split=split, facts=facts, save=save)
        write_results(rows, Path(run, "results.csv"))
    return read_results(Path(run, "results.csv"))


def step_seconds(recipes: Mapping[str, c.Recipe]) -> dict[str, float]:
    """Median seconds of a training step of each recipe, taken in turns, so that a busy machine changes nobody's share."""
    read = {r.data: build_task(r.task) for r in recipes.values()}
    pictures = {data: task.prepared(load_data(data, "train")) for data, task in read.items()}
    steps = {}
    for name, recipe in recipes.items():
        model, task, train, own = FieldModel(recipe.model), build_task(recipe.task), recipe.train, pictures[recipe.data]
        draw = partial(_draw, task, own, model.config.signal.window, train)
        steps[name] = trial(model, train, draw)
    times: dict[str, list[float]] = {name: [] for name in recipes}
    for turn in range(3 + ROUNDS):
        for name, step in steps.items():
            start = time.perf_counter()
            step(turn)
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(own[3:])) for name, own in times.items()}


def _draw(task, pictures: Sequence[np.ndarray], window: int, train: c.Train, step: int) -> Batch:
    return task.draw(pictures, np.random.default_rng(step), window, train.batch, train.queries)
