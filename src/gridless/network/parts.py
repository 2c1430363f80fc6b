"""What the parts of a network promise one another, and what they need of the network, as types. Whoever brings a part of
their own (`gridless.own`) keeps these.

Each is an `nn.Module`. Its class is called with what the house knows and then with the options of `own(…)`:

    Encoder   cls(signal, width, positions, **options)
    Decoder   cls(signal, width, patch, latents, **options)
    Head      cls(width, channels, **options)
    Base      cls(**options), see `gridless.protocols`
"""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config as c
from gridless.config import Own
from gridless.coords import Lattice
from gridless.domain import Domain
from gridless.field import Field
from gridless.network.encoded import Encoded, Tokens
from gridless.network.flow import LatentVelocity
from gridless.network.frames import Frame
from gridless.network.questions import Question, Units
from gridless.network.tokenizers import PatchTokenizer, PointTokenizer
from gridless.nn.attention import CrossAttention
from gridless.protocols import Answer, Base, Correction, Draws, Solved
from gridless.samples import Samples


class Encoder(Protocol):
    """`signal`: axes, channels and window of what is seen; `width`: of a token. Its option `count` says how many latents a
    whole window has. `positions`: whether the decoder reads where latents lie, so that these places may learn."""

    width: int
    """Of a latent."""

    def __call__(self, tokens: Tokens) -> tuple[Tokens | None, Float[Tensor, "B T D"]]:
        """Latents (None: there are none), and every token in its context, for the local read-out. Tokens that the mask
        hides must change nothing."""
        ...


@runtime_checkable
class SequentialEncoder(Encoder, Protocol):
    """An encoder that can go on where it stopped, for readings that come one after another (`FieldModel.stream`)."""

    missing_for_streams: tuple[str, ...]
    """Options that it would need for that; empty if it can."""

    def advanced(self, readings: Tokens, before: Any | None = None) -> Any:
        """What is kept after these readings too: a dataclass of tensors, as large after many readings as after one, whose
        `counts` (B) are the readings so far."""
        ...

    def latents_after(self, read: Any) -> Tokens:
        """The latents of all that was read: those of the whole sequence at once."""
        ...


class Decoder(Protocol):
    """`width`: of a latent; `patch`: samples along a token's side; `latents`: how many there are (0: none)."""

    width: int
    """Of the features that it gives the head."""
    local_width: int
    """Of the features of the place that it reads."""
    joint: bool
    """Whether an answer depends on the other questions of its call."""

    def prepare(self, latents: Tokens) -> Tokens:
        """What is read of the latents at every question, made once for a field."""
        ...

    def __call__(
        self,
        coords: Float[Tensor, "B Q d"],
        latents: Tokens | None,
        local: Float[Tensor, "B Q L"] | None = None,
        *latents_at: Float[Tensor, "B Q d"],
    ) -> Float[Tensor, "B Q F"]:
        """Features at coordinates (in units of the window; of positions, for scattered readings). `local`: features of the
        place and of the asked cell, where the model has them. `latents_at` is handed on only to a decoder with a method
        `asked`."""
        ...


@runtime_checkable
class AttentionDecoder(Decoder, Protocol):
    """A decoder whose queries attend to the latents."""

    @property
    def attention(self) -> CrossAttention | None:
        """None where the model has no latents."""
        ...

    def asked(self, coords: Float[Tensor, "B Q d"], latents: Tokens) -> tuple:
        """What the attention takes at `coords`."""
        ...


class Head(Protocol):
    """`width`: of the decoder's features; `channels`: of an answer."""

    has_spread: bool

    def __call__(self, features: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q k"]: ...
    def answer(
        self, base: Answer, gate: Float[Tensor, "B #Q 1"] | float, output: Float[Tensor, "B Q k"], units: Units
    ) -> Answer:
        """The base's answer, corrected by the outputs: they are in standard units, times `units.scale` in those of the
        values. With `gate` 0 it must be the base's."""
        ...

    def draws(self, correction: Correction, solved: Solved, n: int, seed: int) -> Draws | None: ...
    def loss(
        self, model: "Network", samples: Samples, question: Question, kind: str | None = None
    ) -> Float[Tensor, ""]:
        """What training makes small; `question.error` and `.mean` leave out what was not measured."""
        ...


class Reader(Protocol):
    """Outputs of the head at coordinates in [0, 1], for a cell relative to a sample's."""

    def __call__(
        self,
        coords: Float[Tensor, "B Q d"],
        cell: Float[Tensor, "B #Q d"],
        latents_at: Tensor | None = None,
        base: Answer | None = None,
    ) -> Float[Tensor, "B Q k"]:
        """`base`: its answer there, in the units of the values, for a network that knows it."""
        ...

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N k"]:
        """The same on all points of a lattice in [0, 1]."""
        ...

    def to(self, network: "Network", device) -> "Reader": ...


class Network(Protocol):
    """What readers and heads need of a model."""

    config: c.Model
    training: bool
    tokenizer: PatchTokenizer | PointTokenizer
    encoder: Encoder
    processor: nn.Module
    decoder: Decoder
    head: Head
    flow: LatentVelocity | None
    base: Base
    known: nn.Module | None
    """What reads the base's answer, where questions know it."""
    domain: Domain | None

    @property
    def has_spread(self) -> bool: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def buffers(self) -> Iterator[Tensor]: ...
    def frozen_copy(self, device=None) -> "Network": ...

    def units(self, samples: Samples) -> Units: ...
    def frame(self, samples: Samples) -> Frame: ...
    def solve_base(self, samples: Samples) -> Solved: ...
    def encode(self, samples: Samples, pad: bool = True, checked: bool = True) -> Field: ...
    def reader(self, samples: Samples, pad: bool = True, solved: Solved | None = None) -> Reader: ...
    def tokens(
        self, points: Samples, solved: Solved | None = None, moment: Float[Tensor, " B"] | None = None
    ) -> Tokens: ...
    def latent(
        self, points: Samples, solved: Solved | None = None, moment: Float[Tensor, " B"] | None = None
    ) -> Tokens: ...
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
        base: Answer | None = None,
    ) -> Float[Tensor, "B Q k"]: ...
    def decode_lattice(
        self, encoded: Encoded, lattice: Lattice, cell: Float[Tensor, "B 1 d"]
    ) -> Float[Tensor, "B N k"]: ...


def build_own(config: Own, promise: type, *args: Any) -> Any:
    """A part of the user's own. Raises ValueError where it lacks what its protocol, `promise`, names."""
    part = config.load()(*args, **config.options)
    promised = [name for name in {**vars(promise).get("__annotations__", {}), **vars(promise)} if name[0] != "_"]
    missing = [name for name in promised if not hasattr(part, name)]
    if missing:
        raise ValueError(
            f"{config.name} lacks {', '.join(missing)}, which a part of this kind must have; see {promise.__name__} in "
            f"{promise.__module__}"
        )
    return part
