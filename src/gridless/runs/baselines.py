"""The classical answers that stand beside a model: what a user would reach for today, by the task and the kind of data."""

from collections.abc import Sequence
from typing import Any

from gridless import config as c
from gridless.bases import (
    BASELINES,
    SCATTERED,
    Advection,
    Climatology,
    DampedPersistence,
    Interpolation,
    Kriging,
    LinearInverse,
    OfAnomalies,
    Oi,
    Persistence,
    Scattered,
)
from gridless.model import FieldModel
from gridless.protocols import Task
from gridless.scoring.evaluate import Baseline, Encoder
from gridless.training.loading import load_data

READ = (*SCATTERED, "kriging")
FORECASTS = ("persistence", "damped-persistence", "advection", "linear-inverse")
"""Of films on a grid."""
ROWS = {
    "archive": (
        "climatology",
        "nearest",
        "idw",
        "linear",
        "rbf",
        "gp",
        "kriging",
        "idw-anomalies",
        "kriging-anomalies",
        "oi",
    ),
}
"""Of scattered readings, by the kind of data; READ if it is not here. An oracle of waves says nothing of other fields."""


def classical(
    task: Task, recipe: c.Recipe, model: FieldModel, chosen: Sequence[str] | None = None
) -> dict[str, Encoder]:
    """By name, in the order of a table; those that learn are fitted to the recipe's training data. `chosen`: only these."""
    match task.kind:
        case "super-resolution":
            names = (*BASELINES, "bspline") if recipe.data.kind == "volumes" else tuple(BASELINES)
        case "sparse-field":
            names = ROWS.get(recipe.data.kind, READ)
        case "forecast":
            names = FORECASTS
        case _:
            names = ()
    return {name: _encoder(name, recipe, model) for name in names if chosen is None or name in chosen}


def _encoder(name: str, recipe: c.Recipe, model: FieldModel) -> Encoder:
    if name in SCATTERED and recipe.task.kind == "sparse-field":
        return Scattered(name)
    match name:
        case "kriging":
            return Kriging()
        case "persistence":
            return Persistence()
        case "advection":
            return Advection()
        case "damped-persistence":
            return _fitted(recipe, model, DampedPersistence, c.DampedPersistence)
        case "linear-inverse":
            return _fitted(recipe, model, LinearInverse, c.LinearInverse)
        case "climatology":
            return climatology(recipe)
        case "idw-anomalies":
            return OfAnomalies(Scattered("idw"), climatology(recipe))
        case "kriging-anomalies":
            return OfAnomalies(Kriging(), climatology(recipe))
        case "oi":
            if isinstance(model.base, Oi):
                return Baseline(model.base)
            oi = Oi(c.Oi(), recipe.model.signal, fallback=Kriging())
            oi.fit(load_data(recipe.data, "train"))
            return oi
        case _:
            return Interpolation(name)  # pyright: ignore[reportArgumentType]  one of KINDS


def _fitted(
    recipe: c.Recipe, model: FieldModel, kind: type[DampedPersistence] | type[LinearInverse], options: Any
) -> Encoder:
    """The model's own base of this kind, or one with the usual options, fitted to the recipe's training data."""
    if isinstance(model.base, kind):
        return Baseline(model.base)
    base = kind(options(), recipe.model.signal)
    base.fit(load_data(recipe.data, "train"))
    return base


def climatology(recipe: c.Recipe) -> Climatology:
    """Fitted to the recipe's training data."""
    usual = Climatology()
    usual.fit(load_data(recipe.data, "train"))
    return usual
