"""What is asked of fields, and in which units."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless import config as c
from gridless.protocols import Answer, Solved
from gridless.samples import Samples, mapped, moved_parts

Numbers = float | tuple[float, ...] | None

SMALLEST_STD = 1e-4  # that is told apart, in standard units


@dataclass(frozen=True, eq=False)
class Units:
    """What standard units mean for a batch of fields: value = level + scale · standard value, per field and channel."""

    level: Float[Tensor, "#B 1 C"]
    scale: Float[Tensor, "#B 1 C"]

    def standard(self, values: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q C"]:
        """Values of a channel that does not vary become 0."""
        return (values - self.level) / torch.where(self.scale > 0, self.scale, 1.0)

    def standard_answer(self, answer: Answer) -> Answer:
        """The same in standard units."""
        return Answer(self.standard(answer.mean), answer.deviation() / torch.where(self.scale > 0, self.scale, 1.0))

    def select(self, index: slice) -> "Units":
        return self if len(self.level) == 1 else mapped(self, lambda t: t[index])

    def to(self, device) -> "Units":
        return moved_parts(self, device)


def base_features(base: Answer, dtype: torch.dtype) -> Float[Tensor, "B Q 2C"]:
    """What a network sees of a base's answer in standard units: the value and the logarithm of its deviation."""
    std = base.deviation()
    return torch.cat([base.mean, torch.where(std > SMALLEST_STD, std, SMALLEST_STD).log()], -1).to(dtype)


def part(value: Tensor | None, some: slice) -> Tensor | None:
    """Some of what is asked."""
    return None if value is None else value[:, some]


def added(first: Tensor | None, second: Tensor) -> Tensor:
    """Features of a place from two sources."""
    return second if first is None else first + second


def left_out(solved: Solved, units: Units) -> Answer | None:
    """What a base says at each reading without it, in standard units; None of one that cannot leave readings out."""
    answer = getattr(solved, "left_out", None)
    return None if answer is None else units.standard_answer(answer())


def units_seen(signal: c.Signal, samples: Samples) -> Units:
    """Of what a network sees: the model's own level and deviation, or those of each field."""
    if signal.mean is not None:
        return _given(signal.mean, signal.std, signal.channels, samples.values)
    level, scale = samples.standard()
    return Units(level[:, None].to(samples.values.dtype), scale[:, None].to(samples.values.dtype))


def units_answered(signal: c.Signal, samples: Samples) -> Units:
    """Of what it answers: those of what it sees, unless that is another quantity."""
    if signal.out_mean is not None:
        return _given(signal.out_mean, signal.out_std, signal.outputs, samples.values)
    if signal.translated:
        return _given(0.0, 1.0, signal.outputs, samples.values)
    return units_seen(signal, samples)


def _given(level: Numbers, scale: Numbers, channels: int, values: Tensor) -> Units:
    parts = (torch.as_tensor(x, dtype=values.dtype, device=values.device) for x in (level, scale))
    return Units(*(x.expand(1, 1, channels) for x in parts))


@dataclass(frozen=True, eq=False)
class Question:
    """What training asks of fields, and the truth; `measured` is False where nobody knows it."""

    coords: Float[Tensor, "B Q d"]
    cell: Float[Tensor, "B #Q d"] | None
    target: Float[Tensor, "B Q C"]
    latents_at: Float[Tensor, "B Q d"] | None = None
    measured: Bool[Tensor, "B Q"] | None = None

    def select(self, index: slice) -> "Question":
        return mapped(self, lambda t: t[index])

    def pixel(self) -> Float[Tensor, "B #Q d"]:
        """The asked cell; that of a point, zero, where none is asked."""
        return torch.zeros_like(self.coords[:, :1]) if self.cell is None else self.cell

    def error(self, value: Float[Tensor, "B Q C"], target: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q C"]:
        """value − target; zero where the target was not measured, so that a NaN there reaches no gradient."""
        if value.shape != target.shape:
            raise ValueError(
                f"the answer has shape {tuple(value.shape)}, the target {tuple(target.shape)}; set signal.out_channels to "
                "the channels that are asked"
            )
        error = value - target
        return error if self.measured is None else torch.where(self.measured[..., None], error, 0.0)

    def mean(self, loss: Float[Tensor, "B Q C"]) -> Float[Tensor, ""]:
        """Over what was measured."""
        if self.measured is None:
            return loss.mean()
        weight = self.measured[..., None].to(loss.dtype)
        return (loss * weight).sum() / (weight.sum() * loss.shape[-1]).clamp(min=1)
