"""Warnings as a visitor of the command line sees them."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Inside, every warning is a line of ours on standard error, once, without the place in the code that it comes from."""
    shown: set[str] = set()

    def show(message: Warning | str, *about: object) -> None:
        line = " ".join(str(message).split())
        if line not in shown:
            shown.add(line)
            print(f"gridless: {line}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
