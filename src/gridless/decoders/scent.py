"""SCENT's decoder as the hybrid uses it: random Fourier queries, cross-attention, feed-forwards, a skip from the encoding.

Source: hybrid_architecture (part 3), after SCENT (Park et al. 2025, arXiv 2504.12262):
    γ = GaussianFourier(x);  q = W γ                                  `self.fourier`, `self.query`
    x = q + cross-attention(norm q; norm latents)                      `self.attention`
    depth × { x = x + GEGLU(norm x) }                                  `self.blocks`
    out = head(x + W_s γ)                                              `self.skip`; the head is the model's
Deviations: frequencies are N(0, std²) cycles per unit (the notebook divides by σ where it meant to multiply, which
leaves almost no frequency at all); the residual around the cross-attention is SCENT's, the notebook has none; features
read locally are added to the queries after the attention, and with them the asked cell enters.
"""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.nn.attention import CrossAttention, GatedFeedForward, SpatialBias, nearest
from gridless.nn.fourier import GaussianFourier
from gridless.samples import Tokens


class ScentDecoder(nn.Module):
    joint = False

    def __init__(self, decoder: config.Scent, signal: config.Signal, width: int, patch: int, latents: int):
        super().__init__()
        hidden = decoder.hidden
        self.fourier = GaussianFourier(decoder.fourier, signal.axes)
        self.query = nn.Linear(self.fourier.width, hidden)
        self.attention = None
        if latents:
            self.query_norm = nn.LayerNorm(hidden)
            self.latent_norm = nn.LayerNorm(width)
            self.attention = CrossAttention(hidden, width, decoder.attention.heads, decoder.attention.head_width)
            self.bias = SpatialBias(decoder.attention.bias, signal.window // patch)
            self.nearest = decoder.attention.nearest
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(decoder.depth))
        self.blocks = nn.ModuleList(GatedFeedForward(hidden, decoder.expansion) for _ in range(decoder.depth))
        self.skip = nn.Linear(self.fourier.width, hidden) if decoder.skip else None
        self.width = hidden

    def prepare(self, latents: Tokens) -> Tokens:
        """What every query reads, once per field."""
        return replace(latents, x=self.attention.to_kv(self.latent_norm(latents.x)))

    def forward(
        self,
        coords: Float[Tensor, "B Q d"],
        latents: Tokens | None,
        local: Float[Tensor, "B Q H"] | None,
    ) -> Float[Tensor, "B Q F"]:
        encoding = self.fourier(coords)
        x = self.query(encoding)
        if self.attention is not None:
            bias, near = self.bias(coords, latents.pos), nearest(coords, latents.pos, self.nearest)
            x = x + self.attention(self.query_norm(x), latents.x, bias, latents.mask, near)
        if local is not None:
            x = x + local
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        return x if self.skip is None else x + self.skip(encoding)
