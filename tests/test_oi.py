"""Optimal interpolation: exact, honest, better than what it is made of; the laws of a base."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless.bases import Kriging, Modes, Oi, oi_fitting, oi_prior
from gridless.bases.climatology import Sums, design, harmonics_of, phases, runs

SHAPE = (10, 14)
DOMAIN = gl.Domain.box({"y": (0, 10), "x": (0, 14)}, y="km", x="km")
SIGNAL = gl.config.Signal(axes=2, channels=1)


@pytest.fixture(scope="module", autouse=True)
def quickly():
    """Shapes are judged by fewer fields and readings than usual: of so small a grid these are enough."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"JUDGED": 35, "SEARCHED": 14, "SENSORS": (10, 60), "ASKED": 60}.items():
            patch.setattr(oi_fitting, name, value)
        yield


def patterns() -> torch.Tensor:
    y, x = gl.grid(*SHAPE, dtype=torch.float64).T
    return torch.stack([(3 * y).sin(), (4 * x).cos(), (3 * (x + y)).sin()], -1)


def rough_root(length: float = 0.15) -> torch.Tensor:
    places = DOMAIN.embed(gl.grid(*SHAPE, dtype=torch.float64))
    return torch.linalg.cholesky(torch.exp(-torch.cdist(places, places) / length) + 1e-9 * torch.eye(len(places)))


def fields(count: int, seed: int = 0, rough: float = 0.6) -> torch.Tensor:
    """Three patterns and a Matérn field around 280, (count *grid 1)."""
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn(count, 3, generator=generator, dtype=torch.float64) @ patterns().mT
    noise = torch.randn(count, len(patterns()), generator=generator, dtype=torch.float64)
    return (280 + smooth + rough * noise @ rough_root().mT).unflatten(1, SHAPE)[..., None]


def archive(values: torch.Tensor, mask: torch.Tensor | None = None) -> list[gl.Samples]:
    return [gl.Samples.from_grid(value, mask=mask, domain=DOMAIN) for value in values]


def fitted(values: torch.Tensor, mask: torch.Tensor | None = None, fallback=None, **options) -> Oi:
    oi = Oi(gl.config.Oi(modes=6, shapes=3, **options), gl.config.Signal(axes=2, channels=values.shape[-1]), fallback)
    oi.fit(archive(values, mask))
    return oi


def readings(values: torch.Tensor, count: int, seed: int = 0) -> gl.Samples:
    index = torch.randperm(SHAPE[0] * SHAPE[1], generator=torch.Generator().manual_seed(seed))[:count]
    coords = gl.grid(*SHAPE, dtype=torch.float64)[index]
    flat = values.flatten(1, 2)[:, index]
    return gl.Samples(flat, coords=coords.expand(len(flat), -1, -1), domain=DOMAIN)


def best_guess(samples: gl.Samples) -> torch.Tensor:
    """By the covariance that the fields are drawn with."""
    x, at = (DOMAIN.embed(coords[0]) for coords in (CELLS, samples.coords))
    index = torch.cdist(at, x).argmin(1)
    covariance = patterns() @ patterns().mT + 0.36 * torch.exp(-torch.cdist(x, x) / 0.15)
    seen = covariance[index][:, index] + 1e-9 * torch.eye(len(index))
    return 280 + covariance[:, index] @ torch.linalg.solve(seen, samples.values - 280)


CELLS = gl.grid(*SHAPE, dtype=torch.float64)[None]


@pytest.fixture(scope="module")
def oi() -> Oi:
    return fitted(fields(60))


@pytest.fixture
def samples() -> gl.Samples:
    return readings(fields(3, seed=1), 25)


def test_unfitted_it_answers_the_climatology_as_unsure_as_readings_lie_around_it(samples):
    unfitted = Oi(gl.config.Oi(), gl.config.Signal(axes=2, channels=1, mean=279.0, std=2.0))
    solved = unfitted.solve(samples)
    everywhere = torch.full((3, CELLS.shape[1], 1), 279.0, dtype=torch.float64)
    torch.testing.assert_close(solved(CELLS.expand(3, -1, -1)), everywhere)
    away = (samples.values - 279).square().mean((1, 2)).sqrt()
    torch.testing.assert_close(solved.std(CELLS.expand(3, -1, -1))[:, 0, 0], away)


