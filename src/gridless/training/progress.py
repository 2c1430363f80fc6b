"""One bar on a terminal, plain lines elsewhere."""

import sys
import time


def announce(text: str, quiet: bool) -> None:
    """A line that stays."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


class Progress:
    """Shows a training loop: step, loss, samples per second, time left."""

    def __init__(self, start: int, quiet: bool):
        self.start, self.quiet = start, quiet
        self.bar, self.began, self.said = None, time.monotonic(), 0.0

    def __enter__(self) -> "Progress":
        if self.quiet or not sys.stderr.isatty():
            return self
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = ("train", BarColumn(), "{task.completed}/{task.total}", TextColumn("{task.fields[facts]}"))
        self.bar = Bar(*columns, TimeElapsedColumn(), "left", TimeRemainingColumn(), console=Console(stderr=True))
        self.task = self.bar.add_task("train", total=None, completed=self.start, facts="")
        self.bar.start()
        return self

    def __exit__(self, *error) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, step: int, total: int, record: dict) -> None:
        """`total`: the last step, as it is planned now."""
        facts = f"loss {record['loss']:.5f}  {record['samples_per_second']:.0f} samples/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, total=total, facts=facts)
        elif not self.quiet and (time.monotonic() - self.said > 15 or step == total):
            self.said = time.monotonic()
            per_step = (self.said - self.began) / max(1, step - self.start)
            left = f"{(total - step) * per_step:.0f} s left"
            print(f"step {step}/{total}  {facts}  {left}", file=sys.stderr, flush=True)

    def note(self, record: dict) -> None:
        """A line that stays: a validation."""
        text = "  ".join(f"{k} {v}" for k, v in record.items())
        if self.bar is not None:
            self.bar.console.print(text)
        else:
            announce(text, self.quiet)
