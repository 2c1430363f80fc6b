"""A model: one of each part."""

from gridless.config.bases import Base, NoBase
from gridless.config.decoders import Decoder, Lainr, Local
from gridless.config.domain import Domain
from gridless.config.encoders import Encoder, MambaEncoder
from gridless.config.film import Film
from gridless.config.frozen import config
from gridless.config.heads import Head, PointHead
from gridless.config.numbers import Count, Positive
from gridless.config.processors import Processor, SelfAttention
from gridless.config.signal import Signal
from gridless.config.tokenizers import Patches, Tokenizer


@config
class Model:
    """All of a model: its parts, and the signal that they see."""

    name: str = "custom"
    signal: Signal = Signal()
    width: Count = 256
    tokenizer: Tokenizer = Patches()
    encoder: Encoder = MambaEncoder()
    processor: Processor = SelfAttention()
    decoder: Decoder = Lainr()
    local: Local | None = None
    head: Head = PointHead()
    base: Base = NoBase()
    film: Film | None = None
    """Of a model of films; None: no axis is told from the others."""
    domain: Domain | None = None
    """Of the fields that training saw; samples without one of their own lie there."""
    step: tuple[Positive, ...] | None = None
    """From sample to sample along every axis, in the domain's units: grids of another step are refused."""
