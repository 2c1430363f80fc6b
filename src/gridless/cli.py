"""gridless train | eval | report | predict | sweep. Other flags are config paths: --model.encoder.depth 2.

Errors are one line and exit code 2; --debug shows the traceback.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

# Before torch is imported. Idle OpenMP threads that spin for long slow every other thread of the machine many times;
# threads that never spin pay a wake-up at each of a small model's thousands of operations a step. So: spin briefly.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from cyclopts import App, Parameter

app = App(
    name="gridless", help="Continuous fields from samples: measure anywhere, ask anywhere.", version_flags=["--version"]
)
Flags = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]
Output = Annotated[Path, Parameter(name=["-o", "--output"])]


@app.command
def train(
    recipe: str,
    *flags: Flags,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    data: Path | None = None,
    preset: str | None = None,
    size: str | None = None,
) -> None:
    """Train a recipe into a run folder. An interrupted run goes on when the same command is given again.

    Parameters
    ----------
    recipe: a recipe that ships (photos), or the path of a .toml file
    flags: config paths, e.g. --model.encoder.depth 2 --train.steps 500
    output: the run folder; runs/RECIPE if not given
    data: a folder of pictures (with train, val and test inside, or flat)
    preset: another system than the recipe's: mamba-ginr, hybrid
    size: tiny, small or base
    """
    from gridless.runs import train_run

    parsed = _recipe(recipe, flags, data, preset, size)[0]
    output = output or Path("runs", Path(recipe).stem)
    facts = train_run(parsed, output)
    print(f"{output}: {facts['params']:,} parameters, {facts['steps']} steps in {facts['train_seconds']:.0f} s")


@app.command(name="eval")
def evaluate(
    run: Path,
    *,
    scales: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    data: Path | None = None,
    split: str = "test",
) -> None:
    """Answer held-out pictures beside the classical baselines: RUN/results.csv and RUN/predictions/.

    Parameters
    ----------
    run: a folder written by `gridless train`
    scales: ask at these instead of the recipe's
    data: a folder of pictures instead of the recipe's data
    split: test, or val while tuning
    """
    from gridless.config import Data
    from gridless.results import plain_table
    from gridless.runs import evaluate_run

    rows = evaluate_run(run, scales, split, Data(kind="folder", path=str(data)) if data else None)
    print(plain_table(rows, "psnr_rgb" if any(r["metric"] == "psnr_rgb" for r in rows) else rows[0]["metric"]))
    print(f"{Path(run, 'results.csv')}: {len(rows)} rows")


@app.command
def report(*runs: Path, output: Output) -> None:
    """One self-contained page about one or more runs: report.html, report.md, results.csv.

    Parameters
    ----------
    runs: folders with results (gridless eval)
    output: where the page goes; may be a run folder
    """
    from gridless.reporting import report as write

    print(write(runs, output) / "report.html")


@app.command
def predict(run: str, picture: Path, *, scale: float = 4.0, output: Output) -> None:
    """Answer a picture at any scale. Grey stays grey; alpha and 16 bits are kept (in PNG).

    Parameters
    ----------
    run: a run folder, a model that ships, or a Hub repository
    picture: PNG, JPEG, WebP, BMP or TIFF
    scale: of width and height; need not be whole
    output: the new file; its suffix says the format
    """
    from gridless.model import FieldModel
    from gridless.predict import predict_file

    height, width = predict_file(FieldModel.from_pretrained(run), picture, output, scale)
    print(f"{output}: {width} × {height}")


@app.command
def sweep(
    recipe: str,
    *flags: Flags,
    seeds: int = 3,
    equal: str = "steps",
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    arms: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    data: Path | None = None,
) -> None:
    """Every arm of the recipe's [ablate] table, and the whole model, with several seeds. Goes on after a kill.

    Parameters
    ----------
    recipe: a recipe that ships, or the path of a .toml file
    flags: config paths, for every arm
    seeds: how many
    equal: steps, seconds (arms that step faster take more steps) or both
    output: where runs and the table go; runs/RECIPE-sweep if not given
    arms: only these
    data: a folder of pictures
    """
    from gridless.sweep import sweep as run

    output = output or Path("runs", f"{Path(recipe).stem}-sweep")
    print(run(*_recipe(recipe, flags, data), seeds=seeds, equal=equal, output=output, only=arms))


def _recipe(name: str, flags: tuple[str, ...], data: Path | None, preset: str | None = None, size: str | None = None):
    from gridless.merging import merge, parse_flags, recipe, recipe_table

    short = {k: v for k, v in (("preset", preset), ("size", size)) if v is not None}
    if data is not None:
        short["data"] = {"kind": "folder", "path": str(data)}
    return recipe(recipe_table(name), merge(parse_flags(list(flags)), short))


def main(argv: list[str] | None = None) -> None:
    """The command line: one line and exit code 2 for what the user can mend."""
    argv = sys.argv[1:] if argv is None else argv
    debug = "--debug" in argv
    try:
        app([a for a in argv if a != "--debug"])
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        if debug:
            raise
        print(f"gridless: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
