"""What a header announces, against the memory there is: a file of a hundred bytes may announce terabytes."""

import torch

from gridless.nn.memory import free_memory

COPIES = 8  # of values on their way from a file to samples; measured of a film: 52 bytes for a value


def check_room(values: int, name: str, itemsize: int = 8) -> None:
    """Raises ValueError where so many values of so many bytes each, and their copies, are more than there is memory for."""
    needed, free = COPIES * itemsize * values, free_memory(torch.device("cpu"))
    if needed > free:
        raise ValueError(
            f"{name} takes about {needed / 2**30:,.1f} GiB of memory, {free / 2**30:.1f} are free; take a part of it"
        )
