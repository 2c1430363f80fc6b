"""Run folders: stopped and resumed is never stopped, fitted again is fitted further, and damage is said with its file."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import LOCAL, tiny
from safetensors.torch import load_file
from test_training import SMALL_POD, pictures

import gridless as gl
from gridless.config import Optimizer, Train
from gridless.data.waves import WaveSource
from gridless.tasks import SparseField


def interrupted(monkeypatch, steps: int, run) -> None:
    """`run()`, stopped by Ctrl-C after so many training steps."""
    from gridless.training import fit as training

    real, count = training.training_step, iter(range(100))

    def breaks(*args):
        if next(count) == steps:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "training_step", breaks)
        run()


@pytest.mark.parametrize("ema", [None, 0.9])
def test_stopped_and_resumed_is_never_stopped(ema, tmp_path, monkeypatch):
    train = Train(steps=12, batch=2, queries=20, checkpoint_every=5, optimizer=Optimizer(ema=ema))

    def run(folder):
        torch.manual_seed(0)
        model = gl.FieldModel(tiny("hybrid", LOCAL).config)
        gl.fit(model, pictures(), gl.SuperResolution(), train=train, folder=folder, quiet=True)
        return load_file(folder / "model.safetensors")

    whole = run(tmp_path / "whole")
    interrupted(monkeypatch, 8, lambda: run(tmp_path / "broken"))
    with (tmp_path / "broken" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "loss"')  # a line the stop cut short
    resumed = run(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    lines = [json.loads(line) for line in (tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 12]
    assert json.loads((tmp_path / "broken" / "run.json").read_text())["complete"]
    assert not list((tmp_path / "broken").glob("checkpoint-*"))


@pytest.mark.parametrize("stopped", [1, 4])  # before and after the first checkpoint of a step
def test_a_resumed_run_keeps_its_fitted_base(tmp_path, monkeypatch, stopped):
    train = Train(steps=6, batch=2, queries=9, checkpoint_every=2, optimizer=Optimizer(ema=0.9))
    model = lambda: gl.FieldModel(tiny("sensors", {"base": SMALL_POD}).config)  # noqa: E731
    run = partial(gl.fit, data=WaveSource(), task=SparseField(), train=train, quiet=True)
    run(model(), folder=tmp_path / "whole")
    interrupted(monkeypatch, stopped, lambda: run(model(), folder=tmp_path / "broken"))
    monkeypatch.setattr("gridless.training.fit.fit_pod", None)
    run(model(), folder=tmp_path / "broken")
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert whole["base.factors"].any() and all(torch.equal(whole[name], resumed[name]) for name in whole)


SCRIPT = """
import os, sys, numpy as np, torch
sys.path[:0] = {paths!r}
from test_training import pictures
from conftest import LOCAL, tiny
import gridless as gl
from gridless.config import Train
torch.set_num_threads(1)
torch.manual_seed(0)
model = gl.FieldModel(tiny("hybrid", LOCAL).config)
train = Train(steps=400, batch=2, queries=20, checkpoint_every=10)
gl.fit(model, pictures(), gl.SuperResolution(), train=train, folder=sys.argv[1], quiet=True)
"""


@pytest.mark.slow
def test_killed_five_times_ends_at_the_same_bits(tmp_path):
    """kill −9 at random moments of a training in a process of its own."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(paths=[os.path.dirname(__file__)]))

    def start(folder):
        return subprocess.Popen([sys.executable, str(script), str(folder)], stderr=subprocess.DEVNULL)

    whole = start(tmp_path / "whole")
    assert whole.wait() == 0
    rng, folder, kills = random.Random(0), tmp_path / "killed", 0
    progress = lambda: max([int(p.name.rsplit("-", 1)[1]) for p in folder.glob("checkpoint-*")], default=0)  # noqa: E731
    while kills < 5:
        process, goal = start(folder), progress() + rng.randint(20, 60)
        while progress() < goal and process.poll() is None:
            time.sleep(rng.uniform(0.001, 0.01))
        assert process.poll() is None, "the training ended before it was killed often enough"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    final = start(folder)
    assert final.wait() == 0
    a, b = load_file(tmp_path / "whole" / "model.safetensors"), load_file(folder / "model.safetensors")
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == 400


def test_a_budget_in_seconds_becomes_steps_once(tmp_path):
    train = Train(seconds=0.5, batch=1, queries=10, checkpoint_every=5)
    model = gl.FieldModel(tiny("mamba-ginr").config)
    facts = gl.fit(model, pictures(), gl.Reconstruction(), train=train, folder=tmp_path, quiet=True)
    assert facts["steps"] >= 10 and json.loads((tmp_path / "run.json").read_text())["steps"] == facts["steps"]
    again = gl.fit(model, pictures(), gl.Reconstruction(), train=train, folder=tmp_path, quiet=True)
    assert again["steps"] == facts["steps"]
    with pytest.raises(ValueError, match=r"another train.seconds \(0.5, not 50.0\)"):
        gl.fit(model, pictures(), gl.Reconstruction(), train=replace(train, seconds=50.0), folder=tmp_path, quiet=True)
