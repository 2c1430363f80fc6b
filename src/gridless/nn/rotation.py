"""Values that keep their direction: what is read of a latent depends on how the question lies to it.

Per head and pair of channels, with R(x) the rotation by the angle 2π f·x (some frequencies f are 0):
    out = R(x)⁻¹ Σ softmax(logit) R(s) v                so that a latent at s is seen as R(s − x) v
One linear layer on top is then a product of the latent and Fourier features of the offset: a latent can hold a whole patch,
and each pixel of it be read by a linear map, wherever the patch lies.
Source: Miyato et al. 2024 (geometric transform attention, arXiv 2310.10375, equation 8), of values alone.
"""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor, nn

STEADY = 0.125  # share of the pairs that are not rotated


class Rotation(nn.Module):
    """Of `heads` heads of pairs of channels, by frequencies that start even up to `high` cycles per unit on every axis."""

    def __init__(self, heads: int, head_width: int, axes: int, high: float):
        super().__init__()
        if head_width % 2:
            raise ValueError(f"attention.rotation turns pairs of channels: head_width must be even, got {head_width}")
        pairs = head_width // 2
        frequency = (2 * torch.rand(heads, pairs, axes) - 1) * high
        frequency[:, : max(1, round(STEADY * pairs))] = 0
        self.frequency = nn.Parameter(frequency)

    def angle(self, place: Float[Tensor, "B Q d"]) -> Float[Tensor, "B h Q p"]:
        """Of every pair at each place."""
        return angles(place[:, None, :, None, :], self.frequency[:, None])


def angles(place: Float[Tensor, "*#B d"], frequency: Float[Tensor, "*#B d"]) -> Float[Tensor, "*B"]:
    """2π f·x, for frequencies in cycles per unit."""
    # a sum, not a matmul: half or tf32 precision would turn by the wrong angle
    return 2 * pi * (place * frequency).sum(-1)


def rotated(x: Float[Tensor, "*B w"], angle: Float[Tensor, "*#B p"]) -> Float[Tensor, "*B w"]:
    """Pairs of channels (the first half of them and the second) turned by `angle`, out of half precision."""
    first, second = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, -1)
    cosine, sine = angle.cos(), angle.sin()
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)
