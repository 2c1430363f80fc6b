"""What a model is made of, as frozen data. Imports no torch, so that a recipe is checked before anything heavy loads.

Every part that comes in several kinds carries a `kind`; `model.py` turns each kind into a module with one `match`.
`merging.py` merges presets, recipes and flags into one dictionary and builds these classes from it.
"""

from dataclasses import field
from functools import partial
from typing import Annotated, Literal

from annotated_types import Ge, Lt, MinLen
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
    octaves: PositiveInt = 1
    """Several scales: a share of the frequencies at std, 2 · std, 4 · std … each."""


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
class Points:
    """Scattered readings: each a token of its value and the Fourier features of its place."""

    kind: Literal["points"] = "points"
    fourier: Gaussian = Gaussian(std=1.0, count=64)
    product: bool = True
    """The features times the value stand beside both: their mean over the readings is a spectrum."""


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
    gap: PositiveFloat | None = None
    """A step is as long as the way from the token before, in multiples of this distance; None: as the token says."""


@config
class MambaEncoder:
    kind: Literal["mamba"] = "mamba"
    depth: NonNegativeInt = 6
    expansion: PositiveFloat = 4.0
    ssm: Ssm = Ssm()
    tokens: PositionTokens = PositionTokens()
    order: Literal["given", "morton", "hilbert"] = "given"
    """The sequence: as the tokens come, with `placement`; or all items along a space-filling curve, for scattered points."""
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
    depths: dict[Literal["bands", "modulate", "chain", "out"], NonNegativeInt] = field(default_factory=dict)
    """Another depth after the layers of these names."""
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
class SharedState:
    """V1's layer: a small linear state for the whole sequence."""

    kind: Literal["shared-state"] = "shared-state"
    state: PositiveInt = 8
    dt: Literal["1/N", "fixed", "learned"] = "1/N"
    hold: bool = False
    """Zero-order hold: the input is discretised too."""


@config
class AttentionLayer:
    """V2's layer."""

    kind: Literal["attention"] = "attention"
    heads: PositiveInt = 8
    expansion: PositiveFloat = 4.0
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1


@config
class Joint:
    """Readings and noisy answers in one sequence; the defaults are V1 as shipped."""

    kind: Literal["joint"] = "joint"
    depth: NonNegativeInt = 4
    mixer: Annotated[SharedState | AttentionLayer, Discriminator("kind")] = SharedState()
    heads: PositiveInt = 4
    """Of the cross-attention from queries to readings."""
    residual: bool = False
    activation: Literal["relu", "gelu"] = "relu"
    drop_path: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Probability that a sample passes a layer by in training."""


@config
class Local:
    """Read-out of the stem's and the patches' features where the query is."""

    stem: bool = True
    patches: bool = True


@config
class PointHead:
    """One value."""

    kind: Literal["point"] = "point"


@config
class GaussianHead:
    """A value and its standard deviation."""

    kind: Literal["gaussian"] = "gaussian"
    hidden: PositiveInt = 64
    """Of the two layers that read the standard deviation from the decoder's features."""


@config
class Time:
    """How a flow's time enters the network."""

    scale: PositiveFloat = 1000.0
    mlp: bool = True
    how: Literal["add", "adaln"] = "add"


@config
class FlowHead:
    """Posterior samples by flow matching: of a joint decoder, over the answers; of another, over the latents."""

    kind: Literal["flow"] = "flow"
    steps: PositiveInt = 25
    """Of Heun's method, from noise to an answer."""
    samples: PositiveInt = 8
    """A field's value and spread are mean and standard deviation of so many posterior samples."""
    times: Literal["uniform", "logit-normal"] = "uniform"
    path: Literal["linear", "cosine"] = "linear"
    time: Time = Time()
    keeps_state: bool = True
    """False: the solver shows the network fresh noise instead of where it stands, as V1's sampler does."""
    sigmoid: bool = False
    """Of the velocity, as proposed for V1 and V2."""
    self_condition: bool = False
    """The network sees its own last guess of the answer."""
    consistency: NonNegativeFloat = 0.0
    """Weight: guesses of the answer from two times of one path agree."""
    frequency: NonNegativeFloat = 0.0
    """Weight: the guess's error is small in every low frequency (a non-uniform Fourier transform over the queries)."""
    reflow: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of a batch whose noise is paired with the answer that the flow itself gives it (rectified flow)."""
    depth: PositiveInt = 2
    """Attention blocks of the flow over latents."""
    heads: PositiveInt = 4
    head_width: PositiveInt = 16


@config
class NoBase:
    """Nothing: the network answers alone (pure reconstruction)."""

    kind: Literal["none"] = "none"


@config
class Interpolation:
    kind: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    exact: bool = True
    """Asked at the samples' own cell size, the field returns the base alone: at ×1 a picture comes back unchanged."""


