"""The linear law of the leading modes of anomalies, and how many of them films that were left out ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gridless.bases.fading import fitted_fading

FEWEST = 4  # frames for every mode
RIDGE = 1e-6  # of the mean variance of a mode, on the covariance that is inverted


@dataclass(frozen=True, eq=False)
class LinearLaw:
    """`patterns` in units of the values; `propagator` takes a state `lag` frames on; `covariance` of the states."""

    patterns: Float[Tensor, "P C M"]
    propagator: Float[Tensor, "M M"]
    covariance: Float[Tensor, "M M"]
    lag: int
    projection: Float[Tensor, "P C M"] | None = None
    """What makes a state of the anomalies of a frame that was measured everywhere."""

    def states(self, film: Float[Tensor, "S P C"]) -> Float[Tensor, "S M"]:
        """Of anomalies at every cell; NaN counts as usual."""
        assert self.projection is not None, "a law that was fitted can project"
        return film.nan_to_num().double().flatten(1) @ self.projection.flatten(0, 1)

    def rest(self, film: Float[Tensor, "S P C"]) -> Float[Tensor, "S P C"]:
        """What the patterns leave of anomalies."""
        made = self.states(film) @ self.patterns.flatten(0, 1).mT
        return film - made.unflatten(1, film.shape[1:]).to(film)

    def modes(self) -> tuple[Complex[Tensor, " M"], Complex[Tensor, "M M"]]:
        """Eigenvalues of the propagator of one frame, none above 1, and its eigenvectors."""
        values, vectors = torch.linalg.eig(self.propagator)
        return (values / values.abs().clamp(min=1)).pow(1 / self.lag), vectors

    def power(self, lead: float) -> Float[Tensor, "M M"]:
        """The propagator of a lead in frames."""
        values, vectors = self.modes()
        return (vectors * values.pow(lead) @ torch.linalg.inv(vectors)).real

    def state(
        self,
        patterns: Float[Tensor, "1 N C M"],
        anomaly: Float[Tensor, "B N C"],
        measured: Float[Tensor, "B N"],
        noise: Float[Tensor, " C"],
    ) -> Float[Tensor, "B M"]:
        """The likeliest state of anomalies of some cells, whose rest has the variance `noise`."""
        precision = measured[..., None] / torch.where(noise > 0, noise, noise.max().clamp(min=1e-12))
        normal = torch.einsum("bnc,ncm,nck->bmk", precision, patterns[0], patterns[0])
        right = torch.einsum("bnc,ncm->bm", precision * anomaly, patterns[0])
        size = self.covariance.diagonal().mean()
        prior = torch.linalg.inv(self.covariance + RIDGE * size * torch.eye(len(self.covariance)).to(self.covariance))
        return torch.linalg.solve(normal + prior, right[..., None])[..., 0]


def law_of(films: Sequence[Float[Tensor, "S P C"]], area: Float[Tensor, " P"], most: int, lag: int) -> LinearLaw:
    """That of the leading modes, `most` of them or as many as there are, by what they became `lag` frames later. Of none:
    one that is nothing."""
    if most == 0:
        one, none = torch.ones(1, 1, dtype=torch.float64), torch.zeros(*films[0].shape[1:], 1, dtype=torch.float64)
        return LinearLaw(none, 0 * one, one, lag, none)
    scale = torch.cat([film.flatten(0, 1) for film in films]).double()
    scale = scale.square().nanmean(0).sqrt()
    weight = (area.sqrt()[:, None] / torch.where(scale > 0, scale, 1.0)).flatten()  # (P · C)
    rows = torch.cat([film.nan_to_num().double().flatten(1) for film in films]) * weight
    directions = leading(rows, most)
    projection = weight[:, None] * directions
    patterns = torch.where(weight[:, None] > 0, directions / torch.where(weight > 0, weight, 1.0)[:, None], 0)
    shape = (*films[0].shape[1:], directions.shape[1])
    states = (rows @ directions).split([len(film) for film in films])
    held, moved, count = torch.zeros(2, shape[-1], shape[-1], dtype=torch.float64), 0, 0
    for z in states:
        held[0] += z.mT @ z
        held[1] += z[:-lag].mT @ z[:-lag]
        moved, count = moved + z[lag:].mT @ z[:-lag], count + len(z)
    before = held[1] + RIDGE * held[1].diagonal().mean() * torch.eye(shape[-1], dtype=torch.float64)
    propagator = torch.linalg.solve(before, torch.as_tensor(moved).mT).mT
    return LinearLaw(patterns.view(shape), propagator, held[0] / count, lag, projection.view(shape))


def leading(rows: Float[Tensor, "S F"], most: int) -> Float[Tensor, "F M"]:
    """Orthonormal directions of the largest variances, those of none left out; by the smaller of both covariances."""
    wide = rows.shape[1] > rows.shape[0]
    values, vectors = torch.linalg.eigh(rows @ rows.mT if wide else rows.mT @ rows)
    values, vectors = values.flip(0)[:most], vectors.flip(1)[:, :most]
    real = max(1, int((values > 1e-10 * values[0].clamp(min=1e-300)).sum()))
    vectors = vectors[:, :real]
    if not wide:
        return vectors
    return rows.mT @ vectors / torch.where(values[:real] > 0, values[:real], 1.0).sqrt()


def fitted_law(
    films: Sequence[Float[Tensor, "S P C"]],
    halves: Sequence[tuple[Sequence[Float[Tensor, "S P C"]], Sequence[Float[Tensor, "S P C"]]]],
    area: Float[Tensor, " P"],
    most: int,
    leads: int,
) -> tuple[LinearLaw, float]:
    """The law of all films, with as many modes and the lag that forecast films best which were left out (`halves`: what
    teaches then, and what is left out), and by how much these lay farther from their forecasts than the law says."""
    most = max(1, min([most, *(sum(map(len, first)) // FEWEST for first, _ in halves)]))
    longest = max(1, min([leads, *(max(map(len, part)) // 2 for half in halves for part in half)]))
    asked = sorted({max(1, round(longest ** (k / 4))) for k in range(5)})
    counts = sorted({count for count in (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, most) if count <= most})
    options = [(count, lag) for count in counts for lag in (asked if count else asked[:1])]
    scores = {
        (count, lag): [_judged(law_of(first, area, count, lag), first, then, area, asked) for first, then in halves]
        for count, lag in options
    }
    best = min(options, key=lambda option: sum(score for score, _ in scores[option]))
    return law_of(films, area, *best), mean(widening for _, widening in scores[best])


def _judged(
    law: LinearLaw,
    first: Sequence[Float[Tensor, "S P C"]],
    then: Sequence[Float[Tensor, "S P C"]],
    area: Float[Tensor, " P"],
    leads: Sequence[int],
) -> tuple[float, float]:
    """Mean squared error of forecasts, over the variance of what is forecast, a mean over leads; and the root of that over
    the variance that the law expects."""
    fading = fitted_fading([law.rest(film) for film in first], max(leads)).fading
    score, square, expected = 0.0, 0.0, 0.0
    patterns = law.patterns.flatten(0, 1)
    weight = area[:, None].expand(-1, first[0].shape[-1]).flatten()
    for lead in leads:
        power, lead_at = law.power(lead), torch.tensor([[float(lead)]])
        correlation, error = (part[0, 0].double() for part in fading.at(lead_at))
        spread = law.covariance - power @ law.covariance @ power.mT
        modal = (patterns @ spread * patterns).sum(-1).clamp(min=0)  # (P · C)
        variance = modal + error.square().expand(law.patterns.shape[0], -1).flatten()
        missed, whole, counted = 0.0, 0.0, 0.0
        for film in then:
            if len(film) <= lead:
                continue
            start, truth = film[:-lead], film[lead:].double().flatten(1)
            made = law.states(start) @ power.mT @ patterns.mT
            made = made + (correlation * law.rest(start).nan_to_num().double()).flatten(1)
            known = truth.isfinite() * weight
            missed += float(((made - truth).nan_to_num().square() * known).sum())
            whole += float((truth.nan_to_num().square() * known).sum())
            counted += float((variance * known).sum())
        if whole > 0:
            score += missed / whole
            square, expected = square + missed / whole, expected + counted / whole
    return score, (square / expected) ** 0.5 if expected > 0 else 1.0
