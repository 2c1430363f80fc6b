"""Local read-out: the features of the samples around a query, blended smoothly.

Each of the 2^d nodes around the query answers (W f) ⊙ cos(U δ + φ): its features on waves of learned frequency, where
δ is the offset from the node and the asked cell. The answers are summed with weights that fall as a smooth step from
one node to the next. Weights and their first derivative are continuous and sum to one, so the field has no seams and
its gradient is true. Nodes outside the grid or masked have no weight (around a masked hole the field may jump).

On a lattice of questions nearly all of this is shared. With φ and the cell on the second axis, cos(a + b) = cos a cos b −
sin a sin b parts a wave into its two axes, and so do weights without holes; so rows of questions are blended first, columns
after, and a linear map that follows (`linear`) is folded into the columns' weights: the same numbers as point by point, at
the price of a small matrix product.

Source: after the Local Texture Estimator (Lee & Jin 2022, arXiv 2111.08918), which multiplies a feature's amplitudes
with waves of the offset. Deviations: frequencies and phases are shared by all nodes; the blend is smooth (LTE's area
weights have kinks) and comes before the network that follows, which then runs once per query instead of once per node.
"""

from dataclasses import dataclass
from math import pi

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from gridless import config
from gridless.coords import Lattice, grid, sizes
from gridless.network.encoded import FeatureGrid
from gridless.network.tokenizers import join_patches

BLENDED_AT_ONCE = 1 << 20  # numbers of blended rows: what a processor's cache holds


