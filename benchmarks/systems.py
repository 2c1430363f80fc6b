"""What does each system cost? Parameters, work, time and memory of encoding a picture and of asking it.

    python benchmarks/systems.py [--size base --batch 8 --rounds 3 --json results/claims/systems.json]

Pictures of 32 x 32 (`tiny`: 8 x 8), every pixel asked, fp32, without gradients, except `training_gib`. Work is counted
(FLOPs of matrix products and scans, of one picture); times alternate between the systems and are of one picture;
memory is what a child process's resident size grows by at most, per picture. The published
batch is 64: `forward_gib` is for so many.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import json
import subprocess
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

import gridless as gl
from gridless.training.provenance import commit, hardware

SYSTEMS = ("mamba-ginr", "lainr", "lainr-large", "mlp", "trans-inr", "ipc", "scent", "hybrid")
PUBLISHED_BATCH = 64


def built(name: str, size: str, batch: int) -> tuple[gl.FieldModel, gl.Samples, torch.Tensor]:
    torch.manual_seed(0)
    model = gl.FieldModel(gl.preset(name, size)).eval()
    side = model.config.signal.window
    return model, gl.Samples.from_grid(torch.rand(batch, side, side, 3)), gl.grid(side, side).expand(batch, -1, -1)


def memory(name: str, size: str, batch: int, training: bool) -> float:
    """GiB that one forward needs, graph included when training."""
    model, samples, coords = built(name, size, batch)
    with torch.no_grad():  # what the first call sets up once is not the forward's
        one = gl.Samples.from_grid(samples.on_grid()[:1])
        model(one, coords[:1])
    before = common.resident()
    if training:
        model.train()
        model(samples, coords).square().mean().backward()
    else:
        with torch.no_grad():
            model(samples, coords)
    return common.peak() - before


def in_child(*arguments: str) -> float:
    answer = subprocess.run(
        [sys.executable, __file__, "--child", *arguments], capture_output=True, text=True, check=True
    )
    return float(answer.stdout.split()[-1])


def gflops(model: gl.FieldModel, samples: gl.Samples, coords: torch.Tensor) -> tuple[float, float]:
    """Of one picture's encoding and of its answers. In training mode, because the counter wants a graph to follow."""
    model.train()
    with FlopCounterMode(display=False) as counter:
        field = model.encode(samples)
        encoding = counter.get_total_flops()
        field(coords)
    model.eval()
    each = 1e9 * len(samples)
    return encoding / each, (counter.get_total_flops() - encoding) / each


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--size", default="base")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=4, help="NAME SIZE BATCH training|answering: print the memory of one forward")
    args = parser.parse_args()
    if args.child:
        name, size, batch, kind = args.child
        print(memory(name, size, int(batch), kind == "training"))
        return
    parts, scores = {}, {}
    for name in SYSTEMS:
        model, samples, coords = built(name, args.size, args.batch)
        encoding, decoding = gflops(model, samples, coords)
        field = model.encode(samples)
        parts[f"{name} encode"] = lambda model=model, samples=samples: model.encode(samples)
        parts[f"{name} decode"] = lambda field=field, coords=coords: field(coords)
        scores[name] = {
            "encode_gflop": encoding,
            "decode_gflop": decoding,
            "forward_gib": in_child(name, args.size, str(args.batch), "answering") / args.batch * PUBLISHED_BATCH,
            "training_gib": in_child(name, args.size, str(args.batch), "training") / args.batch * PUBLISHED_BATCH,
        }
        print(f"{name}: {scores[name]}", file=sys.stderr)
    with torch.no_grad():
        taken = common.in_turns(parts, args.rounds)
    runs = []
    for name in SYSTEMS:
        params = built(name, args.size, 1)[0].parameter_count()
        for turn in range(args.rounds):
            times = {f"{part}_seconds": taken[f"{name} {part}"][turn] / args.batch for part in ("encode", "decode")}
            both = {k: round(v, 4) for k, v in (scores[name] | times).items()}
            runs.append({"arm": name, "seed": turn, "params": params, "scores": both})
    columns = list(runs[0]["scores"])
    print(f"{'':12}" + "".join(f"{c:>16}" for c in columns))
    for name in SYSTEMS:
        own = [run["scores"] for run in runs if run["arm"] == name]
        print(f"{name:12}" + "".join(f"{sum(s[c] for s in own) / len(own):16.3f}" for c in columns))
    report = {
        "about": f"Cost of one 32 × 32 picture at size {args.size}, fp32; memory for the published batch of "
        f"{PUBLISHED_BATCH}, measured at {args.batch}; a run is one round of alternating timings.",
        "command": f"python benchmarks/systems.py --size {args.size} --batch {args.batch} --rounds {args.rounds}",
        "commit": commit(), "hardware": hardware(), "runs": runs,
    }  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
