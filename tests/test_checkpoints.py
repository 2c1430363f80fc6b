"""Run folders: stopped and resumed is never stopped, fitted again is fitted further, and damage is said with its file."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import LOCAL, tiny
from safetensors.torch import load_file
from test_pretrained import mutations
from test_training import SMALL_POD, pictures

import gridless as gl
from gridless.config import Optimizer, Train
from gridless.config.errors import ConfigError
from gridless.data import Photo
from gridless.data.waves import WaveSource
from gridless.tasks import SparseField
from gridless.training import fingerprint
from gridless.training.locking import held
from gridless.weights.pretrained import load, save


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


@pytest.mark.parametrize("ema, muon", [(None, None), (0.9, None), (0.9, 2.0)])
def test_stopped_and_resumed_is_never_stopped(ema, muon, tmp_path, monkeypatch):
    train = Train(steps=12, batch=2, queries=20, checkpoint_every=5, optimizer=Optimizer(ema=ema, muon=muon))

    def run(folder):
        torch.manual_seed(0)
        model = gl.FieldModel(tiny("hybrid", LOCAL).config)
        gl.fit(model, pictures(), gl.SuperResolution(), train=train, folder=folder, quiet=True)
        return load_file(folder / "model.safetensors")

    whole = run(tmp_path / "whole")
    interrupted(monkeypatch, 8, lambda: run(tmp_path / "broken"))
    with (tmp_path / "broken" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 7, "loss"')  # a line the stop cut short
    resumed = run(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    lines = [
        json.loads(line) for line in (tmp_path / "broken" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["step"] for line in lines] == [5, 10, 12]
    assert json.loads((tmp_path / "broken" / "run.json").read_text(encoding="utf-8"))["complete"]
    assert not list((tmp_path / "broken").glob("checkpoint-*"))


@pytest.mark.parametrize("stopped", [1, 4])  # before and after the first checkpoint of a step
def test_a_resumed_run_keeps_its_fitted_base(tmp_path, monkeypatch, stopped):
    train = Train(steps=6, batch=2, queries=9, checkpoint_every=2, optimizer=Optimizer(ema=0.9))

    def model():
        return gl.FieldModel(tiny("scattered", {"base": SMALL_POD}).config)

    run = partial(gl.fit, data=WaveSource(), task=SparseField(), train=train, quiet=True)
    run(model(), folder=tmp_path / "whole")
    interrupted(monkeypatch, stopped, lambda: run(model(), folder=tmp_path / "broken"))
    monkeypatch.setattr("gridless.bases.modes.Modes.fit", None)
    run(model(), folder=tmp_path / "broken")
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert whole["base.cluster_factors"].any() and all(torch.equal(whole[name], resumed[name]) for name in whole)


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
train = Train(steps=240, batch=2, queries=20, checkpoint_every=10)
gl.fit(model, pictures(), gl.SuperResolution(), train=train, folder=sys.argv[1], quiet=True)
"""


@pytest.mark.slow
def test_killed_three_times_ends_at_the_same_bits(tmp_path):
    """kill −9 at random moments of a training in a process of its own."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(paths=[os.path.dirname(__file__)]), encoding="utf-8")

    def start(folder):
        return subprocess.Popen([sys.executable, str(script), str(folder)], stderr=subprocess.DEVNULL)

    whole = start(tmp_path / "whole")
    assert whole.wait() == 0
    rng, folder, kills = random.Random(0), tmp_path / "killed", 0

    def progress():
        return max([int(p.name.rsplit("-", 1)[1]) for p in folder.glob("checkpoint-*")], default=0)

    while kills < 3:
        process, goal = start(folder), progress() + rng.randint(20, 50)
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
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == 240


def test_a_budget_in_seconds_becomes_steps_once(tmp_path):
    train = Train(seconds=0.5, batch=1, queries=10, checkpoint_every=5)
    model = gl.FieldModel(tiny("mamba-ginr").config)
    facts = gl.fit(model, pictures(), gl.Reconstruction(), train=train, folder=tmp_path, quiet=True)
    assert (
        facts["steps"] >= 10
        and json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["steps"] == facts["steps"]
    )
    again = gl.fit(model, pictures(), gl.Reconstruction(), train=train, folder=tmp_path, quiet=True)
    assert again["steps"] == facts["steps"]
    with pytest.raises(ValueError, match=r"another train.seconds \(0.5, not 50.0\)"):
        gl.fit(model, pictures(), gl.Reconstruction(), train=replace(train, seconds=50.0), folder=tmp_path, quiet=True)


TRAIN = Train(steps=6, batch=2, queries=20, checkpoint_every=2, validate_every=3)


def train(folder=None, *, model=None, data=None, task=None, train=TRAIN, seed=0, **options) -> dict:
    torch.manual_seed(seed)
    model = gl.FieldModel(tiny("hybrid", LOCAL).config) if model is None else model
    return gl.fit(
        model, data or pictures(), task or gl.SuperResolution(), train=train, folder=folder, quiet=True, **options
    )


def lines(folder) -> list[dict]:
    """metrics.jsonl without what a clock says."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in one.items() if k not in ("seconds", "samples_per_second")} for one in records]


