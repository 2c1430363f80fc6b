"""A photo model as graphs of plain tensors, for runtimes that know nothing of fields.

    PictureEncoder    picture (H W C) → features (H W F), deviation (C)                          once per picture
    PictureQueries    picture, features, deviation, coords (N 2), cell (N 2) → values (N C)      any place, any factor
    PictureEnlarger   picture (H W C) → picture (sH sW C)                                        one whole factor s

Values are as encoded, in [0, 1]; coordinates and cells as everywhere: (y, x), cell centres (i + ½) / n, a cell 1 / n.
The base is inside: what comes out is the finished picture. A picture is read whole, where a field cuts one that is larger
than `signal.tile` into windows that share a border.

At one factor nothing depends on the question but its phase between two samples: the read-out is a convolution with 2 × 2
nodes whose weights are the waves at every phase, the base one with 4 × 4 samples, and what they make of one place is
shuffled to s × s pixels. Beyond the border both see zeros and are divided by the weight that lies inside.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gridless.bases import Interpolation
from gridless.bases.interpolation import finer, keys
from gridless.coords import lattice_points
from gridless.model import FieldModel
from gridless.network.encoded import FeatureGrid
from gridless.network.heads import PointHead
from gridless.network.local import LocalReadout, smooth_step
from gridless.samples import Samples

FACTORS = range(2, 9)
TAPS = 4  # of the bicubic kernel along an axis
TOLERANCE = 1e-6  # of a cell that is as large as a sample


class PictureEncoder(nn.Module):
    """What the network sees at the samples, and the deviation of every channel that its answers are multiplied with."""

    def __init__(self, model: FieldModel):
        super().__init__()
        self.model, _ = parts(model)

    def forward(self, picture: Float[Tensor, "H W C"]) -> tuple[Float[Tensor, "H W F"], Float[Tensor, " C"]]:
        height, width, channels = picture.shape
        samples = Samples(picture.reshape(1, height * width, channels), shape=(height, width))
        encoded = self.model.encode_window(self.model.standard_grid(samples))
        assert encoded.local is not None
        return encoded.local.x[0], self.model.units(samples).scale[0, 0]


class PictureQueries(nn.Module):
    """Values at any places, for cells up to a sample's own: NaN for larger ones, whose base would need a wider kernel."""

    def __init__(self, model: FieldModel):
        super().__init__()
        self.model, self.local = parts(model)

    def forward(
        self,
        picture: Float[Tensor, "H W C"],
        features: Float[Tensor, "H W F"],
        deviation: Float[Tensor, " C"],
        coords: Float[Tensor, "N 2"],
        cell: Float[Tensor, "N 2"],
    ) -> Float[Tensor, "N C"]:
        """`coords` and `cell` in double precision: with single, places of a large picture would blur."""
        height, width, _ = picture.shape
        size = torch.stack([torch.full((), n, dtype=torch.float64) for n in (height, width)])
        ratio = (cell * size).to(picture.dtype)
        finest = self.model.config.signal.finest_cell
        known = None if finest is None else ratio.clamp(finest, 1.0)[None]
        place = (coords * size * self.local.pitch).to(picture.dtype)[None]
        read = self.local(FeatureGrid(features[None], self.local.pitch, None), place, known)
        added = deviation * self.model.head(read)[0]
        if isinstance(self.model.base, Interpolation) and self.model.base.exact:
            added = finer(ratio) * added
        value = bicubic(picture, coords * size - 0.5) + added
        return torch.where((ratio <= 1 + TOLERANCE).all(-1, keepdim=True), value, torch.nan)


