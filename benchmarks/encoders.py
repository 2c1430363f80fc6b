"""Where does a linear-time encoder pay? Four encoders, one decoder, equal seconds of training.

    python benchmarks/encoders.py --json results/encoders.json [--seconds 10 --seeds 3]
    python benchmarks/encoders.py --json results/encoders.json --page

Reconstruction of crops of the photographs that scikit-image and scikit-learn ship, from 256, 1,024, 4,096 and 16,384
tokens (crops of 64², 128² and 256² in patches of 4, 256² in patches of 2), through 256 latents of width 64 and LAINR's
decoder: encoders are bidirectional Mamba, a transformer (torch's fused attention), a Perceiver of two stages, and dilated
convolutions over the grid of tokens, whose cells' means are the latents. Every step sees at least 4,096 tokens (one crop or
more) and asks 2,048 points, so that the decoder costs the same. bf16, one thread; seconds are the processor's, in training
steps alone: on a shared machine the clock says little. An encoder's rate is the best of three at 1,024 tokens on the
validation photographs; scores are PSNR on fixed crops of the test photographs. Seeds are the outer loop, and what the JSON
file already holds is not run again. `--page` writes docs/lengths.md and its figure.
"""

import common  # isort: skip  (before torch)

import json
import os
import time
from math import isqrt, log10
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

import gridless as gl
from gridless import config
from gridless.config import Train
from gridless.data.photos import photos
from gridless.data.sources import signals
from gridless.network.encoded import Tokens
from gridless.network.encoders.position_tokens import even_positions
from gridless.training.optimiser import build_optimizer, learning_rate
from gridless.training.steps import build_accelerator, training_step

ROOT = Path(__file__).parents[1]
SIZES = {256: (64, 4), 1_024: (128, 4), 4_096: (256, 4), 16_384: (256, 2)}
"""Tokens -> side of the crop, and of a patch."""
WIDTH, LATENTS, TOKENS, QUERIES = 64, 256, 4_096, 2_048
RATES, TUNED_AT, TUNED_FOR = (1e-3, 3e-3, 8e-3), 1_024, 10.0
LOOKS = (0.5, 1.0)
PALETTE = {"mamba": "C0", "attention": "C1", "perceiver": "C2", "convolution": "C3"}


class Convolution(nn.Module):
    """depth × { x + W gelu(3 × 3 convolution, dilated 1, 2, 4, …, of norm x) }; latents are the means of equal cells."""

    def __init__(self, signal: config.Signal, width: int, positions: bool, count: int, depth: int = 4):
        super().__init__()
        self.width, self.side = width, isqrt(count)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth + 1))
        self.near = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=2**i, dilation=2**i, padding_mode="replicate") for i in range(depth)
        )
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.register_buffer("pos", even_positions(self.side**2, signal))

    def forward(self, tokens: Tokens) -> tuple[Tokens, Float[Tensor, "B T D"]]:
        b, n, width = tokens.x.shape
        side = isqrt(n)
        x = tokens.x.view(b, side, side, width)
        for norm, near, mix in zip(self.norms, self.near, self.mix, strict=False):
            x = x + mix(F.gelu(near(norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)))
        x = self.norms[-1](x)
        pooled = F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), self.side).flatten(2).transpose(1, 2)
        return Tokens(pooled, self.pos.expand(b, -1, -1)), x.flatten(1, 2)


POSITION_TOKENS = {"count": LATENTS, "std": 0.5}
ENCODERS = {
    "mamba": {"kind": "mamba", "depth": 2, "expansion": 2.0, "tokens": POSITION_TOKENS},
    "attention": {"kind": "transformer", "depth": 2, "heads": 4, "head_width": 16, "expansion": 2.0, "gated": False,
                  "tokens": POSITION_TOKENS},
    "perceiver": {"kind": "perceiver", "count": LATENTS, "widths": [WIDTH, WIDTH], "heads": 4, "cross_heads": 4,
                  "head_width": 16, "expansion": 2.0},
    "convolution": gl.own(Convolution, count=LATENTS),
}  # fmt: skip


