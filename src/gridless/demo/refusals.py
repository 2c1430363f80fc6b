"""What a visitor is told when something is refused: one line, no traceback, no path of the machine."""

import html
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import gradio as gr

LONGEST = 400  # characters


def refusing(answer: Callable[..., Any]) -> Callable[..., Any]:
    """An event's function whose errors become a line on the page."""

    @wraps(answer)
    def asked(*inputs: Any) -> Any:
        try:
            return answer(*inputs)
        except (ValueError, OSError, ImportError, MemoryError) as error:
            raise gr.Error(line_of(error), duration=20, print_exception=False) from None

    return asked


def receiving(answer: Callable[..., Any], count: int) -> Callable[..., Any]:
    """As `refusing`, for a file that was dropped: `answer` fills `count` parts of the page, and the place of the file, the
    one after them, is emptied first, so that another can be dropped whatever becomes of this one."""
    ask = refusing(answer)

    @wraps(answer)
    def received(*inputs: Any) -> Iterator[Any]:
        yield *[gr.skip()] * count, None
        yield *ask(*inputs), gr.skip()

    return received


def line_of(message: object) -> str:
    """The message on one line, safe inside of a page, files by their names alone."""
    text = " ".join(str(message).split()) or type(message).__name__
    text = re.sub(re.escape(tempfile.gettempdir()) + r"/[^\s'\"]*/", "", text)
    return html.escape(text if len(text) <= LONGEST else f"{text[:LONGEST]} …", quote=False)
