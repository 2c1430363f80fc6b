"""A network's twin for answering: the same weights in the same memory, without gradients and never in training."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def frozen(network: Network) -> Network:
    """A copy whose parameters and buffers are the network's own, detached: what trains these is seen there."""
    shared: dict[int, object] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    shared |= {id(b): b.detach() for b in network.buffers()}
    return deepcopy(network, shared).eval()


def frozen_copy(network: Network, device: torch.device | str | None = None) -> Network:
    """`frozen`, made once as long as the weights stay where they are; on another `device`, a copy of them."""
    copy = network.__dict__.get("_frozen")
    if device is None and copy is not None and same_memory(copy, network):
        return copy
    copy = frozen(network)
    if device is not None:
        return deepcopy(copy).to(device)
    network.__dict__["_frozen"] = copy
    return copy


@contextmanager
def outside_inference() -> Iterator[None]:
    """What is made inside is of use outside of `torch.inference_mode` too, where the caller may be; else nothing changes
    (a plain `inference_mode(False)` would switch gradients on)."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


def same_memory(first: nn.Module, second: nn.Module) -> bool:
    """Whether both have the same weights in the same place."""
    pairs = zip([*first.parameters(), *first.buffers()], [*second.parameters(), *second.buffers()], strict=True)
    return all(a.data_ptr() == b.data_ptr() and a.dtype == b.dtype for a, b in pairs)
