"""Arms × seeds of one recipe: the whole model and every arm of its [ablate] table, trained and scored the same way."""

import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gridless import config as c
from gridless.config.errors import ConfigError
from gridless.config.merging import build, difference, dump, load_json, merge
from gridless.files import write_json, write_text
from gridless.runs.pool import Cluster, Processes, run_all
from gridless.runs.status import Standing, Status
from gridless.scoring.comparison import WHOLE, Comparison, read_run, write_comparison
from gridless.training.locking import held

PATIENCE = 60.0  # seconds until a process whose sweep was killed has surely ended


def sweep(
    recipe: c.Recipe,
    ablate: dict,
    *,
    place: Processes | Cluster,
    seeds: int,
    equal: str,
    output: str | Path,
    only: Sequence[str] | None = None,
) -> tuple[Comparison, dict[str, str]]:
    """Train and score every arm with every seed at equal steps, equal seconds or both.

    Returns the runs that are finished, also those of earlier calls with the same folder, and the error of each run that
    failed. sweep.json is written after every run, always in the order of plan.json; a finished run is not repeated.
    """
    if equal not in ("steps", "seconds", "both"):
        raise ConfigError(f"--equal takes steps, seconds or both, got {equal!r}")
    unknown = set(only or ()) - {WHOLE, *ablate}
    if unknown:
        raise ConfigError(f"no arm {', '.join(sorted(unknown))}; the recipe has {', '.join([WHOLE, *ablate])}")
    table, output = dump(recipe), Path(output)
    arms = {WHOLE: recipe} | {
        name: build(c.Recipe, merge(table, diff)) for name, diff in ablate.items() if only is None or name in only
    }
    output.mkdir(parents=True, exist_ok=True)
    with held(output):
        plan = _plan(arms, [WHOLE, *ablate], equal, seeds, output, place)
        runs = [
            Standing(arm, budget, seed, steps, output / f"{arm}-{budget}-seed{seed}")
            for seed in range(plan["seeds"])
            for budget, arm, steps in plan["plan"]
        ]
        finished: dict[str, Comparison] = {}
        for run in runs:
            if (run.folder / "results.csv").is_file():
                run.state = "done"
                _take(run, finished)
        comparison = _write(runs, finished, output)
        asked = [run for run in runs if run.arm in arms and run.seed < seeds]
        calls = {run.name: (_recipe(arms[run.arm], run), str(run.folder)) for run in asked if run.state != "done"}
        if calls:
            print(f"{len(calls)} of {len(asked)} runs to go, {place}", file=sys.stderr, flush=True)
        with Status(asked) as status, closing(run_all(place, train_and_score, calls)) as looks:
            for states in looks:
                ended = [run for run in asked if run.name in states and run.state not in ("done", "failed")]
                for run in ended:
                    run.state, run.error = states[run.name]
                    if run.state == "done":
                        _take(run, finished)
                        comparison = _write(runs, finished, output)
                status.show()
    return comparison, {run.name: run.error for run in asked if run.state == "failed"}


def train_and_score(recipe: dict, folder: str) -> None:
    """One run from where it stands to its results.csv; what goes wrong is left in error.txt."""
    from gridless.runs.evaluation import evaluate_run
    from gridless.runs.train import train_run  # here: the process that only watches loads no torch

    run, trouble = Path(folder), Path(folder, "error.txt")
    run.mkdir(parents=True, exist_ok=True)
    try:
        with held(run, PATIENCE):
            trouble.unlink(missing_ok=True)
            if not (run / "results.csv").is_file():
                train_run(build(c.Recipe, recipe), run, quiet=True)
                evaluate_run(run, baselines=("bicubic",), pictures=False)
    except Exception:
        write_text(trouble, traceback.format_exc())
        raise


def step_seconds(arms: dict[str, dict]) -> dict[str, float]:
    """Seconds of a training step of every arm, measured in turns."""
    from gridless.runs.train import step_seconds as measured

    return measured({name: build(c.Recipe, arm) for name, arm in arms.items()})


