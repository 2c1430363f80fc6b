"""LAINR's decoder: modulations read from the latents by attention, injected into several frequency bands.

Source: Lee et al. 2023 (arXiv 2310.05624) with MAMBA-GINR's spatial bias, after the public code:
    q = relu(W γ_query(x))                    `self.query`
    m = cross-attention(q; latents) + bias    `self.attention`, `self.bias`
    h_k = relu(W_k γ_k(x));  m_k = relu(h_k + V_k m)                             `self.bands`, `self.modulate`
    v_0 = m_0;  v_{k+1} = relu(U_k (m_{k+1} + v_k))                              `self.chain`
    out = Σ_k W_k^o v_k                       one linear layer on [v_0, v_1, …]: the model's head
    the large decoder of MAMBA-GINR's code puts residual blocks behind each of these layers: `block`, `self.refine`
Options that the documents propose: a width per scale (`widths`, v_k carried by a linear layer where it changes), a skip
from each γ_k to the output (`skip`), attention among the queries (`block.joint`).
Deviations: frequencies are in cycles per unit and start at 0.5 (the published bands start at 5 and pass the training
grid's Nyquist limit; `low = 5, high = 64, spacing = "log"` gives them); every sample has its own coordinates; the bias
may use the distance in the window; features read locally are added to m, and with them the asked cell enters.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.coords import distinct
from gridless.network.encoded import Tokens
from gridless.nn.attention import CrossAttention, ResidualBlock, SpatialBias, nearest
from gridless.nn.fourier import AxisFourier
from gridless.nn.residual import scale_branches
from gridless.nn.rotation import Rotation


class LainrDecoder(nn.Module):
    def __init__(self, decoder: config.Lainr, signal: config.Signal, width: int, patch: int, latents: int):
        super().__init__()
        hidden, axes, nyquist = decoder.hidden, signal.places, signal.unit / 2
        self.local_width = hidden
        widths = decoder.widths or [hidden] * len(decoder.bands)
        if len(widths) != len(decoder.bands):
            raise ValueError(f"decoder.widths names {len(widths)} widths for {len(decoder.bands)} decoder.bands")
        self.joint = decoder.block.joint and max(decoder.block.depth, *decoder.block.depths.values(), 0) > 0
        self.attention: CrossAttention | None = None
        if latents:
            self.query_band = AxisFourier(decoder.query, axes, nyquist)
            self.query = nn.Linear(self.query_band.width, hidden)
            read = decoder.attention
            rotation = Rotation(read.heads, read.head_width, axes, nyquist) if read.rotation else None
            self.attention = CrossAttention(hidden, width, read.heads, read.head_width, rotation)
            self.bias = SpatialBias(decoder.attention.bias, signal.unit // patch)
            self.nearest = decoder.attention.nearest
        fourier = [AxisFourier(band, axes, nyquist) for band in decoder.bands]
        self.fourier = nn.ModuleList(fourier)
        self.bands = nn.ModuleList(nn.Linear(f.width, w) for f, w in zip(fourier, widths, strict=True))
        self.modulate = nn.ModuleList(nn.Linear(hidden, w) for w in widths)
        self.chain = nn.ModuleList(nn.Linear(w, w) for w in widths[1:])
        self.carry = nn.ModuleList(
            nn.Identity() if a == b else nn.Linear(a, b, bias=False) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.linear = decoder.linear
        self.width = sum(widths) + hidden * decoder.linear
        self.refine = Refinement(widths, decoder.block)
        self.skip = None
        if decoder.skip:
            self.skip = nn.ModuleList(nn.Linear(f.width, w) for f, w in zip(fourier, widths, strict=True))

    def prepare(self, latents: Tokens) -> Tokens:
        """What every query reads, once per field."""
        if self.attention is None:
            return latents
        return replace(latents, x=self.attention.keys_values(latents.x, latents.pos))

    def asked(self, coords: Float[Tensor, "B Q d"], latents: Tokens) -> tuple:
        """What the cross-attention takes at `coords`; also to look at its weights and at what it gives."""
        query = F.relu(self.query(self.query_band(coords)))
        bias, near = self.bias(coords, latents.pos), nearest(coords, latents.pos, self.nearest)
        return query, latents.x, bias, latents.mask, near, coords

    def forward(
        self,
        coords: Float[Tensor, "B Q d"],
        latents: Tokens | None,
        local: Float[Tensor, "B Q H"] | None,
        latents_at: Float[Tensor, "B Q d"] | None = None,
    ) -> Float[Tensor, "B Q F"]:
        """`latents_at`: where the latents are read, if not at the coordinates that are decoded."""
        coords = distinct(coords)
        m: Tensor | float = 0.0 if local is None else local
        if self.attention is not None and latents is not None:
            m = m + self.attention(*self.asked(coords if latents_at is None else distinct(latents_at), latents))
        encodings, scales = [fourier(coords) for fourier in self.fourier], []
        for k, (encoding, band, modulate) in enumerate(zip(encodings, self.bands, self.modulate, strict=True)):
            h = self.refine.bands[k](F.relu(band(encoding)))
            scales.append(self.refine.modulate[k](F.relu(h + modulate(m))))
        values = [scales[0]]
        for scale, link, carry, refine in zip(scales[1:], self.chain, self.carry, self.refine.chain, strict=True):
            values.append(refine(F.relu(link(scale + carry(values[-1])))))
        out = [refine(value) for refine, value in zip(self.refine.out, values, strict=True)]
        if self.skip is not None:
            out = [v + skip(encoding) for v, skip, encoding in zip(out, self.skip, encodings, strict=True)]
        if self.linear and torch.is_tensor(m):
            out.append(m)
        return torch.cat(out, -1)


class Refinement(nn.Module):
    """The residual blocks behind each of the decoder's layers."""

    def __init__(self, widths: Sequence[int], block: config.Block):
        super().__init__()
        self.bands = nn.ModuleList(residual_blocks(w, block, "bands") for w in widths)
        self.modulate = nn.ModuleList(residual_blocks(w, block, "modulate") for w in widths)
        self.chain = nn.ModuleList(residual_blocks(w, block, "chain") for w in widths[1:])
        self.out = nn.ModuleList(residual_blocks(w, block, "out") for w in widths)


def residual_blocks(width: int, block: config.Block, place: config.Place) -> nn.Sequential:
    """As many as `block` has after the layers of `place`; with none, what comes in goes out."""
    blocks = [ResidualBlock(width, block) for _ in range(block.depths.get(place, block.depth))]
    scale_branches(blocks)
    return nn.Sequential(*blocks)
