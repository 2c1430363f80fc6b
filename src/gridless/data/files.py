"""A file appears whole or not at all, and what a killed process left behind is cleared away by the next write."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed: no lock is needed
    fcntl = None

_PREFIX, _SUFFIX = ".gridless-", ".tmp"
YOUNG = 60  # seconds; a younger file may belong to a process that has made it and not locked it yet


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file to write bytes into, which takes the name `path` once it is complete and on the disk.

    It is written under another name in the same folder, so on the same disk, and locked while it is: whatever fails,
    an older file of that name is untouched and nothing stays behind. A process that is killed cannot clean up; the next
    write into the folder removes such files, known by being locked by nobody. Raises OSError, which names `path`.
    """
    path = Path(path)
    remove_abandoned(path.parent)
    temporary = path.parent / f"{_PREFIX}{secrets.token_hex(6)}{_SUFFIX}"
    try:
        with open(temporary, "xb") as file:
            with suppress(OSError):  # some network disks know no locks; what is left there is never removed
                _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a crash of the machine could leave the new name with an empty file
        os.replace(temporary, path)
    except BaseException as error:  # KeyboardInterrupt too must leave nothing behind
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise OSError(f"{str(path)!r} cannot be written ({error.strerror or error})") from error


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of `whole_file` in a folder whose writers are gone."""
    with suppress(OSError):
        for file in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > YOUNG:
                    with open(file, "r+b") as abandoned:
                        _lock(abandoned)  # raises where a living process holds it, on this machine or another
                    file.unlink()


def _lock(file: BinaryIO) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