def test_readings_come_back_and_are_sure(oi, samples):
    solved = oi.solve(samples)
    torch.testing.assert_close(solved(samples.coords), samples.values, rtol=0, atol=0.05)
    assert solved.std(samples.coords).max() < 0.1 < 0.3 * solved.std(CELLS.expand(3, -1, -1)).max()


def test_it_beats_modes_and_kriging_and_its_intervals_hold_what_they_say(oi):
    values = fields(40, seed=2)
    pod = Modes(gl.config.Pod(representation="grid", modes=6), SIGNAL)
    pod.fit(archive(fields(60)))
    for count in (15, 60):
        samples = readings(values, count)
        solved, truth = oi.solve(samples), values.flatten(1, 2)
        rmse = {
            name: float((base.solve(samples)(CELLS.expand(40, -1, -1)) - truth).square().mean().sqrt())
            for name, base in {"oi": oi, "pod": pod, "kriging": Kriging()}.items()
        }
        assert rmse["oi"] < 0.97 * min(rmse["pod"], rmse["kriging"]), rmse
        assert rmse["oi"] < 1.1 * float((best_guess(samples) - truth).square().mean().sqrt())
        unread = (torch.cdist(CELLS, samples.coords[:1])[0] > 1e-9).all(1)
        z = ((solved(CELLS.expand(40, -1, -1)) - truth).abs() / solved.std(CELLS.expand(40, -1, -1)))[:, unread]
        assert 0.85 < float((z < 1.645).double().mean()) < 0.95
        assert 0.4 < float((z < 0.6745).double().mean()) < 0.6


def test_a_field_livelier_than_the_archive_is_answered_with_a_wider_spread(oi):
    values = 280 + 1.7 * (fields(30, seed=3) - 280)
    solved = oi.solve(readings(values, 30))
    usual = oi.solve(readings(280 + (values - 280) / 1.7, 30)).std(CELLS.expand(30, -1, -1))
    z = (solved(CELLS.expand(30, -1, -1)) - values.flatten(1, 2)).abs() / solved.std(CELLS.expand(30, -1, -1))
    assert solved.std(CELLS.expand(30, -1, -1)).mean() > 1.3 * usual.mean()
    assert float((z < 1.645).double().mean()) > 0.8


def test_posterior_samples_have_its_mean_and_spread_and_go_through_the_readings(oi, samples):
    solved, places = oi.solve(samples), torch.rand(1, 40, 2, dtype=torch.float64).expand(3, -1, -1)
    drawn = solved.draws(300, seed=1)(places)
    assert drawn.shape == (3, 300, 40, 1)
    std = solved.std(places)
    assert ((drawn.mean(1) - solved(places)).abs() / std).mean() < 0.15
    assert 0.85 < float((drawn.std(1) / std).mean()) < 1.15
    at_readings = solved.draws(3, seed=1)(samples.coords)
    assert (at_readings - samples.values[:, None]).abs().max() < 0.2
    again = solved.draws(300, seed=1)(places[:, :4])
    torch.testing.assert_close(again, drawn[:, :, :4])


def test_neither_order_nor_padding_nor_the_rest_of_a_batch_change_an_answer(oi, samples):
    places = CELLS[:, ::7].expand(3, -1, -1)
    expected = oi.solve(samples)(places)
    order = torch.randperm(25, generator=torch.Generator().manual_seed(4))
    turned = replace(samples, values=samples.values[:, order], coords=samples.coords[:, order])
    more = torch.nn.functional.pad
    padded = replace(
        samples, values=more(samples.values, (0, 0, 0, 5)), coords=more(samples.coords, (0, 0, 0, 5)),
        mask=more(torch.ones(3, 25, dtype=torch.bool), (0, 5)),
    )  # fmt: skip
    for other in (turned, padded):
        torch.testing.assert_close(oi.solve(other)(places), expected, rtol=0, atol=1e-8)
    alone = oi.solve(samples.select(slice(1, 2)))
    torch.testing.assert_close(alone(places[:1])[0], expected[1], rtol=0, atol=1e-8)
    torch.testing.assert_close(alone.std(places[:1])[0], oi.solve(samples).std(places)[1], rtol=1e-6, atol=0)


