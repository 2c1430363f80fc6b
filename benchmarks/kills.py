"""Fifty kills (SIGKILL) at random moments of training, predicting, evaluating and sweeping.

python benchmarks/kills.py [--json FILE] [--seed 0] [--only train]

After one kill or two the same command is given again and runs to its end. Then its folder has to hold what an undisturbed
run's folder holds: the same files, no other ones, and in them the same bits, but for what says how long it took. Before
that, what is to be written at once is there as it was, or whole. Commands are processes forked from one that has loaded
everything (a sweep's runs are spawned, as always); a moment is so many seconds of the processor, of the process and its
children, so that a busy machine moves none of them.
"""

import common  # before torch # isort: skip

import csv
import gzip
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
import xarray as xr
from PIL import Image

from gridless.cli import main as command

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
checkpoint_every = 4
validate_every = 6
[train.optimizer]
ema = 0.9
[ablate.narrow.model]
width = 16
"""
CLOCKS = (
    "started", "seconds", "samples_per_second", "train_seconds", "base_seconds", "history", "encode_seconds", "error.txt",
)  # fmt: skip
"""Names of what says how long something took, or when."""
OLDER = b"older"


@dataclass(frozen=True)
class Command:
    """`kills`: how many of the fifty; `make` fills a folder with what the command needs; `argv`: the command, given in that
    folder; `atomic`: files that are as they were, or whole, at any moment."""

    name: str
    kills: int
    make: Callable[[Path], None]
    argv: tuple[str, ...]
    atomic: tuple[str, ...] = ()


def pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (folder / "in" / split).mkdir(parents=True)
        for name in "ab":
            Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(
                folder / "in" / split / f"{name}.png"
            )


def recipe(folder: Path, steps: int, task: str = "reconstruction") -> None:
    pictures(folder)
    (folder / "recipe.toml").write_text(RECIPE.format(data="in", steps=steps, task=task), encoding="utf-8")


def photo(folder: Path) -> None:
    pictures(folder)
    (folder / "out.png").write_bytes(OLDER)


def stations(folder: Path) -> None:
    rng = np.random.default_rng(1)
    rows = zip(rng.uniform(40, 50, 30), rng.uniform(0, 10, 30), rng.normal(size=30), strict=True)
    text = "\n".join(["lat,lon,v", *(f"{a:.4f},{b:.4f},{v:.4f}" for a, b, v in rows), ""])
    (folder / "in.csv").write_text(text, encoding="utf-8")
    (folder / "out.nc").write_bytes(OLDER)


def scan(folder: Path) -> None:
    values = np.random.default_rng(2).random((20, 20, 8), np.float32)
    nibabel.loadsave.save(nibabel.Nifti1Image(values, np.diag([1.0, 1, 3, 1])), folder / "in.nii.gz")


def trained(folder: Path) -> None:
    recipe(folder, 4)
    if run(("train", "recipe.toml", "-o", "run"), folder, None) != 0:
        raise RuntimeError("the run that is to be evaluated could not be trained")


def learnt(folder: Path) -> None:
    recipe(folder, 16)


def swept(folder: Path) -> None:
    recipe(folder, 4)


def words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


COMMANDS = (
    Command("train", 20, learnt, words("train recipe.toml -o run")),
    Command("predict, a picture", 5, photo, words("predict photo in/test/a.png --scale 8 -o out.png"), ("out.png",)),
    Command(
        "predict, readings", 4, stations, words("predict sensors in.csv --value v --grid 1deg -o out.nc"), ("out.nc",)
    ),
    Command("predict, a volume", 3, scan, words("predict volume in.nii.gz -o out.nii.gz"), ("out.nii.gz",)),
    Command("eval", 10, trained, words("eval run"), ("run/results.csv",)),
    Command("sweep", 8, swept, words("sweep recipe.toml -o sweep --seeds 1 --workers 1")),
)


def run(argv: tuple[str, ...], folder: Path, moment: float | None) -> int:
    """The command in a process of its own, in `folder`; killed after `moment` seconds of the processor. Its exit code, -9 if
    it was killed before it ended."""
    process = os.fork()
    if process == 0:
        code = 70
        try:
            os.chdir(folder)
            silent = os.open(folder.parent / f"{folder.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(silent, 1), os.dup2(silent, 2)
            command(list(argv))
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if moment is not None and spent(process) >= moment:
            os.kill(process, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        time.sleep(0.005)


def spent(process: int) -> float:
    """Seconds of the processor, of a process and those that it started."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        tasks = [each.read_text(encoding="utf-8") for each in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has just ended
        return 0.0
    started = [int(child) for each in tasks for child in each.split()]
    return sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(spent, started))


