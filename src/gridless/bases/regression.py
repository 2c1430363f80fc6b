"""What training pairs say without a network: the mean of what was asked, the nearest training pair, or a linear regression.

    mean      the mean of the training answers
    nearest   the answer of the training pair whose seen values are nearest (Euclidean)
    ridge     from the principal components of what is seen to those of what is asked, with a ridge (Hotelling, 1957;
              Hoerl and Kennard, 1970): numbers of components and the ridge that answer the last tenth of the pairs best,
              then fitted to all of them

Both grids are those of the training pairs: values on another grid of the same domain are taken at its samples, and answers
between its samples are bicubic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.interpolation import Interpolation, SolvedInterpolation
from gridless.bases.regridding import REACH, Placement, placement_of, resampled
from gridless.data.pairs import pair_of
from gridless.data.signals import GridSignal, Signal
from gridless.data.sources import signals
from gridless.field import Field
from gridless.samples import Samples

COMPONENTS = (8, 16, 32, 64, 128, 256)
RIDGES = (1e-4, 1e-2, 1.0, 10.0, 100.0, 1000.0)
HELD_OUT = 0.1


@dataclass(frozen=True, eq=False)
class Fitted:
    """Grids of the training pairs, and what was learned of them."""

    seen: GridSignal
    asked: GridSignal
    inputs: Float[np.ndarray, "n P"]
    answers: Float[np.ndarray, "n Q"]
    weights: Float[np.ndarray, "P Q"] | None = None
    chosen: tuple[int, int, float] | None = None


class Regression:
    """What is asked of pairs of grids, without a network; `fit` comes first. `kind`: mean, nearest or ridge."""

    def __init__(self, kind: Literal["mean", "nearest", "ridge"] = "ridge"):
        if kind not in ("mean", "nearest", "ridge"):
            raise ValueError(f"no regression {kind!r}; there are mean, nearest and ridge")
        self.kind = kind
        self.fitted: Fitted | None = None

    @property
    def name(self) -> str:
        return self.kind

    @property
    def needs_fit(self) -> bool:
        """Whether it has seen no training signals yet."""
        return self.fitted is None

    def fit(self, data: Sequence[Signal]) -> dict[str, float | int]:
        """Takes the training pairs, grids of one shape without holes, and says what it chose."""
        every = [pair_of(signal) for signal in signals(data)]
        first = every[0]
        seen, asked = _grid_of(first.seen), _grid_of(first.asked)
        inputs, answers = _matrix([pair.seen for pair in every]), _matrix([pair.asked for pair in every])
        weights, chosen = ridge_map(inputs, answers) if self.kind == "ridge" else (None, None)
        self.fitted = Fitted(seen, asked, inputs, answers, weights, chosen)
        names = ("seen_components", "asked_components", "ridge")
        return {} if chosen is None else dict(zip(names, chosen, strict=True))

    def solve(self, samples: Samples) -> "SolvedRegression":
        """The answers for these samples, bicubic between those of the training's grid. Raises ValueError before `fit`."""
        fitted = self.fitted
        if fitted is None:
            raise ValueError(f"the base {self.kind!r} knows no pairs; call fit(pairs) first")
        x = _inputs(samples, fitted.seen)
        match self.kind:
            case "mean":
                y = np.repeat(fitted.answers.mean(0, keepdims=True), len(x), 0)
            case "nearest":
                y = fitted.answers[[np.square(fitted.inputs - row).sum(1).argmin() for row in x]]
            case _:
                assert fitted.weights is not None, "ridge has weights"
                y = (x - fitted.inputs.mean(0)) @ fitted.weights + fitted.answers.mean(0)
        asked = fitted.asked
        values = torch.from_numpy(y).to(samples.values.dtype).view(len(x), -1, asked.channels)
        answer = Samples(values, shape=asked.shape, domain=asked.domain)
        reach = tuple(REACH / n for n in asked.shape)
        placement = None if samples.domain == asked.domain else placement_of(samples, asked.domain, reach)
        return SolvedRegression(SolvedInterpolation(Interpolation("bicubic"), answer), placement)

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out."""
        return Field.of_base(self, samples)


@dataclass(frozen=True, eq=False)
class SolvedRegression:
    """Answers on the training's grid, asked in the unit coordinates of the samples."""

    answers: SolvedInterpolation
    placement: Placement | None

    spread = False
    differentiable = False

    def __call__(
        self, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None
    ) -> Float[Tensor, "B Q C"]:
        placed = coords if self.placement is None else self.placement(coords).clamp(0, 1)
        return self.answers(placed.expand(len(self.answers.samples), -1, -1), cell)

    def std(self, coords: Tensor, cell: Tensor | None = None) -> None:
        return None

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedRegression":
        return SolvedRegression(self.answers.to(device), self.placement)


