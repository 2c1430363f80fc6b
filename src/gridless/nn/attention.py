"""Attention and feed-forward blocks, pre-norm, as SCENT and the hybrid use them."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from gridless import config
from gridless.nn.rotation import Rotation, rotated


class CrossAttention(nn.Module):
    """softmax(q kᵀ / √w + bias) v over `heads` heads of width w; no bias on the inputs, one on the output."""

    def __init__(
        self, query_width: int, context_width: int, heads: int, head_width: int, rotation: Rotation | None = None
    ):
        """`rotation`: values are turned by where they lie and where they are read."""
        super().__init__()
        self.heads, self.rotation = heads, rotation
        self.to_q = nn.Linear(query_width, heads * head_width, bias=False)
        self.to_kv = nn.Linear(context_width, 2 * heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, query_width)

    def keys_values(self, context: Float[Tensor, "B M D"], place: Float[Tensor, "B M d"]) -> Float[Tensor, "B M K"]:
        """What is read of the context, made once for any number of queries."""
        both = self.to_kv(context)
        if self.rotation is None:
            return both
        keys, values = both.chunk(2, -1)
        split = rearrange(values, "b m (h w) -> b h m w", h=self.heads)
        values = rearrange(rotated(split, self.rotation.angle(place)), "b h m w -> b m (h w)")
        return torch.cat([keys.to(values.dtype), values], -1)

    def forward(
        self,
        x: Float[Tensor, "B|1 Q D"],
        keys_values: Float[Tensor, "B M K"],
        bias: tuple[Float[Tensor, "B|1 Q e"], Float[Tensor, "B M e"]] | None = None,
        mask: Bool[Tensor, "B M"] | None = None,
        near: Int64[Tensor, "B Q n"] | None = None,
        place: Float[Tensor, "B|1 Q d"] | None = None,
    ) -> Float[Tensor, "B Q D"]:
        """`keys_values`: of what is read, computed once for any number of queries. `place`: where the queries lie, for a
        rotation. `bias`: two factors whose
        product is added to the logits of every head. Where `mask` is False nothing is read. `near`: the latents that
        each query reads; None: all of them."""
        q, k, v = self._heads(x, keys_values)
        if q.device.type == "cpu" and q.dtype != torch.float64:
            # on a CPU the fused kernel's backward is several times slower in bf16 than in fp32
            with torch.autocast("cpu", enabled=False):
                out = attend(q.float(), k.float(), v.float(), bias, mask, near)
        else:
            out = attend(q, k.to(q.dtype), v.to(q.dtype), bias, mask, near)
        if self.rotation is not None and place is not None:
            out = rotated(out, -self.rotation.angle(place))
        return self.to_out(rearrange(out, "b h q w -> b q (h w)"))

    def _heads(self, x: Float[Tensor, "B Q D"], keys_values: Float[Tensor, "B M K"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B h Q w), keys and values (B h M w)."""
        q = rearrange(self.to_q(x), "b q (h w) -> b h q w", h=self.heads).expand(len(keys_values), -1, -1, -1)
        keys, values = rearrange(keys_values, "b m (two h w) -> two b h m w", two=2, h=self.heads)
        return q, keys, values

    def weights(
        self,
        x: Float[Tensor, "B Q D"],
        keys_values: Float[Tensor, "B M K"],
        bias: tuple[Float[Tensor, "B Q e"], Float[Tensor, "B M e"]] | None = None,
        mask: Bool[Tensor, "B M"] | None = None,
        near: Int64[Tensor, "B Q n"] | None = None,
        place: Float[Tensor, "B|1 Q d"] | None = None,
    ) -> Float[Tensor, "B h Q M"]:
        """How much of each latent every query reads, per head: the softmax of `forward`, made explicit and in fp32 for
        the few queries that are looked at. Rows sum to one; `forward` is `to_out` of weights times values."""
        q, k, _ = self._heads(x, keys_values)
        exact = torch.promote_types(q.dtype, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            logits = torch.einsum("bhqw,bhmw->bhqm", q.to(exact), k.to(exact)) * q.shape[-1] ** -0.5
            if bias is not None:
                logits = logits + (bias[0].to(exact) @ bias[1].to(exact).transpose(1, 2))[:, None]
            if near is not None:
                far = torch.ones_like(logits[:, 0], dtype=torch.bool).scatter(2, near, False)
                logits = logits.masked_fill(far[:, None], float("-inf"))
            if mask is not None:
                logits = logits.masked_fill(~mask[:, None, None], float("-inf"))
            return logits.softmax(-1)


def attend(
    q: Float[Tensor, "B h Q w"],
    k: Float[Tensor, "B h M w"],
    v: Float[Tensor, "B h M w"],
    bias: tuple[Float[Tensor, "B Q e"], Float[Tensor, "B M e"]] | None = None,
    mask: Bool[Tensor, "B M"] | None = None,
    near: Int64[Tensor, "B Q n"] | None = None,
) -> Float[Tensor, "B h Q w"]:
    """Attention with a low-rank bias. In fp32 the bias's factors become further channels of queries and keys, so that no
    (Q, M) matrix is ever made; in half precision they would be rounded, and the bias stays a matrix."""
    width, logits = q.shape[-1], None
    if near is not None:
        return attend_near(q, k, v, bias, mask, near)
    if mask is not None:
        logits = torch.zeros_like(mask, dtype=q.dtype).masked_fill(~mask, float("-inf"))[:, None, None]
    if bias is not None and q.dtype in (torch.bfloat16, torch.float16):
        product = (bias[0].float() @ bias[1].float().transpose(1, 2))[:, None].to(q.dtype)
        logits = product if logits is None else logits + product
    elif bias is not None:
        each, missing = (
            (len(q), q.shape[1], -1, -1),
            -(width + bias[0].shape[-1]) % 8,
        )  # fused kernels want multiples of 8
        of_query, of_key = (F.pad(part.to(q.dtype), (0, missing))[:, None].expand(each) for part in bias)
        q, k = torch.cat([q, of_query * width**0.5], -1), torch.cat([k, of_key], -1)
        v = F.pad(v, (0, q.shape[-1] - width))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=logits, scale=width**-0.5)[..., :width]


