"""Persistence: what was seen last goes on. The first thing that a forecast has to beat.

Between seen frames the answer is linear in time, beyond the last one it stays. Scattered readings are kriged in space and
time, and asked no later than the last of them: readings that move have no place whose latest value could go on.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.film import Film, after, before, time_axis, time_first, until
from gridless.bases.interpolation import Interpolation, in_blocks, taps, weighed
from gridless.bases.kriging import Kriging
from gridless.coords import Lattice
from gridless.field import Field
from gridless.protocols import Solved
from gridless.samples import Samples


@dataclass(frozen=True)
class Persistence:
    """`kind`: how a frame is interpolated in space, as by `Interpolation`; its holes are filled from their neighbours."""

    kind: str = "bicubic"

    name = "persistence"

    def __post_init__(self):
        Interpolation(self.kind)
        if self.kind == "bspline":
            raise ValueError("persistence reads frames by a local kernel, got 'bspline'; take bicubic")

    def solve(self, samples: Samples) -> "SolvedPersistence | SolvedLatest":
        """Raises ValueError where nothing was measured."""
        if samples.shape is None:
            return SolvedLatest.of(samples)
        return SolvedPersistence(self.kind, Film.of(samples))

    def encode(self, samples: Samples) -> Field:
        """As a baseline: samples in, field out."""
        return Field.of_base(self, samples)


@dataclass(frozen=True, eq=False)
class SolvedPersistence:
    """Of a grid: differentiable in the coordinates and in the values."""

    kind: str
    film: Film

    spread = False
    differentiable = True

    def __call__(
        self, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None
    ) -> Float[Tensor, "B Q C"]:
        """Values at `coords` in [0, 1], averaged over `cell` where that is larger than a sample's."""
        film, grid = self.film, self.film.as_samples()
        coords = time_first(coords, film.axis)
        cell = None if cell is None else time_first(cell, film.axis)
        axes = [
            taps(self._kind(a), coords[..., a], None if cell is None else cell[..., a], n, a > 0 and film.joins[a - 1])
            for a, n in enumerate(grid.grid_shape)
        ]
        return in_blocks(grid, axes, coords.shape[1])

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N C"]:
        """Axis by axis."""
        film, values = self.film, self.film.frames
        if lattice.axes[0].requires_grad:
            return self(lattice.points(len(values)), cell)
        axes, cell = list(lattice.axes), time_first(cell, film.axis)
        axes.insert(0, axes.pop(film.axis))
        for a in range(len(axes) - 1, -1, -1):
            read = taps(self._kind(a), axes[a][None], cell[:1, :, a], values.shape[1 + a], a > 0 and film.joins[a - 1])
            values = weighed(values.movedim(1 + a, 0), read).movedim(0, 1 + a)
        return values.movedim(1, 1 + film.axis).flatten(1, -2)

    @property
    def latest(self) -> Float[Tensor, " B"]:
        """When the last seen frame was, in [0, 1]."""
        return (self.film.last.double() + 0.5) / self.film.count

    def variance(
        self, coords: Float[Tensor, "B Q d"], change: Float[Tensor, "B Q C"], anomaly: Float[Tensor, "B Q C"]
    ) -> Float[Tensor, "B Q C"]:
        """Of the answer until the last frame, where a frame of lead has the variance `change` and what was not measured
        `anomaly`: between two frames that of a path that is known at both, at a hole all of it."""
        film, batch = self.film, torch.arange(len(coords), device=coords.device)[:, None]
        when = film.frame_number(coords).clamp(0, film.count - 1)
        first = before(film.measured)[batch, when.detach().floor().long()]
        then = after(film.measured)[batch, when.detach().ceil().long()]
        inside = (first >= 0) & (then < film.count) & (then > first)
        gap = (then - first).clamp(min=1)
        share = torch.where(inside, (when - first) / gap, 0.0)
        variance = (gap * share * (1 - share))[..., None] * change
        if film.mask is None:
            return variance
        known = film.mask | ~film.measured.view(*film.measured.shape, *(1,) * (film.mask.ndim - 2))
        frames = known[..., None].to(film.frames)
        hole = 1 - replace(self, kind="bilinear", film=replace(film, frames=frames, mask=None))(coords)
        return variance + hole.clamp(0, 1) * anomaly

    def std(self, coords: Tensor, cell: Tensor | None = None) -> None:
        return None

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedPersistence":
        return SolvedPersistence(self.kind, self.film.to(device))

    def _kind(self, axis: int) -> str:
        """Linear in time, which is first."""
        return self.kind if axis else "bilinear"


@dataclass(frozen=True, eq=False)
class SolvedLatest:
    """Of scattered readings: kriging, asked no later than the last reading."""

    kriged: Solved
    latest: Float[Tensor, " B"]
    """When the last reading of each field was made, in [0, 1]."""
    axis: int
    """Of the coordinates, that is time."""

    spread = False
    differentiable = True

    @classmethod
    def of(cls, samples: Samples) -> "SolvedLatest":
        axis = time_axis(samples.domain)
        when = samples.point_coords[..., axis]
        latest = when if samples.mask is None else when.where(samples.mask, -torch.inf)
        return cls(Kriging().solve(samples), latest.amax(1), axis)

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self.kriged(until(coords, self.latest, self.axis))

    def variance(
        self, coords: Float[Tensor, "B Q d"], change: Float[Tensor, "B Q C"], anomaly: Float[Tensor, "B Q C"]
    ) -> Float[Tensor, "B Q C"]:
        """Of the answer until the last reading: kriging knows."""
        std = self.kriged.std(coords)
        assert std is not None, "kriging has a spread"
        return std.square()

    def std(self, coords: Tensor, cell: Tensor | None = None) -> None:
        """None: kriging knows how sure the last moment is, not how it goes on."""
        return None

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedLatest":
        return SolvedLatest(self.kriged.to(device), self.latest.to(device), self.axis)
