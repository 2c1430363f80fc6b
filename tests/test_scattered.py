"""Classical fields from scattered readings: each reproduces what it can, and says how sure it is where it knows."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

import gridless as gl
from gridless.bases import SCATTERED, Pod, Scattered, fit_pod
from gridless.bases import modes as pod_module
from gridless.bases.clusters import k_means
from gridless.bases.modes import KEPT, NOISES
from gridless.bases.modes_fitting import _describe
from gridless.bases.scattered import idw
from gridless.config import Pod as PodConfig
from gridless.config import Signal
from gridless.data.waves import WaveSource, fixed, place, read
from gridless.scoring.field_scores import question


@pytest.fixture
def points() -> torch.Tensor:
    return torch.rand(40, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pod() -> Pod:
    signal = Signal(channels=1, mean=0.5, std=0.35)
    return fit_pod(Pod(PodConfig(modes=100, degree=20), signal), WaveSource(("simple",)))


@pytest.mark.parametrize("kind", SCATTERED)
def test_the_mean_of_constants_is_the_constant(kind, points):
    field = Scattered(kind).encode(gl.Samples.from_points(points, torch.full((40, 2), 0.5)))
    torch.testing.assert_close(field(torch.rand(30, 2)), torch.full((30, 2), 0.5), rtol=0, atol=2e-3)


@pytest.mark.parametrize("kind", ["nearest", "idw", "linear", "rbf"])
def test_clean_readings_come_back(kind, points):
    values = torch.rand(40, 1)
    field = Scattered(kind).encode(gl.Samples.from_points(points, values))
    torch.testing.assert_close(field(points), values, rtol=0, atol=1e-4)


def test_inverse_distances_weigh_by_their_square_and_may_see_the_nearest_only():
    x, y = np.array([[0.0, 0.0], [0.3, 0.0], [1.0, 0.0]]), np.array([[1.0], [2.0], [9.0]])
    weights = 1 / np.array([0.1, 0.2, 0.9]) ** 2
    asked = np.array([[0.1, 0.0]])
    np.testing.assert_allclose(idw(x, y)(asked), (weights @ y / weights.sum())[None])
    np.testing.assert_allclose(idw(x, y, neighbours=2)(asked), (weights[:2] @ y[:2] / weights[:2].sum())[None])
    np.testing.assert_allclose(idw(x, y)(x), y)


def test_linear_reproduces_planes_and_kriging_smooth_fields(points):
    plane = lambda x: 0.2 + 0.5 * x[:, :1] - 0.3 * x[:, 1:]  # noqa: E731
    inside = torch.rand(50, 2) * 0.4 + 0.3
    for kind in ("linear", "rbf"):
        field = Scattered(kind).encode(gl.Samples.from_points(points, plane(points)))
        torch.testing.assert_close(field(inside), plane(inside), rtol=0, atol=1e-4)
    smooth = lambda x: (3 * x[:, :1]).sin() * (2 * x[:, 1:]).cos()  # noqa: E731
    field = Scattered("gp").encode(gl.Samples.from_points(points, smooth(points)))
    assert (field(inside) - smooth(inside)).abs().max() < 0.02


def test_kriging_is_less_sure_where_nothing_was_read():
    near = torch.rand(30, 2) * 0.3
    field = Scattered("gp").encode(gl.Samples.from_points(near, (9 * near[:, :1]).sin()))
    std = field.std(torch.tensor([[0.15, 0.15], [0.95, 0.95]]))
    assert 0 < std[0] < 0.2 * std[1]
    with pytest.raises(ValueError, match="no spread"):
        Scattered("rbf").encode(gl.Samples.from_points(near, near[:, :1])).std(near)


@pytest.mark.parametrize("kind", SCATTERED)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_readings_or_readings_on_one_line(kind, count):
    coords = torch.linspace(0.1, 0.8, count)[:, None].expand(-1, 2)
    field = Scattered(kind).encode(gl.Samples.from_points(coords, torch.rand(count, 1)))
    assert field(torch.rand(9, 2)).isfinite().all()


def test_masked_readings_are_not_read(points):
    mask, values = torch.ones(40, dtype=torch.bool), torch.rand(40, 1)
    mask[25:] = False
    for kind in ("mean", "nearest", "linear", "rbf", "gp"):
        seen = Scattered(kind).encode(gl.Samples.from_points(points, values, mask))
        alone = Scattered(kind).encode(gl.Samples.from_points(points[:25], values[:25]))
        torch.testing.assert_close(seen(points), alone(points))


def test_the_oracle_finds_the_wave():
    waves, samples = question("simple", "val", 6, 51, 0.0, "random")
    coords = torch.rand(6, 100, 2)
    torch.testing.assert_close(Scattered("oracle").encode(samples)(coords), waves(coords), rtol=0, atol=1e-3)


def test_pod_recovers_fields_of_its_family_and_knows_how_well(pod):
    """51 readings of a family whose fields need fewer modes: nearly exact; with noise its intervals hold what they say."""
    coords = gl.grid(16, 16)
    waves, samples = question("simple", "val", 24, 51, 0.0, "random")
    truth = waves(coords.expand(24, -1, -1))
    error = pod.encode(samples)(coords) - truth
    assert float((-10 * error.square().mean((1, 2)).log10()).mean()) > 30
    rng = np.random.default_rng(0)
    noisy = read(waves, place(rng, 24, 80), rng, 0.1)
    value, std = pod.encode(noisy).mean_and_std(coords)
    inside = ((value - truth).abs() < 1.645 * std).float().mean()
    assert 0.75 < inside < 0.97


def test_clusters_of_fields_need_fewer_readings(pod):
    """26 readings are fewer than plain modes need; where every cluster has its own, they are enough."""
    signal = Signal(channels=1, mean=0.5, std=0.35)
    clustered = fit_pod(Pod(PodConfig(modes=100, degree=20, clusters=8, rank=30), signal), WaveSource(("simple",)))
    assert float(clustered.shares.sum()) == pytest.approx(1)
    coords = gl.grid(16, 16)
    waves, samples = question("simple", "val", 24, 26, 0.0, "random")
    truth = waves(coords.expand(24, -1, -1))
    psnr = lambda field: float((-10 * (field(coords) - truth).square().mean((1, 2)).log10()).mean())  # noqa: E731
    assert psnr(clustered.encode(samples)) > 40 > psnr(pod.encode(samples))
    rng = np.random.default_rng(0)
    value, std = clustered.encode(read(waves, place(rng, 24, 60), rng, 0.1)).mean_and_std(coords)
    assert 0.8 < ((value - truth).abs() < 1.645 * std).float().mean() < 0.97


def test_the_posterior_is_that_of_a_dense_gaussian():
    """Two clusters, a masked reading: evidence, mean and spread beside the textbook's, on Φ Λ Φᵀ + V."""
    torch.manual_seed(0)
    pod = Pod(PodConfig(modes=6, degree=4, clusters=2, rank=3), Signal(channels=1))
    for name in ("mean", "modes", "centres", "factors"):
        getattr(pod, name).copy_(0.3 * torch.randn(getattr(pod, name).shape))
    pod.rest.copy_(0.05 + 0.1 * torch.rand(2, 32, 32))
    pod.shares.copy_(torch.tensor([0.3, 0.7]))
    coords, asked, values = torch.rand(1, 5, 2), torch.rand(1, 7, 2), torch.randn(1, 5, 1)
    mask = torch.tensor([[True, True, False, True, True]])
    field = pod.encode(gl.Samples.from_points(coords, values, mask))
    seen, goal = (pod.basis(x[0].double()) for x in (coords[:, mask[0]], asked))
    y, guesses = values[0, mask[0], 0].double(), []

    def left(k: int, places: torch.Tensor) -> torch.Tensor:
        """Between cell centres, linearly."""
        middles = (np.arange(-1, 33) + 0.5) / 32
        around = np.pad(pod.rest[k].double().numpy(), 1, mode="edge")
        return torch.from_numpy(RegularGridInterpolator((middles, middles), around)(places.numpy())).square()

    for k in range(2):
        centre = pod.mean.double() + pod.modes.double() @ pod.centres[k].double()
        factor = pod.modes.double() @ pod.factors[k].double()
        for noise in NOISES:
            v = noise**2 * pod.variance + left(k, coords[0, mask[0]])
            kernel = seen @ factor @ factor.mT @ seen.mT + v.diag()
            density = torch.distributions.MultivariateNormal(seen @ centre, kernel)
            gain = goal @ factor @ factor.mT @ seen.mT @ torch.linalg.inv(kernel)
            mean = goal @ centre + gain @ (y - seen @ centre)
            spread = goal @ factor @ factor.mT @ goal.mT - gain @ seen @ factor @ factor.mT @ goal.mT
            guesses.append((density.log_prob(y) + pod.shares[k].log(), mean, spread.diagonal() + left(k, asked[0])))
    score, mean, variance = (torch.stack(x) for x in zip(*guesses, strict=True))
    best = score.topk(KEPT).indices
    share = score[best].softmax(0)[:, None]
    whole = (share * mean[best]).sum(0)
    std = ((share * (variance[best] + mean[best].square())).sum(0) - whole.square()).sqrt()
    torch.testing.assert_close(field(asked)[0, :, 0].double(), whole, rtol=0, atol=2e-3)
    torch.testing.assert_close(field.std(asked)[0, :, 0].double(), std, rtol=2e-3, atol=0)


