"""Tokens to latents: Mamba, transformer or perceiver."""

from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import Discriminator

from gridless.config.frozen import config
from gridless.config.numbers import Count, Natural, Positive
from gridless.config.own import Own


@config
class PositionTokens:
    """Learnable position tokens and where they enter the sequence."""

    count: Natural = 256
    placement: Literal["equidistant", "middle", "group", "append"] = "equidistant"
    group: Count = 1
    init: Literal["normal", "sinusoidal"] = "normal"
    std: Positive = 1.0
    content: bool = False
    """A token starts with a linear map of the nearest patch, beside its own vector; the layers add the rest."""
    read: Literal["tokens", "all"] = "tokens"
    """The latents are the outputs at the position tokens, or at all places of the sequence."""


@config
class Ssm:
    """The selective state space layer (Mamba), in its authors' terms."""

    state: Count = 16
    expand: Count = 2
    conv: Count = 4
    merge: Literal["average", "concat"] = "average"
    direction: Literal["both", "forward"] = "both"
    """`forward`, with `tokens.placement = "append"`: readings may come one after another (`FieldModel.stream`)."""
    gap: Positive | None = None
    """A step is as long as the way from the token before, in multiples of this distance; None: as the token says."""


@config
class MambaEncoder:
    """A Mamba over tokens with learnable position tokens among them."""

    kind: Literal["mamba"] = "mamba"
    depth: Natural = 6
    expansion: Positive = 4.0
    ssm: Ssm = Ssm()
    tokens: PositionTokens = PositionTokens()
    order: Literal["given", "morton", "hilbert"] = "given"
    """The sequence: as the tokens come, with `placement`; or all items along a space-filling curve, for scattered points."""
    final: Literal["residual-norm", "last-mlp"] = "residual-norm"
    """`last-mlp` drops the residual stream, as the published code does."""


@config
class RelativeEncoder:
    """Attention among scattered readings that sees differences of places alone."""

    kind: Literal["relative"] = "relative"
    count: Count | None = None
    """So many of the readings, strewn evenly and drawn anew in every step of training, read all of them and are the latents;
    None: every reading."""
    most: Count = 2048
    """Readings of a field beyond which the base answers alone, where every reading reads all others."""
    depth: Natural = 6
    heads: Count = 8
    head_width: Count = 16
    expansion: Positive = 2.0

    def __post_init__(self):
        if self.count is not None and self.depth < 1:
            raise ValueError(
                f"encoder.count {self.count} readings read all others in the first layer; set encoder.depth"
            )


@config
class TransformerEncoder:
    """A transformer over tokens with learnable tokens behind them."""

    kind: Literal["transformer"] = "transformer"
    depth: Natural = 6
    heads: Count = 8
    head_width: Count = 64
    expansion: Positive = 4.0
    gated: bool = True
    """GEGLU feed-forwards; false: two linear layers with a GELU between them."""
    tokens: PositionTokens = PositionTokens()


@config
class GroupContext:
    """Before the latents read them, tokens read one another in groups of `size`: other ones in every layer, drawn at random
    in training, else the same for the same readings."""

    kind: Literal["groups"] = "groups"
    size: Count = 64
    depth: Count = 2
    heads: Count = 4
    head_width: Count = 16
    expansion: Positive = 2.0


@config
class MambaContext:
    """… or as a sequence along a space-filling curve."""

    kind: Literal["mamba"] = "mamba"
    depth: Count = 2
    expansion: Positive = 2.0
    ssm: Ssm = Ssm()


@config
class PerceiverEncoder:
    """A cascade of latents, one stage for each of `widths`."""

    kind: Literal["perceiver"] = "perceiver"
    count: Count = 256
    widths: Annotated[tuple[Count, ...], MinLen(1)] = (256, 384, 512)
    cross_heads: Count = 4
    heads: Count = 8
    head_width: Count = 128
    expansion: Positive = 4.0
    frozen: bool = False
    """The latents' sinusoidal start does not learn, as in SCENT's reference code."""
    context: Annotated[GroupContext | MambaContext, Discriminator("kind")] | None = None


@config
class NoEncoder:
    """No tokens and no latents: what is answered is read at the samples around the question alone."""

    kind: Literal["none"] = "none"


Encoder = Annotated[
    MambaEncoder | TransformerEncoder | PerceiverEncoder | RelativeEncoder | NoEncoder | Own, Discriminator("kind")
]
