"""Decoders whose weights are written by the latents: the signal is the network.

Source: Trans-INR (Chen & Wang 2022, arXiv 2208.02801), equation 3 and section 3.3: an MLP of Fourier features; every
layer's matrix is a shared one, its columns in groups, each group multiplied by a vector that one latent gives, then
normalised: W = normalise(W₀ ⊙ (H z)ᵀ).
Generalizable INR via instance pattern composers (Kim et al. 2023, arXiv 2211.13223), section 3.2: only the second layer
depends on the signal, as a product of a shared and a written factor: W = U V(z).
`generated` says which layers are written, `rule` how. Deviation: features read locally are added before the first
activation; frequencies are in cycles per unit, from 0.5 to the window's Nyquist limit.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.nn.fourier import AxisFourier


class ComposerDecoder(nn.Module):
    joint = False

    def __init__(self, decoder: config.Composer, signal: config.Signal, width: int, patch: int, latents: int):
        super().__init__()
        self.local_width = decoder.hidden
        generated = set(decoder.generated)
        if latents < len(generated):
            needs = f"decoder.kind 'composer' with {len(generated)} written layers needs as many latents"
            raise ValueError(f"{needs}, got {latents}; raise encoder.tokens.count or name fewer in decoder.generated")
        self.fourier = AxisFourier(decoder.band, signal.places, signal.unit / 2)
        sizes = [self.fourier.width, *[decoder.hidden] * decoder.depth]
        if max(generated) >= decoder.depth:
            raise ValueError(f"decoder.generated names layer {max(generated)}, there are 0 … {decoder.depth - 1}")
        self.each = latents // len(generated)  # latents that write one layer
        self.layers = nn.ModuleList(
            WrittenLayer(decoder.rule, width, self.each, *io) if i in generated else nn.Linear(*io)
            for i, io in enumerate(zip(sizes, sizes[1:], strict=False))
        )
        self.width = decoder.hidden

    def prepare(self, latents: Tokens) -> Tokens:
        """The vectors that write the matrices, all layers' behind one another: once per field."""
        written = [layer for layer in self.layers if isinstance(layer, WrittenLayer)]
        groups = zip(written, latents.x.split(self.each, 1), strict=False)
        vectors = [layer.write(layer.norm(group)) for layer, group in groups]
        widest = max(v.shape[-1] for v in vectors)
        x = torch.cat([F.pad(v, (0, widest - v.shape[-1])) for v in vectors], 1)
        return Tokens(x, latents.pos[:, : x.shape[1]])

    def forward(
        self, coords: Float[Tensor, "B Q d"], latents: Tokens | None, local: Float[Tensor, "B Q H"] | None
    ) -> Float[Tensor, "B Q H"]:
        assert latents is not None, "a model without latents is refused when it is built"
        groups = iter(latents.x.split(self.each, 1))
        x = self.fourier(coords)
        for i, layer in enumerate(self.layers):
            x = layer(x, next(groups)) if isinstance(layer, WrittenLayer) else layer(x)
            x = (x if local is None or i else x + local).relu()
        return x


class WrittenLayer(nn.Module):
    """A linear layer whose matrix a group of latents writes."""

    def __init__(self, rule: str, width: int, latents: int, inputs: int, outputs: int):
        super().__init__()
        self.rule, self.outputs = rule, outputs
        self.norm, self.write = nn.LayerNorm(width), nn.Linear(width, inputs)
        rows = inputs if rule == "columns" else latents
        self.base = nn.Parameter(torch.randn(rows, outputs) * rows**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "B Q I"], vectors: Float[Tensor, "B g I"]) -> Float[Tensor, "B Q O"]:
        written = vectors[..., : x.shape[-1]].transpose(1, 2)
        if self.rule == "pattern":
            return x @ written @ self.base / x.shape[-1] ** 0.5 + self.bias
        repeats = -(-self.outputs // written.shape[2])
        matrix = F.normalize(self.base * written.repeat(1, 1, repeats)[..., : self.outputs], dim=1)
        return x @ matrix + self.bias
