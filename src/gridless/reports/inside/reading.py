"""What a model holds, as arrays. What concerns latents is about one window (samples no larger than the model's), for
latents belong to a window; coordinates are in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.model import FieldModel
from gridless.network.encoded import Tokens
from gridless.network.parts import AttentionDecoder
from gridless.network.tokenizers import PatchTokenizer, pad_to
from gridless.nn.attention import CrossAttention
from gridless.samples import Samples


@dataclass(frozen=True, eq=False)
class Attention:
    """How much each query reads of each latent, per head (rows sum to one), and where the latents lie, in [0, 1]."""

    weights: Float[np.ndarray, "h Q M"]
    positions: Float[np.ndarray, "M d"]

    def count(self) -> Float[np.ndarray, "h Q"]:
        """How many latents a query reads: exp of the weights' entropy, from 1 to M."""
        return np.exp(-(self.weights * np.log(np.clip(self.weights, 1e-30, None))).sum(-1))

    def reach(self, coords: Float[np.ndarray, "Q d"]) -> tuple[Float[np.ndarray, "h Q"], Float[np.ndarray, " Q"]]:
        """Mean distance from a query to what it reads, and to all latents alike; in units of the picture."""
        distance = np.linalg.norm(coords[:, None] - self.positions, axis=-1)
        return (self.weights * distance).sum(-1), distance.mean(-1)


def without_attention(model: FieldModel) -> str | None:
    """Why no query of this model attends to latents; None if queries do."""
    if not model.latents:
        return "This model has no latents: its queries read local features alone."
    if getattr(model.decoder, "attention", None) is None:
        return f"Queries of the decoder {model.config.decoder.kind!r} do not attend to the latents."
    return None


def attention(model: FieldModel, samples: Samples, coords: Float[np.ndarray, "Q d"]) -> Attention:
    """The weights with which the queries at `coords` read the latents of one window. `without_attention` says where
    there are none (ValueError)."""
    attention, latents, query = _asked(model, samples, coords)
    with torch.no_grad():
        weights = attention.weights(*query)[0]
    size = latents.pos.new_tensor(samples.grid_shape)
    positions = latents.pos[0] * model.config.signal.unit / size
    return Attention(_numpy(weights), _numpy(positions))


def modulations(model: FieldModel, samples: Samples, coords: Float[np.ndarray, "Q d"]) -> Float[np.ndarray, "Q H"]:
    """What the decoder's cross-attention gives the queries at `coords` of one window."""
    attention, _, query = _asked(model, samples, coords)
    with torch.no_grad():
        return _numpy(attention(*query)[0])


def position_tokens(model: FieldModel) -> tuple[Float[np.ndarray, "M D"], Float[np.ndarray, "M d"]] | None:
    """The encoder's learnable position tokens as they enter the sequence, and their positions in windows; None without
    any."""
    tokens = getattr(model.encoder, "tokens", None)
    return None if tokens is None else (_numpy(tokens.x), _numpy(tokens.pos))


def pooled_latents(model: FieldModel, windows: Sequence[Samples]) -> Float[np.ndarray, "N D"]:
    """The mean over the latents of each window, as the decoder receives them: one vector per picture."""
    if not model.latents:
        raise ValueError(str(without_attention(model)))
    pooled, tokenizer = [], model.tokenizer
    assert isinstance(tokenizer, PatchTokenizer), "windows are grids"
    with torch.no_grad():
        for samples in windows:
            values = model.standard_grid(_on_device(model, samples))
            tokens, _, _ = tokenizer(pad_to(values, tokenizer.padded(samples.grid_shape)), None)
            pooled.append(_numpy(model.processor(model.encoder(tokens)[0]).x.mean(1)))
    return np.concatenate(pooled)


def _asked(model: FieldModel, samples: Samples, coords: np.ndarray) -> tuple[CrossAttention, Tokens, tuple]:
    """The decoder's attention, the latents of one window, and what the attention takes at coordinates in [0, 1]."""
    if reason := without_attention(model):
        raise ValueError(reason)
    signal = model.config.signal
    if len(samples) != 1 or any(n > w for n, w in zip(samples.grid_shape, signal.windows, strict=True)):
        raise ValueError(
            f"expected one window of at most {signal.window} samples per axis, got {len(samples)} of {samples.shape}; "
            "latents belong to a window: cut one out"
        )
    samples = _on_device(model, samples)
    with torch.no_grad():
        encoded = model.encode_window(model.standard_grid(samples), samples.mask_on_grid())
    x = samples.values.new_tensor(np.asarray(coords)) * samples.values.new_tensor(samples.grid_shape) / signal.unit
    decoder, latents = model.decoder, encoded.latents
    assert isinstance(decoder, AttentionDecoder) and decoder.attention is not None and latents is not None
    with torch.no_grad():
        return decoder.attention, latents, decoder.asked(x[None], latents)


def _on_device(model: FieldModel, samples: Samples) -> Samples:
    parameter = next(model.parameters())
    samples = samples.to(parameter.device)
    return Samples(samples.values.to(parameter.dtype), samples.shape, samples.coords, samples.mask)


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().cpu().double().numpy()
