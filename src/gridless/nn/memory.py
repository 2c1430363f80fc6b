"""How many points a network answers at once. The answers do not depend on it."""

import psutil
import torch

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
    """Bytes that can be had without swapping; on a GPU with what torch keeps to give out again."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept
