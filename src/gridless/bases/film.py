"""A film: frames in time, as forecasts read it.

A grid one of whose axes is time; the frames to come are holes at its end. `Film` puts time first and knows every cell of
every frame: a hole takes the mean of its neighbours in that frame, ring by ring; a frame of which nothing was measured is
interpolated in time, and after the last measured one stands the last. `mask` still says what was measured.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gridless.domain import Domain
from gridless.samples import Samples


def time_axis(domain: Domain | None) -> int:
    """Which axis is time: the first, where no domain says."""
    axis = None if domain is None else domain.time
    return 0 if axis is None else axis


def space_of(domain: Domain | None) -> Domain | None:
    """The domain of one moment."""
    if domain is None or len(domain.axes) == 1:
        return None
    time = time_axis(domain)
    sphere = domain.sphere
    if sphere is not None:
        sphere = (sphere[0] - (sphere[0] > time), sphere[1] - (sphere[1] > time))
    return replace(domain, axes=tuple(axis for i, axis in enumerate(domain.axes) if i != time), sphere=sphere)


def time_first(values: Float[Tensor, "*B d"], axis: int) -> Float[Tensor, "*B d"]:
    """Coordinates, or a cell, with that of time before the others."""
    if axis == 0:
        return values
    return torch.cat([values[..., axis : axis + 1], values[..., :axis], values[..., axis + 1 :]], -1)


def until(coords: Float[Tensor, "B Q d"], latest: Float[Tensor, " B"], axis: int) -> Float[Tensor, "B Q d"]:
    """The same places, no later than the latest moment."""
    when = torch.minimum(coords[..., axis], latest.to(coords.dtype)[:, None])
    return torch.cat([coords[..., :axis], when[..., None], coords[..., axis + 1 :]], -1)


@dataclass(frozen=True, eq=False)
class Film:
    """`frames` of all cells, time first; `mask`: where they were measured, None where everywhere."""

    frames: Float[Tensor, "B T *grid C"]
    mask: Bool[Tensor, "B T *grid"] | None
    axis: int
    """Of the samples, that is time."""
    joins: tuple[bool, ...]
    """Axes of space whose end is their beginning."""
    domain: Domain | None

    @classmethod
    def of(cls, samples: Samples) -> "Film":
        """Raises ValueError for scattered samples, and where nothing was measured."""
        axis = time_axis(samples.domain)
        frames, mask = samples.on_grid().movedim(1 + axis, 1), samples.mask_on_grid()
        joins = tuple(join for i, join in enumerate(samples.joins) if i != axis)
        if mask is not None:
            mask = mask.movedim(1 + axis, 1)
            if not mask.flatten(1).any(1).all():
                raise ValueError("nothing was measured: a forecast needs at least one sample that the mask keeps")
            frames = complete_in_time(complete(frames.flatten(0, 1), mask.flatten(0, 1), joins).view_as(frames), mask)
        return cls(frames, mask, axis, joins, samples.domain)

    @property
    def count(self) -> int:
        """Frames, those to come included."""
        return self.frames.shape[1]

    @cached_property
    def measured(self) -> Bool[Tensor, "B T"]:
        """Frames of which anything was."""
        if self.mask is None:
            return torch.ones(self.frames.shape[:2], dtype=torch.bool, device=self.frames.device)
        return self.mask.flatten(2).any(2)

    @cached_property
    def last(self) -> Int64[Tensor, " B"]:
        """The number of the last frame of which anything was measured."""
        return before(self.measured)[:, -1]

    def as_samples(self) -> Samples:
        """Frames of all cells in one grid, time first."""
        return Samples(self.frames.flatten(1, -2), shape=tuple(self.frames.shape[1:-1]))

    def frame_number(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q"]:
        """When coordinates lie, in frames after the first."""
        return coords[..., self.axis].double() * self.count - 0.5

    def place(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q e"]:
        """Where coordinates lie in space."""
        return time_first(coords, self.axis)[..., 1:]

    def to(self, device) -> "Film":
        mask = None if self.mask is None else self.mask.to(device)
        return replace(self, frames=self.frames.to(device), mask=mask)


def complete(
    frames: Float[Tensor, "F *grid C"], mask: Bool[Tensor, "F *grid"], joins: tuple[bool, ...]
) -> Float[Tensor, "F *grid C"]:
    """A cell that was not measured takes the mean of its neighbours that are known, ring by ring; a frame of which nothing
    was measured stays."""
    some = (~mask).flatten(1).any(1) & mask.flatten(1).any(1)
    if not some.any():
        return frames
    part, known = frames[some], mask[some]
    part = torch.where(known[..., None], part, 0)
    while not known.all():
        total, count = torch.zeros_like(part), torch.zeros_like(part[..., :1])
        for axis, join in enumerate(joins):
            for step in (1, -1):
                beside = neighbours(part.shape[1 + axis], step, join, part.device)
                here = known.index_select(1 + axis, beside)[..., None].to(part)
                total, count = total + part.index_select(1 + axis, beside) * here, count + here
        reached = ~known & (count[..., 0] > 0)
        part, known = torch.where(reached[..., None], total / count.clamp(min=1), part), known | reached
    return frames.index_put((some.nonzero()[:, 0],), part)


def complete_in_time(
    frames: Float[Tensor, "B T *grid C"], mask: Bool[Tensor, "B T *grid"]
) -> Float[Tensor, "B T *grid C"]:
    """A frame of which nothing was measured is interpolated between those of which something was, linear; before the first
    and after the last it is that one."""
    measured = mask.flatten(2).any(2)
    if measured.all():
        return frames
    first, then = before(measured), after(measured)
    first, then = torch.where(first < 0, then, first), torch.where(then >= frames.shape[1], first, then)
    number = torch.arange(frames.shape[1], device=frames.device)
    share = (number - first) / (then - first).clamp(min=1)
    share = share.to(frames).view(*share.shape, *(1,) * (frames.ndim - 2))
    batch = torch.arange(len(frames), device=frames.device)[:, None]
    return torch.lerp(frames[batch, first], frames[batch, then], share)


def before(measured: Bool[Tensor, "B T"]) -> Int64[Tensor, "B T"]:
    """Of every frame the last measured one until then; -1 where there is none."""
    number = torch.arange(measured.shape[1], device=measured.device)
    return torch.where(measured, number, -1).cummax(1).values


def after(measured: Bool[Tensor, "B T"]) -> Int64[Tensor, "B T"]:
    """Of every frame the first measured one from then on; T where there is none."""
    count = measured.shape[1]
    return count - 1 - before(measured.flip(1)).flip(1)


def neighbours(count: int, step: int, join: bool, device) -> Int64[Tensor, " n"]:
    """The cell `step` further along an axis: on the other side where it joins, else no further than the outermost."""
    index = torch.arange(count, device=device) + step
    return index.remainder(count) if join else index.clamp(0, count - 1)


def smoothed(values: Float[Tensor, "F *grid"], width: float, joins: tuple[bool, ...]) -> Float[Tensor, "F *grid"]:
    """Gaussian means of this deviation, in cells; the outermost cell repeats beyond a border."""
    for axis, join in enumerate(joins):
        count = values.shape[1 + axis]
        if count == 1:
            continue
        reach = min(max(1, round(3 * width)), count - 1)
        weight = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=values.device) / width).square())
        weight = (weight / weight.sum()).to(values)
        rows = values.movedim(1 + axis, -1)
        padded = F.pad(rows.reshape(-1, 1, count), (reach, reach), mode="circular" if join else "replicate")
        values = F.conv1d(padded, weight[None, None]).view(rows.shape).movedim(-1, 1 + axis)
    return values