def attend_near(q, k, v, bias, mask, near: Int64[Tensor, "B Q n"]) -> Float[Tensor, "B h Q w"]:
    """As `attend`, over the latents `near` each query alone: (Q, n) products instead of (Q, M)."""
    near = near.expand(len(q), -1, -1)
    rows = torch.arange(len(near), device=near.device)[:, None, None]
    keys, values = (part.transpose(1, 2)[rows, near] for part in (k, v))  # (B Q n h w)
    logits = torch.einsum("bhqw,bqnhw->bhqn", q, keys) * q.shape[-1] ** -0.5
    if bias is not None:
        logits = logits + (bias[0][:, :, None] * bias[1][rows, near]).sum(-1)[:, None].to(q.dtype)
    if mask is not None:
        logits = logits.masked_fill(~mask[rows, near][:, None], float("-inf"))
    return torch.einsum("bhqn,bqnhw->bhqw", logits.softmax(-1), values)


def nearest(
    coords: Float[Tensor, "B Q d"], pos: Float[Tensor, "B M d"], count: int | None
) -> Int64[Tensor, "B Q n"] | None:
    """The `count` positions nearest to each coordinate; None if that is all of them."""
    if count is None or count >= pos.shape[1]:
        return None
    return torch.cdist(coords.detach(), pos.detach()).topk(count, largest=False, sorted=False).indices


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

    def branch_ends(self) -> tuple[nn.Linear, ...]:
        """The last layer of the branch that this is."""
        return (self.down,)


FeedForward = GatedFeedForward | nn.Sequential


def feed_forward(width: int, expansion: float, gated: bool, activation: type[nn.Module] = nn.GELU) -> FeedForward:
    """GEGLU, or two linear layers with an activation between them."""
    if gated:
        return GatedFeedForward(width, expansion)
    inner = round(width * expansion)
    return nn.Sequential(nn.Linear(width, inner), activation(), nn.Linear(inner, width))


