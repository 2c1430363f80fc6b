"""SCENT on simulated flows: five corruptions, its rivals, and what each of its parts is worth.

    python benchmarks/flow_forecasts.py --json results/flow_forecasts.json --cache DIR [--seconds 60 --seeds 3 --only ARM …]
    python benchmarks/flow_forecasts.py --json results/flow_forecasts.json --page

Navier–Stokes on 32², viscosity 1e-3, the published diagonal forcing, one second from frame to frame; 512 films to learn
from, 32 that nobody has seen. One frame is seen and any moment up to five seconds later is asked; relative squared error,
the mean over films, at every lead. The sets are SCENT's: S1 clean, S2 noise of 10 % of the value, S3 a box of a quarter of
the area missing, S4 a random half of the places, S5 a random eighth that moves. Every run has as many seconds of one
thread, of the processor and in training steps alone; a model's rate is the best of three on validation films in as many
seconds. `fno`: neuraloperator's FNO from frame to frame, rolled out (`pip install neuraloperator`); it needs whole grids, so
S1 alone. `perceiver`: SCENT without its four parts, which is what Senseiver is.
`films`: the preset whose latents lie at readings. What the parts are worth is asked of S4, at
as many steps as SCENT itself made there, at its rate. Matrices learn by Muon. What the JSON file holds is not run again.
"""

import common  # isort: skip  (before torch)

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor, nn

