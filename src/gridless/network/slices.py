"""A grid as a stack of slices: a network that refines along the coarsest axis alone, asked anywhere.

The network sees the axes in the order of their steps, the coarsest last, whatever the file's order is. Across that axis it
was trained at samples alone, at their own cell; between them its outputs are blended from one sample to the next as a smooth
step, so that the field is continuous and its gradient true. Along it nothing is added at the samples' own cell.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gridless.config import Signal
from gridless.coords import Lattice
from gridless.network.local import smooth_step
from gridless.network.parts import Network, Reader
from gridless.protocols import Answer
from gridless.samples import Samples

LEAST = 1e-6  # weight below which a sample is not asked


@dataclass(frozen=True, eq=False)
class SliceReader:
    """A reader of grids whose coarsest axis is the last, asked in the order of the samples' axes."""

    reader: Reader
    order: tuple[int, ...]
    """Of the samples' axes, as the network sees them."""
    shape: tuple[int, ...]
    """As the network sees it."""

    def __call__(
        self, coords: Tensor, cell: Tensor, latents_at: Tensor | None = None, base: Answer | None = None
    ) -> Float[Tensor, "B Q k"]:
        asked = coords[..., self.order]
        ends = [beside(asked[..., axis], n) for axis, n in enumerate(self.shape[:-1])]
        inside, share = self.cells(cell)
        out: Tensor | None = None
        for corner in product((0, 1), repeat=len(ends)):
            weight = torch.ones_like(asked[..., 0])
            for side, (_, step) in zip(corner, ends, strict=True):
                weight = weight * (step if side else 1 - step)
            if out is not None and float(weight.detach().max()) < LEAST:
                continue
            nodes = [
                (node(first + side, n) + 0.5) / n
                for side, (first, _), n in zip(corner, ends, self.shape[:-1], strict=True)
            ]
            there = torch.stack([*(x.to(asked.dtype) for x in nodes), asked[..., -1]], -1)
            answer = self.reader(there, inside, latents_at, base) * weight[..., None].to(asked.dtype)
            out = answer if out is None else out + answer
        assert out is not None, "some sample is nearest"
        return share * out

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N k"]:
        axes, blends = [], []
        for axis, n in enumerate(self.shape[:-1]):
            first, step = beside(lattice.axes[self.order[axis]], n)
            used = torch.stack([node(first, n), node(first + 1, n)], -1)
            weight = torch.stack([1 - step, step], -1) * (torch.stack([1 - step, step], -1) >= LEAST)
            nodes = used[weight > 0].unique()
            place = torch.searchsorted(nodes, used).clamp(max=len(nodes) - 1)
            axes.append((nodes + 0.5).double() / n)
            blends.append(weight.new_zeros(len(used), len(nodes)).scatter_add_(1, place, weight))
        inside, share = self.cells(cell)
        answer = self.reader.on_lattice(Lattice((*axes, lattice.axes[self.order[-1]])), inside)
        answer = answer.unflatten(1, (*map(len, axes), -1))
        for axis, blend in enumerate(blends):
            if blend.shape[0] != blend.shape[1] or not bool((blend.diagonal() == 1).all()):
                answer = torch.tensordot(answer, blend.to(answer), ([1 + axis], [1])).movedim(-1, 1 + axis)  # pyright: ignore[reportArgumentType]
        back = [1 + self.order.index(axis) for axis in range(len(self.order))]
        return share * answer.permute(0, *back, -1).flatten(1, -2)

    def cells(self, cell: Float[Tensor, "B #Q d"]) -> tuple[Float[Tensor, "B #Q d"], Float[Tensor, "B #Q 1"]]:
        """As the network was trained, and how much of it counts beyond what the base's gate says of all axes."""
        asked = cell[..., self.order]
        inside = torch.cat([torch.ones_like(asked[..., :-1]), asked[..., -1:]], -1)
        along, every = ((2 * (1 - part)).clamp(0, 1) for part in (asked[..., -1:], asked.amin(-1, keepdim=True)))
        return inside, torch.where(every > 0, along / every.clamp(min=LEAST), 1.0)

    def to(self, network: Network, device) -> "SliceReader":
        return replace(self, reader=self.reader.to(network, device))


def of_slices(samples: Samples, signal: Signal, read: Callable[[Samples], Reader]) -> Reader:
    """What reads the samples: of slices, those whose axes are in the network's order."""
    if not signal.slices or samples.shape is None:
        return read(samples)
    order = by_step(samples)
    shape = tuple(samples.shape[axis] for axis in order)
    return SliceReader(read(samples if order == tuple(range(len(order))) else arranged(samples, order)), order, shape)


def by_step(samples: Samples) -> tuple[int, ...]:
    """The axes of a grid, that of the coarsest step last; of equal ones, and without a domain, the last."""
    domain, shape = samples.domain, samples.grid_shape
    if domain is None:
        return tuple(range(len(shape)))
    steps = [abs(axis.length) / n for axis, n in zip(domain.axes, shape, strict=True)]
    last = max(axis for axis, step in enumerate(steps) if step > (1 - 1e-3) * max(steps))
    return (*(axis for axis in range(len(shape)) if axis != last), last)


def arranged(samples: Samples, order: tuple[int, ...]) -> Samples:
    """The samples with their axes in another order, for a network: without the domain."""
    level, scale = samples.standard()
    values = samples.on_grid().permute(0, *(1 + axis for axis in order), -1)
    mask = samples.mask_on_grid()
    mask = None if mask is None else mask.permute(0, *(1 + axis for axis in order)).flatten(1)
    shape = tuple(samples.grid_shape[axis] for axis in order)
    return Samples(values.flatten(1, -2), shape=shape, mask=mask, level=level, scale=scale)


def beside(u: Float[Tensor, "*B"], n: int) -> tuple[Int64[Tensor, "*B"], Float[Tensor, "*B"]]:
    """The sample before a place along an axis of n, and the weight of the next one."""
    x = u * n - 0.5
    first = x.detach().floor()
    return first.long(), smooth_step(x - first)


def node(index: Int64[Tensor, "*B"], n: int) -> Int64[Tensor, "*B"]:
    return index.clamp(0, n - 1)
