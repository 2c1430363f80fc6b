"""How fast does MAMBA-GINR at its published size train?

    python benchmarks/train_step.py [--batch 16 --rounds 3 --json FILE]

`mamba-ginr` base: 32 x 32 pictures, 256 patches and 256 position tokens (512 in the sequence), 1,024 queries each; one
training step of `fit` (forward, backward, clipping, AdamW) in bf16, in turns with what it was before each of two changes
(the part between Mamba's projections written out instead of one operator; freed memory given back to the system as the C
library does by itself), before both, and with the two parts that public code has to offer on a CPU: mambapy's parallel
scan and `nn.Conv1d` for the depthwise convolution. The share of the matmul peak is counted FLOPs over time, as in
layer.py. Times are the processor's: of one process, without what it waits for others on a shared machine.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import gridless as gl
from gridless.config import Train
from gridless.data.sources import signals
from gridless.nn import mamba, memory
from gridless.training.optimiser import build_optimizer
from gridless.training.steps import build_accelerator, training_step


def public_scan(x, dt, A, B, C, reverse=False):
    from mambapy.pscan import pscan

    if reverse:
        return public_scan(x.flip(1), dt.flip(1), A, B.flip(1), C.flip(1)).flip(1)
    x, B, C = x.float(), B.float(), C.float()
    states = pscan(torch.exp(dt.unsqueeze(-1) * A), (dt * x).unsqueeze(-1) * B.unsqueeze(2))
    return (states @ C.unsqueeze(-1)).squeeze(3)


def public_convolution(x, weight, bias, reverse=False):
    taps, length = len(weight), x.shape[1]
    if reverse:
        return public_convolution(x.flip(1), weight, bias).flip(1)
    kernel = weight.T[:, None].to(x.dtype)
    return F.conv1d(x.transpose(1, 2), kernel, bias.to(x.dtype), padding=taps - 1, groups=len(kernel))[
        ..., :length
    ].transpose(1, 2)


PARTS = {
    "selective_scan": (mamba.selective_scan, public_scan),
    "shifted_convolution": (mamba.shifted_convolution, public_convolution),
    "mixer_fits": (mamba.mixer_fits, lambda xz, width: False),
}
ARMS = {
    "now": (True, "keep"),
    "without the fused operator": (False, "keep"),
    "without keeping freed memory": (True, "default"),
    "before both": (False, "default"),
    "public parts": (False, "public"),
}
"""Whether the operator is fused, and the process that runs it."""


def choose(fused: bool, public: bool = False) -> None:
    """The parts of Mamba that the next step takes."""
    for name, (ours, other) in PARTS.items():
        setattr(mamba, name, other if (not fused if name == "mixer_fits" else public) else ours)


def steps_of(process: str, size: int, steps: int) -> dict:
    """In a process of its own, because the C library adapts to how memory was used before."""
    if process == "keep":
        memory.keep_freed_memory()
    torch.manual_seed(0)
    model = gl.FieldModel(gl.preset("mamba-ginr", size="base"))
    train = Train(steps=1, batch=size, precision="bf16")
    optimizer, accelerator = build_optimizer(model, train), build_accelerator()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(8)]
    batch = gl.Reconstruction().draw(signals(pictures), rng, window=(32, 32), batch=size, queries=None)

    def step(fused: bool) -> None:
        choose(fused, process == "public")
        float(training_step(model, optimizer, batch, train, 1e-5, accelerator))

    kinds = {arm: fused for arm, (fused, where) in ARMS.items() if where == process}
    if process == "public":  # a minute or two a step: one has to do
        return {"seconds": {arm: [common.seconds(lambda: step(False), time.process_time)] for arm in kinds}}
    calls = {arm: (lambda fused=fused: step(fused)) for arm, fused in kinds.items()}
    taken = common.in_turns(calls, steps, warm=2, clock=time.process_time)
    with FlopCounterMode(display=False) as counter:  # after the first step, which registers what an operator counts
        step(True)
    rate = common.matmul_rate(torch.bfloat16, rounds=15, clock=time.process_time)
    return {"seconds": taken, "flops": counter.get_total_flops(), "peak": rate, "params": model.parameter_count()}


def alone(process: str, size: int, steps: int) -> dict:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(steps_of, process, size, steps).result()


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    peaks, facts = [], {}
    for r in range(args.rounds):
        for process in ("keep", "default", "public") if r == 0 else ("keep", "default"):
            result = alone(process, args.batch, 3)
            for arm, taken in result["seconds"].items():
                seconds[arm] += taken
                print(r, arm, [round(s, 2) for s in taken], flush=True)
            if process != "public":
                peaks.append(result["peak"])
                facts = result
    flops, peak, now = facts["flops"], float(np.median(peaks)), seconds["now"]
    rows = {
        arm: {
            "images_per_second": common.spread([args.batch / s for s in taken]),
            "share_of_matmul_peak": round(flops / float(np.median(taken)) / peak, 3),
            "times_as_long": common.ratios(taken, now[: len(taken)]),
        }
        for arm, taken in seconds.items()
    }
    print(f"mamba-ginr base, {facts['params']:,} parameters, batch {args.batch}, 1,024 queries, bf16; "
          f"{flops / 1e9:.0f} GFLOP a step, matmul peak {peak / 1e9:.0f} GFLOP/s\n")  # fmt: skip
    for arm, row in rows.items():
        print(f"{arm:30}{row['images_per_second']['median']:>6.1f} images/s, {row['share_of_matmul_peak']:.0%} of the peak, "
              f"{row['times_as_long']['median']:.2f} times as long")  # fmt: skip
    report = {
        "batch": args.batch, "params": facts["params"], "gflop": round(flops / 1e9, 1),
        "matmul_peak_gflops": round(peak / 1e9, 1), "arms": rows,
    }  # fmt: skip
    common.finish("train_step", report, args.json, ("torch", "numba", "mambapy"))


if __name__ == "__main__":
    main()
