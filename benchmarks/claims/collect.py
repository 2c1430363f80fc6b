"""From the runs of a sweep to the results files that decide the claims: results/claims/*.json.

    R=benchmarks/claims/recipes
    python -m benchmarks.claims.sweeping encoder --data CIFAR10        (and the others; rates into runs/claims-rates)
    python -m benchmarks.claims.collect encoder runs/claims            (and the others): scores, sizes, times, curves
    python -m benchmarks.claims.collect rates runs/claims-rates        the same, of other learning rates
    python -m benchmarks.claims.collect tokens runs/claims             likeness of position tokens before and after training
    python -m benchmarks.claims.collect generalisation runs/claims     held-out minus training score
    python -m benchmarks.claims.collect linear runs/claims             PCA and DCT of the same crops, by floats kept
    gridless sweep $R/claims-sr.toml --data PHOTOS -o runs/claims-sr
    python -m benchmarks.claims.collect super-resolution runs/claims-sr
    python -m benchmarks.claims.collect cifar10 runs/cifar10           one run per system of the recipe cifar10
    python -m benchmarks.claims.collect lengths results/lengths.json
    gridless sweep $R/claims-sparse.toml --seeds 3 -o runs/claims-sparse
    python -m benchmarks.claims.collect sparse runs/claims-sparse      V1 and V2, asked for a whole grid and 51 at a time
    gridless train waves --preset v1 -o runs/shipped/v1 (v2), gridless eval runs/shipped/v1
    python -m benchmarks.claims.collect shipped runs/shipped           V1 and V2 in full
    python -m benchmarks.claims.collect overfit runs/claims-sparse     one field, on that field
    gridless train waves --model.base.kind none --train.seconds 200 -o runs/encoders/transformer (and mamba, perceiver as
    in the recipe's arms), gridless eval runs/encoders/transformer
    python -m benchmarks.claims.collect encoders runs/encoders         the network of the recipe waves, alone
    gridless sweep $R/techniques.toml --seeds 3 -o runs/techniques
    python -m benchmarks.claims.collect techniques runs/techniques
    gridless sweep $R/techniques-long.toml --seeds 3 -o runs/techniques-long --arms sigmoid raw-values …
    python -m benchmarks.claims.collect techniques-long runs/techniques-long

Every run of a file is made at one commit, and a seed counts once every arm of the file has finished it. `features`, of
runs of another recipe, cannot be collected again.
"""

import argparse
import json
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

import gridless as gl
from benchmarks.claims.effects import commits
from benchmarks.claims.rules import arms_of
from gridless.config.merging import load_json
from gridless.reports.inside.reading import position_tokens
from gridless.reports.inside.vectors import centred_cosine
from gridless.scoring.results import read_results
from gridless.tasks import task_of
from gridless.training.loading import load_data, load_run

TRAINING_PICTURES = 125  # as many as the recipe holds out
TRAINING_ROWS = 4000  # pictures that PCA is fitted on
CROPS = "8 × 8 crops of CIFAR-10, reconstructed; PSNR of 500 held-out crops."


def run_folders(sweep: Path, arms: Sequence[str] = ()) -> list[tuple[str, int, Path]]:
    """(arm, seed, folder) of every finished run at equal steps; with `arms` of these, and of the seeds that all of them have
    finished: those that the slow arms have not reached would compare other seeds."""
    matched = [(re.fullmatch(r"(.+)-steps-seed(\d+)", f.name), f) for f in sorted(sweep.iterdir())]
    runs = [(m[1], int(m[2]), f) for m, f in matched if m and (f / "results.csv").is_file()]
    if not arms:
        return runs
    done = {(arm, seed) for arm, seed, _ in runs}
    return [run for run in runs if run[0] in arms and all((arm, run[1]) in done for arm in arms)]


def facts_of(folder: Path) -> dict:
    facts = load_json(folder / "run.json")
    return {key: facts[key] for key in ("params", "steps", "train_seconds", "latent_floats", "commit")}


def scored(sweep: Path, table: str = "") -> list[dict]:
    """The test scores of the runs of a table, means over pictures, whether they trained, and their validation curves."""
    return [
        {"arm": arm, "seed": seed, **facts_of(folder), "scores": mean_scores(folder) | trained(folder) | curve(folder)}
        for arm, seed, folder in run_folders(sweep, arms_of(table) if table else ())
    ]


def trained(folder: Path) -> dict[str, float]:
    """The loss at the end, and the largest step up on the way: a logged loss over the mean of the five before it."""
    losses = logged(folder, "loss")
    return {"loss": rounded(np.mean(losses[-5:])), "spike": spike(losses)}


