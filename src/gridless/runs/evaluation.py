"""`gridless eval`: a run's model beside the classical baselines of its kind of data."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

from gridless import config as c
from gridless.bases import BASELINES, SCATTERED, Interpolation, Kriging, Scattered
from gridless.config.errors import ConfigError
from gridless.model import FieldModel
from gridless.protocols import Task
from gridless.reports.field_plots import picture_fields
from gridless.scoring.evaluate import Baseline, Encoder, evaluate
from gridless.scoring.results import read_results, write_results
from gridless.tasks import SuperResolution, task_of
from gridless.training.loading import device, load_data, load_run
from gridless.training.locking import held


def evaluate_run(
    run: str | Path,
    scales: Sequence[float] | None = None,
    split: str = "test",
    data: str | Path | None = None,
    baselines: Sequence[str] | None = None,
    pictures: bool = True,
    beside: Sequence[str] = (),
) -> list[dict]:
    """Answer the split beside the baselines (None: all that fit the task) and other models (`beside`: run folders, or names
    of weights that ship); writes RUN/results.csv and, for the report,
    RUN/predictions/ or RUN/fields/.

    `data`: a folder instead of the recipe's, of pictures or (where the recipe reads CIFAR-10) of its batches.
    """
    run = Path(run)
    model, recipe, facts = load_run(run)
    source, task = recipe.data, asked_task(recipe, scales)
    if data is not None:
        if source.kind in ("waves", "prior"):
            raise ConfigError(f"data.kind {source.kind!r} comes from no folder; leave --data out")
        source = replace(source, kind="cifar10" if source.kind == "cifar10" else "folder", path=str(data))
    label = Path(source.path).name if source.kind == "folder" and source.path else source.kind
    asked = load_data(source, split, each=getattr(recipe.task, "fields", 64))
    rivals = {name: rival for name, rival in classical(task).items() if baselines is None or name in baselines}
    if getattr(model.base, "has_spread", False) and model.base.name not in rivals:
        rivals["base"] = Baseline(model.base)
    others = {Path(name).name: FieldModel.from_pretrained(name, device()) for name in beside}
    if taken := sorted(others.keys() & {*rivals, model.name}):
        raise ConfigError(f"{taken[0]!r} is a row already; rename the folder of the model beside it")
    models, aside = {**rivals, **others, model.name: model}, run / ".predictions.part"
    with held(run):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        rows = evaluate(
            models, asked, task, label=label, split=split, facts={model.name: facts}, save=aside if pictures else None
        )
        fields = run / ".fields.part"
        shutil.rmtree(fields, ignore_errors=True)
        if pictures:
            picture_fields(model, asked, task, fields)
        # what was kept of an earlier evaluation goes when the new one is complete: the numbers first, whose writing may fail
        write_results(rows, run / "results.csv")
        _take(aside, run / "predictions")
        _take(fields, run / "fields")
    return read_results(run / "results.csv")


def asked_task(recipe: c.Recipe, scales: Sequence[float] | None) -> Task:
    """The recipe's task, asked at other scales."""
    task = task_of(recipe.task)
    if not scales:
        return task
    if not all(0 < s < inf for s in scales):
        raise ConfigError(f"scales must be positive numbers, got {' '.join(f'{s:g}' for s in scales)}")
    if not isinstance(task, SuperResolution):
        raise ConfigError(f"task.kind {task.kind!r} has no scales; leave --scales out")
    return replace(task, scales=tuple(scales))


def classical(task: Task) -> dict[str, Encoder]:
    """What a user would reach for today, for this kind of question."""
    if task.kind == "super-resolution":
        return {kind: Interpolation(kind) for kind in BASELINES}
    if task.kind == "sparse-field":
        scattered: dict[str, Encoder] = {kind: Scattered(kind) for kind in SCATTERED}
        return {**scattered, "kriging": Kriging()}
    return {}


def _take(aside: Path, place: Path) -> None:
    """A folder that is complete takes the place of an older one; an empty one leaves none."""
    shutil.rmtree(place, ignore_errors=True)
    if aside.is_dir() and any(aside.iterdir()):
        aside.rename(place)
    else:
        shutil.rmtree(aside, ignore_errors=True)
