"""Signals: what there is to learn from and to measure.

    GridSignal   values on a grid of any axes and channels: arrays, volumes, archives
    Picture      the same in 8 bits, made smaller by the protocol of picture benchmarks (pictures as signals)
    Readings     stations at their places
    Formula      a function of coordinates, such as a wave

`sources.py` makes them of arrays, tensors, samples, photos and paths.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.data.pictures import quantise, resize_bicubic
from gridless.data.resampling import Profile, resample
from gridless.domain import Domain
from gridless.samples import Samples

ALIKE = 1.2  # ratio of two steps that are about the same


@dataclass(frozen=True, eq=False)
class Reading:
    """Values at some places of a signal."""

    coords: Float[Tensor, "N d"]
    values: Float[Tensor, "N C"]
    noise: Float[Tensor, " N"] | None = None

    def split(self, count: int) -> tuple["Reading", "Reading"]:
        """The first `count`, and the others."""
        return self._part(slice(count)), self._part(slice(count, None))

    def _part(self, part: slice) -> "Reading":
        return Reading(self.coords[part], self.values[part], None if self.noise is None else self.noise[part])


class Signal(ABC):
    """What was measured of one field, or is known of it."""

    name: str
    axes: int
    channels: int
    domain: Domain | None = None
    group: str | None = None
    """What kind of field it is, where a sequence holds several."""
    peak: float = 1.0
    """The range of the values, for PSNR."""
    kind: str = "values"

    @abstractmethod
    def read(self, rng: np.random.Generator, count: int, placement: str = "random") -> Reading:
        """`count` values at different places, in random order; fewer where fewer were measured."""

    def standard(self) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]] | None:
        """Mean and deviation per channel, where all of the signal is known."""
        return None


@dataclass(frozen=True, eq=False)
class GridSignal(Signal):
    """Values (*grid C); `mask` is False where nothing was measured."""

    name: str
    values: Float[np.ndarray, "*grid C"]
    mask: Bool[np.ndarray, "*grid"] | None = None
    domain: Domain | None = None
    group: str | None = None
    whole: "GridSignal | None" = None
    """What this is a part of."""
    units: tuple[Float[Tensor, " C"], Float[Tensor, " C"]] | None = None
    """Mean and deviation of the whole, where this is a part."""

    def __post_init__(self):
        if self.values.ndim < 2 or 0 in self.values.shape:
            raise ValueError(
                f"{self.name}: expected an array (*grid, C) with at least one axis, got {self.values.shape}"
            )
        if self.mask is not None and self.mask.shape != self.values.shape[:-1]:
            raise ValueError(f"{self.name}: mask must be {self.values.shape[:-1]}, got {self.mask.shape}")
        if self.mask is not None and not self.mask.any() and self.whole is None:
            raise ValueError(f"{self.name}: nothing was measured, all {self.mask.size} samples are masked or NaN")

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along every axis."""
        return self.values.shape[:-1]

    @property
    def axes(self) -> int:
        """Of its grid."""
        return self.values.ndim - 1

    @property
    def channels(self) -> int:
        """Values of a sample."""
        return self.values.shape[-1]

    @cached_property
    def peak(self) -> float:
        if self.whole is not None:
            return self.whole.peak
        measured = self.floats if self.mask is None else self.floats[self.mask]
        return float(measured.max() - measured.min()) or 1.0

    @property
    def nodes(self) -> tuple[bool, ...]:
        """Axes whose first and last sample lie on the border."""
        domain = (self.whole or self).domain
        return (False,) * self.axes if domain is None else tuple(axis.samples == "nodes" for axis in domain.axes)

    @property
    def floats(self) -> Float[np.ndarray, "*grid C"]:
        """The values as they are measured against."""
        return self.values

    def samples(self) -> Samples:
        """All of it, as one field."""
        mask = None if self.mask is None else torch.from_numpy(np.ascontiguousarray(self.mask))
        return Samples.from_grid(
            torch.from_numpy(np.ascontiguousarray(self.floats)), self.axes, mask, domain=self.domain
        )

    def part_samples(self) -> Samples:
        """All of it, as a part of the whole signal, whose mean and deviation are known."""
        level, scale = self.standard()
        values = torch.from_numpy(np.ascontiguousarray(self.floats)).flatten(0, -2)[None]
        mask = None if self.mask is None else torch.from_numpy(np.ascontiguousarray(self.mask)).flatten()[None]
        return Samples(values, self.shape, mask=mask, level=level[None], scale=scale[None])

    def standard(self) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
        """Mean and deviation per channel; of a crop, those of the whole signal."""
        return self._standard if self.units is None else self.units

    @cached_property
    def _standard(self) -> tuple[Tensor, Tensor]:
        values = torch.from_numpy(np.ascontiguousarray(self.floats)).flatten(0, -2)[None]
        mask = None if self.mask is None else torch.from_numpy(np.ascontiguousarray(self.mask)).flatten()[None]
        level, scale = Samples(values, coords=values.new_zeros(*values.shape[:2], 1), mask=mask).standard()
        return level[0], scale[0]

    def crop(self, start: Sequence[int], size: Sequence[int]) -> Self:
        """A part of it, without a copy."""
        part = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        mask = None if self.mask is None else self.mask[part]
        return self._part(self.values[part], mask)

    @property
    def closest_axes(self) -> list[int]:
        """Those along which samples are closest; all of them where no domain says how far they are apart."""
        domain = (self.whole or self).domain
        steps = [1.0 if domain is None else abs(domain.axes[a].length) / n for a, n in enumerate(self.shape)]
        return [axis for axis, step in enumerate(steps) if step < ALIKE * min(steps)]

    def arranged(self, order: Sequence[int]) -> Self:
        """With its axes in another order, without a copy. Of data that lie on no sphere."""
        domain = None if self.domain is None else replace(self.domain, axes=tuple(self.domain.axes[a] for a in order))
        mask = None if self.mask is None else self.mask.transpose(order)
        values = self.values.transpose(*order, self.axes)
        return replace(self, values=values, mask=mask, domain=domain, units=self.standard())

    def at_cells(self, index: tuple[np.ndarray, ...]) -> Float[np.ndarray, "N C"]:
        """The values of some samples, as they are measured against."""
        return np.ascontiguousarray(self.values[index])

    def _part(self, values: np.ndarray, mask: np.ndarray | None) -> Self:
        """A part of it, or another view, that lies somewhere else."""
        whole = self.whole or self
        return replace(self, values=values, mask=mask, domain=None, whole=whole, units=self.standard())

    def reduced(self, shape: Sequence[int], profile: Profile = "bicubic") -> Self:
        """Made coarser: antialiased by the widened bicubic kernel, or as slices are; a coarse sample is measured where half
        of it was."""
        values, mask = resample(self.floats, shape, self.mask, self.nodes, profile)
        return replace(self._part(values, mask), domain=self.domain)

    def turned(self, rng: np.random.Generator, always: bool) -> Self:
        """In a random orientation: of data that are no pictures only if `always`, and then mirrored, not rotated."""
        if not always:
            return self
        part = tuple(slice(None, None, -1 if rng.integers(2) else 1) for _ in self.shape)
        return self._part(self.values[part], None if self.mask is None else self.mask[part])

    def recoloured(self, rng: np.random.Generator) -> Self:
        """As a negative every other time: what is bright in one scan is dark in another."""
        if rng.integers(2):
            return self
        level, scale = self.standard()
        return replace(self._part(-self.values, self.mask), units=(-level, scale))

    def read(self, rng: np.random.Generator, count: int, placement: str = "random") -> Reading:
        """At cell centres that were measured."""
        cells = np.arange(np.prod(self.shape)) if self.mask is None else np.flatnonzero(self.mask)
        chosen = rng.permutation(len(cells))[:count]
        index = np.stack(np.unravel_index(cells[chosen], self.shape), -1)
        coords = torch.from_numpy((index + 0.5) / np.array(self.shape))
        values = torch.from_numpy(self.floats.reshape(-1, self.channels)[cells[chosen]])
        return Reading(coords.to(values.dtype), values)


