"""LAINR's decoder: modulations read from the latents by attention, injected into several frequency bands.

Source: Lee et al. 2023 (arXiv 2310.05624) with MAMBA-GINR's spatial bias, after the public code:
    q = relu(W γ_query(x))                    `self.query`
    m = cross-attention(q; latents) + bias    `self.attention`, `self.bias`
    h_k = relu(W_k γ_k(x));  m_k = relu(h_k + V_k m)                             `self.bands`, `self.modulate`
    v_0 = m_0;  v_{k+1} = relu(U_k (m_{k+1} + v_k))                              `self.chain`
    out = Σ_k W_k^o v_k                       one linear layer on [v_0, v_1, …]: the model's head
    the large decoder of MAMBA-GINR's code puts residual blocks behind each of these layers: `block`, `self.refine`
Deviations: frequencies are in cycles per unit and start at 0.5 (the published bands start at 5 and pass the training
grid's Nyquist limit; `low = 5, high = 64, spacing = "log"` gives them); every sample has its own coordinates; the bias
may use the distance in the window; features read locally are added to m, and with them the asked cell enters.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.nn.attention import CrossAttention, ResidualBlock, SpatialBias, nearest
from gridless.nn.fourier import AxisFourier
from gridless.samples import Tokens


class LainrDecoder(nn.Module):
    joint = False

    def __init__(self, decoder: config.Lainr, signal: config.Signal, width: int, patch: int, latents: int):
        super().__init__()
        hidden, axes, nyquist = decoder.hidden, signal.axes, signal.window / 2
        self.attention = None
        if latents:
            self.query_band = AxisFourier(decoder.query, axes, nyquist)
            self.query = nn.Linear(self.query_band.width, hidden)
            self.attention = CrossAttention(hidden, width, decoder.attention.heads, decoder.attention.head_width)
            self.bias = SpatialBias(decoder.attention.bias, signal.window // patch)
            self.nearest = decoder.attention.nearest
        self.fourier = nn.ModuleList(AxisFourier(band, axes, nyquist) for band in decoder.bands)
        self.bands = nn.ModuleList(nn.Linear(f.width, hidden) for f in self.fourier)
        self.modulate = nn.ModuleList(nn.Linear(hidden, hidden) for _ in decoder.bands)
        self.chain = nn.ModuleList(nn.Linear(hidden, hidden) for _ in decoder.bands[1:])
        self.width = hidden * len(decoder.bands)
        places = {"bands": decoder.bands, "modulate": decoder.bands, "chain": decoder.bands[1:], "out": decoder.bands}
        self.refine = nn.ModuleDict(
            {place: nn.ModuleList(residual_blocks(hidden, decoder.block) for _ in of) for place, of in places.items()}
        )

    def prepare(self, latents: Tokens) -> Tokens:
        """What every query reads, once per field."""
        return replace(latents, x=self.attention.to_kv(latents.x))

    def forward(
        self,
        coords: Float[Tensor, "B Q d"],
        latents: Tokens | None,
        local: Float[Tensor, "B Q H"] | None,
    ) -> Float[Tensor, "B Q F"]:
        m = 0.0 if local is None else local
        if self.attention is not None:
            query = F.relu(self.query(self.query_band(coords)))
            bias, near = self.bias(coords, latents.pos), nearest(coords, latents.pos, self.nearest)
            m = m + self.attention(query, latents.x, bias, latents.mask, near)
        scales = []
        for k, (fourier, band, modulate) in enumerate(zip(self.fourier, self.bands, self.modulate, strict=True)):
            h = self.refine["bands"][k](F.relu(band(fourier(coords))))
            scales.append(self.refine["modulate"][k](F.relu(h + modulate(m))))
        values = [scales[0]]
        for scale, link, refine in zip(scales[1:], self.chain, self.refine["chain"], strict=True):
            values.append(refine(F.relu(link(scale + values[-1]))))
        return torch.cat([refine(value) for refine, value in zip(self.refine["out"], values, strict=True)], -1)


def residual_blocks(width: int, block: config.Block) -> nn.Sequential:
    """`block.depth` of them; with none, what comes in goes out."""
    return nn.Sequential(*[ResidualBlock(width, block) for _ in range(block.depth)])
