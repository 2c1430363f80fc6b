"""Many readings: what encoding them costs, and what it is worth, for Mamba along Hilbert's curve and for attention.

    python benchmarks/many_readings.py --json results/many-readings.json

Random fields of the unit square (sums of 256 cosines, Matérn 3/2, lengths 0.05 … 0.3 log-uniform, variance 1), read at
random places, half of the training fields with noise up to 0.1. Both models have one tokenizer, width and decoder, which
reads the 24 latents nearest to each question, and as many layers of one encoder; they have no base, because solving one in
every step would leave no time to learn. Both train on 200 … 2,000 readings for equal seconds, each at the best of three
rates (tried for a tenth of that). The test: root mean squared error at 400 random places of fields never seen, readings
without noise, beside kriging of the first of the same fields; beyond 1,500 readings kriging is solved in neighbourhoods.
Costs: one field, without gradients, in a process of its own; seconds are those of the processor, so that what else the
machine does counts little; GiB is what the process grows by at most. One thread. `--keep FILE`: the networks' rows of an
earlier results file (or of its trained part), with fresh costs and a fresh kriging.
"""

import common  # isort: skip  (before torch)

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import log
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

import gridless as gl

SEED, COUNTS, TRAINED, ASKED = 0, (500, 2_000, 10_000), (200, 2_000), 400
TESTED = {500: 8, 2_000: 6, 10_000: 3}  # fields
KRIGED = {500: 4, 2_000: 3, 10_000: 2}  # … of which kriging answers so many
RATES = (5e-4, 2e-3, 5e-3)
WIDTH, DEPTH, NEAREST = 64, 2, 24
MAMBA = {"kind": "mamba", "order": "hilbert", "depth": DEPTH, "expansion": 2.0, "ssm": {"state": 8}}
ATTENTION = {"kind": "transformer", "depth": DEPTH, "heads": 4, "head_width": 16, "expansion": 2.0}
ENCODERS = {"mamba along a curve": MAMBA, "attention": ATTENTION}


@dataclass(frozen=True, eq=False)
class RandomField(gl.Formula):
    """A sum of cosines whose frequencies have the spectrum of a Matérn 3/2 covariance."""

    frequency: Tensor
    phase: Tensor
    weight: Tensor
    name = "random-field"
    axes, channels, peak = 2, 1, 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator, waves: int = 256) -> "RandomField":
        length = np.exp(rng.uniform(log(0.05), log(0.3)))
        heavy = np.sqrt(3 / rng.chisquare(3, (waves, 1)))
        parts = (
            rng.standard_normal((waves, 2)) * heavy / length,
            rng.uniform(0, 2 * np.pi, waves),
            rng.standard_normal(waves) * np.sqrt(2 / waves),
        )
        return cls(*(torch.from_numpy(part.astype(np.float32)) for part in parts))

    def at(self, coords: Tensor) -> Tensor:
        return (torch.cos(coords @ self.frequency.T + self.phase) @ self.weight)[..., None]


class RandomFields:
    """Drawn afresh for every batch."""

    def draw(self, rng: np.random.Generator, count: int) -> list[RandomField]:
        return [RandomField.draw(rng) for _ in range(count)]


def build(encoder: dict) -> gl.FieldModel:
    torch.manual_seed(SEED)
    decoder = {"hidden": WIDTH, "attention": {"heads": 4, "head_width": 16, "nearest": NEAREST}, "depth": 1}
    tokens = {"tokens": {"count": 0, "read": "all"}}
    parts = {"signal": {"positions": None}, "width": WIDTH, "encoder": encoder | tokens, "decoder": decoder}
    return gl.FieldModel(gl.preset("sensors", "small", head={"kind": "point"}, base={"kind": "none"}, **parts))


def trained(encoder: dict, seconds: float, rate: float) -> tuple[gl.FieldModel, dict]:
    model = build(encoder)
    settings = gl.Train(seconds=seconds, batch=4, queries=128, seed=SEED, optimizer={"lr": rate})
    task = gl.SparseField(sensors=TRAINED, noise=(0.0, 0.1))
    facts = gl.fit(model, RandomFields(), task, train=settings, quiet=True)
    return model, {"rate": rate, "steps": facts["steps"], "seconds": facts["train_seconds"]}


