"""One training step: which loss, which weights decay, what the average is, and who decides about precision."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import LOCAL, PRESETS, drawn, tiny
from test_training import pictures

import gridless as gl
from gridless.config import Optimizer, Train
from gridless.config.errors import ConfigError
from gridless.data.waves import WaveSource
from gridless.runs.pool import Processes
from gridless.tasks import SparseField
from gridless.training.optimiser import ExponentialAverage, WithMuon, build_optimizer, set_rate
from gridless.training.steps import build_accelerator, training_step


@pytest.mark.parametrize("preset", [*PRESETS, "sensors", "scattered", "v1", "v2"])
def test_every_matrix_decays_and_nothing_else(preset):
    model = tiny(preset, LOCAL if preset in PRESETS else None)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed = {names[id(p)] for p in build_optimizer(model, Train(steps=1)).param_groups[0]["params"]}
    linear = {
        f"{name}.{own}"
        for name, module in model.named_modules()
        for own, p in module.named_parameters(recurse=False)
        if isinstance(module, torch.nn.Linear | torch.nn.MultiheadAttention) and p.ndim == 2
    }
    assert {name for name in linear if ".wave." not in name} <= decayed
    assert not any(word in name for name in decayed for word in ("wave", "norm", "bias", "tokens.x", "A_log"))
    if preset == "trans-inr":
        assert "decoder.layers.1.base" in decayed


def test_the_average_forgets_its_start():
    """With a decay of 0.999 alone, 84 % of the start would be left after 200 steps."""
    average, weight = [torch.ones(())], ExponentialAverage(0.999)
    for count in range(1, 201):
        weight(average, [torch.zeros(())], torch.tensor(count))
    assert float(average[0]) < 0.01
    for count in range(100_000, 100_002):
        average = [torch.ones(())]
        weight(average, [torch.zeros(())], torch.tensor(count))
    assert float(average[0]) == pytest.approx(0.999)


def batch_of(preset, **changes):
    if preset in PRESETS:
        batch = drawn(gl.SuperResolution(), pictures(), np.random.default_rng(0), 8, 2, 20)
    else:
        batch = drawn(SparseField(), WaveSource(), np.random.default_rng(0), 8, 2, 20)
    return replace(batch, **changes)


@pytest.mark.parametrize("preset", ["hybrid", "sensors", "scattered", "v1", "v2"])
def test_by_default_the_whole_head_learns(preset):
    """`mse` was the default and never trained a spread; on v1 and v2 it died."""
    model = tiny(preset)
    before = {name: p.clone() for name, p in model.named_parameters()}
    if preset in ("sensors", "scattered", "v1", "v2"):
        gl.fit(model, WaveSource(), SparseField(), train=Train(steps=2, batch=2, queries=9), quiet=True)
    else:
        gl.fit(model, pictures(), gl.Reconstruction(), train=Train(steps=2, batch=2, queries=9), quiet=True)
    still = [n for n, p in model.named_parameters() if n.startswith("head.") and torch.equal(p, before[n])]
    assert still == []


@pytest.mark.parametrize("preset", ["sensors", "scattered", "v1", "v2"])
@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_a_loss_that_leaves_the_spread_alone_is_refused(preset, loss):
    with pytest.raises(ConfigError, match=f"train.loss '{loss}' trains one value and never what head.kind"):
        gl.fit(tiny(preset), WaveSource(), SparseField(), train=Train(steps=2, loss=loss), quiet=True)


@pytest.mark.parametrize("kind", [None, "mse", "l1"])
def test_losses_are_in_units_of_the_signals_deviation(kind):
    """Data in kelvin train as data in [0, 1] do."""
    model, batch = tiny("hybrid"), batch_of("hybrid")
    kelvin = replace(batch.samples, values=280 + 3 * batch.samples.values, level=None, scale=None)
    batch = replace(batch, samples=replace(batch.samples, level=None, scale=None))
    warm = replace(batch, samples=kelvin, target=280 + 3 * batch.target)
    torch.testing.assert_close(loss_of(model, warm, kind), loss_of(model, batch, kind), rtol=1e-3, atol=0)


def test_where_the_latents_are_read_reaches_the_loss():
    model, batch = tiny("hybrid"), batch_of("hybrid")
    elsewhere = replace(batch, latents_at=1 - batch.coords)
    assert not torch.equal(loss_of(model, batch, None), loss_of(model, elsewhere, None))


def loss_of(model, batch, kind):
    asked = (batch.samples, batch.coords, batch.cell, batch.latents_at)
    return model(*asked, target=batch.target, measured=batch.measured, loss=kind)


@pytest.mark.parametrize("kind", [None, "mse", "l1"])
def test_questions_that_were_not_measured_do_not_count(kind):
    model, batch = tiny("hybrid").train(), batch_of("hybrid")
    measured = torch.arange(20).expand(2, -1) < 15
    target = torch.where(measured[..., None], batch.target, torch.nan)
    some = replace(batch, coords=batch.coords[:, :15], target=batch.target[:, :15])
    expected = loss_of(model, some, kind)
    masked = loss_of(model, replace(batch, target=target, measured=measured), kind)
    torch.testing.assert_close(masked, expected)
    masked.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_recipe_decides_about_precision_and_batches(monkeypatch):
    """ACCELERATE_MIXED_PRECISION=bf16 overrode train.precision = fp32, and run.json still said fp32."""
    script = """
