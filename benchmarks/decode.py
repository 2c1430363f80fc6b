"""How fast is a picture answered, in how much memory, beside LIIF?

    python benchmarks/decode.py [--side 1024 --pairs 5 --train SECONDS --liif-rate 1e-3 --json FILE]

Both models have encoded the same small picture; timed is the answer on a grid four times as fine, float32, in turns.
Ours is the photo recipe's model (the hybrid at size small) through `Field.to_image`: windows, blending and the bicubic
base included. LIIF (Chen et al. 2021, arXiv 2012.09161) as published: features of an EDSR-baseline encoder, 3 x 3
feature unfolding, a local ensemble of four, cell decoding, an MLP of 4 x 256, 30,000 queries at a time.

`--train`: both are trained for that many seconds on the same batches first, and scored on the test photos at x4; without
it their weights are random, which changes no time, and the scores that an earlier run left in FILE are kept, with its
commit. Memory: what the resident size of a child process grows by at most while it answers 4,096 x 4,096 from
1,024 x 1,024, after encoding. A table, then one line of JSON.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import torch
from liif import Liif
from torch import nn

import gridless as gl
from gridless.config.merging import recipe, recipe_table
from gridless.data.sources import signals
from gridless.scoring.metrics import psnr_rgb
from gridless.tasks import task_of
from gridless.training.optimiser import build_optimizer, learning_rate
from gridless.training.provenance import commit
from gridless.training.steps import build_accelerator, training_step


def photo_model(seed: int = 0) -> gl.FieldModel:
    torch.manual_seed(seed)
    return gl.FieldModel(recipe(recipe_table("photos"), {})[0].model)


# --- Equal seconds ---------------------------------------------------------------------------------------------------


def trained(model: nn.Module, step_of, budget: float) -> tuple[nn.Module, int]:
    """`step_of(model)` gives a function of (step, learning rate); the steps of `budget` seconds are measured first."""
    settings, step = recipe(recipe_table("photos"), {})[0].train, step_of(model)
    taken = [common.seconds(lambda s=s: step(s, 1e-5)) for s in range(12)]
    steps = max(2, int(budget / float(np.median(taken[4:]))))
    for s in range(steps):
        step(s, learning_rate((s + 1) / steps, settings))
    return model.eval(), steps


def fair_pair(budget: float, liif_rate: float) -> tuple[gl.FieldModel, Liif, dict]:
    """Both trained for `budget` seconds on the same stream of batches, with the recipe's precision, clip and schedule; LIIF
    with its own peak rate, which is to be the best of three on the validation photos (its published 1e-4 is one for 1,000
    epochs)."""
    run = recipe(recipe_table("photos"), {})[0]
    task, pictures = task_of(run.task), signals(gl.data.photos("train"))
    sizes = {"window": run.model.signal.windows, "batch": run.train.batch, "queries": run.train.queries}

    def batch(step):
        return task.draw(pictures, np.random.default_rng((0, step)), **sizes)

    def ours(model):
        optimizer, accelerator = build_optimizer(model, run.train), build_accelerator()
        return lambda step, rate: float(training_step(model, optimizer, batch(step), run.train, rate, accelerator))

    def theirs(model):
        optimizer = torch.optim.AdamW(model.parameters())

        def step(number, rate):
            b = batch(number)
            optimizer.param_groups[0]["lr"] = rate * liif_rate / run.train.optimizer.lr
            with torch.autocast("cpu", torch.bfloat16, enabled=run.train.precision == "bf16"):
                features = model.features(b.samples.on_grid())
                answer = model(features, b.coords, b.cell.expand_as(b.coords))
            optimizer.zero_grad()
            (answer.float() - b.target).abs().mean().backward()  # l1, as the recipe
            nn.utils.clip_grad_norm_(model.parameters(), run.train.optimizer.clip)
            optimizer.step()

        return step

    field_model, our_steps = trained(photo_model(), ours, budget)
    torch.manual_seed(0)
    liif, liif_steps = trained(Liif(), theirs, budget)
    scores = {"ours": [], "liif": [], "bicubic": []}
    for photo in gl.data.photos("test"):
        (case,) = task.cases(photo, (4.0,))
        samples, truth = case.samples(), case.truth / 255
        answers = {
            "ours": field_model.encode(samples).to_image(shape=case.shape),
            "bicubic": gl.bases.Interpolation("bicubic").encode(samples).to_image(shape=case.shape),
        }
        with torch.no_grad():
            answers["liif"] = liif.encode(samples).to_grid(case.shape)
        for name, picture in answers.items():
            scores[name].append(psnr_rgb(picture.numpy(), truth))
    psnr = {name: round(float(np.mean(values)), 3) for name, values in scores.items()}
    steps = {"ours": our_steps, "liif": liif_steps}
    return field_model, liif, {"seconds": budget, "liif_rate": liif_rate, "steps": steps, "psnr_rgb_x4": psnr}


# --- Memory ----------------------------------------------------------------------------------------------------------


def child(side: int) -> None:
    """Peak memory of answering side², after encoding a quarter of it per axis."""
    model = photo_model().eval()
    field = model.encode(gl.Samples.from_grid(torch.rand(side // 4, side // 4, 3)))
    field.to_image(shape=(64, 64))
    before = common.resident()
    start = time.perf_counter()
    picture = field.to_image(shape=(side, side))
    taken = time.perf_counter() - start
    print(f"{common.peak() - before} {picture.nbytes / 2**30} {taken}")


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--large", type=int, default=4096)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--train", type=float, help="seconds for each model")
    parser.add_argument("--liif-rate", type=float, default=1e-3, help="LIIF's peak learning rate with --train")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child)
        return
    pair = None
    if args.train:
        model, liif, pair = fair_pair(args.train, args.liif_rate)
        pair["commit"] = commit()
    else:
        model, liif = photo_model().eval(), Liif().eval()
        if args.json and args.json.exists():
            earlier = json.loads(args.json.read_text(encoding="utf-8"))
            pair = earlier["equal_seconds"] if isinstance(earlier["equal_seconds"], dict) else None
    shape = (args.side, args.side)
    torch.manual_seed(1)
    samples = gl.Samples.from_grid(torch.rand(args.side // 4, args.side // 4, 3))
    field = model.encode(samples)
    encoded = liif.encode(samples)
    taken = common.in_turns(
        {"ours": lambda: field.to_image(shape=shape), "liif": lambda: encoded.to_grid(shape)}, args.pairs
    )
    megapixels = {name: common.spread([args.side**2 / 1e6 / s for s in times]) for name, times in taken.items()}
    whole = field.to_image(shape=shape)
    differs = max(float((field.to_image(shape=shape, chunk=c) - whole).abs().max()) for c in (1_000, 1 << 12, 1 << 17))
    out = subprocess.run(
        [sys.executable, __file__, "--child", str(args.large)], capture_output=True, text=True, check=True
    )
    grown, output, large_seconds = map(float, out.stdout.split())

    print(f"decoding {args.side} x {args.side} from {args.side // 4} x {args.side // 4}, float32, {args.pairs} pairs\n")
    for name, m in (("ours", model), ("liif", liif)):
        rate = megapixels[name]
        params = sum(p.numel() for p in m.parameters())
        print(
            f"{name:6} {rate['median']:.3f} megapixels/s ({rate['min']:.3f}-{rate['max']:.3f}), {params:,} parameters"
        )
    speedup = common.ratios(taken["liif"], taken["ours"])
    print(f"ours is {speedup['median']:.1f}x as fast ({speedup['min']:.1f}-{speedup['max']:.1f})")
    print(f"largest difference between block sizes {differs:.1e}")
    print(f"{args.large} x {args.large}: {grown:.2f} GiB more than after encoding, {output:.2f} of them the output")
    if pair:
        print(
            f"after {pair['seconds']:g} s of training each, psnr_rgb x4: {pair['psnr_rgb_x4']} ({pair['steps']} steps)"
        )
    print()
    memory = {"grown_gib": round(grown, 3), "output_gib": round(output, 3), "seconds": round(large_seconds, 1)}
    report = {
        "side": args.side, "megapixels_per_second": megapixels, "speedup": speedup,
        "max_difference_between_blocks": differs,
        "memory": {"side": args.large, **memory},
        "equal_seconds": pair or "not measured (--train)",
    }  # fmt: skip
    common.finish("decode", report, args.json)


if __name__ == "__main__":
    main()
