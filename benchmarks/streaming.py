"""Readings one after another: what taking one in costs, and what reading forwards alone is worth less.

    python benchmarks/streaming.py --json results/streaming.json

Costs: one more reading after 100, 1,000 and 10,000 (`stream.updated`), the field of all so far (`stream.field`), and the
same field from all readings again (`model.encode`), without asking it anything. Milliseconds of the processor, one thread,
every call in turn, medians of the rounds; the weights are those of an untrained model, which changes no time.

Price: travelling waves over time and a plane (one plane wave each, drawn afresh), read at random places in order
of time, asked at any time and place of the same span. Three models that differ in how their Mamba layers read and where the
latents stand, as many steps each at one rate, two seeds; root mean squared errors over the same 32 fields of 100 readings
that no training saw, of variance 1. `streamed` is the error of the first model's stream, one reading at a time. A layer that
reads both ways has more parameters; the table has both numbers.
"""

import common  # isort: skip  (before torch)

import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import gridless as gl

PASTS, ROUNDS = (100, 1_000, 10_000), 21
WIDTH, DEPTH, LATENTS = 64, 2, 64
SEEDS, TRAINED, TESTED, KRIGED, READ, ASKED = (0, 1), (50, 200), 32, 8, 100, 400
SPAN, OPTIMIZER = 0.6, {"lr": 2e-3, "muon": 10.0}

FORWARD, BOTH = ({"direction": direction, "state": 8} for direction in ("forward", "both"))
ARMS = {
    "forwards, latents at the end": (FORWARD, "append"),
    "both ways, latents at the end": (BOTH, "append"),
    "both ways, latents among the readings": (BOTH, "equidistant"),
}


@dataclass(frozen=True, eq=False)
class TravellingWaves(gl.Formula):
    """One plane wave of (t, y, x); readings are listed in order of time."""

    frequency: Tensor
    phase: Tensor
    name = "travelling-waves"
    axes, channels, peak = 3, 1, 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "TravellingWaves":
        frequency = rng.uniform(-SPAN, SPAN, (1, 3))
        return cls(
            *(torch.from_numpy(x.astype(np.float32)) for x in (2 * np.pi * frequency, rng.uniform(0, 2 * np.pi, 1)))
        )

    def at(self, coords: Tensor) -> Tensor:
        return torch.cos(coords @ self.frequency.T + self.phase).sum(-1, keepdim=True) * 2**0.5

    def places(self, rng: np.random.Generator, count: int, placement: str = "random") -> Tensor:
        places = super().places(rng, count, placement)
        return places[places[:, 0].argsort()]


class Waves:
    """Drawn afresh for every batch."""

    def draw(self, rng: np.random.Generator, count: int) -> list[TravellingWaves]:
        return [TravellingWaves.draw(rng) for _ in range(count)]


def build(arm: str, seed: int) -> gl.FieldModel:
    torch.manual_seed(seed)
    ssm, placement = ARMS[arm]
    tokens = {"count": LATENTS, "placement": placement, "read": "tokens"}
    parts = {
        "signal": {"axes": 3, "positions": None, "mean": 0.0, "std": 1.0},
        "width": WIDTH,
        "encoder": {"kind": "mamba", "depth": DEPTH, "expansion": 2.0, "ssm": ssm, "tokens": tokens},
        "decoder": {"hidden": WIDTH, "attention": {"heads": 4, "head_width": 16}, "depth": 1},
    }
    return gl.FieldModel(gl.preset("scattered", "small", head={"kind": "point"}, base={"kind": "none"}, **parts))


def question(seed: int, count: int) -> tuple[gl.Samples, Tensor, Tensor]:
    """Readings of a test field, places asked and the truth there."""
    rng = np.random.default_rng((9, seed, count))
    waves = TravellingWaves.draw(rng)
    read, places = waves.places(rng, count), waves.places(rng, ASKED)
    return gl.Samples(waves.at(read)[None], coords=read[None]), places, waves.at(places)


def asked(seed: int) -> tuple[gl.Samples, Tensor, Tensor]:
    """What the price is measured by."""
    return question(seed, READ)


def one(samples: gl.Samples, index: int) -> gl.Samples:
    return gl.Samples(samples.values[:, index : index + 1], coords=samples.point_coords[:, index : index + 1])


