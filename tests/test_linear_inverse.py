"""A linear law that past anomalies follow: known ones are recovered, and where none helps there is none."""

import numpy as np
import pytest
import torch
from films import SIGNAL, ahead, autoregressive, damped, domain, moment, past, rms

import gridless as gl
from gridless import config as c
from gridless.bases import LinearInverse

LAW = 0.95 * torch.tensor([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]], dtype=torch.float32)


def patterns(size: int = 8) -> torch.Tensor:
    y, x = gl.grid(size, size).T
    return torch.stack([(3 * y).sin(), (4 * x).cos()], -1) - 0.2


def lawful(frames: int, seed: int = 0, size: int = 8) -> torch.Tensor:
    """Two patterns that turn into one another, and noise of a cell's own."""
    generator = torch.Generator().manual_seed(seed)
    state, film = torch.randn(2, generator=generator), []
    for _ in range(frames):
        state = LAW @ state + 0.3 * torch.randn(2, generator=generator)
        film.append(280 + patterns(size) @ state + 0.05 * torch.randn(size * size, generator=generator))
    return torch.stack(film).view(frames, size, size, 1)


@pytest.fixture(scope="module")
def inverse() -> LinearInverse:
    base = LinearInverse(c.LinearInverse(modes=6, leads=8), SIGNAL)
    base.fit(past(lawful(900)))
    return base


def test_a_known_propagator_is_recovered(inverse):
    growth = torch.linalg.eigvals(inverse.propagator).pow(1 / int(inverse.lag))
    leading = growth[growth.abs().argsort(descending=True)][:2]
    torch.testing.assert_close(leading.abs(), torch.full((2,), 0.95, dtype=torch.float64), rtol=0, atol=0.02)
    torch.testing.assert_close(leading.angle().abs(), torch.full((2,), 0.3, dtype=torch.float64), rtol=0, atol=0.02)


def test_a_linear_inverse_model_beats_damped_persistence_and_knows_its_error(inverse):
    film, base = lawful(300, seed=5), damped(lawful(900), leads=8)
    errors, other, deviations = [], [], []
    for start in range(0, 280, 7):
        samples = ahead(film[start : start + 10], 4, domain=domain(10, 24 * start))
        asked, truth = moment(10, 8, 8), film[start + 8].flatten(0, 1)
        mean, std = inverse.encode(samples).mean_and_std(asked)
        errors.append(mean - truth)
        other.append(base.encode(samples)(asked) - truth)
        deviations.append(std)
    assert rms(torch.stack(errors)) < 0.85 * rms(torch.stack(other))
    assert 0.8 < rms(torch.stack(errors)) / rms(torch.stack(deviations)) < 1.25


def test_at_the_last_seen_frame_it_is_that_frame(inverse):
    film = lawful(10, seed=6)
    field = inverse.encode(ahead(film, 4, domain=domain(10)))
    torch.testing.assert_close(field(moment(10, 3, 8)).view(8, 8, 1), film[3], rtol=0, atol=1e-3)
    nearly = field(moment(10, 3.01, 8)).view(8, 8, 1)
    assert rms(nearly - film[3]) < 0.05


def test_half_of_the_last_frame_is_enough_to_know_the_state(inverse):
    film = lawful(10, seed=7)
    mask = torch.rand(10, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5
    whole, half = (inverse.encode(ahead(film, 4, m, domain=domain(10)))(moment(10, 7, 8)) for m in (None, mask))
    assert rms(half - whole) < 0.15


def test_where_no_law_helps_there_are_no_modes():
    base = LinearInverse(c.LinearInverse(modes=6, leads=4), SIGNAL)
    facts = base.fit(past(autoregressive(60, 0.6)))
    assert facts["base_modes"] == 1 and not base.patterns.any()
    plain = damped(autoregressive(60, 0.6), leads=4)
    samples = ahead(autoregressive(10, 0.6, seed=4), 4, domain=domain(10))
    asked = moment(10, 6, 6)
    torch.testing.assert_close(base.encode(samples)(asked), plain.encode(samples)(asked), rtol=0, atol=1e-4)


def test_a_linear_law_needs_frames_and_a_grid(inverse):
    with pytest.raises(ValueError, match="at least 12 frames"):
        LinearInverse(c.LinearInverse(), SIGNAL).fit(past(lawful(11)))
    with pytest.raises(ValueError, match="scattered samples"):
        inverse.solve(gl.Samples(lawful(1).view(1, -1, 1), coords=moment(4, 1, 8)[None], domain=domain(4)))
