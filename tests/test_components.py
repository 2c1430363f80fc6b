"""A fixed number of numbers of a grid: principal components, and a network that sees what they keep."""

import numpy as np
import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless import config as c
from gridless.bases.components import Components, principal


def grids(count: int = 60, side: int = 8) -> list[np.ndarray]:
    """Sums of few waves, and a little noise."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    waves = [np.cos(2 * np.pi * (a * x + b * y) / side) for a in range(3) for b in range(2)]
    fields = [sum(rng.normal() * w for w in waves) + 0.01 * rng.normal(size=x.shape) for _ in range(count)]
    return [np.repeat(field[..., None], 3, -1).astype(np.float32) for field in fields]


def fitted(count: int = 8) -> Components:
    base = Components(c.Components(count=count, mirrored=False))
    base.fit([signal for signal in gl.data.sources.signals(grids())])
    return base


def test_the_numbers_are_those_of_principal_components():
    flat = torch.from_numpy(np.stack(grids())).flatten(1)
    mean, basis = principal(flat, torch.full((len(flat),), 1 / len(flat)), 5)
    _, _, vectors = np.linalg.svd((flat - flat.mean(0)).numpy(), full_matrices=False)
    torch.testing.assert_close(mean, flat.mean(0))
    assert np.allclose(np.abs(basis.T.numpy() @ vectors[:5].T), np.eye(5), atol=1e-3)


def test_a_few_numbers_keep_what_fields_are_made_of():
    base, unseen = fitted(), gl.Samples.from_grid(torch.from_numpy(np.stack(grids(70)[60:])))
    solved = base.solve(unseen)
    assert solved.numbers.shape == (10, 8)
    missed = (solved(gl.grid(8, 8).expand(10, -1, -1)) - unseen.values).square().mean().sqrt()
    assert missed < 0.03 * unseen.values.std()


def test_weighing_by_what_is_missed_raises_the_mean_of_decibels():
    """Fields of very different contrast: the plain components serve the loud ones."""
    rng = np.random.default_rng(1)
    loud = [10 * rng.normal(size=(6, 6, 1)).astype(np.float32) for _ in range(40)]
    column = np.ones((6, 1, 1), np.float32)
    quiet = [(0.1 * rng.normal() * column + 0.001 * rng.normal(size=(6, 6, 1))).astype(np.float32) for _ in range(40)]
    flat = torch.from_numpy(np.stack(loud + quiet)).flatten(1)

    def decibels(mean: torch.Tensor, basis: torch.Tensor) -> float:
        away = flat - mean
        return float(-10 * (away - away @ basis @ basis.T).square().mean(1).log10().mean())

    base = Components(c.Components(count=4, mirrored=False))
    base.fit(gl.data.sources.signals(loud + quiet))
    plain = principal(flat, torch.full((80,), 1 / 80), 4)
    assert decibels(base.mean[0], base.basis) > decibels(*plain) + 3


def test_unfitted_it_is_the_level_and_saved_it_comes_back(tmp_path):
    diff = {
        "base": {"kind": "components", "count": 8},
        "signal": {"window": 8, "mean": 0.0, "std": 1.0, "seen": "base"},
    }
    model = tiny("mamba-ginr", diff)
    samples = gl.Samples.from_grid(torch.from_numpy(np.stack(grids(2))))
    torch.testing.assert_close(model.base.encode(samples)(gl.grid(8, 8).expand(2, -1, -1)).std(1), torch.zeros(2, 3))
    gl.fit(model, grids(), gl.Reconstruction(), steps=2, train=gl.Train(batch=2, loss="skill"), quiet=True)
    assert model.latent_floats() == 8
    model.save_pretrained(tmp_path / "run")
    again = gl.FieldModel.from_pretrained(tmp_path / "run")
    coords = torch.rand(2, 9, 2)
    with torch.no_grad():
        assert torch.equal(again.encode(samples)(coords), model.encode(samples)(coords))


def test_all_that_is_answered_follows_from_the_numbers():
    """Two grids with the same components have the same field."""
    diff = {
        "base": {"kind": "components", "count": 8},
        "signal": {"window": 8, "mean": 0.0, "std": 1.0, "seen": "base"},
    }
    model = tiny("mamba-ginr", diff)
    model.base = fitted()
    values = torch.from_numpy(np.stack(grids(1)))
    other = values + torch.randn_like(values)
    flat = (other - values).flatten(1)
    beside = flat - flat @ model.base.basis @ model.base.basis.T
    first, second = (gl.Samples.from_grid(v) for v in (values, values + beside.view_as(values)))
    coords = torch.rand(1, 20, 2)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(first)(coords), model.encode(second)(coords), rtol=0, atol=1e-4)
        assert (model.encode(first)(coords) - model.base.encode(first)(coords)).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        (gl.Samples.from_grid(torch.zeros(9, 8, 3)), "of complete grids .8, 8. with 3 channels, got .9, 8."),
        (gl.Samples.from_grid(torch.zeros(8, 8, 3), mask=torch.eye(8) > 0), "with holes"),
    ],
)
def test_other_grids_are_refused(samples, why):
    with pytest.raises(ValueError, match=why):
        fitted().solve(samples)


def test_what_does_not_fit_together_is_refused():
    for diff, why in (
        ({"signal": {"seen": "base"}}, "signal.seen 'base' needs base.kind 'components'"),
        (
            {"signal": {"seen": "base"}, "base": {"kind": "components"}, "head": {"kind": "gaussian"}},
            "needs head.kind 'point'",
        ),
    ):
        with pytest.raises(ValueError, match=why):
            tiny("mamba-ginr", diff)
    with pytest.raises(ValueError, match="200 components need more fields"):
        Components(c.Components(count=200, mirrored=False)).fit(gl.data.sources.signals(grids()))
    with pytest.raises(ValueError, match="has another grid than the first"):
        Components(c.Components(count=2)).fit(gl.data.sources.signals([*grids(3), np.zeros((4, 4, 3), np.float32)]))