def test_what_few_fields_do_not_tell_is_left_to_doubt():
    """The variance of a cluster is that of its modes and what they leave out, however few fields it has."""
    pod, weights = Pod(PodConfig(modes=12, degree=4, clusters=2, rank=10), Signal(channels=1)), torch.randn(50, 12)
    chosen = (torch.arange(50) < 8).long()
    left = _describe(pod, weights, torch.zeros(50), chosen)
    for k in (0, 1):
        whole = weights[chosen == k].var(0, correction=0).sum()
        torch.testing.assert_close(pod.factors[k].square().sum() + left[k], whole)


@pytest.fixture(scope="module")
def many_clusters():
    """More of them than are looked at closely, of more modes than lead."""
    pod = Pod(PodConfig(modes=60, degree=12, clusters=24, rank=30), Signal(channels=1, mean=0.5, std=0.35))
    return fit_pod(pod, WaveSource(("simple", "radial")))


def test_a_first_look_finds_the_clusters_that_count(many_clusters, monkeypatch):
    assert len(many_clusters.shares) > pod_module.LOOKED_AT and many_clusters.factors.shape[2] > pod_module.LEADING
    coords = gl.grid(16, 16)
    for noise in (0.0, 0.1):
        waves, samples = question("simple", "val", 24, 26, noise, "random")
        looked = many_clusters.encode(samples)(coords)
        monkeypatch.setattr(pod_module, "LOOKED_AT", 24)
        every = many_clusters.encode(samples)(coords)
        monkeypatch.undo()
        error = (every - waves(coords.expand(24, -1, -1))).square().mean()
        assert (looked - every).square().mean() < 0.05 * error


