"""What was measured, and what the network makes of it: values that flow one way and never change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.coords import grid


@dataclass(frozen=True, eq=False)
class Samples:
    """Measured values, on a grid (`shape`) or at `coords`; `mask` is False where nothing was measured."""

    values: Float[Tensor, "B N C"]
    shape: tuple[int, ...] | None = None
    coords: Float[Tensor, "B N d"] | None = None
    mask: Bool[Tensor, "B N"] | None = None

    def __post_init__(self):
        if self.values.ndim != 3:
            raise ValueError(f"values must be (B, N, C), got {tuple(self.values.shape)}; Samples.from_grid takes grids")
        if (self.shape is None) == (self.coords is None):
            raise ValueError("samples lie on a grid (shape=…) or at points (coords=…): give exactly one of the two")
        b, n, _ = self.values.shape
        if self.shape is not None and prod(self.shape) != n:
            raise ValueError(f"a grid of shape {self.shape} holds {prod(self.shape)} samples, got values for {n}")
        if self.coords is not None and self.coords.shape[:2] != (b, n):
            raise ValueError(f"coords must be ({b}, {n}, d) to match values, got {tuple(self.coords.shape)}")
        if self.mask is not None and self.mask.shape != (b, n):
            raise ValueError(f"mask must be ({b}, {n}) to match values, got {tuple(self.mask.shape)}")
        if n == 0:
            raise ValueError("no samples: at least one value is needed")

    @classmethod
    def from_grid(cls, values: Float[Tensor, "*B_grid C"], axes: int = 2, mask: Tensor | None = None) -> "Samples":
        """An array (*grid C) or a batch (B *grid C) of `axes` dimensions. Non-finite values need a mask."""
        values = torch.as_tensor(values)
        if not values.is_floating_point():
            raise ValueError(
                f"values must be floats (pictures in [0, 1]), got {values.dtype}; divide by the largest value"
            )
        mask = None if mask is None else torch.as_tensor(mask)
        if mask is not None and (mask.shape != values.shape[:-1] or mask.dtype != torch.bool):
            expected = f"bool {tuple(values.shape[:-1])}"
            raise ValueError(f"mask must be {expected} to match values, got {mask.dtype} {tuple(mask.shape)}")
        if values.ndim == axes + 1:
            values, mask = values[None], None if mask is None else mask[None]
        if values.ndim != axes + 2:
            expected = f"(*grid, C) or (B, *grid, C) with {axes} grid axes"
            raise ValueError(f"expected {expected}, got {tuple(values.shape)}")
        shape = tuple(values.shape[1:-1])
        if mask is not None:
            mask = mask.flatten(1)
        return cls(_finite(values.flatten(1, -2), mask), shape=shape, mask=mask)

    @classmethod
    def from_points(
        cls,
        coords: Float[Tensor, "*B N d"],
        values: Float[Tensor, "*B N C"],
        mask: Bool[Tensor, "*B N"] | None = None,
    ) -> "Samples":
        """Readings (N, C) of sensors at coordinates (N, d) in [0, 1] per axis, or a batch of both.

        Non-finite readings need a mask. Readings at one place are averaged: the first carries the mean, the others are
        masked. Raises ValueError for shapes that do not fit, no sensor, and coordinates outside the domain.
        """
        coords, values = torch.as_tensor(coords), torch.as_tensor(values)
        if not (coords.is_floating_point() and values.is_floating_point()):
            raise ValueError(f"coords and values must be floats, got {coords.dtype} and {values.dtype}")
        if values.ndim not in (2, 3) or coords.shape[:-1] != values.shape[:-1]:
            expected = "coords (N, d) and values (N, C), or (B, N, d) and (B, N, C)"
            raise ValueError(f"expected {expected}, got {tuple(coords.shape)} and {tuple(values.shape)}")
        mask = None if mask is None else torch.as_tensor(mask)
        if mask is not None and (mask.shape != values.shape[:-1] or mask.dtype != torch.bool):
            expected = f"bool {tuple(values.shape[:-1])}"
            raise ValueError(f"mask must be {expected} to match values, got {mask.dtype} {tuple(mask.shape)}")
        if values.ndim == 2:
            coords, values, mask = coords[None], values[None], None if mask is None else mask[None]
        if values.shape[1] == 0 or (mask is not None and not mask.any(1).all()):
            raise ValueError("no sensor: every field needs at least one reading")
        values = _finite(values, mask)
        if mask is not None:
            coords = coords.masked_fill(~mask[..., None], 0)
        if not (coords.isfinite().all() and coords.min() >= 0 and coords.max() <= 1):
            low, high = float(coords.min()), float(coords.max())
            raise ValueError(
                f"coordinates must lie in [0, 1] per axis, got {low:.4g} … {high:.4g}; divide by the extent"
            )
        values, mask = _merged(coords, values, mask)
        return cls(values, coords=coords, mask=mask)

    @classmethod
    def from_image(cls, path: str | Path) -> "Samples":
        """A picture as RGB in [0, 1]: shape (H, W), three channels."""
        from gridless.data.pictures import read_photo

        photo = read_photo(path)
        values = torch.from_numpy(photo.values)
        return cls.from_grid(values.expand(-1, -1, 3) if values.shape[-1] == 1 else values)

    @staticmethod
    def stack(samples: Sequence["Samples"]) -> "Samples":
        """Batches of one shape behind one another."""
        return samples[0] if len(samples) == 1 else _joined(samples)

    @property
    def axes(self) -> int:
        return len(self.shape) if self.shape is not None else self.coords.shape[-1]

    @property
    def channels(self) -> int:
        return self.values.shape[-1]

    def __len__(self) -> int:
        return len(self.values)

    def select(self, index: slice) -> "Samples":
        """Some fields of the batch."""
        part = lambda x: None if x is None else x[index]  # noqa: E731
        return Samples(self.values[index], self.shape, part(self.coords), part(self.mask))

    def on_grid(self) -> Float[Tensor, "B *grid C"]:
        """The values in their grid. Raises for scattered samples."""
        if self.shape is None:
            raise ValueError("these samples are scattered points, not a grid; use a model with a point tokenizer")
        return self.values.unflatten(1, self.shape)

    def as_points(self) -> "Samples":
        """The same readings with coordinates: of a grid, its cell centres."""
        if self.coords is not None:
            return self
        coords = grid(*self.shape, dtype=self.values.dtype, device=self.values.device)
        return Samples(self.values, coords=coords.expand(len(self.values), -1, -1), mask=self.mask)

    def mask_on_grid(self) -> Bool[Tensor, "B *grid"] | None:
        return None if self.mask is None else self.mask.unflatten(1, self.shape)

    def to(self, device) -> "Samples":
        return _moved(self, device)


@dataclass(frozen=True, eq=False)
class Tokens:
    """A set of vectors with positions (in units of the window); `mask` is False on padding."""

    x: Float[Tensor, "B T D"]
    pos: Float[Tensor, "B T d"]
    mask: Bool[Tensor, "B T"] | None = None

    def to(self, device) -> "Tokens":
        return _moved(self, device)


@dataclass(frozen=True, eq=False)
class FeatureGrid:
    """Features on a regular grid of nodes at (i + ½) · pitch, in units of the window; read at a query by `local.py`."""

    x: Float[Tensor, "B *grid D"]
    pitch: float
    mask: Bool[Tensor, "B *grid"] | None = None

    def to(self, device) -> "FeatureGrid":
        return _moved(self, device)


@dataclass(frozen=True, eq=False)
class Encoded:
    """What one window became: latents for the whole, features at the samples for the place."""

    latents: Tokens | None
    local: FeatureGrid | None = None

    def parts(self) -> dict[str, Tokens | FeatureGrid]:
        return {name: part for name, part in vars(self).items() if part is not None}

    def to(self, device) -> "Encoded":
        return replace(self, **{name: part.to(device) for name, part in self.parts().items()})

    def select(self, index: Tensor | slice) -> "Encoded":
        """The samples `index` of the batch."""
        return replace(self, **{name: _mapped(part, lambda t: t[index]) for name, part in self.parts().items()})

    def nbytes(self) -> int:
        return sum(t.nbytes for part in self.parts().values() for t in vars(part).values() if isinstance(t, Tensor))

    @staticmethod
    def stack(encoded: Sequence["Encoded"]) -> "Encoded":
        """Batches behind one another."""
        first = encoded[0]
        if len(encoded) == 1:
            return first
        return replace(first, **{name: _joined([getattr(e, name) for e in encoded]) for name in first.parts()})


def _finite(values: Tensor, mask: Tensor | None) -> Tensor:
    """Measured values must be finite; what was not measured becomes zero, so that a NaN cannot travel."""
    if mask is not None:
        values = values.masked_fill(~mask[..., None], 0)
    bad = int((~values.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{bad} of {values.numel()} values are NaN or infinite; give mask=… (False there) or fill them"
        )
    return values


def _merged(coords: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Readings at one place become their mean, held by the first of them; the others are masked."""
    real = torch.ones(coords.shape[:2], dtype=torch.bool, device=coords.device) if mask is None else mask
    values, keep = values.clone(), real.clone()
    for b in range(len(coords)):
        index = real[b].nonzero().flatten()
        places, owner, count = coords[b, index].unique(dim=0, return_inverse=True, return_counts=True)
        if len(places) == len(index):
            continue
        mean = values.new_zeros(len(places), values.shape[-1]).index_add(0, owner, values[b, index]) / count[:, None]
        first = torch.full_like(count, len(index)).scatter_reduce(
            0, owner, torch.arange(len(index), device=index.device), "amin"
        )
        keep[b, index] = False
        keep[b, index[first]] = True
        values[b, index[first]] = mean
    return values, mask if mask is None and keep.all() else keep


def _moved(value, device):
    return _mapped(value, lambda t: moved(t, device))


def moved(tensor: Tensor, device) -> Tensor:
    """To a GPU from pinned memory, so that the host does not wait for the copy."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _joined(parts):
    names = [k for k, v in vars(parts[0]).items() if isinstance(v, Tensor)]
    return replace(parts[0], **{k: torch.cat([getattr(p, k) for p in parts]) for k in names})


def _mapped(value, change):
    return replace(value, **{k: change(v) for k, v in vars(value).items() if isinstance(v, Tensor)})
