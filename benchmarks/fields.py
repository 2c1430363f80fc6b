"""Real fields from few readings: how far from the truth, and how honest is the spread?

    python benchmarks/fields.py --data DIR                           every set, every row
    python benchmarks/fields.py --data DIR --sets ostia --rows OI    some; they join those that are there
    python benchmarks/fields.py --data DIR --models NAME FOLDER      models too: names that ship, or run folders
    python benchmarks/fields.py --page                               docs/fields.md from results/fields.json

Sets and splits: field_sets.py; rows: field_rows.py. Five draws of sensors (or of stations left out); RMSE of a draw over
all its steps and places, weighted by area on the grids; means over draws with 95 % t-intervals. Seconds are those of a
set's draws and counts together, fitting included.
"""

from common import installed  # isort: skip  (before torch)

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from field_rows import Method, OfAnomalies, OfSamples, methods
from field_sets import SETS, Archive, Question, Stations
from scipy.special import erf

import gridless as gl
from gridless.files import replacing
from gridless.training.provenance import commit, hardware

ROOT = Path(__file__).parents[1]
SEEDS, T4 = range(5), 2.776  # two-sided 95 % of Student's t with 4 degrees of freedom
LEVELS = {"coverage_50": 0.6745, "coverage_90": 1.6449}
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "iris-sample-data")


def scores(answer: np.ndarray, std: np.ndarray | None, question: Question) -> dict[str, float | None]:
    """Over all steps and places of a question."""
    known = np.isfinite(question.truth)
    weight = np.where(known, question.weights, 0)
    weight = weight / weight.sum()
    error = np.where(known, answer - question.truth, 0)
    if not np.isfinite(error).all():
        raise ValueError("an answer is not finite where the truth is known")
    out: dict[str, float | None] = {"rmse": float(np.sqrt((weight * error**2).sum()))}
    if std is None:
        return out | dict.fromkeys(("crps", *LEVELS))
    z = error / np.maximum(std, 1e-9)
    crps = std * (z * erf(z / 2**0.5) + 2 * np.exp(-(z**2) / 2) / (2 * np.pi) ** 0.5 - np.pi**-0.5)
    return out | {"crps": float((weight * crps).sum())} | {
        name: float((weight * (np.abs(z) <= far)).sum()) for name, far in LEVELS.items()
    }  # fmt: skip


def measured(data: Archive | Stations, method: Method, seeds: range) -> list[dict]:
    """A row for every count of sensors."""
    found: dict[int, list[dict]] = {}
    begun, fitted = time.perf_counter(), None
    for seed in seeds:
        for question in data.questions(seed):
            key = seed if isinstance(data, Stations) else (question.count if method.name == "kriging, pooled" else 0)
            if fitted != key:
                method.fit(data, question)
                fitted = key
            found.setdefault(question.count, []).append(scores(*method.answer(question), question))
    seconds = round(time.perf_counter() - begun, 1)
    rows = []
    for count, each in found.items():
        row = {"set": data.name, "method": method.name, "sees": method.sees, "sensors": count}
        for name in each[0]:
            values = [one[name] for one in each]
            if None in values:
                row |= {name: None, f"{name}_half_width": None}
                continue
            half = T4 * stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
            row |= {name: round(mean(values), 4), f"{name}_half_width": None if half is None else round(half, 4)}
        row["by_seed"] = [round(one["rmse"], 5) for one in each]
        rows.append(row | {"seconds": seconds, "commit": commit()})
    return rows


def about(data: Archive | Stations) -> dict:
    if isinstance(data, Stations):
        return {"unit": data.unit, "stations": len(data.place), "left_out": round(len(data.place) * 0.2),
                "taught": len(data.taught), "asked": len(data.asked)}  # fmt: skip
    return {"unit": data.unit, "cells": int(data.inside.sum()), "taught": data.learned, "asked": len(data.asked)}


def models(names: list[str], data: Archive | Stations) -> list[Method]:
    """Trained ones, by a name that ships or the folder of a run; on grids they answer anomalies, as kriging does."""
    row = OfSamples if isinstance(data, Stations) else OfAnomalies
    return [row(Path(name).name, gl.FieldModel.from_pretrained(name)) for name in names]


def joined(before: dict | None, rows: list[dict], facts: dict) -> dict:
    """What is there already, with rows of the same set, method and count replaced."""
    before = before or {"rows": [], "sets": {}}
    kept = {(row["set"], row["method"], row["sensors"]): row for row in [*before["rows"], *rows]}
    return before | {"sets": before["sets"] | facts, "rows": list(kept.values())}


def write(path: Path, found: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found, ensure_ascii=False).replace('}, {"', '},\n{"') + "\n", encoding="utf-8")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the .npz files")
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "fields.json")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--rows", nargs="+", help="methods; all if left out")
    parser.add_argument(
        "--models", nargs="+", default=[], help="names that ship, or folders; alone unless --rows is given"
    )
    parser.add_argument("--page", action="store_true", help="write docs/fields.md from the JSON")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    if args.data is None and not args.page:
        parser.error("give --data, --page or both")
    for name in args.sets if args.data is not None else ():
        data = SETS[name](args.data)
        chosen = [m for m in methods(data) if (m.name in args.rows if args.rows else not args.models)]
        for method in [*chosen, *models(args.models, data)]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                rows = measured(data, method, SEEDS)
            before = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else None
            found = joined(before, rows, {name: about(data)})
            command = "python benchmarks/fields.py --data DIR"
            versions = {package: installed(package) for package in PACKAGES}
            write(args.json, found | {"benchmark": "fields", "command": command, "seeds": list(SEEDS),
                                      "hardware": hardware(), "versions": versions})  # fmt: skip
            for row in rows:
                print(name, row["sensors"], row["method"], row["rmse"], "±", row["rmse_half_width"], row["crps"],
                      row["coverage_90"], f"{row['seconds']} s", file=sys.stderr, flush=True)  # fmt: skip
    if args.page:
        from fields_page import page

        found = json.loads(args.json.read_text(encoding="utf-8"))
        (ROOT / "docs" / "fields.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
