"""The cubic B-spline through the samples of a grid: what medical imaging resamples with.

The samples are first turned into coefficients, axis by axis, whose spline goes through them (Unser 1999); beyond the border
they are mirrored about the outer face of the last cell, or go on at the other end of an axis that joins. Asked for a cell
larger than a sample, the answer goes over to the bicubic kernel that widens with the cell, read of the same coefficients.

A spline reads all samples of a row. Beside holes it is that of the samples with holes filled by the nearest measured ones,
as far as all that the kernel reads was measured, and goes over to the bicubic of the measured samples alone; where nothing
within reach was measured the answer is NaN.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.interpolation import Interpolation, SolvedInterpolation, Taps, finer, in_blocks, keys, weighed
from gridless.bases.interpolation import nearest_measured as nearest
from gridless.coords import Lattice, grid
from gridless.samples import Samples

SAMPLED = (1 / 6, 4 / 6, 1 / 6)  # the kernel at −1, 0, 1


@dataclass(frozen=True, eq=False)
class SolvedBSpline:
    """Differentiable in the coordinates and in the values."""

    base: Interpolation
    coefficients: Samples
    """On the samples' grid, float64, so that the spline goes through the samples; without a mask."""
    around_holes: SolvedInterpolation | None
    """The bicubic of the measured samples alone, where some are not."""

    spread = False
    differentiable = True

    @classmethod
    def of(cls, base: Interpolation, samples: Samples) -> "SolvedBSpline":
        values, around = samples.values, None
        if samples.mask is not None:
            around = SolvedInterpolation(replace(base, kind="bicubic"), samples)
            holes = torch.where(samples.mask[..., None], values, torch.nan)
            places = grid(*samples.grid_shape, dtype=torch.float64, device=values.device)
            values = nearest(samples, places.expand(len(samples), -1, -1), holes)
        out = values.double().unflatten(1, samples.grid_shape)
        for axis, (n, joins) in enumerate(zip(samples.grid_shape, samples.joins, strict=True)):
            out = (out.movedim(1 + axis, -1) @ torch.from_numpy(inverse(n, joins)).to(out.device).T).movedim(
                -1, 1 + axis
            )
        return cls(base, replace(samples, values=out.flatten(1, -2), mask=None), around)

    def __call__(
        self, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None
    ) -> Float[Tensor, "B Q C"]:
        """Values at `coords` in [0, 1], averaged over `cell` where that is larger than a sample's."""
        samples = self.coefficients
        axes = [
            spline_taps(coords[..., a], None if cell is None else cell[..., a], n, samples.joins[a])
            for a, n in enumerate(samples.grid_shape)
        ]
        values = in_blocks(samples, axes, coords.shape[1]).to(coords.dtype)
        if self.around_holes is None:
            return values
        holed, measured = self.around_holes(coords, cell), self.around_holes.measured_share(coords, cell)
        share = (2 * measured - 1).clamp(0, 1)[..., None].to(values.dtype)
        return torch.where(share == 1, values, torch.where(share > 0, holed + share * (values - holed), holed))

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N C"]:
        """Axis by axis, which samples without holes allow."""
        samples = self.coefficients
        if self.around_holes is not None or lattice.axes[0].requires_grad:
            return self(lattice.points(len(samples)), cell)
        values = samples.values.unflatten(1, samples.grid_shape)
        for a in range(samples.axes - 1, -1, -1):
            taps = spline_taps(lattice.axes[a][None], cell[:1, :, a], samples.grid_shape[a], samples.joins[a])
            values = weighed(values.movedim(1 + a, 0), taps).movedim(0, 1 + a)
        return values.flatten(1, -2)

    def std(self, coords: Tensor, cell: Tensor | None = None) -> None:
        return None

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Float[Tensor, "B #Q d"]) -> Float[Tensor, "B #Q 1"] | float:
        """How much of the network's correction counts at this cell, relative to a sample's: none at ×1, all from ×2."""
        return finer(cell) if self.base.exact else 1.0

    def to(self, device) -> "SolvedBSpline":
        around = None if self.around_holes is None else self.around_holes.to(device)
        return replace(self, coefficients=self.coefficients.to(device), around_holes=around)


@lru_cache(maxsize=16)
def inverse(n: int, joins: bool) -> Float[np.ndarray, "{n} {n}"]:
    """Coefficients of n samples along an axis: the inverse of what samples a spline."""
    sampling = np.zeros((n, n))
    for shift, weight in zip((-1, 0, 1), SAMPLED, strict=True):
        column = mirrored(torch.arange(n) + shift, n, joins).numpy()
        np.add.at(sampling, (np.arange(n), column), weight)
    return np.linalg.inv(sampling)


def mirrored(index: Tensor, n: int, joins: bool) -> Tensor:
    """The sample that stands for one beyond the border."""
    if joins:
        return index % n
    turned = index % (2 * n)
    return torch.minimum(turned, 2 * n - 1 - turned)


def spline_taps(coords: Float[Tensor, "B Q"], cell: Tensor | None, n: int, joins: bool) -> Taps:
    """The coefficients that the answer reads along one axis of n."""
    u = coords.double() * n - 0.5
    width = torch.ones(1, 1, dtype=u.dtype) if cell is None else (cell.double() * n).clamp(min=1)
    widest = float(width.max())  # on the CPU if the cell is there: no wait for a GPU
    width = width.to(u.device, non_blocking=True).expand_as(u)
    reach = 2.0 if widest == 1 else 2 * widest + 1
    first = (u - reach).detach().floor().long() + 1
    index = first[..., None] + torch.arange(ceil(2 * reach), device=u.device)
    away = index - u[..., None]
    weight = cubic(away)
    if widest > 1:
        sides = zip((-1, 0, 1), SAMPLED, strict=True)
        wide = sum(share * keys((away + shift) / width[..., None]) for shift, share in sides)
        assert isinstance(wide, Tensor)
        over = (2 * (width - 1)).clamp(0, 1)[..., None]
        weight = (1 - over) * weight + over * wide / wide.sum(-1, keepdim=True)
    return Taps(mirrored(index, n, joins), weight, None)


def cubic(x: Tensor) -> Tensor:
    """The cubic B-spline."""
    x = x.abs()
    near, far = 2 / 3 - x * x + x**3 / 2, (2 - x) ** 3 / 6
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
