"""What is looked at: a few test pictures, of each the window with most detail, its middle, and three telling pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from gridless import config as c
from gridless.data.cropping import grid_signal, middle
from gridless.data.signals import GridSignal, Signal
from gridless.protocols import Case
from gridless.reports.plots import hardest_window
from gridless.tasks import task_of

WHOLE = 256  # pixels a side, at most, of the pictures whose spectra and jitter are measured


@dataclass(frozen=True, eq=False)
class Exhibits:
    """Of each picture the window with most detail, as the network sees one, and its middle; asked at `scale`."""

    windows: Sequence[Case]
    wholes: Sequence[Case]
    scale: float


def choose(pictures: Sequence[Signal], recipe: c.Recipe, joint: bool = False) -> Exhibits:
    """The cases of a few pictures, asked at `asked_scale`. `joint`: the model answers one window at a time."""
    scale = asked_scale(recipe)
    side = round(min(recipe.model.signal.windows) * scale)
    grids = [grid_signal(picture) for picture in pictures]
    busiest = [_busiest(picture, side) for picture in grids]
    whole = [middle(picture, side if joint else WHOLE) for picture in grids]
    return Exhibits([asked(p, recipe) for p in busiest], [asked(p, recipe) for p in whole], scale)


def asked(picture: GridSignal, recipe: c.Recipe) -> Case:
    """The picture as the recipe's task asks it, at `asked_scale`."""
    task = recipe.task
    if isinstance(task, c.SuperResolution):
        task = replace(task, seen=None, scales=(asked_scale(recipe),))
    elif isinstance(task, c.Reconstruction):
        task = replace(task, seen=None)
    return next(task_of(task).cases([picture]))


def _busiest(picture: GridSignal, side: int) -> GridSignal:
    """The square with most detail."""
    left, top, right, bottom = hardest_window(detail(picture.floats), side)
    return picture.crop((top, left), (bottom - top, right - left))


def asked_scale(recipe: c.Recipe) -> float:
    """The largest of the recipe's scales that training has shown; 1 for reconstruction."""
    if not isinstance(recipe.task, c.SuperResolution):
        return 1.0
    scale = recipe.task.scale
    factors = scale if isinstance(scale, tuple) else (scale,)
    largest = min(float(factor.high if isinstance(factor, c.Uniform) else factor) for factor in factors)
    asked = [float(s) for s in recipe.task.scales or () if not isinstance(s, tuple)]
    return max((s for s in asked if s <= largest), default=largest)


def detail(picture: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W"]:
    """How much a picture changes around each pixel: the gradient's length, of the channels' mean, per pixel."""
    return np.hypot(*np.gradient(picture.mean(-1)))


def telling_points(picture: Float[np.ndarray, "H W C"]) -> dict[str, Float[np.ndarray, " 2"]]:
    """Three pixels' centres, in [0, 1], worth asking about, away from the border: the strongest edge, the flattest place
    farther than a quarter of the picture from it, and the middle."""
    height, width = picture.shape[:2]
    change = detail(picture)
    y, x = np.indices((height, width))
    border = (np.minimum(y, height - 1 - y) < height // 8) | (np.minimum(x, width - 1 - x) < width // 8)
    edge = np.unravel_index(np.where(border, -1, change).argmax(), change.shape)
    far = np.hypot(y - edge[0], x - edge[1]) > min(height, width) / 4
    around = sum(np.roll(change, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    flat = np.unravel_index(np.where(border | ~far, np.inf, around).argmin(), change.shape)
    points = {"edge": edge, "flat": flat, "middle": (height // 2, width // 2)}
    return {name: (np.asarray(pixel) + 0.5) / change.shape for name, pixel in points.items()}
