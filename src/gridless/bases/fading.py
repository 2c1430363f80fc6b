"""How an anomaly fades: its autocorrelation by lead, and the error of the answer that knows it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.film import time_axis, time_first, until
from gridless.samples import Samples


@dataclass(frozen=True, eq=False)
class Fading:
    """Of every lead from 0 on, in frames, means over the grid: `correlation` (that of lead 0 is 1) and the standard
    deviation of the `error`."""

    correlation: Float[Tensor, "K C"]
    error: Float[Tensor, "K C"]

    def at(self, lead: Float[Tensor, "B Q"]) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B Q C"]]:
        """Correlation and error at a lead: linear in between (of the error, its square); beyond the longest, the correlation
        falls on as its mean rate until then, and the error grows to what is usual."""
        longest = len(self.correlation) - 1
        within = lead.clamp(max=longest)
        low = within.detach().floor().long().clamp(max=max(longest - 1, 0))
        share = (within - low)[..., None].to(self.correlation.dtype)
        high = (low + 1).clamp(max=longest)
        correlation = torch.lerp(self.correlation[low], self.correlation[high], share)
        squared = self.error.square()
        variance = torch.lerp(squared[low], squared[high], share)
        if longest == 0:
            return correlation, variance.clamp(min=0).sqrt()
        last = self.correlation[-1].clamp(min=0)
        fall = torch.where(last > 0, last, 1.0).clamp(max=1).pow((lead - within)[..., None].to(last) / longest)
        fall = torch.where((lead > longest)[..., None] & (last <= 0), 0.0, fall)
        whole = squared[-1] / (1 - last.square()).clamp(min=1e-3)  # what is usual, by an error of 1 − correlation²
        variance = variance + (whole - squared[-1]) * (1 - fall.square())
        return correlation * fall, variance.sqrt()

    def to(self, device) -> "Fading":
        return Fading(self.correlation.to(device), self.error.to(device))


@dataclass(frozen=True, eq=False)
class FadingFit:
    fading: Fading
    width: Float[Tensor, "P C"]
    """Of every cell: its error over the mean one, of all leads together; 1 where there is none."""


def fitted_fading(films: Sequence[Float[Tensor, "S P C"]], leads: int) -> FadingFit:
    """Of anomalies, NaN where nothing was measured; up to `leads` frames, at most half of the longest film."""
    leads = max(1, min(leads, max(map(len, films)) // 2))
    channels = films[0].shape[-1]
    correlation, error, spread = [torch.ones(channels).double()], [torch.zeros(channels).double()], 0
    for lead in range(1, leads + 1):
        sums = [_products(film[:-lead], film[lead:]) for film in films if len(film) > lead]
        first, both, then, count = (torch.stack(parts).sum(0) for parts in zip(*sums, strict=True))
        rho = (both.sum(0) / _divisor(first.sum(0))).clamp(-1, 1)
        missed = (then - 2 * rho * both + rho.square() * first).clamp(min=0)
        mean = missed.sum(0) / count.sum(0).clamp(min=1)
        correlation.append(rho)
        error.append(mean.sqrt())
        spread = spread + missed / count.clamp(min=1) / _divisor(mean) / leads
    width = torch.as_tensor(spread).sqrt()
    fading = Fading(torch.stack(correlation).float(), torch.stack(error).float())
    return FadingFit(fading, torch.where(width > 0, width, 1.0).float())


def deviations(films: Sequence[Float[Tensor, "S P C"]]) -> Float[Tensor, "P C"]:
    """Of every cell's anomalies; NaN is not measured."""
    square = torch.stack([film.nan_to_num().double().square().sum(0) for film in films]).sum(0)
    number = torch.stack([film.isfinite().double().sum(0) for film in films]).sum(0)
    return (square / number.clamp(min=1)).sqrt().float()


def _products(first: Float[Tensor, "s P C"], then: Float[Tensor, "s P C"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums over pairs that were measured twice: first², first · then, then², and how many."""
    known = first.isfinite() & then.isfinite()
    first, then = (torch.where(known, x, 0).double() for x in (first, then))
    return first.square().sum(0), (first * then).sum(0), then.square().sum(0), known.double().sum(0)


def _divisor(value: Tensor) -> Tensor:
    return torch.where(value > 0, value, 1.0)


@dataclass(frozen=True, eq=False)
class Lead:
    """How long after the last seen moment coordinates lie, in frames of the past films."""

    axis: int
    """Of the coordinates, that is time."""
    latest: Float[Tensor, " B"]
    """In [0, 1]."""
    rate: float
    """Frames in the whole axis."""

    @classmethod
    def of(cls, samples: Samples, latest: Float[Tensor, " B"], step: float) -> "Lead":
        """`step`: from frame to frame of the past films, in the domain's unit of time; negative where nobody knows. Raises
        ValueError for scattered samples where no domain says how long a frame is."""
        axis = time_axis(samples.domain)
        if samples.domain is not None and step > 0:
            rate = abs(samples.domain.axes[axis].length) / step
        elif samples.shape is not None:
            rate = float(samples.shape[axis])
        else:
            raise ValueError(
                "how long a frame is nobody knows: give scattered readings and past films a domain of time"
            )
        return cls(axis, latest, rate)

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q"]:
        """At least 0."""
        return ((coords[..., self.axis].double() - self.latest.double()[:, None]) * self.rate).clamp(min=0)

    def until(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q d"]:
        """The same places, no later than the last seen moment."""
        return until(coords, self.latest, self.axis)

    def place(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q e"]:
        """Where coordinates lie in space."""
        return time_first(coords, self.axis)[..., 1:]

    def to(self, device) -> "Lead":
        return replace(self, latest=self.latest.to(device))
