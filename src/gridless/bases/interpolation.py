"""Interpolation of grids: the start of a photo model's field, and its baselines.

`Interpolation` resamples a grid with a separable kernel at cell centres. Asked for a cell larger than a sample, the
kernel widens with it (antialiasing); at the border it is cut and renormalised, and on an axis whose end is its beginning
it reads on there. Cutting and widening are Pillow's conventions, and for bilinear, bicubic (Keys, a = −0.5) and Lanczos
(a = 3) the answers equal Pillow's to rounding. torch's `interpolate` and `grid_sample` use a = −0.75 for bicubic, another
picture by about 0.1 dB.

Beside a hole (a masked sample) the kernel's negative lobes could outweigh the rest: as the measured share of its weights
falls, the answer goes over to a positive kernel of the measured samples alone. Where nothing within reach was measured
the answer is NaN, or with `fill` the nearest measured value: never a 0 that nobody measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, prod

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gridless.coords import Lattice, grid
from gridless.field import Field
from gridless.protocols import Solved
from gridless.samples import Samples

TAPS_AT_ONCE = 1 << 22  # values gathered per block: bounds memory when a small picture is asked of a large one


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def keys(x: Tensor) -> Tensor:
    """Keys (1981), a = −0.5: the cubic that reproduces quadratics. Value and derivative vanish at ±2."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


BSPLINE = "bspline"
KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (keys, 2.0),
    "lanczos": (_lanczos, 3.0),
}
BASELINES = ("nearest", *KERNELS)
"""What stands beside a model of pictures."""
KINDS = (*BASELINES, BSPLINE)


@dataclass(frozen=True)
class Interpolation:
    """A grid answered anywhere by a kernel: nearest, bilinear, bicubic, lanczos or bspline, on any number of axes.

    `exact`: asked at the samples' own cell size, a model's field returns the base alone. `fill`: the nearest measured value
    where nothing within the kernel's reach was measured; else NaN.
    """

    kind: str = "bicubic"
    exact: bool = True
    fill: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"no baseline {self.kind!r}; there are {', '.join(KINDS)}")

    @property
    def name(self) -> str:
        return self.kind

    def solve(self, samples: Samples) -> Solved:
        """Raises ValueError for scattered samples."""
        samples.on_grid()
        if self.kind == BSPLINE:
            from gridless.bases.bsplines import SolvedBSpline

            return SolvedBSpline.of(self, samples)
        return SolvedInterpolation(self, samples)

    def solve_for_training(self, samples: Samples) -> Solved:
        """Known everywhere, so that no NaN reaches a loss."""
        return replace(self, fill=True).solve(samples)

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out."""
        return Field.of_base(self, samples)


@dataclass(frozen=True, eq=False)
class SolvedInterpolation:
    """Differentiable in the coordinates and in the values."""

    base: Interpolation
    samples: Samples

    spread = False
    differentiable = True

    def __call__(
        self, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None
    ) -> Float[Tensor, "B Q C"]:
        """Values at `coords` in [0, 1], averaged over `cell` where that is larger than a sample's."""
        samples = self.samples
        axes = [
            self._taps(coords[..., a], None if cell is None else cell[..., a], n, samples.joins[a])
            for a, n in enumerate(samples.grid_shape)
        ]
        values = in_blocks(samples, axes, coords.shape[1])
        return nearest_measured(samples, coords, values) if self.base.fill and samples.mask is not None else values

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N C"]:
        """Axis by axis, which samples without holes allow."""
        samples = self.samples
        if samples.mask is not None or lattice.axes[0].requires_grad:
            return self(lattice.points(len(samples)), cell)
        values = samples.values.unflatten(1, samples.grid_shape)
        for a in range(samples.axes - 1, -1, -1):
            taps = self._taps(lattice.axes[a][None], cell[:1, :, a], samples.grid_shape[a], samples.joins[a])
            values = weighed(values.movedim(1 + a, 0), taps).movedim(0, 1 + a)
        return values.flatten(1, -2)

    def measured_share(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q"]:
        """Of the weight of all samples that the kernel reads, how much was measured."""
        samples = self.samples
        assert samples.mask is not None, "without a mask all was measured"
        known = replace(samples, values=samples.mask[..., None].double(), mask=None)
        axes = [
            self._taps(coords[..., a], None if cell is None else cell[..., a], n, samples.joins[a])
            for a, n in enumerate(samples.grid_shape)
        ]
        axes = [replace(axis, weight=axis.weight.abs(), tent=None) for axis in axes]
        axes = [replace(axis, weight=axis.weight / axis.weight.sum(-1, keepdim=True)) for axis in axes]
        return in_blocks(known, axes, coords.shape[1])[..., 0]

    def std(self, coords: Tensor, cell: Tensor | None = None) -> None:
        return None

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Float[Tensor, "B #Q d"]) -> Float[Tensor, "B #Q 1"] | float:
        """How much of the network's correction counts at this cell, relative to a sample's: none at ×1, all from ×2."""
        return finer(cell) if self.base.exact else 1.0

    def to(self, device) -> "SolvedInterpolation":
        return replace(self, samples=self.samples.to(device))

    def _taps(self, coords: Float[Tensor, "B Q"], cell: Tensor | None, n: int, joins: bool) -> "Taps":
        return taps(self.base.kind, coords, cell, n, joins, self.samples.mask is not None)


