"""A network's twin for answering: the same weights in the same memory, without gradients and never in training."""

from copy import deepcopy
from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def frozen(network: Network) -> Network:
    """A copy whose parameters and buffers are the network's own, detached: what trains these is seen there."""
    shared: dict[int, object] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    shared |= {id(b): b.detach() for b in network.buffers()}
    return deepcopy(network, shared).eval()


def same_memory(first: nn.Module, second: nn.Module) -> bool:
    """Whether both have the same weights in the same place."""
    pairs = zip([*first.parameters(), *first.buffers()], [*second.parameters(), *second.buffers()], strict=True)
    return all(a.data_ptr() == b.data_ptr() and a.dtype == b.dtype for a, b in pairs)
