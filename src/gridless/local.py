"""Local read-out: the features of the grid nodes around a query, blended smoothly.

Each of the 2^d nodes around the query answers gelu(W f + U δ), δ the offset to the node and the asked cell; the
answers are summed with weights that fall as a smooth step from one node to the next. Weights and their first
derivative are continuous and sum to one, so the field has no seams and its gradient is true. Nodes outside the grid
or masked have no weight.
"""

from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gridless.samples import FeatureGrid


class LocalReadout(nn.Module):
    """Reads one feature grid. The part that does not depend on the query is computed once per node."""

    def __init__(self, features: int, width: int, inputs: int):
        """`inputs`: numbers that describe the query beside a node, the offset's and the cell's."""
        super().__init__()
        self.node = nn.Linear(features, width)
        self.offset = nn.Linear(inputs, width, bias=False)

    def prepare(self, grid: FeatureGrid) -> FeatureGrid:
        """The grid with W f at every node."""
        return FeatureGrid(self.node(grid.x), grid.pitch, grid.mask)

    def forward(
        self, prepared: FeatureGrid, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B Q d"] | None
    ) -> Float[Tensor, "B Q W"]:
        """`coords` in units of the window, `cell` relative to a sample's (None: a model blind to it)."""
        b, *shape, width = prepared.x.shape
        nodes = prepared.x.reshape(b, -1, width)
        mask = None if prepared.mask is None else prepared.mask.reshape(b, -1)
        batch = torch.arange(b, device=coords.device)[:, None]
        u = coords / prepared.pitch - 0.5
        first = u.detach().floor()
        beside = u - first
        step = smooth_step(beside)
        # U δ for the first node once; the other nodes' offsets differ from it by whole steps
        query = self.offset(beside if cell is None else torch.cat([beside, cell], -1))
        size = torch.tensor(shape, device=u.device)
        total, weights = 0.0, 0.0
        for corner in product((0, 1), repeat=len(shape)):
            shift = torch.tensor(corner, device=u.device)
            index = first.long() + shift
            inside = ((index >= 0) & (index < size)).all(-1)
            clamped = torch.minimum(index.clamp(min=0), size - 1)
            flat = clamped[..., 0]
            for axis in range(1, len(shape)):
                flat = flat * shape[axis] + clamped[..., axis]
            weight = torch.where(shift.bool(), step, 1 - step).prod(-1) * inside
            if mask is not None:
                weight = weight * mask[batch, flat]
            back = self.offset.weight[:, : len(shape)] @ shift.to(self.offset.weight.dtype)
            answer = F.gelu(nodes[batch, flat] + (query - back))
            total = total + weight[..., None] * answer
            weights = weights + weight
        return total / weights.clamp(min=1e-6)[..., None]


def smooth_step(t: Tensor) -> Tensor:
    """3t² − 2t³: from 0 to 1 on [0, 1] with flat ends."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