class LocalReadout(nn.Module):
    """Reads features at the samples: the stem's, and the encoded patches' handed back to the samples they cover. The
    part that does not depend on the query is computed once per sample."""

    def __init__(self, local: config.Local, signal: config.Signal, stem: int | None, patch: int, width: int, out: int):
        """`stem`: the stem's features, None without one; patches of `patch` samples per axis and `width` features."""
        super().__init__()
        self.pitch, self.patch_size, self.slices = 1 / signal.unit, patch, signal.slices
        self.flat = signal.axes == 2 or signal.slices  # questions on a lattice share their work
        self.stem = nn.Linear(stem, out) if local.stem and stem is not None else None
        self.patch = nn.Linear(width, patch**signal.axes * out) if local.patches else None
        self.wave = nn.Linear(signal.axes * (1 if signal.finest_cell is None else 2), out)  # of the offset and the cell
        nn.init.normal_(self.wave.weight, std=2.0)  # radians per step from sample to sample
        nn.init.uniform_(self.wave.bias, -pi, pi)

    def prepare(
        self,
        stem: Float[Tensor, "B *grid S"] | None,
        patches: Float[Tensor, "B T D"] | None,
        shape: tuple[int, ...],
        mask: Bool[Tensor, "B *grid"] | None,
    ) -> FeatureGrid:
        """W f at every sample of a window; `shape` counts the patches per axis."""
        parts = [] if self.stem is None else [self.stem(stem)]
        if self.patch is not None and patches is not None:
            parts.append(join_patches(self.patch(patches), shape, self.patch_size))
        features = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return FeatureGrid(features, self.pitch, mask)

    def forward(
        self, prepared: FeatureGrid, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B Q d"] | None
    ) -> Float[Tensor, "B Q W"]:
        """`coords` in units of the window, `cell` relative to a sample's (None: a model blind to it)."""
        b, *shape, width = prepared.x.shape
        size = sizes(shape, torch.long, coords.device)
        across = [1 if self.slices else 2] * (len(shape) - 1)
        corners = (grid(*across, 2, device=coords.device) > 0.5).long()  # (K d)
        u = coords / prepared.pitch - 0.5
        if self.slices:  # across slices the question stands at a sample; rounding must not take it for the one before
            u = torch.cat([u[..., :-1].round(), u[..., -1:]], -1)
        first = u.detach().floor()
        beside = u - first
        step = smooth_step(beside)[..., None, :]
        index = first.long()[..., None, :] + corners  # (B Q K d)
        weight = torch.where(corners.bool(), step, 1 - step).prod(-1) * ((index >= 0) & (index < size)).all(-1)
        inside = torch.minimum(index.clamp(min=0), size - 1)
        flat = torch.arange(b, device=coords.device)[:, None, None]
        for axis, n in enumerate(shape):
            flat = flat * n + inside[..., axis]
        if prepared.mask is not None:
            weight = weight * prepared.mask.reshape(-1)[flat]
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-6)
        # index_select, because the backward of x[index] sorts; U δ once per query, since nodes are whole steps apart
        node = prepared.x.reshape(-1, width).index_select(0, flat.flatten()).unflatten(0, flat.shape)
        with torch.autocast(u.device.type, enabled=False):  # it would round the phase to bf16
            phase = self.wave(beside if cell is None else torch.cat([beside, cell], -1))
            back = corners.to(phase.dtype) @ self.wave.weight[:, : len(shape)].T
            cosine, sine = (f(phase)[..., None, :].to(node.dtype) for f in (torch.cos, torch.sin))
        # cos(phase − back) without a cosine per node
        wave = cosine * back.cos().to(node.dtype) + sine * back.sin().to(node.dtype)
        return (node * wave * weight[..., None].to(node.dtype)).sum(-2)

    def on_lattice(
        self, prepared: FeatureGrid, lattice: Lattice, cell: Float[Tensor, " d"] | None, linear: nn.Linear
    ) -> Float[Tensor, "B N k"]:
        """`linear` of the features at every point of a plane's lattice, without the features; of samples without holes, and
        questions of one cell. Of slices the points stand at samples across the last axis."""
        if self.slices:
            return self._along_slices(prepared, lattice, cell, linear)
        b, height, width, _ = prepared.x.shape
        with torch.autocast(prepared.x.device.type, enabled=False):
            u = [axis / prepared.pitch - 0.5 for axis in lattice.axes]
            rows, columns = (nodes_along(x, n) for x, n in zip(u, (height, width), strict=True))
            down, along = self.wave.weight[:, 0], self.wave.weight[:, 1]
            phase = (
                self.wave.bias if cell is None else self.wave.bias + self.wave.weight[:, 2:] @ cell.to(self.wave.bias)
            )
            vertical = rows.away[..., None] * down  # (R 2 W)
            horizontal = columns.away[..., None] * along + phase  # (c 2 W)
            share = columns.weight[..., None]
            waves = torch.cat([share * horizontal.cos(), -share * horizontal.sin()], -1)  # (c 2 2W)
            folded = waves[..., None] * linear.weight.T.repeat(2, 1)  # (c 2 2W k)
            vertical = rows.weight[..., None] * torch.stack([vertical.cos(), vertical.sin()])  # (2 R 2 W)
        first, count = int(columns.first[0]), int(columns.first[-1] - columns.first[0]) + 1
        # between two samples stand `most` columns of questions at most; the places of fewer stay empty
        beside = columns.first - first
        place = torch.arange(len(beside), device=beside.device) - torch.searchsorted(beside, beside)
        most = int(place.max()) + 1
        slot = beside * most + place
        weights = folded.new_zeros(count * most, *folded.shape[1:]).index_copy_(0, slot, folded)
        weights = weights.unflatten(0, (count, most)).permute(2, 0, 3, 1, 4).flatten(3).to(prepared.x.dtype)
        vertical = vertical.to(prepared.x.dtype)
        top, bottom = int(rows.first[0]), int(rows.first[-1]) + 2
        features = rectangle(prepared.x, (top, bottom), (first, first + count + 1)).permute(2, 0, 1, 3)
        step = max(1, BLENDED_AT_ONCE // (2 * features.shape[0] * b * features.shape[-1]))
        out = []
        for start in range(0, len(rows.first), step):
            part = slice(start, start + step)
            upper = features[:, :, rows.first[part] - top]  # (X B r W)
            lower = features[:, :, rows.first[part] - top + 1]
            blended = torch.cat([upper * wave[part, 0] + lower * wave[part, 1] for wave in vertical], -1).flatten(1, 2)
            answer = torch.baddbmm(torch.bmm(blended[:-1], weights[0]), blended[1:], weights[1])  # (X Br most·k)
            answer = answer.unflatten(1, (b, -1)).unflatten(-1, (most, -1))
            answer = answer.permute(1, 2, 0, 3, 4).flatten(2, 3)
            out.append(answer if most * count == len(slot) else answer[:, :, slot])
        return torch.cat(out, 1).flatten(1, 2) + linear.bias.to(prepared.x.dtype)

    def _along_slices(
        self, prepared: FeatureGrid, lattice: Lattice, cell: Float[Tensor, " d"] | None, linear: nn.Linear
    ) -> Float[Tensor, "B N k"]:
        """Every question reads the two samples beside it along the last axis."""
        with torch.autocast(prepared.x.device.type, enabled=False):
            u = [axis / prepared.pitch - 0.5 for axis in lattice.axes]
            *across, along = zip(u, prepared.x.shape[1:-1], strict=True)
            nodes, count = nodes_along(*along), along[1]
            d = len(lattice.axes)
            phase = (
                self.wave.bias if cell is None else self.wave.bias + self.wave.weight[:, d:] @ cell.to(self.wave.bias)
            )
            waves = (nodes.away[..., None] * self.wave.weight[:, d - 1] + phase).cos() * nodes.weight[..., None]
            folded = (waves[..., None] * linear.weight.T).to(prepared.x.dtype)  # (c 2 W k)
        features = prepared.x
        for axis, (x, n) in enumerate(across):
            features = features.index_select(1 + axis, x.round().long().clamp(0, n - 1))
        features = features.flatten(1, -3)  # (B P n W)
        out = []
        for number, run in enumerate_runs(nodes.first):
            pairs = [(number + side, folded[run, side]) for side in (0, 1) if 0 <= number + side < count]
            parts = [features[:, :, sample] @ weight.movedim(0, 1).flatten(1) for sample, weight in pairs]
            out.append(sum(parts[1:], parts[0]).unflatten(-1, (-1, linear.out_features)))
        return torch.cat(out, 2).flatten(1, 2) + linear.bias.to(prepared.x.dtype)


def enumerate_runs(first: Int64[Tensor, " n"]) -> list[tuple[int, slice]]:
    """Ascending numbers, each with where it stands."""
    numbers, counts = first.unique_consecutive(return_counts=True)
    ends = counts.cumsum(0).tolist()
    return [(n, slice(end - c, end)) for n, c, end in zip(numbers.tolist(), counts.tolist(), ends, strict=True)]


@dataclass(frozen=True, eq=False)
class Nodes:
    """The two samples beside every coordinate of one axis: the index of the first, −1 before them all, both offsets in
    steps from sample to sample, and both weights, zero outside."""

    first: Int64[Tensor, " n"]
    away: Float[Tensor, "n 2"]
    weight: Float[Tensor, "n 2"]


def nodes_along(u: Float[Tensor, " n"], count: int) -> Nodes:
    """Of coordinates in steps, sample i at i; the weights fall as a smooth step."""
    first = u.floor().long().clamp(-1, count - 1)
    beside = u - first
    step = smooth_step(beside)
    index = first[:, None] + torch.arange(2, device=u.device)
    weight = torch.stack([1 - step, step], -1) * ((index >= 0) & (index < count))
    return Nodes(first, torch.stack([beside, beside - 1], -1), weight / weight.sum(-1, keepdim=True).clamp(min=1e-6))


def rectangle(x: Float[Tensor, "B H W C"], rows: tuple[int, int], columns: tuple[int, int]) -> Float[Tensor, "B h w C"]:
    """From a row and a column up to others, which may lie one outside: zeros."""
    ranges = [(max(a, 0), min(b, n), a, b) for (a, b), n in zip((rows, columns), x.shape[1:3], strict=True)]
    (top, bottom, _, _), (left, right, _, _) = ranges
    (above, below), (before, after) = [(low - a, b - high) for low, high, a, b in ranges]
    return F.pad(x[:, top:bottom, left:right], (0, 0, before, after, above, below))


def smooth_step(t: Tensor) -> Tensor:
    """3t² − 2t³: from 0 to 1 on [0, 1] with flat ends."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
