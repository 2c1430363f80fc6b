"""What tasks ask of grids: some samples of a part, or all of it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gridless.coords import lattice
from gridless.data.signals import GridSignal
from gridless.protocols import Batch, Case
from gridless.samples import Samples


def asked_cells(
    crop: GridSignal, index: np.ndarray, seen: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Coordinates, cell, values and mask of some samples of a crop that is seen on a grid of the shape `seen`."""
    where = np.unravel_index(index, crop.shape)
    domain = (crop.whole or crop).domain
    axes, cell = lattice(crop.shape, seen, domain)
    coords = torch.stack([axis[torch.from_numpy(i)] for axis, i in zip(axes, where, strict=True)], -1)
    values = torch.from_numpy(crop.at_cells(where))
    mask = None if crop.mask is None else torch.from_numpy(crop.mask[where])
    return coords.to(values.dtype), cell.to(values.dtype), values, mask


def batch_of(parts: Sequence[tuple]) -> Batch:
    """Parts that are seen, and what `asked_cells` says of each."""
    seen, coords, cells, values, masks = zip(*parts, strict=True)
    measured = None
    if any(mask is not None for mask in masks):
        full = torch.ones(len(coords[0]), dtype=torch.bool)
        measured = torch.stack([full if mask is None else mask for mask in masks])
    samples = Samples.stack([signal.part_samples() for signal in seen])
    alike = all(torch.equal(coords[0], other) for other in coords[1:])
    places = coords[0].expand(len(coords), -1, -1) if alike else torch.stack(coords)
    return Batch(samples, places, torch.stack(cells)[:, None], torch.stack(values), None, measured)


def grid_case(name: str, samples: Samples, truth: GridSignal, tags: dict) -> Case:
    """A whole grid is asked."""
    values = truth.values if truth.kind == "picture" else truth.floats
    return Case(
        name,
        samples,
        values,
        truth.shape,
        None,
        truth.mask,
        truth.kind,
        truth.peak,
        tags=tags | {"family": truth.group},
    )
