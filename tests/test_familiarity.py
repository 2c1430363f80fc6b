"""Readings unlike the training fields of modes: how that is noticed, and what is answered then."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import fitted_modes, read

import gridless as gl
from gridless.bases import Modes
from gridless.bases.mixture import SolvedMixture
from gridless.config import Pod as PodConfig
from gridless.config import Signal
from gridless.data.waves import WaveSource, fixed, place


@dataclass(frozen=True)
class SmoothFields:
    """A stand-in for kriging: a Gaussian process of one kernel around a level that may be anything."""

    level: float = 30.0
    amplitude: float = 0.5
    length: float = 0.2
    noise: float = 0.02

    def kernel(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.level**2 + self.amplitude**2 * (-0.5 * (torch.cdist(a, b) / self.length).square()).exp()

    def solve(self, samples: gl.Samples) -> "SolvedSmooth":
        return SolvedSmooth(self, samples.coords.double(), samples.values.double())


@dataclass(frozen=True)
class SolvedSmooth:
    prior: SmoothFields
    coords: torch.Tensor
    values: torch.Tensor

    @property
    def covariance(self) -> torch.Tensor:
        noise = self.prior.noise**2 * torch.eye(self.coords.shape[1], dtype=torch.float64)
        return self.prior.kernel(self.coords, self.coords) + noise

    @property
    def log_evidence(self) -> torch.Tensor:
        zero = torch.zeros_like(self.values[..., 0])
        return torch.distributions.MultivariateNormal(zero, self.covariance).log_prob(self.values[..., 0])[:, None]

    def __call__(self, coords: torch.Tensor, cell=None) -> torch.Tensor:
        across = self.prior.kernel(coords.double(), self.coords)
        return (across @ torch.linalg.solve(self.covariance, self.values)).to(coords)

    def std(self, coords: torch.Tensor, cell=None) -> torch.Tensor:
        across = self.prior.kernel(coords.double(), self.coords)
        explained = (across.mT * torch.linalg.solve(self.covariance, across.mT)).sum(1)
        return (self.prior.level**2 + self.prior.amplitude**2 - explained).clamp(min=0).sqrt()[..., None].to(coords)

    def draws(self, n: int, seed: int) -> "IndependentDraws":
        return IndependentDraws(self, n, seed)


@dataclass(frozen=True)
class IndependentDraws:
    """Of every place alone: enough where one place is asked."""

    solved: SolvedSmooth
    n: int
    seed: int

    def __call__(self, coords: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(self.n, 1, 1, generator=torch.Generator().manual_seed(self.seed))
        return self.solved(coords)[:, None] + noise * self.solved.std(coords)[:, None]


@pytest.fixture(scope="module")
def careful() -> Modes:
    """Modes that know waves in [0, 1], and fall back on smooth fields of any level."""
    return fitted_modes(PodConfig(modes=100, degree=20, clusters=8, rank=30), WaveSource(("simple",)), SmoothFields())


def test_readings_like_the_training_fields_get_the_answer_of_the_modes(careful):
    waves = fixed("simple", "val", 20)
    for noise in (0.0, 0.1):
        rng = np.random.default_rng(0)
        samples = read(waves, place(rng, 20, 51), rng, noise)
        solved, coords = careful.solve(samples), gl.grid(12, 12).expand(20, -1, -1)
        assert (solved.familiarity > 0.999).all()
        careless = fitted_like(careful)
        torch.testing.assert_close(solved(coords), careless.solve(samples)(coords), rtol=0, atol=1e-5)
        torch.testing.assert_close(solved.std(coords), careless.solve(samples).std(coords), rtol=0, atol=1e-5)


def fitted_like(modes: Modes) -> Modes:
    """The same, without a fallback."""
    other = Modes(modes.config, Signal(channels=1))
    other.load_state_dict(modes.state_dict())
    return other


def test_readings_unlike_the_training_fields_fall_back_with_an_honest_spread(careful):
    """10 ± 0.5, where training fields lie in [0, 1]: modes alone were off by 9.6 and said 0.44."""
    prior, coords = SmoothFields(), torch.rand(8, 150, 2, generator=torch.Generator().manual_seed(0))
    root = torch.linalg.cholesky(
        prior.kernel(coords.double(), coords.double()) - prior.level**2 + 1e-6 * torch.eye(150)
    )
    values = 10 + (root @ torch.randn(8, 150, 1, generator=torch.Generator().manual_seed(1)).double()).float()
    noise = prior.noise * torch.randn(8, 51, 1, generator=torch.Generator().manual_seed(2))
    samples = gl.Samples(values[:, :51] + noise, coords=coords[:, :51])
    with pytest.warns(UserWarning, match="readings of 8 of 8 fields are unlike the fields this model was trained on"):
        solved = careful.solve(samples)
    assert (solved.familiarity == 0).all()
    error, std = solved(coords) - values, solved.std(coords)
    assert error.square().mean().sqrt() < 0.35
    assert 0.85 < (error[:, 51:].abs() < 1.645 * std[:, 51:]).float().mean() < 0.95
    with pytest.warns(UserWarning, match="readings of 8 of 8 fields"):
        alone = fitted_like(careful).solve(samples)
    error, std = alone(coords) - values, alone.std(coords)
    assert error.square().mean().sqrt() > 5 and (error.abs() < 1.645 * std).float().mean() > 0.8


def test_some_fields_of_a_batch_fall_back_and_the_others_do_not(careful):
    waves = fixed("simple", "val", 2)
    samples = read(waves, place(np.random.default_rng(0), 2, 51), None)
    mixed = gl.Samples(torch.cat([samples.values[:1], 7 - samples.values[1:]]), coords=samples.coords)
    with pytest.warns(UserWarning, match="readings of 1 of 2 fields"):
        solved = careful.solve(mixed)
    assert isinstance(solved, SolvedMixture) and solved.familiarity.tolist() == [1.0, 0.0]
    coords = torch.rand(2, 30, 2)
    close = careful.solve(samples)
    torch.testing.assert_close(solved(coords)[0], close(coords)[0])
    torch.testing.assert_close(solved.std(coords)[0], close.std(coords)[0])
    torch.testing.assert_close(solved.draws(3, 0)(coords)[0], close.draws(3, 0)(coords)[0])
    torch.testing.assert_close(solved(coords)[1], SmoothFields().solve(mixed)(coords)[1])


def test_two_bases_answer_as_the_mixture_of_both():
    """Mean, deviation and samples of p N(m, s²) + (1 − p) N(m′, s′²)."""
    coords, values = torch.rand(2, 6, 2), torch.randn(2, 6, 1)
    first, second = (SolvedSmooth(SmoothFields(level=x), coords.double(), values.double() + x) for x in (1.0, 2.0))
    p = torch.tensor([0.3, 0.8], dtype=torch.float64)
    mixture, place = SolvedMixture(first, second, p), torch.rand(1, 1, 2).expand(2, -1, -1)
    many = mixture.draws(20000, 0)(place)
    torch.testing.assert_close(many.mean(1), mixture(place).float(), rtol=0, atol=0.03)
    torch.testing.assert_close(many.std(1), mixture.std(place).float(), rtol=0.03, atol=0)
    torch.testing.assert_close(
        mixture(place), (p[:, None, None] * first(place) + (1 - p[:, None, None]) * second(place)).to(mixture(place))
    )
    assert torch.equal(mixture.draws(5, 0)(place), mixture.draws(9, 0)(place)[:, :5])
