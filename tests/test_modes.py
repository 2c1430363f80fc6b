"""Modes: fields of a kind from few readings."""

from copy import deepcopy
from math import log

import numpy as np
import pytest
import torch
from conftest import fitted_modes, question, read, tiny
from scipy.interpolate import RegularGridInterpolator

import gridless as gl
from gridless.bases import Modes, fit_modes, mode_mixture
from gridless.bases.clusters import k_means
from gridless.bases.mode_mixture import HYPOTHESES, NOISES
from gridless.bases.modes import EARLIER_NAMES
from gridless.bases.modes_fitting import _describe
from gridless.config import Pod as PodConfig
from gridless.config import Signal, Train
from gridless.data.waves import WaveSource, fixed, place


@pytest.fixture
def points() -> torch.Tensor:
    return torch.rand(40, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def modes() -> Modes:
    return fitted_modes(PodConfig(modes=100, degree=20), WaveSource(("simple",)))


def test_modes_recover_fields_of_its_family_and_knows_how_well(modes):
    """51 readings of a family whose fields need fewer modes: nearly exact; with noise its intervals hold what they say."""
    coords = gl.grid(16, 16)
    waves, samples = question("simple", "val", 24, 51, 0.0)
    truth = waves(coords.expand(24, -1, -1))
    error = modes.encode(samples)(coords) - truth
    assert float((-10 * error.square().mean((1, 2)).log10()).mean()) > 30
    rng = np.random.default_rng(0)
    noisy = read(waves, place(rng, 24, 80), rng, 0.1)
    value, std = modes.encode(noisy).mean_and_std(coords)
    inside = ((value - truth).abs() < 1.645 * std).float().mean()
    assert 0.75 < inside < 0.97


def test_clusters_of_fields_need_fewer_readings(modes):
    """26 readings are fewer than plain modes need; where every cluster has its own, they are enough."""
    clustered = fitted_modes(PodConfig(modes=100, degree=20, clusters=8, rank=30), WaveSource(("simple",)))
    assert float(clustered.cluster_shares.sum()) == pytest.approx(1)
    coords = gl.grid(16, 16)
    waves, samples = question("simple", "val", 24, 26, 0.0)
    truth = waves(coords.expand(24, -1, -1))

    def psnr(field):
        return float((-10 * (field(coords) - truth).square().mean((1, 2)).log10()).mean())

    assert psnr(clustered.encode(samples)) > 40 > psnr(modes.encode(samples))
    rng = np.random.default_rng(0)
    value, std = clustered.encode(read(waves, place(rng, 24, 60), rng, 0.1)).mean_and_std(coords)
    assert 0.8 < ((value - truth).abs() < 1.645 * std).float().mean() < 0.97


def test_the_posterior_is_that_of_a_dense_gaussian():
    """Two clusters, a masked reading: evidence, mean and spread beside the textbook's, on Φ Λ Φᵀ + V."""
    torch.manual_seed(0)
    modes = Modes(PodConfig(modes=6, degree=4, clusters=2, rank=3), Signal(channels=1))
    for name in ("mean", "modes", "cluster_means", "cluster_factors"):
        getattr(modes, name).copy_(0.3 * torch.randn(getattr(modes, name).shape))
    modes.residual_std.copy_(0.05 + 0.1 * torch.rand(2, 32, 32, 1))
    modes.cluster_shares.copy_(torch.tensor([0.3, 0.7]))
    coords, asked, values = torch.rand(1, 5, 2), torch.rand(1, 7, 2), torch.randn(1, 5, 1)
    mask = torch.tensor([[True, True, False, True, True]])
    field = modes.encode(gl.Samples.from_points(coords, values, mask))
    seen, goal = (modes.basis.basis(x[0].double()) for x in (coords[:, mask[0]], asked))
    y, guesses = values[0, mask[0], 0].double(), []

    def left(k: int, places: torch.Tensor) -> torch.Tensor:
        """Between cell centres, linearly."""
        middles = (np.arange(-1, 33) + 0.5) / 32
        around = np.pad(modes.residual_std[k, ..., 0].double().numpy(), 1, mode="edge")
        return torch.from_numpy(RegularGridInterpolator((middles, middles), around)(places.numpy())).square()

    for k in range(2):
        centre = modes.mean[:, 0].double() + modes.modes[:, 0].double() @ modes.cluster_means[k].double()
        factor = modes.modes[:, 0].double() @ modes.cluster_factors[k].double()
        for noise in NOISES:
            v = noise**2 * modes.mixture.variance + left(k, coords[0, mask[0]])
            kernel = seen @ factor @ factor.mT @ seen.mT + v.diag()
            density = torch.distributions.MultivariateNormal(seen @ centre, kernel)
            gain = goal @ factor @ factor.mT @ seen.mT @ torch.linalg.inv(kernel)
            mean = goal @ centre + gain @ (y - seen @ centre)
            spread = goal @ factor @ factor.mT @ goal.mT - gain @ seen @ factor @ factor.mT @ goal.mT
            guesses.append(
                (density.log_prob(y) + modes.cluster_shares[k].log(), mean, spread.diagonal() + left(k, asked[0]))
            )
    score, mean, variance = (torch.stack(x) for x in zip(*guesses, strict=True))
    best = score.topk(HYPOTHESES).indices
    share = score[best].softmax(0)[:, None]
    whole = (share * mean[best]).sum(0)
    std = ((share * (variance[best] + mean[best].square())).sum(0) - whole.square()).sqrt()
    torch.testing.assert_close(field(asked)[0, :, 0].double(), whole, rtol=0, atol=2e-3)
    torch.testing.assert_close(field.std(asked)[0, :, 0].double(), std, rtol=2e-3, atol=0)
    evidence = modes.solve(gl.Samples.from_points(coords, values, mask)).posterior.log_evidence
    torch.testing.assert_close(evidence, (score.logsumexp(0) - log(len(NOISES)))[None], rtol=1e-5, atol=0)


def test_what_few_fields_do_not_tell_is_left_to_doubt():
    """The variance of a cluster is that of its modes and what they leave out, however few fields it has."""
    modes, weights = Modes(PodConfig(modes=12, degree=4, clusters=2, rank=10), Signal(channels=1)), torch.randn(50, 12)
    chosen = (torch.arange(50) < 8).long()
    left = _describe(modes, weights, torch.zeros(50), chosen)
    for k in (0, 1):
        whole = weights[chosen == k].var(0, correction=0).sum()
        torch.testing.assert_close(modes.cluster_factors[k].square().sum() + left[k], whole)


@pytest.fixture(scope="module")
def many_clusters():
    """More of them than are looked at closely, of more modes than lead."""
    return fitted_modes(PodConfig(modes=60, degree=12, clusters=24, rank=30), WaveSource(("simple", "radial")))


def test_a_first_look_finds_the_clusters_that_count(many_clusters, monkeypatch):
    assert (
        len(many_clusters.cluster_shares) > mode_mixture.SCREENED_CLUSTERS
        and many_clusters.cluster_factors.shape[2] > mode_mixture.SCREENED_MODES
    )
    coords = gl.grid(16, 16)
    for noise in (0.0, 0.1):
        waves, samples = question("simple", "val", 24, 26, noise)
        looked = many_clusters.encode(samples)(coords)
        monkeypatch.setattr(mode_mixture, "SCREENED_CLUSTERS", 24)
        every = many_clusters.encode(samples)(coords)
        monkeypatch.undo()
        error = (every - waves(coords.expand(24, -1, -1))).square().mean()
        assert (looked - every).square().mean() < 0.05 * error


def test_doubt_is_that_of_fields_that_the_modes_have_not_seen(many_clusters):
    fields = fixed("simple", "val", 80)
    places = torch.rand(80, 300, 2, generator=torch.Generator().manual_seed(0))
    waves = fields(places)
    value, std = many_clusters.encode(gl.Samples.from_points(places, waves)).mean_and_std(gl.grid(20, 20))
    wrong = value - fields(gl.grid(20, 20).expand(80, -1, -1))
    assert 0.8 < float(wrong.square().mean() / std.square().mean()) ** 0.5 < 1.25


def test_k_means_parts_what_lies_apart():
    middles = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    points = middles.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
    chosen = k_means(points, 3).view(50, 3)
    assert (chosen == chosen[0]).all()
    assert len(set(chosen[0].tolist())) == 3


def test_clusters_cannot_have_more_modes_than_they_share():
    with pytest.raises(ValueError, match="base.rank 9 is more than the base.modes 5"):
        Modes(PodConfig(modes=5, rank=9, degree=4), Signal(channels=1))
    with pytest.raises(ValueError, match="base.modes 20 are more than the 4\\^2 polynomials of base.degree 4"):
        Modes(PodConfig(modes=20, degree=4), Signal(channels=1))


def test_modes_have_a_gradient_and_its_polynomials_are_orthonormal(modes):
    waves = fixed("simple", "test", 1)
    field = modes.encode(read(waves, torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(1)), None))
    coords = torch.rand(20, 2)
    torch.testing.assert_close(
        field.gradient(coords)[..., 0, :], waves.gradient(coords[None])[0, :, 0], rtol=0, atol=0.05
    )
    grid = gl.grid(200, 200, dtype=torch.float64)
    basis = modes.basis.basis(grid)[:, :10]
    torch.testing.assert_close(basis.T @ basis / len(grid), torch.eye(10, dtype=torch.float64), rtol=0, atol=0.01)


