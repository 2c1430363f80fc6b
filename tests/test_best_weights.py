"""Weights that validate best are kept; a reading that optimal interpolation leaves out is that reading never made."""

import numpy as np
import pytest
import torch
from conftest import LOCAL, tiny
from safetensors.torch import load_file
from test_checkpoints import interrupted
from test_training import pictures

import gridless as gl
from gridless.bases.mixture import ReadingMixture
from gridless.config import Optimizer, Signal, Train
from gridless.config.errors import ConfigError


def trained(folder, lr: float = 1e-3, steps: int = 12):
    torch.manual_seed(0)
    model = gl.FieldModel(tiny("hybrid", LOCAL).config)
    train = Train(steps=steps, batch=2, queries=20, checkpoint_every=5, validate_every=3, keep="best",
                  optimizer=Optimizer(ema=0.5, lr=lr, clip=1e9))  # fmt: skip
    task = gl.SuperResolution()
    facts = gl.fit(model, pictures(), task, train=train, folder=folder, validation=pictures()[:1], quiet=True)
    return model, facts


def test_a_training_that_only_harms_is_thrown_away(tmp_path):
    model, facts = trained(tmp_path / "run", lr=0.1, steps=6)
    assert facts["kept_step"] == 0 and facts["untrained"]["val_psnr"] > 0
    samples = gl.Samples.from_grid(torch.rand(9, 8, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(model.encode(samples)(gl.grid(20, 20)), model.base.encode(samples)(gl.grid(20, 20)))


def test_the_best_weights_survive_a_stop(tmp_path, monkeypatch):
    _, whole = trained(tmp_path / "whole")
    for steps in (1, 8):
        folder = tmp_path / f"broken-{steps}"
        interrupted(monkeypatch, steps, lambda folder=folder: trained(folder))
        _, resumed = trained(folder)
        assert (resumed["kept_step"], resumed["untrained"]) == (whole["kept_step"], whole["untrained"])
        a, b = (load_file(place / "model.safetensors") for place in (tmp_path / "whole", folder))
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_keeping_the_best_needs_something_to_validate():
    with pytest.raises(ConfigError, match="train.keep 'best' needs fields that validate"):
        model = gl.FieldModel(gl.preset("hybrid", "tiny"))
        gl.fit(model, pictures(), gl.SuperResolution(), train=Train(steps=1, keep="best"), quiet=True)


def fitted(channels: int) -> tuple[gl.bases.Oi, gl.Samples]:
    """Of random sums of waves, and readings of the next one, one of them not measured."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(0, 3, 8), np.linspace(0, 3, 9), indexing="ij")
    waves = np.stack([np.sin(y + k) * np.cos(k * x) for k in range(4)], -1)
    fields = [(waves @ rng.normal(0, 1, (4, channels)) + 20).astype(np.float64) for _ in range(13)]
    oi = gl.bases.Oi(gl.config.Oi(modes=3, shapes=2), Signal(axes=2, channels=channels), gl.bases.Kriging())
    oi.fit(fields[:12])
    index = torch.from_numpy(rng.permutation(72)[:15])
    mask = torch.ones(1, 15, dtype=torch.bool)
    mask[0, 3] = False
    values = torch.from_numpy(fields[12]).flatten(0, 1)[index][None]
    return oi, gl.Samples(values, coords=gl.grid(8, 9, dtype=torch.float64)[index][None], mask=mask)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_reading_left_out_is_a_reading_never_made(channels):
    """Under the hypotheses that all readings weigh, by the covariance of the others."""
    oi, samples = fitted(channels)
    solved = oi.solve_for_training(samples)
    left, posterior = solved.left_out(), solved.posterior
    covariance = (posterior.root @ posterior.root.mT)[0]
    y = solved.readings.anomaly[0]
    for place in (0, 5, 14):
        out = torch.arange(channels) + place * channels
        rest = [i for i in range(15 * channels) if i // channels not in (place, 3)]
        gain = torch.linalg.solve(covariance[:, rest][:, :, rest], covariance[:, rest][:, :, out])
        means = (gain.mT @ y[rest][:, None])[..., 0]
        within = (covariance[:, out][:, :, out] - gain.mT @ covariance[:, rest][:, :, out]).diagonal(dim1=1, dim2=2)
        share = posterior.share[0, :, None]
        mean = (share * means).sum(0)
        std = (share * (within + (means - mean).square())).sum(0).sqrt() * solved.widening
        torch.testing.assert_close(left.mean[0, place], mean + solved.usual[0, place])
        torch.testing.assert_close(left.std[0, place], std)


def test_two_bases_leave_readings_out_together():
    oi, samples = fitted(1)
    first, second = oi.solve_for_training(samples), oi.fallback.solve(samples)
    a, b = first.left_out(), second.left_out()
    for p in (1.0, 0.0, 0.5):
        both = ReadingMixture(first, second, torch.tensor([p])).left_out()
        torch.testing.assert_close(both.mean, p * a.mean + (1 - p) * b.mean)
        if p != 0.5:
            torch.testing.assert_close(both.std, (a if p else b).std)
    torch.testing.assert_close(first.mean_and_std(samples.coords).std, first.std(samples.coords))


def test_the_average_of_weights_goes_with_a_base_of_the_archives_size():
    """It was made before the base was fitted, and could not take its sizes."""
    fields = [np.random.default_rng(i).normal(0, 1, (5, 6, 1)) for i in range(6)]
    model = gl.FieldModel(gl.preset("sensors", "tiny", base={"kind": "oi", "modes": 2, "shapes": 1}))
    train = Train(steps=2, batch=2, queries=5, optimizer=Optimizer(ema=0.9))
    gl.fit(model, fields, gl.SparseField(sensors=(5, 9)), train=train, quiet=True)
    assert model.base.fitted
