"""How many points at once, and would it pay to share more of what they need?

    python benchmarks/blocks.py [--side 256 --rounds 5 --json FILE]

Blocks: megapixels/s of answering side² with so many points on their way through the network at once. `gridless.nn.memory`
takes as many as pay and as free memory holds. Both are in turns, float32.

Ceilings: how much faster it could be at most if something cost nothing, measured by leaving it out (the answers are
wrong then). On a grid: the Fourier encodings of the coordinates, and with them the first linear layers on them, which
rows and columns could share. Under 1.05 (less what a true replacement still costs) it is not worth the code.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

from contextlib import contextmanager

import torch
from decode import photo_model
from torch import nn

import gridless as gl
from gridless.nn import memory as blocks
from gridless.nn.fourier import AxisFourier, GaussianFourier

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
    for name, row in grid.items():
        print(f"grid, {name:18}", ", ".join(f"{k} x{v['median']:.3f}" for k, v in row.items()))
    report = {"side": args.side, "points": POINTS, "megapixels_per_second": rates, "most": chosen,
              "grid_ceiling": grid}  # fmt: skip
    common.finish("blocks", report, args.json)


if __name__ == "__main__":
    main()
