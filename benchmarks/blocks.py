"""How many points at once, and would it pay to share more of what they need?

    python benchmarks/blocks.py [--side 256 --rounds 5 --json FILE]

Blocks: megapixels/s of answering side² with so many points on their way through the network at once. `gridless.nn.memory`
takes as many as pay and as free memory holds. Both are in turns, float32.

Ceilings: how much faster it could be at most if something cost nothing, measured by leaving it out (the answers are
wrong then). On a grid: the Fourier encodings of the coordinates, and with them the first linear layers on them, which
rows and columns could share. In a training step of `mamba-ginr`: the SiLU gate and the D x skip, which the scan's kernel
could take over. Under 1.05 (less what a true replacement still costs) it is not worth the code.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

from contextlib import contextmanager

import numpy as np
import torch
from decode import photo_model
from torch import nn

import gridless as gl
from gridless.config import Train
from gridless.data.sources import signals
from gridless.nn import mamba
from gridless.nn import memory as blocks
from gridless.nn.fourier import AxisFourier, GaussianFourier
from gridless.training.optimiser import build_optimizer
from gridless.training.steps import build_accelerator, training_step

POINTS = [1 << n for n in range(9, 17)]
MODELS = ("photo recipe", "mamba-ginr small", "hybrid small")


def field_of(name: str) -> tuple[gl.FieldModel, gl.Field]:
    """The photo recipe's is made of windows; the others' is one."""
    torch.manual_seed(0)
    model = photo_model() if name == MODELS[0] else gl.FieldModel(gl.preset(*name.split()))
    side = 64 if name == MODELS[0] else model.config.signal.window
    return model, model.eval().encode(gl.Samples.from_grid(torch.rand(side, side, 3)))


@contextmanager
def for_nothing(*layers: nn.Module):
    """These layers answer zeros of the right size."""
    for layer in layers:
        width = layer.out_features if isinstance(layer, nn.Linear) else layer.width
        layer.forward = lambda x, width=width: x.new_zeros(1).expand(*x.shape[:-1], width)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def grid_ceilings(side: int, rounds: int) -> dict:
    out = {}
    for name in MODELS:
        model, field = field_of(name)
        decoder = model.decoder
        encodings = [m for m in decoder.modules() if isinstance(m, (AxisFourier, GaussianFourier))]
        first = [decoder.query, *getattr(decoder, "bands", [])]
        first += [] if getattr(decoder, "skip", None) is None else [decoder.skip]

        def call(layers, field=field):
            with for_nothing(*layers):
                field.to_image(shape=(side, side))

        kinds = {"all": [], "encodings": encodings, "first layers": encodings + first}
        taken = common.in_turns({kind: lambda layers=layers: call(layers) for kind, layers in kinds.items()}, rounds)
        out[name] = {what: common.ratios(taken["all"], taken[what]) for what in ("encodings", "first layers")}
    return out


class Passed(torch.autograd.Function):
    """(y, x, z) → y: the gate and the skip without their work; every gradient flows on."""

    @staticmethod
    def forward(ctx, y, x, z):
        return y

    @staticmethod
    def backward(ctx, g):
        return g, g, g


def gate_ceiling(size: str, precision: str, rounds: int) -> dict:
    torch.manual_seed(0)
    model, train = gl.FieldModel(gl.preset("mamba-ginr", size)), Train(steps=1, batch=16, precision=precision)
    optimizer, accelerator, rng = build_optimizer(model, train), build_accelerator(), np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(8)]
    batch, gated = (
        gl.Reconstruction().draw(signals(pictures), rng, window=(32, 32), batch=16, queries=None),
        mamba.gated,
    )

    def step(gate):
        mamba.gated = gate
        float(training_step(model, optimizer, batch, train, 1e-5, accelerator))

    def forward(gate):
        mamba.gated = gate
        with torch.no_grad():
            model.eval()(batch.samples, batch.coords, batch.cell)

    def passed(y, x, z, skip):
        return Passed.apply(y, x, z)

    out = {}
    for what, call in (("step", step), ("forward", forward)):
        taken = common.in_turns({"all": lambda c=call: c(gated), "free": lambda c=call: c(passed)}, rounds, warm=2)
        out[what] = common.ratios(taken["all"], taken["free"])
    mamba.gated = gated
    return out


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    chosen, megapixels = dict(blocks.MOST), args.side**2 / 1e6
    rates = {}
    for name in MODELS:
        _, field = field_of(name)

        def answer(most, field=field):
            blocks.MOST["cpu"] = most
            field.to_image(shape=(args.side, args.side))

        taken = common.in_turns({n: lambda n=n: answer(n) for n in POINTS}, args.rounds)
        rates[name] = [common.spread([megapixels / s for s in taken[n]]) for n in POINTS]
        print(f"{name:18}", "  ".join(f"{n}: {r['median']:.3f}" for n, r in zip(POINTS, rates[name], strict=True)))
    blocks.MOST.update(chosen)
    grid = grid_ceilings(args.side, 4 * args.rounds)
    gate = {f"{size}, {precision}": gate_ceiling(size, precision, rounds)
            for size, precision, rounds in (("small", "fp32", 3 * args.rounds), ("small", "bf16", 3 * args.rounds),
                                            ("base", "bf16", args.rounds))}  # fmt: skip
    for title, part in (("grid", grid), ("gate and skip", gate)):
        for name, row in part.items():
            print(f"{title}, {name:18}", ", ".join(f"{k} x{v['median']:.3f}" for k, v in row.items()))
    report = {"side": args.side, "points": POINTS, "megapixels_per_second": rates, "most": chosen,
              "grid_ceiling": grid, "gate_ceiling": gate}  # fmt: skip
    common.finish("blocks", report, args.json)


if __name__ == "__main__":
    main()
