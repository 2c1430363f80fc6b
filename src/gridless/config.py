"""What a model is made of, as frozen data. Imports no torch, so that a recipe is checked before anything heavy loads.

Every part that comes in several kinds carries a `kind`; `model.py` turns each kind into a module with one `match`.
`merging.py` merges presets, recipes and flags into one dictionary and builds these classes from it.
"""

from functools import partial
from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from pydantic.dataclasses import dataclass

config = partial(dataclass, frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))


@config
class Signal:
    """The signal and the window the network sees: one unit of its coordinates is `window` samples."""

    axes: PositiveInt = 2
    channels: PositiveInt = 3
    window: PositiveInt = 32
    overlap: NonNegativeInt = 8
    """Samples shared by neighbouring windows of a larger signal."""
    mean: float = 0.0
    std: PositiveFloat = 1.0
    """The network sees (value − mean) / std and its correction is scaled by std."""
    finest_cell: float | None = None
    """The smallest asked pixel, relative to a sample's, that training shows; None: the answer ignores the cell."""


@config
class Band:
    """Frequencies per axis in cycles per unit (half the published ω). `high = None` is the window's Nyquist limit."""

    low: PositiveFloat = 0.5
    high: PositiveFloat | None = None
    count: PositiveInt = 16
    spacing: Literal["linear", "log"] = "linear"


@config
class Gaussian:
    """Random frequencies, drawn once and kept in the checkpoint: `std` in cycles per unit."""

    std: PositiveFloat = 4.0
    count: PositiveInt = 32
    learned: bool = False


@config
class Bias:
    """Distance penalty on the attention logits, −alpha·distance²: along the raster order of patches (as published),
    or between the coordinate and the token's learned position."""

    kind: Literal["none", "raster", "euclid"] = "none"
    alpha: float = 10.0


@config
class Attention:
    heads: PositiveInt = 2
    head_width: PositiveInt = 64
    bias: Bias = Bias()
    nearest: PositiveInt | None = None
    """A query reads only so many latents, those whose positions are nearest; None: all."""


@config
class Stem:
    """Residual convolutions at full resolution, before the patches are cut."""

    width: PositiveInt = 32
    blocks: NonNegativeInt = 2


@config
class Patches:
    kind: Literal["patches"] = "patches"
    size: PositiveInt = 2
    position: Literal["concat", "learned", "none"] = "concat"
    """`concat`: Fourier features of the patch centre take `position_width` of the token; `learned`: an added table."""
    position_width: PositiveInt = 32
    stem: Stem | None = None


@config
class PositionTokens:
    """Learnable position tokens and where they enter the sequence."""

    count: NonNegativeInt = 256
    placement: Literal["equidistant", "middle", "group", "append"] = "equidistant"
    group: PositiveInt = 1
    init: Literal["normal", "sinusoidal"] = "normal"
    std: PositiveFloat = 1.0
    read: Literal["tokens", "all"] = "tokens"
    """The latents are the outputs at the position tokens, or at all places of the sequence."""


@config
class Ssm:
    """The selective state space layer (Mamba), in its authors' terms."""

    state: PositiveInt = 16
    expand: PositiveInt = 2
    conv: PositiveInt = 4
    merge: Literal["average", "concat"] = "average"
    direction: Literal["both", "forward"] = "both"


@config
class MambaEncoder:
    kind: Literal["mamba"] = "mamba"
    depth: NonNegativeInt = 6
    expansion: PositiveFloat = 4.0
    ssm: Ssm = Ssm()
    tokens: PositionTokens = PositionTokens()
    final: Literal["residual-norm", "last-mlp"] = "residual-norm"
    """`last-mlp` drops the residual stream, as the published code does."""


@config
class TransformerEncoder:
    kind: Literal["transformer"] = "transformer"
    depth: NonNegativeInt = 6
    heads: PositiveInt = 8
    head_width: PositiveInt = 64
    expansion: PositiveFloat = 4.0
    gated: bool = True
    """GEGLU feed-forwards; false: two linear layers with a GELU between them."""
    tokens: PositionTokens = PositionTokens()


@config
class PerceiverEncoder:
    """A cascade of latents, one stage for each of `widths`."""

    kind: Literal["perceiver"] = "perceiver"
    count: PositiveInt = 256
    widths: Annotated[tuple[PositiveInt, ...], MinLen(1)] = (256, 384, 512)
    cross_heads: PositiveInt = 4
    heads: PositiveInt = 8
    head_width: PositiveInt = 128
    expansion: PositiveFloat = 4.0
    frozen: bool = False
    """The latents' sinusoidal start does not learn, as in SCENT's reference code."""


@config
class SelfAttention:
    kind: Literal["self-attention"] = "self-attention"
    depth: NonNegativeInt = 0
    heads: PositiveInt = 8
    head_width: PositiveInt = 64
    expansion: PositiveFloat = 4.0


@config
class Block:
    """Residual blocks after each linear layer of a decoder; the ingredients one by one."""

    depth: NonNegativeInt = 0
    expansion: PositiveFloat = 1.0
    gated: bool = False
    """GEGLU instead of a ReLU between the two layers."""
    norm: bool = False
    """Normalised before; then the sum is not rectified after."""
    joint: bool = False
    """Attention among the queries before it: an answer then depends on the other questions."""


