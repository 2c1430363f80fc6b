"""Moments between frames: every other frame of a film is left out, and asked.

radar (rain over Finland, 512 × 512, a frame in ten minutes is seen), era5 (hourly temperatures over Britain, every other
hour is seen), and simulated flows (the films of flow_forecasts.py, a frame in two seconds): S1 whole frames, S5 an eighth of
the places, others in every frame. Four frames are seen; the three moments in the middles between them are asked.

linear: in time at every place (`Persistence`), cubic: the spline through the frames (scipy); holes of a frame first take
their neighbours' mean. advection: along the motion. kriging: in space and time, of scattered readings alone, twelve cases.
scent: learned from the frames that are seen alone, none of those that are asked; as a correction of `Persistence` while
training hides a frame between others (`task.between`), and without a base. Root mean squared errors; of flows over the root
mean square.

    python benchmarks/frames_between.py DIR --json results/frames_between.json --cache DIR [--seconds 60 --seeds 1]
    python benchmarks/frames_between.py --page
"""

import common  # isort: skip  (before torch)

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from flow_forecasts import MUON, SETS, Budget, films, within
from forecast_rows import FILMS
from scipy.interpolate import CubicSpline

import gridless as gl
from gridless.bases import Advection, Kriging, Persistence
from gridless.bases.film import Film
from gridless.config import Train
from gridless.data.signals import GridSignal
from gridless.protocols import Case
from gridless.scoring.evaluate import Encoder
from gridless.training.adoption import adopt_data
from gridless.training.optimiser import build_optimizer, learning_rate
from gridless.training.steps import build_accelerator, training_step

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- frames_between.json -->", "<!-- end of between -->"
SEEN, STEP, BETWEEN = 4, 2, (-2.5, -1.5, -0.5)
RATE, BATCH, QUERIES, READINGS = 4e-3, 8, 512, 1024
KRIGED = 12  # cases, of 96
NETWORKS = {"scent": {}, "scent on persistence": {"base": {"kind": "persistence"}}}


@dataclass(frozen=True)
class Cubic:
    """The spline through the seen frames."""

    def encode(self, samples: gl.Samples) -> "CubicField":
        film = Film.of(samples)
        frames = film.frames[0].double().numpy()
        seen = np.flatnonzero(film.measured[0].numpy())
        return CubicField(CubicSpline(seen, frames[seen], axis=0), film)


@dataclass(frozen=True, eq=False)
class CubicField:
    spline: CubicSpline
    film: Film

    def __call__(self, coords: torch.Tensor) -> torch.Tensor:
        """Of the whole grid of one moment."""
        number = self.film.frame_number(coords).flatten()
        return torch.from_numpy(self.spline(float(number[0]))).flatten(0, -2)[None]


def task_of(which: str = "S1", **options: object) -> gl.Forecast:
    return gl.Forecast(seen=SEEN, ahead=1, step=STEP, leads=BETWEEN, **SETS[which], **options)  # pyright: ignore


def errors(cases: list[Case], methods: Mapping[str, Encoder], relative: bool) -> dict[str, float]:
    """Root mean squared errors over all cases, or relative ones, the mean over cases."""
    out: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for case in cases:
        real = np.ones(len(case.truth), bool) if case.measured is None else np.asarray(case.measured)
        truth = case.truth.reshape(len(real), -1)[real]
        for name, method in methods.items():
            with torch.no_grad():
                answer = method.encode(case.samples)(case.coords)
            value = answer.reshape(len(real), -1)[torch.from_numpy(real)].double().numpy()
            out[name].append((float(np.square(value - truth).mean()), float(np.square(truth).mean())))
    if relative:
        return {name: round(mean((e / size) ** 0.5 for e, size in pairs), 5) for name, pairs in out.items()}
    return {name: round(mean(e for e, _ in pairs) ** 0.5, 5) for name, pairs in out.items()}