def same(a, b) -> bool:
    a, b = (load_file(folder / "model.safetensors") for folder in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"data": pictures(2)}, r"data.items \(3, not 2\)"),
        ({"data": [255 - p for p in pictures()]}, "data.hash"),
        ({"task": gl.SuperResolution(recolour=True)}, r"task.recolour \(False, not True\)"),
        ({"task": gl.Reconstruction()}, r"task.kind \('super-resolution', not 'reconstruction'\)"),
        ({"train": replace(TRAIN, steps=5)}, r"train.steps \(6, not 5\)"),
        ({"train": replace(TRAIN, seed=1)}, r"train.seed \(0, not 1\)"),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_a_folder_of_another_run_is_refused_and_says_what_differs(tmp_path, monkeypatch, other, what, complete):
    """It was answered with the first run's weights."""
    if complete:
        train(tmp_path)
    else:
        interrupted(monkeypatch, 3, lambda: train(tmp_path))
    with pytest.raises(ConfigError, match=f"holds a run with another {what}"):
        train(tmp_path, **other)


def test_the_same_data_in_another_process_is_the_same():
    script = "from test_training import pictures; from gridless.training.fingerprint import of_data, of_task\n"
    script += "import gridless as gl; print(of_data(pictures()), of_task(gl.SuperResolution()))"
    paths = os.pathsep.join([os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = [sys.executable, "-c", script]
    said = subprocess.run(run, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True)
    here = f"{fingerprint.of_data(pictures())} {fingerprint.of_task(gl.SuperResolution())}"
    assert said.stdout.strip() == here


def test_a_data_set_is_known_by_its_first_and_last_items():
    class Lazy:
        def __init__(self, values):
            self._values, self.read = values, []

        def __len__(self):
            return len(self._values)

        def __getitem__(self, index):
            self.read.append(index)
            return self._values[index]

    lazy = Lazy([np.full((2000, 2000), i) for i in range(9)])
    assert fingerprint.of_data(lazy)["items"] == 9 and lazy.read == [0, 1, 7, 8]
    known = fingerprint.of_data([gl.Samples.from_grid(torch.zeros(1, 4, 4, 1))])
    assert known != fingerprint.of_data([gl.Samples.from_grid(torch.ones(1, 4, 4, 1))])
    assert fingerprint.of_data(WaveSource()) != fingerprint.of_data(WaveSource(fields=3))


def seen_batches(monkeypatch) -> list[float]:
    """Filled with the mean of every batch that a task draws."""
    real, seen = gl.SuperResolution.draw, []

    def draw(self, signals, rng, **sizes):
        batch = real(self, signals, rng, **sizes)
        seen.append(float(batch.target.mean()))
        return batch

    monkeypatch.setattr(gl.SuperResolution, "draw", draw)
    return seen


def test_fit_twice_goes_on_not_again(tmp_path, monkeypatch):
    seen = seen_batches(monkeypatch)
    model = gl.FieldModel(tiny("hybrid", LOCAL).config)
    first, second = train(model=model), train(model=model)
    assert (first["steps"], second["steps"], model.trained_steps) == (6, 12, 12)
    assert len(seen) == 12 and not set(seen[:6]) & set(seen[6:])
    save(model, tmp_path)
    again = load(gl.FieldModel, tmp_path)
    assert train(tmp_path / "run", model=again)["steps"] == 18 and len(set(seen)) == 18
    assert [line["step"] for line in lines(tmp_path / "run")] == [14, 16, 18]


def test_a_finished_folder_goes_on_if_more_steps_are_asked(tmp_path, monkeypatch):
    seen = seen_batches(monkeypatch)
    more = replace(TRAIN, steps=10)
    train(tmp_path / "a", validation=photos(1))
    before = load_file(tmp_path / "a" / "model.safetensors")["head.linear.weight"]
    assert train(tmp_path / "a")["steps"] == 6 and len(seen) == 6  # nothing more is asked
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert train(tmp_path / "a", train=more, seed=1, validation=photos(1))["steps"] == 10
    assert len(seen) == len(set(seen)) == 10
    assert [line["step"] for line in lines(tmp_path / "a")] == [2, 3, 3, 4, 6, 6, 8, 9, 9, 10, 10]
    assert not torch.equal(before, load_file(tmp_path / "a" / "model.safetensors")["head.linear.weight"])
    for stopped in (0, 3):
        interrupted(monkeypatch, stopped, lambda: train(tmp_path / "b", train=more, validation=photos(1)))
    assert train(tmp_path / "b", train=more, seed=2, validation=photos(1))["steps"] == 10
    assert same(tmp_path / "a", tmp_path / "b") and lines(tmp_path / "a") == lines(tmp_path / "b")


def photos(count):
    return [Photo(f"p{i}", picture, None) for i, picture in enumerate(pictures(count))]


@pytest.mark.parametrize("place", ["validation_scores", "checkpoint", "write_tensors", "begin", "finish"])
def test_a_kill_at_any_place_loses_no_line_and_no_bit(tmp_path, monkeypatch, place):
    """Between the checkpoint and the validation of a step, its validation was lost for good."""
    from gridless.training import checkpoints
    from gridless.training import fit as training

    run = partial(train, validation=photos(1), train=replace(TRAIN, validate_every=2))
    run(tmp_path / "whole")
    owner = {"validation_scores": training, "write_tensors": checkpoints}.get(place, checkpoints.RunFolder)
    real, count = getattr(owner, place), iter(range(100))

    def dies(*args):
        if next(count) == (0 if place in ("begin", "finish") else 2):
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, place, dies)
        run(tmp_path / "broken")
    run(tmp_path / "broken")
    assert same(tmp_path / "whole", tmp_path / "broken") and lines(tmp_path / "whole") == lines(tmp_path / "broken")
    assert len([line for line in lines(tmp_path / "whole") if "val_psnr" in line]) == 3
    assert not [p for p in (tmp_path / "broken").iterdir() if p.name.startswith((".gridless", "checkpoint"))]


@pytest.mark.parametrize("line", ["3", "[1, 2]", "null", '{"step": "x"}', '{"loss": 1}', "[" * 100_000, '"', "\udcff"])
def test_a_line_that_is_no_record_stops_no_resume(tmp_path, monkeypatch, line):
    interrupted(monkeypatch, 5, lambda: train(tmp_path))
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(line + "\n")
    train(tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 6]


def test_metrics_hold_finite_numbers_only(tmp_path, monkeypatch):
    monkeypatch.setattr("gridless.training.fit.validation_scores", lambda *_: {"val_psnr": float("inf")})
    train(tmp_path, validation=photos(1))
    text = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert "Infinity" not in text and text.count('"val_psnr": null') == 2


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory):
    """A run folder with a checkpoint, not finished."""
    folder = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        ema = replace(TRAIN, optimizer=Optimizer(ema=0.9))
        interrupted(patch, 5, lambda: train(folder, train=ema))
    return folder, ema


