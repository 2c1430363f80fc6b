"""Sweeps: every run once and in order, however often it was killed, wherever it ran; one that fails stops no other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridless import cli
from gridless.config import Recipe, merging
from gridless.runs.pool import CallError, Cluster, Processes, run_all
from gridless.runs.sweep import _steps
from gridless.scoring.comparison import Comparison, read_comparison
from gridless.training.locking import held

LONG = 300  # seconds; a machine may be busy
RECIPE = """
preset = "lainr"
size = "tiny"
[model.signal]
window = 8
overlap = 2
[data]
kind = "folder"
path = "{data}"
[task]
kind = "{task}"
[train]
steps = {steps}
batch = 2
queries = 16
checkpoint_every = 5
"""
ARMS = """
[ablate.narrow.model]
width = 16
[ablate.short.train]
batch = 1
[ablate.slow.train.optimizer]
lr = 1e-4
[ablate.few.train]
queries = 4
[ablate.l1.train]
loss = "l1"
"""


FIELDS = """
preset = "sensors"
size = "tiny"
[data]
kind = "waves"
[task]
kind = "sparse-field"
counts = [9, 12]
noises = [0.0, 0.1]
size = 6
fields = 2
[train]
steps = 2
batch = 2
queries = 4
[ablate.point]
model.head.kind = "point"
model.base.kind = "none"
"""


@pytest.fixture
def data(tmp_path) -> Path:
    """Folders train, val and test with two small noisy pictures each."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (tmp_path / "in" / split).mkdir(parents=True)
        for name in "ab":
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "in" / split / f"{name}.png")
    return tmp_path / "in"


def write_recipe(data: Path, steps: int = 2, arms: str = ARMS, task: str = "reconstruction") -> Path:
    path = data.parent / "recipe.toml"
    path.write_text(RECIPE.format(data=data, steps=steps, task=task) + arms, encoding="utf-8")
    return path


def swept(recipe: Path, output: Path, *flags: str) -> Comparison:
    cli.main(["sweep", str(recipe), "-o", str(output), *flags])
    return read_comparison(output / "sweep.json")


