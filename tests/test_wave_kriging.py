"""Kriging that knows waves: found where they are, and nothing changed where they are not."""

import pickle
from math import pi

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.bases import Kriging, WaveKriging
from gridless.bases.harmonics import waves_in
from gridless.bases.wave_kriging import SolvedWaves

FEW = Kriging(kernels=("matern32", "squared-exponential"), lengths=(0.05, 0.2, 0.6, 2.0), noises=(0.01, 0.1, 0.4))
BASE = WaveKriging(FEW)


def wave(x: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
    return 3 + 2 * torch.sin(2 * pi * (3.3 * x[..., :1] - 2.1 * x[..., 1:]) + shift) + 0.5 * x[..., :1]


def smooth(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(-8 * (x - 0.4).square().sum(-1, keepdim=True))


def read(function, count: int = 45, noise: float = 0.05, dtype=torch.float64) -> tuple[gl.Samples, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x, q = (torch.rand(1, n, 2, generator=generator, dtype=dtype) for n in (count, 60))
    return gl.Samples(function(x) + noise * torch.randn(1, count, 1, generator=generator, dtype=dtype), coords=x), q


def rmse(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).square().mean().sqrt())


def test_a_wave_is_found_and_answered_far_better_than_by_kriging():
    samples, q = read(wave)
    solved, plain = BASE.solve(samples), FEW.solve(samples)
    assert isinstance(solved, SolvedWaves) and float(solved.share.min()) > 0.99
    assert rmse(solved(q), wave(q)) < 0.15 * rmse(plain(q), wave(q))
    inside = ((solved(q) - wave(q)).abs() < 1.645 * solved.std(q)).double().mean()
    assert 0.7 < float(inside) <= 1
    assert float((solved.log_evidence - plain.log_evidence).min()) > 3


def test_the_frequency_is_that_of_the_wave():
    samples, _ = read(wave, noise=0.0)
    x, z = samples.coords[0].numpy(), samples.values[0, :, 0].numpy()
    waves = waves_in(x, (z - z.mean()) / z.std(), 4)
    assert waves is not None
    assert np.abs(np.abs(waves.frequency[0]) - [3.3, 2.1]).max() < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_noise_holds_no_wave(seed):
    rng = np.random.default_rng(seed)
    assert waves_in(rng.random((60, 2)), rng.standard_normal(60), 8) is None
    assert waves_in(rng.random((60, 3)), rng.standard_normal(60), 8) is None


def test_without_a_wave_it_is_kriging_to_the_bit():
    samples, q = read(smooth)
    solved, plain = BASE.solve(samples), FEW.solve(samples)
    assert torch.equal(solved(q), plain(q)) and torch.equal(solved.std(q), plain.std(q))


@pytest.mark.parametrize("count", [1, 5, 11])
def test_few_readings_hold_no_wave(count):
    samples, q = read(wave, count)
    assert torch.equal(BASE.solve(samples)(q), FEW.solve(samples)(q))


def test_units_do_not_matter_and_channels_are_alone():
    samples, q = read(wave)
    both = gl.Samples(
        torch.cat([samples.values, 300 - 40 * samples.values, smooth(samples.coords)], -1), coords=samples.coords
    )
    one, three = BASE.solve(samples), BASE.solve(both)
    torch.testing.assert_close(three(q)[..., :1], one(q), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(three(q)[..., 1:2], 300 - 40 * one(q), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(three.std(q)[..., 1:2], 40 * one.std(q), rtol=1e-4, atol=1e-7)
    smooth_alone = FEW.solve(gl.Samples(smooth(samples.coords), coords=samples.coords))
    torch.testing.assert_close(three(q)[..., 2:], smooth_alone(q), rtol=1e-9, atol=1e-12)


def test_order_padding_and_batch_mates_change_nothing():
    samples, q = read(wave)
    alone = BASE.solve(samples)
    turn = torch.randperm(45, generator=torch.Generator().manual_seed(0))
    turned = gl.Samples(samples.values[:, turn], coords=samples.coords[:, turn])
    torch.testing.assert_close(BASE.solve(turned)(q), alone(q), rtol=1e-7, atol=1e-9)
    mate = gl.Samples(smooth(samples.coords[:, :20]), coords=samples.coords[:, :20])
    together = BASE.solve(gl.Samples.stack([samples, mate]))
    torch.testing.assert_close(together(q.expand(2, -1, -1))[:1], alone(q), rtol=1e-9, atol=1e-12)
    left = together.left_out()
    torch.testing.assert_close(left.mean[:1], alone.left_out().mean, rtol=1e-9, atol=1e-12)


def test_draws_are_functions_around_the_answer():
    samples, q = read(wave)
    solved = BASE.solve(samples)
    draws = solved.draws(200, 0)
    values = draws(q)
    torch.testing.assert_close(draws(q[:, 5:9]), values[:, :, 5:9])
    away = (values.mean(1) - solved(q)).abs() / solved.std(q)
    assert float(away.mean()) < 0.2
    assert 0.7 < float((values.std(1) / solved.std(q)).mean()) < 1.3


def test_a_field_can_be_pickled_moved_and_its_slope_asked():
    samples, q = read(wave)
    field = BASE.encode(samples)
    assert torch.equal(pickle.loads(pickle.dumps(field)).to("cpu")(q[0]), field(q[0]))
    step = 1e-5
    difference = (field(q[0] + torch.tensor([step, 0.0])) - field(q[0] - torch.tensor([step, 0.0]))) / (2 * step)
    torch.testing.assert_close(field.gradient(q[0])[..., 0], difference, rtol=1e-4, atol=1e-4)


def test_no_waves_is_refused():
    with pytest.raises(ValueError, match="for none take Kriging"):
        WaveKriging(most=0)
