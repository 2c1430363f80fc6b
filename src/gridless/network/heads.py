"""From features at a coordinate to an answer. A head owns its output, how that corrects the base, and its loss.

`gaussian` follows "faithful" heteroscedastic regression (Stirn et al. 2023, arXiv 2212.09184): the value learns by its
squared error alone, the standard deviation by the likelihood, and neither its gradient nor the residual's reaches the
features or the value. So the value is as good as without a spread, and the loss is stable.

Outputs are in standard units (of the field's own deviation), and so are losses: data in kelvin train as data in [0, 1] do.
"""

from dataclasses import dataclass
from math import expm1, log, pi, sqrt

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.network.parts import Network
from gridless.network.questions import Question, Units
from gridless.protocols import Answer, Correction, Draws, Solved, answer_of
from gridless.samples import Samples

SMALLEST = 1e-3  # of a standard deviation, in standard units
SMALLEST_ERROR = 1e-4  # squared, in standard units, that a field is weighed by
FIELDS_WITH_BASE = 8  # of a batch teach how sure the network is beside its base, which costs more than the network


class PointHead(nn.Module):
    """One value per channel. Starts at zero: an untrained field is its base."""

    has_spread = False

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(width, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q C"]:
        return self.linear(features)

    def answer(
        self, base: Answer, gate: Float[Tensor, "B #Q 1"] | float, output: Float[Tensor, "B Q C"], units: Units
    ) -> Answer:
        return Answer(base.mean + (gate * units.scale * output).to(base.mean.dtype), base.std)

    def draws(self, correction: Correction, solved: Solved, n: int, seed: int) -> Draws | None:
        """The base's posterior samples, moved by what the network adds; None of a base that has none."""
        draws = solved.draws(n, seed)
        return None if draws is None else CorrectedDraws(draws, solved, correction)

    def loss(self, model: Network, samples: Samples, question: Question, kind: str | None = None) -> Float[Tensor, ""]:
        """The mean squared error in standard units (`l1`: absolute; `relative`: over the mean square of the field's
        values; `skill`: over the base's)."""
        units = model.units(samples)
        field = model.encode(samples, checked=False)
        value = field(question.coords, question.cell, latents_at=question.latents_at)
        target = units.standard(question.target).float()
        error = question.error(units.standard(value).float(), target)
        if kind in ("relative", "skill"):
            real = target
            if kind == "skill":
                with torch.no_grad():
                    base = units.standard(field.solved(question.coords, question.cell)).float()
                real = question.error(base, target)
            elif question.measured is not None:
                real = torch.where(question.measured[..., None], target, 0.0)
            size = real.square().sum((1, 2)).clamp(min=SMALLEST_ERROR * real[0].numel())
            return (error.square().sum((1, 2)) / size).mean()
        return question.mean(error.abs() if kind == "l1" else error.square())


class GaussianHead(PointHead):
    """Values, and behind them their standard deviations. Beside a base that knows its own spread, `residual` corrects the
    base's value by so many of its deviations and multiplies them, starting at the base itself: where the base is sure,
    little is corrected. `precision` takes both answers with the weight of their precision, and starts at zero and one."""

    has_spread = True

    def __init__(self, head: config.GaussianHead, width: int, channels: int):
        super().__init__(width, channels)
        self.combine, self.relative = head.combine, head.relative
        first, last = nn.Linear(width, head.hidden), nn.Linear(head.hidden, channels)
        self.spread = nn.Sequential(first, nn.GELU(), last)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, log(expm1(1 - SMALLEST)))  # the deviation starts at one

    def forward(self, features: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q 2C"]:
        read = features.detach() if self.training else features  # a field's spread has a true gradient
        std = SMALLEST + F.softplus(_exact(self.spread(read)))
        return torch.cat([_exact(self.linear(features)), std], -1)

    def answer(
        self, base: Answer, gate: Float[Tensor, "B #Q 1"] | float, output: Float[Tensor, "B Q 2C"], units: Units
    ) -> Answer:
        value, std = output.to(base.mean.dtype).chunk(2, -1)
        if base.std is not None and self.combine == "precision":
            return weighted(Answer(units.level + units.scale * value, units.scale * std), base)
        spread = units.scale if base.std is None else base.std
        return Answer(base.mean + gate * spread * value, spread * std)

    def loss(self, model: Network, samples: Samples, question: Question, kind: str | None = None) -> Float[Tensor, ""]:
        if kind is not None:
            raise ValueError(f"train.loss {kind!r} would never train the spread of head.kind 'gaussian'; leave it out")
        units = model.units(samples)
        target = units.standard(question.target).float()
        if self.combine == "precision" and getattr(model.base, "has_spread", False):
            return self._precision_loss(model, samples, question, units, target)
        if self.relative:
            return self._relative_loss(model, samples, question, units, target)
        field = model.encode(samples, checked=False)
        answer = units.standard_answer(field.answer(question.coords, question.cell, question.latents_at))
        error, std = question.error(answer.mean.float(), target), answer.deviation().float()
        return question.mean(0.5 * error.square() + negative_log_likelihood(error.detach(), std))

    def _relative_loss(
        self, model: Network, samples: Samples, question: Question, units: Units, target: Tensor
    ) -> Float[Tensor, ""]:
        """Squared error, and CRPS, over the base's mean squared error in the same field (half of it as the base expects it).
        Fields whose readings do not vary have no unit to err in and do not count."""
        solved = model.solve_base(samples)
        base = answer_of(solved, question.coords, question.cell)
        output = model.reader(samples, solved=solved)(question.coords, question.pixel(), question.latents_at, base)
        answer = units.standard_answer(self.answer(base, solved.gate(question.pixel()), output, units))
        with torch.no_grad():
            known = units.standard_answer(base)
            missed = question.error(known.mean.float(), target).square() + known.deviation().float().square()
            scale = (0.5 * missed.mean(1, keepdim=True)).clamp(min=SMALLEST_ERROR).sqrt()
            scale = torch.where(units.scale > 0, scale, torch.inf)
        error, std = question.error(answer.mean.float(), target) / scale, answer.deviation().float() / scale
        return question.mean(0.5 * error.square() + crps(error.detach(), std))

    def _precision_loss(
        self, model: Network, samples: Samples, question: Question, units: Units, target: Tensor
    ) -> Float[Tensor, ""]:
        """The value learns alone; its deviation by the likelihood of both answers together, over a part of the batch."""
        output = model.reader(samples)(question.coords, question.pixel(), question.latents_at)
        mean, std = output.chunk(2, -1)
        some = slice(FIELDS_WITH_BASE)
        part, few = question.select(some), units.select(some)
        solved = model.solve_base(samples.select(some))
        scale = torch.where(few.scale > 0, few.scale, 1.0)
        known = Answer(solved(part.coords, part.cell), solved.std(part.coords, part.cell))
        base = Answer(few.standard(known.mean).to(mean.dtype), (known.deviation() / scale).to(mean.dtype))
        both = weighted(Answer(mean[some].detach(), std[some]), base)
        squared = question.mean(0.5 * question.error(mean, target).square())
        return squared + part.mean(negative_log_likelihood(part.error(both.mean, target[some]), both.deviation()))


def _exact(x: Tensor) -> Tensor:
    """Out of autocast's half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def negative_log_likelihood(error: Float[Tensor, "B Q C"], std: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q C"]:
    """Of errors that are normal with this deviation, without its constant."""
    std = torch.where(std > SMALLEST**2, std, SMALLEST**2)
    return 0.5 * (error / std).square() + std.log()


def crps(error: Float[Tensor, "B Q C"], std: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q C"]:
    """Continuous ranked probability score of normal answers (Gneiting and Raftery, 2007, equation 21); a proper score that
    grows with the error, not with its square."""
    z = error / torch.where(std > SMALLEST**2, std, SMALLEST**2)
    density, share = torch.exp(-0.5 * z.square()) / sqrt(2 * pi), 0.5 * (1 + torch.erf(z / sqrt(2)))
    return std * (z * (2 * share - 1) + 2 * density - 1 / sqrt(pi))


def weighted(first: Answer, second: Answer) -> Answer:
    """Two answers as one, each with the weight of its precision, 1 / std²; the second where both are certain."""
    std, other = first.deviation(), second.deviation()
    variance = std.square() + other.square()
    variance = torch.where(variance > 0, variance, 1.0)
    share = other.square() / variance
    return Answer(second.mean + share * (first.mean - second.mean), std * other / variance.sqrt())


@dataclass(frozen=True, eq=False)
class CorrectedDraws:
    """Posterior samples of the base, moved and stretched to the mean and the deviation of the corrected answer."""

    draws: Draws
    solved: Solved
    correction: Correction

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]:
        ratio = coords.new_zeros(len(coords), 1, coords.shape[-1])
        answer = self.correction.answer(self.solved, coords, None, ratio, None)
        base = Answer(self.solved(coords), self.solved.std(coords))
        mean, std = base.mean, base.deviation()
        stretch = answer.deviation() / std.clamp(min=torch.finfo(std.dtype).tiny)
        return answer.mean[:, None] + (self.draws(coords) - mean[:, None]) * stretch[:, None]
