"""What a place is usually like at a time: the climatology that a forecast of anomalies goes back to.

level   one number for each channel
mean    the mean of past frames at every cell
year    that, and harmonics of the year; how many is chosen by leaving runs of frames out (climatology.py)
day     that of the day
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.bases.climatology import HARMONICS, Sums, design, harmonics_of, runs
from gridless.bases.film import space_of, time_axis, time_first
from gridless.bases.past_films import PastFilms
from gridless.bases.sized import SizedBuffers
from gridless.bases.spatial import GridNodes
from gridless.domain import RELATIVE_TIME, TIME, Domain
from gridless.samples import Samples

Climatology = Literal["level", "mean", "year", "day"]
CYCLE = {"year": 365.2425 * 86400.0, "day": 86400.0}  # seconds


class Usual(SizedBuffers):
    """Buffers of the grid's size have it once it is fitted or loaded."""

    coefficients: Tensor
    inside: Tensor
    joins: Tensor
    extent: Tensor
    step: Tensor
    """From frame to frame, in the domain's unit of time; −1 where nobody knows, 0 before it is fitted."""

    def __init__(self, kind: Climatology, axes: int, channels: int):
        super().__init__()
        self.kind: Climatology = kind
        self.register_buffer("coefficients", torch.zeros(1, channels, 1 + 2 * HARMONICS))
        self.register_buffer("inside", torch.ones((1,) * axes, dtype=torch.bool))
        self.register_buffer("joins", torch.zeros(axes, dtype=torch.bool))
        self.register_buffer("extent", torch.zeros(axes, 2, dtype=torch.float64))
        self.register_buffer("step", torch.zeros((), dtype=torch.float64))

    @property
    def fitted(self) -> bool:
        return bool(self.step != 0)

    @property
    def nodes(self) -> GridNodes:
        """Of the grid of the past films."""
        return GridNodes(tuple(self.inside.shape), tuple(self.joins.tolist()), "linear")

    def fit(self, past: PastFilms) -> None:
        """Raises ValueError where the kind needs times that the films' domain does not know."""
        flat = torch.cat(past.films)
        known = flat.isfinite().all(-1).any(0)
        if not known.any():
            raise ValueError("nothing was measured in the films of the past; look at their mask")
        if self.kind == "level":
            coefficients = torch.zeros(*past.grid, flat.shape[-1], 1 + 2 * HARMONICS, dtype=torch.float64)
            coefficients[..., 0] = flat.double().flatten(0, -2).nanmean(0)
        else:
            phase = self._past_phase(past)
            cycle = self.kind if self.kind in ("year", "day") else "none"
            frames, folds = [Frame(frame) for frame in flat], runs(len(flat))
            sums = Sums.of(frames, phase, cycle, folds)
            harmonics = harmonics_of(frames, phase, cycle, sums, folds)
            coefficients = sums.coefficients(range(len(folds)), harmonics)
        device = self.coefficients.device
        self.joins = torch.tensor(past.joins, device=device)
        self.inside = known.to(device)
        parts = self.everywhere(coefficients.flatten(-2).flatten(0, -2))
        self.coefficients = parts.unflatten(-1, coefficients.shape[-2:]).float().contiguous()
        self.extent = extent_of(past.space, len(past.grid)).to(device)
        self.step = torch.tensor(past.step or -1.0, dtype=torch.float64, device=device)

    def everywhere(self, values: Float[Tensor, "P F"]) -> Float[Tensor, "P F"]:
        """Values of the grid's cells, where nothing was ever measured those of their neighbours."""
        return self.nodes.extended(values.to(self.inside.device), self.inside.flatten())

    def anomalies(self, past: PastFilms) -> list[Float[Tensor, "S P C"]]:
        """Of past films, at every cell; NaN where nothing was measured."""
        rows = design(self._past_phase(past)).float().split([len(film) for film in past.films])
        return [
            film.flatten(1, -2) - torch.einsum("pck,sk->spc", self.coefficients.cpu(), row)
            for film, row in zip(past.films, rows, strict=True)
        ]

    def solve(self, samples: Samples) -> "SolvedUsual":
        """Raises ValueError where times are needed and unknown, and for another domain than that of the past."""
        axis, start, length = time_axis(samples.domain), torch.zeros((), dtype=torch.float64), 0.0
        extent = extent_of(space_of(samples.domain), len(self.extent)).to(self.extent)
        if self.fitted and extent.any() and self.extent.any() and not torch.allclose(extent, self.extent, rtol=1e-4):
            raise ValueError(
                "these samples lie in another domain than the films of the past; give domain=… of those, or take base.usual "
                "'level'"
            )
        if self.fitted and self.kind in CYCLE:
            start, length = self._cycle(samples, axis)
        kept = 1 + 2 * HARMONICS if self.kind in CYCLE else 1
        return SolvedUsual(self.nodes, self.coefficients[..., :kept], axis, start.to(self.step.device), length)

    def _cycle(self, samples: Samples, axis: int) -> tuple[Float[Tensor, "*B"], float]:
        """Where the axis of time begins and how long it is, in cycles."""
        domain, period = samples.domain, CYCLE[self.kind]
        unit = None if domain is None else domain.axes[axis].unit
        since = samples.epoch if unit == RELATIVE_TIME else None
        if domain is None or (unit != TIME and since is None):
            raise ValueError(
                f"base.usual {self.kind!r} needs to know when: give the samples a domain with times, or where its times are "
                "relative, epoch=…: the moment of their zero for each field, in seconds since 1970"
            )
        start, length = domain.axes[axis].start / period, domain.axes[axis].length / period
        if since is None:
            return torch.tensor(start, dtype=torch.float64), length
        return since.double()[:, None] / period + start, length

    def _past_phase(self, past: PastFilms) -> Float[Tensor, " S"]:
        if self.kind not in CYCLE:
            return torch.zeros(past.frames, dtype=torch.float64)
        if past.seconds is None:
            raise ValueError(
                f"base.usual {self.kind!r} needs films with times; give them a domain whose time is datetime64"
            )
        return (torch.cat(past.seconds) / CYCLE[self.kind]).remainder(1)


