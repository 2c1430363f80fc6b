"""How well are fields recovered from scattered readings, and how honest is the spread?

    gridless train waves-all -o runs/waves-all && gridless eval runs/waves-all
    python benchmarks/waves.py runs/waves-all [--json results/waves.json]
    python benchmarks/waves.py --shipped sensors --json results/waves-shipped.json    weights that saw none of the families
    python benchmarks/waves.py --page                 docs/waves.md from both

Scores are the means of the run's results.csv. Intervals: the share of the truth inside the 50 % and 90 % intervals over
all noises of a family and count, and CRPS beside that of the same mean with a constant standard deviation, tuned on
validation fields of the same family and count, or of all. Elsewhere: the ends of 10 … 500 sensors, another grid, other
placements. Weights that ship answer readings of the same fields, on one thread.
"""

import argparse
import json
import time
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
import torch
from common import question

import gridless as gl
from gridless.data.waves import FAMILIES, WaveSource
from gridless.files import write_text
from gridless.scoring import metrics
from gridless.scoring.results import number, read_results
from gridless.tasks import SparseField, task_of
from gridless.training.loading import load_run
from gridless.training.provenance import commit, hardware

ROOT = Path(__file__).parents[1]
TRAINED_JSON, SHIPPED_JSON = (ROOT / "results" / f"{name}.json" for name in ("waves", "waves-shipped"))
AGNOSTIC = ("mean", "nearest", "linear", "rbf", "gp")
TUNED, TESTED, ELSEWHERE = 16, 32, 16  # fields of each question: constants, intervals, other questions
SCALES = np.geomspace(0.02, 3, 80)  # constant deviations that are tried, of the mean's root mean squared error
COUNTS = (10, 300, 500)
SHIPPED = ((26, 51), (0.0, 0.1))  # readings and noises that weights which ship are asked


@torch.no_grad()
def answered(model: gl.FieldModel, asked: tuple, size: int) -> tuple[np.ndarray, ...]:
    """Mean, standard deviation and truth on a grid, (fields, points) each."""
    waves, samples = question(*asked)
    coords = gl.grid(size, size)
    device = next(model.parameters()).device
    mean, std = model.encode(samples.to(device)).mean_and_std(coords.to(device))
    return tuple(x[..., 0].cpu().numpy() for x in (mean, std, waves(coords.expand(len(waves), -1, -1))))


def intervals(model: gl.FieldModel, families: tuple, task: SparseField) -> list[dict]:
    found = {}
    for family, count in product(families, task.counts):
        for split, fields in (("val", TUNED), ("test", TESTED)):
            parts = [answered(model, (family, split, fields, count, s, "random"), task.size) for s in task.noises]
            found[split, family, count] = [np.concatenate(part) for part in zip(*parts, strict=True)]
    everything = zip(*(of for (split, *_), of in found.items() if split == "val"), strict=True)
    one, rows = best_constant(*(np.concatenate(part) for part in everything)), []
    for family, count in product(families, task.counts):
        mean, std, truth = found["test", family, count]
        own = best_constant(*found["val", family, count])
        crps, flat, flatter = (metrics.crps(mean, s + 0 * mean, truth) for s in (std, own, one))
        rows.append(
            {"family": family, "sensors": count, "crps": crps, "crps_constant": flat, "crps_one_constant": flatter}
            | {"gain": 1 - crps / flat, "gain_one": 1 - crps / flatter}
            | {f"coverage_{p}": metrics.coverage(mean, std, truth, p / 100) for p in (50, 90)}
        )
    return rows


def best_constant(mean: np.ndarray, _: np.ndarray, truth: np.ndarray) -> float:
    """The constant standard deviation with the lowest CRPS."""
    wrong = np.sqrt(np.mean((mean - truth) ** 2))
    return min(SCALES * wrong, key=lambda s: metrics.crps(mean, np.full_like(mean, s), truth))


def elsewhere(model: gl.FieldModel, families: tuple, task: SparseField) -> list[dict]:
    """PSNR without noise, beside what training was about."""
    asked = [(n, task.size, "random") for n in COUNTS] + [(51, 64, "random"), (51, 32, "grid"), (51, 32, "clustered")]
    rows = []
    for family, (count, size, placement) in product(families, asked):
        mean, _, truth = answered(model, (family, "test", ELSEWHERE, count, 0.0, placement), size)
        psnr = float(np.mean(-10 * np.log10(np.mean((mean - truth) ** 2, 1))))
        rows.append({"family": family, "sensors": count, "grid": size, "placement": placement, "psnr": psnr})
    return rows


def scores(rows: list[dict]) -> list[dict]:
    """Means over fields of the rows of a results.csv; the trained model is called "model"."""
    found = defaultdict(list)
    for row in rows:
        name = "model" if row["params"] else row["model"]
        found[row["data"], int(row["sensors"]), float(row["noise"]), name, row["metric"]].append(row["value"])
    keys = ("family", "sensors", "noise", "model", "metric")
    return [{**dict(zip(keys, key, strict=True)), "value": float(np.mean(v))} for key, v in found.items()]