def taps(
    kind: str, coords: Float[Tensor, "B Q"], cell: Tensor | None, n: int, joins: bool, holes: bool = False
) -> "Taps":
    """The samples that a kernel reads along one axis of n; float64, so that ×1 is exact."""
    u = coords.double() * n - 0.5
    if kind == "nearest":
        index = (u + 0.5).detach().floor().long()
        index = (index % n if joins else index.clamp(0, n - 1))[..., None]
        one = torch.ones_like(index, dtype=torch.float64)
        return Taps(index, one, one)
    kernel, support = KERNELS[kind]
    width = torch.ones(1, 1, dtype=u.dtype) if cell is None else (cell.double() * n).clamp(min=1)
    reach = ceil(2 * support * float(width.max())) + 1  # on the CPU if the cell is there: no wait for a GPU
    reach = reach if joins else min(reach, n)
    width = width.to(u.device, non_blocking=True).expand_as(u)
    first = (u - support * width).detach().ceil().long()
    first = first if joins else first.clamp(0, n - 1)
    index = first[..., None] + torch.arange(reach, device=u.device)
    away = (index - u[..., None]) / width[..., None]
    inside = torch.ones_like(away) if joins else (index < n).to(away.dtype)
    weight = kernel(away) * inside
    tent = None
    if holes:
        tent = (1 - away.abs() / (support + 1)).clamp(min=0).square() * inside * (away.abs() <= support)
    return Taps(index % n if joins else index.clamp(0, n - 1), weight / weight.sum(-1, keepdim=True), tent)


def gathered(samples: Samples, axes: "list[Taps]") -> Float[Tensor, "B Q C"]:
    """The samples that the taps of all axes read together, weighed."""
    taps = axes[0]
    for other, n in zip(axes[1:], samples.grid_shape[1:], strict=True):
        taps = taps.times(other, n)
    batch = torch.arange(len(taps.index), device=taps.index.device)[:, None, None]
    values, weight = samples.values[batch, taps.index], taps.weight
    if samples.mask is not None:
        weight = taps.measured(samples.mask[batch, taps.index])
    return (weight.to(values.dtype)[..., None] * values).sum(2)  # no matmul: autocast must not round the base


