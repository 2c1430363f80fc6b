"""Coordinates: cell centres (i + ½) / n in [0, 1] per axis, in array order (y, x) or (t, y, x)."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor


def grid(*shape: int, dtype: torch.dtype = torch.float32, device=None) -> Float[Tensor, "N d"]:
    """Cell centres of a grid, last axis fastest.

    `grid(2, 3)` is six points; the first is (0.25, 1/6).
    """
    return grid_rows(shape, 0, prod(shape), dtype=dtype, device=device)


def grid_rows(
    shape: tuple[int, ...],
    start: int,
    stop: int,
    dtype=torch.float32,
    device=None,
    part: tuple[range, ...] | None = None,
) -> Float[Tensor, "N d"]:
    """Points start … stop of `grid(*shape)`, or of a `part` of it, without making the others."""
    index = torch.arange(start, stop, device=device)
    axes = []
    for n, inside in zip(reversed(shape), reversed(part or [range(n) for n in shape]), strict=True):
        axes.append((index % len(inside) + inside.start).to(torch.float64).add_(0.5).div_(n))
        index = index // len(inside)
    return torch.stack(axes[::-1], -1).to(dtype)


def cells(*shape: int, dtype: torch.dtype = torch.float32, device=None) -> Float[Tensor, " d"]:
    """Size of one cell of a grid, per axis, in units of the whole."""
    return torch.tensor([1 / n for n in shape], dtype=dtype, device=device)


def sizes(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device=None) -> Float[Tensor, " d"]:
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