def build(encoder: str, tokens: int, seed: int) -> gl.FieldModel:
    torch.manual_seed(seed)
    side, patch = SIZES[tokens]
    return gl.FieldModel(
        gl.preset(
            "mamba-ginr", "small", width=WIDTH, signal={"window": side, "overlap": side // 4},
            tokenizer={"size": patch}, encoder=ENCODERS[encoder], decoder={"hidden": WIDTH},
        )
    )  # fmt: skip


def crops(tokens: int, split: str) -> gl.protocols.Batch:
    """Fixed crops, eight or, of the longest, four, and 2,048 points of each."""
    side, count = SIZES[tokens][0], 8 if tokens <= TOKENS else 4
    rng = np.random.default_rng((7, tokens, len(split)))
    return gl.Reconstruction().draw(PHOTOS[split], rng, window=(side, side), batch=count, queries=QUERIES)


@torch.no_grad()
def psnr(model: gl.FieldModel, batch: gl.protocols.Batch) -> float:
    """The mean over the crops, dB."""
    model.eval()
    scores = []
    for i in range(len(batch.coords)):
        answer = model.encode(batch.samples.select(slice(i, i + 1)))(batch.coords[i : i + 1])
        scores.append(-10 * log10(float((answer - batch.target[i : i + 1]).square().mean())))
    return mean(scores)


def kept_mib(model: gl.FieldModel, batch: gl.protocols.Batch) -> float:
    """MiB that autograd keeps for the backward of a step; a tensor that is kept twice counts once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        loss = model(batch.samples, batch.coords, batch.cell, target=batch.target)
    del loss
    return sum(kept.values()) / 2**20


def trained(encoder: str, tokens: int, seed: int, seconds: float, rate: float, split: str, looks=LOOKS) -> dict:
    """A run: PSNR on fixed crops of `split` when these shares of its seconds are spent."""
    model = build(encoder, tokens, seed)
    side = SIZES[tokens][0]
    batch_size = max(1, TOKENS // tokens)
    train = Train(steps=1, batch=batch_size, precision="bf16", seed=seed, optimizer={"lr": rate})
    optimizer, accelerator = build_optimizer(model, train), build_accelerator()
    task, test, spent, steps, curve = gl.Reconstruction(), crops(tokens, split), 0.0, 0, []

    def draw(step: int) -> gl.protocols.Batch:
        rng = np.random.default_rng((seed, step))
        return task.draw(
            PHOTOS["train"], rng, window=(side, side), batch=batch_size, queries=max(1, QUERIES // batch_size)
        )

    mib = kept_mib(model, draw(0))
    for look in looks:
        while spent < look * seconds:
            batch, now = draw(steps), learning_rate(max(spent / seconds, 0.01), train)
            began = time.process_time()
            float(training_step(model, optimizer, batch, train, now, accelerator))
            spent, steps = spent + time.process_time() - began, steps + 1
        curve.append({"seconds": round(spent, 2), "steps": steps, "psnr": round(psnr(model, test), 3)})
    facts = {"encoder": encoder, "tokens": tokens, "seed": seed, "rate": rate, "parameters": model.parameter_count()}
    return facts | {"kept_mib": round(mib, 1), "curve": curve}


def write(report: dict, path: Path) -> None:
    """Whole or not at all, because a run that is stopped goes on from here."""
    new = path.with_suffix(".new")
    common.finish("encoders", report, new)
    os.replace(new, path)


def measure(path: Path, seconds: float, seeds: int) -> None:
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"tuning": [], "runs": []}
    report |= {"seconds": seconds, "width": WIDTH, "latents": LATENTS, "tokens_per_step": TOKENS, "queries": QUERIES}
    tuning, runs = report["tuning"], report["runs"]
    for encoder in ENCODERS:
        for rate in RATES:
            if not any((r["encoder"], r["rate"]) == (encoder, rate) for r in tuning):
                tuning.append(trained(encoder, TUNED_AT, 99, TUNED_FOR, rate, "val", (1.0,)))
                write(report, path)
    best = {e: max((r for r in tuning if r["encoder"] == e), key=lambda r: r["curve"][-1]["psnr"]) for e in ENCODERS}
    for seed in range(seeds):
        for tokens in reversed(SIZES):  # what the question is about, first
            for encoder in ENCODERS:
                if not any((r["encoder"], r["tokens"], r["seed"]) == (encoder, tokens, seed) for r in runs):
                    runs.append(trained(encoder, tokens, seed, seconds, best[encoder]["rate"], "test"))
                    write(report, path)


# --- The page ---------------------------------------------------------------------------------------------------------
T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Of a mean over so many seeds."""


def finals(report: dict) -> dict[tuple[str, int], dict[int, float]]:
    """(encoder, tokens) -> seed -> PSNR in the end."""
    out: dict[tuple[str, int], dict[int, float]] = {}
    for run in report["runs"]:
        out.setdefault((run["encoder"], run["tokens"]), {})[run["seed"]] = run["curve"][-1]["psnr"]
    return out


def gain(scores: dict, rival: str, tokens: int) -> tuple[float, float | None, int] | None:
    """What Mamba has more than a rival: mean over the seeds that both have, half its 95 % interval, how many seeds."""
    ours, theirs = scores.get(("mamba", tokens), {}), scores.get((rival, tokens), {})
    pairs = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if not pairs:
        return None
    half = T95[len(pairs)] * stdev(pairs) / len(pairs) ** 0.5 if len(pairs) in T95 else None
    return mean(pairs), half, len(pairs)


def signed(value: tuple[float, float | None, int] | None) -> str:
    if value is None:
        return ""
    return f"{value[0]:+.2f}" + ("" if value[1] is None else f" ± {value[1]:.2f}")


def verdicts(report: dict) -> list[str]:
    """From which length on Mamba is ahead of each rival, and by how much."""
    scores, out = finals(report), []
    for rival in list(ENCODERS)[1:]:
        gains = {n: g for n in SIZES if (g := gain(scores, rival, n)) is not None}
        ahead = {n: g for n, g in gains.items() if g[0] > 0 and (g[1] is None or g[0] > g[1])}
        from_here = [n for n in ahead if all(m in ahead for m in gains if m >= n)]
        if not gains:
            out.append(f"Against {rival} nothing is measured.")
        elif from_here:
            sizes = ", ".join(f"{signed(gains[n])} dB at {n:,}" for n in gains if n >= from_here[0])
            out.append(f"Mamba is ahead of {rival} from {from_here[0]:,} tokens on ({sizes}).")
        else:
            at = ", ".join(f"{signed(g)} dB at {n:,}" for n, g in gains.items())
            out.append(f"Against {rival} there is no length from which on Mamba is ahead ({at}).")
    return out


def page(report: dict) -> str:
    scores, rows = finals(report), []
    for tokens in SIZES:
        for encoder in ENCODERS:
            runs = [r for r in report["runs"] if (r["encoder"], r["tokens"]) == (encoder, tokens)]
            if runs:
                difference = "" if encoder == "mamba" else signed(gain(scores, encoder, tokens))
                rows.append(
                    f"| {tokens:,} | {encoder} | {runs[0]['parameters']:,} | {runs[0]['rate']:g} "
                    f"| {mean(r['curve'][-1]['steps'] for r in runs):,.0f} | {runs[0]['kept_mib']:,.0f} "
                    f"| {mean(r['curve'][-1]['psnr'] for r in runs):.2f} | {difference} | {len(runs)} |"
                )
    head = "| tokens | encoder | parameters | rate | steps | MiB kept | PSNR, dB | Mamba's gain, dB | seeds |"
    hardware = report["hardware"]
    text = " ".join(verdicts(report))
    seconds, threads = f"{report['seconds']:.0f}", hardware["threads"]
    rates = ", ".join(f"{r:g}" for r in RATES)
    return f"""# Where the linear cost pays

Written by `python benchmarks/encoders.py --json results/encoders.json --page`. Reconstruction of crops of photographs from
so many tokens, through the same {report["latents"]} latents and the same decoder, after {seconds} seconds of training on one
core each, bf16: what is compared is equal time, not equal steps. At every length a step sees {report["tokens_per_step"]:,}
tokens or one crop and asks {report["queries"]:,} points. Crops are 64², 128² and 256² in patches of 4, the longest 256² in
patches of 2, so that PSNR compares encoders of one length, not lengths. MiB are what a step keeps for its backward. Gains
are paired by seed, with 95 % t-intervals where there is more than one; rates are the best of {rates}
at {TUNED_AT:,} tokens on other photographs, in {TUNED_FOR:.0f} seconds.

{text}

{head}
| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}

![PSNR against seconds of training](images/encoders.png)

These are {seconds} seconds from scratch on a dozen photographs: little for any of them, least where a step is long. The
convolutions see 31 tokens along each axis and hand on means of cells; they take a regular grid and nothing else. One
layer alone, by time and memory: [speed.md](speed.md#length).

Commit {report["commit"]}; {hardware["cpu"]}, {threads} thread; torch {report["versions"]["torch"]}. GPU: not measured.
"""


def draw(report: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(SIZES), figsize=(12, 3.2), layout="constrained")
    for axis, tokens in zip(axes, SIZES, strict=True):
        for encoder, colour in PALETTE.items():
            curves = [r["curve"] for r in report["runs"] if (r["encoder"], r["tokens"]) == (encoder, tokens)]
            for points in zip(*curves, strict=True) if curves else ():
                values = [p["psnr"] for p in points]
                axis.plot([mean(p["seconds"] for p in points)] * 2, [min(values), max(values)], color=colour, alpha=0.4)
            if curves:
                along = list(zip(*curves, strict=True))
                axis.plot(
                    [mean(p["seconds"] for p in points) for points in along],
                    [mean(p["psnr"] for p in points) for points in along],
                    "o-", markersize=3.5, color=colour, label=encoder,
                )  # fmt: skip
        axis.set(title=f"{tokens:,} tokens", xlabel="seconds of training")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("PSNR, dB")
    axes[0].legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of training, for each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="write docs/lengths.md from the JSON file, measure nothing")
    args = parser.parse_args()
    if args.json is None:
        parser.error("--json FILE is needed: runs are kept there and the page is written from it")
    if args.page:
        report = json.loads(args.json.read_text(encoding="utf-8"))
        (ROOT / "docs" / "lengths.md").write_text(page(report), encoding="utf-8")
        draw(report, ROOT / "docs" / "images" / "encoders.png")
        return
    torch.set_num_threads(1)
    PHOTOS.update({split: signals(list(photos(split))) for split in ("train", "val", "test")})
    measure(args.json, args.seconds, args.seeds)


PHOTOS: dict = {}

if __name__ == "__main__":
    main()
