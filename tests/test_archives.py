"""Modes of gridded archives: any axes and channels, periods, holes, units."""

import pickle
from dataclasses import replace
from math import log
from types import SimpleNamespace

import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless.bases import Modes, fit_modes
from gridless.bases.mode_mixture import Readings
from gridless.config import Pod as PodConfig
from gridless.config import Signal
from gridless.data.waves import fixed

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
    model = tiny("scattered", {"base": base})
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
