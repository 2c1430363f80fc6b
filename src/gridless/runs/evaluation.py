"""`gridless eval`: a run's model beside the classical baselines of its kind of data."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

from gridless import config as c
from gridless.config.errors import ConfigError
from gridless.data.signals import Signal
from gridless.model import FieldModel
from gridless.protocols import Task
from gridless.reports.field_maps import map_fields
from gridless.reports.field_plots import picture_fields
from gridless.reports.film import picture_films
from gridless.runs.baselines import classical, climatology
from gridless.scoring.evaluate import Baseline, evaluate
from gridless.scoring.results import read_results, write_results
from gridless.scoring.skill import Skill
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
    task = asked_task(recipe, scales)
    source = recipe.data if data is None else other_data(recipe.data, data)
    asked = load_data(source, split, each=getattr(recipe.task, "fields", 64))
    if not len(asked):
        raise ConfigError(f"the data have no split {split}; ask another with --split, or leave some fields to it")
    rivals = classical(task, recipe, model, baselines)
    skill = {"skill": Skill(climatology(recipe))} if source.kind == "archive" else {}
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
            models,
            asked,
            task,
            label=label_of(source, asked),
            split=split,
            facts={model.name: facts},
            save=aside if pictures else None,
            measures=skill,
        )
        fields = run / ".fields.part"
        shutil.rmtree(fields, ignore_errors=True)
        if pictures:
            picture_fields(model, asked, task, fields)
            map_fields(model, asked, task, fields)
            picture_films(model, asked, task, fields)
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


def other_data(source: c.AnyData, path: str | Path) -> c.AnyData:
    """The same kind of data from another place. Raises ConfigError for data that come from none."""
    if isinstance(source, c.Data):
        return replace(source, kind="cifar10" if source.kind == "cifar10" else "folder", path=str(path))
    if isinstance(source, c.ArchiveData | c.FilmData | c.VolumeData):
        return replace(source, path=str(path))
    raise ConfigError(f"data.kind {source.kind!r} comes from no folder; leave --data out")


def label_of(source: c.AnyData, asked: Sequence[Signal]) -> str:
    """What rows call the data: the name of a folder or a file, and the units of its values."""
    path = getattr(source, "path", None)
    if path is None or source.kind not in ("folder", "archive", "films", "volumes"):
        return source.kind
    domain = asked[0].domain if source.kind in ("archive", "films") else None
    quantities = () if domain is None else domain.quantities
    return " ".join([Path(path).name, *(f"{q.name} ({q.unit})" if q.unit else q.name for q in quantities)])


def _take(aside: Path, place: Path) -> None:
    """A folder that is complete takes the place of an older one; an empty one leaves none."""
    shutil.rmtree(place, ignore_errors=True)
    if aside.is_dir() and any(aside.iterdir()):
        aside.rename(place)
    else:
        shutil.rmtree(aside, ignore_errors=True)