def _plan(
    arms: dict[str, c.Recipe], order: Sequence[str], equal: str, seeds: int, output: Path, place: Processes | Cluster
) -> dict:
    """plan.json: what every arm is, the steps of every (budget, arm), and how many seeds; grown by what is asked.

    Steps are fixed when an arm comes in, so that a resumed sweep is the same sweep. Step times are measured once, in
    turns, and turned into steps.
    """
    kept = output / "plan.json"
    plan = load_json(kept) if kept.is_file() else {"equal": equal, "seeds": 0, "arms": {}, "plan": []}
    if plan["equal"] != equal:
        raise ConfigError(f"{output} holds a sweep at equal {plan['equal']}, not {equal}; give another folder with -o")
    for name, arm in arms.items():
        _check_same_questions(name, arm, arms[WHOLE])
        known = plan["arms"].get(name)
        other = known and difference(dump(build(c.Recipe, known)), dump(arm))
        if other:
            raise ConfigError(f"{output} holds {name} with another {other}; give another folder with -o, or remove it")
    new = [name for name in arms if name not in plan["arms"]]
    steps = {(budget, arm): count for budget, arm, count in plan["plan"]}
    steps |= _steps(arms, new, equal, steps.get(("steps", WHOLE)), place) if new else {}
    order = [*order, *(name for name in plan["arms"] if name not in order)]
    plan["arms"] |= {name: dump(arms[name]) for name in new}
    plan["plan"] = [
        [*key, steps[key]] for key in sorted(steps, key=lambda key: (order.index(key[1]), key[0] != "steps"))
    ]
    plan["seeds"] = max(seeds, plan["seeds"])
    write_json(kept, plan, indent=1)
    return plan


def _steps(
    arms: dict[str, c.Recipe], new: Sequence[str], equal: str, steps: int | None, place: Processes | Cluster
) -> dict[tuple[str, str], int]:
    """Steps of the new arms, by budget; `steps`: those of the whole model, if they are fixed already. An arm that says
    other steps than the whole model is about them, and keeps them at any budget."""
    train, seconds = arms[WHOLE].train, {}
    own = {name: arms[name].train.steps for name in new if arms[name].train.steps != train.steps}
    others = [name for name in new if name != WHOLE and name not in own]
    if (equal != "steps" and others) or not (steps or train.steps):
        print("measuring the time of a step", file=sys.stderr, flush=True)
        seconds = place.call(step_seconds, {name: dump(arms[name]) for name in (WHOLE, *others)})
    steps = steps or train.steps or max(10, int(train.seconds / seconds[WHOLE]))
    out = {("steps", name): own.get(name) or steps for name in new if name not in others or equal != "seconds"}
    if equal != "steps":
        out |= {("seconds", name): max(1, round(steps * seconds[WHOLE] / seconds[name])) for name in others}
    return out


def _check_same_questions(name: str, arm: c.Recipe, whole: c.Recipe) -> None:
    """Arms are compared picture by picture, so all of them are asked the same."""
    other = difference(_questions(whole), _questions(arm), "task")
    if other:
        raise ConfigError(f"arm {name} has another {other}; every arm is asked what {WHOLE} is, on the same pictures")


def _questions(arm: c.Recipe) -> dict:
    """What of a task decides the questions of its evaluation."""
    deciding = ("kind", "scales", "counts", "noises", "size", "fields", "placement")
    return {key: value for key, value in dump(arm.task).items() if key in deciding}


def _recipe(arm: c.Recipe, run: Standing) -> dict:
    """The arm as this run trains it."""
    return merge(dump(arm), {"train": {"steps": run.steps, "seconds": None, "seed": run.seed}})


def _take(run: Standing, finished: dict[str, Comparison]) -> None:
    """Reads what a run that is done has scored."""
    own = read_run(run.folder, run.arm, run.budget, run.seed)
    if finished and own.cases != next(iter(finished.values())).cases:
        run.state, run.error = "failed", "it answered other pictures or scales than the runs before it"
        return
    finished[run.name] = own
    run.score = float(own.values(own.runs[0]).mean())


def _write(runs: Sequence[Standing], finished: dict[str, Comparison], output: Path) -> Comparison:
    """sweep.json: the finished runs in the order of the plan, whichever ended first."""
    found = [finished[run.name] for run in runs if run.name in finished]
    if not found:
        return Comparison()
    comparison = Comparison(found[0].cases, found[0].bases, [one.runs[0] for one in found])
    write_comparison(comparison, output / "sweep.json")
    return comparison
