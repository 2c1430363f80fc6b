"""What a terminal sees of a command beside its answer: errors and warnings, each of them one line."""

import sys
import warnings
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from cyclopts import App, CycloptsError


def run_in_terminal(app: App, argv: Sequence[str]) -> None:
    """Whatever goes wrong is one line and exit code 2, and a warning is a line too; `--debug` shows the traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without × or ü shows ? for it; the work is done
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _as_lines()
            app(
                [a for a in argv if a != "--debug"],
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if "--debug" in argv:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError):
            text = f"there is too little memory ({text}); take a part of the input, or ask for less"
        expected = isinstance(error, (ValueError, OSError, ImportError, MemoryError, FloatingPointError, CycloptsError))
        hint = "" if expected else f" ({type(error).__name__}; --debug shows where)"
        print(f"gridless: {text}{hint}", file=sys.stderr)
        raise SystemExit(2) from None


def _as_lines() -> Callable[..., None]:
    """What shows a warning as a line of ours, once, without the place in the code that it comes from."""
    shown: set[str] = set()

    def show(message: Warning | str, *about: object) -> None:
        line = " ".join(str(message).split())
        if line not in shown:
            shown.add(line)
            print(f"gridless: {line}", file=sys.stderr)

    return show
