"""What is wrong with a config, in one sentence for each wrong path."""

import difflib
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ValidationError
from pydantic_core import ArgsKwargs, ErrorDetails


class ConfigError(ValueError):
    """A configuration that cannot be built; the message names the path, what came and what was expected."""


def config_error(kind: type, error: ValidationError, path: str = "") -> ConfigError:
    """Every complaint of pydantic about a `kind` that stands at `path` of what the user wrote."""
    errors = error.errors()
    deeper = [e for e in errors if e["type"] != "dataclass_type"]  # of a union the member that was meant, if any was
    return ConfigError("; ".join(_sentence(kind, e, path) for e in deeper or errors))


def _sentence(kind: type, error: ErrorDetails, prefix: str) -> str:
    """One readable sentence for one pydantic error, with the path as the user would write it."""
    steps = [str(step) for step in error["loc"] if "[" not in str(step)]  # no names of pydantic's validators
    keys = paths(kind)
    last = len(steps) - 1
    steps = [s for i, s in enumerate(steps) if i == last or not _is_tag(s, ".".join(steps[:i]), keys)]
    path = ".".join([prefix, *steps] if prefix else steps)
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        if ".".join(steps) in keys:
            return f"unknown key {path!r}: this kind of {steps[-2] if last else 'part'} has no {steps[-1]}, another has"
        near = difflib.get_close_matches(".".join(steps), keys, 1, 0.5)
        return f"unknown key {path!r}" + (
            f"; did you mean {'.'.join(filter(None, [prefix, near[0]]))!r}?" if near else ""
        )
    message = error["msg"].removeprefix("Value error, ")  # ours; pydantic's own begin with a capital
    message = message if message != error["msg"] else message[0].lower() + message[1:]
    came = "" if isinstance(error["input"], ArgsKwargs) else f", got {error['input']!r}"
    return f"{path or kind.__name__}: {message}{came}"


def _is_tag(step: str, before: str, keys: list[str]) -> bool:
    """Pydantic puts a union's tag ('lainr') and a class name into the path; users did not write those."""
    return f"{before}.{step}".strip(".") not in keys and any(k.startswith(f"{before}.") for k in keys)


def paths(kind: type, prefix: str = "") -> list[str]:
    """Every path a user may write below `kind`."""
    out = []
    hints = get_type_hints(kind)
    for field in fields(kind):
        path = f"{prefix}{field.name}"
        out.append(path)
        for part in parts(hints[field.name]):
            out += paths(part, f"{path}.")
    return list(dict.fromkeys(out))


def parts(hint: Any) -> list[type]:
    """The config classes that a type hint allows."""
    if isinstance(hint, type) and is_dataclass(hint):
        return [hint]
    return [c for arg in get_args(hint) if get_origin(hint) is not Literal for c in parts(arg)]