def ridge_map(
    inputs: Float[np.ndarray, "n P"], answers: Float[np.ndarray, "n Q"]
) -> tuple[Float[np.ndarray, "P Q"], tuple[int, int, float]]:
    """The linear map between what both are beside their means, and the components and the ridge chosen for it."""
    held = max(1, round(HELD_OUT * len(inputs)))
    if len(inputs) < 4:
        raise ValueError(f"a regression needs at least 4 pairs, got {len(inputs)}")
    parts = inputs[:-held], answers[:-held]
    truth, shown = answers[-held:], inputs[-held:]
    most = min(len(parts[0]) - 1, inputs.shape[1])
    choices = [
        (p, q, ridge)
        for p in sorted({min(n, most) for n in COMPONENTS})
        for q in sorted({min(n, most, answers.shape[1]) for n in COMPONENTS})
        for ridge in RIDGES
    ]
    centre = parts[0].mean(0), parts[1].mean(0)
    seen, asked = (_decomposed(part) for part in parts)

    def error(choice: tuple[int, int, float]) -> float:
        return float(np.square((shown - centre[0]) @ _map(seen, asked, *choice) + centre[1] - truth).mean())

    chosen = min(choices, key=error)
    return _map(_decomposed(inputs), _decomposed(answers), *chosen), chosen


def _decomposed(part: Float[np.ndarray, "n P"]) -> tuple:
    """Singular value decomposition beside the mean."""
    return np.linalg.svd(part - part.mean(0), full_matrices=False)


def _map(seen: tuple, asked: tuple, p: int, q: int, ridge: float) -> Float[np.ndarray, "P Q"]:
    """From `p` components of what is seen to `q` of what is asked, each given by its singular value decomposition."""
    u, s, v = (seen[0][:, :p], seen[1][:p], seen[2][:p])
    scores = asked[0][:, :q] * asked[1][:q]
    return v.T @ ((s / (s**2 + ridge))[:, None] * (u.T @ scores)) @ asked[2][:q]


def _inputs(samples: Samples, seen: GridSignal) -> Float[np.ndarray, "B P"]:
    """Values at the samples of the training's grid."""
    placement = placement_of(samples, seen.domain, tuple(REACH / n for n in seen.shape))
    if samples.shape != seen.shape or samples.domain != seen.domain:
        samples = resampled(samples, seen.shape, seen.domain, placement)
    if samples.mask is not None and not samples.mask.all():
        raise ValueError("a regression reads whole grids, these have holes; fill them")
    return samples.values.detach().cpu().double().flatten(1).numpy()


def _grid_of(signal: Signal) -> GridSignal:
    if not isinstance(signal, GridSignal) or signal.mask is not None:
        raise ValueError(f"{signal.name}: a regression learns from grids without holes; resample or fill it")
    return signal


def _matrix(parts: Sequence[Signal]) -> Float[np.ndarray, "n P"]:
    return np.stack([_grid_of(signal).floats.reshape(-1) for signal in parts]).astype(np.float64)