CHECKPOINT = ("state.json", "model.safetensors", "optimizer.safetensors", "average.safetensors")


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", *(f"checkpoint-4/{name}" for name in CHECKPOINT)])
def test_every_damage_to_a_run_is_answered_with_the_file(name, broken_off, tmp_path):
    """Or it does no harm. 66 of 336 damages gave an internal error's text."""
    source, settings = broken_off
    refused = 0
    for number, damaged in enumerate(mutations(source / name, 1)):
        folder = tmp_path / str(number)
        shutil.copytree(source, folder)
        (folder / name).write_bytes(damaged)
        try:
            train(folder, train=settings)
        except (ValueError, OSError) as error:
            refused += 1
            assert str(folder) in str(error) and "\n" not in str(error), str(error)
        shutil.rmtree(folder)
    assert refused >= 11 or name == "metrics.jsonl"


def test_one_process_writes_into_a_folder(tmp_path):
    script = "import sys; from gridless.training.locking import held\n"
    script += "with held(sys.argv[1]): print('held', flush=True), input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process writes into"):
            train(tmp_path)
        other.communicate("\n")
    with held(tmp_path):  # what holds it may train
        train(tmp_path)


def test_a_run_of_other_processes_is_refused(tmp_path, monkeypatch):
    interrupted(monkeypatch, 3, lambda: train(tmp_path))
    facts = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert facts["processes"] == 1
    (tmp_path / "run.json").write_text(json.dumps({**facts, "processes": 2}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"another processes \(2, not 1\)"):
        train(tmp_path)
