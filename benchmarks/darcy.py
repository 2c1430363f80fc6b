"""Darcy flow: from a permeability on 16 × 16 nodes to the pressure, and the same domain seen and asked at 32 × 32.

    python benchmarks/darcy.py --data darcy_16_32.npz --json results/darcy.json

1,000 training pairs at 16², 50 test pairs at 16² and the same at 32²; nodes i / n, so that every second of the 32² is one of
the 16². Two learning rates are tried on the last 50 training pairs, a quarter of the time each; the better one trains on all
1,000. Relative L2 of each test field, mean and standard error over the 50. `seen`: the grid of the permeability;
`asked`: all nodes of a grid, or those `between`: the 32² nodes that are none of the 16², which no training showed. The last
rows and columns of the 32² lie beyond the last nodes of the 16². `truth, bicubic`: the true pressure at 16², interpolated:
what a perfect answer at 16² would miss between. One thread. `--keep FILE`: the training of an earlier results file, with the
commit that made it, beside fresh baselines.
"""

import common  # isort: skip  (before torch)

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch

import gridless as gl

SEED, HELD_OUT, RATES = 0, 50, (1e-3, 3e-3)
MODEL = {
    "signal": {"window": 16, "overlap": 4},
    "tokenizer": {"size": 2, "stem": {"width": 32, "blocks": 2}},
    "local": {"stem": True, "patches": True},
    "encoder": {
        "kind": "transformer",
        "depth": 4,
        "heads": 4,
        "head_width": 16,
        "expansion": 2.0,
        "tokens": {"count": 4},
    },
    "processor": {"depth": 0},
    "decoder": {"depth": 1, "fourier": {"std": 2.0}},
    "base": {"kind": "none"},
}


def signal(name: str, values: np.ndarray) -> gl.GridSignal:
    where = np.arange(len(values)) / len(values)
    domain = gl.Domain.of_grid({"y": where, "x": where}, samples="nodes")
    return gl.GridSignal(name, values[..., None].astype(np.float32), None, domain)


def signals(name: str, values: np.ndarray) -> list[gl.GridSignal]:
    return [signal(f"{name}-{i}", field) for i, field in enumerate(values)]


def pairs(seen: list[gl.GridSignal], asked: list[gl.GridSignal | gl.Signal]) -> list[gl.Pair]:
    return [gl.Pair(f"darcy-{i}", *both) for i, both in enumerate(zip(seen, asked, strict=True))]


def between(fine: gl.GridSignal) -> gl.Signal:
    """The nodes of a grid that the grid of half as many does not have, as readings."""
    mask = np.ones(fine.shape, bool)
    mask[::2, ::2] = False
    return gl.GridSignal(fine.name, fine.values, mask, fine.domain)


def questions(data) -> dict[str, list[gl.Pair]]:
    """Test pairs by what is seen and what is asked."""
    x16, y16 = signals("permeability", data["x_test16"]), signals("pressure", data["y_test16"])
    x32, y32 = signals("permeability", data["x_test32"]), signals("pressure", data["y_test32"])
    middle = [between(field) for field in y32]
    return {
        "seen 16², asked 16²": pairs(x16, y16),
        "seen 16², asked 32²": pairs(x16, y32),
        "seen 16², asked between": pairs(x16, middle),
        "seen 32², asked 16²": pairs(x32, y16),
        "seen 32², asked 32²": pairs(x32, y32),
        "seen 32², asked between": pairs(x32, middle),
    }


def relative_l2(model, asked: list[gl.Pair]) -> dict[str, float]:
    rows = gl.evaluate({"model": model}, asked, gl.Operator())
    values = [row["value"] for row in rows if row["metric"] == "relative_l2"]
    return {"mean": round(mean(values), 5), "standard_error": round(stdev(values) / len(values) ** 0.5, 5)}


@dataclass(frozen=True)
class Interpolated:
    """The true pressure on the coarse nodes, by the permeability that it belongs to, interpolated."""

    pressures: dict[bytes, gl.Samples]

    def encode(self, samples: gl.Samples) -> gl.Field:
        """Of one field or more."""
        known = [self.pressures[row.numpy().tobytes()] for row in samples.values]
        return gl.bases.Interpolation("bicubic").encode(gl.Samples.stack(known))