@dataclass(frozen=True, eq=False)
class SolvedUsual:
    """Anywhere in space and time."""

    nodes: GridNodes
    coefficients: Float[Tensor, "P C K"]
    axis: int
    """Of the coordinates, that is time."""
    start: Float[Tensor, "*B"]
    """Where that begins, in cycles."""
    length: float

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        """What is usual at coordinates in [0, 1]."""
        return self.at(time_first(coords, self.axis)[..., 1:], coords[..., self.axis])

    def at(self, place: Float[Tensor, "B Q e"], time: Float[Tensor, "B Q"]) -> Float[Tensor, "B Q C"]:
        """At places and times, in [0, 1]."""
        count = self.coefficients.shape[-1]
        at = self.nodes.evaluate(place, self.coefficients.flatten(1)).unflatten(-1, (-1, count))
        if count == 1:
            return at[..., 0]
        phase = (self.start + self.length * time.double()).remainder(1)
        rows = design(phase.flatten(), (count - 1) // 2).unflatten(0, phase.shape)
        return (at * rows[..., None, :].to(at)).sum(-1)

    def to(self, device) -> "SolvedUsual":
        return replace(self, coefficients=self.coefficients.to(device), start=self.start.to(device))


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment, as a climatology reads it: NaN where nothing was measured."""

    values: Float[Tensor, "*grid C"]
    mask: Bool[Tensor, "*grid"] | None = None


def extent_of(domain: Domain | None, axes: int) -> Float[Tensor, "e 2"]:
    """Start and length of every axis; zeros without a domain."""
    if domain is None:
        return torch.zeros(axes, 2, dtype=torch.float64)
    return torch.tensor([[axis.start, axis.length] for axis in domain.axes], dtype=torch.float64)