def test_channels_have_units_of_their_own_and_tell_of_each_other():
    one = fields(60)
    both = torch.cat([one, 1000 * (one - 280) + 300 * (fields(60, seed=9) - 280)], -1)
    oi, samples = fitted(both[:50]), readings(both[50:], 20)
    hidden = replace(samples, values=samples.values.clone())
    hidden.values[..., 1] = torch.nan
    truth, scale = both[50:].flatten(1, 2), both.std((0, 1, 2))
    cells = CELLS.expand(10, -1, -1)
    whole, half = ((oi.solve(s)(cells) - truth).square().mean((0, 1)).sqrt() / scale for s in (samples, hidden))
    assert (whole < 0.5).all() and whole[1] < half[1] < 0.9 and oi.solve(hidden).std(cells).isfinite().all(), (
        whole,
        half,
    )


def test_units_are_affine(oi, samples):
    other, places = fitted(32 + 1.8 * fields(60)), CELLS[:, ::5].expand(3, -1, -1)
    one, two = oi.solve(samples), other.solve(replace(samples, values=32 + 1.8 * samples.values))
    torch.testing.assert_close(two(places), 32 + 1.8 * one(places), rtol=0, atol=2e-3)
    torch.testing.assert_close(two.std(places), 1.8 * one.std(places), rtol=1e-2, atol=0)


def test_land_has_no_answer_unless_what_is_nearest_is_asked_for():
    values, ocean = fields(30), torch.ones(SHAPE, dtype=torch.bool)
    ocean[3:6, 4:8] = False
    samples = replace(readings(values[:1], 60), mask=None)
    sea = gl.grid(*SHAPE, dtype=torch.float64)[ocean.flatten()][::3]
    samples = gl.Samples(values[:1].flatten(1, 2)[:, ocean.flatten()][:, ::3], coords=sea[None], domain=DOMAIN)
    solved = fitted(values, ocean).solve(samples)
    assert torch.equal(solved(CELLS)[0, :, 0].isfinite(), ocean.flatten())
    assert torch.equal(solved.std(CELLS)[0, :, 0].isfinite(), ocean.flatten())
    filled = fitted(values, ocean, outside="nearest").solve(samples)
    assert filled(CELLS).isfinite().all() and filled.std(CELLS).isfinite().all()


def test_gradients_are_those_of_finite_differences(oi, samples):
    places = 0.1 + 0.8 * torch.rand(3, 6, 2, dtype=torch.float64)
    values = samples.values.clone().requires_grad_()
    places.requires_grad_()
    of_places, of_values = torch.autograd.grad(
        oi.solve(replace(samples, values=values))(places).sum(), (places, values)
    )
    step = 1e-5
    with torch.no_grad():
        for axis in (0, 1):
            away = step * torch.eye(2, dtype=torch.float64)[axis]
            solved = oi.solve(samples)
            slope = (solved(places + away) - solved(places - away))[..., 0] / (2 * step)
            torch.testing.assert_close(of_places[..., axis], slope, rtol=1e-4, atol=1e-4)
        for b, n in ((0, 3), (2, 20)):
            away = torch.zeros_like(samples.values)
            away[b, n] = step
            ends = [oi.solve(replace(samples, values=samples.values + s * away))(places).sum() for s in (1, -1)]
            torch.testing.assert_close(of_values[b, n, 0], (ends[0] - ends[1]) / (2 * step), rtol=1e-3, atol=1e-4)


def test_a_model_with_it_as_base_starts_there_and_is_saved_with_it(tmp_path, samples):
    model = gl.FieldModel(gl.preset("sensors", "tiny", base={"kind": "oi", "modes": 4, "shapes": 2}))
    train = gl.config.Train(steps=1, batch=2, queries=9)
    gl.fit(model, archive(fields(12).float()), gl.SparseField(), train=train, quiet=True)
    model = model.eval()
    model.save_pretrained(tmp_path)
    again = gl.FieldModel.from_pretrained(tmp_path)
    samples = replace(samples, values=samples.values.float(), coords=samples.coords.float())
    places = torch.rand(3, 9, 2)
    for ask in (lambda s: s(places), lambda s: s.std(places), lambda s: s.draws(2, 1)(places)):
        torch.testing.assert_close(ask(again.base.solve(samples)), ask(model.base.solve(samples)), rtol=0, atol=0)
    thawed = pickle.loads(pickle.dumps(model.base.solve(samples)))
    assert torch.equal(thawed(places), model.base.solve(samples)(places))
    fresh = tiny("sensors", {"base": {"kind": "oi", "modes": 4, "shapes": 2}})
    fresh.head.linear.weight.data.zero_()
    fresh.base.fit(archive(fields(12).float()))
    torch.testing.assert_close(fresh.encode(samples)(places), fresh.base.solve(samples)(places))


