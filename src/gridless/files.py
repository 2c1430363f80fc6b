"""Files that appear whole or not at all.

What is written lies under a temporary name in the same folder, is forced to the disk, and then takes its name. The
temporary name carries the process that writes, so that what a killed process left behind is known and removed by the next
one that writes there. Text is UTF-8 on every machine; files have the mode that `open` gives them.
"""

import json
import math
import os
import platform
import re
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psutil

HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # a folder may be shared by machines, each with its own processes
TEMPORARY = re.compile(r"\.gridless-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp")


def write_bytes(path: str | Path, data: bytes) -> None:
    """The file holds `data`, or what it held before. OSError names the file."""
    with replacing(path) as part:
        part.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """As `write_bytes`, in UTF-8; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any, indent: int | None = 2) -> None:
    """As `write_bytes`, with `finite` numbers."""
    write_text(path, json_line(value, indent) + "\n")


def append_json(path: str | Path, value: Any) -> None:
    """One more line of a .jsonl file, with `finite` numbers."""
    with _named(path), open(path, "a", encoding="utf-8") as file:
        file.write(json_line(value) + "\n")


def read_json(path: str | Path) -> Any:
    """What a JSON file holds. ValueError names a file that holds none, OSError one that cannot be read."""
    try:
        return parse_json(Path(path).read_bytes().decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON ({error}); restore or remove the file") from None


def parse_json(text: str) -> Any:
    """What a JSON text says. ValueError where it says nothing, whatever is wrong with it."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_line(value: Any, indent: int | None = None) -> str:
    return json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """`value` with None for numbers that are infinite or none at all, for which JSON has no word."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write one file to, which takes the name `path` when the block ends well and is gone when it does not."""
    path = Path(path)
    with _aside(path, lambda part: part.touch(exist_ok=False)) as part:
        mode = part.stat().st_mode  # of a new file here; some writers (safetensors) make theirs unreadable to others
        yield part
        part.chmod(mode)
        to_disk(part)
        os.replace(part, path)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """As `replacing`, for a folder and all in it; a folder that stands at `path` goes."""
    path = Path(path)
    with _aside(path, Path.mkdir) as part:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                to_disk(file)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(part, path)


def remove_leftovers(folder: str | Path) -> None:
    """Removes the temporary files and folders in `folder` whose process on this machine is no more."""
    for entry in os.scandir(folder):
        match = TEMPORARY.fullmatch(entry.name)
        if match and match[1] == HOST and not psutil.pid_exists(int(match[2])):
            _remove(Path(entry.path))


@contextmanager
def _aside(path: Path, make: Callable[[Path], Any]) -> Iterator[Path]:
    """The temporary name beside `path`, and nothing of it whatever goes wrong."""
    part = path.parent / f".gridless-{HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    with _named(path):
        _remove_leftovers_once(path.parent.resolve())
        try:
            make(part)
            yield part
        except BaseException:  # also of Ctrl-C nothing stays
            _remove(part)
            raise


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """An OSError (a full disk, no permission) says which file could not be written."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}; nothing was written"
        raise type(error)(error.errno, reason, str(path)) from error


@cache
def _remove_leftovers_once(folder: Path) -> None:
    remove_leftovers(folder)


def to_disk(file: Path) -> None:
    """What was written to the file survives a loss of power."""
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
