"""SCENT's encoder: a cascade of learned latents that read the data by cross-attention and grow wider from stage to stage.

Source: SCENT (Park et al. 2025, arXiv 2504.12262) after Perceiver IO (Jaegle et al. 2021, arXiv 2107.14795):
    stage k:  z = latents_k;  z += cross-attention(norm z; norm data)
              z += W (stage k−1's z)          (between equal numbers of latents)
              z += self-attention(norm z);  z += GEGLU(norm z)
    latents = the last stage's z; the self-attention between them that follows in SCENT is the model's `processor`
before that, for space and time, the context embedding (`contexts.py`): tokens read one another in groups
Deviations: `frozen = false` lets the latents learn (in the reference code they stay at their sinusoidal start); stages
with unequal numbers of latents are not offered, for the published cascade has equal ones.
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.network.encoders.contexts import build_context
from gridless.network.encoders.position_tokens import even_positions
from gridless.nn.attention import CrossAttention, SelfAttentionBlock
from gridless.nn.fourier import sinusoidal_table
from gridless.nn.residual import scale_branches


class PerceiverEncoder(nn.Module):
    """Any set of tokens in; `count` latents of the last stage's width and the tokens as they came out."""

    def __init__(self, encoder: config.PerceiverEncoder, signal: config.Signal, width: int, positions: bool):
        super().__init__()
        self.width, self.count = encoder.widths[-1], encoder.count
        self.context = build_context(encoder.context, width)
        steps = zip((None, *encoder.widths), encoder.widths, strict=False)
        stages = [Stage(encoder, width, before, own) for before, own in steps]
        self.stages = nn.ModuleList(stages)
        scale_branches([stage.block for stage in stages])
        even = even_positions(encoder.count, signal)
        if positions:
            self.pos = nn.Parameter(even)
        else:
            self.register_buffer("pos", even)

    def forward(self, tokens: Tokens) -> tuple[Tokens, Float[Tensor, "B N D"]]:
        tokens = tokens if self.context is None else self.context(tokens)
        first, *others = self.stages
        z = first(tokens.x, tokens.mask, None)
        for stage in others:
            z = stage(tokens.x, tokens.mask, z)
        return Tokens(z, self.pos.expand(len(z), -1, -1)), tokens.x


class Stage(nn.Module):
    def __init__(self, encoder: config.PerceiverEncoder, data: int, before: int | None, width: int):
        super().__init__()
        self.start = nn.Parameter(sinusoidal_table(encoder.count, width), requires_grad=not encoder.frozen)
        self.norm, self.data_norm = nn.LayerNorm(width), nn.LayerNorm(data)
        self.read = CrossAttention(width, data, encoder.cross_heads, encoder.head_width)
        self.carry = None if before is None else nn.Linear(before, width)
        self.block = SelfAttentionBlock(width, encoder.heads, encoder.head_width, encoder.expansion)

    def forward(
        self, data: Float[Tensor, "B N D"], mask: Bool[Tensor, "B N"] | None, before: Float[Tensor, "B M W"] | None
    ) -> Float[Tensor, "B M V"]:
        z = self.start.expand(len(data), -1, -1)
        z = z + self.read(self.norm(z), self.read.to_kv(self.data_norm(data)), mask=mask)
        if self.carry is not None:
            z = z + self.carry(before)
        return self.block(z)
