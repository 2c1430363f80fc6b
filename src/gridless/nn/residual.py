"""How a residual branch starts, so that depth does not decide whether a network trains.

Without normalisation along the stream (the stem) a branch starts at zero: the network starts as its first layer, whatever
its depth (Goyal et al. 2017, arXiv 1706.02677, section 5.1; Zhang et al. 2019, arXiv 1901.09321). Pre-norm blocks scale
the last layer of each branch by the root of their number (Radford et al. 2019, section 2.3).
"""

from collections.abc import Iterable
from math import sqrt
from typing import Protocol

import torch
from torch import nn


class Branching(Protocol):
    """A block of residual branches."""

    def branch_ends(self) -> tuple[nn.Linear, ...]:
        """The last layers of its branches."""
        ...


@torch.no_grad()
def start_at_zero(layer: nn.Module) -> None:
    """The branch that ends in this layer adds nothing at first."""
    for parameter in layer.parameters():
        parameter.zero_()


@torch.no_grad()
def scale_branches(blocks: Iterable[Branching], times: int = 1) -> None:
    """Shrinks the last layers of the branches of pre-norm blocks (`branch_ends()`), so that the stream's variance does
    not grow with the number of blocks, each of which stands in it so many `times`."""
    ends = [end for block in blocks for end in block.branch_ends()]
    for end in ends:
        for parameter in end.parameters():  # the bias too: of many branches the biases alone would grow
            parameter.div_(sqrt(times * len(ends)))
