"""Damped persistence: what departs from the usual was seen last, and fades.

Beyond the last seen frame the answer is what is usual there and then, and the last anomaly times its autocorrelation at that
lead, which past films say frame by frame of lead; so do they how far such an answer lay from the truth. Between seen frames
it is `Persistence`, as unsure as a frame's change allows; at a hole, as the anomalies vary. Unfitted it is persistence, as
unsure as the readings vary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from jaxtyping import Float
from torch import Tensor

from gridless import config
from gridless.bases.fading import Fading, Lead, deviations, fitted_fading
from gridless.bases.past_films import PastFilms
from gridless.bases.persistence import Persistence, SolvedLatest, SolvedPersistence
from gridless.bases.sized import SizedBuffers
from gridless.bases.spatial import GridNodes
from gridless.bases.usual import SolvedUsual, Usual
from gridless.data.sources import Source
from gridless.field import Field
from gridless.samples import Samples

CERTAIN = 1e-3  # of the error of one frame of lead: no answer is surer, a seen frame neither


class DampedPersistence(SizedBuffers):
    """Buffers of the grid's size have it once the base is fitted or loaded."""

    name = "damped-persistence"
    has_spread = True
    correlation: Tensor
    error: Tensor
    width: Tensor
    deviation: Tensor

    def __init__(self, damped: config.DampedPersistence, signal: config.Signal):
        super().__init__()
        if signal.axes < 2:
            raise ValueError(
                f"base.kind {damped.kind!r} needs an axis of space beside time, signal.axes is {signal.axes}"
            )
        self.config, self.axes, self.channels = damped, signal.axes, signal.channels
        self.persistence = Persistence(damped.space)
        self.usual = Usual(damped.usual, signal.axes - 1, signal.channels)
        self.register_buffer("correlation", torch.ones(1, signal.channels))
        self.register_buffer("error", torch.zeros(1, signal.channels))
        self.register_buffer("width", torch.ones(1, signal.channels))
        self.register_buffer("deviation", torch.ones(1, signal.channels))

    @property
    def needs_fit(self) -> bool:
        """Whether training has to fit it first."""
        return not self.usual.fitted

    def fit(self, data: Sequence | Source) -> dict[str, float | int]:
        """Fitted to films (signals, arrays or Samples on one grid, time among the axes); NaN is not measured. Says how many
        frames there were and how long it took. Raises ValueError for films of another kind, and without times where
        base.usual is of the year or day."""
        begun = perf_counter()
        past = PastFilms.of(data, self.axes, self.channels)
        self.usual.fit(past)
        anomalies = self.usual.anomalies(past)
        self.learn(anomalies, anomalies)
        return {"base_frames": past.frames, "base_seconds": round(perf_counter() - begun, 3)}

    def learn(self, fading: Sequence[Float[Tensor, "S P C"]], anomalies: Sequence[Float[Tensor, "S P C"]]) -> None:
        """How what fades does, and how far anomalies lie from the usual, which is known."""
        fit = fitted_fading(fading, self.config.leads)
        device = self.correlation.device
        self.correlation, self.error = fit.fading.correlation.to(device), fit.fading.error.to(device)
        for name, value in (("width", fit.width), ("deviation", deviations(anomalies))):
            if self.config.usual == "level":  # knows no place
                known = self.usual.inside.flatten().cpu()
                value = value[known].square().mean(0, keepdim=True).sqrt().expand(len(known), -1)
            setattr(self, name, self.usual.everywhere(value.to(device)).contiguous())

    def solve(self, samples: Samples) -> "SolvedDamped":
        """Raises ValueError for other axes, channels or domains, and without times where base.usual is of the year or
        day."""
        if samples.axes != self.axes or samples.channels != self.channels:
            raise ValueError(
                f"this base has {self.axes} axes and {self.channels} channels, got samples with {samples.axes} and "
                f"{samples.channels}"
            )
        fading, spread = (
            Fading(self.correlation.double(), self.error.double()),
            torch.cat([self.width, self.deviation], -1),
        )
        if not self.usual.fitted:
            doubt = samples.standard()[1].detach()
            seen = self.persistence.solve(samples)
            return SolvedDamped(seen, None, None, fading, None, spread, doubt)
        seen = self.persistence.solve(samples)
        lead = Lead.of(samples, seen.latest, float(self.usual.step))
        return SolvedDamped(seen, self.usual.solve(samples), lead, fading, self.usual.nodes, spread, None)

    def encode(self, samples: Samples) -> Field:
        """As a baseline: samples in, field out, and how sure it is."""
        return Field(samples, self.solve(samples))


@dataclass(frozen=True, eq=False)
class SolvedDamped:
    """Differentiable in the coordinates and in the values."""

    seen: SolvedPersistence | SolvedLatest
    usual: SolvedUsual | None
    lead: Lead | None
    """None of a base that was not fitted."""
    fading: Fading
    nodes: GridNodes | None
    cells: Float[Tensor, "P 2C"]
    """At the cells of the past films: their error over the mean one, and the deviation of their anomalies."""
    doubt: Float[Tensor, "B C"] | None
    """The deviation of every answer of a base that was not fitted."""

    spread = True
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        seen = self.seen(coords, cell)
        if self.usual is None or self.lead is None:
            return seen
        then, last = self.usual(coords).to(seen), self.usual(self.lead.until(coords)).to(seen)
        correlation = self.fading.at(self.lead(coords))[0].to(seen)
        return seen + (then - last) - (1 - correlation) * (seen - last)

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        """By the error of past answers at that lead."""
        dtype = coords.dtype
        if self.lead is None or self.nodes is None or self.doubt is not None:
            assert self.doubt is not None, "a fitted base has a lead"
            return self.doubt[:, None].expand(-1, coords.shape[1], -1)
        correlation, error = self.fading.at(self.lead(coords))
        width, deviation = self.nodes.evaluate(self.lead.place(coords), self.cells).chunk(2, -1)
        change = self.fading.error[:2][-1] * width
        seen = self.seen.variance(self.lead.until(coords), change.square(), deviation.square())
        variance = (error * width).square() + correlation.square() * seen + (CERTAIN * change).square()
        return torch.where(variance > 0, variance, 1.0).sqrt().where(variance > 0, 0.0).to(dtype)

    def draws(self, n: int, seed: int) -> None:
        """None: errors are known one by one, not as functions."""
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedDamped":
        held = {name: part.to(device) for name, part in vars(self).items() if part is not None}
        return replace(self, **held)
