"""Local read-out: the features of the samples around a query, blended smoothly.

Each of the 2^d nodes around the query answers (W f) ⊙ cos(U δ + φ): its features on waves of learned frequency, where
δ is the offset from the node and the asked cell. The answers are summed with weights that fall as a smooth step from
one node to the next. Weights and their first derivative are continuous and sum to one, so the field has no seams and
its gradient is true. Nodes outside the grid or masked have no weight (around a masked hole the field may jump).

Source: after the Local Texture Estimator (Lee & Jin 2022, arXiv 2111.08918), which multiplies a feature's amplitudes
with waves of the offset. Deviations: frequencies and phases are shared by all nodes; the blend is smooth (LTE's area
weights have kinks) and comes before the network that follows, which then runs once per query instead of once per node.
"""

from math import pi

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config
from gridless.coords import grid, sizes
from gridless.network.encoded import FeatureGrid
from gridless.network.tokenizers import join_patches


class LocalReadout(nn.Module):
    """Reads features at the samples: the stem's, and the encoded patches' handed back to the samples they cover. The
    part that does not depend on the query is computed once per sample."""

    def __init__(self, local: config.Local, signal: config.Signal, stem: int | None, patch: int, width: int, out: int):
        """`stem`: the stem's features, None without one; patches of `patch` samples per axis and `width` features."""
        super().__init__()
        self.pitch, self.patch_size = 1 / signal.unit, patch
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
        corners = (grid(*[2] * len(shape), device=coords.device) > 0.5).long()  # (K d)
        u = coords / prepared.pitch - 0.5
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


def smooth_step(t: Tensor) -> Tensor:
    """3t² − 2t³: from 0 to 1 on [0, 1] with flat ends."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
