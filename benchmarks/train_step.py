"""How fast does MAMBA-GINR at its published size train?

    python benchmarks/train_step.py [--batch 16 --rounds 5 --json FILE]

`mamba-ginr` base: 32 x 32 pictures, 256 patches and 256 position tokens (512 in the sequence), 1,024 queries each; one
training step of `fit` (forward, backward, clipping, AdamW) in bf16, in turns with the convolution written out within the
operator that is all of Mamba between its projections (its backward computes it again), with all of that written out, as it
was before and is on other devices, and once with the two parts that public code has to offer on a CPU: mambapy's parallel
scan and `nn.Conv1d`. The share of the matmul peak is counted FLOPs over time, as in layer.py. Times are the processor's,
of one thread: without what a process waits for others on a shared machine.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import gridless as gl
from gridless.config import Train
from gridless.data.sources import signals
from gridless.nn import mamba
from gridless.nn.scan import mixer
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


def written_convolution(xz, weight, bias, mask):
    width = weight.shape[2]
    parts = xz.split(width, -1)[::2]
    convolved = [mamba.shifted_convolution(x, weight[k], bias[k], k == 1) for k, x in enumerate(parts)]
    return F.silu(torch.stack(convolved))


def written_convolution_backward(dy, xz, weight, bias, mask, dxz):
    taps, width = weight.shape[1:]
    dw, dbias = torch.empty_like(weight), torch.empty_like(bias)
    for k, (x, dx) in enumerate(zip(xz.split(width, -1)[::2], dxz.split(width, -1)[::2], strict=True)):
        p = mamba.shifted_convolution(x, weight[k], bias[k], k == 1)
        dp = dy[k] * torch.sigmoid(p) * (1 + p * (1 - torch.sigmoid(p)))
        dx.copy_(mamba.shifted_convolution(dp, weight[k], torch.zeros_like(bias[k]), k == 0))
        dbias[k] = dp.sum((0, 1))
        for j in range(taps):  # steps back
            now, then = (dp[:, j:], x[:, : x.shape[1] - j]) if k == 0 else (dp[:, : x.shape[1] - j], x[:, j:])
            dw[k, taps - 1 - j] = (now * then).sum((0, 1))
    return dw, dbias


PARTS = {
    "scan": (mamba, "selective_scan", public_scan),
    "conv1d": (mamba, "shifted_convolution", public_convolution),
    "fused": (mamba, "mixer_fits", lambda xz, width: False),
    "convolve": (mixer, "convolve", written_convolution),
    "convolve back": (mixer, "convolve_backward", written_convolution_backward),
}
"""What can be switched off: where it is, and what stands in for it."""
OURS = {name: getattr(module, attribute) for name, (module, attribute, _) in PARTS.items()}
ARMS = {
    "now": (),
    "the convolution written out": ("convolve", "convolve back"),
    "all written out, as before": ("fused",),
    "public parts": ("fused", "scan", "conv1d"),
}


def switch_off(*names: str) -> None:
    """These parts, and no others."""
    for name, (module, attribute, other) in PARTS.items():
        setattr(module, attribute, other if name in names else OURS[name])


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

    def step(arm: str) -> None:
        switch_off(*ARMS[arm])
        float(training_step(model, optimizer, batch, train, 1e-5, accelerator))

    *several, once = ARMS
    calls = {arm: (lambda arm=arm: step(arm)) for arm in several}
    taken = common.in_turns(calls, args.rounds, warm=2, clock=time.process_time)
    with FlopCounterMode(display=False) as counter:  # after the first step, which registers what an operator counts
        step("all written out, as before")
    taken[once] = [common.seconds(lambda: step(once), time.process_time)]  # a minute or two a step
    switch_off()
    flops, peak = counter.get_total_flops(), common.matmul_rate(torch.bfloat16, rounds=15, clock=time.process_time)
    rows = {
        arm: {
            "images_per_second": common.spread([args.batch / s for s in times]),
            "share_of_matmul_peak": round(flops / float(np.median(times)) / peak, 3),
            "times_as_long": common.ratios(times, taken["now"][: len(times)]),
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
