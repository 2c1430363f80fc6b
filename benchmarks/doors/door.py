"""A `Door` damages one of its valid files by a seed and says what is done with it: a command line, or a call."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gridless.cli import main


@dataclass(frozen=True)
class Case:
    """What was done to a file, and what is asked: a command line that writes `outputs`, or a call."""

    how: str
    argv: tuple[str, ...] = ()
    call: Callable[[], object] | None = None
    outputs: tuple[str, ...] = ()
    about: str = ""
    """Of a call, what is called."""

    def run(self) -> object:
        return main(list(self.argv)) if self.call is None else self.call()


@dataclass(frozen=True)
class Door:
    """`count`: of every 3,000 cases so many are this door's; `make`: a case of a random generator, in the present folder,
    which is empty and the case's own."""

    name: str
    count: int
    make: Callable[[random.Random], Case] = field(compare=False)


def given(name: str, data: bytes) -> str:
    Path(name).write_bytes(data)
    return name
