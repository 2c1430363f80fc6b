"""SCENT's decoder as the hybrid uses it: random Fourier queries, cross-attention, feed-forwards, a skip from the encoding.

Source: hybrid_architecture (part 3), after SCENT (Park et al. 2025, arXiv 2504.12262):
    γ = GaussianFourier(x);  q = W γ                                  `self.fourier`, `self.query`
    x = q + cross-attention(norm q; norm latents)                      `self.attention`
    depth × { x = x + GEGLU(norm x) }                                  `self.blocks`
    out = head(x + W_s γ)                                              `self.skip`; the head is the model's
Deviations: frequencies are N(0, std²) cycles per unit (the notebook divides by σ where it meant to multiply, which
leaves almost no frequency at all); the residual around the cross-attention is SCENT's, the notebook has none; features
read locally are added to the queries after the attention, and with them the asked cell enters.
Options that the documents propose: a width per block (`widths`), attention among the queries (`joint`; the published
fix that the hybrid gave up for its memory); for space and time, a calibration of the answers before the head
(`calibration.py`).
"""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.coords import distinct
from gridless.network.decoders.calibration import build_calibration
from gridless.network.encoded import Tokens
from gridless.nn.attention import AmongThemselves, CrossAttention, GatedFeedForward, SpatialBias, nearest
from gridless.nn.fourier import GaussianFourier
from gridless.nn.residual import scale_branches
from gridless.nn.rotation import Rotation


class ScentDecoder(nn.Module):
    def __init__(self, decoder: config.Scent, signal: config.Signal, width: int, patch: int, latents: int):
        super().__init__()
        hidden = decoder.hidden
        self.local_width = hidden
        widths = decoder.widths or [hidden] * decoder.depth
        if len(widths) != decoder.depth:
            raise ValueError(f"decoder.widths names {len(widths)} widths for a decoder.depth of {decoder.depth}")
        self.joint = decoder.joint and decoder.depth > 0
        self.calibration = None
        self.fourier = GaussianFourier(decoder.fourier, signal.places)
        self.query = nn.Linear(self.fourier.width, hidden)
        self.attention: CrossAttention | None = None
        if latents:
            self.query_norm = nn.LayerNorm(hidden)
            self.latent_norm = nn.LayerNorm(width)
            read, nyquist = decoder.attention, signal.unit / 2
            rotation = Rotation(read.heads, read.head_width, signal.places, nyquist) if read.rotation else None
            self.attention = CrossAttention(hidden, width, read.heads, read.head_width, rotation)
            self.bias = SpatialBias(decoder.attention.bias, signal.unit // patch)
            self.nearest = decoder.attention.nearest
        steps = list(zip([hidden, *widths], widths, strict=False))
        self.carry = nn.ModuleList(nn.Identity() if a == b else nn.Linear(a, b) for a, b in steps)
        mixes = [AmongThemselves(w) for w in widths] if self.joint else []
        self.mix = nn.ModuleList(mixes or [nn.Identity() for _ in widths])
        self.norms = nn.ModuleList(nn.LayerNorm(w) for w in widths)
        blocks = [GatedFeedForward(w, decoder.expansion) for w in widths]
        self.blocks = nn.ModuleList(blocks)
        scale_branches([*mixes, *blocks])
        self.width = widths[-1] if widths else hidden
        self.skip = nn.Linear(self.fourier.width, self.width) if decoder.skip else None
        if decoder.calibration is not None:
            self.calibration = build_calibration(decoder.calibration, self.width)
            self.joint = self.joint or decoder.calibration.kind == "queries"

    def prepare(self, latents: Tokens) -> Tokens:
        """What every query reads, once per field."""
        if self.attention is None:
            return latents
        return replace(latents, x=self.attention.keys_values(self.latent_norm(latents.x), latents.pos))

    def asked(
        self, coords: Float[Tensor, "B Q d"], latents: Tokens, query: Float[Tensor, "B Q H"] | None = None
    ) -> tuple:
        """What the cross-attention takes at `coords` (`query`: if it is known already); also to look at its weights and
        at what it gives."""
        query = self.query(self.fourier(coords)) if query is None else query
        bias, near = self.bias(coords, latents.pos), nearest(coords, latents.pos, self.nearest)
        return self.query_norm(query), latents.x, bias, latents.mask, near, coords

    def forward(
        self,
        coords: Float[Tensor, "B Q d"],
        latents: Tokens | None,
        local: Float[Tensor, "B Q H"] | None,
        latents_at: Float[Tensor, "B Q d"] | None = None,
    ) -> Float[Tensor, "B Q F"]:
        """`latents_at`: where the latents are read, if not at the coordinates that are decoded."""
        x = self._features(distinct(coords), latents, local, latents_at)
        if self.calibration is None or latents is None:
            return x
        places = latents.pos[:, : self.calibration.size]
        anchors = self._features(places, latents, None, None) if self.calibration.reads_anchors else None
        return self.calibration(x, coords, anchors)

    def _features(
        self,
        coords: Float[Tensor, "B|1 Q d"],
        latents: Tokens | None,
        local: Float[Tensor, "B Q H"] | None,
        latents_at: Float[Tensor, "B Q d"] | None,
    ) -> Float[Tensor, "B Q F"]:
        encoding = self.fourier(coords)
        x = self.query(encoding)
        if self.attention is not None and latents is not None:
            asked = self.asked(coords, latents, x) if latents_at is None else self.asked(distinct(latents_at), latents)
            x = x + self.attention(*asked)
        if local is not None:
            x = x + local
        for carry, mix, norm, block in zip(self.carry, self.mix, self.norms, self.blocks, strict=True):
            x = mix(carry(x))
            x = x + block(norm(x))
        return x if self.skip is None else x + self.skip(encoding)
