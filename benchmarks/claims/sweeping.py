"""The runs of a table of claims, one after the other in this process, so that none pays for starting one.

    python -m benchmarks.claims.sweeping encoder --data CIFAR10 -o runs/claims        and the others

A table's arms are those that rules.toml names; seeds are the outer loop, what is finished is not repeated, and the same
command goes on after a kill. One thread. Run it from a checkout that no commit moves: a table is of one commit.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims.rules import RECIPES, arms_of, planned_seeds
from gridless.config.merging import merge, recipe, recipe_table
from gridless.runs.sweep import sweep
from gridless.runs.threads import compute_with


class Here:
    """A place for the runs of a sweep: this process (runs/pool.py has the others)."""

    workers, threads = 1, 1

    def __str__(self) -> str:
        return "one at a time, in this process"

    def call(self, function: Callable, *arguments: Any) -> Any:
        return function(*arguments)

    def stop(self) -> None:
        """A run that has begun ends by itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=[name for name in RECIPES if arms_of(name) or name == "rates"])
    parser.add_argument("--data", help="the folder of the recipe's data")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/claims"))
    parser.add_argument("--seeds", type=int, help="fewer than are planned; more of them later")
    args = parser.parse_args(arguments)
    path = Path(__file__).with_name("recipes") / f"{RECIPES[args.table]}.toml"
    flags = {} if args.data is None else {"data": {"path": args.data}}
    whole, ablate = recipe(merge(recipe_table(path), flags), {})
    arms = [arm for arm in arms_of(args.table) if arm in ablate] or [arm for arm in ablate if "rate" in arm]
    compute_with(Here.threads)
    seeds = args.seeds or planned_seeds(args.table)
    _, failed = sweep(whole, ablate, place=Here(), seeds=seeds, equal="steps", output=args.output, only=arms)
    if failed:
        sys.exit("; ".join(f"{name}: {error}" for name, error in failed.items()))


if __name__ == "__main__":
    main()
