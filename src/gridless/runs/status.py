"""Many runs at once: a live table on a terminal, one plain line per change elsewhere."""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL = 4096  # bytes of metrics.jsonl that hold its last lines


@dataclass
class Standing:
    """A run as it stands. `state`: queued, running, done or failed; `score` of a finished one, `error` of a failed one."""

    arm: str
    budget: str
    seed: int
    steps: int
    folder: Path
    state: str = "queued"
    score: float | None = None
    error: str = ""

    @property
    def name(self) -> str:
        return self.folder.name


class Status:
    """Shows the runs in their order; those that fit, where the terminal is too small for all."""

    def __init__(self, standings: Sequence[Standing]):
        self.standings, self.live = standings, None
        self.said = {run.name: run.state for run in standings}

    def __enter__(self) -> "Status":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), auto_refresh=False, transient=False)
            self.live.start()
        self.show()
        return self

    def __exit__(self, *error) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self) -> None:
        if self.live is not None:
            self.live.update(self._table(self.live.console.height - 8), refresh=True)
            return
        for run in self.standings:
            if self.said[run.name] != run.state:
                self.said[run.name] = run.state
                print(f"{run.name}: {run.state}{_ending(run)}", file=sys.stderr, flush=True)

    def _table(self, height: int):
        from rich.console import Group
        from rich.markup import escape
        from rich.table import Table
        from rich.text import Text

        best = max((run.score for run in self.standings if run.score is not None), default=None)
        counts = Counter(run.state for run in self.standings)
        title = ", ".join(f"{counts[state]} {state}" for state in STYLES)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("arm", "equal", "seed", "state", "step", "seconds left", "score"):
            table.add_column(name, justify="left" if name in ("arm", "equal", "state") else "right", no_wrap=True)
        shown = {id(run) for run in sorted(self.standings, key=_interest)[: max(1, height)]}
        for run in (run for run in self.standings if id(run) in shown):
            step, left = progress(run.folder, run.steps) if run.state == "running" else (0, None)
            score = "" if run.score is None else f"{run.score:.2f}" + (" best" if run.score == best else "")
            table.add_row(
                escape(run.arm),
                run.budget,
                str(run.seed),
                f"[{STYLES[run.state]}]{run.state}",
                f"{run.steps if run.state == 'done' else step}/{run.steps}",
                "" if left is None else f"{left:.0f}",
                score,
            )
        hidden = len(self.standings) - len(shown)
        notes = [f"{run.name}: {run.error}" for run in self.standings if run.error]
        more = [f"and {hidden} more"] if hidden else []
        return Group(
            Text(title, style="bold"),
            table,
            *(Text(line, no_wrap=True, overflow="ellipsis") for line in [*more, *notes[-3:]]),
        )


STYLES = {"queued": "dim", "running": "cyan", "done": "green", "failed": "red"}


def _interest(run: Standing) -> tuple:
    """What a full screen shows first: what runs or failed, then the best, then the rest in order."""
    return ("running", "failed", "done", "queued").index(run.state), -(run.score or 0)


def _ending(run: Standing) -> str:
    if run.state == "done":
        return "" if run.score is None else f", {run.score:.2f}"
    return f", {run.error}" if run.error else ""


def progress(folder: Path, steps: int) -> tuple[int, float | None]:
    """The step that a run's metrics.jsonl has come to, and the seconds that the rest takes at its speed."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return 0, None
    for line in reversed(lines):
        try:
            record = json.loads(line)
            return record["step"], record["seconds"] / record["step"] * (steps - record["step"])
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # a line being written, or a validation
    return 0, None