@config
class Pod:
    """The best linear guess that training fields teach; fitted when training starts. It knows how sure it is: a gaussian
    head's answer and its own are weighted by their precisions."""

    kind: Literal["pod"] = "pod"
    modes: PositiveInt = 128
    degree: Annotated[int, Ge(2)] = 24
    """Polynomials per axis that hold mean and modes: π per cycle per unit, and ten more."""


Tokenizer = Annotated[Patches | Points, Discriminator("kind")]
Encoder = Annotated[MambaEncoder | TransformerEncoder | PerceiverEncoder, Discriminator("kind")]
Processor = SelfAttention
Decoder = Annotated[Lainr | Scent | Mlp | Composer | Joint, Discriminator("kind")]
Head = Annotated[PointHead | GaussianHead | FlowHead, Discriminator("kind")]
Base = Annotated[NoBase | Interpolation | Pod, Discriminator("kind")]


@config
class Model:
    name: str = "custom"
    signal: Signal = Signal()
    width: PositiveInt = 256
    tokenizer: Tokenizer = Patches()
    encoder: Encoder = MambaEncoder()
    processor: Processor = SelfAttention()
    decoder: Decoder = Lainr()
    local: Local | None = None
    head: Head = PointHead()
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
    loss: Literal["mse", "l1", "head"] = "mse"
    """`head`: the head's own, for one that answers more than a value."""
    optimizer: Optimizer = Optimizer()
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """torch.compile the model: minutes at the start, faster steps where it has a backend."""
    seed: int = 0
    validate_every: PositiveInt = 500
    checkpoint_every: PositiveInt = 500


Family = Literal["simple", "multi_frequency", "radial", "interference", "modulated", "composite"]


@config
class Data:
    """`photos`: those inside the scikit-image and scikit-learn wheels; `folder`: a directory of pictures, or one with
    `train`, `val` and `test` inside; `cifar10`: a directory with the published batches of CIFAR-10."""

    kind: Literal["photos", "folder", "cifar10"] = "photos"
    path: str | None = None
    held_out: PositiveInt | None = None
    """So many of the validation and the test pictures, the first ones; None: all."""


@config
class WaveData:
    """Waves with a formula. `fields`: train on so many, the same ones every time; None: fresh ones for every step."""

    kind: Literal["waves"] = "waves"
    families: Annotated[tuple[Family, ...], MinLen(1)] = ("simple",)
    fields: PositiveInt | None = None


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


@config
class SparseFieldTask:
    """A field from scattered readings: how many, how noisy and where, in training (ranges) and in evaluation (lists)."""

    kind: Literal["sparse-field"] = "sparse-field"
    sensors: tuple[PositiveInt, PositiveInt] = (51, 51)
    noise: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.0)
    """Half of the fields are read without noise, the others with a standard deviation from this range."""
    placement: Literal["random", "grid", "clustered", "any"] = "random"
    lattice: PositiveInt | None = None
    """Training reads and asks different cell centres of a lattice × lattice grid instead of any coordinates."""
    frozen: bool = False
    """A field of a fixed set (data.fields) is always read and asked at the same places."""
    counts: Annotated[tuple[PositiveInt, ...], BeforeValidator(_several)] = (26, 51, 102, 204)
    noises: Annotated[tuple[NonNegativeFloat, ...], BeforeValidator(_several)] = (0.0, 0.05, 0.1)
    size: PositiveInt = 32
    """Evaluation asks a size × size grid."""
    fields: PositiveInt = 64
    """… of so many fixed fields per family."""


AnyData = Annotated[Data | WaveData, Discriminator("kind")]
Task = Annotated[SuperResolutionTask | ReconstructionTask | SparseFieldTask, Discriminator("kind")]


@config
class Recipe:
    """Everything a run is made of."""

    model: Model
    data: AnyData = Data()
    task: Task = SuperResolutionTask()
    train: Train = Train()
