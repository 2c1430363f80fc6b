"""Kriging weighs hypotheses by what they say about the readings: laws of a base, and honesty on fields of known origin."""

import pickle
from dataclasses import dataclass
from math import pi

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.bases import Kriging, solved_kriging
from gridless.bases.covariance import FEATURES, KERNELS, Covariance, RandomFunctions, RandomNumbers
from gridless.samples import Samples

SMALL = Kriging(lengths=(0.1, 0.3, 1.0), noises=(0.01, 0.1, 0.5))
FIXED = Kriging(kernels=("matern32",), lengths=(0.3,), noises=(0.1,), trend="constant")
Z90 = 1.645


def field_samples(
    fields: int, readings: int, length: float = 0.3, noise: float = 0.1, kernel: str = "matern32", asked: int = 40
) -> tuple[Samples, torch.Tensor, torch.Tensor]:
    """Fields of variance 1 drawn from a Gaussian process: noisy readings, places asked and the field there."""
    generator = torch.Generator().manual_seed(fields * readings)
    x = torch.rand(fields, readings + asked, 2, generator=generator, dtype=torch.float64)
    covariance = Covariance(
        torch.tensor(list(KERNELS).index(kernel)),
        torch.full((2,), 1 / length),
        *torch.tensor([1.0, 0.0]),
        torch.zeros(2),
    )
    exact = covariance(x, x) - covariance(x, x + 1e6) + 1e-9 * torch.eye(readings + asked)  # without the broad mean
    root = torch.linalg.cholesky(exact)
    value = root @ torch.randn(fields, readings + asked, 1, generator=generator, dtype=torch.float64)
    noisy = value[:, :readings] + noise * torch.randn(fields, readings, 1, generator=generator, dtype=torch.float64)
    return Samples(noisy, coords=x[:, :readings]), x[:, readings:], value[:, readings:]


def answers(kriging: Kriging, samples: Samples, coords: torch.Tensor) -> torch.Tensor:
    """Mean, both spreads and two posterior samples, (B Q C 5)."""
    solved = kriging.solve(samples)
    draws = solved.draws(2, 5)(coords)
    return torch.stack([solved(coords), solved.std(coords), solved.reading_std(coords), *draws.unbind(1)], -1)


@pytest.fixture(scope="module")
def smooth() -> tuple[Samples, torch.Tensor]:
    """Two fields of 30 readings of two channels, and places asked."""
    generator = torch.Generator().manual_seed(1)
    x, q = (torch.rand(2, n, 2, generator=generator, dtype=torch.float64) for n in (30, 12))
    y = torch.cat([(5 * x[..., :1]).sin() + x[..., 1:], 300 + (9 * x[..., 1:]).cos()], -1)
    return Samples(y + 0.05 * torch.randn(2, 30, 2, generator=generator, dtype=torch.float64), coords=x), q


def test_one_hypothesis_is_the_textbook():
    samples, q, _ = field_samples(1, 25)
    x, y, q = samples.coords[0].numpy(), samples.values[0, :, 0].numpy(), q[0].numpy()

    def kernel(a, b):
        r = np.sqrt(3) * np.sqrt(np.square(a[:, None] - b[None]).sum(-1)) / (0.3 * width)
        return (1 + r) * np.exp(-r)

    width = np.ptp(x, axis=0).max()
    level = 1 / (1 - kernel(x, x).mean())
    matrix = np.linalg.inv(level * kernel(x, x) + 10 + 0.1**2 * np.eye(25))
    z = (y - y.mean()) / y.std()
    across = level * kernel(q, x) + 10
    variance = (z @ matrix @ z + 2) / 25
    std = np.sqrt(variance * (level + 10 - np.einsum("qi,ij,qj->q", across, matrix, across)))
    solved, at = FIXED.solve(samples), torch.from_numpy(q)[None]
    np.testing.assert_allclose(solved(at)[0, :, 0], across @ matrix @ z * y.std() + y.mean(), rtol=1e-6)
    np.testing.assert_allclose(solved.std(at)[0, :, 0], std * y.std(), rtol=1e-5)
    assert float(solved.length) == pytest.approx(0.3 * width)
    assert float(solved.noise) == pytest.approx(0.1 * y.std() * np.sqrt(variance))


