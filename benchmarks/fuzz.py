"""What malformed files do at the doors: every case ends as an answer or as a refusal of one line, or it is a fault.

python benchmarks/fuzz.py [--cases 3000] [--seed 0] [--json FILE]
python benchmarks/fuzz.py --only "predict, pictures" 17        one case, with its folder kept and its traceback

Cases run in processes that are forked from one that has loaded everything, with a limit on their memory and their time. A
fault is: a traceback or an error that is not ours, more than one line, a Python warning, a line that is not ours on
standard error, code that was executed, a file that should not be there or is not whole, an input that changed, a signal,
and time or memory beyond the limit.
"""

import common  # before torch # isort: skip

import argparse
import fnmatch
import gc
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import damage
import nibabel
import pandas as pd
import torch
import xarray as xr
from doors import DOORS, warm
from doors.door import Case, Door
from PIL import Image

from gridless.data.snapshots import Snapshots

os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")  # GNU OpenMP ends processes that are forked from its own

SECONDS = 20  # of the processor that a case may take
PACKAGES = (
    "torch",
    "numpy",
    "pillow",
    "tifffile",
    "pandas",
    "xarray",
    "h5netcdf",
    "h5py",
    "zarr",
    "nibabel",
    "safetensors",
)
BATCH = 40  # cases of one process
PATIENCE = 6  # times as many on a clock, where others compute too
MEMORY = 2 << 30  # bytes of addresses that a case may take, beyond those of the process before it
SILENT = (ResourceWarning, DeprecationWarning, PendingDeprecationWarning)  # which Python does not show
EXPECTED = (ValueError, OSError, ImportError)  # what the package's functions say that they raise


@dataclass(frozen=True)
class Ending:
    """How a case ended: `answer`, `refusal`, or `fault` and why."""

    outcome: str
    reason: str = ""
    seconds: float = 0.0
    gigabytes: float = 0.0
    how: str = ""


def random_of(door: Door, number: int, seed: int) -> random.Random:
    return random.Random(f"{seed} {door.name} {number}")


def endings(door: Door, numbers: range, seed: int, place: Path) -> list[Ending]:
    """Runs these cases one after another, each in a folder of its own, in a forked process, and after one that ended it in
    another one; and judges what each of them left."""
    found: list[Ending] = []
    while rest := numbers[len(found) :]:
        folders = [place / f"case-{number}" for number in rest]
        process = os.fork()
        if process == 0:
            _child(door, rest, seed, folders)
        code = _ended(process, folders)
        for folder in folders:
            said = _said(folder)
            if "code" not in said and code == 0:
                break
            found.append(_judged(folder, said, said.get("code", code)))
            shutil.rmtree(folder, ignore_errors=True)
            if "code" not in said:  # it ended its process, which began none behind it
                break
    return found


def _judged(folder: Path, said: dict, code: int | None) -> Ending:
    reason = _fault(code, said, folder / "in", folder / "logs")
    outcome = "fault" if reason else ("answer" if code == 0 else "refusal")
    return Ending(outcome, reason, said.get("seconds", SECONDS), said.get("gigabytes", 0.0), said.get("how", "?"))


def _said(folder: Path) -> dict:
    note = folder / "logs" / "note.json"
    return json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}


def _ended(process: int, folders: list[Path]) -> int | None:
    """Its exit code, negative after a signal; None: a case took so long on the clock that it was killed."""
    limit, begun = SECONDS * PATIENCE, 0
    until, pause = time.monotonic() + limit, 0.002
    while time.monotonic() < until:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        while begun < len(folders) and folders[begun].exists():
            begun, until = begun + 1, time.monotonic() + limit
        time.sleep(pause)
        pause = min(0.05, pause * 1.3)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def _child(door: Door, numbers: range, seed: int, folders: list[Path]) -> None:
    """The cases; never returns."""
    try:
        size = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        for number, folder in zip(numbers, folders, strict=True):
            _case(door, number, seed, folder / "in", folder / "logs")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(70)


def _case(door: Door, number: int, seed: int, inside: Path, logs: Path) -> None:
    inside.mkdir(parents=True)
    logs.mkdir()
    for stream, name in ((1, "out"), (2, "err")):
        file = os.open(logs / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, stream)
        os.close(file)
    os.chdir(inside)
    case = door.make(random_of(door, number, seed))
    note = {"how": case.how, "outputs": case.outputs, "argv": case.argv, "files": _contents(inside)}
    _write(logs, note)
    before, began = common.resident(), time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(began) + SECONDS + 1, resource.RLIM_INFINITY))
    code = _asked(case, note)
    note |= {"gigabytes": round(common.peak() - before, 3), "seconds": time.process_time() - began}
    gc.collect()  # what is forgotten complains in its own case
    sys.stdout.flush()
    sys.stderr.flush()
    _write(logs, note | {"code": code})


def _write(logs: Path, note: dict) -> None:
    (logs / "note.json").write_text(json.dumps(note), encoding="utf-8")


def _contents(folder: Path) -> dict[str, int]:
    """What lies in a folder, and of files a sum of their bytes."""
    return {
        os.fsencode(p.relative_to(folder)).decode("latin-1"): zlib.crc32(p.read_bytes()) if p.is_file() else 0
        for p in sorted(folder.rglob("*"))
    }