class PictureEnlarger(nn.Module):
    """A picture enlarged by one whole factor: convolutions from end to end."""

    base_weight: Tensor
    read_weight: Tensor
    shares: Tensor

    def __init__(self, model: FieldModel, factor: int):
        """Raises ValueError for a factor that is no whole number from 2 to 8."""
        super().__init__()
        if factor not in FACTORS:
            raise ValueError(
                f"one graph from picture to picture has a whole factor from {FACTORS[0]} to {FACTORS[-1]}, got {factor}; "
                "leave it out for graphs that answer any"
            )
        self.encoder, self.factor = PictureEncoder(model), factor
        network, local = parts(model)
        assert isinstance(network.head, PointHead)
        self.bias, finest = network.head.linear.bias, network.config.signal.finest_cell
        with torch.no_grad():
            first = -(-(factor - 1) // 2)
            phase = (torch.arange(first, first + factor, dtype=torch.float64) + 0.5) / factor - 0.5
            self.skipped = factor - first
            waves = read_out_weights(local, phase.float(), None if finest is None else max(finest, 1 / factor))
            weight = torch.einsum("kpw,cw->cpwk", waves, network.head.linear.weight)
            self.register_buffer("read_weight", weight.flatten(0, 1).unflatten(-1, (2, 2)))
            step = smooth_step(phase)
            self.register_buffer("shares", outer(torch.stack([1 - step, step], -1)).float())
            taps = keys(torch.arange(TAPS) - 1 - phase[:, None])
            self.register_buffer("base_weight", outer(taps).float())

    def forward(self, picture: Float[Tensor, "H W C"]) -> Float[Tensor, "sH sW C"]:
        features, deviation = self.encoder(picture)
        read = self.convolved(features.movedim(-1, 0)[None], self.read_weight, self.shares)[0]
        base = self.convolved(picture.movedim(-1, 0)[:, None], self.base_weight, self.base_weight)[:, 0]
        answer = base + deviation[:, None, None] * (read + self.bias[:, None, None])
        height, width, _ = picture.shape
        start, s = self.skipped, self.factor
        return answer[:, start : start + s * height, start : start + s * width].movedim(0, -1)

    def convolved(self, x: Tensor, weight: Tensor, shares: Tensor) -> Tensor:
        """All phases at every place between two samples, one before the first and one after the last included."""
        edge = weight.shape[-1] // 2
        inside = torch.ones_like(x[:1, :1])
        both = [F.conv2d(F.pad(part, (edge,) * 4), w) for part, w in ((x, weight), (inside, shares))]
        answer, total = (F.pixel_shuffle(part, self.factor) for part in both)
        return answer / total


def parts(model: FieldModel) -> tuple[FieldModel, LocalReadout]:
    """The model as it answers, and its read-out. Raises ValueError for a model that is no network of convolutions with
    bicubic interpolation under it."""
    config = model.config
    expected = {
        "signal.axes": (config.signal.axes, 2),
        "signal.out_channels": (config.signal.outputs, config.signal.channels),
        "tokenizer.kind": (config.tokenizer.kind, "patches"),
        "tokenizer.size": (getattr(config.tokenizer, "size", None), 1),
        "encoder.kind": (config.encoder.kind, "none"),
        "decoder.kind": (config.decoder.kind, "direct"),
        "head.kind": (config.head.kind, "point"),
        "base.kind": (config.base.kind, "bicubic"),
    }
    for name, (has, needed) in expected.items():
        if has != needed:
            raise ValueError(
                f"only photo models of convolutions can be exported: {name} must be {needed!r}, {config.name} has "
                f"{has!r}; train one with `gridless train photo`"
            )
    frozen = model.frozen_copy("cpu")
    assert frozen.local is not None
    return frozen.float(), frozen.local


def read_out_weights(local: LocalReadout, phase: Float[Tensor, " s"], cell: float | None) -> Float[Tensor, "4 ss W"]:
    """What the read-out multiplies the features of the four nodes around a question with, for every phase between them
    along both axes: its answers to nodes of which one holds ones and the others zeros."""
    width = local.wave.out_features
    nodes = torch.eye(4).reshape(4, 2, 2, 1).expand(-1, -1, -1, width).contiguous()
    asked = ((lattice_points([phase, phase], 0, len(phase) ** 2) + 0.5) * local.pitch).expand(4, -1, -1)
    return local(FeatureGrid(nodes, local.pitch, None), asked, None if cell is None else torch.full_like(asked, cell))


def bicubic(picture: Float[Tensor, "H W C"], u: Float[Tensor, "N 2"]) -> Float[Tensor, "N C"]:
    """The base of cells up to a sample's own; `u` in samples, the first at 0. At the border the kernel is cut and
    renormalised."""
    height, width, _ = picture.shape
    around = torch.arange(TAPS, device=u.device) - 1
    rows, columns = (_taps(u[:, axis, None], around, n) for axis, n in enumerate((height, width)))
    samples = picture.flatten(0, 1)[rows[0][:, :, None] * width + columns[0][:, None]]
    return torch.einsum("nyxc,ny,nx->nc", samples, rows[1].to(picture.dtype), columns[1].to(picture.dtype))


def _taps(u: Float[Tensor, "N 1"], around: Tensor, n: int) -> tuple[Tensor, Tensor]:
    index = u.floor().long() + around
    weight = keys(index - u) * ((index >= 0) & (index < n))
    return index.clamp(0, n - 1), weight / weight.sum(-1, keepdim=True)


def outer(weight: Float[Tensor, "s n"]) -> Float[Tensor, "ss 1 n n"]:
    """Weights of both axes from those of one."""
    return torch.einsum("ym,xn->yxmn", weight, weight).flatten(0, 1)[:, None]
