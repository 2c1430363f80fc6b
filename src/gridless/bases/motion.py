"""How a film moves: one smooth field of velocities, from several pairs of frames together.

Lucas and Kanade (1981) on a pyramid, in any number of axes: at every level both frames of a pair are warped to the middle
between them by the velocities of the level before, and the least squares of what is left, summed over the pairs and a
Gaussian window, are solved for what those missed. The ridge is a share of the mean structure, so that where nothing has a
shape the velocities of the coarser level stay, and a film that does not change has none. A cell that was not measured in
both frames does not count.
"""

from dataclasses import dataclass
from itertools import product
from math import ceil

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gridless.bases.film import Film, neighbours, smoothed
from gridless.bases.spatial import GridNodes
from gridless.coords import grid, sizes

COARSEST = 12  # cells along the shortest axis of the coarsest level, at least
LARGEST = 256  # cells along the longest axis of the finest level, at most: velocities are smoother than what moves
WINDOW = 4.0  # cells of a level, the deviation of the Gaussian window
RIDGE = 0.02  # of the mean structure of the frames
ROUNDS = 4  # of warping at every level
FASTEST = 3.0  # cells of a level that one round may add
ROUNDING = 1e-5  # of the level: less is no variation


@dataclass(frozen=True, eq=False)
class Velocities:
    """Several fields of velocities, in units of the whole per frame along every axis of space, at the centres of `cells`,
    which may be coarser than the film's; linear in between, and beyond a border that on it."""

    values: Float[Tensor, "B K P e"]
    cells: tuple[int, ...]
    joins: tuple[bool, ...]

    def __call__(self, place: Float[Tensor, "B Q e"], number: Int64[Tensor, "B Q"]) -> Float[Tensor, "B Q e"]:
        """Those of the field of a number at each place."""
        index, share = [], []
        for a, n in enumerate(self.cells):
            u = place[..., a] * n - 0.5
            low = u.detach().floor()
            share.append(u - low)
            both = torch.stack([low, low + 1]).long()
            index.append(both.remainder(n) if self.joins[a] else both.clamp(0, n - 1))
        batch = torch.arange(len(place), device=place.device)[:, None]
        out = torch.zeros_like(place)
        for corner in product((0, 1), repeat=len(self.cells)):
            cell, weight = torch.zeros_like(number), torch.ones_like(place[..., 0])
            for a, side in enumerate(corner):
                cell = cell * self.cells[a] + index[a][side]
                weight = weight * (share[a] if side else 1 - share[a])
            out = out + self.values[batch, number, cell].to(place.dtype) * weight[..., None]
        return out


def velocities(film: Film, until: Int64[Tensor, " B"], pairs: int) -> Velocities:
    """Of the last `pairs` pairs of measured frames until the frame of this number, one for each field of the batch."""
    frames, weight, apart = _pairs(film, until, pairs)
    levels = _pyramid(_standard(frames, weight), weight)
    flow, coarser = None, None
    for frames, weight in levels:
        shape = tuple(frames.shape[2:-1])
        nodes = GridNodes(shape, film.joins, "linear")
        places = grid(*shape, dtype=frames.dtype, device=frames.device)[None]
        if flow is None or coarser is None:
            flow = frames.new_zeros(len(frames), places.shape[1], len(shape))
        else:
            flow = coarser.evaluate(places, flow)
        for _ in range(ROUNDS if apart.shape[1] else 0):
            flow = flow + _missed(frames, weight, apart, flow, nodes, places)
        flow, coarser = _smooth(flow, nodes), nodes
    assert flow is not None and coarser is not None, "a pyramid has a level"
    return Velocities(flow[:, None], coarser.shape, film.joins)


def _smooth(flow: Float[Tensor, "B P e"], nodes: GridNodes) -> Float[Tensor, "B P e"]:
    by_axis = flow.movedim(-1, 1).reshape(-1, *nodes.shape)
    return smoothed(by_axis, WINDOW / 2, nodes.periodic).view(len(flow), flow.shape[-1], -1).movedim(1, -1)


def _pairs(
    film: Film, until: Int64[Tensor, " B"], pairs: int
) -> tuple[Float[Tensor, "B n *grid C"], Float[Tensor, "B n *grid"], Float[Tensor, "B p"]]:
    """The last measured frames, where they count, and how many frames each lies after the one before; 0 where there are
    fewer."""
    count = film.count
    number = torch.arange(count, device=until.device)
    usable = film.measured & (number <= until[:, None])
    order = torch.where(usable, number, -1).sort(1).values[:, -(pairs + 1) :]
    real = order >= 0
    newest = order[:, -1:].clamp(min=0)
    order = torch.where(real, order, newest)
    batch = torch.arange(len(until), device=until.device)[:, None]
    frames = film.frames[batch, order]
    known = frames.new_ones(frames.shape[:-1]) if film.mask is None else film.mask[batch, order].to(frames)
    known = known * real.view(*real.shape, *(1,) * (known.ndim - 2)).to(frames)
    apart = torch.where(real[:, :-1], order[:, 1:] - order[:, :-1], 0)
    return frames, known, apart.to(frames)


