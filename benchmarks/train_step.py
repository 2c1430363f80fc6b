"""How fast does MAMBA-GINR at its published size train?

    python benchmarks/train_step.py [--batch 16 --rounds 5 --json FILE]

`mamba-ginr` base: 32 x 32 pictures, 256 patches and 256 position tokens (512 in the sequence), 1,024 queries each; one
training step of `fit` (forward, backward, clipping, AdamW) in bf16, against the same model with its two parts that
public code has to offer on a CPU: mambapy's parallel scan and `nn.Conv1d` for the depthwise convolution. In turns.
The share of the matmul peak is counted FLOPs over time, as in layer.py.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import gridless as gl
from gridless.config import Train
from gridless.data.sources import signals
from gridless.nn import mamba
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


OURS = {"selective_scan": mamba.selective_scan, "shifted_convolution": mamba.shifted_convolution}
PUBLIC = {"selective_scan": public_scan, "shifted_convolution": public_convolution}


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

    def step(parts):
        for name, part in parts.items():
            setattr(mamba, name, part)
        float(training_step(model, optimizer, batch, train, 1e-5, accelerator))

    with FlopCounterMode(display=False) as counter:
        step(OURS)
    taken = common.in_turns({"ours": lambda: step(OURS), "public": lambda: step(PUBLIC)}, args.rounds)
    flops, peak = counter.get_total_flops(), common.matmul_rate(torch.bfloat16)
    rate = common.spread([args.batch / s for s in taken["ours"]])
    share = flops / np.median(taken["ours"]) / peak
    speedup = common.ratios(taken["public"], taken["ours"])
    print(f"mamba-ginr base, {model.parameter_count():,} parameters, batch {args.batch}, 1,024 queries, bf16\n")
    print(f"ours    {rate['median']:.1f} images/s ({rate['min']:.1f}-{rate['max']:.1f}), {flops / 1e9:.0f} GFLOP a step, "
          f"{share:.0%} of the matmul peak ({peak / 1e9:.0f} GFLOP/s)")  # fmt: skip
    print(f"public  {args.batch / np.median(taken['public']):.1f} images/s; ours is {speedup['median']:.1f}x as fast\n")
    report = {
        "batch": args.batch, "params": model.parameter_count(), "images_per_second": rate, "gflop": round(flops / 1e9, 1),
        "public_images_per_second": common.spread([args.batch / s for s in taken["public"]]),
        "speedup": speedup, "matmul_peak_gflops": round(peak / 1e9, 1), "share_of_matmul_peak": round(float(share), 3),
    }  # fmt: skip
    common.finish("train_step", report, args.json, ("torch", "numba", "mambapy"))


if __name__ == "__main__":
    main()
