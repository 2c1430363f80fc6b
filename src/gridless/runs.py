"""From a recipe to its data, task and model; the verbs `train`, `eval` and `sweep` share this."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import torch

from gridless import config as c
from gridless.bases import BASELINES
from gridless.data import Photo, cifar10, folder, photos
from gridless.evaluation import evaluate
from gridless.merging import ConfigError, build, difference, dump, load_json
from gridless.model import FieldModel
from gridless.results import read_results, write_results
from gridless.tasks import Reconstruction, SuperResolution, Uniform
from gridless.training import fit


def load_data(data: c.Data, split: str) -> list[Photo]:
    """The pictures of a split: train, val or test. A folder of pictures without these inside is a test set."""
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


def build_task(task: c.SuperResolutionTask | c.ReconstructionTask) -> SuperResolution | Reconstruction:
    match task:
        case c.SuperResolutionTask():
            return SuperResolution(Uniform(*task.scale), task.scales, task.recolour, task.seen)
        case c.ReconstructionTask():
            return Reconstruction(task.turned, task.jitter, task.resampled, task.seen)


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
    if not known.is_file() and os.environ.get("RANK", "0") == "0":
        aside = known.with_suffix(".part")
        aside.write_text(json.dumps(dump(recipe), indent=2) + "\n")
        aside.rename(known)
    task = build_task(recipe.task)
    return fit(
        model, pictures, task, train=recipe.train, folder=output, validation=held_out, quiet=quiet, profile=profile
    )


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
    if isinstance(task, Reconstruction):
        baselines = ()
    elif scales:
        if not all(0 < s < inf for s in scales):
            raise ConfigError(f"scales must be positive numbers, got {' '.join(f'{s:g}' for s in scales)}")
        task = replace(task, scales=tuple(scales))
    label = Path(source.path).name if source.kind == "folder" else source.kind
    save = Path(run, "predictions")
    shutil.rmtree(save, ignore_errors=True)
    save = save if pictures else None
    rows = evaluate(
        [*baselines, model], load_data(source, split), task, label=label, split=split, facts=facts, save=save
    )
    write_results(rows, Path(run, "results.csv"))
    return read_results(Path(run, "results.csv"))