def test_doubt_is_that_of_fields_that_the_modes_have_not_seen(many_clusters):
    fields = fixed("simple", "val", 200)
    places = torch.rand(200, 400, 2, generator=torch.Generator().manual_seed(0))
    waves = fields(places)
    value, std = many_clusters.encode(gl.Samples.from_points(places, waves)).mean_and_std(gl.grid(20, 20))
    wrong = value - fields(gl.grid(20, 20).expand(200, -1, -1))
    assert 0.8 < float(wrong.square().mean() / std.square().mean()) ** 0.5 < 1.25


def test_k_means_parts_what_lies_apart():
    middles = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    points = middles.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
    chosen = k_means(points, 3).view(50, 3)
    assert (chosen == chosen[0]).all()
    assert len(set(chosen[0].tolist())) == 3


def test_clusters_cannot_have_more_modes_than_they_share():
    with pytest.raises(ValueError, match="base.rank 9 is more than the base.modes 5"):
        Pod(PodConfig(modes=5, rank=9, degree=4), Signal(channels=1))
    with pytest.raises(ValueError, match="base.modes 20 are more than the 4\\^2 polynomials of base.degree 4"):
        Pod(PodConfig(modes=20, degree=4), Signal(channels=1))


def test_pod_has_a_gradient_and_its_polynomials_are_orthonormal(pod):
    waves = fixed("simple", "test", 1)
    field = pod.encode(read(waves, torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(1)), None))
    coords = torch.rand(20, 2)
    torch.testing.assert_close(
        field.gradient(coords)[..., 0, :], waves.gradient(coords[None])[0, :, 0], rtol=0, atol=0.05
    )
    grid = gl.grid(200, 200, dtype=torch.float64)
    basis = pod.basis(grid)[:, :10]
    torch.testing.assert_close(basis.T @ basis / len(grid), torch.eye(10, dtype=torch.float64), rtol=0, atol=0.01)


def test_unfitted_pod_answers_the_mean_of_the_signal(points):
    unfitted = Pod(PodConfig(modes=5, degree=4), Signal(channels=1, mean=0.3, std=0.35))
    field = unfitted.encode(gl.Samples.from_points(points, torch.rand(40, 1)))
    torch.testing.assert_close(field(points), torch.full((40, 1), 0.3))


def test_an_unknown_baseline_names_those_there_are():
    with pytest.raises(
        ValueError, match="no baseline 'spline' for scattered readings; there are mean, nearest, idw, linear"
    ):
        Scattered("spline")