def costs(rounds: int) -> list[dict]:
    model, rows = build("forwards, latents at the end", 0).eval(), []
    (new, _, _), calls = question(97, 1), {}
    for past in PASTS:
        samples, _, _ = question(98, past)
        stream = model.stream(samples)
        calls |= {
            f"{past} updated": lambda stream=stream: stream.updated(new),
            f"{past} field": stream.field,
            f"{past} encode": lambda samples=samples: model.encode(samples),
        }
    taken = common.in_turns(calls, rounds, clock=time.process_time)
    for past in PASTS:
        updated, field, encode = (taken[f"{past} {name}"] for name in ("updated", "field", "encode"))
        both = [a + b for a, b in zip(updated, field, strict=True)]
        named = {"updated": updated, "field": field, "both": both, "encode": encode}
        milliseconds = {name: common.spread([1e3 * x for x in values]) for name, values in named.items()}
        rows.append({"past": past, "milliseconds": milliseconds, "ratio": common.ratios(encode, both)})
    return rows


@torch.no_grad()
def errors(model, fields: int = TESTED, streamed: bool = False) -> list[float]:
    """Of a model or a base."""
    out = []
    for seed in range(fields):
        samples, places, truth = asked(seed)
        if streamed:
            stream = model.stream(one(samples, 0))
            for index in range(1, READ):
                stream = stream.updated(one(samples, index))
            field = stream.field()
        else:
            field = model.encode(samples)
        out.append(float((field(places) - truth).square().mean().sqrt()))
    return out


def trained(arm: str, seed: int, steps: int) -> dict:
    model = build(arm, seed)
    settings = gl.Train(steps=steps, batch=8, queries=128, seed=seed, optimizer=OPTIMIZER)
    facts = gl.fit(model, Waves(), gl.SparseField(sensors=TRAINED), train=settings, quiet=True)
    row = {"arm": arm, "seed": seed, "parameters": model.parameter_count(), "seconds": facts["train_seconds"]}
    row["rmse"] = round(float(np.mean(errors(model.eval()))), 4)
    if arm == next(iter(ARMS)):
        row["streamed"] = round(float(np.mean(errors(model, streamed=True))), 4)
    print(row, file=sys.stderr, flush=True)
    return row


def cost_table(report: dict) -> str:
    """As the page has it."""
    lines = [
        "| readings before | one more, ms | its field, ms | all again, ms | all again / both |",
        "| ---: |" + " ---: |" * 4,
    ]
    for row in report["costs"]:
        ms = row["milliseconds"]
        cells = [f"{ms[name]['median']:.1f}" for name in ("updated", "field", "encode")]
        lines.append(f"| {row['past']:,} | {' | '.join(cells)} | {row['ratio']['median']:.1f} |")
    return "\n".join(lines)


def price_table(report: dict) -> str:
    """As the page has it."""
    seeds = report["seeds"]
    lines = [f"| readings are read | parameters | {' | '.join(f'RMSE, seed {seed}' for seed in seeds)} | streamed |"]
    lines.append(f"| --- |{' ---: |' * (len(seeds) + 2)}")
    for arm in ARMS:
        rows = [row for row in report["price"] if row["arm"] == arm]
        streamed = ", ".join(f"{row['streamed']:.3f}" for row in rows if "streamed" in row)
        cells = [f"{rows[0]['parameters']:,}", *(f"{row['rmse']:.3f}" for row in rows), streamed or "cannot"]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    options = common.parser(__doc__)
    options.add_argument("--steps", type=int, default=700, help="of training, for each model")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    report = {
        "command": "python benchmarks/streaming.py --json results/streaming.json",
        "width": WIDTH, "depth": DEPTH, "latents": LATENTS, "rounds": args.rounds, "steps": args.steps,
        "optimizer": OPTIMIZER, "seeds": SEEDS, "trained_on": TRAINED, "fields": TESTED, "readings": READ,
        "costs": costs(args.rounds),
    }  # fmt: skip
    print(cost_table(report), file=sys.stderr, flush=True)
    report["kriging"] = {"fields": KRIGED, "rmse": round(float(np.mean(errors(gl.bases.Kriging(), KRIGED))), 4)}
    report["price"] = [trained(arm, seed, args.steps) for seed in SEEDS for arm in ARMS]
    report["zero"] = round(
        float(np.mean([float(question(seed, READ)[2].square().mean().sqrt()) for seed in range(TESTED)])), 4
    )
    print(price_table(report), file=sys.stderr)
    common.finish("streaming", report, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
