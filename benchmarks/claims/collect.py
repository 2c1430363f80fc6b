"""From the runs of a sweep to the results files that decide the claims: results/claims/*.json.

    R=benchmarks/claims/recipes
    gridless sweep $R/claims.toml --data CIFAR10 -o runs/claims        then, for what the sweep's own scores do not say:
    python -m benchmarks.claims.collect reconstruction runs/claims     scores, parameters, times and validation curves
    python -m benchmarks.claims.collect tokens runs/claims             likeness of position tokens before and after training
    python -m benchmarks.claims.collect generalisation runs/claims     held-out minus training score
    python -m benchmarks.claims.collect features runs/claims           linear probe and neighbours of pooled latents
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

Every run of a file is made at one commit, and with as many seeds as were decided before looking.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import torch

import gridless as gl
from benchmarks.claims.effects import commits
from gridless.config.merging import load_json
from gridless.data import cifar10_labels
from gridless.reports.inside.reading import pooled_latents, position_tokens
from gridless.reports.inside.vectors import centred_cosine, linear_probe
from gridless.scoring.results import read_results
from gridless.tasks import even_crops, task_of
from gridless.training.loading import load_data, load_run

TRAINING_PICTURES = 125  # as many as the recipe holds out


def run_folders(sweep: Path) -> list[tuple[str, int, Path]]:
    """(arm, seed, folder) of every finished run at equal steps."""
    found = [(re.fullmatch(r"(.+)-steps-seed(\d+)", f.name), f) for f in sorted(sweep.iterdir())]
    return [(m[1], int(m[2]), f) for m, f in found if m and (f / "results.csv").is_file()]


def facts_of(folder: Path) -> dict:
    facts = load_json(folder / "run.json")
    return {key: facts[key] for key in ("params", "steps", "train_seconds", "latent_floats", "commit")}


def scored(sweep: Path) -> list[dict]:
    """The test scores of every run, means over pictures, and its validation curve."""
    return [
        {"arm": arm, "seed": seed, **facts_of(folder), "scores": mean_scores(folder) | curve(folder)}
        for arm, seed, folder in run_folders(sweep)
    ]


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
    runs = []
    for arm, seed, folder in run_folders(sweep):
        start = {"full": "random start", "sinusoidal": "sinusoidal start"}.get(arm)
        if start is None:
            continue
        trained, recipe, _ = load_run(folder)
        torch.manual_seed(recipe.train.seed)
        for when, model in (("before", gl.FieldModel(recipe.model)), ("after", trained)):
            vectors = position_tokens(model)[0]
            unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            off = ~np.eye(len(unit), dtype=bool)
            plain, centred = (unit @ unit.T)[off], centred_cosine(vectors)[off]
            scores = {
                "similarity": rounded(np.abs(plain).mean()),
                "similarity_signed": rounded(plain.mean()),
                "similarity_centred": rounded(np.abs(centred).mean()),
            }
            runs.append({"arm": f"{when}, {start}", "seed": seed, "scores": scores})
    return runs


def generalisation(sweep: Path) -> list[dict]:
    """Mean PSNR on held-out pictures minus that on as many training pictures."""
    runs = []
    for arm, seed, folder in run_folders(sweep):
        if arm not in ("full", "all-tokens"):
            continue
        model, recipe, _ = load_run(folder)
        task = task_of(recipe.task)
        rows = gl.evaluate([model], load_data(recipe.data, "train")[:TRAINING_PICTURES], task, split="train")
        training = np.mean([r["value"] for r in rows if r["metric"] == "psnr"])
        held_out = mean_scores(folder)["psnr"]
        scores = {"training": rounded(training), "held_out": held_out}
        scores["held_out_minus_training"] = rounded(held_out - training)
        runs.append({"arm": arm, "seed": seed, **facts_of(folder), "scores": scores})
    return runs


def features(sweep: Path) -> list[dict]:
    """Classes of the 1,000 test pictures from the mean of their latents."""
    runs = []
    for arm, seed, folder in run_folders(sweep):
        name = {"full": "fixed", "notebook": "notebook"}.get(arm)
        if name is None:
            continue
        model, recipe, _ = load_run(folder)
        side = model.config.signal.window
        pictures = load_data(gl.config.Data(kind="cifar10", path=recipe.data.path), "test")
        labels = cifar10_labels(recipe.data.path, "test")
        crops = [np.stack(even_crops(p.pixels, side)).astype(np.float32) / 255 for p in pictures]
        pooled = pooled_latents(model, [gl.Samples.from_grid(torch.from_numpy(crop)) for crop in crops])
        probe = linear_probe(pooled.reshape(len(pictures), len(crops[0]), -1).mean(1), labels)
        scores = {
            "probe_accuracy": rounded(probe.accuracy), "probe_chance": rounded(probe.chance),
            "neighbour_purity": rounded(probe.purity), "purity_chance": rounded(probe.purity_chance),
        }  # fmt: skip
        runs.append({"arm": name, "seed": seed, **facts_of(folder), "scores": scores})
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
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return rounded(np.mean([line["loss"] for line in log if "loss" in line][-lines:]))


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
    "reconstruction": (scored, "16 × 16 crops of CIFAR-10, reconstructed; PSNR of 500 held-out crops."),
    "super-resolution": (scored, "Photos seen at 32 × 32, asked at ×2, ×4, ×8 of that; PSNR and gain over bicubic."),
    "tokens": (tokens, "Mean |cosine| between different position tokens, as they are and centred."),
    "generalisation": (generalisation, "PSNR on held-out and on training crops."),
    "features": (features, "Linear probe (30 % held out) and 10 nearest neighbours, mean latents of 1,000 test pictures."),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=ABOUT)
    parser.add_argument("source", type=Path, help="a sweep's folder, a folder of runs, or results/lengths.json")
    parser.add_argument("--output", type=Path, default=Path("results/claims"))
    args = parser.parse_args()
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
        print(f"{args.source} holds runs of several commits ({made}); its claims will be marked", file=sys.stderr)
    path = args.output / f"{args.what}.json"
    text = json.dumps({k: v for k, v in report.items() if k != "runs"})[:-1] + ', "runs": [\n'
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text + ",\n".join(json.dumps(run) for run in runs) + "\n]}\n", encoding="utf-8")
    os.replace(aside, path)
    print(f"{path}: {len(runs)} rows of {len({run['arm'] for run in runs})} arms")


if __name__ == "__main__":
    main()