def last_layer(feed: FeedForward) -> nn.Linear:
    """Of a `feed_forward`."""
    last = feed.down if isinstance(feed, GatedFeedForward) else feed[-1]
    assert isinstance(last, nn.Linear)
    return last


class ResidualBlock(nn.Module):
    """relu(x + W₂ relu(W₁ x)) as in the large LAINR decoder of MAMBA-GINR's public code; expansion, gating and
    normalisation by choice, and attention among the queries before it."""

    def __init__(self, width: int, block: config.Block):
        super().__init__()
        self.mix = AmongThemselves(width) if block.joint else None
        self.feed = feed_forward(width, block.expansion, block.gated, nn.ReLU)
        self.norm = nn.LayerNorm(width) if block.norm else None

    def branch_ends(self) -> tuple[nn.Linear, ...]:
        """The last layers of the branches."""
        return *(() if self.mix is None else self.mix.branch_ends()), last_layer(self.feed)

    def forward(self, x: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q D"]:
        if self.mix is not None:
            x = self.mix(x)
        return F.relu(x + self.feed(x)) if self.norm is None else x + self.feed(self.norm(x))


class AmongThemselves(nn.Module):
    """x + attention(norm x): every row reads all the others."""

    def __init__(self, width: int, heads: int = 2):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, width, heads, max(8, width // heads))

    def forward(self, x: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q D"]:
        y = self.norm(x)
        return x + self.attention(y, self.attention.to_kv(y))

    def branch_ends(self) -> tuple[nn.Linear, ...]:
        """The last layer of the branch."""
        return (self.attention.to_out,)


class SelfAttentionBlock(nn.Module):
    """x + attention(norm x), then x + feed-forward(norm x)."""

    def __init__(self, width: int, heads: int, head_width: int, expansion: float, gated: bool = True):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, width, heads, head_width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = feed_forward(width, expansion, gated)

    def forward(self, x: Float[Tensor, "B M D"], mask: Bool[Tensor, "B M"] | None = None) -> Float[Tensor, "B M D"]:
        y = self.norm(x)
        x = x + self.attention(y, self.attention.to_kv(y), mask=mask)
        return x + self.feed(self.feed_norm(x))

    def branch_ends(self) -> tuple[nn.Linear, ...]:
        """The last layers of the two branches."""
        return self.attention.to_out, last_layer(self.feed)


class SpatialBias(nn.Module):
    """How attention prefers near latents: −alpha · distance², from coordinates and token positions only.

    `raster` is LAINR's published one-dimensional distance: the index of the query's patch along the raster order, as a
    share of all patches, against (i + ½) / M for token i. `euclid` is the distance in the window, d-dimensional.

    Given as two factors: −α‖x − s‖² = 2α x·s − α‖s‖² − α‖x‖², and the last term is the same for all tokens of a query,
    so that the softmax does not see it.
    """

    def __init__(self, bias: config.Bias, patches_per_axis: int):
        super().__init__()
        self.kind, self.alpha, self.patches = bias.kind, bias.alpha, patches_per_axis

    def forward(
        self, coords: Float[Tensor, "B Q d"], pos: Float[Tensor, "B M d"]
    ) -> tuple[Float[Tensor, "B Q e"], Float[Tensor, "B M e"]] | None:
        if self.kind == "none":
            return None
        query, token = coords, pos
        if self.kind == "raster":
            index = torch.zeros_like(coords[..., 0])
            for axis in range(coords.shape[-1]):
                cell = (coords[..., axis] * self.patches).floor().clamp(0, self.patches - 1)
                index = index * self.patches + cell
            count = pos.shape[1]
            query = (index / self.patches ** coords.shape[-1])[..., None]
            token = ((torch.arange(count, device=pos.device, dtype=pos.dtype) + 0.5) / count).expand(len(pos), -1)[
                ..., None
            ]
        # around the middle of the window, where the terms are smallest and cancel best
        query, token = query - 0.5, token - 0.5
        squared = token.square().sum(-1, keepdim=True)
        ones = torch.ones_like(query[..., :1])
        return torch.cat([query, ones], -1), self.alpha * torch.cat([2 * token, -squared], -1)
