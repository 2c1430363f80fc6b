"""How a mode, a list of coefficients, is a function of coordinates.

    Legendre   products of orthonormal Legendre polynomials on [0, 1]^d: exact anywhere, for formulas and smooth fields
    GridNodes  values at the cell centres of a grid and a local kernel between them, cubic (Keys 1981, a = -0.5: continuous
               with its gradient) or linear; an axis may be periodic, and cells may lie outside (land)

At a border that is not periodic the outermost cell repeats. Cells outside hold what `extended` made of their neighbours,
so that the kernel never meets a hole: beside a coast it stays smooth, and no weight is taken from anyone.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

NUMBERS_AT_ONCE = 1 << 24  # gathered between nodes


class SpatialBasis(Protocol):
    def evaluate(
        self, coords: Float[Tensor, "#B Q d"], coefficients: Float[Tensor, "*#B P F"]
    ) -> Float[Tensor, "B Q F"]:
        """F functions at coordinates in [0, 1], the same of every sample of the batch or (with B) its own."""
        ...

    def contains(self, coords: Float[Tensor, "#B Q d"]) -> Bool[Tensor, "#B Q #C"]:
        """Where the functions stand for anything: not where the training fields were never measured."""
        ...

    def to(self, device) -> "SpatialBasis": ...


@dataclass(frozen=True)
class Legendre:
    """`degree` polynomials per axis."""

    degree: int

    def basis(self, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B P"]:
        """Orthonormal Legendre polynomials of every axis, and their products."""
        axes = []
        for x in (2 * coords - 1).unbind(-1):
            rows = [torch.ones_like(x), x]
            for n in range(1, self.degree - 1):
                rows.append(((2 * n + 1) * x * rows[n] - n * rows[n - 1]) / (n + 1))
            axes.append(torch.stack([(2 * n + 1) ** 0.5 * row for n, row in enumerate(rows[: self.degree])], -1))
        products, *others = axes
        for axis in others:
            products = (products[..., :, None] * axis[..., None, :]).flatten(-2)
        return products

    def evaluate(
        self, coords: Float[Tensor, "#B Q d"], coefficients: Float[Tensor, "*#B P F"]
    ) -> Float[Tensor, "B Q F"]:
        return self.basis(coords) @ coefficients.to(coords.dtype)

    def contains(self, coords: Float[Tensor, "#B Q d"]) -> Bool[Tensor, "#B Q 1"]:
        return torch.ones_like(coords[..., :1], dtype=torch.bool)

    def to(self, device) -> "Legendre":
        return self


@dataclass(frozen=True, eq=False)
class GridNodes:
    """A grid of `shape`, cells in raster order. `inside`: which cells count, of each channel; None: all."""

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]
    kernel: Literal["cubic", "linear"] = "cubic"
    inside: Bool[Tensor, "P C"] | None = None

    def evaluate(
        self, coords: Float[Tensor, "#B Q d"], coefficients: Float[Tensor, "*#B P F"]
    ) -> Float[Tensor, "B Q F"]:
        index, weight = self._taps(coords)
        coefficients = coefficients.to(coords.dtype)
        batch = 1 if coefficients.ndim == 2 else len(coefficients)
        index, weight = (x.expand(max(batch, len(coords)), -1, -1) for x in (index, weight))
        block = max(1, NUMBERS_AT_ONCE // (len(index) * index.shape[2] * coefficients.shape[-1]))
        rows = torch.arange(len(index), device=index.device)[:, None, None] if batch > 1 else None
        parts = []
        for some, share in zip(index.split(block, 1), weight.split(block, 1), strict=True):
            if coefficients.ndim == 2:
                nodes = coefficients[some]
            else:
                nodes = coefficients[0][some] if rows is None else coefficients[rows, some]
            parts.append((nodes * share[..., None]).sum(2))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def contains(self, coords: Float[Tensor, "#B Q d"]) -> Bool[Tensor, "#B Q #C"]:
        """Whether the cell that a point lies in counts."""
        if self.inside is None:
            return torch.ones_like(coords[..., :1], dtype=torch.bool)
        index = 0
        for axis, n in enumerate(self.shape):
            index = index * n + self._kept((coords[..., axis].detach() * n).floor().long(), axis)
        return self.inside[index]

    def extended(self, values: Float[Tensor, "P F"], known: Bool[Tensor, " P"]) -> Float[Tensor, "P F"]:
        """Values at every cell: one that is not known takes the mean of its neighbours that are, ring by ring."""
        if not known.any():
            raise ValueError("no cell of this grid is known; extending needs at least one")
        grid, known = values.unflatten(0, self.shape), known.view(self.shape)
        while not known.all():
            total, count = torch.zeros_like(grid), torch.zeros_like(grid[..., :1])
            held = torch.cat([grid * known[..., None], known[..., None].to(grid)], -1)
            for axis in range(len(self.shape)):
                for step in (1, -1):
                    beside = held.index_select(axis, self._neighbours(axis, step, held.device))
                    total, count = total + beside[..., :-1], count + beside[..., -1:]
            reached = ~known & (count[..., 0] > 0)
            grid = torch.where(reached[..., None], total / count.clamp(min=1), grid)
            known = known | reached
        return grid.flatten(0, -2)

    def averaged(self, values: Float[Tensor, "P F"]) -> Float[Tensor, "P F"]:
        """Each cell with its neighbours along every axis, a quarter, a half and a quarter."""
        grid = values.unflatten(0, self.shape)
        for axis in range(len(self.shape)):
            beside = [grid.index_select(axis, self._neighbours(axis, step, grid.device)) for step in (1, -1)]
            grid = grid / 2 + (beside[0] + beside[1]) / 4
        return grid.flatten(0, -2)

    def to(self, device) -> "GridNodes":
        return self if self.inside is None else replace(self, inside=self.inside.to(device))

    def _neighbours(self, axis: int, step: int, device) -> Tensor:
        return self._kept(torch.arange(self.shape[axis], device=device) + step, axis)

    def _kept(self, index: Tensor, axis: int) -> Tensor:
        """Cells beyond the border: on the other side of a periodic axis, else the outermost."""
        n = self.shape[axis]
        return index.remainder(n) if self.periodic[axis] else index.clamp(0, n - 1)

    def _taps(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (B Q K) around every point and their weights, which sum to one."""
        reach, kernel = (4, _keys) if self.kernel == "cubic" else (2, _triangle)
        taps = []
        for axis, n in enumerate(self.shape):
            u = coords[..., axis] * n - 0.5
            node = u.detach().floor().long()[..., None] + torch.arange(1 - reach // 2, 1 + reach // 2, device=u.device)
            taps.append((self._kept(node, axis), kernel((node - u[..., None]).abs())))
        (index, weight), *others = taps
        for (node, share), n in zip(others, self.shape[1:], strict=True):
            index = (index[..., None] * n + node[..., None, :]).flatten(2)
            weight = (weight[..., None] * share[..., None, :]).flatten(2)
        return index, weight


def _keys(x: Tensor) -> Tensor:
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def _triangle(x: Tensor) -> Tensor:
    return (1 - x).clamp(min=0)