@dataclass(frozen=True, eq=False)
class Picture(GridSignal):
    """Pixels (H W C) in 8 bits: what benchmarks of pictures see of a photo."""

    kind = "picture"

    @property
    def peak(self) -> float:
        return 1.0

    @property
    def floats(self) -> Float[np.ndarray, "H W C"]:
        return self.values.astype(np.float32) / np.float32(255)

    def at_cells(self, index: tuple[np.ndarray, ...]) -> Float[np.ndarray, "N C"]:
        return self.values[index].astype(np.float32) / np.float32(255)

    def reduced(self, shape: Sequence[int], profile: Profile = "bicubic") -> Self:
        """Pillow's bicubic, in 8 bits again: the protocol of the field."""
        if profile != "bicubic":
            raise ValueError(f"{self.name}: pictures of 8 bits are made smaller by Pillow; set task.profile to bicubic")
        height, width = shape
        return self._part(resize_bicubic(self.values, (height, width)), None)

    def turned(self, rng: np.random.Generator, always: bool) -> Self:
        """In one of its eight orientations."""
        values = np.rot90(self.values, int(rng.integers(4)))
        return self._part(np.ascontiguousarray(values[:, ::-1] if rng.integers(2) else values), None)

    def recoloured(self, rng: np.random.Generator) -> Self:
        """Its channels in random order, each with a random contrast and brightness, or as a negative."""
        order, negative = rng.permutation(self.channels), bool(rng.integers(2))
        contrast = rng.uniform(0.6, 1.1, self.channels).astype(np.float32)
        brightness = rng.uniform(-0.1, 0.2, self.channels).astype(np.float32)
        values, (level, scale) = self.floats[..., order], self.standard()
        level, scale = level[order], scale[order]
        values, level = (1 - values, 1 - level) if negative else (values, level)
        units = (level * torch.from_numpy(contrast) + torch.from_numpy(brightness), scale * torch.from_numpy(contrast))
        return replace(self, values=quantise(values * contrast + brightness), whole=self.whole or self, units=units)