def _standard(frames: Float[Tensor, "B n *grid C"], weight: Float[Tensor, "B n *grid"]) -> Float[Tensor, "B n *grid C"]:
    """In each channel's own deviation around its mean, so that units do not matter; 0 where nothing varies."""
    axes = tuple(range(1, frames.ndim - 1))
    share = (weight / weight.sum(axes, keepdim=True).clamp(min=1))[..., None]
    level = (share * frames).sum(axes, keepdim=True)
    variance = (share * (frames - level).square()).sum(axes, keepdim=True)
    varies = variance > (ROUNDING * level.detach()).square()
    return (frames - level) * torch.where(varies, torch.where(varies, variance, 1.0).rsqrt(), 0.0)


def _pyramid(frames: Tensor, weight: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The coarsest level first: means over blocks of cells, each axis halved as long as its cells are many."""
    shape = tuple(frames.shape[2:-1])
    while max(shape) > LARGEST:
        shape = tuple(ceil(n / 2) if n > COARSEST else n for n in shape)
    levels = [_reduced(frames, weight, shape)]
    while min(shape) >= 2 * COARSEST:
        shape = tuple(ceil(n / 2) for n in shape)
        levels.append(_reduced(*levels[-1], shape))
    return levels[::-1]


def _reduced(frames: Tensor, weight: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Means over what was measured of each block."""
    if tuple(frames.shape[2:-1]) == shape:
        return frames, weight
    total = _blocks(frames * weight[..., None], shape)
    known = _blocks(weight[..., None], shape)
    plain = _blocks(frames, shape)
    mean = torch.where(known > 0, total / torch.where(known > 0, known, 1.0), plain)
    return mean, known[..., 0]


def _blocks(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Means over cells of a coarser grid, axis by axis; a fine cell counts by how much of it lies in a coarse one."""
    for axis, m in enumerate(shape, start=2):
        n = values.shape[axis]
        if n == m:
            continue
        edge = torch.arange(m + 1, dtype=torch.float64, device=values.device) * (n / m)
        cell = torch.arange(n, dtype=torch.float64, device=values.device)
        share = (torch.minimum(edge[1:, None], cell + 1) - torch.maximum(edge[:-1, None], cell)).clamp(min=0)
        values = (values.movedim(axis, -1) @ (share * (m / n)).to(values).mT).movedim(-1, axis)
    return values


def _missed(
    frames: Float[Tensor, "B n *grid C"],
    weight: Float[Tensor, "B n *grid"],
    apart: Float[Tensor, "B p"],
    flow: Float[Tensor, "B P e"],
    nodes: GridNodes,
    places: Float[Tensor, "1 P e"],
) -> Float[Tensor, "B P e"]:
    """What the velocities of a level lack."""
    b, n, axes, channels = len(frames), frames.shape[1], len(nodes.shape), frames.shape[-1]
    pairs = n - 1
    size = sizes(nodes.shape, flow.dtype, flow.device)
    way = flow[:, None] * apart[..., None, None]  # (B p P e) from the earlier frame to the later one
    held = torch.cat([frames, weight[..., None]], -1).flatten(2, -2)  # (B n P C+1)
    earlier = nodes.evaluate((places - way / 2).flatten(0, 1), held[:, :-1].flatten(0, 1))
    later = nodes.evaluate((places + way / 2).flatten(0, 1), held[:, 1:].flatten(0, 1))
    counted = (earlier[..., -1] * later[..., -1]).view(b, pairs, -1) * (apart > 0)[..., None]
    counted = counted * _inside(places - way / 2, nodes) * _inside(places + way / 2, nodes)
    earlier, later = (x[..., :-1].view(b, pairs, *nodes.shape, channels) for x in (earlier, later))
    slope = _gradient((earlier + later) / 2, nodes.periodic) * apart.view(b, pairs, *(1,) * (axes + 2))
    slope = slope.flatten(2, -3)  # (B p P C e), per cell and frame
    change = (later - earlier).flatten(2, -2)
    structure = torch.einsum("bkp,bkpci,bkpcj->bpij", counted, slope, slope)
    right = -torch.einsum("bkp,bkpci,bkpc->bpi", counted, slope, change)
    joint = torch.cat([structure.flatten(2), right], -1).movedim(-1, 1).reshape(-1, *nodes.shape)
    joint = smoothed(joint, WINDOW, nodes.periodic).view(b, axes * axes + axes, -1).movedim(1, -1)
    structure, right = joint[..., : axes * axes].unflatten(-1, (axes, axes)), joint[..., axes * axes :]
    ridge = RIDGE * structure.diagonal(dim1=-2, dim2=-1).mean((1, 2))[:, None, None, None] + 1e-6
    solved = torch.linalg.solve(structure + ridge * torch.eye(axes).to(structure), right[..., None])[..., 0]
    return solved.clamp(-FASTEST, FASTEST) / size


def _inside(places: Float[Tensor, "B p P e"], nodes: GridNodes) -> Bool[Tensor, "B p P"]:
    """Which places no border has moved."""
    free = torch.tensor(nodes.periodic, device=places.device)
    return (((places >= 0) & (places <= 1)) | free).all(-1)


def _gradient(values: Float[Tensor, "B p *grid C"], periodic: tuple[bool, ...]) -> Float[Tensor, "B p *grid C e"]:
    """Central differences per cell; none across a border."""
    parts = []
    for axis, join in enumerate(periodic):
        n = values.shape[2 + axis]
        sides = [values.index_select(2 + axis, neighbours(n, step, join, values.device)) for step in (1, -1)]
        parts.append((sides[0] - sides[1]) / 2)
    return torch.stack(parts, -1)
