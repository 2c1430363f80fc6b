"""From samples to tokens: patches of a grid of any dimension, or scattered points."""

from math import prod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config
from gridless.coords import grid, sizes
from gridless.network.encoded import Tokens
from gridless.network.questions import SMALLEST_STD, base_features
from gridless.nn.fourier import AxisFourier, GaussianFourier
from gridless.nn.stem import Stem
from gridless.protocols import Answer

MOMENT_BANDS = 8  # of the asked moment: from a quarter to two cycles per window of time
SURPRISE = 6.0  # deviations beyond which a surprise counts less and less


class PatchTokenizer(nn.Module):
    """Patches of p samples per axis, in raster order, each a token at its centre; optionally of a stem's features.

    MAMBA-GINR's tokenizer (systems: Linear on the patch, Fourier features of its position concatenated). Deviations:
    positions are patch centres with both sines and cosines of every frequency (the published table gives the first and
    the last row the same code); the stem is ours.
    """

    def __init__(self, tokenizer: config.Patches, signal: config.Signal, width: int, embedded: bool = True):
        """`embedded`: whether patches become tokens; false where no encoder reads them."""
        super().__init__()
        self.size, self.unit, axes = tokenizer.size, signal.unit, signal.axes
        for window in signal.windows:
            if window % tokenizer.size:
                fit = [n for n in range(1, window + 1) if window % n == 0]
                near = min(fit, key=lambda n: abs(n - tokenizer.size))
                raise ValueError(
                    f"tokenizer.size {tokenizer.size} does not divide signal.window {window}; did you mean {near}? "
                    f"({', '.join(map(str, fit))} divide it)"
                )
        self.stem = Stem(tokenizer.stem, signal.channels, axes) if tokenizer.stem else None
        features = (self.stem.width if self.stem else signal.channels) * tokenizer.size**axes
        self.position, self.table, self.embed = None, None, None
        if not embedded:
            return
        patches = [window // tokenizer.size for window in signal.windows]
        if tokenizer.position == "concat":
            count = max(1, tokenizer.position_width // (2 * axes))  # a sine and a cosine on every axis
            if 2 * axes * count >= width:
                raise ValueError(
                    f"tokenizer.position_width {tokenizer.position_width} leaves nothing of the width {width} for values: "
                    f"{axes} axes take at least {2 * axes * count}; raise width"
                )
            # from half a cycle per window up to the limit that the patches can carry
            self.position = AxisFourier(config.Band(low=0.5, count=count), axes, max(1.0, max(patches) / 2))
            self.embed = nn.Linear(features, width - 2 * axes * count)
        else:
            self.embed = nn.Linear(features, width)
        if tokenizer.position == "learned":
            self.table = nn.Parameter(torch.randn(*patches, width) * 0.02)

    def padded(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape with every axis raised to a multiple of the patch."""
        return tuple(-(-n // self.size) * self.size for n in shape)

    def forward(
        self, values: Float[Tensor, "B *grid C"], mask: Bool[Tensor, "B *grid"] | None
    ) -> tuple[Tokens | None, tuple[int, ...], Float[Tensor, "B *grid S"] | None]:
        """Tokens (None where nobody reads them), the shape of their grid, and the stem's features. A patch with nothing
        measured is padding."""
        features = values if mask is None else values * mask[..., None]
        if self.stem is not None:
            features = self.stem(features, mask)
        shape = tuple(n // self.size for n in values.shape[1:-1])
        pixels = None if self.stem is None else features
        if self.embed is None:
            return None, shape, pixels
        x = self.embed(cut_patches(features, self.size))
        pos = grid(*shape, device=x.device) * sizes(shape, device=x.device) * (self.size / self.unit)
        if self.position is not None:
            x = torch.cat([self.position(pos).to(x.dtype).expand(len(x), -1, -1), x], -1)
        if self.table is not None:
            x = x + self.table[tuple(slice(0, n) for n in shape)].flatten(0, -2)
        token_mask = None if mask is None else cut_patches(mask[..., None], self.size).any(-1)
        return Tokens(x, pos.expand(len(x), -1, -1), token_mask), shape, pixels


class PointTokenizer(nn.Module):
    """Every reading a token: a linear layer on its value, the Fourier features of its coordinate and, with `product`,
    the features times the value, whose mean over the readings is a non-uniform Fourier transform of them. Of a film a
    token also knows the moment that is asked (`moment`), and values may enter through a layer that does not learn, as in
    SCENT."""

    stem = None
    entry: Float[Tensor, "C F"] | None

    def __init__(
        self,
        tokenizer: config.Points,
        signal: config.Signal,
        width: int,
        informed: bool = False,
        targeted: bool = False,
    ):
        """`informed`: by the base; `targeted`: of the asked moment."""
        super().__init__()
        self.fourier = GaussianFourier(tokenizer.fourier, signal.places) if tokenizer.place else None
        self.product, times = tokenizer.product, 1 + signal.channels * tokenizer.product
        features = 0 if self.fourier is None else self.fourier.width * times
        self.base = nn.Linear(3 * signal.channels, width) if informed else None
        entry = None if tokenizer.frozen is None else torch.randn(signal.channels, tokenizer.frozen)
        self.register_buffer("entry", entry)
        band = config.Band(low=0.25, high=MOMENT_BANDS / 4, count=MOMENT_BANDS)
        self.moment = AxisFourier(band, 1, 0.0) if targeted else None
        moments = 0 if self.moment is None else self.moment.width
        self.embed = nn.Linear(features + moments + (tokenizer.frozen or signal.channels), width)

    def forward(
        self,
        coords: Float[Tensor, "B N d"],
        values: Float[Tensor, "B N C"],
        mask: Bool[Tensor, "B N"] | None = None,
        base: Answer | None = None,
        moment: Float[Tensor, " B"] | None = None,
    ) -> Tokens:
        """`base`: what the base says at each place without its reading, in standard units. `moment`: that is asked, in
        windows of time."""
        parts = [values if self.entry is None else values @ self.entry.to(values.dtype)]
        if self.moment is not None and moment is not None:
            known = self.moment(moment[:, None, None]).to(values.dtype)
            parts.append(known.expand(-1, coords.shape[1], -1))
        if self.fourier is not None:
            place = self.fourier(coords).to(values.dtype)
            parts.insert(0, place)
            if self.product:
                parts.append((place[..., None] * values[..., None, :]).flatten(-2))
        x = self.embed(torch.cat(parts, -1))
        if self.base is not None and base is not None:
            surprise = (values - base.mean) / base.deviation().clamp(min=SMALLEST_STD)
            surprise = surprise / (1 + surprise.abs() / SURPRISE)
            x = x + self.base(torch.cat([base_features(base, values.dtype), surprise.to(values.dtype)], -1))
        return Tokens(x, coords, mask)


def cut_patches(values: Float[Tensor, "B *grid C"], size: int) -> Float[Tensor, "B T P"]:
    """Patches of `size` samples per axis in raster order, each flattened to size^d · C numbers."""
    shape = [n // size for n in values.shape[1:-1]]
    for axis, n in enumerate(shape):
        values = values.unflatten(1 + 2 * axis, (n, size))
    d = len(shape)
    order = [0, *range(1, 2 * d, 2), *range(2, 2 * d + 1, 2), 2 * d + 1]
    return values.permute(order).reshape(len(values), prod(shape), -1)


def join_patches(patches: Float[Tensor, "B T P"], shape: tuple[int, ...], size: int) -> Float[Tensor, "B *grid C"]:
    """The inverse of `cut_patches`: `shape` counts the patches per axis."""
    d = len(shape)
    values = patches.reshape(len(patches), *shape, *[size] * d, -1)
    order = [
        0,
        *(axis for pair in zip(range(1, d + 1), range(d + 1, 2 * d + 1), strict=True) for axis in pair),
        2 * d + 1,
    ]
    values = values.permute(order)
    return values.reshape(len(patches), *[n * size for n in shape], values.shape[-1])


def pad_to(values: Float[Tensor, "B *grid C"], shape: tuple[int, ...]) -> Float[Tensor, "B *padded C"]:
    """Repeat the last sample of each axis up to `shape`."""
    for axis, n in enumerate(shape):
        index = torch.arange(n, device=values.device).clamp(max=values.shape[1 + axis] - 1)
        values = values.index_select(1 + axis, index)
    return values
