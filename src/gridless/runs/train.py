"""`gridless train`: a recipe into a run folder; and how long a step of several recipes takes."""

import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gridless import config as c
from gridless.config.errors import ConfigError
from gridless.config.merging import build, difference, dump, load_json
from gridless.files import write_json
from gridless.model import FieldModel
from gridless.protocols import Batch, Task
from gridless.tasks import task_of
from gridless.training.fit import fit, trial
from gridless.training.loading import load_data
from gridless.training.locking import held

ROUNDS = 12  # timed training steps of each recipe that is compared


def train_run(recipe: c.Recipe, output: str | Path, quiet: bool = False, profile: bool = False) -> dict:
    """Train the recipe into the run folder `output`; goes on where an interrupted run stands."""
    output = Path(output)
    known = output / "recipe.json"
    if known.is_file():
        other = difference(dump(build(c.Recipe, load_json(known), "recipe")), dump(recipe))
        if other:
            raise ConfigError(f"{output} holds a run with another {other}; give another folder with -o, or remove it")
    torch.manual_seed(recipe.train.seed)
    model, task = FieldModel(recipe.model), task_of(recipe.task)
    data, validation = load_data(recipe.data, "train"), load_data(recipe.data, "val", each=32)
    output.mkdir(parents=True, exist_ok=True)
    with held(output):
        if not known.is_file() and os.environ.get("RANK", "0") == "0":
            write_json(known, dump(recipe))
        return fit(
            model, data, task, train=recipe.train, folder=output, validation=validation, quiet=quiet, profile=profile
        )


def step_seconds(recipes: Mapping[str, c.Recipe]) -> dict[str, float]:
    """Median seconds of a training step of each recipe, taken in turns, so that a busy machine changes nobody's share."""
    data = {recipe.data: load_data(recipe.data, "train") for recipe in recipes.values()}
    steps = {}
    for name, recipe in recipes.items():
        model = FieldModel(recipe.model)
        draw = partial(_draw, task_of(recipe.task), data[recipe.data], model.config.signal.windows, recipe.train)
        steps[name] = trial(model, recipe.train, draw)
    times: dict[str, list[float]] = {name: [] for name in recipes}
    for turn in range(3 + ROUNDS):
        for name, step in steps.items():
            start = time.perf_counter()
            step(turn)
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds[3:])) for name, seconds in times.items()}


def _draw(task: Task, data, window: tuple[int, ...], train: c.Train, step: int) -> Batch:
    return task.draw(data, np.random.default_rng(step), window=window, batch=train.batch, queries=train.queries)