def contents(folder: Path) -> dict[str, Any]:
    """Every file of a folder, by its name, without what says how long it took."""
    return {str(p.relative_to(folder)): content(p) for p in sorted(folder.rglob("*")) if p.name != ".lock"}


def content(path: Path) -> Any:
    if path.is_dir():
        return "folder"
    data = path.read_bytes()
    match path.suffix:
        case ".json":
            return timeless(json.loads(data))
        case ".jsonl":
            return [timeless(json.loads(line)) for line in data.splitlines()]
        case ".csv":
            rows = list(csv.reader(data.decode().splitlines()))
            kept = [i for i, name in enumerate(rows[0]) if name not in CLOCKS]
            return [[row[i] for i in kept] for row in rows]
        case ".gz":
            return gzip.decompress(data)
        case ".nc" if data != OLDER:
            with xr.open_dataset(path) as dataset:
                dataset.attrs.pop("history", None)
                return dataset.load().to_dict()
    return data


def now(path: Path) -> Any:
    """What a file holds, None where there is none, and its error where it is not whole."""
    try:
        return content(path) if path.exists() else None
    except Exception as error:
        return error


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key not in CLOCKS}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


def difference(found: dict[str, Any], whole: dict[str, Any]) -> str:
    """The first file that one folder has and the other has not, or has otherwise; empty if there is none."""
    for name in sorted({*found, *whole}):
        if name not in found or name not in whole:
            return f"{name} is {'left over' if name in found else 'lost'}"
        if repr(found[name]) != repr(whole[name]):
            return f"{name} differs"
    return ""


def disturbed(each: Command, rng: random.Random, place: Path) -> dict:
    """Kills of one kind of command, and what was wrong afterwards."""
    fresh = place / "fresh"
    fresh.mkdir()
    each.make(fresh)
    whole = place / "whole"
    shutil.copytree(fresh, whole)
    before = os.times()
    if run(each.argv, whole, None) != 0:
        raise RuntimeError(f"{each.name} fails undisturbed: {(place / 'whole.log').read_text(encoding='utf-8')[-500:]}")
    after = os.times()
    length = after.children_user + after.children_system - before.children_user - before.children_system
    expected = contents(whole)
    kills, late, trials, faults, moments = 0, 0, 0, [], []
    while kills < each.kills:
        folder = place / f"killed-{trials}"
        shutil.copytree(fresh, folder)
        trials += 1
        for _ in range(min(rng.choice((1, 2)), each.kills - kills)):
            moment = rng.uniform(0, length)
            code = run(each.argv, folder, moment)
            if code != -signal.SIGKILL:
                late += 1
                continue
            kills += 1
            moments.append(round(moment, 3))
            for name in each.atomic:
                if repr(now(folder / name)) not in (repr(now(fresh / name)), repr(expected[name])):
                    faults.append(f"after a kill at {moment:.3f} s {name} is neither as it was nor whole")
        if (code := run(each.argv, folder, None)) != 0:
            said = (place / f"{folder.name}.log").read_text(encoding="utf-8").strip().splitlines()[-1:]
            faults.append(f"given again after {moments[-1:]} s it ends with {code}: {said}")
        elif other := difference(contents(folder), expected):
            faults.append(f"given again after {moments[-1:]} s: {other}")
        shutil.rmtree(folder)
    row = {"command": each.name, "kills": kills, "trials": trials, "too_late": late, "seconds": round(length, 2)}
    return row | {"moments_s": moments, "faults": faults}


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only commands whose name holds this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [each.name for each in COMMANDS]
    for each in [each for each in COMMANDS if options.only in each.name]:
        with tempfile.TemporaryDirectory(prefix="gridless-kills-") as place:
            row = disturbed(each, random.Random(f"{options.seed} {each.name}"), Path(place))
        faults = [{"command": each.name, "fault": fault} for fault in row.pop("faults")]
        report = {"seed": options.seed, "commands": [row], "faults": faults}
        report = common.joined(report, options.json, "commands", "command", names)
        common.finish("kills", report, options.json)


if __name__ == "__main__":
    main()
