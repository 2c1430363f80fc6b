"""How many points a network answers at once, and how much memory there is. The answers do not depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import psutil
import torch

resource: ModuleType | None = None
with suppress(ImportError):  # not on Windows
    import resource

POINT_BYTES = 1 << 16  # what a point needs on its way through the largest model that ships (36 KiB measured), with room
SHARE = 4  # at most a quarter of what is free
FEWEST = 1 << 7
# On a CPU larger blocks leave the cache and are slower (`benchmarks/blocks.py`), so that memory only ever lowers them;
# on a GPU the limit is a guess.
MOST = {"cpu": 1 << 12, "cuda": 1 << 16}


def points_at_once(device: torch.device) -> int:
    """A power of two between FEWEST and MOST of the device that its free memory holds well."""
    wanted = free_memory(device) // SHARE // POINT_BYTES
    return min(MOST.get(device.type, MOST["cpu"]), max(FEWEST, 1 << max(0, wanted.bit_length() - 1)))


def free_memory(device: torch.device) -> int:
    """Bytes that can be had without swapping, by the machine, by the container and by the limit of the process (ulimit -v);
    on a GPU with what torch keeps to give out again."""
    if device.type != "cuda":
        limits = (psutil.virtual_memory().available, container_memory(), process_memory())
        return min(limit for limit in limits if limit is not None)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def process_memory() -> int | None:
    """Bytes of addresses that this process may still take, None without a limit."""
    if resource is None:
        return None
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if most == resource.RLIM_INFINITY else max(0, most - psutil.Process().memory_info().vms)


def container_memory(root: Path = Path("/")) -> int | None:
    """Bytes that the control groups of this process still allow (Linux, version 1 or 2), None without a limit.

    Every group up to the top may have a limit, and the tightest counts. What the kernel would give back at once, file
    pages not used lately, does not count as used. `root`: where /proc and /sys are.
    """
    free = [room for group, names in _groups(root) if (room := _room(group, *names)) is not None]
    return min(free, default=None)


_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The process's control groups, innermost first, with the names of their files and of a line in memory.stat."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top, names = root / "sys/fs/cgroup" / controllers, _V1 if controllers else _V2
            group = top / path.strip("/")
            yield top, names  # inside a container the path may be the host's, and the top the container's own
            while group != top:
                yield group, names
                group = group.parent


def _room(group: Path, limit: str, usage: str, cache: str) -> int | None:
    with suppress(OSError, ValueError):  # no such file, or "max"
        most, used = (int((group / name).read_text(encoding="utf-8")) for name in (limit, usage))
        stat = (group / "memory.stat").read_text(encoding="utf-8").splitlines()
        given_back = next((int(line.split()[1]) for line in stat if line.startswith(f"{cache} ")), 0)
        return max(0, most - used + given_back)
    return None