import gridless as gl
from gridless.config import FlowData, Train
from gridless.config.merging import merge
from gridless.data.flows import flow_films
from gridless.protocols import Batch, Case
from gridless.training.adoption import adopt_data
from gridless.training.optimiser import build_optimizer, learning_rate, set_rate
from gridless.training.provenance import commit
from gridless.training.steps import build_accelerator, training_step

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scent.md"
FLOWS = FlowData(viscosity=1e-3, forcing="fno", side=32, frames=16, start=4.0, count=512, val=16, test=32)
PLACES = FLOWS.side**2
SETS = {
    "S1": {},
    "S2": {"noise": 0.1},
    "S3": {"missing": 0.25},
    "S4": {"sensors": (PLACES // 2, PLACES // 2)},
    "S5": {"sensors": (PLACES // 8, PLACES // 8), "moving": True},
}
NO_CONTEXT, NO_CALIBRATION = {"encoder": {"context": None}}, {"decoder": {"calibration": None}}
NO_ENTRY, NO_TARGET = {"tokenizer": {"frozen": None}}, {"film": {"target": False}}
NONE = merge(merge(NO_CONTEXT, NO_CALIBRATION), merge(NO_ENTRY, NO_TARGET))
FINE = {"fourier": {"std": 2.0, "octaves": 2}}
HIGH = {"tokenizer": FINE, "decoder": FINE}
SCENT, FILMS = "scent", "films"
RIVALS = {SCENT: {}, "perceiver": NONE, "on persistence": {"base": {"kind": "persistence"}}, FILMS: {}}
PARTS = {
    "no parts": NONE,
    "no context": NO_CONTEXT,
    "no calibration": NO_CALIBRATION,
    "trained entry": NO_ENTRY,
    "no target time": NO_TARGET,
    "values enter once": {"tokenizer": {"product": False}},
    "high frequencies": HIGH,
    "queries calibrate": {"decoder": {"calibration": {"kind": "queries"}}},
    "mamba context": {"encoder": {"context": {"kind": "mamba", "depth": 2}}},
    "untied": {"processor": {"tied": False}},
}
FNO, PERSISTENCE = "fno", "persistence"
ABLATED = "S4"
RATES, MUON = (2e-3, 4e-3, 8e-3), 2.5
BATCH, QUERIES = 8, 512


def films(split: str, cache: Path) -> list:
    return flow_films(replace(FLOWS, path=str(cache)), split)


def task_of(which: str) -> gl.Forecast:
    return gl.Forecast(seen=1, ahead=5, windows=1, leads=(1.0, 2.0, 3.0, 4.0, 5.0), **SETS[which])


def relative_errors(cases: list[Case], answer: Callable[[Case], np.ndarray]) -> dict[str, float]:
    """By lead, the mean over films."""
    errors: dict[str, list[float]] = {}
    for case in cases:
        value = answer(case).reshape(case.truth.shape)
        errors.setdefault(f"{case.tags['lead']:g}", []).append(
            float(np.square(value - case.truth).sum() / np.square(case.truth).sum())
        )
    return {lead: round(mean(values), 5) for lead, values in errors.items()}


@dataclass(frozen=True)
class Budget:
    """Of training: seconds of the processor, or steps."""

    seconds: float
    steps: int | None = None

    def share(self, seconds: float, steps: int) -> float:
        """What of it is spent."""
        return seconds / self.seconds if self.steps is None else steps / self.steps


def within(budget: Budget, step: Callable[[int, float], float]) -> dict:
    """Steps until the budget is spent; `step` gets its number and the share that is spent."""
    spent, steps, losses = 0.0, 0, []
    while (share := budget.share(spent, steps)) < 1:
        began = time.process_time()
        losses.append(step(steps, share))
        spent, steps = spent + time.process_time() - began, steps + 1
    tail = losses[-max(1, steps // 10) :]
    spikes = sum(b > 4 * a for a, b in zip(losses, losses[1:], strict=False))
    return {"steps": steps, "seconds": round(spent, 1), "loss": round(mean(tail), 5), "spikes": spikes}


def scent(arm: str, which: str, seed: int, budget: Budget, rate: float, learned: list, asked: list) -> dict:
    task = task_of(which)
    torch.manual_seed(seed)
    preset = "films" if arm == FILMS else "scent-time"
    model = gl.FieldModel(gl.preset(preset, "small", **(RIVALS | PARTS)[arm]))
    adopt_data(model, learned, task)
    train = Train(
        steps=1, batch=BATCH, precision="bf16", seed=seed, loss="relative", optimizer={"lr": rate, "muon": MUON}
    )
    optimizer, accelerator = build_optimizer(model, train), build_accelerator()

    def draw(step: int) -> Batch:
        rng = np.random.default_rng((seed, step))
        return task.draw(learned, rng, window=(1,), batch=BATCH, queries=QUERIES)

    def step(number: int, share: float) -> float:
        torch.manual_seed(1_000 * seed + number)
        return float(
            training_step(model, optimizer, draw(number), train, learning_rate(max(share, 0.005), train), accelerator)
        )

    facts = within(budget, step)
    model.eval()
    cases = list(task.cases(asked))
    with torch.no_grad():
        errors = relative_errors(cases, lambda case: model.encode(case.samples)(case.coords).double().numpy())
    return facts | {"parameters": model.parameter_count(), "errors": errors}


def frames_of(batch: list, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Neighbouring frames of films, (B 1 y x)."""
    pairs = []
    for _ in range(2 * BATCH):
        film = batch[int(rng.integers(len(batch)))]
        first = int(rng.integers(len(film.values) - 1))
        pairs.append([np.moveaxis(film.values[first + k], -1, 0) for k in (0, 1)])
    before, after = (torch.from_numpy(np.stack(frames)) for frames in zip(*pairs, strict=True))
    return before, after


def fno(arm: str, which: str, seed: int, budget: Budget, rate: float, learned: list, asked: list) -> dict:
    from neuralop.models import FNO as Fno

    torch.manual_seed(seed)
    model: nn.Module = Fno(n_modes=(12, 12), in_channels=1, out_channels=1, hidden_channels=32, n_layers=4)
    train = Train(steps=1, batch=2 * BATCH, seed=seed, optimizer={"lr": rate})
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)

    def step(number: int, share: float) -> float:
        before, after = frames_of(learned, np.random.default_rng((seed, number)))
        set_rate(optimizer, learning_rate(max(share, 0.005), train))
        error = (before + model(before) - after).square().sum((1, 2, 3)) / after.square().sum((1, 2, 3))
        optimizer.zero_grad()
        error.mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(error.mean())

    facts = within(budget, step)
    model.eval()

    def rolled(case: Case) -> np.ndarray:
        frame = case.samples.on_grid()[:, 0].permute(0, 3, 1, 2)
        with torch.no_grad():
            for _ in range(round(float(case.tags["lead"] or 0))):
                frame = frame + model(frame)
        return frame[0, 0].double().numpy()

    errors = relative_errors(list(task_of(which).cases(asked)), rolled)
    return facts | {"parameters": sum(p.numel() for p in model.parameters()), "errors": errors}


def races(only: list[str] | None) -> list[tuple[str, str]]:
    """(arm, set) in the order in which they are run."""
    every = [(arm, which) for which in SETS for arm in RIVALS]
    every.insert(len(RIVALS), (FNO, "S1"))
    return [(arm, which) for arm, which in every if only is None or arm in only]


def rate_of(arm: str, tuning: list[dict]) -> float:
    """The best on validation films."""
    of = [run for run in tuning if run["arm"] == arm]
    return min(of, key=lambda run: mean(run["errors"].values()))["rate"]


def measure(path: Path, cache: Path, seconds: float, seeds: int, only: list[str] | None) -> None:
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"tuning": [], "runs": [], "parts": []}
    report |= {"seconds": seconds, "batch": BATCH, "queries": QUERIES}
    learned, known, asked = (films(split, cache) for split in ("train", "val", "test"))
    runs, tuning, parts = report["runs"], report["tuning"], report["parts"]
    for which in SETS:
        if not any((r["arm"], r["set"]) == (PERSISTENCE, which) for r in runs):
            task, base = task_of(which), gl.bases.Persistence()
            errors = relative_errors(list(task.cases(asked)), lambda c, b=base: b.encode(c.samples)(c.coords).numpy())
            runs.append({"arm": PERSISTENCE, "set": which, "seed": 0, "parameters": 0, "errors": errors})
    for arm in dict.fromkeys(arm for arm, _ in races(only)):
        which, run = ("S1", fno) if arm == FNO else (ABLATED, scent)
        for rate in RATES:
            if not any((r["arm"], r["rate"]) == (arm, rate) for r in tuning):
                facts = run(arm, which, 99, Budget(seconds), rate, learned, known)
                tuning.append({"arm": arm, "rate": rate, "commit": commit(), **facts})
                common.finish("flow_forecasts", report, path)
    for seed in range(seeds):
        for arm, which in races(only):
            if not any((r["arm"], r["set"], r["seed"]) == (arm, which, seed) for r in runs):
                rate, run = rate_of(arm, tuning), fno if arm == FNO else scent
                facts = run(arm, which, seed, Budget(seconds), rate, learned, asked)
                runs.append({"arm": arm, "set": which, "seed": seed, "rate": rate, "commit": commit(), **facts})
                common.finish("flow_forecasts", report, path)
        rate, steps = rate_of(SCENT, tuning), None
        for arm in (SCENT, *(arm for arm in PARTS if only is None or arm in only)):
            if not any((r["arm"], r["seed"]) == (arm, seed) for r in parts):
                facts = scent(arm, ABLATED, seed, Budget(seconds, steps), rate, learned, asked)
                parts.append({"arm": arm, "seed": seed, "rate": rate, "commit": commit(), **facts})
                common.finish("flow_forecasts", report, path)
            steps = next(r["steps"] for r in parts if (r["arm"], r["seed"]) == (SCENT, seed))


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--cache", type=Path, help="a folder that keeps the simulated films")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of arms")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.page:
        measure(args.json, args.cache, args.seconds, args.seeds, args.only)
    if args.page:
        from flow_forecasts_page import page

        PAGE.write_text(page(json.loads(args.json.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