def question(seed: int, count: int) -> tuple[gl.Samples, Tensor, Tensor]:
    """Readings of a test field, places asked and the truth there."""
    rng = np.random.default_rng((9, seed, count))
    field = RandomField.draw(rng)
    places = torch.from_numpy(rng.random((count + ASKED, 2), np.float32))
    values = field.at(places)
    return gl.Samples.from_points(places[:count], values[:count]), places[count:], values[count:]


@torch.no_grad()
def rmse(model, count: int, fields: range) -> list[float]:
    out = []
    for seed in fields:
        samples, places, truth = question(seed, count)
        out.append(float((model.encode(samples)(places) - truth).square().mean().sqrt()))
    return out


@torch.no_grad()
def cost(name: str, count: int) -> dict:
    """Processor's seconds of encoding and of 400 answers (medians), GiB, and kriging's errors."""
    torch.set_num_threads(1)
    kriged = name == "kriging"
    encode = gl.bases.Kriging().encode if kriged else build(ENCODERS[name]).eval().encode
    warm, places, _ = question(98, 100)
    encode(warm)(places)
    before, encoding, asking, errors = common.resident(), [], [], []
    for seed in range(KRIGED[count]) if kriged else (99, 99, 99):
        samples, places, truth = question(seed, count)
        began = time.process_time()
        field = encode(samples)
        middle = time.process_time()
        errors.append(float((field(places) - truth).square().mean().sqrt()))
        encoding.append(middle - began)
        asking.append(time.process_time() - middle)
    taken = {"encode_seconds": round(median(encoding), 4), "ask_seconds": round(median(asking), 4)}
    return taken | {"gib": round(max(0.0, common.peak() - before), 3)} | ({"rmse": errors} if kriged else {})


def measured_alone(name: str, count: int) -> dict:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(cost, name, count).result()


def trained_row(name: str, seconds: float) -> dict:
    """The network with this encoder: how it was trained, and its errors by the number of readings."""
    tried = []
    for rate in RATES:
        model, facts = trained(ENCODERS[name], seconds / 10, rate)
        tried.append(facts | {"rmse": float(np.mean(rmse(model, 1_000, range(50, 58))))})
    best = min(tried, key=lambda facts: facts["rmse"])["rate"]
    model, facts = trained(ENCODERS[name], seconds, best)
    by_count = [{"readings": count, "rmse": rmse(model, count, range(TESTED[count]))} for count in COUNTS]
    return (
        {"method": name, "parameters": model.parameter_count(), "rates_tried": tried} | facts | {"by_count": by_count}
    )


def table(report: dict) -> str:
    """As the page has it."""
    names = [row["method"] for row in report["rows"]]
    head = [f"{name}: {what}" for name in names for what in ("CPU s", "GiB", "RMSE")]
    lines = [f"| readings | {' | '.join(head)} |", f"| ---: |{' ---: |' * len(head)}"]
    for i, count in enumerate(COUNTS):
        cells = []
        for row in report["rows"]:
            at = row["by_count"][i]
            cells += [f"{at['encode_seconds']:.2f}", f"{at['gib']:.2f}", f"{at['rmse_where_kriged']:.3f}"]
        lines.append(f"| {count:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    options = common.parser(__doc__)
    options.add_argument("--seconds", type=float, default=300.0, help="of training, for each encoder")
    options.add_argument("--keep", type=Path, help="take the networks' rows of this file")
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    if args.keep:
        earlier = json.loads(args.keep.read_text(encoding="utf-8"))
        rows = [{"commit": earlier["commit"]} | row for row in earlier["rows"][: len(ENCODERS)]]
    else:
        rows = [trained_row(name, args.seconds) for name in ENCODERS]
    rows.append({"method": "kriging", "by_count": [{"readings": count} for count in COUNTS]})
    for row in rows:
        for at in row["by_count"]:
            at |= measured_alone(row["method"], at["readings"])
            print(row["method"], at, file=sys.stderr, flush=True)
    for row in rows:
        for at, base in zip(row["by_count"], rows[-1]["by_count"], strict=True):
            first = np.mean(at["rmse"][: len(base["rmse"])])
            at["rmse_where_kriged"], at["gain_over_kriging"] = (
                round(float(first), 5),
                round(float(np.mean(base["rmse"]) - first), 5),
            )
    facts = {
        "width": WIDTH,
        "depth": DEPTH,
        "nearest": NEAREST,
        "trained_on": TRAINED,
        "fields": TESTED,
        "kriged": KRIGED,
        "seed": SEED,
    }
    command = "python benchmarks/many_readings.py --json results/many-readings.json"
    common.finish("many-readings", {"command": command} | facts | {"rows": rows}, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
