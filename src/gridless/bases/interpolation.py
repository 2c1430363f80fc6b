"""Interpolation of grids: the start of a photo model's field, and its baselines.

`Interpolation` resamples a grid with a separable kernel at cell centres. Asked for a cell larger than a sample, the
kernel widens with it (antialiasing); at the border it is cut and renormalised. Both are Pillow's conventions, and for
bilinear, bicubic (Keys, a = −0.5) and Lanczos (a = 3) the answers equal Pillow's to rounding.
torch's `interpolate` and `grid_sample` use a = −0.75 for bicubic, another picture by about 0.1 dB.
"""

from collections.abc import Callable
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor

from gridless.field import Field
from gridless.samples import Samples

TAPS_AT_ONCE = 1 << 22  # values gathered per block: bounds memory when a small picture is asked of a large one


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _keys(x: Tensor) -> Tensor:
    """Keys (1981), a = −0.5: the cubic that reproduces quadratics. Value and derivative vanish at ±2."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_keys, 2.0),
    "lanczos": (_lanczos, 3.0),
}
BASELINES = ("nearest", *KERNELS)


class Interpolation:
    """A grid answered anywhere by a kernel. Differentiable in the coordinates and in the values."""

    def __init__(self, kind: str = "bicubic", exact: bool = True):
        if kind not in BASELINES:
            raise ValueError(f"no baseline {kind!r}; there are {', '.join(BASELINES)}")
        self.name, self.exact = kind, exact

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out."""
        samples.on_grid()
        return Field(samples, base=self)

    def __call__(
        self, samples: Samples, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None
    ) -> Float[Tensor, "B Q C"]:
        """Values at `coords` in [0, 1], averaged over `cell` where that is larger than a sample's; zero where nothing
        within the kernel's reach was measured."""
        taps = [
            self._taps(coords[..., a], None if cell is None else cell[..., a], n) for a, n in enumerate(samples.shape)
        ]
        count = 1
        for index, _ in taps:
            count *= index.shape[-1]
        block = max(1, TAPS_AT_ONCE // (count * len(coords) * samples.channels))
        parts = [
            self._gather(samples, [(i[:, q : q + block], w[:, q : q + block]) for i, w in taps])
            for q in range(0, coords.shape[1], block)
        ]
        return torch.cat(parts, 1) if len(parts) != 1 else parts[0]

    def gate(self, cell: Float[Tensor, "B #Q d"]) -> Float[Tensor, "B #Q 1"] | float:
        """How much of the network's correction counts at this cell, relative to a sample's: none at ×1, all from ×2."""
        return (2 * (1 - cell.amin(-1, keepdim=True))).clamp(0, 1) if self.exact else 1.0

    def _taps(self, coords: Tensor, cell: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """Sample indices (B Q K) and weights (B Q K) along one axis of n samples; float64, so that ×1 is exact."""
        u = coords.double() * n - 0.5
        if self.name == "nearest":
            index = (u + 0.5).floor().long().clamp(0, n - 1)[..., None]
            return index, torch.ones_like(index, dtype=torch.float64)
        kernel, support = KERNELS[self.name]
        width = torch.ones(1, 1, dtype=u.dtype) if cell is None else (cell.double() * n).clamp(min=1)
        reach = min(ceil(2 * support * float(width.max())) + 1, n)  # on the CPU if the cell is there: no wait for a GPU
        width = width.to(u.device, non_blocking=True).expand_as(u)
        first = (u - support * width).detach().ceil().long().clamp(0, n - 1)
        index = first[..., None] + torch.arange(reach, device=u.device)
        weight = kernel((index - u[..., None]) / width[..., None])
        weight = weight * (index < n)
        return index.clamp(0, n - 1), weight / weight.sum(-1, keepdim=True)

    @staticmethod
    def _gather(samples: Samples, taps: list[tuple[Tensor, Tensor]]) -> Tensor:
        index, weight = taps[0]
        for (i, w), n in zip(taps[1:], samples.shape[1:], strict=True):
            index = (index[..., None] * n + i[..., None, :]).flatten(2)
            weight = (weight[..., None] * w[..., None, :]).flatten(2)
        batch = torch.arange(len(index), device=index.device)[:, None, None]
        if samples.mask is not None:
            measured = samples.mask[batch, index]
            # beside a hole the kernel's negative lobes could outweigh the rest: there only its positive part counts
            beside = ~(measured | (weight == 0)).all(-1, keepdim=True)
            weight = torch.where(beside, weight.clamp(min=0) * measured, weight)
            weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)
        values = samples.values[batch, index]
        return (weight.to(values.dtype)[..., None] * values).sum(2)  # no matmul: autocast must not round the base


class Constant:
    """No base: the network answers alone, around the signal's mean."""

    name = "none"

    def __init__(self, value: float = 0.0):
        self.value = value

    def __call__(self, samples: Samples, coords: Tensor, cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return samples.values.new_full((*coords.shape[:2], samples.channels), self.value)

    def gate(self, cell: Tensor) -> float:
        return 1.0
