"""What tokens learn of one another before latents read them: SCENT's context embedding, or a Mamba in its place.

Source: SCENT (Park et al. 2025, arXiv 2504.12262): layers of sparse self-attention in which a token reads S others, S far
below their number. Summaries of the paper call it random sub-sampling and groups: a random partition into groups of S is
both. Ours: a fresh partition in every layer; in training it is drawn, in inference it follows from where the tokens lie, so
that equal readings have equal answers in whatever order they come.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.nn.attention import SelfAttentionBlock
from gridless.nn.curves import order_along_curve
from gridless.nn.mamba import MambaBlock
from gridless.nn.residual import scale_branches
from gridless.nn.strewing import strewn


class GroupContext(nn.Module):
    """x += attention within a group, x += feed-forward, `depth` times."""

    def __init__(self, context: config.GroupContext, width: int):
        super().__init__()
        self.size = context.size
        blocks = [
            SelfAttentionBlock(width, context.heads, context.head_width, context.expansion)
            for _ in range(context.depth)
        ]
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)

    def forward(self, tokens: Tokens) -> Tokens:
        x = tokens.x
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, SelfAttentionBlock)
            order = partition(tokens, layer, self.training)
            x = within_groups(block, x, tokens.mask, order, self.size)
        return replace(tokens, x=x)


class MambaContext(nn.Module):
    """Tokens along a space-filling curve, read in both directions."""

    def __init__(self, context: config.MambaContext, width: int):
        super().__init__()
        blocks = [MambaBlock(width, context.ssm, context.expansion) for _ in range(context.depth)]
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)

    def forward(self, tokens: Tokens) -> Tokens:
        order = order_along_curve(tokens.pos, "hilbert", tokens.mask, tokens.x[..., 0].float())
        mask = None if tokens.mask is None else tokens.mask.gather(1, order)
        x = rows_at(tokens.x, order)
        for block in self.blocks:
            x, _ = block(x, mask)
        return replace(tokens, x=rows_at(x, order.argsort(1)))


def build_context(context: config.GroupContext | config.MambaContext | None, width: int) -> nn.Module | None:
    match context:
        case config.GroupContext():
            return GroupContext(context, width)
        case config.MambaContext():
            return MambaContext(context, width)
        case None:
            return None


def partition(tokens: Tokens, layer: int, random: bool) -> Int64[Tensor, "B T"]:
    """An order whose consecutive runs are the groups of a layer: random, or strewn by where tokens lie. Padding is last."""
    key = strewn(tokens.pos, layer, random)
    if tokens.mask is not None:
        key = key.masked_fill(~tokens.mask, torch.inf)
    ties = tokens.x[..., 0].detach().argsort(dim=1, stable=True)
    return ties.gather(1, key.gather(1, ties).argsort(dim=1, stable=True))


def within_groups(
    block: SelfAttentionBlock,
    x: Float[Tensor, "B T D"],
    mask: Bool[Tensor, "B T"] | None,
    order: Int64[Tensor, "B T"],
    size: int,
) -> Float[Tensor, "B T D"]:
    """The block among every `size` consecutive rows of an order."""
    count = x.shape[1]
    more = -count % size
    rows = F.pad(rows_at(x, order), (0, 0, 0, more)).unflatten(1, (-1, size)).flatten(0, 1)
    real = None
    if mask is not None or more:
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask.gather(1, order)
        real = F.pad(real, (0, more)).unflatten(1, (-1, size)).flatten(0, 1)
        real = real | ~real.any(1, keepdim=True)  # a group of padding alone reads itself
    rows = block(rows, real).unflatten(0, (len(x), -1)).flatten(1, 2)[:, :count]
    return rows_at(rows, order.argsort(1))


def rows_at(x: Float[Tensor, "B T D"], order: Int64[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[-1]))
