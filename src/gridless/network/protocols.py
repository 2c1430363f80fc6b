"""What readers and heads need of a model, and what a reader is, as types. What the parts of a model promise: `parts.py`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config as c
from gridless.network.encoded import Encoded, Tokens
from gridless.protocols import Base, Solved
from gridless.samples import Samples

if TYPE_CHECKING:
    from gridless.field import Field
    from gridless.network.flow import LatentVelocity
    from gridless.network.heads import Units
    from gridless.network.parts import Decoder, Head
    from gridless.network.tokenizers import PatchTokenizer, PointTokenizer


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
    decoder: "Decoder"
    head: "Head"
    flow: "LatentVelocity | None"
    base: Base

    @property
    def has_spread(self) -> bool: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def buffers(self) -> Iterator[Tensor]: ...
    def frozen_copy(self, device=None) -> "Network": ...

    def units(self, samples: Samples) -> "Units": ...
    def positions(self, samples: Samples, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B e"]: ...
    def solve_base(self, samples: Samples) -> Solved: ...
    def encode(self, samples: Samples, pad: bool = True, checked: bool = True) -> "Field": ...
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
