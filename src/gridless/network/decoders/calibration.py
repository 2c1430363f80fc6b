"""What answers do among themselves before the head: SCENT's calibration network, and an arm that keeps every answer alone.

Source: SCENT (Park et al. 2025, arXiv 2504.12262): sparse self-attention over the queries, as over the tokens. An answer
then depends on what else is asked, and on which others its group holds. `anchors` is ours: every query reads the features of
fixed places, so that answers agree with one another through the same few and depend on no question.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.network.encoders.contexts import partition, within_groups
from gridless.nn.attention import CrossAttention, SelfAttentionBlock
from gridless.nn.residual import scale_branches


class QueryCalibration(nn.Module):
    """x += attention within a group of queries, x += feed-forward."""

    reads_anchors = False

    def __init__(self, calibration: config.Calibration, width: int):
        super().__init__()
        self.size = calibration.size
        self.block = SelfAttentionBlock(width, calibration.heads, calibration.head_width, 2.0)
        scale_branches([self.block])

    def forward(
        self, x: Float[Tensor, "B Q F"], coords: Float[Tensor, "B Q d"], anchors: Float[Tensor, "B A F"] | None
    ) -> Float[Tensor, "B Q F"]:
        queries = Tokens(x, coords.expand(len(x), -1, -1))
        return within_groups(self.block, x, None, partition(queries, 0, self.training), self.size)


class AnchorCalibration(nn.Module):
    """x += attention to the features of fixed places, where the latents lie."""

    reads_anchors = True

    def __init__(self, calibration: config.Calibration, width: int):
        super().__init__()
        self.size = calibration.size
        self.norm, self.anchor_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CrossAttention(width, width, calibration.heads, calibration.head_width)

    def forward(
        self, x: Float[Tensor, "B Q F"], coords: Float[Tensor, "B Q d"], anchors: Float[Tensor, "B A F"] | None
    ) -> Float[Tensor, "B Q F"]:
        assert anchors is not None, "read at fixed places"
        read = self.attention.to_kv(self.anchor_norm(anchors.to(torch.promote_types(x.dtype, anchors.dtype))))
        return x + self.attention(self.norm(x), read)


def build_calibration(calibration: config.Calibration, width: int) -> QueryCalibration | AnchorCalibration:
    if calibration.kind == "queries":
        return QueryCalibration(calibration, width)
    return AnchorCalibration(calibration, width)
