"""How fast is the fused selective scan, and how exact?

    python benchmarks/scan.py [--batch 16 --length 512 --width 512 --state 16 --repeats 5 --json FILE]

Ours against every peer that computes the same recurrence, in turns (ours, peer, ours, peer ...), so that whatever else
the machine does hits both; a speed-up is the median of the ratios of neighbours.  The error is max |a - b| / max |b|
against the float64 loop over the output and all gradients, at the size that is timed.  A table, then one line of JSON.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

import torch

from gridless.nn.scan import backend, selective_scan, selective_scan_reference
from gridless.training.provenance import hardware

STEPS = 16  # of the loop that torch.compile gets; a whole unrolled loop takes it many minutes
COMPILE_LIMIT = 60  # seconds
SECONDS = 8  # for one peer and mode: repeats go on that long, up to eightfold, where the peer is quick
OURS, LOOP, COMPILED, PSCAN = "ours", "unbind loop", f"unbind loop, torch.compile by {STEPS} steps", "mambapy pscan"
MODES = ("forward", "forward_backward")


def make_inputs(batch: int, length: int, width: int, state: int) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(batch, length, width, generator=g)
    dt = torch.nn.functional.softplus(torch.randn(batch, length, width, generator=g) - 2)
    A = -torch.arange(1.0, state + 1).repeat(width, 1)  # the initialisation of Mamba
    B, C = torch.randn(2, batch, length, state, generator=g)
    return [x, dt, A, B.clone(), C.clone()]


# --- The peers -------------------------------------------------------------------------------------------------------


def some_steps(h, x, dt, A, B, C):
    """A few steps of the loop from the state h, for torch.compile."""
    ys = []
    for x_t, dt_t, B_t, C_t in zip(x.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        h = torch.exp(dt_t[..., None] * A) * h + (dt_t * x_t)[..., None] * B_t[:, None]
        ys.append((h * C_t[:, None]).sum(-1))
    return torch.stack(ys, 1), h


def compiled_scan():
    steps = torch.compile(some_steps, dynamic=False)

    def scan(x, dt, A, B, C):
        h, ys = x.new_zeros(x.shape[0], *A.shape), []
        for parts in zip(*(v.split(STEPS, 1) for v in (x, dt, B, C)), strict=True):
            y, h = steps(h, *parts[:2], A, *parts[2:])
            ys.append(y)
        return torch.cat(ys, 1)

    return scan


def pscan_scan():
    from mambapy.pscan import pscan

    def scan(x, dt, A, B, C):
        decays = torch.exp(dt.unsqueeze(-1) * A)
        states = pscan(decays, (dt * x).unsqueeze(-1) * B.unsqueeze(2))
        return (states @ C.unsqueeze(-1)).squeeze(3)

    return scan


def peers(size: list[int]) -> tuple[dict, dict[str, str]]:
    """The scans to compare with, and why others are missing."""
    scans, missing = {LOOP: selective_scan_reference}, {}
    # compile in a child first, which can be stopped; here the compiled code then comes from inductor's cache
    command = [sys.executable, __file__, "--child", "compile", *map(str, size)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_LIMIT)
        scans[COMPILED] = compiled_scan()
    except subprocess.TimeoutExpired:
        missing[COMPILED] = f"compilation took more than {COMPILE_LIMIT} s"
    except subprocess.CalledProcessError as error:
        missing[COMPILED] = f"it does not compile here: {(error.stderr.strip() or '?').splitlines()[-1][:200]}"
    try:
        scans[PSCAN] = pscan_scan()
    except ImportError:
        missing[PSCAN] = "mambapy is not installed: pip install mambapy"
    return scans, missing


# --- Measurements ----------------------------------------------------------------------------------------------------


def milliseconds(scan, tensors: list[torch.Tensor], dy: torch.Tensor, mode: str) -> float:
    if mode == "forward":
        with torch.no_grad():
            start = time.perf_counter()
            scan(*tensors)
            return 1e3 * (time.perf_counter() - start)
    leaves = [v.detach().requires_grad_() for v in tensors]
    start = time.perf_counter()
    torch.autograd.grad(scan(*leaves), leaves, dy)
    return 1e3 * (time.perf_counter() - start)


def compare(scan, tensors: list[torch.Tensor], dy: torch.Tensor, repeats: int) -> dict:
    """Ours and one peer in turns: milliseconds of both and the ratios of neighbours."""
    result = {}
    for mode in MODES:
        for one in (selective_scan, scan):
            milliseconds(one, tensors, dy, mode)
        rounds, start = [], time.perf_counter()
        while len(rounds) < repeats or (len(rounds) < 8 * repeats and time.perf_counter() - start < SECONDS):
            rounds.append([milliseconds(one, tensors, dy, mode) for one in (selective_scan, scan)])
        ours, theirs = zip(*rounds, strict=True)
        result[mode] = {
            "ms": common.spread(theirs),
            "ours_ms": common.spread(ours),
            "ratio": common.ratios(theirs, ours),
        }
    return result


def errors(tensors: list[torch.Tensor], dy: torch.Tensor) -> dict[str, float]:
    """max |a - b| / max |b| of the output and every gradient, the float64 loop one sample at a time."""
    x, dt, A, B, C = leaves = [v.detach().requires_grad_() for v in tensors]
    y = selective_scan(*leaves)
    got = [y.detach(), *torch.autograd.grad(y, leaves, dy)]
    parts = []
    for b in range(len(x)):
        sample = [
            v.detach().double().requires_grad_() for v in (x[b : b + 1], dt[b : b + 1], A, B[b : b + 1], C[b : b + 1])
        ]
        y = selective_scan_reference(*sample)
        parts.append([y.detach(), *torch.autograd.grad(y, sample, dy[b : b + 1].double())])
    names = ("y", "dx", "ddt", "dA", "dB", "dC")
    want = [sum(v) if n == "dA" else torch.cat(v) for n, v in zip(names, zip(*parts, strict=True), strict=True)]
    return {n: float((a.double() - b).abs().max() / b.abs().max()) for n, a, b in zip(names, got, want, strict=True)}


def arithmetic_bound(size: list[int], rounds: int) -> dict[str, float]:
    """Milliseconds of the forward's powers of two and multiply-adds alone, all operands in the first-level cache."""
    import numba
    import numpy as np

    from gridless.nn.scan.cpu import GROUP
    from gridless.nn.scan.kernels import threads
    from gridless.nn.scan.lanes import LANES, exp2, load, splat, store

    @numba.njit(parallel=True, nogil=True)
    def arithmetic(tasks, length, state, dt, a, out):
        for task in numba.prange(tasks):
            for j in range(GROUP // LANES):
                for n in range(0, state, 4):  # four at a time, so that none waits for its own last step
                    a0, a1, a2, a3 = load(a, (n, 0)), load(a, (n + 1, 0)), load(a, (n + 2, 0)), load(a, (n + 3, 0))
                    h0, h1, h2, h3, y = splat(0.0), splat(0.0), splat(0.0), splat(0.0), splat(0.0)
                    for step in range(length):
                        dt_t = load(dt, (step % 16, 0))
                        u_t = dt_t * splat(0.5)
                        h0 = exp2(dt_t * a0) * h0 + u_t
                        h1 = exp2(dt_t * a1) * h1 + u_t
                        h2 = exp2(dt_t * a2) * h2 + u_t
                        h3 = exp2(dt_t * a3) * h3 + u_t
                        y = y + h0 * splat(0.25) + h1 * splat(0.5) + h2 * splat(0.75) + h3 * splat(1.25)
                    store(out, (task, j * LANES), y)

    batch, length, width, state = size
    tasks = batch * -(-width // GROUP)
    rng = np.random.default_rng(0)
    dt, a = rng.random((16, LANES), np.float32), -rng.random((-(-state // 4) * 4, LANES), np.float32)
    out = np.zeros((tasks, GROUP), np.float32)
    numba.set_num_threads(threads())
    taken = common.in_turns({"bound": lambda: arithmetic(tasks, length, state, dt, a, out)}, rounds, warm=2)["bound"]
    return common.spread([1e3 * s for s in taken])


def first_calls() -> tuple[dict, dict]:
    """Seconds of the first call in a fresh process, with nothing compiled on disk, and again with that cache."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", "first"]
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        runs = [subprocess.run(command, check=True, capture_output=True, text=True, env=environment) for _ in range(2)]
    cold, warm = (json.loads(run.stdout) for run in runs)
    return cold, warm


def child(what: str, size: list[int]) -> None:
    tensors = make_inputs(*(size or [2, 32, 64, 16]))
    leaves = [v.requires_grad_() for v in tensors]
    if what == "compile":
        scan = compiled_scan()
        with torch.no_grad():
            scan(*leaves)
        scan(*leaves).sum().backward()
        return
    start = time.perf_counter()
    y = selective_scan(*leaves)
    forward = time.perf_counter() - start
    y.sum().backward()
    total = time.perf_counter() - start
    print(json.dumps({"forward": round(forward, 3), "forward_backward": round(total, 3)}))


def main() -> None:
    parser = common.parser(__doc__)
    for name, default in (("batch", 16), ("length", 512), ("width", 512), ("state", 16), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], [int(v) for v in args.child[1:]])
        return

    size = [args.batch, args.length, args.width, args.state]
    tensors = make_inputs(*size)
    dy = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1))
    cold, warm = first_calls()
    scans, missing = peers(size)
    results = {name: compare(scan, tensors, dy, args.repeats) for name, scan in scans.items()}
    bound, error = arithmetic_bound(size, 4 * args.repeats), errors(tensors, dy)
    fastest = {mode: min(results, key=lambda name: results[name][mode]["ms"]["median"]) for mode in MODES}

    print(f"selective scan, batch {size[0]}, length {size[1]}, width {size[2]}, state {size[3]}, float32")
    print(f"{backend()['scan']}; torch {torch.__version__}, {torch.get_num_threads()} threads; {hardware()['cpu']}\n")
    print(f"{'':44}{'forward':>36}{'forward + backward':>38}")
    print(f"{'':44}" + f"{'ms (min-max)':>22}{'ours is':>14}  " * 2)
    for name, result in results.items():
        cells = ""
        for mode in MODES:
            ms, ratio = result[mode]["ms"], result[mode]["ratio"]
            cells += f"{ms['median']:>9.0f} ({ms['min']:.0f}-{ms['max']:.0f})".rjust(22)
            cells += f"{ratio['median']:.1f}x".rjust(14) + "  "
        print(f"{name:44}{cells}")
    for name, why in missing.items():
        print(f"{name:44}not measured: {why}")
    cells = ""
    for mode in MODES:
        runs = [result[mode]["ours_ms"] for result in results.values()]
        low, middle, high = min(r["min"] for r in runs), median(r["median"] for r in runs), max(r["max"] for r in runs)
        cells += f"{middle:>9.1f} ({low:.1f}-{high:.1f})".rjust(22) + " " * 16
    print(f"{OURS:44}{cells}\n")
    share = median(result["forward"]["ours_ms"]["median"] for result in results.values()) / bound["median"]
    print(
        f"its powers of two and multiply-adds alone: {bound['median']:.1f} ms; the forward takes {share:.1f} times that"
    )
    print("relative error against float64: " + ", ".join(f"{name} {value:.1e}" for name, value in error.items()))
    print(f"first call, forward and backward: {cold['forward_backward']} s, cached {warm['forward_backward']} s\n")

    report = {
        "size": dict(zip(("batch", "length", "width", "state"), size, strict=True)),
        "repeats": args.repeats,
        "forward_speedup": results[fastest["forward"]]["forward"]["ratio"]["median"],
        "forward_backward_speedup": results[fastest["forward_backward"]]["forward_backward"]["ratio"]["median"],
        "fastest_peer": fastest,
        "peers": results | {name: {"not_measured": why} for name, why in missing.items()},
        "arithmetic_bound_ms": bound,
        "forward_over_bound": round(share, 2),
        "max_rel_error": max(error.values()),
        "rel_error": error,
        "cold_call_seconds": cold["forward_backward"],
        "cold_forward_seconds": cold["forward"],
        "warm_cache_call_seconds": warm["forward_backward"],
        "gpu": "not measured",
    }
    common.finish("scan", report, args.json, ("torch", "numba", "mambapy"))


if __name__ == "__main__":
    main()
