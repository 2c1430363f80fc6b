"""What are the weights for scattered readings of any field worth, untouched, beside classical answers?

    python benchmarks/sensors.py --model sensors --data DIR        a name that ships or a folder; DIR holds darcy_16_32.npz
    python benchmarks/sensors.py --model … --quick                 a quarter of the fields, up to 100 readings
    python benchmarks/sensors.py --model … --figure                docs/images/sensors.png
    python benchmarks/sensors.py --page                            docs/sensors.md from results/sensors.json

Questions: sensor_questions.py and unseen_fields.py. Rows: the model; its base, kriging; mean, nearest, linear triangles,
inverse distance, thin plates; scikit-learn's Gaussian processes (RBF and Matérn 3/2, a length for every axis, fitted noise)
on some of the fields of each kind. The truth is free of noise and fields have deviation 1. The ratio of a kind is the
geometric mean over fields of the field's mean ratio (in logarithms), with a 95 % t-interval over fields. One thread.
"""

from common import in_turns, installed, spread  # isort: skip  (before torch)

import argparse
import json
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import torch
from field_rows import Scikit
from sensor_questions import FULL, QUICK, Question, questions
from sklearn.gaussian_process.kernels import RBF, Matern

import gridless as gl
from gridless.bases import Scattered
from gridless.field import Field
from gridless.files import write_text
from gridless.scoring import metrics
from gridless.scoring.statistics import estimate_mean
from gridless.training.provenance import commit, hardware

ROOT = Path(__file__).parents[1]
PLAIN = ("mean", "nearest", "linear", "idw", "rbf")
SCIKIT: dict[str, Callable] = {
    "scikit-learn RBF": lambda axes: RBF([1.0] * axes, (1e-2, 1e2)),
    "scikit-learn Matérn": lambda axes: Matern([1.0] * axes, (1e-2, 1e2), nu=1.5),
}
MODEL, BASE = "model", "kriging"
SCORES = ("rmse", "crps")
CLOCKED = (25, 100, 500)
SIDE = 64  # of the map whose milliseconds are taken
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")

Answer = tuple[np.ndarray, np.ndarray | None]


# --- one question -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def answered(model: gl.FieldModel, question: Question, slow: bool) -> dict[str, Answer]:
    """Mean and deviation (Q) of every row; `slow` rows too."""
    field = model.encode(question.samples)
    answers = {MODEL: of(field, question.coords), BASE: of(Field(field.samples, field.solved), question.coords)}
    for name in PLAIN:
        answers[name] = of(Scattered(name).encode(question.samples), question.coords)
    if slow:
        answers |= {name: scikit(name, question.samples, question.coords) for name in SCIKIT}
    return answers


def of(field: Field, coords: torch.Tensor) -> Answer:
    if not field.has_spread:
        return field(coords)[..., 0].double().numpy().ravel(), None
    mean, std = field.mean_and_std(coords)
    return mean[..., 0].double().numpy().ravel(), std[..., 0].double().numpy().ravel()


def scikit(name: str, samples: gl.Samples, coords: torch.Tensor) -> Answer:
    """Of coordinates; where an axis joins at its ends, of positions, so that there is no seam."""
    if any(samples.joins):
        read, asked = samples.positions(samples.point_coords.double()), samples.positions(coords.double())
        samples, coords = replace(samples, coords=read.float(), domain=None), asked.float()
    mean, std = Scikit(SCIKIT[name](samples.axes)).encode(samples).answer(coords.numpy(), reading=False)
    return mean[0], None if std is None else std[0]


def scored(answer: Answer, truth: np.ndarray) -> dict[str, float]:
    mean, std = answer
    wrong = {"rmse": metrics.rmse(mean, truth)}
    if std is None:
        return wrong
    return wrong | {"crps": metrics.crps(mean, std, truth)} | {
        f"coverage_{p}": metrics.coverage(mean, std, truth, p / 100) for p in (50, 90)
    }  # fmt: skip


# --- all of them ------------------------------------------------------------------------------------------------------


def rows(model: gl.FieldModel, plans: dict, data: Path | None) -> Iterator[dict]:
    """A row for every question: its facts, and scores by method."""
    for question in questions(plans, data):
        slow = question.block not in plans or question.number in plans[question.block].rivals
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            answers = answered(model, question, slow)
        facts = {name: getattr(question, name) for name in ("block", "kind", "number", "count", "noise", "placement")}
        yield facts | {"scores": {name: scored(answer, question.truth) for name, answer in answers.items()}}


def ratio(asked: list[dict], score: str, over: str = BASE, of_: str = MODEL) -> dict:
    """Of one method's score over another's: the typical field's with its interval, and that of the means over all."""
    by_field = defaultdict(list)
    for row in asked:
        above, below = row["scores"][of_][score], row["scores"][over][score]
        by_field[row["kind"], row["number"]].append(log(above / below))
    estimate = estimate_mean([float(np.mean(logs)) for logs in by_field.values()])
    half = estimate.half_width
    if half is None:
        raise ValueError("an interval over fields needs two of them, got one; plan more")
    whole = mean_of(asked, of_, score) / mean_of(asked, over, score)
    typical, low, high = (float(np.exp(estimate.mean + h)) for h in (0, -half, half))
    return {"typical": typical, "low": low, "high": high, "pooled": whole, "fields": estimate.count}


