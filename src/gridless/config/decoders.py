"""Latents and coordinates to features at the coordinates, and what may be read locally beside them."""

from dataclasses import field
from typing import Annotated, Literal

from annotated_types import Ge, Lt, MinLen
from pydantic import Discriminator

from gridless.config.attention import Attention
from gridless.config.fourier import Band, Gaussian
from gridless.config.frozen import config
from gridless.config.numbers import Count, Natural, Positive
from gridless.config.own import Own

Place = Literal["bands", "modulate", "chain", "out"]
"""The layers of LAINR's decoder that residual blocks may stand behind."""


@config
class Block:
    """Residual blocks after each linear layer of a decoder; the ingredients one by one."""

    depth: Natural = 0
    depths: dict[Place, Natural] = field(default_factory=dict)
    """Another depth after the layers of these names."""
    expansion: Positive = 1.0
    gated: bool = False
    """GEGLU instead of a ReLU between the two layers."""
    norm: bool = False
    """Normalised before; then the sum is not rectified after."""
    joint: bool = False
    """Attention among the queries before it: an answer then depends on the other questions."""


@config
class Lainr:
    """Modulations read from the latents by attention, in several bands of frequencies."""

    kind: Literal["lainr"] = "lainr"
    hidden: Count = 256
    attention: Attention = Attention()
    query: Band = Band()
    bands: tuple[Band, ...] = (Band(),)
    """One scale each, in the order of the chain."""
    widths: tuple[Count, ...] | None = None
    """Width of each scale; None: `hidden` everywhere."""
    block: Block = Block()
    skip: bool = False
    """Each scale's encoding reaches the output past the network, through one linear layer."""
    linear: bool = False
    """So does what was read of the latents."""


@config
class Calibration:
    """What answers do among themselves before the head: `queries` in groups of `size`, so that an answer depends on the
    other questions; or each reads `size` fixed `anchors` and none of the others."""

    kind: Literal["queries", "anchors"] = "queries"
    size: Count = 64
    heads: Count = 4
    head_width: Count = 16


@config
class Scent:
    """Random Fourier queries, cross-attention, gated feed-forwards."""

    kind: Literal["scent"] = "scent"
    hidden: Count = 512
    attention: Attention = Attention()
    fourier: Gaussian = Gaussian()
    depth: Natural = 3
    expansion: Positive = 4.0
    widths: tuple[Count, ...] | None = None
    """Width of each of the `depth` blocks; None: `hidden` everywhere."""
    skip: bool = True
    joint: bool = False
    """Attention among the queries in every block: an answer then depends on the other questions."""
    calibration: Calibration | None = None


@config
class Mlp:
    """An MLP of the coordinate and the latents' mean."""

    kind: Literal["mlp"] = "mlp"
    hidden: Count = 256
    depth: Count = 4
    band: Band = Band()


@config
class Composer:
    """An MLP whose layers `generated` are written by the latents: `columns` (Trans-INR) or `pattern` (IPC)."""

    kind: Literal["composer"] = "composer"
    hidden: Count = 256
    depth: Count = 4
    generated: Annotated[tuple[Natural, ...], MinLen(1)] = (0, 1, 2, 3)
    rule: Literal["columns", "pattern"] = "columns"
    band: Band = Band(count=32)


@config
class SharedState:
    """V1's layer: a small linear state for the whole sequence."""

    kind: Literal["shared-state"] = "shared-state"
    state: Count = 8
    dt: Literal["1/N", "fixed", "learned"] = "1/N"
    hold: bool = False
    """Zero-order hold: the input is discretised too."""


@config
class AttentionLayer:
    """V2's layer."""

    kind: Literal["attention"] = "attention"
    heads: Count = 8
    expansion: Positive = 4.0
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1


@config
class Joint:
    """Readings and noisy answers in one sequence; the defaults are V1 as shipped."""

    kind: Literal["joint"] = "joint"
    depth: Natural = 4
    mixer: Annotated[SharedState | AttentionLayer, Discriminator("kind")] = SharedState()
    heads: Count = 4
    """Of the cross-attention from queries to readings."""
    residual: bool = False
    activation: Literal["relu", "gelu"] = "relu"
    drop_path: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Probability that a sample passes a layer by in training."""


@config
class Direct:
    """No network after the local read-out: its features are what the head reads. All that depends on the question is then
    a few waves, which a grid of questions shares along its axes."""

    kind: Literal["direct"] = "direct"
    hidden: Count = 64
    """Waves of the read-out."""


@config
class RelativeDecoder:
    """Questions that read scattered readings `depth` times, by differences of places alone."""

    kind: Literal["relative"] = "relative"
    hidden: Count = 128
    depth: Count = 3
    heads: Count = 8
    head_width: Count = 16
    expansion: Positive = 2.0


Decoder = Annotated[Direct | Lainr | Scent | Mlp | Composer | Joint | RelativeDecoder | Own, Discriminator("kind")]


@config
class Local:
    """Read-out of the stem's and the patches' features where the query is."""

    stem: bool = True
    patches: bool = True