def in_blocks(samples: Samples, axes: "list[Taps]", points: int) -> Float[Tensor, "B Q C"]:
    """`gathered`, so many points at once that memory is bounded."""
    count = prod(axis.index.shape[-1] for axis in axes)
    block = max(1, TAPS_AT_ONCE // (count * len(samples) * samples.channels))
    parts = [gathered(samples, [axis.block(q, block) for axis in axes]) for q in range(0, points, block)]
    return torch.cat(parts, 1) if len(parts) != 1 else parts[0]


def finer(cell: Float[Tensor, "B #Q d"]) -> Float[Tensor, "B #Q 1"]:
    """How much of a correction counts where the samples' own cell answers exactly: none at ×1, all from ×2 along an axis."""
    return (2 * (1 - cell.amin(-1, keepdim=True))).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Taps:
    """Samples that a kernel reads at every query, with its weights and those of a positive kernel that no sample within
    reach escapes."""

    index: Int64[Tensor, "B Q K"]
    weight: Float[Tensor, "B Q K"]
    tent: Float[Tensor, "B Q K"] | None
    """None where no sample is masked."""

    def block(self, start: int, size: int) -> "Taps":
        part = slice(start, start + size)
        return Taps(self.index[:, part], self.weight[:, part], None if self.tent is None else self.tent[:, part])

    def times(self, other: "Taps", n: int) -> "Taps":
        """The product with the taps of a further axis of n samples."""
        index = (self.index[..., None] * n + other.index[..., None, :]).flatten(2)
        weight, tent = (self.weight[..., None] * other.weight[..., None, :]).flatten(2), None
        if self.tent is not None and other.tent is not None:
            tent = (self.tent[..., None] * other.tent[..., None, :]).flatten(2)
        return Taps(index, weight, tent)

    def measured(self, mask: Bool[Tensor, "B Q K"]) -> Float[Tensor, "B Q K"]:
        """Weights of the measured samples alone; NaN where there is none."""
        assert self.tent is not None
        signed, tent = self.weight * mask, self.tent * mask
        share = signed.abs().sum(-1, keepdim=True) / self.weight.abs().sum(-1, keepdim=True)
        total = signed.sum(-1, keepdim=True)
        part = ((2 * share - 1).clamp(0, 1)) ** 2
        part = part * (3 - 2 * part) * (total > 0.25)
        positive = tent / torch.where(tent.sum(-1, keepdim=True) > 0, tent.sum(-1, keepdim=True), torch.nan)
        complete = mask.all(-1, keepdim=True) | (share == 1)
        mixed = part * signed / torch.where(total > 0.25, total, 1.0) + (1 - part) * positive
        return torch.where(complete, self.weight, mixed)


def weighed(values: Float[Tensor, "n *rest"], taps: Taps) -> Float[Tensor, "asked *rest"]:
    """Samples along the first axis at every question of it."""
    index, weight = taps.index[0], taps.weight[0].to(values.dtype)
    used = int(index.min()), int(index.max()) + 1
    values, index = values[used[0] : used[1]].contiguous(), index - used[0]
    shape = (-1, *(1,) * (values.ndim - 1))
    out = values.index_select(0, index[:, 0]).mul_(weight[:, 0].view(shape))
    for k in range(1, index.shape[1]):
        if weight[:, k].any():
            out.addcmul_(values.index_select(0, index[:, k]), weight[:, k].view(shape))
    return out


def nearest_measured(
    samples: Samples, coords: Float[Tensor, "B Q d"], values: Float[Tensor, "B Q C"]
) -> Float[Tensor, "B Q C"]:
    """The values, and where they are NaN those of the nearest measured samples."""
    missing = values.isnan().any(-1)
    if not missing.any():
        return values
    places = samples.positions(grid(*samples.grid_shape, dtype=torch.float64, device=coords.device))
    out = values.clone()
    assert samples.mask is not None, "without a mask nothing is missing"
    for b in missing.any(1).nonzero().flatten().tolist():
        measured = samples.mask[b].nonzero().flatten()
        asked = samples.positions(coords[b, missing[b]].detach().double())
        nearest = torch.cat(
            [
                torch.cdist(part, places[measured]).argmin(1)
                for part in asked.split(max(1, TAPS_AT_ONCE // len(measured)))
            ]
        )
        out[b, missing[b]] = samples.values[b, measured[nearest]]
    return out


@dataclass(frozen=True)
class Constant:
    """No base: the network answers alone, around a level: the given one, or else the mean of each field's own samples."""

    value: float | tuple[float, ...] | None = None
    channels: int | None = None
    """Of the answer, if others than the samples'; then around 0 unless a value is given."""

    name = "none"

    def solve(self, samples: Samples) -> "SolvedConstant":
        """The mean of each field's samples, or the value that it was given."""
        if self.value is None and self.channels in (None, samples.channels):
            return SolvedConstant(samples.standard()[0])
        level = samples.values.new_tensor(0.0 if self.value is None else self.value)
        return SolvedConstant(level.expand(len(samples), self.channels or samples.channels))

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out."""
        return Field.of_base(self, samples)


@dataclass(frozen=True, eq=False)
class SolvedConstant:
    """One value per field and channel."""

    level: Float[Tensor, "B C"]

    spread = False
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self.level[:, None].expand(-1, coords.shape[1], -1)

    def std(self, coords: Tensor, cell: Tensor | None = None) -> None:
        return None

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedConstant":
        return replace(self, level=self.level.to(device))
