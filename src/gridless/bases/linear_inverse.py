"""A linear inverse model: what past anomalies became, as one linear law (Penland and Magorian, 1993, J. Climate 6, 1067).

    a = anomaly from the usual = patterns z + rest          z(t + τ) = exp(L τ) z(t) + noise          M leading modes (EOFs)

exp(L l) is the regression of z on z a lag l before, C(l) C(0)⁻¹; its eigenvalues give exp(L τ) at any real lead, and those
that would grow are held at 1. The noise that belongs to it leaves the error covariance C(0) − exp(Lτ) C(0) exp(Lτ)ᵀ, widened
as films that were left out lay from their forecasts; they also say the lag, and how many modes there are, if any. The rest
fades as in damped persistence, and the state is the likeliest one of what was measured of the last seen frame. Between seen
frames the answer is `Persistence`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gridless import config
from gridless.bases.damped import DampedPersistence, SolvedDamped
from gridless.bases.film import Film
from gridless.bases.linear_law import LinearLaw, fitted_law
from gridless.bases.past_films import PastFilms
from gridless.bases.persistence import SolvedPersistence
from gridless.bases.sized import SizedBuffers
from gridless.bases.spatial import GridNodes
from gridless.bases.usual import Usual
from gridless.coords import grid
from gridless.data.sources import Source
from gridless.field import Field
from gridless.samples import Samples

LEFT_OUT = 0.25  # of the films of the past, twice


class LinearInverse(SizedBuffers):
    """Unfitted it is persistence, as unsure as the readings vary. Buffers of the grid's size have it once the base is fitted
    or loaded."""

    name = "linear-inverse"
    has_spread = True
    patterns: Tensor
    propagator: Tensor
    covariance: Tensor
    lag: Tensor
    noise: Tensor
    widening: Tensor

    def __init__(self, inverse: config.LinearInverse, signal: config.Signal):
        super().__init__()
        self.config, self.axes, self.channels = inverse, signal.axes, signal.channels
        damped = config.DampedPersistence(space=inverse.space, usual=inverse.usual, leads=inverse.leads)
        self.rest = DampedPersistence(damped, signal)
        self.register_buffer("patterns", torch.zeros(1, signal.channels, 1))
        self.register_buffer("propagator", torch.zeros(1, 1, dtype=torch.float64))
        self.register_buffer("covariance", torch.ones(1, 1, dtype=torch.float64))
        self.register_buffer("lag", torch.ones((), dtype=torch.long))
        self.register_buffer("noise", torch.ones(signal.channels, dtype=torch.float64))
        self.register_buffer("widening", torch.ones((), dtype=torch.float64))

    @property
    def needs_fit(self) -> bool:
        """Whether training has to fit it first."""
        return self.rest.needs_fit

    def fit(self, data: Sequence | Source) -> dict[str, float | int]:
        """Fitted to films (signals, arrays or Samples on one grid, time among the axes); NaN is not measured. Says how many
        frames and modes there were and how long it took. Raises ValueError for films of another kind, fewer than 12 frames,
        and without times where base.usual is of the year or day."""
        begun, past, usual = perf_counter(), PastFilms.of(data, self.axes, self.channels), self.rest.usual
        if past.frames < 12:
            raise ValueError(f"a linear law is learned from at least 12 frames, got {past.frames}")
        halves, trial = [], Usual(self.config.usual, self.axes - 1, self.channels)
        for first, then in past.splits(LEFT_OUT):
            trial.fit(first)
            halves.append((trial.anomalies(first), trial.anomalies(then)))
        usual.fit(past)
        anomalies = usual.anomalies(past)
        law, widening = fitted_law(anomalies, halves, area(past), self.config.modes, self.config.leads)
        rest = [law.rest(film) for film in anomalies]
        self.rest.learn(rest, anomalies)
        device = self.patterns.device
        patterns = usual.everywhere(law.patterns.flatten(1).to(device)).unflatten(-1, law.patterns.shape[1:])
        self.patterns = patterns.float().contiguous()
        self.propagator, self.covariance = law.propagator.to(device), law.covariance.to(device)
        self.lag = torch.tensor(law.lag, device=device)
        self.noise = torch.stack([film.double().square().nanmean((0, 1)) for film in rest]).mean(0).to(device)
        self.widening = torch.tensor(widening, dtype=torch.float64, device=device)
        facts = {"base_frames": past.frames, "base_modes": self.patterns.shape[-1]}
        return {**facts, "base_seconds": round(perf_counter() - begun, 3)}

    def solve(self, samples: Samples) -> "SolvedDamped | SolvedLinearInverse":
        """Raises ValueError for scattered samples, other axes, channels or domains, and without times where base.usual is of
        the year or day."""
        rest = self.rest.solve(samples)
        if not isinstance(rest.seen, SolvedPersistence):
            raise ValueError(
                "a linear inverse model reads frames on a grid, got scattered samples; take damped-persistence"
            )
        if rest.lead is None or rest.usual is None:
            return rest
        law, film = LinearLaw(self.patterns.double(), self.propagator, self.covariance, int(self.lag)), rest.seen.film
        cells = grid(*film.frames.shape[2:-1], dtype=torch.float64, device=self.patterns.device)[None]
        nodes = self.rest.usual.nodes
        at = nodes.evaluate(cells, law.patterns.flatten(1)).unflatten(-1, law.patterns.shape[1:])  # (1 N C M)
        anomaly, measured = last_anomaly(film, rest, cells)
        state = law.state(at, anomaly, measured, self.noise)
        values, vectors = law.modes()
        away = torch.linalg.solve(vectors, state[..., None].to(vectors))[..., 0]  # (B M)
        inner = torch.linalg.solve(vectors, torch.linalg.solve(vectors, self.covariance.to(vectors)).mH).mH
        widening = float(self.widening)
        return SolvedLinearInverse(rest, nodes, law.patterns, self.covariance, values, vectors, away, inner, widening)

    def encode(self, samples: Samples) -> Field:
        """As a baseline: samples in, field out, and how sure it is."""
        return Field(samples, self.solve(samples))


@dataclass(frozen=True, eq=False)
class SolvedLinearInverse:
    """The rest, which fades, and what the modes become. Differentiable in the coordinates and in the values."""

    rest: SolvedDamped
    nodes: GridNodes
    patterns: Float[Tensor, "P C M"]
    covariance: Float[Tensor, "M M"]
    growth: Complex[Tensor, " M"]
    """Eigenvalues of the propagator of one frame."""
    vectors: Complex[Tensor, "M M"]
    state: Complex[Tensor, "B M"]
    """At the last seen frame, in eigenvectors."""
    inner: Complex[Tensor, "M M"]
    """The covariance of a state in eigenvectors."""
    widening: float

    spread = True
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        answer, lead = self.rest(coords, cell), self._lead(coords)
        correlation = self.rest.fading.at(lead)[0].double()  # (B Q C)
        change = self._grown(lead)[:, :, None] - correlation[..., None]
        modes = self._patterns(coords).to(self.vectors) @ self.vectors
        return answer + (modes * change * self.state[:, None, None]).sum(-1).real.to(answer)

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        """That of the rest and of what noise makes of the modes."""
        rest, patterns = self.rest.std(coords, cell), self._patterns(coords)
        whole = ((patterns @ self.covariance) * patterns).sum(-1)
        grown = (patterns.to(self.vectors) @ self.vectors) * self._grown(self._lead(coords))[:, :, None]
        kept = ((grown @ self.inner) * grown.conj()).sum(-1).real
        variance = rest.double().square() + (whole - kept).clamp(min=0)
        variance = torch.where(variance > 0, variance, 1.0).sqrt().where(variance > 0, 0.0)
        return (self.widening * variance).to(coords.dtype)

    def draws(self, n: int, seed: int) -> None:
        """None."""
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedLinearInverse":
        names = ("rest", "nodes", "patterns", "covariance", "growth", "vectors", "state", "inner")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def _lead(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q"]:
        assert self.rest.lead is not None, "the base was fitted"
        return self.rest.lead(coords)

    def _patterns(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C M"]:
        assert self.rest.lead is not None, "the base was fitted"
        place = self.rest.lead.place(coords).double()
        return self.nodes.evaluate(place, self.patterns.flatten(1)).unflatten(-1, self.patterns.shape[1:])

    def _grown(self, lead: Float[Tensor, "B Q"]) -> Complex[Tensor, "B Q M"]:
        """What a lead makes of every mode; 1 at none."""
        size = torch.where(self.growth.abs() > 0, self.growth, torch.finfo(torch.float64).tiny)
        return torch.exp(size.log() * lead[..., None])


def last_anomaly(
    film: Film, rest: SolvedDamped, cells: Float[Tensor, "1 N e"]
) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B N"]]:
    """Of the last seen frame at its cells, and 1 where they were measured."""
    assert rest.lead is not None and rest.usual is not None, "the base was fitted"
    batch = torch.arange(len(film.frames), device=film.frames.device)
    frame = film.frames[batch, film.last].flatten(1, -2).double()
    when = rest.lead.latest.double()[:, None].expand(-1, cells.shape[1])
    usual = rest.usual.at(cells.expand(len(frame), -1, -1), when)
    known = torch.ones_like(frame[..., 0])
    if film.mask is not None:
        known = film.mask[batch, film.last].flatten(1).double()
    return frame - usual, known


def area(past: PastFilms) -> Float[Tensor, " P"]:
    """How much of the sphere every cell covers, over their mean; ones where the domain has none."""
    if past.space is None or past.space.sphere is None:
        return torch.ones(int(torch.tensor(past.grid).prod()), dtype=torch.float64)
    latitude = past.space.sphere[0]
    axis = past.space.axes[latitude]
    u = grid(*past.grid, dtype=torch.float64)[:, latitude]
    weight = torch.deg2rad(axis.start + axis.length * u).cos().clamp(min=0)
    return weight / weight.mean()