def trained(preset: str, train: list[gl.Pair], seconds: float, rate: float) -> tuple[gl.FieldModel, dict]:
    torch.manual_seed(SEED)
    model = gl.FieldModel(gl.preset(preset, "small", channels=1, **MODEL))
    settings = gl.Train(seconds=seconds, batch=16, queries=128, seed=SEED, optimizer={"lr": rate})
    facts = gl.fit(model, train, gl.Operator(), train=settings, quiet=True)
    return model, {"steps": facts["steps"], "seconds": facts["train_seconds"], "rate": rate}


def table(report: dict) -> str:
    """As the page has it."""
    columns = ("seen 16², asked 16²", "seen 16², asked 32²", "seen 16², asked between", "seen 32², asked 32²")
    lines = [f"| relative L2 | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for row in report["rows"]:
        scores = [row["relative_l2"].get(name) for name in columns]
        cells = ["–" if s is None else f"{s['mean']:.3f} ± {s['standard_error']:.3f}" for s in scores]
        lines.append(f"| {row['method']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_network(args: argparse.Namespace, train: list[gl.Pair], asked: dict[str, list[gl.Pair]]) -> tuple[list, dict]:
    """Rates that were tried, and the row of the model trained at the better one."""
    tried = []
    for rate in RATES:
        model, facts = trained(args.preset, train[:-HELD_OUT], args.seconds / 4, rate)
        tried.append(facts | {"held_out": relative_l2(model, train[-HELD_OUT:])["mean"]})
        print(tried[-1], file=sys.stderr, flush=True)
    rate = min(tried, key=lambda facts: facts["held_out"])["rate"]
    model, facts = trained(args.preset, train, args.seconds, rate)
    if args.save:
        model.save_pretrained(args.save)
    name = {"method": f"gridless, preset {args.preset}", "parameters": model.parameter_count()}
    scores = {name: relative_l2(model, cases) for name, cases in asked.items()}
    row = name | facts | {"train_relative_l2": relative_l2(model, train[:50])["mean"], "relative_l2": scores}
    print(row, file=sys.stderr, flush=True)
    return tried, row


def main(argv: list[str]) -> None:
    options = common.parser(__doc__)
    options.add_argument("--data", type=Path, required=True, help="darcy_16_32.npz")
    options.add_argument("--seconds", type=float, default=480.0, help="of the final training")
    options.add_argument("--preset", default="hybrid")
    options.add_argument("--save", type=Path, help="a folder for the trained model")
    options.add_argument("--keep", type=Path, help="take the trained model's row of this results file")
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    data = np.load(args.data)
    train = pairs(signals("permeability", data["x_train16"]), signals("pressure", data["y_train16"]))
    asked, rows = questions(data), []
    for kind in ("mean", "nearest", "ridge"):
        base, began = gl.bases.Regression(kind), time.perf_counter()
        chosen = base.fit(train)
        row = {"method": kind, "fit_seconds": round(time.perf_counter() - began, 2), "chosen": chosen}
        rows.append(row | {"relative_l2": {name: relative_l2(base, cases) for name, cases in asked.items()}})
        print(rows[-1], file=sys.stderr, flush=True)
    truth = Interpolated(
        {pair.seen.samples().values[0].numpy().tobytes(): pair.asked.samples() for pair in asked["seen 16², asked 16²"]}
    )
    coarse = {name: cases for name, cases in asked.items() if name.startswith("seen 16²")}
    scores = {name: relative_l2(truth, cases) for name, cases in coarse.items()}
    rows.append({"method": "truth, bicubic", "relative_l2": scores})
    print(rows[-1], file=sys.stderr, flush=True)
    if args.keep:
        earlier = json.loads(args.keep.read_text(encoding="utf-8"))
        tried, last = earlier["rates_tried"], earlier["rows"][-1]
        rows.append({"commit": earlier["commit"]} | last)
    else:
        tried, row = with_network(args, train, asked)
        rows.append(row)
    command = "python benchmarks/darcy.py --data darcy_16_32.npz --json results/darcy.json"
    facts = {"command": command, "seed": SEED, "training_pairs": len(train), "test_pairs": 50, "rates_tried": tried}
    common.finish("darcy", facts | {"rows": rows}, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
