"""What was measured, on a grid or at points: values that flow one way and never change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gridless.coords import grid
from gridless.domain import Coordinates, Domain
from gridless.intake import as_tensor, finite, measured, merged, positive, unit_coordinates

if TYPE_CHECKING:
    from gridless.data.volume_space import NiftiSpace


@dataclass(frozen=True, eq=False)
class Samples:
    """Measured values, on a grid (`shape`) or at `coords` in [0, 1] per axis; `mask` is False where nothing was measured.

    `noise`: the standard deviation of each reading's error, in units of the value. `domain`: what the axes are called
    outside. `level` and `scale`: mean and standard deviation per channel of the whole field that these samples are a part
    of, where they are known; else `standard()` takes those of the samples. `epoch`: where the domain's time is relative, the
    moment of its zero for each field, in seconds since 1970. `space`: of a volume that was read from a file, what a file of
    its answer needs.
    """

    values: Float[Tensor, "B N C"]
    shape: tuple[int, ...] | None = None
    coords: Float[Tensor, "B N d"] | None = None
    mask: Bool[Tensor, "B N"] | None = None
    noise: Float[Tensor, "B N"] | None = None
    domain: Domain | None = None
    level: Float[Tensor, "B C"] | None = None
    scale: Float[Tensor, "B C"] | None = None
    epoch: Float[Tensor, " B"] | None = None
    space: "NiftiSpace | None" = None

    def __post_init__(self):
        if self.values.ndim != 3:
            raise ValueError(f"values must be (B, N, C), got {tuple(self.values.shape)}; Samples.from_grid takes grids")
        if (self.shape is None) == (self.coords is None):
            raise ValueError("samples lie on a grid (shape=…) or at points (coords=…): give exactly one of the two")
        b, n, c = self.values.shape
        if n == 0 or c == 0:
            raise ValueError("no samples: at least one value and one channel are needed")
        if self.shape is not None and prod(self.shape) != n:
            raise ValueError(f"a grid of shape {self.shape} holds {prod(self.shape)} samples, got values for {n}")
        if self.coords is not None and self.coords.shape[:2] != (b, n):
            raise ValueError(f"coords must be ({b}, {n}, d) to match values, got {tuple(self.coords.shape)}")
        for name in ("mask", "noise"):
            part = getattr(self, name)
            if part is not None and part.shape != (b, n):
                raise ValueError(f"{name} must be ({b}, {n}) to match values, got {tuple(part.shape)}")
        if self.domain is not None and len(self.domain.axes) != self.axes:
            raise ValueError(f"the domain names {len(self.domain.axes)} axes, the samples have {self.axes}")

    @classmethod
    def from_grid(
        cls,
        values: Float[Tensor, "*B_grid C"],
        axes: int = 2,
        mask: Bool[Tensor, "*B_grid"] | None = None,
        noise: Float[Tensor, "*B_grid"] | None = None,
        domain: Domain | None = None,
    ) -> "Samples":
        """An array (*grid C) or a batch (B *grid C) of `axes` dimensions. Non-finite values need a mask; a numpy masked
        array brings its own. `noise`: standard deviation of the values, one number or one for each sample."""
        values, mask = measured(values, mask)
        noise = None if noise is None else as_tensor(noise).expand(values.shape[:-1])
        if values.ndim == axes + 1:
            values, mask, noise = values[None], _first(mask), _first(noise)
        if values.ndim != axes + 2:
            expected = f"(*grid, C) or (B, *grid, C) with {axes} grid axes"
            raise ValueError(f"expected {expected}, got {tuple(values.shape)}")
        if mask is not None and not mask.flatten(1).any(1).all():
            raise ValueError("nothing was measured: every field needs at least one sample that the mask keeps")
        shape = tuple(values.shape[1:-1])
        mask = None if mask is None else mask.flatten(1)
        noise = None if noise is None else noise.flatten(1)
        values = finite(values.flatten(1, -2), mask)
        return cls(values, shape=shape, mask=mask, noise=positive(noise, mask), domain=domain)

    @classmethod
    def from_points(
        cls,
        coords: Float[Tensor, "*B N d"] | Coordinates,
        values: Float[Tensor, "*B N C"],
        mask: Bool[Tensor, "*B N"] | None = None,
        noise: Float[Tensor, "*B N"] | None = None,
        domain: Domain | None = None,
    ) -> "Samples":
        """Readings (N, C) of sensors, or a batch of them, at coordinates (N, d) in the domain's units: an array in the order
        of its axes, or a dictionary by their names. Without a domain, numbers within [0, 1] are taken as they are; for
        others a domain is made around them, and a warning says which.

        Non-finite readings need a mask. Readings at one place are averaged: the first carries the mean, the others are
        masked. Raises ValueError for shapes that do not fit, no sensor, and coordinates outside the domain.
        """
        values, mask = measured(values, mask)
        noise = None if noise is None else as_tensor(noise).expand(values.shape[:-1])
        u, domain = unit_coordinates(coords, mask, domain, values.shape[:-1])
        if values.ndim not in (2, 3) or u.shape[:-1] != values.shape[:-1]:
            expected = "coords (N, d) and values (N, C), or (B, N, d) and (B, N, C)"
            raise ValueError(f"expected {expected}, got {tuple(u.shape)} and {tuple(values.shape)}")
        if values.ndim == 2:
            u, values, mask, noise = u[None], values[None], _first(mask), _first(noise)
        if values.shape[1] == 0 or (mask is not None and not mask.any(1).all()):
            raise ValueError("no sensor: every field needs at least one reading")
        values, noise = finite(values, mask), positive(noise, mask)
        values, mask, noise = merged(u, values, mask, noise)
        return cls(values, coords=u.to(values.dtype), mask=mask, noise=noise, domain=domain)

    @staticmethod
    def stack(samples: Sequence["Samples"]) -> "Samples":
        """Batches behind one another: grids of one shape, or any numbers of points (the shorter ones are padded).

        Raises ValueError for grids of different shapes, grids beside points, and different domains, axes or channels.
        """
        if not samples:
            raise ValueError("nothing to stack: at least one Samples is needed")
        first = samples[0]
        if len(samples) == 1:
            return first
        kinds = {(s.shape, s.axes, s.channels) for s in samples}
        if len(kinds) > 1:
            named = ", ".join(f"{'points' if k[0] is None else k[0]} of {k[1]} axes, {k[2]} channels" for k in kinds)
            raise ValueError(f"samples of one kind can be stacked, got {named}")
        if any(s.domain != first.domain for s in samples):
            raise ValueError("samples of different domains cannot be stacked; their coordinates mean different places")
        lengths = {s.values.shape[1] for s in samples}
        masked = len(lengths) > 1 or any(s.mask is not None for s in samples)
        noisy, known = (any(getattr(s, name) is not None for s in samples) for name in ("noise", "level"))
        return joined([s._complete(max(lengths), masked, noisy, known) for s in samples])

    def _complete(self, count: int, masked: bool, noisy: bool, known: bool) -> "Samples":
        """With `count` samples, and with a mask, noise and units where others of a batch have them."""
        b, n, _ = self.values.shape
        more = count - n
        mask, noise, level, scale = self.mask, self.noise, self.level, self.scale
        if masked:
            mask = F.pad(self.values.new_ones(b, n, dtype=torch.bool) if mask is None else mask, (0, more))
        if noisy:
            noise = F.pad(self.values.new_zeros(b, n) if noise is None else noise, (0, more))
        if known and level is None:
            level, scale = self.standard()
        values, coords = self.values, self.coords
        if more:
            values = F.pad(values, (0, 0, 0, more))
            coords = None if coords is None else F.pad(coords, (0, 0, 0, more))
        return replace(self, values=values, coords=coords, mask=mask, noise=noise, level=level, scale=scale)

    @property
    def axes(self) -> int:
        """How many numbers say where a sample lies."""
        return len(self.shape) if self.shape is not None else self.point_coords.shape[-1]

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The shape of the grid. Raises ValueError for scattered samples."""
        if self.shape is None:
            raise ValueError("these samples are scattered points, not a grid; use a model with a point tokenizer")
        return self.shape

    @property
    def point_coords(self) -> Float[Tensor, "B N d"]:
        """The coordinates of the points. Raises ValueError for a grid."""
        if self.coords is None:
            raise ValueError("these samples lie on a grid, not at points; take samples.as_points()")
        return self.coords

    @property
    def channels(self) -> int:
        """How many numbers a sample is."""
        return self.values.shape[-1]

    def __len__(self) -> int:
        return len(self.values)

    def select(self, index: slice) -> "Samples":
        """Some fields of the batch."""
        return mapped(self, lambda t: t[index])

    def standard(self) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
        """Mean and standard deviation per channel: of the whole field where they are known, else of what was measured. The
        deviation of equal readings is zero."""
        if self.level is not None and self.scale is not None:
            return self.level, self.scale
        real = self.values.new_ones(self.values.shape[:2]) if self.mask is None else self.mask.to(self.values.dtype)
        count = real.sum(1, keepdim=True).clamp(min=1)
        shift = self.values[:, :1]  # a large common offset must not cost digits
        away = (self.values - shift) * real[..., None]
        mean = away.sum(1) / count
        square = ((away - mean[:, None]) * real[..., None]).square().sum(1) / count
        root = torch.where(square > 0, square, 1.0).sqrt() * (square > 0)  # the gradient of a root at zero is no number
        level = mean + shift[:, 0]
        rounding = 4 * torch.finfo(self.values.dtype).eps * level.detach().abs()
        return level, torch.where(root > rounding, root, torch.zeros_like(root))

    def on_grid(self) -> Float[Tensor, "B *grid C"]:
        """The values in their grid. Raises for scattered samples."""
        return self.values.unflatten(1, self.grid_shape)

    def as_points(self) -> "Samples":
        """The same readings with coordinates: of a grid, its cell centres."""
        if self.coords is not None:
            return self
        coords = grid(*self.grid_shape, dtype=self.values.dtype, device=self.values.device)
        return replace(self, shape=None, coords=coords.expand(len(self.values), -1, -1))

    def compacted(self) -> "Samples":
        """Points without those that are masked, as far as the fields of the batch have as many."""
        if self.mask is None or self.coords is None or bool(self.mask.all()):
            return self
        count = max(1, int(self.mask.sum(1).max()))
        return self.chosen((~self.mask).int().argsort(dim=1, stable=True)[:, :count])

    def chosen(self, index: Int64[Tensor, "B n"]) -> "Samples":
        """The points of these numbers."""
        assert self.coords is not None, "points have coordinates"
        rows = torch.arange(len(self.values), device=index.device)[:, None]
        mask = None if self.mask is None else self.mask[rows, index]
        noise = None if self.noise is None else self.noise[rows, index]
        mask = None if mask is None or bool(mask.all()) else mask
        return replace(self, values=self.values[rows, index], coords=self.coords[rows, index], noise=noise, mask=mask)

    def mask_on_grid(self) -> Bool[Tensor, "B *grid"] | None:
        """The mask in its grid, None without one. Raises for scattered samples."""
        return None if self.mask is None else self.mask.unflatten(1, self.grid_shape)

    @property
    def joins(self) -> tuple[bool, ...]:
        """Axes whose end is their beginning."""
        return (False,) * self.axes if self.domain is None else self.domain.joins

    def positions(self, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B e"]:
        """Where coordinates in [0, 1] lie, so that distances mean something (`Domain.embed`)."""
        return coords if self.domain is None else self.domain.embed(coords)

    @property
    def position_groups(self) -> tuple[int, ...]:
        """Of every number of a position, which quantity it measures (`Domain.groups`)."""
        return (0,) * self.axes if self.domain is None else self.domain.groups

    def cloned(self) -> "Samples":
        """A copy in memory of its own."""
        return mapped(self, torch.clone)

    def to(self, device) -> "Samples":
        """The same samples on another device."""
        return moved_parts(self, device)


def _first(part: Tensor | None) -> Tensor | None:
    return None if part is None else part[None]


def moved_parts(value, device):
    """A dataclass of tensors on another device."""
    return mapped(value, lambda t: moved(t, device))


def moved(tensor: Tensor, device) -> Tensor:
    """To a GPU from pinned memory, so that the host does not wait for the copy."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def joined(parts):
    """Dataclasses of tensors, batches behind one another."""
    names = [k for k, v in vars(parts[0]).items() if isinstance(v, Tensor)]
    return replace(parts[0], **{k: torch.cat([getattr(p, k) for p in parts]) for k in names})


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A frozen dataclass with every tensor in it changed, also in the dataclasses that it holds."""
    changes = {}
    for name, part in vars(value).items():
        if isinstance(part, Tensor):
            changes[name] = change(part)
        elif is_dataclass(part) and (inner := mapped(part, change)) is not part:
            changes[name] = inner
    return replace(value, **changes) if changes else value