@pytest.mark.parametrize("kriging", [SMALL, Kriging(trend="linear", lengths=(0.3,), anisotropy=(0.5, 1.0, 2.0))])
def test_units_do_not_matter(kriging, smooth):
    samples, q = smooth
    plain = answers(kriging, samples, q)
    for a, b in ((40.0, -7000.0), (-1e-6, 0.0)):
        other = answers(kriging, Samples(a * samples.values + b, coords=samples.coords), q)
        torch.testing.assert_close((other[..., 0] - b) / a, plain[..., 0], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(other[..., 1:3] / abs(a), plain[..., 1:3], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("readings", [1, 2, 51])
def test_equal_readings_are_a_constant(readings):
    x = torch.rand(1, readings, 2)
    solved = Kriging().solve(Samples(torch.full((1, readings, 1), 0.3), coords=x))
    q = torch.cat([x[:, :1], torch.rand(1, 9, 2)], 1)
    assert (solved(q) == torch.tensor(0.3)).all() and not solved.std(q).any() and not solved.reading_std(q).any()
    assert (solved.draws(2, 0)(q) == torch.tensor(0.3)).all() and solved.log_evidence.isfinite().all()


def test_masked_readings_padding_order_and_batch_mates_say_nothing(smooth):
    samples, q = smooth
    alone = answers(SMALL, samples.select(slice(0, 1)), q[:1])
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    permuted = Samples(samples.values[:1, order], coords=samples.coords[:1, order])
    torch.testing.assert_close(answers(SMALL, permuted, q[:1]), alone, rtol=0, atol=0)

    generator = torch.Generator().manual_seed(2)
    coords = torch.rand(2, 75, 2, generator=generator, dtype=torch.float64)
    values = 1e9 * torch.randn(2, 75, 2, generator=generator, dtype=torch.float64)
    mask = torch.zeros(2, 75, dtype=torch.bool)
    coords[0, 20:50], values[0, 20:50], mask[0, 20:50] = samples.coords[0], samples.values[0], True
    mask[1] = True
    values[0, 0] = torch.nan
    batch = answers(SMALL, Samples(values, coords=coords, mask=mask), q)
    torch.testing.assert_close(batch[:1], alone, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(answers(SMALL, samples, q[:, 3:5])[:1], alone[:, 3:5], rtol=1e-7, atol=1e-7)


def test_channels_are_fields_of_their_own(smooth):
    samples, q = smooth
    one = answers(SMALL, Samples(samples.values[..., 1:], coords=samples.coords), q)
    torch.testing.assert_close(answers(SMALL, samples, q)[:, :, 1:, :3], one[..., :3], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("whole", [256, 20])
def test_gradients_are_true(whole, smooth, monkeypatch):
    """By coordinates and by readings; also beyond the sizes whose hypotheses are all weighed by all readings."""
    monkeypatch.setattr(solved_kriging, "WHOLE", whole)
    monkeypatch.setattr("gridless.bases.kriging.WHOLE", whole)
    samples, q = smooth

    def asked(values, coords):
        solved = SMALL.solve(Samples(values, coords=samples.coords))
        return torch.cat([solved(coords), solved.std(coords), solved.draws(1, 0)(coords)[:, 0]], -1)

    values, coords = samples.values.clone().requires_grad_(), q[:, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(asked, (values, coords), eps=1e-6, atol=1e-4, rtol=1e-4, fast_mode=True)


def test_the_gradient_at_a_reading_is_a_number():
    samples, _, _ = field_samples(1, 20)
    x = samples.coords.clone().requires_grad_()
    solved = Kriging(kernels=("matern12",)).solve(samples)
    (solved(x).sum() + solved.std(x).sum()).backward()
    assert x.grad.isfinite().all()


def test_intervals_of_the_field_and_of_a_reading_hold_what_they_say():
    samples, q, truth = field_samples(60, 40)
    solved = Kriging().solve(samples)
    mean, std, reading_std = solved(q), solved.std(q), solved.reading_std(q)
    reading = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert 0.85 < ((mean - truth).abs() < Z90 * std).double().mean() < 0.95
    assert 0.85 < ((mean - reading).abs() < Z90 * reading_std).double().mean() < 0.95
    assert (reading_std > std).all()


def test_length_and_noise_can_be_read():
    for length, noise in ((0.2, 0.1), (0.5, 0.3)):
        solved = Kriging().solve(field_samples(6, 100, length, noise)[0])
        assert float(solved.length.log().mean().exp()) == pytest.approx(length, rel=0.6)
        assert float(solved.noise.mean()) == pytest.approx(noise, rel=0.35)
        assert solved.weights.sum(-1).allclose(torch.ones(6, 1, dtype=torch.float64))


def test_known_noise_is_heeded():
    samples, q, truth = field_samples(20, 40, noise=0.0)
    bad = torch.arange(40) % 2 == 0
    noise = torch.where(bad, 2.0, 0.01).double().expand(20, -1)
    generator = torch.Generator().manual_seed(3)
    noisy = samples.values + noise[..., None] * torch.randn(20, 40, 1, generator=generator, dtype=torch.float64)
    told = Samples(noisy, coords=samples.coords, noise=noise)
    errors = [
        float((Kriging().solve(s)(q) - truth).square().mean().sqrt())
        for s in (told, Samples(noisy, coords=told.coords))
    ]
    good = float(
        (Kriging().solve(Samples(noisy[:, ~bad], coords=samples.coords[:, ~bad]))(q) - truth).square().mean().sqrt()
    )
    assert errors[0] < 1.1 * good < 0.7 * errors[1]
    solved = Kriging().solve(told)
    inside = (solved(q) - truth).abs() < Z90 * solved.std(q)
    assert 0.8 < inside.double().mean() < 0.96
    torch.testing.assert_close(
        Kriging().solve(Samples(9 * noisy - 4, coords=told.coords, noise=9 * noise)).std(q), 9 * solved.std(q)
    )


@dataclass(frozen=True, eq=False)
class Around(Samples):
    """A circle and a line."""

    def positions(self, coords):
        angle = 2 * pi * coords[..., :1]
        return torch.cat([angle.cos(), angle.sin(), coords[..., 1:]], -1)


def test_distances_are_those_of_the_domain():
    x = torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[..., 0] = 0.05 + 0.9 * x[..., 0]
    solved = Kriging().solve(Around((2 * pi * x[..., :1]).sin(), coords=x))
    ends = torch.tensor([[[0.0, 0.5], [1.0, 0.5]]], dtype=torch.float64, requires_grad=True)
    low, high = solved(ends)[0, :, 0]
    torch.testing.assert_close(low, high, rtol=0, atol=1e-9)
    assert low.detach().abs() < 0.02
    slopes = torch.autograd.grad(low + high, ends)[0][0, :, 0]
    torch.testing.assert_close(slopes[0], slopes[1])


def test_samples_of_the_posterior_are_functions_with_its_moments():
    samples, q, _ = field_samples(2, 15)
    solved = SMALL.solve(samples)
    draws = solved.draws(200, 0)
    at = draws(q)
    torch.testing.assert_close(torch.cat([draws(q[:, :7]), draws(q[:, 7:])], 2), at)
    torch.testing.assert_close(solved.draws(3, 0)(q), at[:, :3])
    assert not torch.equal(solved.draws(1, 1)(q), at[:, :1])
    std = solved.std(q)
    assert float(((at.mean(1) - solved(q)) / std).square().mean().sqrt()) < 0.15
    assert float((at.std(1) / std - 1).square().mean().sqrt()) < 0.12
    with pytest.raises(ValueError, match="at least 1"):
        solved.draws(0, 0)


@pytest.mark.parametrize("kernel", range(len(KERNELS)))
def test_random_functions_have_their_covariance(kernel):
    count = 500
    numbers = RandomNumbers.stack([RandomNumbers.draw(np.random.default_rng(i), 2) for i in range(count)])
    covariance = Covariance(
        torch.full((count,), kernel),
        torch.full((count, 2), 3.0).double(),
        torch.full((count,), 25.0),
        torch.zeros(count),
        torch.ones(count, 2),
    )
    x = torch.tensor([[0.1, 0.2], [0.3, 0.2], [0.9, 0.9]], dtype=torch.float64)
    drawn = RandomFunctions.of(covariance, numbers)(x.expand(count, -1, -1))
    expected = covariance.select(0)(x, x)
    assert numbers.phase.shape == (count, FEATURES)
    torch.testing.assert_close(drawn.T @ drawn / count, expected, rtol=0.12, atol=0.12 * 40)


@pytest.fixture
def in_neighbourhoods(monkeypatch):
    monkeypatch.setattr("gridless.bases.kriging.WHOLE", 40)
    monkeypatch.setattr(solved_kriging, "WHOLE", 40)
    monkeypatch.setattr("gridless.bases.kriging.LARGEST", 100)


def test_many_readings_in_neighbourhoods_answer_as_all_together(in_neighbourhoods):
    samples, q, truth = field_samples(1, 300, 0.2, noise=0.05, asked=40)
    kriging = Kriging(kernels=("matern32",), lengths=(0.2,), noises=(0.05,), neighbours=50)
    near = kriging.solve(samples)
    assert near.pieces[0].neighbourhoods is not None
    with pytest.MonkeyPatch.context() as whole:
        whole.setattr("gridless.bases.kriging.LARGEST", 1000)
        exact = kriging.solve(samples)
    assert float(((near(q) - exact(q)) / exact.std(q)).square().mean().sqrt()) < 0.2
    torch.testing.assert_close(near.std(q), exact.std(q), rtol=0.25, atol=0)
    assert float((near(q) - truth).square().mean().sqrt()) < 1.05 * float((exact(q) - truth).square().mean().sqrt())
    draws = near.draws(40, 0)
    assert float((draws(q).std(1) / near.std(q)).mean()) == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(torch.cat([draws(q[:, :7]), draws(q[:, 7:])], 2), draws(q))
    torch.testing.assert_close(torch.cat([near.std(q[:, :7]), near.std(q[:, 7:])], 1), near.std(q))


def test_neighbourhoods_join_without_a_jump_and_gradients_hold(in_neighbourhoods):
    samples, _, _ = field_samples(1, 300, 0.3, noise=0.05)
    kriging = Kriging(kernels=("matern52", "matern32"), lengths=(0.3,), noises=(0.05,), neighbours=40)
    solved = kriging.solve(samples)
    line = torch.linspace(0, 1, 4001, dtype=torch.float64)
    line = torch.stack([line, 0.3 + 0.4 * line], -1)[None]
    steps = solved(line)[0, :, 0].diff().abs()
    assert float(steps.max()) < 4 * float(steps.quantile(0.9))
    q = samples.coords[:, :3].clone().add(0.01).requires_grad_()
    assert torch.autograd.gradcheck(solved, (q,), atol=1e-4, fast_mode=True)
    values = samples.values.clone().requires_grad_()

    def asked(v):
        return kriging.solve(Samples(v, coords=samples.coords))(q.detach())

    assert torch.autograd.gradcheck(asked, (values,), atol=1e-4, fast_mode=True)


def test_pooling_learns_what_fields_of_one_kind_share():
    past, _, _ = field_samples(40, 30, 0.2, noise=0.3)
    few, q, truth = field_samples(60, 8, 0.2, noise=0.3)
    pooled = Kriging.pooled([past.select(slice(0, 20)), past.select(slice(20, 40))])
    alone, together = (float((k.solve(few)(q) - truth).square().mean()) for k in (Kriging(), pooled))
    assert together < alone
    assert float(pooled.solve(few).length.log().mean().exp()) == pytest.approx(0.2, rel=0.5)
    with pytest.raises(ValueError, match="at least one"):
        Kriging.pooled([])
    with pytest.raises(ValueError, match="pool again"):
        Kriging(log_prior=(0.0,)).solve(few)


def test_a_trend_goes_on_and_an_axis_may_be_stretched():
    x = torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plane = Samples(3 * x[..., :1] - x[..., 1:], coords=0.5 * x)
    far = torch.tensor([[[0.9, 0.1], [0.1, 0.9]]], dtype=torch.float64)
    for kriging in (Kriging(trend="constant"), Kriging(trend="linear")):
        torch.testing.assert_close(kriging.solve(plane)(far), 6 * far[..., :1] - 2 * far[..., 1:], rtol=0.02, atol=0.02)
    waves = Samples((15 * x[..., :1]).sin() + 0.3 * x[..., 1:], coords=x)
    stretched = Kriging(anisotropy=(1.0, 0.25, 4.0)).solve(waves)
    assert stretched.lengths.shape[-1] == 2 and (stretched.lengths[0, 0, 0, 1] > 3 * stretched.lengths[0, 0, 0, 0])
    assert float(stretched.log_evidence) > float(Kriging().solve(waves).log_evidence)


def test_a_field_of_it_is_a_baseline_and_a_value(smooth):
    samples, q = smooth
    field, solved = SMALL.encode(samples), SMALL.solve(samples)
    mean, std = field.mean_and_std(q)
    assert torch.equal(mean, solved(q)) and torch.equal(std, solved.std(q)) and solved.gate(None) == 1.0
    torch.testing.assert_close(field.sample(q, 2, 3), solved.draws(2, 3)(q).transpose(0, 1))
    again = pickle.loads(pickle.dumps(solved))
    assert torch.equal(again(q), solved(q)) and torch.equal(again.to("cpu").std(q), solved.std(q))
    assert SMALL.solve(Samples(samples.values.float(), coords=samples.coords.float()))(q).dtype == torch.float32
    grid = gl.Samples.from_grid(torch.rand(6, 5, 1))
    assert SMALL.encode(grid).to_image(scale=2).shape == (12, 10, 1)


def test_what_cannot_be_answered_is_refused(smooth):
    samples, q = smooth
    for words, options in (
        ("kernels must be of", {"kernels": ("cubic",)}),
        ("lengths must be positive", {"lengths": ()}),
        ("trend must be", {"trend": "cubic"}),
        ("neighbours must be", {"neighbours": 2}),
    ):
        with pytest.raises(ValueError, match=words):
            Kriging(**options)
    with pytest.raises(ValueError, match="field 1 of the batch has no reading"):
        mask = torch.tensor([[True], [False]]).expand(2, 30)
        SMALL.solve(Samples(samples.values, coords=samples.coords, mask=mask))
    with pytest.raises(ValueError, match="must be finite"):
        SMALL.solve(Samples(samples.values * torch.inf, coords=samples.coords))
    with pytest.raises(ValueError, match="expected coordinates"):
        SMALL.solve(samples)(q[0])