def rows(output: Path) -> list[dict]:
    """What a sweep found, less what differs from time to time."""
    found = json.loads((output / "sweep.json").read_text(encoding="utf-8"))
    for run in found["runs"]:
        assert run["facts"].pop("train_seconds") >= 0
    return [found["cases"], found["bases"], *found["runs"]]


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Sweeps in processes of their own; what still runs at the end is killed."""
    started: list[subprocess.Popen] = []

    def start(recipe: Path, output: Path, *flags: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "gridless", "sweep", str(recipe), "-o", str(output), *flags]

        # whoever runs the tests in the background may have them ignore interrupts; the sweep must hear its own
        def hear():
            return signal.signal(signal.SIGINT, signal.SIG_DFL)

        quiet = subprocess.DEVNULL
        started.append(subprocess.Popen(command, stderr=quiet, stdout=quiet, preexec_fn=hear))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


# --- a sweep on this machine ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_is_trained_once_grows_and_is_guarded(data, tmp_path, capsys):
    recipe, output = write_recipe(data, arms="[ablate.l1.train]\nloss = 'l1'\n"), tmp_path / "out"
    found = swept(recipe, output, "--seeds", "1")
    table = capsys.readouterr().out
    assert "| full | both |" in table and "| l1 | steps |" in table and "| PSNR of the floats | full − arm |" in table
    assert [(run.arm, run.seed) for run in found.runs] == [("full", 0), ("l1", 0)]
    assert not found.bases and found.metric == "psnr" and "psnr_rgb" in found.runs[0].scores
    assert set(found.runs[0].facts) <= {"params", "steps", "train_seconds", "flops", "commit", "hardware"}
    before = (output / "full-steps-seed0" / "model.safetensors").stat().st_mtime_ns

    write_recipe(data)
    more = swept(recipe, output, "--seeds", "2", "--arms", "narrow", "--workers", "2")  # a seed and an arm
    order = [("full", 0), ("narrow", 0), ("l1", 0), ("full", 1), ("narrow", 1)]
    assert [(run.arm, run.seed) for run in more.runs] == order
    assert (output / "full-steps-seed0" / "model.safetensors").stat().st_mtime_ns == before
    fewer = swept(recipe, output, "--seeds", "1", "--arms", "l1")
    assert [(run.arm, run.seed) for run in fewer.runs] == order  # what was found stays

    def refused(*flags: str) -> str:
        with pytest.raises(SystemExit) as stop:
            cli.main(["sweep", str(recipe), "-o", str(output), *flags])
        assert stop.value.code == 2
        return capsys.readouterr().err

    assert "holds full with another train.batch (2, not 3)" in refused("--train.batch", "3")
    write_recipe(data, arms="[ablate.l1.train]\nbatch = 1\n")
    assert "holds l1 with another train.batch (2, not 1)" in refused()
    assert "at equal steps, not seconds" in refused("--equal", "seconds")
    assert "at least 1, got 0" in refused("--workers", "0")
    write_recipe(data, arms="[ablate.x.task]\nkind = 'super-resolution'\n")
    assert "arm x has another task.kind" in refused()
    with held(output):
        code = f"from gridless.cli import main; main(['sweep', {str(recipe)!r}, '-o', {str(output)!r}])"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert other.returncode == 2 and "another process writes into" in other.stderr


def test_seconds_become_steps_and_gains_are_over_bicubic(data, tmp_path, capsys):
    recipe = write_recipe(data, arms="[ablate.narrow.model]\nwidth = 16\n", task="super-resolution")
    found = swept(recipe, tmp_path / "out", "--seeds", "1", "--equal", "both", "--task.scales", "2")
    assert [(run.budget, run.arm) for run in found.runs] == [
        ("steps", "full"),
        ("steps", "narrow"),
        ("seconds", "narrow"),
    ]
    assert found.cases == [("a", 2.0), ("b", 2.0)] and found.runs[2].facts["steps"] >= 1
    assert "| gain ×2 | full − arm ×2 |" in capsys.readouterr().out
    assert np.allclose(found.values(found.runs[0]), found.runs[0].scores["psnr_rgb"] - found.bases["psnr_rgb"])


def test_an_arm_about_steps_keeps_its_own(data):
    arms = ARMS + "[ablate.half.train]\nsteps = 5\n"
    whole, diffs = merging.recipe(merging.recipe_table(write_recipe(data, 10, arms)), {})
    recipes = {"full": whole} | {
        n: merging.build(Recipe, merging.merge(merging.dump(whole), d)) for n, d in diffs.items()
    }
    found = _steps(recipes, ["full", "short", "half"], "steps", None, Processes(1))
    assert found == {("steps", "full"): 10, ("steps", "short"): 10, ("steps", "half"): 5}
    assert _steps(recipes, ["half"], "seconds", 10, Processes(1)) == {("steps", "half"): 5}


def test_one_that_fails_stops_no_other_and_is_tried_again(data, tmp_path, capsys):
    recipe = write_recipe(data, 20, arms="[ablate.wild.train.optimizer]\nlr = 1e30\n")
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            swept(recipe, tmp_path / "out", "--seeds", "1")
        said = capsys.readouterr()
        assert stop.value.code == 2 and "| full | both |" in said.out
        assert "1 failed" in said.err.splitlines()[-1] and "wild-steps-seed0: the loss is nan" in said.err
        assert "wild-steps-seed0: running" in said.err
        assert "FloatingPointError" in (tmp_path / "out" / "wild-steps-seed0" / "error.txt").read_text(encoding="utf-8")
    assert [run.arm for run in read_comparison(tmp_path / "out" / "sweep.json").runs] == ["full"]


# --- processes --------------------------------------------------------------------------------------------------


def touch(path: str) -> None:
    Path(path).write_text(f"{os.environ['OMP_NUM_THREADS']} {os.environ['NUMBA_NUM_THREADS']}", encoding="utf-8")


def vanish() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_takes_no_other_with_it(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    place = Processes(2)
    with pytest.raises(CallError, match="its process died"):
        place.call(vanish)
    *_, last = run_all(place, touch, {name: (str(tmp_path / name),) for name in ("a", "b")} | {"c": ("/no/where",)})
    assert last["a"] == last["b"] == ("done", "") and last["c"][0] == "failed" and "/no/where" in last["c"][1]
    assert (tmp_path / "a").read_text(encoding="utf-8") == f"{place.threads} {place.threads}"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_no_process_outlives_its_sweep(how, data, tmp_path, start):
    process = start(write_recipe(data, 100_000), tmp_path / "out", "--seeds", "1", "--workers", "2")
    until(lambda: len(list((tmp_path / "out").glob("*/metrics.jsonl"))) == 2)
    process.send_signal(how)
    assert process.wait(LONG) in (-signal.SIGKILL, 130)

    def logs():
        return [log.stat().st_size for log in (tmp_path / "out").glob("*/metrics.jsonl")]

    for run in (tmp_path / "out").glob("*-seed0"):
        with held(run, 20):  # free as soon as its worker has ended
            pass
    before = logs()
    time.sleep(1)
    assert before == logs() and len(before) == 2


def until(condition, seconds: float = LONG) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_twice_it_finds_what_an_undisturbed_sweep_finds(data, tmp_path, start):
    recipe, flags = write_recipe(data, 60), ["--seeds", "2", "--workers", "2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(recipe, whole, *flags).wait(LONG) == 0
    for goal in (2, 7):
        process = start(recipe, killed, *flags)
        until(lambda: len(list(killed.glob("*/results.csv"))) >= goal)  # noqa: B023
        until(lambda: any(killed.glob("*/checkpoint-*")))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in killed.glob("*/results.csv")}
    assert 7 <= len(done) < 12
    assert start(recipe, killed, *flags).wait(LONG) == 0
    found = rows(killed)
    assert len(found) == 2 + 12 and found == rows(whole)
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    for run in killed.glob("*-seed?"):
        steps = [
            line["step"] for line in map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        ]
        assert steps[-1] == 60 and not list(run.glob("*checkpoint-*"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # ray's
def test_on_a_ray_cluster_it_finds_the_same(data, tmp_path, monkeypatch, start):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(ConnectionError, match="no Ray cluster at 127.0.0.1:1 "):
        Cluster("127.0.0.1:1")
    recipe, flags = write_recipe(data, 20), ["--seeds", "2", "--workers", "2"]
    swept(recipe, tmp_path / "here", *flags)
    ray.init(num_cpus=2, include_dashboard=False)
    address = ray.get_runtime_context().gcs_address
    try:
        assert start(recipe, tmp_path / "there", *flags, "--ray", address).wait(LONG) == 0
    finally:
        ray.shutdown()
    assert len(rows(tmp_path / "here")) == 2 + 12 and rows(tmp_path / "there") == rows(tmp_path / "here")


def test_a_cluster_without_ray_says_what_to_install(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit):
        swept(write_recipe(data), tmp_path / "out", "--ray", "auto")
    assert "pip install 'gridless[ray]'" in capsys.readouterr().err


def test_a_folder_has_one_writer(tmp_path):
    with held(tmp_path), held(tmp_path):
        code = f"from gridless.training.locking import held\nwith held({str(tmp_path)!r}): pass"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "another process writes into" in other.stderr
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_fields_are_compared_question_by_question(tmp_path):
    (tmp_path / "fields.toml").write_text(FIELDS, encoding="utf-8")
    cli.main(["sweep", str(tmp_path / "fields.toml"), "--seeds", "1", "--workers", "1", "-o", str(tmp_path / "out")])
    found = read_comparison(tmp_path / "out" / "sweep.json")
    assert len(found.cases) == 2 * 2 * 2 and found.bases == {} and found.metric == "psnr"
    assert ("simple-01, 12 sensors, noise 0.1", 1.0) in found.cases
    assert [set(run.scores) for run in found.runs] == [
        {"psnr", "rmse", "relative_l2", "r2", "coverage_50", "coverage_90", "crps"},
        {"psnr", "rmse", "relative_l2", "r2"},
    ]