@config
class Lainr:
    kind: Literal["lainr"] = "lainr"
    hidden: PositiveInt = 256
    attention: Attention = Attention()
    query: Band = Band()
    bands: tuple[Band, ...] = (Band(),)
    """One scale each, in the order of the chain."""
    widths: tuple[PositiveInt, ...] | None = None
    """Width of each scale; None: `hidden` everywhere."""
    block: Block = Block()
    skip: bool = False
    """Each scale's encoding reaches the output past the network, through one linear layer."""


@config
class Scent:
    kind: Literal["scent"] = "scent"
    hidden: PositiveInt = 512
    attention: Attention = Attention()
    fourier: Gaussian = Gaussian()
    depth: NonNegativeInt = 3
    expansion: PositiveFloat = 4.0
    widths: tuple[PositiveInt, ...] | None = None
    """Width of each of the `depth` blocks; None: `hidden` everywhere."""
    skip: bool = True
    joint: bool = False
    """Attention among the queries in every block: an answer then depends on the other questions."""


@config
class Mlp:
    kind: Literal["mlp"] = "mlp"
    hidden: PositiveInt = 256
    depth: PositiveInt = 4
    band: Band = Band()


@config
class Composer:
    """An MLP whose layers `generated` are written by the latents: `columns` (Trans-INR) or `pattern` (IPC)."""

    kind: Literal["composer"] = "composer"
    hidden: PositiveInt = 256
    depth: PositiveInt = 4
    generated: Annotated[tuple[NonNegativeInt, ...], MinLen(1)] = (0, 1, 2, 3)
    rule: Literal["columns", "pattern"] = "columns"
    band: Band = Band(count=32)


@config
class Local:
    """Read-out of the stem's and the patches' features where the query is."""

    stem: bool = True
    patches: bool = True


@config
class NoBase:
    """Nothing: the network answers alone (pure reconstruction)."""

    kind: Literal["none"] = "none"


@config
class Interpolation:
    kind: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    exact: bool = True
    """Asked at the samples' own cell size, the field returns the base alone: at ×1 a picture comes back unchanged."""


Encoder = Annotated[MambaEncoder | TransformerEncoder | PerceiverEncoder, Discriminator("kind")]
Processor = SelfAttention
Decoder = Annotated[Lainr | Scent | Mlp | Composer, Discriminator("kind")]
Base = Annotated[NoBase | Interpolation, Discriminator("kind")]


@config
class Model:
    name: str = "custom"
    signal: Signal = Signal()
    width: PositiveInt = 256
    tokenizer: Patches = Patches()
    encoder: Encoder = MambaEncoder()
    processor: Processor = SelfAttention()
    decoder: Decoder = Lainr()
    local: Local | None = None
    base: Base = NoBase()


@config
class Optimizer:
    lr: PositiveFloat = 5e-4
    floor: PositiveFloat = 0.01
    """The schedule ends at floor · lr, never at zero."""
    warmup: NonNegativeFloat = 0.05
    """Share of the steps in which the rate rises to lr."""
    weight_decay: NonNegativeFloat = 1e-4
    clip: PositiveFloat = 1.0
    ema: float | None = None


@config
class Train:
    """How long, on what batches, how often something is written."""

    steps: PositiveInt | None = None
    seconds: PositiveFloat | None = None
    """A budget; it is turned into steps once, at the start, and stored."""
    batch: PositiveInt = 16
    queries: PositiveInt | None = None
    """Asked points per sample and step; None: all of them."""
    loss: Literal["mse", "l1"] = "mse"
    optimizer: Optimizer = Optimizer()
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """torch.compile the model: minutes at the start, faster steps where it has a backend."""
    seed: int = 0
    validate_every: PositiveInt = 500
    checkpoint_every: PositiveInt = 500


@config
class Data:
    """`photos`: those inside the scikit-image and scikit-learn wheels; `folder`: a directory of pictures, or one with
    `train`, `val` and `test` inside; `cifar10`: a directory with the published batches of CIFAR-10."""

    kind: Literal["photos", "folder", "cifar10"] = "photos"
    path: str | None = None
    held_out: PositiveInt | None = None
    """So many of the validation and the test pictures, the first ones; None: all."""


def _several(value):
    """One number on the command line is a list of one."""
    return value if isinstance(value, (list, tuple)) else (value,)


@config
class SuperResolutionTask:
    kind: Literal["super-resolution"] = "super-resolution"
    scale: tuple[PositiveFloat, PositiveFloat] = (1.0, 4.0)
    """Training draws its scale from this range."""
    scales: Annotated[tuple[PositiveFloat, ...], BeforeValidator(_several)] = (2.0, 3.0, 4.0)
    """Evaluation asks at these."""
    recolour: bool = False
    """Training crops get random colours."""
    seen: PositiveInt | None = None
    """Evaluation cuts pictures into crops that are seen at this size; None: whole pictures."""


@config
class ReconstructionTask:
    kind: Literal["reconstruction"] = "reconstruction"
    seen: PositiveInt | None = None
    """Evaluation cuts pictures into crops of this size; None: whole pictures."""
    turned: bool = True
    """Training crops come in their eight orientations."""
    jitter: NonNegativeFloat = 0.0
    """Training asks at points shifted by N(0, jitter²), in units of the picture."""
    offset: NonNegativeFloat = 0.0
    """Training decodes at points shifted by N(0, offset²) from those where the latents are read."""
    resampled: bool = True
    """The target is the picture's value at the shifted point; false: at the pixel that was shifted, as published."""


Task = Annotated[SuperResolutionTask | ReconstructionTask, Discriminator("kind")]


@config
class Recipe:
    """Everything a run is made of."""

    model: Model
    data: Data = Data()
    task: Task = SuperResolutionTask()
    train: Train = Train()
