"""Attention and feed-forward blocks, pre-norm, as SCENT and the hybrid use them."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config


class CrossAttention(nn.Module):
    """softmax(q kᵀ / √w + bias) v over `heads` heads of width w; no bias on the inputs, one on the output."""

    def __init__(self, query_width: int, context_width: int, heads: int, head_width: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_width, heads * head_width, bias=False)
        self.to_kv = nn.Linear(context_width, 2 * heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, query_width)

    def forward(
        self,
        x: Float[Tensor, "B Q D"],
        context: Float[Tensor, "B M E"],
        bias: Float[Tensor, "B Q M"] | None = None,
        mask: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B Q D"]:
        """`bias` is added to the logits of every head; where `mask` is False nothing is read."""
        q = rearrange(self.to_q(x), "b q (h w) -> b h q w", h=self.heads)
        k, v = rearrange(self.to_kv(context), "b m (two h w) -> two b h m w", two=2, h=self.heads)
        logits = None if bias is None else bias[:, None].to(q.dtype)
        if mask is not None:
            closed = torch.zeros_like(mask, dtype=q.dtype).masked_fill(~mask, float("-inf"))[:, None, None]
            logits = closed if logits is None else logits + closed
        if q.device.type == "cpu" and q.dtype != torch.float64:
            # on a CPU the fused kernel's backward is several times slower in bf16 than in fp32
            with torch.autocast("cpu", enabled=False):
                bias = None if logits is None else logits.float()
                out = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=bias)
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=logits)
        return self.to_out(rearrange(out, "b h q w -> b q (h w)"))


class GatedFeedForward(nn.Module):
    """GEGLU: Linear(D, 2ED) → a · gelu(b) → Linear(ED, D) (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, width: int, expansion: float):
        super().__init__()
        inner = round(width * expansion)
        self.up = nn.Linear(width, 2 * inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        value, gate = self.up(x).chunk(2, -1)
        return self.down(value * F.gelu(gate))


class SelfAttentionBlock(nn.Module):
    """x + attention(norm x), then x + feed-forward(norm x)."""

    def __init__(self, width: int, heads: int, head_width: int, expansion: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, width, heads, head_width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = GatedFeedForward(width, expansion)

    def forward(self, x: Float[Tensor, "B M D"], mask: Bool[Tensor, "B M"] | None = None) -> Float[Tensor, "B M D"]:
        y = self.norm(x)
        x = x + self.attention(y, y, mask=mask)
        return x + self.feed(self.feed_norm(x))


class SpatialBias(nn.Module):
    """How attention prefers near latents: −alpha · distance², from coordinates and token positions only.

    `raster` is LAINR's published one-dimensional distance: the index of the query's patch along the raster order, as a
    share of all patches, against (i + ½) / M for token i. `euclid` is the distance in the window, d-dimensional.
    """

    def __init__(self, bias: config.Bias, patches_per_axis: int):
        super().__init__()
        self.kind, self.alpha, self.patches = bias.kind, bias.alpha, patches_per_axis

    def forward(self, coords: Float[Tensor, "B Q d"], pos: Float[Tensor, "B M d"]) -> Float[Tensor, "B Q M"] | None:
        match self.kind:
            case "none":
                return None
            case "euclid":
                return -self.alpha * (coords[:, :, None] - pos[:, None]).square().sum(-1)
            case "raster":
                index = torch.zeros_like(coords[..., 0])
                for axis in range(coords.shape[-1]):
                    cell = (coords[..., axis] * self.patches).floor().clamp(0, self.patches - 1)
                    index = index * self.patches + cell
                count = pos.shape[1]
                query = index / self.patches ** coords.shape[-1]
                token = (torch.arange(count, device=pos.device, dtype=pos.dtype) + 0.5) / count
                return -self.alpha * (query[..., None] - token).square()
