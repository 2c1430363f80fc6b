"""The seams of a model, as types: the parts that it is built of, and what these need of the model itself.

Encoder, Decoder, Head   what comes in kinds, or is a user's own
Reader                   what a network says at a coordinate (readers.py, mosaic.py, posterior.py)
Network                  what readers and heads need of a model
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config as c
from gridless.network.encoded import Encoded, Tokens
from gridless.protocols import Answer, Base, Draws, Solved
from gridless.samples import Samples

if TYPE_CHECKING:
    from gridless.field import Field
    from gridless.network.flow import LatentVelocity
    from gridless.network.heads import Question, Units
    from gridless.network.readers import NetworkCorrection
    from gridless.network.tokenizers import PatchTokenizer, PointTokenizer
    from gridless.nn.attention import CrossAttention


class Encoder(Protocol):
    @property
    def width(self) -> int:
        """Of the latents."""
        ...

    def __call__(self, tokens: Tokens) -> tuple[Tokens | None, Float[Tensor, "B T D"]]:
        """Latents (None of an encoder that has none) and the tokens as they came out."""
        ...


class Decoder(Protocol):
    @property
    def joint(self) -> bool:
        """Whether an answer depends on the other questions of its call."""
        ...

    @property
    def width(self) -> int:
        """Of the features that it answers."""
        ...

    def prepare(self, latents: Tokens) -> Tokens:
        """What every query reads, once per field."""
        ...

    def __call__(
        self,
        coords: Float[Tensor, "B Q d"],
        latents: Tokens | None,
        local: Float[Tensor, "B Q H"] | None,
        *latents_at: Float[Tensor, "B Q d"],
    ) -> Float[Tensor, "B Q F"]: ...


@runtime_checkable
class AttentionDecoder(Decoder, Protocol):
    """A decoder whose queries attend to the latents."""

    @property
    def attention(self) -> "CrossAttention | None":
        """None where the model has no latents."""
        ...

    def asked(self, coords: Float[Tensor, "B Q d"], latents: Tokens) -> tuple:
        """What the attention takes at `coords`."""
        ...


class Head(Protocol):
    @property
    def has_spread(self) -> bool:
        """Whether its answers know their standard deviation."""
        ...

    def __call__(self, features: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q k"]:
        """The outputs, in standard units."""
        ...

    def answer(
        self,
        base: Answer,
        gate: Float[Tensor, "B #Q 1"] | float,
        output: Float[Tensor, "B Q k"],
        units: "Units",
    ) -> Answer:
        """How the outputs correct the base."""
        ...

    def draws(self, correction: "NetworkCorrection", solved: Solved, n: int, seed: int) -> Draws | None: ...
    def loss(
        self, model: "Network", samples: Samples, question: "Question", kind: str | None = None
    ) -> Float[Tensor, ""]: ...


class Reader(Protocol):
    """Outputs of the head at coordinates in [0, 1], for a cell relative to a sample's."""

    def __call__(
        self, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"], latents_at: Tensor | None = None
    ) -> Float[Tensor, "B Q k"]: ...
    def to(self, network: "Network", device) -> "Reader": ...


class Network(Protocol):
    config: c.Model
    training: bool
    tokenizer: "PatchTokenizer | PointTokenizer"
    decoder: Decoder
    head: Head
    flow: "LatentVelocity | None"
    base: Base

    @property
    def has_spread(self) -> bool: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def frozen_copy(self, device=None) -> "Network": ...

    def units(self, samples: Samples) -> "Units": ...
    def positions(self, samples: Samples, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B e"]: ...
    def solve_base(self, samples: Samples) -> Solved: ...
    def encode(self, samples: Samples) -> "Field": ...
    def reader(self, samples: Samples) -> Reader: ...
    def latent(self, points: Samples) -> Tokens: ...
    def read(self, latents: Tokens) -> Encoded: ...
    def encode_window(
        self, values: Float[Tensor, "B *grid C"], mask: Bool[Tensor, "B *grid"] | None, pad: bool
    ) -> Encoded: ...
    def decode(
        self,
        encoded: Encoded,
        coords: Float[Tensor, "B Q d"],
        cell: Float[Tensor, "B #Q d"],
        latents_at: Float[Tensor, "B Q d"] | None = None,
    ) -> Float[Tensor, "B Q k"]: ...