@dataclass(frozen=True, eq=False)
class Readings(Signal):
    """The readings of one field at their places: what is asked of them are those that were not seen."""

    name: str
    points: Samples
    group: str | None = None

    @property
    def axes(self) -> int:
        return self.points.axes

    @property
    def channels(self) -> int:
        return self.points.channels

    @property
    def domain(self) -> Domain | None:
        return self.points.domain

    def samples(self) -> Samples:
        """All of them, as one field."""
        return self.points

    @cached_property
    def measured(self) -> Reading:
        """Those that the mask keeps."""
        points = self.points
        real = slice(None) if points.mask is None else points.mask[0]
        noise = None if points.noise is None else points.noise[0, real]
        return Reading(points.point_coords[0, real], points.values[0, real], noise)

    @cached_property
    def peak(self) -> float:
        return float(self.measured.values.max() - self.measured.values.min()) or 1.0

    def read(self, rng: np.random.Generator, count: int, placement: str = "random") -> Reading:
        every = self.measured
        chosen = torch.from_numpy(rng.permutation(len(every.values))[:count])
        noise = None if every.noise is None else every.noise[chosen]
        return Reading(every.coords[chosen], every.values[chosen], noise)


class Formula(Signal):
    """A field that answers anywhere: a subclass says its name, axes and channels, and its values `at` coordinates."""

    @abstractmethod
    def at(self, coords: Float[Tensor, "Q d"]) -> Float[Tensor, "Q C"]:
        """Its values, exact."""

    def places(self, rng: np.random.Generator, count: int, placement: str = "random") -> Float[Tensor, "N d"]:
        """Where sensors stand: evenly drawn. Raises ValueError for another placement, which a subclass may know."""
        if placement != "random":
            raise ValueError(f"{self.name}: its sensors stand at random places, got placement {placement!r}")
        return torch.from_numpy(rng.random((count, self.axes), np.float32))

    def read(self, rng: np.random.Generator, count: int, placement: str = "random") -> Reading:
        """At `count` places that `placement` chooses anywhere in the domain."""
        coords = self.places(rng, count, placement)
        return Reading(coords, self.at(coords))

    @classmethod
    def batch_at(cls, formulas: Sequence["Formula"], coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        """Several of them at once, each at its own coordinates."""
        return torch.stack([formula.at(x) for formula, x in zip(formulas, coords, strict=True)])
