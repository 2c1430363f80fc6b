"""Modes: fields of a kind from few readings, on polynomials and on the grid of an archive, and what is unlike them."""

import pickle
from dataclasses import dataclass, replace
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import question, read, tiny
from scipy.interpolate import RegularGridInterpolator

import gridless as gl
from gridless.bases import Modes, fit_modes, mode_mixture
from gridless.bases.clusters import k_means
from gridless.bases.mixture import SolvedMixture
from gridless.bases.mode_mixture import HYPOTHESES, NOISES, Readings
from gridless.bases.modes_fitting import _describe
from gridless.config import Pod as PodConfig
from gridless.config import Signal, Train
from gridless.data.waves import FAMILIES, WaveSource, fixed, place


def fitted(config: PodConfig, source: WaveSource, fallback=None) -> Modes:
    modes = Modes(config, Signal(channels=1, mean=0.5, std=0.35), fallback)
    fit_modes(modes, source.first(2000))
    return modes


@pytest.fixture
def points() -> torch.Tensor:
    return torch.rand(40, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def modes() -> Modes:
    return fitted(PodConfig(modes=100, degree=20), WaveSource(("simple",)))


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
    clustered = fitted(PodConfig(modes=100, degree=20, clusters=8, rank=30), WaveSource(("simple",)))
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
    return fitted(PodConfig(modes=60, degree=12, clusters=24, rank=30), WaveSource(("simple", "radial")))


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


# --- archives -----------------------------------------------------------------------------------------------------

SHAPE = (10, 16)


def periodic_fields(count: int, shape=SHAPE, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Sums of three smooth patterns that join at the ends of the last axis, (count *grid C); channel c is some of them."""
    generator = torch.Generator().manual_seed(seed)
    coords = gl.grid(*shape, dtype=torch.float64)
    wave, other = 2 * torch.pi * coords[:, -1], 3 * coords[:, 0]
    patterns = torch.stack([wave.sin() * other.cos(), wave.cos() + other, (wave + 1).sin() * other.sin()], -1)
    weights = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3 * channels, generator=torch.Generator().manual_seed(9)).double())[0]
    mixed = torch.stack([weights @ (turn.mT if c else torch.eye(3).double()) for c in range(channels)], -1)
    return 5 + torch.einsum("pk,skc->spc", patterns, mixed).unflatten(1, shape)


def gridded(values: torch.Tensor, masks=None) -> list[SimpleNamespace]:
    masks = [None] * len(values) if masks is None else masks
    return [SimpleNamespace(values=v, mask=m) for v, m in zip(values, masks, strict=True)]


def archive(fields, rank: int = 3, axes: int = 2, channels: int = 1, fallback=None, **options) -> Modes:
    config = PodConfig(representation="grid", modes=rank, **options)
    modes = Modes(config, Signal(axes=axes, channels=channels), fallback)
    fit_modes(modes, fields)
    return modes


def readings(values: torch.Tensor, count: int, seed: int = 0) -> gl.Samples:
    """Of fields (B *grid C) at cells that differ from field to field."""
    generator = torch.Generator().manual_seed(seed)
    shape, flat = values.shape[1:-1], values.flatten(1, -2)
    index = torch.stack([torch.randperm(flat.shape[1], generator=generator)[:count] for _ in flat])
    coords = gl.grid(*shape, dtype=torch.float64)[index]
    return gl.Samples(flat.gather(1, index[..., None].expand(-1, -1, flat.shape[-1])), coords=coords)


@pytest.mark.parametrize("shape", [(40,), (10, 16), (4, 5, 12)])
def test_an_archive_of_any_axes_teaches_its_fields(shape):
    values = periodic_fields(60, shape)
    modes = archive(gridded(values[:50]), axes=len(shape), periodic=(False,) * (len(shape) - 1) + (True,))
    solved, cells = modes.solve(readings(values[50:], 8)), gl.grid(*shape, dtype=torch.float64).expand(10, -1, -1)
    torch.testing.assert_close(solved(cells), values[50:].flatten(1, -2), rtol=0, atol=0.02)
    assert solved.std(cells).max() < 0.1 < values.std()


def test_a_period_joins_in_value_and_gradient():
    values = periodic_fields(30)
    ends = torch.tensor([[[0.3, 0.0], [0.3, 1.0]]], dtype=torch.float64)
    samples = readings(values[:1], 20)
    for periodic in ((False, True), ()):
        modes = archive(gridded(values), periodic=periodic)
        x = ends.clone().requires_grad_()
        answer = modes.solve(samples)(x)
        slope = torch.autograd.grad(answer.sum(), x)[0]
        apart = (answer[0, 0] - answer[0, 1]).abs().item(), (slope[0, 0] - slope[0, 1]).abs().max().item()
        assert max(apart) < 1e-9 if periodic else min(apart) > 1e-2
    step = 1e-6 * torch.tensor([1.0, 0.0], dtype=torch.float64)
    solved, place = modes.solve(samples), torch.rand(1, 9, 2, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(solved(place).sum(), place)[0][..., 0]
    difference = (solved(place + step) - solved(place - step))[..., 0] / 2e-6
    torch.testing.assert_close(slope, difference, rtol=0, atol=1e-6)


def test_land_has_no_answer_unless_what_is_nearest_is_asked_for():
    values, ocean = periodic_fields(30), torch.ones(SHAPE, dtype=torch.bool)
    ocean[3:6, 4:9] = False
    cells = gl.grid(*SHAPE, dtype=torch.float64)[None]
    samples = gl.Samples(values[:1].flatten(1, 2), coords=cells, mask=ocean.flatten()[None])
    broken = values.where(ocean[..., None], torch.nan)  # as files have it
    for fields in (
        gridded(broken),
        gridded(values, [ocean] * 30),
        gridded(values.where(ocean[..., None], -9999), [ocean] * 30),
    ):
        solved = archive(fields).solve(samples)
        assert torch.equal(solved(cells)[0, :, 0].isfinite(), ocean.flatten())
        assert torch.equal(solved.std(cells)[0, :, 0].isfinite(), ocean.flatten())
        torch.testing.assert_close(solved(cells)[0, ocean.flatten()], values[0, ocean], rtol=0, atol=0.02)
        filled = archive(fields, outside="nearest").solve(samples)
        assert filled(cells).isfinite().all() and filled.std(cells).isfinite().all()
        assert filled(cells).min() > values[0].min() - 0.5 and filled(cells).max() < values[0].max() + 0.5
        beside = torch.rand(1, 500, 2, dtype=torch.float64)  # the coast does not bend what lies beside it
        whole = archive(gridded(values)).solve(samples)(beside)
        sea = filled.mixture.basis.contains(beside)[..., 0]
        assert (filled(beside) - whole)[sea].abs().max() < 0.4 * values.std()


def test_holes_in_training_fields_are_filled_with_what_the_modes_say():
    """40 % of the cells missing, other ones in every field: the modes are still those of the whole fields."""
    values = periodic_fields(80)
    seen = torch.rand(60, *SHAPE, generator=torch.Generator().manual_seed(1)) > 0.4
    samples, cells = readings(values[60:], 10), gl.grid(*SHAPE, dtype=torch.float64).expand(20, -1, -1)
    error = archive(gridded(values[:60], seen)).solve(samples)(cells) - values[60:].flatten(1, 2)
    assert error.square().mean().sqrt() < 0.03 * values.std()


def test_one_channel_tells_of_another_in_units_of_its_own():
    values = periodic_fields(60, channels=2) * torch.tensor([1.0, 1e4]) + torch.tensor([0.0, 2e5])
    modes = archive(gridded(values[:50]), channels=2)
    samples = readings(values[50:], 12)
    samples.values[..., 1] = torch.nan  # not measured
    cells = gl.grid(*SHAPE, dtype=torch.float64).expand(10, -1, -1)
    error = (modes.solve(samples)(cells) - values[50:].flatten(1, 2)).square().mean((0, 1)).sqrt()
    assert (error < 0.02 * values.std((0, 1, 2))).all()


def test_a_reading_of_known_large_noise_counts_as_none():
    values = periodic_fields(40)
    samples, mixture = readings(values[:2], 6), archive(gridded(values)).mixture
    heard = Readings.of(samples, mixture.scale)
    noise = torch.zeros_like(heard.values)
    noise[:, 3] = 1e12
    ignored = heard.measured.clone()
    ignored[:, 3] = False
    one = mixture.posterior(replace(heard, noise_variance=noise)).mean
    two = mixture.posterior(replace(heard, measured=ignored)).mean
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_answers_have_the_units_of_the_archive():
    values = periodic_fields(40)
    samples, cells = readings(values[:2], 12), torch.rand(2, 50, 2, dtype=torch.float64)
    one = archive(gridded(values)).solve(samples)
    two = archive(gridded(300 * values - 50)).solve(replace(samples, values=300 * samples.values - 50))
    torch.testing.assert_close(two(cells), 300 * one(cells) - 50, rtol=0, atol=0.2)
    torch.testing.assert_close(two.std(cells), 300 * one.std(cells), rtol=0.02, atol=0)
    torch.testing.assert_close(two.posterior.log_evidence, one.posterior.log_evidence - 12 * log(300), rtol=0, atol=0.2)


def test_an_archive_survives_saving_and_a_solved_field_pickling(tmp_path):
    values = periodic_fields(30)
    land = torch.ones(SHAPE, dtype=torch.bool)
    land[:2] = False
    base = {"kind": "pod", "representation": "grid", "modes": 3, "periodic": [False, True]}
    model = tiny("sensors", {"base": base})
    fit_modes(model.base, gridded(values, [land] * 30))
    samples, coords = readings(values[:2].float(), 9), torch.rand(2, 20, 2)
    solved = model.base.solve(samples)
    model.save_pretrained(tmp_path)
    again = gl.FieldModel.from_pretrained(tmp_path).base.solve(samples)
    thawed = pickle.loads(pickle.dumps(solved))
    for other in (again, thawed, solved.to("cpu")):
        for ask in (lambda s: s(coords), lambda s: s.std(coords), lambda s: s.draws(3, 1)(coords)):
            torch.testing.assert_close(ask(other), ask(solved), rtol=0, atol=0, equal_nan=True)
    fit_modes(model.base, gridded(2 * values))  # a field is a value
    assert torch.equal(solved(coords).nan_to_num(), thawed(coords).nan_to_num())


def test_fields_that_cannot_be_fitted_are_named():
    values = periodic_fields(4)
    with pytest.raises(ValueError, match="share one grid: expected values .10, 16, 1., got .9, 16, 1."):
        archive([*gridded(values), *gridded(values[:, 1:])])
    with pytest.raises(ValueError, match="2 axes and 1 channels, got values .10, 16, 2."):
        archive(gridded(periodic_fields(4, channels=2)))
    with pytest.raises(ValueError, match="gridded fields take base.representation = 'grid'"):
        fit_modes(Modes(PodConfig(modes=3, degree=4), Signal(channels=1)), gridded(values))
    with pytest.raises(ValueError, match="formula fields take base.representation = 'legendre'"):
        archive(fixed("simple", "train", 9))
    with pytest.raises(ValueError, match="at least 2 training fields, got 1"):
        archive(gridded(values[:1]))
    with pytest.raises(ValueError, match="base.periodic must name each of 2 axes"):
        archive(gridded(values), periodic=(True,))
    with pytest.raises(ValueError, match="these modes have 2 axes and 1 channels, got samples with 2 and 3"):
        archive(gridded(values)).solve(gl.Samples.from_points(torch.rand(4, 2), torch.rand(4, 3)))


# --- what is trained on --------------------------------------------------------------------------------------------


def test_exactly_the_training_fields_are_fitted():
    """`data.fields` is all that there is, and facts say how many and how long."""
    base = {"kind": "pod", "modes": 4, "degree": 6}
    few = WaveSource(("simple", "radial"), fields=7)
    model = tiny("sensors", {"base": base})
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


def test_the_weights_that_ship_answer_as_they_did():
    """Saved when modes had one channel and other names: RMSE of four fields of each family, as then."""
    base = gl.FieldModel.from_pretrained("waves-all").base
    rmse, cells = [], gl.grid(24, 24)
    for family in FAMILIES:
        waves = fixed(family, "val", 4)
        samples = read(waves, place(np.random.default_rng(1), 4, 51), None)
        error = base.solve(samples)(cells.expand(4, -1, -1)) - waves(cells.expand(4, -1, -1))
        rmse.append(float(error.square().mean().sqrt()))
    assert rmse == pytest.approx([0.000825, 0.025697, 0.001309, 0.003933, 0.032020, 0.004899], rel=2e-3)


def test_the_weights_that_ship_answer_readings_off_their_unit_as_kriging_does():
    """10 ± 0.5 where training fields lie in [0, 1]: they were off by 9.8 and said 0.4."""
    generator = torch.Generator().manual_seed(0)
    coords = torch.rand(6, 300, 2, generator=generator)
    covariance = torch.exp(-8 * torch.cdist(coords.double(), coords.double()).square()) + 1e-6 * torch.eye(300)
    noise = 0.02 * torch.randn(6, 51, 1, generator=generator)
    wave = torch.linalg.cholesky(covariance) @ torch.randn(6, 300, 1, generator=generator).double()
    truth = (10 + 0.5 * wave).float()
    samples = gl.Samples(truth[:, :51] + noise, coords=coords[:, :51])
    with pytest.warns(UserWarning, match="readings of 6 of 6 fields are unlike"):
        mean, std = gl.FieldModel.from_pretrained("waves-all").encode(samples).mean_and_std(coords[:, 51:])
    kriged, _ = gl.Field.of_base(gl.bases.Kriging(), samples).mean_and_std(coords[:, 51:])
    error, other = ((answer - truth[:, 51:]) for answer in (mean, kriged))
    assert error.square().mean().sqrt() < 1.05 * other.square().mean().sqrt() < 0.1
    assert 0.8 < (error.abs() < 1.645 * std).float().mean() < 0.96


# --- readings unlike the training fields ----------------------------------------------------------------------------


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
    return fitted(PodConfig(modes=100, degree=20, clusters=8, rank=30), WaveSource(("simple",)), SmoothFields())


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
