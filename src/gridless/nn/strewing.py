"""Numbers strewn evenly over points: what chooses some of them, or puts them in groups, whatever order they come in."""

import torch
from jaxtyping import Float
from torch import Tensor

STREWN = 43_758.5453  # turns neighbouring places into numbers far apart
APART = 4096  # places per unit: rounding gives nobody another number


def strewn(pos: Float[Tensor, "B N d"], layer: int = 0, random: bool = False) -> Float[Tensor, "B N"]:
    """In [0, 1), by where a point lies and the number of a layer; `random`: drawn."""
    if random:
        return torch.rand(pos.shape[:2], device=pos.device, dtype=torch.float64)
    weights = torch.arange(1, pos.shape[-1] + 1, device=pos.device) * (12.9898 + 7.13 * layer)
    places = (pos.detach().double() * APART).round() / APART
    return ((places * weights).sum(-1).sin() * STREWN).frac().abs()
