"""Analytic fields: their gradient is true, they repeat exactly, splits share nothing, and they are as hard as published."""

import numpy as np
import pytest
import torch
from conftest import read

import gridless as gl
from gridless.data import waves as synthetic
from gridless.data.waves import FAMILIES, fixed, fresh, place

# mean PSNR of the constant ½ on 32 × 32: of the shipped generator, 40 to 100 fields a family
CONSTANT = {
    "simple": 9.03, "multi_frequency": 16.78, "radial": 9.04, "interference": 6.25, "modulated": 8.51, "composite": 13.67,
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_true(family):
    waves = fixed(family, "val", 5)
    coords = torch.rand(5, 40, 2, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(waves(coords).sum(), coords)
    torch.testing.assert_close(waves.gradient(coords)[:, :, 0], expected, rtol=1e-9, atol=1e-9)
    assert waves.gradient(torch.full((5, 1, 2), 0.5)).isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_as_hard_as_published(family):
    values = fixed(family, "test", 400)(gl.grid(32, 32).expand(400, -1, -1))
    assert values.shape == (400, 1024, 1) and values.dtype == torch.float32
    psnr = -10 * (values - 0.5).square().mean((1, 2)).log10()
    assert abs(float(psnr.mean()) - CONSTANT[family]) < 0.45
    inside = 0.5 if family in ("interference", "modulated") else 0.0
    assert values.min() >= -inside - 1e-6 and values.max() <= 1 + inside + 1e-6


def test_one_plane_wave_is_the_formula():
    waves = fixed("simple", "test", 3)
    y, x = gl.grid(5, 7, dtype=torch.float64).T
    phase = waves.k[1, 0, 0] * 2 * torch.pi * y + waves.k[1, 0, 1] * 2 * torch.pi * x + waves.phi[1, 0]
    torch.testing.assert_close(waves[1](gl.grid(5, 7, dtype=torch.float64)[None])[0, :, 0], (phase.sin() + 1) / 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_splits_repeat_and_share_nothing(family):
    few, many = fixed(family, "test", 3), fixed(family, "test", 64)
    assert all(torch.equal(getattr(few, n), getattr(many, n)[:3]) for n in vars(few))
    points = torch.tensor([0.3, 0.8], dtype=torch.float64).expand(64, 1, 2)
    numbers = {split: set(fixed(family, split, 64)(points).flatten().tolist()) for split in synthetic.SPLITS}
    assert not numbers["train"] & numbers["val"] and not numbers["train"] & numbers["test"]
    assert not numbers["val"] & numbers["test"]


def test_fresh_fields_come_from_every_family_and_depend_on_the_seed_alone():
    one, two = (fresh(tuple(FAMILIES), np.random.default_rng(7), 300) for _ in range(2))
    coords = torch.rand(300, 9, 2)
    assert torch.equal(one(coords), two(coords))
    assert not torch.equal(one(coords), fresh(tuple(FAMILIES), np.random.default_rng(8), 300)(coords))
    kinds = {"rings": one.r > 0, "spokes": one.t > 0, "depth": one.m > 0, "bend": one.b > 0}
    assert all(0.05 < float(v.any(1).double().mean()) < 0.5 for v in kinds.values())
    assert fresh(("simple",), np.random.default_rng(0), 4).a.shape == (4, 1)


@pytest.mark.parametrize("placement", synthetic.PLACEMENTS)
@pytest.mark.parametrize("count", [1, 10, 51, 500])
def test_sensors_stand_in_the_domain(placement, count):
    coords = place(np.random.default_rng(1), 4, count, placement)
    assert coords.shape == (4, count, 2) and coords.min() >= 0 and coords.max() <= 1
    assert not torch.equal(coords[0], coords[1])
    spread = torch.cdist(coords, coords).mean()
    if placement == "clustered" and count == 10:
        assert spread < 0.2  # one cluster


def test_sensors_on_a_lattice_are_different_cells():
    coords = place(np.random.default_rng(2), 3, 51, lattice=32)
    cells = coords * 32 - 0.5
    torch.testing.assert_close(cells, cells.round(), rtol=0, atol=1e-5)
    assert all(len({tuple(c) for c in row.tolist()}) == 51 for row in coords)
    with pytest.raises(ValueError, match="5 sensors do not fit the 4 cells"):
        place(np.random.default_rng(0), 1, 5, lattice=2)


def test_noise_is_on_readings_only():
    waves = fixed("radial", "test", 2)
    coords = place(np.random.default_rng(3), 2, 4000)
    clean, noisy = (read(waves, coords, np.random.default_rng(4), noise) for noise in (0, np.array([0.05, 0.1])))
    torch.testing.assert_close(clean.values, waves(coords))
    std = (noisy.values - clean.values).std((1, 2))
    torch.testing.assert_close(std, torch.tensor([0.05, 0.1]), rtol=0.05, atol=0)


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(ValueError, match="no family 'sine'; there are simple, multi_frequency"):
        fixed("sine", "test", 1)
    with pytest.raises(ValueError, match="no split 'training'"):
        fixed("simple", "training", 1)
    with pytest.raises(ValueError, match="no placement 'even'"):
        place(np.random.default_rng(0), 1, 1, "even")