def _asked(case: Case, note: dict) -> int:
    """0: it was answered; 2: refused. What is wrong with either is noted."""
    if case.call is None:
        try:
            case.run()
        except SystemExit as end:
            return int(end.code or 0)
        _check_whole(case.outputs)
        return 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _touched(case.run())
            return 0
        except EXPECTED as error:
            if "\n" in str(error).strip() or not str(error):
                note["fault"] = f"{type(error).__name__} of several lines or none: {error}"
            return 2
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            note["fault"] = f"{type(error).__name__}: {error}"
            return 2
        finally:
            if strange := [w for w in caught if w.category is not UserWarning and not issubclass(w.category, SILENT)]:
                note["fault"] = f"a warning of others: {strange[0].category.__name__}: {strange[0].message}"


def _touched(answer: object) -> None:
    """A sequence of fields is read when it is asked for."""
    if isinstance(answer, Snapshots):
        for i in range(min(3, len(answer))):
            answer[i]


def _check_whole(outputs: tuple[str, ...]) -> None:
    """Every file of an answer can be read by the package that others read it with."""
    for path in [path for pattern in outputs for path in Path().glob(pattern)]:
        match path.suffix:
            case ".nc" | ".zarr":
                (xr.open_zarr(path, consolidated=False) if path.suffix == ".zarr" else xr.open_dataset(path)).load()
            case ".gz" | ".nii":
                nibabel.loadsave.load(path).get_fdata()
            case ".csv":
                pd.read_csv(path)
            case ".tif":
                import tifffile

                tifffile.imread(path)
            case _:
                Image.open(path).load()


def _fault(code: int | None, said: dict, inside: Path, logs: Path) -> str:
    """Why this is none of the two endings; empty where it is one."""
    text = (logs / "err").read_text(encoding="utf-8", errors="replace") if (logs / "err").exists() else ""
    if code is None:
        return f"more than {SECONDS * PATIENCE} s"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    if "files" not in said:
        return f"the case could not be made: {text[-300:]}"
    if "fault" in said:
        return said["fault"]
    if code not in (0, 2):
        return f"exit code {code}: {text[-300:]}"
    strange = [line for line in text.splitlines() if not line.startswith("gridless: ")]
    if strange or (text and not text.endswith("\n")):
        return f"a line that is not ours: {strange[:1]}"
    if "--debug shows where" in text:
        return f"an error that is not ours: {text.strip()[-300:]}"
    if code == 2 and said["argv"] and not text:
        return "refused without a word"
    return _leftovers(code, said, _contents(inside)) or (
        "something outside its folder" if len(os.listdir(inside.parent)) > 2 else ""
    )


def _leftovers(code: int, said: dict, now: dict[str, int]) -> str:
    """Files that should not be there, that are not there, or that changed."""
    before = said["files"]
    if damage.CANARY in now and damage.CANARY not in before:
        return "code from a file was executed"
    if changed := [name for name, value in before.items() if now.get(name) != value]:
        return f"its input changed: {changed[0]}"
    new = [name for name in now if name not in before]
    outputs = [*said["outputs"], *(f"{each}/*" for each in said["outputs"] if each.endswith(".zarr"))]
    if strange := [name for name in new if name != "outs" and not any(fnmatch.fnmatch(name, each) for each in outputs)]:
        return f"a file that nobody asked for: {strange[0]}"
    made = [name for name in new if name != "outs"]
    if code and made and not any("*" in each for each in said["outputs"]):  # of several some may be answered
        return f"refused, and there is a file: {made[0]}"
    return "nothing was written" if not code and said["argv"] and not made else ""


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--cases", type=int, default=3000, help="of all doors together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--door", default="", help="only doors whose name holds this")
    parser.add_argument("--only", nargs=2, metavar=("DOOR", "NUMBER"), help="one case, here and now")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.json = options.json and options.json.resolve()
    place = Path(tempfile.mkdtemp(prefix="gridless-fuzz-"))
    try:
        os.chdir(place)
        warm()
        if options.only:
            _alone(options)
        else:
            gc.freeze()
            names = [door.name for door in DOORS]
            for door in [door for door in DOORS if options.door in door.name]:
                report = common.joined(_of_door(door, options, place), options.json, "doors", "door", names)
                common.finish("fuzz", report, options.json, PACKAGES)
    finally:
        os.chdir("/")
        shutil.rmtree(place, ignore_errors=True)


def _alone(options: argparse.Namespace) -> None:
    door = next(door for door in DOORS if door.name == options.only[0])
    folder = Path(tempfile.mkdtemp(prefix="gridless-case-"))
    os.chdir(folder)
    case = door.make(random_of(door, int(options.only[1]), options.seed))
    print(f"{folder}: {case.how}: {' '.join(case.argv) or case.about}")
    from gridless.cli import main as command

    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    _touched(case.run() if case.call else command([*case.argv, "--debug"]))


def _of_door(door: Door, options: argparse.Namespace, place: Path) -> dict:
    count, found = max(1, round(door.count * options.cases / 3000)), list[Ending]()
    for start in range(0, count, BATCH):
        found += endings(door, range(start, min(count, start + BATCH)), options.seed, place)
    outcomes = Counter(each.outcome for each in found)
    row = {
        "door": door.name,
        "cases": count,
        **{name: outcomes[name] for name in ("answer", "refusal", "fault")},
        "kinds": len({each.how for each in found}),
        "seconds": round(sum(each.seconds for each in found), 1),
        "longest_s": round(max(each.seconds for each in found), 2),
        "most_gib": round(max(each.gigabytes for each in found), 2),
    }
    faults = [
        {"door": door.name, "number": number, "how": each.how, "reason": each.reason}
        for number, each in enumerate(found)
        if each.outcome == "fault"
    ]
    limits = {"seconds": SECONDS, "gib": MEMORY / 2**30}
    return {"seed": options.seed, "limits": limits, "doors": [row], "faults": faults}


if __name__ == "__main__":
    main()
