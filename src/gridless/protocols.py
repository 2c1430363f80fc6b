"""The seams of the house, as types.

Base, Solved, Correction, Draws, Answer   what a base, its solved form and a network promise a field
Task, Batch, Case                         what training, evaluation and sweeps know of a task
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.coords import Lattice
from gridless.samples import Samples, moved

if TYPE_CHECKING:
    from gridless.data.signals import Signal
    from gridless.data.sources import Source


@dataclass(frozen=True, eq=False)
class Answer:
    """Values and, where they are known, their standard deviations."""

    mean: Float[Tensor, "B Q C"]
    std: Float[Tensor, "B Q C"] | None = None

    def deviation(self) -> Float[Tensor, "B Q C"]:
        """`std`. Raises ValueError for an answer that knows none."""
        if self.std is None:
            raise ValueError("this answer knows no standard deviation; ask a base, head or task that has a spread")
        return self.std


class Draws(Protocol):
    """Posterior samples, each a function of coordinates."""

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]: ...


class Solved(Protocol):
    """A base that was solved for the samples: the classical answer that a field starts at. One with a method
    `on_lattice(lattice, cell)` answers the points of a lattice at once, as `__call__` does one by one; with
    `mean_and_std(coords, cell)` gives values and deviations for the price of one; with `left_out()` it says what it would
    answer at each reading's place without that reading (an Answer (B N C); of masked ones, anything); with an
    attribute `kept` the samples as it keeps them, which is all that a network with signal.seen 'base' sees."""

    @property
    def spread(self) -> bool:
        """Whether `std` knows the deviation of the values."""
        ...

    @property
    def differentiable(self) -> bool:
        """Whether values have a derivative by coordinates and samples."""
        ...

    def __call__(
        self, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None
    ) -> Float[Tensor, "B Q C"]: ...
    def std(
        self, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None
    ) -> Float[Tensor, "B Q C"] | None: ...
    def draws(self, n: int, seed: int) -> Draws | None:
        """Posterior samples; None of a base that has none."""
        ...

    def to(self, device) -> "Solved": ...
    def gate(self, cell: Float[Tensor, "B #Q d"]) -> Float[Tensor, "B #Q 1"] | float:
        """How much of a network's correction counts at this cell, relative to a sample's."""
        ...


def answer_of(solved: Solved, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None) -> Answer:
    """Values and, of a base that knows them, their deviations: at once where it has a method `mean_and_std`."""
    at_once = getattr(solved, "mean_and_std", None)
    if at_once is not None:
        return at_once(coords, cell)
    return Answer(solved(coords, cell), solved.std(coords, cell) if solved.spread else None)


class Base(Protocol):
    """What can be solved for samples."""

    @property
    def name(self) -> str: ...
    def solve(self, samples: Samples) -> Solved: ...


@runtime_checkable
class Learned(Protocol):
    """A base that is fitted to the fields of training first."""

    @property
    def needs_fit(self) -> bool: ...
    def fit(self, data: "Sequence[Signal] | Source") -> dict[str, float | int]:
        """What it says of the fit: facts of the run."""
        ...


class Correction(Protocol):
    """What a network adds to its base."""

    @property
    def spread(self) -> bool:
        """Whether answers know their standard deviation."""
        ...

    @property
    def joint(self) -> bool:
        """Whether an answer depends on the other questions of its call."""
        ...

    @property
    def channels(self) -> int:
        """Of an answer."""
        ...

    def answer(
        self,
        solved: Solved,
        coords: Float[Tensor, "B Q d"],
        cell: Float[Tensor, "B #Q d"] | None,
        ratio: Float[Tensor, "B #Q d"],
        latents_at: Float[Tensor, "B Q d"] | None,
    ) -> Answer:
        """`cell` in units of the field, None where nobody asked for one; `ratio` relative to a sample's."""
        ...

    def on_lattice(
        self, solved: Solved, base: Float[Tensor, "B N C"], lattice: Lattice, ratio: Float[Tensor, "B 1 d"]
    ) -> Float[Tensor, "B N C"]:
        """The values on a lattice, of a base without a spread, whose own values there are `base`."""
        ...

    def draws(self, solved: Solved, n: int, seed: int) -> Draws | None: ...

    def check_fresh(self) -> None:
        """Raises ValueError if the network was trained on since the field was made."""
        ...

    def to(self, device) -> "Correction": ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Seen samples, asked coordinates with their cell, and the values there; `measured` is False where nobody knows them."""

    samples: Samples
    coords: Float[Tensor, "B Q d"]
    cell: Float[Tensor, "B #Q d"]
    target: Float[Tensor, "B Q C"]
    latents_at: Float[Tensor, "B Q d"] | None = None
    """Where the latents are read, if not at `coords`."""
    measured: Bool[Tensor, "B Q"] | None = None

    def to(self, device) -> "Batch":
        """The cell stays: the base reads it on the host to choose its taps, and must not wait for a GPU."""
        coords, target = moved(self.coords, device), moved(self.target, device)
        latents_at = None if self.latents_at is None else moved(self.latents_at, device)
        measured = None if self.measured is None else moved(self.measured, device)
        return Batch(self.samples.to(device), coords, self.cell, target, latents_at, measured)


@dataclass(frozen=True, eq=False)
class Case:
    """One question of an evaluation: samples of one field, what is asked of it, and the truth.

    Either a whole grid is asked (`shape`, `truth` (*shape C)) or `coords` (truth (Q C)).
    """

    name: str
    samples: Samples
    truth: Float[np.ndarray, "*asked C"]
    shape: tuple[int, ...] | None = None
    coords: Float[Tensor, "Q d"] | None = None
    measured: Bool[np.ndarray, "*asked"] | None = None
    kind: str = "values"
    """What is measured of the answer: `picture`, or `values`."""
    peak: float = 1.0
    """The range of the values."""
    readings: bool = False
    """Whether the truth is of readings, with an error of their own, rather than of the field."""
    tags: dict[str, float | str | None] = field(default_factory=dict)
    """What the question is about: scale, sensors, noise, family."""

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The shape of the grid that is asked. Raises ValueError where places are asked."""
        if self.shape is None:
            raise ValueError(f"{self.name} is asked at places, not on a grid; take its coords")
        return self.shape


class Task(Protocol):
    """What `fit`, `evaluate` and `sweep` know of a task."""

    @property
    def kind(self) -> str: ...
    def draw(
        self,
        signals: "Sequence[Signal] | Source",
        rng: np.random.Generator,
        *,
        window: tuple[int, ...],
        batch: int,
        queries: int | None,
    ) -> Batch:
        """A training batch: grids are seen at `window` samples per axis, `queries` points are asked of each field (None:
        all there are)."""
        ...

    def cases(self, signals: "Sequence[Signal]") -> Iterator[Case]:
        """What evaluation asks of these signals, always the same."""
        ...

    def for_validation(self) -> "Task":
        """The same task with less to ask, for while a model trains."""
        ...
