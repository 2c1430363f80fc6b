"""A window that is the whole domain: samples of the same domain on any grid, as the model's own grid has them.

Where `signal.whole` says so, a finer grid is no larger domain: its values are taken at the model's samples (averaged over
them, where they are cells; interpolated, where they are nodes), and a question is asked where it lies in the model's domain.
Scattered readings keep their values and move to the model's domain.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gridless import config as c
from gridless.bases.interpolation import Interpolation
from gridless.coords import Lattice, grid
from gridless.domain import Domain
from gridless.network.parts import Network, Reader
from gridless.samples import Samples

REACH = 0.51  # of a step of the model's grid: how far the extent of samples may lie beyond the model's
REACH_OF_POINTS = 0.05  # the same of points, of the domain's length
ROUNDING = 0.01  # of a step: a sample of the model's grid as far outside of what was sampled lies on its border


@dataclass(frozen=True)
class Placement:
    """Where the unit coordinates u of some samples lie in a model's domain: scale · u + offset, axis by axis."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    joins: tuple[bool, ...]

    def __call__(self, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B d"]:
        columns = [self.axis(column, i) for i, column in enumerate(coords.unbind(-1))]
        return torch.stack(columns, -1)

    def axis(self, column: Float[Tensor, "*B"], axis: int) -> Float[Tensor, "*B"]:
        """Along one axis; round it, where its end is its beginning."""
        placed = self.scale[axis] * column + self.offset[axis]
        return placed.remainder(1) if self.joins[axis] else placed

    def back(self, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B d"]:
        """u of the samples of places in the model's domain."""
        pairs = zip(coords.unbind(-1), self.scale, self.offset, self.joins, strict=True)
        columns = [((x - offset) / scale, join) for x, scale, offset, join in pairs]
        return torch.stack([x.remainder(1) if join else x for x, join in columns], -1)


@dataclass(frozen=True, eq=False)
class PlacedReader:
    """A reader of the model's domain, asked in the unit coordinates of the samples."""

    reader: Reader
    placement: Placement

    def __call__(self, coords: Tensor, cell: Tensor, latents_at: Tensor | None = None) -> Float[Tensor, "B Q k"]:
        return self.reader(self.placement(coords), cell, None if latents_at is None else self.placement(latents_at))

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N k"]:
        axes = tuple(self.placement.axis(x, i) for i, x in enumerate(lattice.axes))
        return self.reader.on_lattice(Lattice(axes), cell)

    def to(self, network: Network, device) -> "PlacedReader":
        return PlacedReader(self.reader.to(network, device), self.placement)


def in_domain(samples: Samples, config: c.Model, domain: Domain | None) -> tuple[Samples, Placement | None]:
    """The samples in the model's domain, on its own grid if it sees grids, and where their coordinates lie there (None:
    where they are). Raises ValueError for axes of other names and for samples that reach beyond the model's domain."""
    signal = config.signal
    if not signal.whole:
        return samples, None
    points = isinstance(config.tokenizer, c.Points)
    domain = domain if samples.domain is not None else None
    same = domain is None or samples.domain == domain
    if same and (points or samples.shape == signal.windows):
        return samples, None
    if isinstance(config.head, c.FlowHead) and not same:
        raise ValueError("head.kind 'flow' reads samples in the domain of its training alone; give them that domain")
    placement = _placement(samples, signal, domain, points)
    if points:
        scattered = samples.as_points()
        placed = placement(scattered.point_coords.double()).to(scattered.point_coords.dtype)
        return replace(scattered, coords=placed, domain=domain), None if same else placement
    return _resampled(samples, signal.windows, domain, placement), None if same else placement


def _placement(samples: Samples, signal: c.Signal, domain: Domain | None, points: bool) -> Placement:
    if domain is None or samples.domain is None:
        return Placement((1.0,) * samples.axes, (0.0,) * samples.axes, samples.joins)
    own = samples.domain
    if [(a.name, a.unit) for a in own.axes] != [(a.name, a.unit) for a in domain.axes]:
        names = [", ".join(f"{a.name} {a.unit}".rstrip() for a in d.axes) for d in (domain, own)]
        raise ValueError(
            f"this model was trained on the axes {names[0]}, got {names[1]}; name them alike, in its units"
        )
    scale = tuple(a.length / b.length for a, b in zip(own.axes, domain.axes, strict=True))
    offset = tuple((a.start - b.start) / b.length for a, b in zip(own.axes, domain.axes, strict=True))
    reach = (REACH_OF_POINTS,) * samples.axes if points else tuple(REACH / n for n in signal.windows)
    for mine, other, s, o, r, join in zip(own.axes, domain.axes, scale, offset, reach, domain.joins, strict=True):
        if not join and (min(o, o + s) < -r or max(o, o + s) > 1 + r):
            raise ValueError(
                f"along {mine.name} these samples reach from {mine.start:g} to {mine.start + mine.length:g}, the model was "
                f"trained within {other.start:g} … {other.start + other.length:g}; give a part inside"
            )
    return Placement(scale, offset, domain.joins)


def _resampled(samples: Samples, shape: tuple[int, ...], domain: Domain | None, placement: Placement) -> Samples:
    values = samples.values
    places = placement.back(grid(*shape, dtype=torch.float64, device=values.device))
    cell = torch.tensor([[_cell(samples, placement, axis, n) for axis, n in enumerate(shape)]], dtype=torch.float64)
    reach = torch.tensor([ROUNDING / (n * abs(s)) for n, s in zip(shape, placement.scale, strict=True)])
    inside = ((places > -reach.to(places)) & (places < 1 + reach.to(places))).all(-1).expand(len(values), -1)
    places = places.clamp(0, 1).to(values.dtype).expand(len(values), -1, -1)
    cells = cell.to(values.dtype).expand(len(values), -1, -1)
    resampled = Interpolation("bicubic", fill=True).solve(samples)(places, cells)
    if samples.mask is not None:
        known = replace(samples, values=samples.mask[..., None].to(values.dtype), mask=None)
        inside = inside & (Interpolation("nearest").solve(known)(places)[..., 0] > 0.5)
    mask = None if bool(inside.all()) else inside
    return replace(samples, values=resampled, shape=shape, mask=mask, noise=None, domain=domain or samples.domain)


def _cell(samples: Samples, placement: Placement, axis: int, n: int) -> float:
    """What a sample of the model's grid stands for, over the extent of these samples: a cell of it, or a place."""
    nodes = samples.domain is not None and samples.domain.axes[axis].samples == "nodes"
    own = 1 / samples.grid_shape[axis]
    return own if nodes else max(own, 1 / (n * abs(placement.scale[axis])))
