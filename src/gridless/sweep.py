"""Arms × seeds of one recipe: the whole model and every arm of its [ablate] table, trained and scored the same way."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gridless import config as c
from gridless.merging import ConfigError, build, difference, dump, load_json, merge
from gridless.model import FieldModel
from gridless.results import read_results
from gridless.runs import build_task, evaluate_run, load_data, load_run, train_run
from gridless.training import build_accelerator, build_optimizer, training_step

WHOLE = "full"
ROUNDS = 12


def sweep(
    recipe: c.Recipe, ablate: dict, *, seeds: int, equal: str, output: str | Path, only: Sequence[str] | None = None
) -> str:
    """Train and score every arm with every seed at equal steps, equal seconds or both; returns the table.

    Step times are measured once, the arms alternating, and turned into steps, so that a busy machine changes nobody's
    share. Results are written after every run (sweep.json); a finished run is not repeated.
    """
    if equal not in ("steps", "seconds", "both"):
        raise ConfigError(f"--equal takes steps, seconds or both, got {equal!r}")
    unknown = set(only or ()) - {WHOLE, *ablate}
    if unknown:
        raise ConfigError(f"no arm {', '.join(sorted(unknown))}; the recipe has {', '.join([WHOLE, *ablate])}")
    table = dump(recipe)
    arms = {WHOLE: recipe} | {
        name: build(c.Recipe, merge(table, diff)) for name, diff in ablate.items() if only is None or name in only
    }
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    plan = _plan(arms, equal, output)
    rows = []
    for seed in range(seeds):
        for (budget, arm), steps in plan.items():
            run = output / f"{arm}-{budget}-seed{seed}"
            one = build(c.Recipe, merge(dump(arms[arm]), {"train": {"steps": steps, "seconds": None, "seed": seed}}))
            if not (run / "results.csv").is_file():
                train_run(one, run)
                evaluate_run(run, baselines=("bicubic",), pictures=False)
            facts = load_run(run)[2]
            rows.append({"arm": arm, "budget": budget, "seed": seed, "facts": facts, "scores": _scores(run)})
            _write(output / "sweep.json", {"plan": [[*key, n] for key, n in plan.items()], "runs": rows})
    return as_markdown(rows)


def _plan(arms: dict[str, c.Recipe], equal: str, output: Path) -> dict[tuple[str, str], int]:
    """Steps of every (budget, arm); kept in plan.json, so that a resumed sweep is the same sweep."""
    kept, asked = output / "plan.json", {"equal": equal, "arms": {name: dump(arm) for name, arm in arms.items()}}
    if kept.is_file():
        known = load_json(kept)
        other = difference(known["asked"], asked)
        if other:
            raise ConfigError(f"{output} holds a sweep with another {other}; give another folder with -o, or remove it")
        return {(budget, arm): steps for budget, arm, steps in known["plan"]}
    whole = arms[WHOLE].train
    seconds = {} if equal == "steps" and whole.steps else step_seconds(arms)
    steps = whole.steps or max(10, int(whole.seconds / seconds[WHOLE]))
    plan = {("steps", WHOLE): steps}
    for arm in arms:
        if equal in ("steps", "both"):
            plan["steps", arm] = steps
        if equal in ("seconds", "both") and arm != WHOLE:
            plan["seconds", arm] = round(steps * seconds[WHOLE] / seconds[arm])
    _write(kept, {"asked": asked, "plan": [[*key, n] for key, n in plan.items()]})
    return plan


def step_seconds(arms: dict[str, c.Recipe]) -> dict[str, float]:
    """Median seconds of a training step of every arm, the arms alternating."""
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    parts = {}
    for arm, recipe in arms.items():
        model = FieldModel(recipe.model).to(build_accelerator().device)
        pictures = [p.rgb() for p in load_data(recipe.data, "train")]
        parts[arm] = (model, build_optimizer(model, recipe.train), build_task(recipe.task), pictures, recipe.train)
    for turn in range(ROUNDS + 3):
        for arm, (model, optimizer, task, pictures, train) in parts.items():
            batch = task.draw(
                pictures, np.random.default_rng(turn), model.config.signal.window, train.batch, train.queries
            )
            start = time.perf_counter()
            float(training_step(model, optimizer, batch, train, train.optimizer.lr, build_accelerator()))
            if turn >= 3:
                times[arm].append(time.perf_counter() - start)
    return {arm: float(np.median(t)) for arm, t in times.items()}


def _scores(run: Path) -> dict[str, float]:
    """psnr_rgb of the trained model, by picture and scale, and its gain over bicubic."""
    rows = [r for r in read_results(run / "results.csv") if r["metric"] == "psnr_rgb"]
    base = {(r["image"], r["scale"]): r["value"] for r in rows if r["model"] == "bicubic"}
    return {
        f"{r['image']} x{r['scale']:g}": {
            "psnr_rgb": r["value"],
            "gain": round(r["value"] - base[r["image"], r["scale"]], 6),
        }
        for r in rows
        if r["params"]
    }


def paired(rows: Sequence[dict], budget: str, arm: str) -> dict[str, np.ndarray]:
    """What the whole model gains over an arm, by scale: one number per picture, the mean over seeds."""
    whole = {r["seed"]: r["scores"] for r in rows if r["arm"] == WHOLE}
    found: dict[str, list[float]] = {}
    for row in rows:
        if (row["budget"], row["arm"]) == (budget, arm) and row["seed"] in whole:
            for case, score in row["scores"].items():
                found.setdefault(case, []).append(whole[row["seed"]][case]["psnr_rgb"] - score["psnr_rgb"])
    out: dict[str, list[float]] = {}
    for case, gains in found.items():
        out.setdefault(case.rsplit(" ", 1)[1], []).append(float(np.mean(gains)))
    return {scale: np.asarray(gains) for scale, gains in out.items()}


def as_markdown(rows: Sequence[dict]) -> str:
    """The table: gain over bicubic of every arm, and what the whole model gains over it (paired mean ± 2 std errors)."""
    scales = list(dict.fromkeys(case.rsplit(" ", 1)[1] for r in rows for case in r["scores"]))
    names = [s.replace("x", "×") for s in scales]
    head = ["arm", "equal", "params", "steps", *(f"gain {s}" for s in names), *(f"full − arm {s}" for s in names)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for budget, arm in dict.fromkeys((r["budget"], r["arm"]) for r in rows):
        own = [r for r in rows if (r["budget"], r["arm"]) == (budget, arm)]
        cells = ["both" if arm == WHOLE else budget, f"{own[0]['facts']['params']:,}", str(own[0]["facts"]["steps"])]
        for scale in scales:
            gains = [s["gain"] for r in own for case, s in r["scores"].items() if case.endswith(f" {scale}")]
            cells.append(f"{np.mean(gains):+.2f}")
        for scale in scales:
            difference = paired(rows, budget, arm)[scale]
            error = 2 * difference.std(ddof=1) / len(difference) ** 0.5 if len(difference) > 1 else float("nan")
            cells.append("" if arm == WHOLE else f"{difference.mean():+.3f} ± {error:.3f}")
        lines.append("| " + " | ".join([arm, *cells]) + " |")
    return "\n".join(lines)


def _write(path: Path, value) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(aside, path)
