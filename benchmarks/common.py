"""What the benchmarks share: turns within one run, spreads, tables, the line of JSON at the end.

Import it before torch: idle OpenMP threads of two pools (torch's and numba's) would spin against each other.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
import torch

import gridless as gl
from gridless.data.waves import Waves, fixed, place
from gridless.nn.scan import backend
from gridless.training.provenance import commit, hardware


def spread(values: list[float], digits: int = 3) -> dict[str, float]:
    return {name: round(of(values), digits) for name, of in (("median", median), ("min", min), ("max", max))}


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def in_turns(
    calls: dict[str, Callable[[], object]],
    rounds: int,
    warm: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every call, one after the other in every round, so that whatever else the machine does hits all; with
    `time.process_time` the processor's, of all threads, without waiting for others."""
    for _ in range(warm):
        for call in calls.values():
            call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(seconds(call, clock))
    return taken


def ratios(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Of neighbours in time."""
    return spread([a / b for a, b in zip(slow, fast, strict=True)])


def matmul_rate(
    dtype: torch.dtype, size: int = 2048, rounds: int = 5, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Measured FLOP/s of a square matrix product, the best of `rounds`: what "share of the peak" refers to."""
    a, b = torch.randn(2, size, size).to(dtype)
    taken = in_turns({"matmul": lambda: a @ b}, rounds, warm=2, clock=clock)["matmul"]
    return 2 * size**3 / min(taken)


def resident() -> float:
    """GiB of this process in memory now; from here on `peak` counts anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _status("VmRSS")


def peak() -> float:
    """GiB, the most since `resident`. getrusage would not do: a child inherits its parent's largest size."""
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**20


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def question(
    family: str, split: str, fields: int, count: int, noise: float, placement: str
) -> tuple[Waves, gl.Samples]:
    """Fixed fields of a family of waves and fixed readings of them."""
    waves, rng = fixed(family, split, fields), np.random.default_rng((len(split), count, round(1000 * noise)))
    coords = place(rng, fields, count, placement)
    values = waves(coords)
    values = values + noise * torch.from_numpy(rng.standard_normal(tuple(values.shape), np.float32))
    return waves, gl.Samples(values, coords=coords)


def parser(doc: str) -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--json", type=Path, help="also write the line of JSON here")
    return out


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """What stands between two marks of a page, anew."""
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def finish(name: str, report: dict, path: Path | None, packages: tuple[str, ...] = ("torch", "numba")) -> None:
    """The line of JSON, last; with what it was measured on."""
    report = {
        "benchmark": name,
        "commit": commit(),
        "hardware": hardware(),
        "backend": backend(),
        "versions": {package: installed(package) for package in packages},
    } | report
    line = json.dumps(report)
    if path:
        path.write_text(line + "\n", encoding="utf-8")
    print(line)


def joined(report: dict, path: Path | None, table: str, key: str, order: list[str]) -> dict:
    """A report with the rows and faults that the file holds of earlier calls with the same seed, which asked for others:
    `table` holds rows, told apart by `key`, in this `order`."""
    if path is None or not path.exists():
        return report
    before = json.loads(path.read_text(encoding="utf-8"))
    if before["seed"] != report["seed"]:
        return report
    new = {row[key]: row for row in report[table]}
    known = new | {row[key]: row for row in before[table] if row[key] not in new}
    faults = [*report["faults"], *(fault for fault in before["faults"] if fault[key] not in new)]
    return report | {table: [known[name] for name in order if name in known], "faults": faults}
