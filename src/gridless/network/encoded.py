"""What the network makes of samples: values that flow one way and never change.

Tokens       vectors with positions                   what a tokenizer makes of samples, and the latents
FeatureGrid  features on a regular grid                what is read where the query is
Encoded      what one window became
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Bool, Float
from torch import Tensor

from gridless.samples import joined, mapped, moved_parts


@dataclass(frozen=True, eq=False)
class Tokens:
    """A set of vectors with positions (in units of the window); `mask` is False on padding."""

    x: Float[Tensor, "B T D"]
    pos: Float[Tensor, "B T d"]
    mask: Bool[Tensor, "B T"] | None = None

    def to(self, device) -> "Tokens":
        """The same on another device."""
        return moved_parts(self, device)


@dataclass(frozen=True, eq=False)
class FeatureGrid:
    """Features on a regular grid of nodes at (i + ½) · pitch, in units of the window; read at a query by `local.py`."""

    x: Float[Tensor, "B *grid D"]
    pitch: float
    mask: Bool[Tensor, "B *grid"] | None = None

    def to(self, device) -> "FeatureGrid":
        """The same on another device."""
        return moved_parts(self, device)


@dataclass(frozen=True, eq=False)
class Encoded:
    """What one window became: latents for the whole, features at the samples for the place."""

    latents: Tokens | None
    local: FeatureGrid | None = None

    def parts(self) -> dict[str, Tokens | FeatureGrid]:
        """What there is of latents and local features, by name."""
        return {name: part for name, part in vars(self).items() if part is not None}

    def to(self, device) -> "Encoded":
        """The same on another device."""
        return moved_parts(self, device)

    def select(self, index: Tensor | slice) -> "Encoded":
        """The samples `index` (B) of the batch."""
        return mapped(self, lambda t: t[index])

    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(t.nbytes for part in self.parts().values() for t in vars(part).values() if isinstance(t, Tensor))

    @staticmethod
    def stack(encoded: Sequence["Encoded"]) -> "Encoded":
        """Batches behind one another."""
        first = encoded[0]
        if len(encoded) == 1:
            return first
        return replace(first, **{name: joined([getattr(e, name) for e in encoded]) for name in first.parts()})
