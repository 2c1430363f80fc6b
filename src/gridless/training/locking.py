"""One writer to a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gridless.config.errors import ConfigError


@contextmanager
def held(folder: str | Path, patience: float = 0.0) -> Iterator[None]:
    """Holds `folder` against other processes; the operating system lets go of it, however this one ends.

    Waits up to `patience` seconds for another process, then raises ConfigError. What holds it already may hold it again.
    Of several processes that train one model (torchrun) the first holds it for all.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    lock = FileLock(Path(folder, ".lock"), is_singleton=True)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise ConfigError(
            f"another process writes into {folder}; wait for it, or give another folder with -o"
        ) from None
    try:
        yield
    finally:
        lock.release()