def test_unfitted_modes_answer_the_mean_of_the_signal(points):
    unfitted = Modes(PodConfig(modes=5, degree=4), Signal(channels=1, mean=0.3, std=0.35))
    field = unfitted.encode(gl.Samples.from_points(points, torch.rand(40, 1)))
    torch.testing.assert_close(field(points), torch.full((40, 1), 0.3))


def test_exactly_the_training_fields_are_fitted():
    """`data.fields` is all that there is, and facts say how many and how long."""
    base = {"kind": "pod", "modes": 4, "degree": 6}
    few = WaveSource(("simple", "radial"), fields=7)
    model = tiny("scattered", {"base": base})
    facts = gl.fit(model, few, gl.SparseField(), train=Train(steps=1, batch=2, queries=9), quiet=True)
    assert facts["base_fields"] == 14 and facts["base_seconds"] >= 0
    alone = Modes(PodConfig(modes=4, degree=6), Signal(channels=1))
    fit_modes(alone, few.first(99))
    torch.testing.assert_close(model.base.mean, alone.mean)
    places = torch.rand(7, 5, 2)
    for some, name in ((slice(7), "simple"), (slice(7, 14), "radial")):
        torch.testing.assert_close(few.first(99)[some](places), fixed(name, "train", 7)(places))
    seen = WaveSource(("simple",), "val", 7).first(99)(places)
    torch.testing.assert_close(seen, fixed("simple", "val", 7)(places))