import torch, sys
sys.path[:0] = {paths!r}
from gridless.training.steps import build_accelerator
accelerator = build_accelerator()
weight = torch.ones((), requires_grad=True)
accelerator.backward(weight)
print(accelerator.mixed_precision, float(weight.grad))
from accelerate import Accelerator
from accelerate.state import AcceleratorState
AcceleratorState._reset_state(True)
Accelerator(mixed_precision="bf16", cpu=True)
try:
    build_accelerator()
except ValueError as error:
    print(error)
"""
    environment = {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}
    run = [sys.executable, "-c", script.format(paths=[os.path.dirname(__file__)])]
    said = subprocess.run(run, env={**os.environ, **environment}, capture_output=True, text=True)
    assert said.stdout.startswith("no 1.0\nan Accelerator with mixed_precision 'bf16' exists"), (
        said.stdout + said.stderr
    )


def visible(_: int) -> str | None:
    time.sleep(0.5)  # both at once
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_workers_take_turns_with_the_gpus(monkeypatch):
    """Every worker computed on the first."""
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(Processes(2).call, [visible] * 2, range(2)))
    assert sorted(found) == ["4", "GPU-7"]


def test_a_step_at_rate_zero_changes_nothing_but_the_gradient():
    model = tiny("hybrid")
    train = Train(steps=1, optimizer=Optimizer(weight_decay=0.0))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    training_step(model, build_optimizer(model, train), batch_of("hybrid"), train, 0.0, build_accelerator())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_muon_takes_the_matrices_within_and_learns_at_its_own_multiple():
    model = tiny("mamba-ginr")
    optimizer = build_optimizer(model, Train(steps=1, optimizer=Optimizer(lr=1e-3, muon=3.0)))
    assert isinstance(optimizer, WithMuon)
    names = {id(p): name for name, p in model.named_parameters()}
    levelled = {names[id(p)] for p in optimizer.param_groups[-1]["params"]}
    assert "encoder.blocks.0.mixer.in_proj.weight" in levelled and "decoder.modulate.0.weight" in levelled
    assert not any(name.startswith(("head.", "encoder.tokens.x")) or "conv" in name for name in levelled)
    assert sorted(names.values()) == sorted(names[id(p)] for g in optimizer.param_groups for p in g["params"])
    set_rate(optimizer, 1e-2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-2, 1e-2, 3e-2])