def mean_of(asked: list[dict], method: str, score: str) -> float:
    """Over questions; of RMSE the root of the mean square."""
    values = np.array([row["scores"][method][score] for row in asked])
    return float(np.sqrt(np.mean(values**2))) if score == "rmse" else float(values.mean())


def summary(asked: list[dict]) -> dict:
    """Mean scores of every method that answered all of it, and the model's ratios to its base."""
    methods = [name for name in asked[0]["scores"] if all(name in row["scores"] for row in asked)]
    scores = {
        name: {score: mean_of(asked, name, score) for score in asked[0]["scores"][name]} for name in methods
    }  # fmt: skip
    return {"questions": len(asked), "scores": scores, "ratios": {score: ratio(asked, score) for score in SCORES}}


def rivals(asked: list[dict]) -> dict:
    """Beside scikit-learn's, on the fields that it answered; the better of its two is chosen by RMSE, in hindsight."""
    asked = [row for row in asked if set(SCIKIT) <= set(row["scores"])]
    best = min(SCIKIT, key=lambda name: mean_of(asked, name, "rmse"))
    scores = {name: {s: mean_of(asked, name, s) for s in SCORES} for name in (MODEL, BASE, *SCIKIT)}
    ratios = {score: ratio(asked, score, over=best) for score in SCORES}
    return {"questions": len(asked), "best": best, "scores": scores, "ratios": ratios}


def measure(model: gl.FieldModel, plans: dict, data: Path | None) -> dict:
    begun, asked = time.perf_counter(), []
    for row in rows(model, plans, data):
        if not asked or asked[-1]["kind"] != row["kind"]:
            print(f"{time.perf_counter() - begun:5.0f} s  {row['block']}: {row['kind']}", file=sys.stderr, flush=True)
        asked.append(row)
    kinds, slices = [], []
    for block, kind in dict.fromkeys((row["block"], row["kind"]) for row in asked):
        some = [row for row in asked if row["kind"] == kind]
        kinds.append({"block": block, "kind": kind, **summary(some), "rivals": rivals(some)})
    for block in dict.fromkeys(row["block"] for row in asked):
        for by in ("count", "noise", "placement"):
            whole = [row for row in asked if row["block"] == block]
            for value in dict.fromkeys(row[by] for row in sorted(whole, key=lambda row: row["count"])):
                some = [row for row in whole if row[by] == value]
                slices.append({"block": block, "by": by, "value": value, **summary(some)})
    return {"kinds": kinds, "slices": slices, "seconds": round(time.perf_counter() - begun)}


def clocked(model: gl.FieldModel, rounds: int, counts: tuple[int, ...] = CLOCKED) -> list[dict]:
    """Milliseconds of a map of SIDE² with its spread, from readings to answer, and of encoding alone; in turns."""
    from sensor_questions import question
    from unseen_fields import unseen_field

    found, coords = [], gl.grid(SIDE, SIDE)
    for count in counts:
        samples = question("unseen", unseen_field("gradient noise", 0), 0, count).samples
        with torch.no_grad():
            calls = {
                "gridless": lambda s=samples: of(model.encode(s), coords),
                "gridless, encoding alone": lambda s=samples: model.encode(s),
                "kriging": lambda s=samples: of(model.base.encode(s), coords),
                "scikit-learn Matérn": lambda s=samples: scikit("scikit-learn Matérn", s, coords),
            }
            taken = in_turns(calls, max(2, rounds // 2) if count > 250 else rounds)
        milliseconds = {name: spread([1000 * s for s in seconds], 1) for name, seconds in taken.items()}
        found.append({"count": count, "milliseconds": milliseconds})
    return found


def short(value):
    """Five digits are enough for a table."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: short(part) for name, part in value.items()}
    return [short(part) for part in value] if isinstance(value, list) else value


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a name that ships with the package, or a folder of weights")
    parser.add_argument("--data", type=Path, help="folder of darcy_16_32.npz; left out: no such block")
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "sensors.json")
    parser.add_argument("--quick", action="store_true", help="fewer fields, and no more than 100 readings")
    parser.add_argument("--page", action="store_true", help="write docs/sensors.md from the JSON")
    parser.add_argument("--figure", nargs="?", type=Path, const=ROOT / "docs" / "images" / "sensors.png",
                        help="draw the figure and measure nothing")  # fmt: skip
    args = parser.parse_args(argv)
    if args.model is None and (args.figure or not args.page):
        parser.error("give --model, --page or both; --figure needs --model")
    torch.set_num_threads(1)
    model = None if args.model is None else gl.FieldModel.from_pretrained(args.model)
    if model is not None and args.figure:
        from sensors_figure import draw

        draw(model, args.figure)
    elif model is not None:
        plans = QUICK if args.quick else FULL
        found = measure(model, plans, args.data)
        counts = CLOCKED[:2] if args.quick else CLOCKED
        facts = {
            "benchmark": "sensors", "command": "python benchmarks/sensors.py --model sensors --data DIR",
            "quick": args.quick, "model": model.name, "params": model.parameter_count(), "commit": commit(),
            "hardware": hardware(), "versions": {package: installed(package) for package in PACKAGES},
        }  # fmt: skip
        whole = short(facts | found | {"clock": clocked(model, plans["prior"].rounds, counts)})
        write_text(args.json, json.dumps(whole, ensure_ascii=False).replace('}, {"', '},\n{"') + "\n")
    if args.page:
        from sensors_page import page

        write_text(ROOT / "docs" / "sensors.md", page(json.loads(args.json.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main(sys.argv[1:])