def test_weights_saved_before_modes_had_channels_answer_as_they_did(modes):
    """They had one channel, no axis for it and no scale, and other names."""
    before = deepcopy(modes)
    before.scale.fill_(1)
    state = {name: buffer.clone() for name, buffer in before.state_dict().items()}
    for name in ("mean", "modes", "residual_std"):
        state[name] = state[name].squeeze(1 if name == "modes" else -1)
    for earlier, name in EARLIER_NAMES.items():
        state[earlier] = state.pop(name)
    for name in ("scale", "inside", "joins"):
        del state[name]
    loaded = Modes(PodConfig(modes=100, degree=20), Signal(channels=1, mean=0.5, std=0.35))
    loaded.load_state_dict(state)
    _, samples = question("simple", "val", 4, 51, 0.0)
    assert torch.equal(loaded.encode(samples)(gl.grid(16, 16)), before.encode(samples)(gl.grid(16, 16)))


def test_readings_off_the_unit_of_the_training_fields_are_answered_as_kriging_does():
    """10 ± 0.5 where training fields lie in [0, 1]: they were off by 9.8 and said 0.4."""
    generator = torch.Generator().manual_seed(0)
    coords = torch.rand(6, 300, 2, generator=generator)
    covariance = torch.exp(-8 * torch.cdist(coords.double(), coords.double()).square()) + 1e-6 * torch.eye(300)
    noise = 0.02 * torch.randn(6, 51, 1, generator=generator)
    wave = torch.linalg.cholesky(covariance) @ torch.randn(6, 300, 1, generator=generator).double()
    truth = (10 + 0.5 * wave).float()
    samples = gl.Samples(truth[:, :51] + noise, coords=coords[:, :51])
    config = PodConfig(modes=100, degree=20, clusters=8, rank=30)
    careful = fitted_modes(config, WaveSource(("simple", "radial")), gl.bases.Kriging())
    with pytest.warns(UserWarning, match="readings of 6 of 6 fields are unlike"):
        mean, std = careful.encode(samples).mean_and_std(coords[:, 51:])
    kriged, _ = gl.Field.of_base(gl.bases.Kriging(), samples).mean_and_std(coords[:, 51:])
    error, other = ((answer - truth[:, 51:]) for answer in (mean, kriged))
    assert error.square().mean().sqrt() < 1.05 * other.square().mean().sqrt() < 0.1
    assert 0.8 < (error.abs() < 1.645 * std).float().mean() < 0.96
