"""Readers: what a network says at a coordinate, of samples that were encoded once.

    WindowReader   one window of a grid
    Mosaic         windows of a larger grid (mosaic.py)
    PointReader    scattered readings
    FlowReader     posterior samples of scattered readings, by flow matching (posterior.py)

A reader answers in standard units: (B Q k), what the head makes of the decoder's features.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gridless.coords import Lattice, distinct, sizes
from gridless.network.encoded import Encoded
from gridless.network.frames import Frame
from gridless.network.parts import Network, Reader
from gridless.network.questions import Units
from gridless.protocols import Answer, Draws, Solved, answer_of


@dataclass(frozen=True, eq=False)
class WindowReader:
    """A grid that fits the window."""

    network: Network
    encoded: Encoded
    shape: tuple[int, ...]
    unit: int

    def __call__(
        self, coords: Tensor, cell: Tensor, latents_at: Tensor | None = None, base: Answer | None = None
    ) -> Float[Tensor, "B Q k"]:
        at = None if latents_at is None else self._in_window(latents_at)
        return self.network.decode(self.encoded, self._in_window(coords), cell, at)

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N k"]:
        kind = parameter_type(self.network)
        axes = [(axis * n / self.unit).to(kind) for axis, n in zip(lattice.axes, self.shape, strict=True)]
        return self.network.decode_lattice(self.encoded, Lattice(tuple(axes)), cell)

    def _in_window(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q d"]:
        scale = sizes(self.shape, torch.float64, coords.device) / self.unit
        return (distinct(coords) * scale).to(parameter_type(self.network)).expand(len(coords), -1, -1)

    def to(self, network: Network, device) -> "WindowReader":
        return replace(self, network=network, encoded=self.encoded.to(device))


@dataclass(frozen=True, eq=False)
class PointReader:
    """Scattered readings: every question reads all of them, at positions whose distance means something."""

    network: Network
    encoded: Encoded
    frame: Frame
    units: Units
    """As the network sees the readings."""

    def __call__(
        self, coords: Tensor, cell: Tensor, latents_at: Tensor | None = None, base: Answer | None = None
    ) -> Float[Tensor, "B Q k"]:
        at = None if latents_at is None else self._positions(latents_at)
        known = None if base is None or base.std is None else self.units.standard_answer(base)
        return self.network.decode(self.encoded, self._positions(coords), cell, at, known)

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N k"]:
        return self(lattice.points(len(cell)), cell)

    def _positions(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q e"]:
        return self.frame(coords)

    def to(self, network: Network, device) -> "PointReader":
        parts = (self.encoded.to(device), self.frame.to(device), self.units.to(device))
        return PointReader(network, *parts)


@dataclass(frozen=True, eq=False)
class NetworkCorrection:
    """What a network adds to a solved base: a reader's outputs, made an answer by the head."""

    network: Network
    reader: Reader
    units: Units
    mark: Float[Tensor, " P"] | None
    """Of the network's weights when the field was made."""

    @property
    def spread(self) -> bool:
        return self.network.has_spread

    @property
    def joint(self) -> bool:
        return self.network.decoder.joint

    @property
    def channels(self) -> int:
        return self.network.config.signal.outputs

    def answer(
        self, solved: Solved, coords: Tensor, cell: Tensor | None, ratio: Tensor, latents_at: Tensor | None
    ) -> Answer:
        base = answer_of(solved, coords, cell)
        output = self.reader(coords, self._asked(ratio), latents_at, base)
        answer = self.network.head.answer(base, solved.gate(ratio), output, self.units)
        familiarity = getattr(solved, "familiarity", None)
        return answer if familiarity is None else believed(answer, base, familiarity)

    def on_lattice(
        self, solved: Solved, base: Float[Tensor, "B N C"], lattice: Lattice, ratio: Float[Tensor, "B 1 d"]
    ) -> Float[Tensor, "B N C"]:
        output = self.reader.on_lattice(lattice, self._asked(ratio))
        return self.network.head.answer(Answer(base), solved.gate(ratio), output, self.units).mean

    def _asked(self, ratio: Float[Tensor, "B #Q d"]) -> Float[Tensor, "B #Q d"]:
        """The cell as training showed it."""
        finest = self.network.config.signal.finest_cell
        return ratio if finest is None else ratio.clamp(finest, 1.0)

    def draws(self, solved: Solved, n: int, seed: int) -> Draws | None:
        return self.network.head.draws(self, solved, n, seed)

    def check_fresh(self) -> None:
        check_fresh(self.network, self.mark, "field", "encode the samples again")

    def to(self, device) -> "NetworkCorrection":
        self.check_fresh()  # what is moved has the weights of now
        network = self.network.frozen_copy(device)
        reader = self.reader.to(network, device)
        return NetworkCorrection(network, reader, self.units.to(device), weights_mark(network))


def believed(answer: Answer, base: Answer, familiarity: Float[Tensor, " B"]) -> Answer:
    """The answer as far as the readings are like the fields of training, else the base."""
    share = familiarity[:, None, None].to(base.mean)
    mean = base.mean + share * (answer.mean - base.mean)
    if answer.std is None or base.std is None:
        return Answer(mean, answer.std)
    return Answer(mean, (share * answer.std.square() + (1 - share) * base.std.square()).sqrt())


def check_fresh(network: Network, mark: Tensor | None, what: str, remedy: str) -> None:
    """Raises ValueError if the network is not what `mark` says of it. `what` was made of it: a field, a stream."""
    now = weights_mark(network)
    if mark is not None and (now is None or not torch.equal(now, mark)):
        raise ValueError(f"the model of this {what} was trained on since the {what} was made; {remedy}")


def weights_mark(network: Network) -> Tensor | None:
    """One number of every parameter, and of every buffer, as a base has them: what a step of training changes, also one of
    a fused optimiser, which raises no tensor's version. None while the network trains, when each step makes its own
    fields."""
    if network.training:
        return None
    numbers = [part.detach().flatten()[-1].double() for part in (*network.parameters(), *network.buffers())]
    return torch.stack(numbers).nan_to_num()


def parameter_type(network: Network) -> torch.dtype:
    return next(iter(network.parameters())).dtype