def real_film(name: str, folder: Path) -> list[dict]:
    film = FILMS[name](folder)
    mask = np.isfinite(film.values)
    values = np.where(mask, film.values, 0).astype(np.float32)[..., None]
    later = slice(film.learned, None)
    signal = GridSignal(name, values[later], None if mask.all() else mask[later], film.part(film.learned, len(values)))
    methods = {"linear": Persistence(), "cubic": Cubic(), "advection": Advection()}
    made = errors(list(task_of().cases([signal])), methods, relative=False)
    return [{"set": name, "unit": film.unit, "model": model, "error": error} for model, error in made.items()]


def scent(arm: str, which: str, seed: int, seconds: float, learned: list, cases: list[Case]) -> dict:
    based = "base" in NETWORKS[arm]
    task = task_of(which, between=based)
    torch.manual_seed(seed)
    model = gl.FieldModel(gl.preset("scent-time", "small", film={"readings": READINGS}, **NETWORKS[arm]))
    adopt_data(model, learned, task)
    optimizer = {"lr": RATE, "muon": MUON}
    loss = "mse" if based else "relative"
    train = Train(steps=1, batch=BATCH, precision="bf16", seed=seed, loss=loss, optimizer=optimizer)
    learner, accelerator = build_optimizer(model, train), build_accelerator()

    def step(number: int, share: float) -> float:
        rng = np.random.default_rng((seed, number))
        batch = task.draw(learned, rng, window=(1,), batch=BATCH, queries=QUERIES)
        torch.manual_seed(1_000 * seed + number)
        rate = learning_rate(max(share, 0.005), train)
        return float(training_step(model, learner, batch, train, rate, accelerator))

    facts = within(Budget(seconds), step)
    model.eval()
    (error,) = errors(cases, {arm: model}, relative=True).values()
    row = {"set": which, "unit": "share", "model": arm, "seed": seed, "rate": RATE, "error": error, **facts}
    return row | {"parameters": model.parameter_count()}


def measure(folder: Path, path: Path, cache: Path, seconds: float, seeds: int) -> None:
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": []}
    report |= {"seconds": seconds}
    rows = report["rows"]
    for name in ("radar", "era5"):
        if not any(row["set"] == name for row in rows):
            rows += real_film(name, folder)
            common.finish("frames_between", report, path)
    learned, asked = films("train", cache), films("test", cache)
    for which in ("S1", "S5"):
        cases = list(task_of(which, windows=1).cases(asked))
        if not any(row["set"] == which for row in rows):
            methods: dict[str, Encoder] = {"linear": Persistence(), "cubic": Cubic(), "advection": Advection()}
            made = errors(cases, methods, relative=True)
            if which == "S5":
                made |= errors(cases[:KRIGED], {"kriging": Scattered()}, relative=True)
            rows += [{"set": which, "unit": "share", "model": m, "error": error} for m, error in made.items()]
            common.finish("frames_between", report, path)
        for seed in range(seeds):
            for arm in NETWORKS:
                if not any((r["set"], r["model"], r.get("seed")) == (which, arm, seed) for r in rows):
                    rows.append(scent(arm, which, seed, seconds, learned, cases))
                    common.finish("frames_between", report, path)


@dataclass(frozen=True)
class Scattered:
    """Kriging of the readings where they were made."""

    def encode(self, samples: gl.Samples) -> gl.Field:
        return Kriging().encode(samples.as_points().compacted())


HEADS = {
    "radar": "radar, dBZ",
    "era5": "era5, K",
    "S1": "flows, whole frames",
    "S5": "flows, an eighth, moving",
}


def tables(report: dict) -> str:
    rows = report["rows"]
    out = ["| | " + " | ".join(HEADS.values()) + " |", "| --- |" + " ---: |" * len(HEADS)]
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = []
        for which in HEADS:
            of = [row["error"] for row in rows if (row["set"], row["model"]) == (which, model)]
            cells.append(f"{mean(of):.4f}" if of else "–")
        out.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the npz files of the films lie")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the simulated films")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.page:
        measure(options.folder, options.json, options.cache, options.seconds, options.seeds)
        return
    text = tables(json.loads((ROOT / "results" / "frames_between.json").read_text(encoding="utf-8")))
    common.write_between(ROOT / "docs" / "forecasts.md", BEGIN, END, text)


if __name__ == "__main__":
    main()