def spike(losses: Sequence[float], window: int = 5) -> float:
    steps = [losses[i] / np.mean(losses[i - window : i]) for i in range(window, len(losses))]
    return rounded(max(steps, default=1.0))


def logged(folder: Path, key: str) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [line[key] for line in map(json.loads, lines) if key in line]


def linear(sweep: Path) -> list[dict]:
    """The held-out crops of the sweep's pictures with so many floats each: PCA fitted on training crops, and a DCT in an
    orthonormal basis of colours, the lowest frequencies kept. As many floats as values are exact."""
    recipe = load_run(run_folders(sweep)[0][2])[1]
    train, test = (crops_of(recipe, split) for split in ("train", "test"))
    mean, values = train.mean(0), train.shape[1]
    axes = np.linalg.eigh(np.cov((train - mean).T))[1][:, ::-1]
    dct = dct_basis(recipe.task.seen)
    runs = []
    for floats in (values // 8, values // 4, values // 3, values // 2, 3 * values // 4):
        for name, basis, centre in (("PCA", axes, mean), ("DCT", dct, np.zeros(values))):
            kept = basis[:, :floats]
            errors = np.square((test - centre) @ kept @ kept.T + centre - test).mean(1)
            score = {"psnr": rounded((-10 * np.log10(np.maximum(errors, 1e-12))).mean())}
            runs.append({"arm": f"{name}, {floats} floats", "seed": 0, "latent_floats": floats, "scores": score})
    return runs


def crops_of(recipe: gl.config.Recipe, split: str) -> Float[np.ndarray, "n values"]:
    """The crops of a split that evaluation sees and asks, one row each, in [0, 1]."""
    cases = task_of(recipe.task).cases(load_data(recipe.data, split)[:TRAINING_ROWS])
    return np.stack([case.samples.values.numpy().reshape(-1) for case in cases]).astype(np.float64)


def dct_basis(side: int) -> Float[np.ndarray, "values values"]:
    """Columns: cosines of a side × side × 3 crop, from low to high frequency; luma before the two differences of colour."""
    k, x = np.mgrid[:side, :side]
    line = np.sqrt(2 / side) * np.cos(np.pi * k * (x + 0.5) / side)
    line[0] /= np.sqrt(2)
    colours = np.array([[1, 1, 1] / np.sqrt(3), [1, 0, -1] / np.sqrt(2), [1, -2, 1] / np.sqrt(6)])
    order = sorted(np.ndindex(side, side, 3), key=lambda ijc: (ijc[0] + ijc[1] + 2 * (ijc[2] > 0) * side / 4, ijc))
    return np.stack([np.einsum("x,y,c->xyc", line[i], line[j], colours[c]).ravel() for i, j, c in order], 1)


def mean_scores(folder: Path) -> dict[str, float]:
    rows = read_results(folder / "results.csv")
    own = [r for r in rows if r["params"]]
    if any(r["metric"] == "psnr" for r in own):
        return {"psnr": rounded(np.mean([r["value"] for r in own if r["metric"] == "psnr"]))}
    base = {(r["image"], r["scale"]): r["value"] for r in rows if r["model"] == "bicubic" and r["metric"] == "psnr_rgb"}
    out = {}
    for scale in sorted({r["scale"] for r in own}):
        mine = [r for r in own if r["metric"] == "psnr_rgb" and r["scale"] == scale]
        out[f"psnr_x{scale:g}"] = rounded(np.mean([r["value"] for r in mine]))
        out[f"gain_x{scale:g}"] = rounded(np.mean([r["value"] - base[r["image"], scale] for r in mine]))
    return out


def curve(folder: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {f"val_psnr_{line['step']}": line["val_psnr"] for line in lines if "val_psnr" in line}


def tokens(sweep: Path) -> list[dict]:
    """Mean centred cosine similarity between different position tokens; `before` is the same seed, untrained."""
    runs, starts = [], {"full": "sinusoidal start", "random-tokens": "random start"}
    for arm, seed, folder in run_folders(sweep, tuple(starts)):
        start = starts[arm]
        last, recipe, _ = load_run(folder)
        torch.manual_seed(recipe.train.seed)
        for when, model in (("before", gl.FieldModel(recipe.model)), ("after", last)):
            vectors = position_tokens(model)[0]
            unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            off = ~np.eye(len(unit), dtype=bool)
            plain, centred = (unit @ unit.T)[off], centred_cosine(vectors)[off]
            scores = {
                "similarity": rounded(np.abs(plain).mean()),
                "similarity_signed": rounded(plain.mean()),
                "similarity_centred": rounded(np.abs(centred).mean()),
            }
            runs.append(
                {"arm": f"{when}, {start}", "seed": seed, "commit": facts_of(folder)["commit"], "scores": scores}
            )
    return runs


def generalisation(sweep: Path) -> list[dict]:
    """Mean PSNR on held-out pictures minus that on as many training pictures."""
    runs = []
    for arm, seed, folder in run_folders(sweep, ("full", "all-tokens")):
        model, recipe, _ = load_run(folder)
        task = task_of(recipe.task)
        rows = gl.evaluate([model], load_data(recipe.data, "train")[:TRAINING_PICTURES], task, split="train")
        training = np.mean([r["value"] for r in rows if r["metric"] == "psnr"])
        held_out = mean_scores(folder)["psnr"]
        scores = {"training": rounded(training), "held_out": held_out}
        scores["held_out_minus_training"] = rounded(held_out - training)
        runs.append({"arm": arm, "seed": seed, **facts_of(folder), "scores": scores})
    return runs


def cifar10(folder: Path) -> list[dict]:
    """One run per system, named by its folder."""
    runs = []
    for run in sorted(f for f in folder.iterdir() if (f / "results.csv").is_file()):
        rows = [r for r in read_results(run / "results.csv") if r["params"]]
        scores = {
            m: rounded(np.mean([r["value"] for r in rows if r["metric"] == m])) for m in ("psnr", "floats_per_value")
        }
        runs.append({"arm": run.name, "seed": load_json(run / "run.json")["seed"], **facts_of(run), "scores": scores})
    return runs


def encoders(folder: Path) -> list[dict]:
    """One run per encoder, named by its folder: PSNR from 51 readings, by their noise."""
    runs = []
    for run in sorted(f for f in folder.iterdir() if (f / "results.csv").is_file()):
        rows = [r for r in read_results(run / "results.csv") if r["params"] and r["metric"] == "psnr"]
        rows = [r for r in rows if r["sensors"] == 51]
        scores = {}
        for noise in sorted({r["noise"] for r in rows}):
            scores[f"psnr_noise_{noise:g}"] = rounded(np.mean([r["value"] for r in rows if r["noise"] == noise]))
        runs.append({"arm": run.name, "seed": load_json(run / "run.json")["seed"], **facts_of(run), "scores": scores})
    return runs


def sparse(sweep: Path) -> list[dict]:
    """Scores on held-out fields, and the loss at the end; a joint decoder asked for as many points at a time as it was
    trained with is a row of its own."""
    return asked_twice([run for run in run_folders(sweep) if run[0].removeprefix("v2-") != "one"])


def shipped(folder: Path) -> list[dict]:
    """The same of single runs, named by their folders."""
    found = [run for run in sorted(folder.iterdir()) if (run / "results.csv").is_file()]
    return asked_twice([(run.name, load_json(run / "run.json")["seed"], run) for run in found])


def asked_twice(found: list[tuple[str, int, Path]]) -> list[dict]:
    runs = []
    for arm, seed, folder in found:
        rows = [r for r in read_results(folder / "results.csv") if r["params"]]
        facts, loss = facts_of(folder), last_loss(folder)
        whole, apart = (
            rounded(np.mean([r["value"] for r in rows if r["metric"] == m])) for m in ("psnr", "psnr_apart")
        )
        runs.append({"arm": arm, "seed": seed, **facts, "scores": {"psnr": whole, "loss": loss}})
        runs.append({"arm": f"{arm}, 51 at a time", "seed": seed, **facts, "scores": {"psnr": apart}})
    return runs


def psnr(answer: torch.Tensor, truth: torch.Tensor) -> float:
    """dB, of a range of 1."""
    return rounded(-10 * np.log10(float((answer - truth).square().mean())))


def last_loss(folder: Path, lines: int = 10) -> float:
    """The mean of the last lines of the log, 20 steps each."""
    return rounded(np.mean(logged(folder, "loss")[-lines:]))


@torch.no_grad()
def overfit(sweep: Path) -> list[dict]:
    """The one training field from its own readings: at the questions of training, and everywhere at once."""
    runs = []
    for arm, seed, folder in run_folders(sweep):
        if arm.removeprefix("v2-") != "one":
            continue
        model, recipe, _ = load_run(folder)
        model = model.cpu()
        rng, count = np.random.default_rng(0), recipe.train.queries
        batch = task_of(recipe.task).draw(load_data(recipe.data, "train"), rng, window=(1, 1), batch=1, queries=count)
        field, everywhere = model.encode(batch.samples), gl.grid(32, 32)[None]
        truth = load_data(recipe.data, "train").draw(rng, 1)[0].at(everywhere[0])[None]
        name = {"one": "V1 on one field", "v2-one": "V2 on one field"}[arm]
        own = {"psnr": psnr(field(batch.coords), batch.target), "loss": last_loss(folder)}
        runs.append({"arm": name, "seed": seed, **facts_of(folder), "scores": own})
        whole = {"psnr": psnr(field(everywhere), truth)}
        runs.append({"arm": f"{name}, everywhere at once", "seed": seed, **facts_of(folder), "scores": whole})
    return runs


def lengths(table: Path) -> list[dict]:
    """How many times as fast BiMamba is as attention of the same width, from benchmarks/lengths.py."""
    measured = load_json(table)
    times = {
        layer: [row["median"] for row in measured["layers"][layer]["us_per_token"]] for layer in measured["layers"]
    }
    return [
        {"arm": f"{n} tokens", "seed": 0, "scores": {"speedup": rounded(attention / ours)}}
        for n, attention, ours in zip(measured["lengths"], times["attention"], times["BiMamba"], strict=True)
    ]


ABOUT = {
    "encoder": (partial(scored, table="encoder"), f"{CROPS} Arms of the encoder and of the spatial bias."),
    "layers": (partial(scored, table="layers"), f"{CROPS} Layers more, and a skip past the decoder."),
    "parts": (partial(scored, table="parts"), f"{CROPS} The other decoder, fewer tokens, fewer steps, schedules."),
    "training": (partial(scored, table="training"), f"{CROPS} How tokens start and are cut, and what a step asks."),
    "decoder": (partial(scored, table="decoder"), f"{CROPS} Residual blocks in the decoder and their ingredients."),
    "scent": (partial(scored, table="scent"), f"{CROPS} SCENT, the hybrid, and growing widths."),
    "rates": (scored, "Reference and arms at other learning rates, 600 steps, to choose by validation."),
    "linear": (linear, "The same held-out crops from as many floats of a linear code, fitted to training crops or a DCT."),
    "super-resolution": (scored, "Photos seen at 32 × 32, asked at ×2, ×4, ×8 of that; PSNR and gain over bicubic."),
    "tokens": (tokens, "Mean |cosine| between different position tokens, as they are and centred."),
    "generalisation": (generalisation, "PSNR on held-out and on training crops."),
    "cifar10": (cifar10, "CIFAR-10, 32 × 32, 1,000 test pictures, every system at size small, same budget in seconds."),
    "sparse": (sparse, "V1 and V2 at half their width (V2 of 3 layers), 51 readings; 16 held-out `simple` fields."),
    "shipped": (shipped, "V1 and V2 as they were, 100 epochs of 500 fields; held-out `simple` fields, 51 readings."),
    "overfit": (overfit, "V1 and V2 after 1,000 steps on one field, asked for what they were trained on and everywhere."),
    "techniques": (sparse, "Ten techniques on a mended V2, its defects put back; 500 steps, 16 fields; seeds differ 2 dB."),
    "techniques-long": (sparse, "The decisive arms of the techniques, 2,000 steps; 16 held-out `simple` fields."),
    "encoders": (encoders, "`simple` from 51 readings, without a base; each encoder trained for the same seconds."),
    "lengths": (lengths, "One layer of width 256, forward and backward, two threads: attention's time over BiMamba's."),
}  # fmt: skip


def rounded(value: float) -> float:
    return round(float(value), 4)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=ABOUT)
    parser.add_argument("source", type=Path, help="a sweep's folder, a folder of runs, or results/lengths.json")
    parser.add_argument("--output", type=Path, default=Path("results/claims"))
    args = parser.parse_args(arguments)
    collect, about = ABOUT[args.what]
    runs = collect(args.source)
    if not runs:
        raise SystemExit(f"{args.source} holds no finished run for {args.what}")
    if args.source.is_dir():
        first = next(f for f in sorted(args.source.iterdir()) if (f / "run.json").is_file())
        source = load_json(first / "run.json")
        where = {"commit": source["commit"], "hardware": source["hardware"]}
    else:
        where = {"commit": load_json(args.source)["commit"], "hardware": load_json(args.source)["hardware"]}
    report = {"about": about, "command": f"python -m benchmarks.claims.collect {args.what}", **where, "runs": runs}
    if len(commits(report)) > 1:
        made = ", ".join(f"{len(of)} at {commit}" for commit, of in commits(report).items())
        raise SystemExit(f"{args.source} holds runs of several commits ({made}), a table is of one; make them again")
    path = args.output / f"{args.what}.json"
    text = json.dumps({k: v for k, v in report.items() if k != "runs"})[:-1] + ', "runs": [\n'
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text + ",\n".join(json.dumps(run) for run in runs) + "\n]}\n", encoding="utf-8")
    os.replace(aside, path)
    print(f"{path}: {len(runs)} rows of {len({run['arm'] for run in runs})} arms")


if __name__ == "__main__":
    main()
