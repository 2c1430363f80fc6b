"""Attention that sees differences of places alone: moved readings and questions, the same answer.

Per head, with R(x) the rotations of pairs of channels by the angles 2π f·x (some frequencies f are 0):
    logit = (R(x) q)·(R(s) k) / √w − α ‖x − s‖²          how alike, from where, and how near
    out   = R(x)⁻¹ Σ softmax(logit) R(s) v               what is read keeps its direction
α starts from very wide to very narrow over the heads, and learns with the frequencies.
Sources: Miyato et al. 2024 (geometric transform attention, arXiv 2310.10375, equation 8) for the rotations of values; Su et
al. 2021 (arXiv 2104.09864) for those of queries and keys; Ashman et al. 2024 (arXiv 2406.12409) for neural processes that
are equivariant to translations.
"""

from math import log

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless.nn.attention import FeedForward, feed_forward, last_layer
from gridless.nn.rotation import angles, rotated

FREQUENCIES = 0.25, 12.0  # cycles per unit of positions, log-uniform
STEADY = 0.25  # share of the pairs of channels that are not rotated
NEARNESS = 0.5, 2000.0  # α of the widest and of the narrowest head
MULTIPLE = 8  # of which the fused kernels want the width of a head


class RelativeAttention(nn.Module):
    """From questions at places to readings at places, `axes` numbers each."""

    def __init__(self, width: int, context_width: int, heads: int, head_width: int, axes: int):
        super().__init__()
        if head_width % 2:
            raise ValueError(
                f"heads of relative attention rotate pairs of channels: head_width must be even, got {head_width}"
            )
        self.heads, self.head_width = heads, head_width
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_kv = nn.Linear(context_width, 2 * heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)
        low, high = map(log, FREQUENCIES)
        direction = F.normalize(torch.randn(heads, head_width // 2, axes), dim=-1)
        size = torch.exp(low + (high - low) * torch.rand(heads, head_width // 2, 1))
        size[:, : round(STEADY * (head_width // 2))] = 0
        self.frequency = nn.Parameter(direction * size)
        self.log_nearness = nn.Parameter(torch.linspace(log(NEARNESS[0]), log(NEARNESS[1]), heads))

    def keys_values(self, context: Float[Tensor, "B M K"], place: Float[Tensor, "B M d"]) -> Float[Tensor, "B M H"]:
        """What is read of the context, made once for any number of questions."""
        keys, values = self.to_kv(context).unflatten(-1, (2, self.heads, -1)).unbind(-3)
        keys, values, place = _exact(keys), _exact(values), _exact(place)
        angle = self._angle(place)
        nearness = self.log_nearness.exp()[:, None]
        place = place[..., None, :].expand(-1, -1, self.heads, -1)
        near = nearness * torch.cat([2 * place, -place.square().sum(-1, keepdim=True)], -1)
        return torch.cat([rotated(keys, angle), near, rotated(values, angle)], -1).flatten(-2)

    def forward(
        self,
        x: Float[Tensor, "B Q D"],
        place: Float[Tensor, "B Q d"],
        keys_values: Float[Tensor, "B M H"],
        mask: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B Q D"]:
        """Where `mask` is False nothing is read."""
        place = _exact(place)
        width, angle = self.head_width, self._angle(place)
        q = rotated(_exact(self.to_q(x)).unflatten(-1, (self.heads, -1)), angle)
        each = _exact(keys_values).unflatten(-1, (self.heads, -1))
        k, v = each[..., :-width], each[..., -width:]
        near = torch.cat([place, torch.ones_like(place[..., :1])], -1)[..., None, :].expand(-1, -1, self.heads, -1)
        q = torch.cat([q, near * width**0.5], -1)
        missing = -q.shape[-1] % MULTIPLE
        q, k, v = (F.pad(t, (0, missing)) for t in (q, k, F.pad(v, (0, q.shape[-1] - width))))
        logits = None
        if mask is not None:
            logits = torch.zeros_like(mask, dtype=q.dtype).masked_fill(~mask, float("-inf"))[:, None, None]
        with torch.autocast(q.device.type, enabled=False):
            out = F.scaled_dot_product_attention(
                *(t.transpose(1, 2) for t in (q, k, v)), attn_mask=logits, scale=width**-0.5
            )
        out = rotated(out.transpose(1, 2)[..., :width], -angle)
        return self.to_out(out.flatten(-2))

    def _angle(self, place: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q h p"]:
        return angles(place[..., None, None, :], self.frequency)


def _exact(x: Tensor) -> Tensor:
    """Out of half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class RelativeBlock(nn.Module):
    """x + attention(norm x; context), then x + feed-forward(norm x). Without a context, of the readings to themselves."""

    def __init__(self, width: int, context_width: int, heads: int, head_width: int, axes: int, expansion: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = RelativeAttention(width, context_width, heads, head_width, axes)
        self.feed_norm = nn.LayerNorm(width)
        self.feed: FeedForward = feed_forward(width, expansion, gated=True)

    def forward(
        self,
        x: Float[Tensor, "B Q D"],
        place: Float[Tensor, "B Q d"],
        mask: Bool[Tensor, "B M"] | None,
        keys_values: Float[Tensor, "B M H"] | None = None,
    ) -> Float[Tensor, "B Q D"]:
        y = self.norm(x)
        if keys_values is None:
            keys_values = self.attention.keys_values(y, place)
        x = x + self.attention(y, place, keys_values, mask)
        return x + self.feed(self.feed_norm(x))

    def branch_ends(self) -> tuple[nn.Linear, ...]:
        """The last layers of the two branches."""
        return self.attention.to_out, last_layer(self.feed)
