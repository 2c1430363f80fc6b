"""fit(): learns, stops and goes on bit for bit, loses nothing."""

import os
import traceback
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CLAIM_RECIPES, LOCAL, PRESETS, drawn, tiny
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

import gridless as gl
from gridless.config import Optimizer, Recipe, Train
from gridless.config.merging import build, dump, merge, recipe, recipe_table, shipped
from gridless.data.sources import as_signal
from gridless.tasks import task_of
from gridless.training.loading import load_data
from gridless.training.optimiser import build_optimizer, learning_rate
from gridless.training.steps import build_accelerator, training_step


def pictures(count: int = 3, side: int = 48) -> list[np.ndarray]:
    """Smooth random pictures, 8 bits."""
    rng = np.random.default_rng(0)
    from gridless.data import resize_bicubic

    return [
        resize_bicubic(rng.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8), (side, side))
        for _ in range(count)
    ]


SMALL_POD = {"kind": "pod", "clusters": 2, "modes": 20, "rank": 8, "degree": 10}


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_overfits_one_batch_beyond_40_db(preset):
    torch.manual_seed(0)
    model = gl.FieldModel(tiny(preset).config).train()
    batch = drawn(gl.Reconstruction(), pictures(), np.random.default_rng(1), 8, 2, None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, 900)
    for _ in range(900):
        loss = (model(batch.samples, batch.coords, batch.cell) - batch.target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        error = (model.eval()(batch.samples, batch.coords, batch.cell) - batch.target).square().mean((1, 2))
    assert float((-10 * error.log10()).mean()) > 40


def test_the_schedule_rises_falls_and_never_stops():
    train = Train(steps=100, optimizer=Optimizer(lr=1.0, warmup=0.1, floor=0.01))
    rates = [learning_rate((step + 1) / 100, train) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates[-1] == pytest.approx(0.01)
    assert all(a < b for a, b in zip(rates[:9], rates[1:10], strict=True))
    assert all(a >= b for a, b in zip(rates[10:-1], rates[11:], strict=True))


class Waits(TorchDispatchMode):
    """Where a GPU would make the host wait: values read, sizes that depend on values, lists made into tensors. What is
    computed from tensors of the host alone is the host's."""

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "equal", "lift_fresh")

    def __init__(self, *host: torch.Tensor):
        super().__init__()
        self.found, self.host = [], WeakTensorKeyDictionary()
        for tensor in host:
            self.host[tensor] = True

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out, name = function(*args, **(kwargs or {})), function.overloadpacket.__name__
        read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        on_host = name != "lift_fresh" and len(read) > 0 and all(t in self.host for t in read)
        by_mask = name in ("index", "index_put_") and any(t is not None and t.dtype == torch.bool for t in args[1])
        if (name in self.READS or by_mask) and not on_host:
            ours = [f for f in traceback.extract_stack() if f"gridless{os.sep}" in f.filename]
            self.found.append(f"{name} in {ours[-1].filename}:{ours[-1].lineno}")
        if on_host and isinstance(out, torch.Tensor):
            self.host[out] = True
        return out


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("diff", [{}, LOCAL], ids=["plain", "photo"])
def test_a_training_step_never_waits_for_the_device(preset, diff):
    """The batch's cell stays on the host, where the base reads it."""
    model, train = gl.FieldModel(tiny(preset, diff).config), Train(steps=1, batch=2, queries=20)
    optimizer, accelerator = build_optimizer(model, train), build_accelerator()
    for step in range(2):  # the first may fill tables
        batch = drawn(gl.SuperResolution(), pictures(), np.random.default_rng(step), 8, 2, 20)
        with Waits(batch.cell) as waits:
            training_step(model, optimizer, batch, train, 1e-3, accelerator)
    assert waits.found == []
    with Waits() as waits:
        model.eval()(batch.samples, batch.coords)
    assert any("_local_scalar_dense" in found for found in waits.found)  # a user's coordinates are looked at


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's tracer, about itself
@pytest.mark.parametrize("preset", PRESETS)
def test_compiled_training_is_the_same_training(preset, tmp_path, monkeypatch):
    """Traced and differentiated ahead of time; the code generator itself is torch's."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiled(model, backend="aot_eager"))
    losses = []
    for compile in (False, True):
        torch.manual_seed(0)
        model, folder = gl.FieldModel(tiny(preset, LOCAL).config), tmp_path / str(compile)
        train = Train(steps=3, batch=2, queries=20, compile=compile)
        gl.fit(model, pictures(), gl.SuperResolution(), train=train, folder=folder, quiet=True)
        losses.append(load_file(folder / "model.safetensors"))
    assert losses[0].keys() == losses[1].keys()
    for name, weight in losses[0].items():
        torch.testing.assert_close(losses[1][name], weight, rtol=1e-3, atol=1e-4, msg=name)


def test_a_profile_says_where_the_time_goes_and_changes_nothing(tmp_path):
    weights = []
    for profile in (False, True):
        torch.manual_seed(0)
        model, folder = gl.FieldModel(tiny("hybrid", LOCAL).config), tmp_path / str(profile)
        train = Train(steps=2, batch=2, queries=20)
        gl.fit(model, pictures(), gl.SuperResolution(), train=train, folder=folder, quiet=True, profile=profile)
        weights.append(load_file(folder / "model.safetensors"))
    assert all(torch.equal(a, weights[1][name]) for name, a in weights[0].items())
    text = (tmp_path / "True" / "profile.txt").read_text(encoding="utf-8")
    assert "10 training steps" in text and "gridless::mamba_mixer" in text
    assert not (tmp_path / "False" / "profile.txt").exists()


@pytest.mark.parametrize("name", [*shipped("recipes"), *CLAIM_RECIPES])
def test_every_recipe_and_every_arm_takes_two_steps(name):
    whole, arms = recipe(recipe_table(name), {})
    photos = gl.data.photos("train")[:2]
    scans = [np.random.default_rng(i).random((48, 48, 48, 1), np.float32) for i in range(2)]
    past = [np.random.default_rng(i).normal(0, 1, (9, 10, 1)) for i in range(6)]
    films = [np.random.default_rng(i).normal(0, 1, (9, 6, 7, 1)) for i in range(2)]
    for diff in ({}, *arms.values()):
        one = build(Recipe, merge(dump(whole), diff))
        if one.model.base.kind == "pod":
            one = build(Recipe, merge(dump(one), {"model": {"base": SMALL_POD}}))
        if one.model.base.kind == "oi":
            one = build(Recipe, merge(dump(one), {"model": {"base": {"modes": 2, "shapes": 1}}}))
        train = replace(one.train, steps=2, seconds=None, batch=2, queries=16)
        made = {"archive": past, "volumes": scans, "films": films}
        data = load_data(one.data, "train") if one.data.kind in ("waves", "prior") else made.get(one.data.kind, photos)
        seen = data[:2] if train.keep == "best" else ()
        facts = gl.fit(gl.FieldModel(one.model), data, task_of(one.task), train=train, validation=seen, quiet=True)
        assert facts["steps"] == 2


@pytest.mark.parametrize("preset", PRESETS)
def test_every_system_trains_on_the_photo_recipe(preset):
    flags = {"preset": preset, "size": "tiny", "train": {"steps": 2, "seconds": None, "batch": 2, "queries": 8}}
    whole, _ = recipe(recipe_table("photos"), flags)
    assert whole.model.name == preset and whole.model.signal.window == 24
    assert (whole.model.processor.depth == 1) == (
        preset in ("hybrid", "scent")
    )  # the hybrid's by the recipe's own diff
    gl.fit(gl.FieldModel(whole.model), pictures(1, 96), task_of(whole.task), train=whole.train, quiet=True)


def test_a_diverged_run_says_so():
    model = gl.FieldModel(tiny("mamba-ginr").config)
    train = Train(steps=40, batch=1, queries=10, optimizer=Optimizer(lr=1e30))
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf) at step 20; lower train.optimizer.lr"):
        gl.fit(model, pictures(), gl.Reconstruction(), train=train, quiet=True)


def test_how_long_must_be_said():
    with pytest.raises(ValueError, match="how long"):
        gl.fit(tiny("hybrid"), pictures(), gl.Reconstruction())


def test_no_leak_of_what_is_asked_into_what_is_seen():
    """Noise that the reduction removes changes the target and leaves the seen picture as it is."""
    task, rng = gl.SuperResolution(scale=4.0), lambda: np.random.default_rng(3)
    picture = np.full((64, 64, 3), 100, np.uint8)
    batch = drawn(task, [picture], rng(), 8, 4, 50)
    striped = picture.copy()
    striped[::16] += 1
    other = drawn(task, [striped], rng(), 8, 4, 50)
    assert torch.equal(batch.samples.values, other.samples.values)
    assert not torch.equal(batch.target, other.target)


def test_recoloured_crops_keep_their_shapes_and_change_their_colours():
    crop = np.zeros((4, 6, 3), np.uint8)
    crop[1:3, 2:4] = (200, 120, 40)
    picture = as_signal(crop)
    seen = {picture.recoloured(np.random.default_rng(seed)).values.tobytes() for seed in range(20)}
    assert len(seen) == 20
    for seed in range(20):
        other = picture.recoloured(np.random.default_rng(seed)).values.astype(int)
        assert other.shape == crop.shape
        inside = (crop.sum(-1) > 0)[..., None]
        assert (other == np.where(inside, other[1, 2], other[0, 0])).all()  # two colours before, two colours after
        assert (other[1, 2] != other[0, 0]).any()


def test_16_bits_train_as_16():
    photo = gl.data.Photo("deep", np.full((16, 16, 3), 32_767, np.uint16))
    batch = drawn(gl.Reconstruction(), [photo], np.random.default_rng(0), 8, 1, None)
    assert torch.allclose(batch.target, torch.tensor(32_767 / 65_535), atol=1e-7)