def measure(run: Path) -> dict:
    model, recipe, facts = load_run(run)
    task, families = task_of(recipe.task), recipe.data.families
    about = {name: facts[name] for name in ("params", "steps", "train_seconds", "seed", "commit", "hardware")}
    return about | {
        "command": f"gridless train {run.name}", "fields": task.fields, "scores": scores(read_results(run / "results.csv")),
        "intervals": intervals(model, families, task), "elsewhere": elsewhere(model, families, task),
    }  # fmt: skip


def asked(answering: dict, fields: int, counts: tuple[int, ...], noises: tuple[float, ...]) -> list[dict]:
    """Mean PSNR and coverage over the first `fields` of every family."""
    waves = WaveSource(tuple(FAMILIES), "test", each=fields)
    rows = gl.evaluate(answering, waves, SparseField(counts=counts, noises=noises))
    return [row for row in scores(rows) if row["metric"] in ("psnr", "coverage_90")]


def measure_shipped(name: str, fields: int, counts: tuple[int, ...], noises: tuple[float, ...]) -> dict:
    """What weights that ship reach on the first `fields` of every family, beside their base and plain kriging."""
    model, start, source = gl.FieldModel.from_pretrained(name), time.process_time(), commit()
    answering = {"shipped": model, "base": model.base, "kriging": gl.bases.Kriging()}
    kept = asked(answering, fields, counts, noises)
    return {
        "command": f"python benchmarks/waves.py --shipped {name} --json results/waves-shipped.json", "weights": name,
        "params": model.parameter_count(), "commit": source, "hardware": hardware(), "fields": fields,
        "cpu_seconds": time.process_time() - start, "scores": kept,
    }  # fmt: skip


# --- the page ---------------------------------------------------------------------------------------------------------


def value(found: dict, family: str, sensors: int, noise: float, model: str, metric: str = "psnr") -> float | None:
    for row in found["scores"]:
        if (row["family"], row["sensors"], row["noise"], row["model"], row["metric"]) == (
            family, sensors, noise, model, metric,
        ):  # fmt: skip
            return row["value"]
    return None


def best_agnostic(found: dict, family: str, sensors: int, noise: float) -> tuple[str, float]:
    """The best baseline that knows nothing of families."""
    return max(((name, value(found, family, sensors, noise, name)) for name in AGNOSTIC), key=lambda pair: pair[1])


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main_table(found: dict, sensors: int = 51, noise: float = 0.0) -> str:
    """Every family at one count and noise: the model, what it is made of, and its rivals."""
    rows = []
    for family in dict.fromkeys(row["family"] for row in found["scores"]):
        name, rival = best_agnostic(found, family, sensors, noise)
        ours = value(found, family, sensors, noise, "model")
        others = [value(found, family, sensors, noise, m) for m in ("base", "pod", "oracle")]
        rows.append([family, number(ours, 2), f"{number(rival, 2)} ({name})", number(ours - rival, 2, signed=True),
                     *("–" if x is None else number(x, 2) for x in others)])  # fmt: skip
    return table(
        ["family", "gridless", "best family-agnostic", "gain", "its base alone", "plain POD", "one-wave oracle"], rows
    )


def shipped_table(found: dict, shipped: dict, sensors: int, noise: float) -> str:
    """Every family at one count and noise: weights that saw no waves of these, kriging, and the model that was trained."""
    rows = []
    for family in dict.fromkeys(row["family"] for row in shipped["scores"]):
        ours, base, kriging = (value(shipped, family, sensors, noise, name) for name in ("model", "base", "kriging"))
        inside = value(shipped, family, sensors, noise, "model", "coverage_90")
        rows.append([family, number(ours, 2), number(base, 2), number(kriging, 2), number(ours - kriging, 2, signed=True),
                     number(value(found, family, sensors, noise, "model"), 2), f"{100 * inside:.0f} %"])  # fmt: skip
    name = shipped["weights"]
    return table(["family", name, "its base alone", "plain kriging", f"{name} − kriging", "trained on these families",
                  f"inside 90 % of {name}"], rows)  # fmt: skip


def shipped_section(found: dict, shipped: dict) -> str:
    asked = sorted(
        {(row["noise"], row["sensors"]) for row in shipped["scores"]}, key=lambda q: (q[1] != 51, q[1], q[0])
    )
    machine = shipped["hardware"]
    tables = "\n\n".join(f"{n} readings, noise {s:g}:\n\n{shipped_table(found, shipped, n, s)}" for s, n in asked)
    return f"""## Weights that ship, and were not trained on these families

`{shipped["weights"]}` ([card](../src/gridless/weights/{shipped["weights"]}/README.md)) takes any readings: its base is
kriging around plane waves that it seeks in them (sums of which are `simple`, `multi_frequency`, `interference` and half of
`modulated`); its network learned from random fields of eight kinds, other waves among them. The model above was trained on these families. Both
answer the same {shipped["fields"]} fields of each, from as many readings at random places, not the same ones;
kriging reads what `{shipped["weights"]}` reads. PSNR in dB; *inside 90 %* is the share of the truth inside its intervals
(`{shipped["command"]}`; commit {shipped["commit"]}, {machine["cpu"]}, {machine["threads"]} thread,
{shipped["cpu_seconds"]:.0f} s).

{tables}"""


