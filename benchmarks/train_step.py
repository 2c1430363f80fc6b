"""How fast does MAMBA-GINR at its published size train?

    python benchmarks/train_step.py [--batch 16 --rounds 5 --json FILE]

`mamba-ginr` base: 32 x 32 pictures, 256 patches and 256 position tokens (512 in the sequence), 1,024 queries each; one
training step of `fit` (forward, backward, clipping, AdamW) in bf16, in turns with what it was before each of two changes
(the part between Mamba's projections written out instead of one operator; freed memory given back to the system after
every step), before both, and with the two parts that public code has to offer on a CPU: mambapy's parallel scan and
`nn.Conv1d` for the depthwise convolution. The share of the matmul peak is counted FLOPs over time, as in layer.py. Times
are the processor's: of one process, without what it waits for others on a shared machine.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import ctypes
import time

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
GIVE_BACK = ((-4, 1 << 16), (-1, 1 << 17), (-2, 1 << 17))  # glibc's own, as in `memory.KEEP`
ARMS = {
    "now": {"fused": True, "keep": True},
    "without the fused operator": {"fused": False, "keep": True},
    "without keeping freed memory": {"fused": True, "keep": False},
    "before both": {"fused": False, "keep": False},
    "public parts": {"fused": False, "keep": False, "public": True},
}


def choose(fused: bool, keep: bool, public: bool = False) -> None:
    for name, (ours, other) in PARTS.items():
        setattr(mamba, name, other if (not fused if name == "mixer_fits" else public) else ours)
    malloc = ctypes.CDLL(None)
    for option, value in memory.KEEP if keep else GIVE_BACK:
        malloc.mallopt(option, value)
    if not keep:
        malloc.malloc_trim(0)


def matmul_rate(size: int = 2048, rounds: int = 15) -> float:
    """As `common.matmul_rate`, of the processor's seconds."""
    a, b = torch.randn(2, size, size).to(torch.bfloat16)
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        a @ b
        taken.append(time.process_time() - start)
    return 2 * size**3 / min(taken)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = gl.FieldModel(gl.preset("mamba-ginr", size="base"))
    train = Train(steps=1, batch=args.batch, precision="bf16")
    optimizer, accelerator = build_optimizer(model, train), build_accelerator()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(8)]
    batch = gl.Reconstruction().draw(signals(pictures), rng, window=(32, 32), batch=args.batch, queries=None)

    def step(arm):
        choose(**ARMS[arm])
        start = time.process_time()
        float(training_step(model, optimizer, batch, train, 1e-5, accelerator))
        return time.process_time() - start

    with FlopCounterMode(display=False) as counter:
        step("now")
    taken: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for r in range(args.rounds + 1):
        for arm in ARMS:
            if arm != "public parts":
                step(arm)  # what the arm before left of memory is not its own
            elif r != 1:  # a minute or two a step: one has to do
                continue
            taken[arm].append(step(arm))
        print(f"round {r}", {arm: round(times[-1], 2) for arm, times in taken.items() if times}, flush=True)
    taken = {arm: times if arm == "public parts" else times[1:] for arm, times in taken.items()}
    now = taken["now"]
    flops, peak = counter.get_total_flops(), matmul_rate()
    rows = {
        arm: {
            "images_per_second": common.spread([args.batch / s for s in times]),
            "share_of_matmul_peak": round(flops / float(np.median(times)) / peak, 3),
            "times_as_long": common.ratios(times, now[: len(times)]),
        }
        for arm, times in taken.items()
    }
    print(f"mamba-ginr base, {model.parameter_count():,} parameters, batch {args.batch}, 1,024 queries, bf16; "
          f"{flops / 1e9:.0f} GFLOP a step, matmul peak {peak / 1e9:.0f} GFLOP/s\n")  # fmt: skip
    for arm, row in rows.items():
        print(f"{arm:30}{row['images_per_second']['median']:>6.1f} images/s, {row['share_of_matmul_peak']:.0%} of the peak, "
              f"{row['times_as_long']['median']:.2f} times as long")  # fmt: skip
    report = {
        "batch": args.batch, "params": model.parameter_count(), "gflop": round(flops / 1e9, 1),
        "matmul_peak_gflops": round(peak / 1e9, 1), "arms": rows,
    }  # fmt: skip
    common.finish("train_step", report, args.json, ("torch", "numba", "mambapy"))


if __name__ == "__main__":
    main()