def test_readings_unlike_the_archive_are_answered_by_kriging():
    oi = fitted(fields(40), fallback=Kriging())
    strange = replace(readings(fields(1, seed=5), 30), values=1e3 * torch.rand(1, 30, 1).double())
    with pytest.warns(UserWarning, match="readings of 1 of 1 fields are unlike the fields"):
        solved = oi.solve(strange)
    torch.testing.assert_close(solved(CELLS), Kriging().solve(strange)(CELLS))
    assert solved.reading_variance(CELLS).shape == (1, 1, 1)


def test_a_year_is_known_by_its_harmonics(samples):
    times = np.datetime64("2001-01-15") + np.arange(0, 60 * 30, 30).astype("timedelta64[D]")
    phase = phases(times, "year")
    season = (5 * (2 * np.pi * phase).cos())[:, None, None, None]
    values = fields(60) + season
    folds = runs(60)
    sums = Sums.of(archive(values), phase, "year", folds)
    harmonics = harmonics_of(archive(values), phase, "year", sums, folds)
    usual = (sums.coefficients(range(len(folds)), harmonics) @ design(phase).mT).movedim(-1, 0)
    assert harmonics >= 1 and (usual - 280 - season).square().mean().sqrt() < 0.6
    oi = Oi(gl.config.Oi(modes=4, shapes=2, cycle="year"), SIGNAL)
    oi.fit(archive(values), times)
    late = np.datetime64("2010-01-01")
    warm = replace(samples, values=samples.values + 5)
    error = (oi.solve(warm, late)(CELLS.expand(3, -1, -1)) - fields(3, seed=1).flatten(1, 2) - 5).square().mean().sqrt()
    assert error < 0.8
    with pytest.raises(ValueError, match="needs to know when: give times"):
        oi.solve(samples)


def test_runs_of_unequal_lengths_have_fewer_modes_than_asked_for():
    oi = Oi(gl.config.Oi(shapes=2), SIGNAL)
    oi.fit(archive(fields(9)))
    assert oi.modes.shape[-1] == 7 and oi.solve(readings(fields(1), 9))(CELLS).isfinite().all()


def test_what_cannot_be_fitted_or_answered_is_named(oi, samples):
    with pytest.raises(ValueError, match="at least 4, got 3"):
        fitted(fields(3))
    with pytest.raises(ValueError, match="another domain than the archive"):
        oi.solve(replace(samples, domain=None))
    with pytest.raises(ValueError, match="2 axes and 1 channels, got samples with 2 and 2"):
        oi.solve(replace(samples, values=samples.values.expand(-1, -1, 2)))
    with pytest.raises(ValueError, match="fitted to past fields on a grid of 2 axes"):
        Oi(gl.config.Oi(), SIGNAL).fit([readings(fields(1), 9)] * 5)
    with pytest.raises(ValueError, match="head.kind 'gaussian'"):
        gl.FieldModel(gl.preset("sensors", "tiny", base={"kind": "oi"}, head={"kind": "point"}))


def test_hypotheses_of_many_readings_are_weighed_by_some_and_too_many_are_refused(oi, monkeypatch):
    samples = readings(fields(3, seed=6), 70)
    padded = replace(
        samples,
        values=torch.nn.functional.pad(samples.values, (0, 0, 0, 9)),
        coords=torch.nn.functional.pad(samples.coords, (0, 0, 0, 9)),
        mask=torch.nn.functional.pad(torch.ones(3, 70, dtype=torch.bool), (0, 9)),
    )
    cells = CELLS.expand(3, -1, -1)
    whole = oi.solve(samples)(cells)
    monkeypatch.setattr(oi_prior, "WHOLE", 30)
    some, of_padded = oi.solve(samples)(cells), oi.solve(padded)(cells)
    assert (some - whole).square().mean().sqrt() < 0.1 * whole.std()
    torch.testing.assert_close(of_padded, some, rtol=0, atol=1e-8)
    monkeypatch.setattr(oi_prior, "LARGEST", 50)
    with pytest.raises(ValueError, match="at most 50 readings of a field at once, got 70; thin them out"):
        oi.solve(samples)
