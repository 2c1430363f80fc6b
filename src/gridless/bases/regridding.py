"""Samples of one domain on another grid of it: where unit coordinates lie there, and values at its samples.

Where cells are made coarser they are averaged (by the widened bicubic kernel); nodes are interpolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.interpolation import Interpolation
from gridless.coords import grid
from gridless.domain import Domain
from gridless.samples import Samples

REACH = 0.51  # of a step of the model's grid: how far the extent of samples may lie beyond the model's
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


def placement_of(samples: Samples, domain: Domain | None, reach: Sequence[float]) -> Placement:
    """Where samples lie in a domain. Raises ValueError for axes of other names, and for samples that lie further outside
    than `reach` (of its length, per axis)."""
    if domain is None or samples.domain is None:
        return Placement((1.0,) * samples.axes, (0.0,) * samples.axes, samples.joins)
    own = samples.domain
    if [(a.name, a.unit) for a in own.axes] != [(a.name, a.unit) for a in domain.axes]:
        names = [", ".join(f"{a.name} {a.unit}".rstrip() for a in d.axes) for d in (domain, own)]
        raise ValueError(
            f"training saw the axes {names[0]}, these samples have {names[1]}; name them alike, in its units"
        )
    scale = tuple(a.length / b.length for a, b in zip(own.axes, domain.axes, strict=True))
    offset = tuple((a.start - b.start) / b.length for a, b in zip(own.axes, domain.axes, strict=True))
    for mine, other, s, o, r, join in zip(own.axes, domain.axes, scale, offset, reach, domain.joins, strict=True):
        if not join and (min(o, o + s) < -r or max(o, o + s) > 1 + r):
            raise ValueError(
                f"along {mine.name} these samples reach from {mine.start:g} to {mine.start + mine.length:g}, training was "
                f"within {other.start:g} … {other.start + other.length:g}; give a part inside"
            )
    return Placement(scale, offset, domain.joins)


def resampled(samples: Samples, shape: tuple[int, ...], domain: Domain | None, placement: Placement) -> Samples:
    """The values at the samples of a grid over the domain; outside of what was sampled, none was measured."""
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
