"""Where does the time of a bidirectional Mamba layer go?

    python benchmarks/layer.py [--batch 16 --length 512 --width 256 --rounds 9 --json FILE]

Forward and backward of the whole layer and of its parts alone, in turns, in float32 and under bf16 autocast. A part's
share is its time over the sum of the parts. What lies between the projections is one operator; written out as the layer
has it elsewhere it is timed beside it, outside that sum. The share of the matmul peak is counted FLOPs (matrix products
by torch's counter, the scan by its own formula) over time, against a measured 2,048 x 2,048 product of the same dtype. Times
are the processor's, of one thread.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from gridless import config
from gridless.nn import mamba
from gridless.nn.mamba import BiMamba

WRITTEN_OUT = "the part between, written out"


def parts_of(layer: BiMamba, x: torch.Tensor) -> dict:
    """Each part as (function, its inputs), with the shapes that it has inside the layer."""
    k, b, n = len(layer.reverse), *x.shape[:2]
    compute = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    xz, y = torch.randn(b, n, 2 * k * layer.inner).to(compute), torch.randn(b, n, k * layer.inner).to(compute)

    def between(xz):
        return layer._mixed(xz, None, None)

    def written_out(xz):
        fits, mamba.mixer_fits = mamba.mixer_fits, lambda xz, width: False
        try:
            return layer._mixed(xz, None, None)
        finally:
            mamba.mixer_fits = fits

    return {
        "input projection": (layer.in_proj, [x]),
        "convolution, dt B C, scan and gate": (between, [xz]),
        "output projection": (layer.out_proj, [y]),
        WRITTEN_OUT: (written_out, [xz]),
    }


def forward_backward(function, inputs) -> None:
    leaves = [v.detach().requires_grad_() for v in inputs]
    function(*leaves).float().sum().backward()


def measure(layer: BiMamba, x: torch.Tensor, dtype: torch.dtype, rounds: int) -> dict:
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        parts = {"layer": (layer, [x])} | parts_of(layer, x)
        calls = {name: (lambda f=f, i=i: forward_backward(f, i)) for name, (f, i) in parts.items()}
        taken = common.in_turns(calls, rounds, warm=2, clock=time.process_time)
        with FlopCounterMode(display=False) as counter:
            forward_backward(layer, [x])
    milliseconds = {name: common.spread([1e3 * s for s in times]) for name, times in taken.items()}
    inside = {name: ms["median"] for name, ms in milliseconds.items() if name not in ("layer", WRITTEN_OUT)}
    peak, flops = common.matmul_rate(dtype, rounds=15, clock=time.process_time), counter.get_total_flops()
    return {
        "milliseconds": milliseconds,
        "share": {name: round(ms / sum(inside.values()), 3) for name, ms in inside.items()},
        "gflop": round(flops / 1e9, 2),
        "matmul_peak_gflops": round(peak / 1e9, 1),
        "share_of_matmul_peak": round(flops / (milliseconds["layer"]["median"] / 1e3) / peak, 3),
    }


def main() -> None:
    parser = common.parser(__doc__)
    for name, default in (("batch", 16), ("length", 512), ("width", 256), ("rounds", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.manual_seed(0)
    layer, x = BiMamba(args.width, config.Ssm()), torch.randn(args.batch, args.length, args.width)
    results = {name: measure(layer, x, getattr(torch, name), args.rounds) for name in ("float32", "bfloat16")}
    print(
        f"bidirectional Mamba layer, batch {args.batch}, length {args.length}, width {args.width}, forward + backward\n"
    )
    for dtype, result in results.items():
        ms = result["milliseconds"]["layer"]
        print(f"{dtype}: {ms['median']:.0f} ms ({ms['min']:.0f}-{ms['max']:.0f}), {result['gflop']} GFLOP,")
        print(f"  {result['share_of_matmul_peak']:.0%} of the matmul peak ({result['matmul_peak_gflops']} GFLOP/s)")
        for name, share in result["share"].items():
            print(f"  {name:40}{result['milliseconds'][name]['median']:>8.1f} ms {share:>6.0%}")
        print(f"  {WRITTEN_OUT:40}{result['milliseconds'][WRITTEN_OUT]['median']:>8.1f} ms")
    print()
    size = {"batch": args.batch, "length": args.length, "width": args.width}
    common.finish("layer", {"size": size, **results}, args.json)


if __name__ == "__main__":
    main()
