"""Advection: what moved goes on moving. The classical nowcast of rain.

Velocities come from the last pairs of measured frames (`motion.py`) and stand still; every question is traced back along
them to the last frame (semi-Lagrangian, the midpoint rule), and takes the value there, interpolated. What came from outside
the domain takes the outermost value, on an axis that joins the one from the other side. Between two seen frames each is
moved to the question's time, and both are blended.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gridless.bases.film import Film, after, before
from gridless.bases.interpolation import Interpolation, Taps, in_blocks, taps
from gridless.bases.motion import Velocities, velocities
from gridless.field import Field
from gridless.samples import Samples

STEPS = 6  # of a trajectory


@dataclass(frozen=True)
class Advection:
    """`pairs`: of how many pairs of frames the velocities come that go on. `kind`: how a frame is interpolated in space, as
    by `Interpolation`; its holes are filled from their neighbours."""

    pairs: int = 2
    kind: str = "bicubic"

    name = "advection"

    def __post_init__(self):
        Interpolation(self.kind)
        if self.kind in ("bspline", "nearest"):
            raise ValueError(f"advection reads frames by a local, continuous kernel, got {self.kind!r}; take bicubic")
        if self.pairs < 1:
            raise ValueError(f"velocities come from at least one pair of frames, got pairs = {self.pairs}")

    def solve(self, samples: Samples) -> "SolvedAdvection":
        """Raises ValueError for scattered samples, no axis of space, and where nothing was measured."""
        if samples.shape is None:
            raise ValueError("advection moves frames on a grid, got scattered samples; take persistence, or kriging")
        if samples.axes < 2:
            raise ValueError("advection needs an axis of space beside that of time, got a grid of one axis")
        return SolvedAdvection(self, Film.of(samples))

    def encode(self, samples: Samples) -> Field:
        """As a baseline: samples in, field out."""
        return Field.of_base(self, samples)


@dataclass(frozen=True, eq=False)
class SolvedAdvection:
    """Differentiable in the coordinates and in the values."""

    base: Advection
    film: Film

    spread = False
    differentiable = True

    @cached_property
    def latest(self) -> Velocities:
        """Those that go on after the last frame."""
        return velocities(self.film, self.film.last, self.base.pairs)

    @cached_property
    def every(self) -> Velocities:
        """Those from every frame on: of the pair that it begins, and from the last one on the latest."""
        film, latest = self.film, self.latest.values
        again = film.count - 1
        held = None if film.mask is None else film.mask.repeat_interleave(again, 0)
        repeated = replace(film, frames=film.frames.repeat_interleave(again, 0), mask=held)
        flow = velocities(repeated, after(film.measured)[:, 1:].clamp(max=film.count - 1).flatten(), 1)
        values = torch.cat([flow.values.view(len(latest), again, *latest.shape[2:]), latest], 1)
        number = torch.arange(film.count, device=values.device)[:, None, None]
        return replace(flow, values=torch.where(number < film.last[:, None, None, None], values, latest))

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        film, batch = self.film, torch.arange(len(coords), device=coords.device)[:, None]
        place, when, last = film.place(coords).double(), film.frame_number(coords), film.last[:, None]
        number = torch.minimum(when.detach().floor().long().clamp(min=0), last)
        first, then = before(film.measured)[batch, number], after(film.measured)[batch, torch.minimum(number + 1, last)]
        first = torch.where(first < 0, then, first)  # before the first measured frame
        if bool((first == last).all()):
            return self._traced(self.latest, torch.zeros_like(first), place, when - first, first)
        forth = self._traced(self.every, first, place, when - first, first)
        back = self._traced(self.every, first, place, when - then, then)
        share = (when - first) / (then - first).clamp(min=1) * (then > first)
        return torch.lerp(forth, back, share.clamp(0, 1)[..., None].to(forth))

    def _traced(
        self,
        flow: Velocities,
        number: Int64[Tensor, "B Q"],
        place: Float[Tensor, "B Q e"],
        time: Float[Tensor, "B Q"],
        frame: Int64[Tensor, "B Q"],
    ) -> Float[Tensor, "B Q C"]:
        """The value in `frame` of where each place came from, `time` frames before, by the velocities of a `number`."""
        step = (time / STEPS)[..., None]
        for _ in range(STEPS):
            middle = place - flow(place, number) * step / 2
            place = place - flow(middle, number) * step
        grid = self.film.as_samples()
        axes = [Taps(frame[..., None], torch.ones_like(place[..., :1]), None)]
        for a, join in enumerate(self.film.joins):
            along = place[..., a]
            along = along - along.detach().floor() if join else along.clamp(0, 1)
            axes.append(taps(self.base.kind, along, None, grid.grid_shape[1 + a], join))
        return in_blocks(grid, axes, place.shape[1])

    def std(self, coords: Tensor, cell: Tensor | None = None) -> None:
        return None

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedAdvection":
        return SolvedAdvection(self.base, self.film.to(device))