def page(found: dict, shipped: dict) -> str:
    families = list(dict.fromkeys(row["family"] for row in found["scores"]))
    questions = sorted({(row["noise"], row["sensors"]) for row in found["scores"]})
    every = [
        [family, *(f"{number(value(found, family, n, s, 'model'), 1)} / {number(best_agnostic(found, family, n, s)[1], 1)}"
                   for s, n in questions)]
        for family in families
    ]  # fmt: skip
    spread = [
        [row["family"], str(row["sensors"]), number(row["coverage_50"], 3), number(row["coverage_90"], 3),
         number(row["crps"], 4), number(row["crps_constant"], 4), f"{100 * row['gain']:.1f} %",
         f"{100 * row['gain_one']:.0f} %"]
        for row in found["intervals"]
    ]  # fmt: skip
    asked = list(dict.fromkeys((row["sensors"], row["grid"], row["placement"]) for row in found["elsewhere"]))
    psnr = {(r["family"], r["sensors"], r["grid"], r["placement"]): r["psnr"] for r in found["elsewhere"]}
    new = [[family, *(number(psnr[family, *question], 1) for question in asked)] for family in families]
    pictures = "\n\n".join(f"![{family}](images/waves/{family}-noise0.1.png)" for family in families)
    hardware = found["hardware"]
    return f"""# Fields of six families from scattered readings

Written by `python benchmarks/waves.py --page` from `results/waves.json` and `results/waves-shipped.json`. One model for
all families (`{found["command"]}`: {found["params"]:,} trained parameters, {found["steps"]:,} steps in
{found["train_seconds"]:,.0f} s; commit {found["commit"]}, {hardware["cpu"]}, {hardware["threads"]} thread).
PSNR in dB over a range of 1, mean over {found["fields"]} fixed test fields of each family, 32 × 32 points asked;
the truth is exact, the readings carry the noise.

## 51 readings without noise

{main_table(found)}

Best family-agnostic: of the mean, nearest, linear, thin plates and kriging. *Its base alone* is the model without its
network; *plain POD* has one set of modes for all families. Both were fitted on training fields of these families, as the
network was. The oracle knows that a field is one plane wave and is no rival.

## All questions: gridless / best family-agnostic

{table(["family", *(f"{n} sensors, noise {s:g}" for s, n in questions)], every)}

## Is the spread honest?

Over the three noises together. Coverage should be 0.5 and 0.9. The gain in CRPS is over the same mean with a constant
standard deviation: the best one for validation fields of this family and count, and (last column) the best single one for
all of them ({TESTED} test and {TUNED} validation fields for each noise).

{table(["family", "sensors", "inside 50 %", "inside 90 %", "CRPS", "CRPS, constant", "gain", "over one for all"], spread)}

## Other counts, grids and placements

PSNR without noise, {ELSEWHERE} fields each. Training saw 10 … 220 sensors, placed at random, and single points.

{table(["family", *(f"{n} {p}, {g}²" for n, g, p in asked)], new)}

{shipped_section(found, shipped)}

## Pictures

{pictures}
"""


def short(value: object) -> object:
    """Floats to five digits, in tables of any depth."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: short(part) for name, part in value.items()}
    return [short(part) for part in value] if isinstance(value, list) else value


def write(found: dict, path: Path) -> None:
    write_text(path, json.dumps(short(found)).replace('}, {"', '},\n{"') + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a trained and evaluated run of the recipe waves-all")
    parser.add_argument("--shipped", metavar="NAME", help="weights that ship, or a folder, instead of a run")
    parser.add_argument("--fields", type=int, default=64, help="of each family, that weights which ship are asked")
    parser.add_argument("--json", type=Path, help="results/waves.json, or results/waves-shipped.json with --shipped")
    parser.add_argument("--page", action="store_true", help="write docs/waves.md from both")
    args = parser.parse_args()
    if args.run is not None and args.shipped is not None:
        parser.error("give a run or --shipped")
    if args.run is not None:
        write(measure(args.run), args.json or TRAINED_JSON)
    if args.shipped is not None:
        torch.set_num_threads(1)
        write(measure_shipped(args.shipped, args.fields, *SHIPPED), args.json or SHIPPED_JSON)
    if args.page:
        both = (json.loads(path.read_text(encoding="utf-8")) for path in (TRAINED_JSON, SHIPPED_JSON))
        write_text(ROOT / "docs" / "waves.md", page(*both))
    if args.run is None and args.shipped is None and not args.page:
        parser.error("give a run, --shipped, or --page")


if __name__ == "__main__":
    main()
