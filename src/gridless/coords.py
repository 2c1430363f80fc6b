"""Coordinates: cell centres (i + ½) / n in [0, 1] per axis, in array order (y, x) or (t, y, x)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.domain import Domain


def grid(*shape: int, dtype: torch.dtype = torch.float32, device=None) -> Float[Tensor, "N d"]:
    """Cell centres of a grid, last axis fastest.

    `grid(2, 3)` is six points; the first is (0.25, 1/6).
    """
    return lattice_points([centres(n, device) for n in shape], 0, prod(shape)).to(dtype)


def centres(count: int, device=None) -> Float[Tensor, " count"]:
    """Cell centres of one axis, float64."""
    return torch.arange(count, dtype=torch.float64, device=device).add_(0.5).div_(count)


@dataclass(frozen=True, eq=False)
class Lattice:
    """The points that axes span, last axis fastest: questions that share what depends on one axis alone."""

    axes: tuple[Float[Tensor, " n"], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(len, self.axes))

    def points(self, batch: int) -> Float[Tensor, "{batch} N d"]:
        """All of them, for every field of a batch."""
        return lattice_points(self.axes, 0, prod(self.shape)).expand(batch, -1, -1)

    def blocks(self, most: int) -> Iterator[tuple[tuple[slice, ...], "Lattice"]]:
        """Parts of at most `most` points, in the order of the points, each with where it lies."""
        yield from self._blocks(most, ())

    def _blocks(self, most: int, outer: tuple[slice, ...]) -> Iterator[tuple[tuple[slice, ...], "Lattice"]]:
        """`outer`: the ranges of the axes before, one index each, as long as a single row is larger than a block."""
        axis = len(outer)
        row = prod(self.shape[axis + 1 :])
        step = max(1, most // row)
        for start in range(0, self.shape[axis], step):
            part = (*outer, slice(start, min(start + step, self.shape[axis])))
            if row > most:
                yield from self._blocks(most, part)
                continue
            whole = part + (slice(None),) * (len(self.axes) - len(part))
            yield whole, Lattice(tuple(x[inside] for x, inside in zip(self.axes, whole, strict=True)))


def lattice(
    shape: Sequence[int], seen: Sequence[int] | None = None, domain: Domain | None = None, device=None
) -> tuple[list[Float[Tensor, " n"]], Float[Tensor, " d"]]:
    """The coordinates of every axis of a grid of `shape` over a field of samples of the shape `seen`, and its cell.

    Cells divide the whole axis. Nodes (`domain`) run from the first to the last of the seen ones, so that both ends stay.
    """
    axes, cell = [], []
    for i, count in enumerate(shape):
        nodes = domain is not None and domain.axes[i].samples == "nodes"
        n = seen[i] if nodes and seen is not None else 1
        if count > 1 and n > 1:
            step = (n - 1) / (count - 1) / n
            axes.append(0.5 / n + step * torch.arange(count, dtype=torch.float64, device=device))
        else:
            step = 1 / count
            axes.append(centres(count, device))
        cell.append(step)
    return axes, torch.tensor(cell, dtype=torch.float64)


def lattice_points(axes: Sequence[Float[Tensor, " n"]], start: int, stop: int) -> Float[Tensor, "N d"]:
    """Points start … stop of the grid that these axes span, last axis fastest, without making the others."""
    index = torch.arange(start, stop, device=axes[0].device)
    columns = []
    for axis in reversed(axes):
        columns.append(axis[index % len(axis)])
        index = index // len(axis)
    return torch.stack(columns[::-1], -1)


def cells(*shape: int, dtype: torch.dtype = torch.float32, device=None) -> Float[Tensor, " d"]:
    """Size of one cell of a grid, per axis, in units of the whole."""
    return torch.tensor([1 / n for n in shape], dtype=dtype, device=device)


def sizes(shape: Sequence[int], dtype: torch.dtype = torch.float32, device=None) -> Float[Tensor, " d"]:
    """A shape as a vector. Filled in place: copied from a list, the host would wait for a GPU."""
    return torch.stack([torch.full((), n, dtype=dtype, device=device) for n in shape])


def even_points(count: int, axes: int) -> Float[Tensor, "count axes"]:
    """`count` points spread evenly over the unit cube, in raster order, for any count (rows may differ by one)."""
    if axes == 1:
        return grid(count)
    rows = max(1, round(count ** (1 / axes)))
    share = [count // rows + (r < count % rows) for r in range(rows)]
    parts = []
    for r, n in enumerate(share):
        inner = even_points(n, axes - 1)
        parts.append(torch.cat([torch.full((n, 1), (r + 0.5) / rows), inner], -1))
    return torch.cat(parts)[:count]


def scaled(shape: Sequence[int], scale: float | Sequence[float], domain: Domain | None = None) -> tuple[int, ...]:
    """The shape at `scale` times the resolution (one number, or one per axis), at least one sample per axis. Nodes keep
    both ends: n of them become (n − 1) · scale + 1."""
    factors = [scale] * len(shape) if isinstance(scale, (int, float)) else list(scale)
    if len(factors) != len(shape):
        raise ValueError(f"scale takes one number or {len(shape)}, one per axis, got {len(factors)}")
    if not all(0 < factor <= 1e9 for factor in factors):
        raise ValueError(f"scale must be a positive number up to a thousand million, got {scale}")
    nodes = [axis.samples == "nodes" for axis in domain.axes] if domain else [False] * len(shape)
    return tuple(
        max(1, round((n - 1) * factor) + 1) if is_node else max(1, round(n * factor))
        for n, factor, is_node in zip(shape, factors, nodes, strict=True)
    )


def asked_shape(
    axes: int,
    seen: tuple[int, ...] | None,
    domain: Domain | None,
    scale: float | Sequence[float] | None,
    shape: Sequence[int] | None,
) -> tuple[int, ...]:
    """`shape` checked, or that at `scale` times the resolution of a `seen` grid. Raises ValueError for both or neither."""
    if shape is None and scale is not None:
        if seen is None:
            raise ValueError("scattered samples have no grid to scale; give shape=…")
        return scaled(seen, scale, domain)
    if shape is None or scale is not None:
        raise ValueError("give scale=… or shape=…, one of the two")
    if len(shape) != axes or not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
        raise ValueError(f"shape must be {axes} whole numbers of at least 1, got {tuple(shape)}")
    return tuple(int(n) for n in shape)


def ranges_of(shape: tuple[int, ...], part: tuple[slice, ...] | None) -> tuple[range, ...]:
    """The indices per axis that `part` asks for."""
    part = (slice(None),) * len(shape) if part is None else part
    if len(part) != len(shape) or any(s.step not in (None, 1) for s in part):
        raise ValueError(f"part must be a slice without steps per axis of {tuple(shape)}, got {part}")
    for n, piece in zip(shape, part, strict=True):
        start, stop = 0 if piece.start is None else piece.start, n if piece.stop is None else piece.stop
        if not 0 <= start < stop <= n:
            raise ValueError(f"part must lie within 0 … {n} of every axis of {tuple(shape)}, got {piece}")
    return tuple(range(n)[piece] for n, piece in zip(shape, part, strict=True))


def distinct(coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "#B Q d"]:
    """Coordinates that all samples share (one of them, expanded) once, others as they are: what depends on the question
    alone is computed once for a batch."""
    return coords[:1] if len(coords) > 1 and coords.stride(0) == 0 else coords
