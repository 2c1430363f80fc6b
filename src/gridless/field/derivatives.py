"""Derivatives of answers by where they are asked."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def derivatives(
    answer: Callable[[Tensor], Tensor], coords: Float[Tensor, "B Q d"], create_graph: bool
) -> Float[Tensor, "B Q C d"]:
    """Of every channel along every axis, by automatic differentiation; each answer may depend on its own place alone."""
    with torch.inference_mode(False), torch.enable_grad():
        if not (create_graph and coords.requires_grad):
            coords = coords.detach().clone().requires_grad_(True)
        values = answer(coords)
        if not values.requires_grad:  # a constant, or the nearest sample
            return values.new_zeros(*values.shape, coords.shape[-1])
        columns = [
            torch.autograd.grad(
                values[..., c].sum(), coords, retain_graph=True, create_graph=create_graph, materialize_grads=True
            )[0]
            for c in range(values.shape[-1])
        ]
    return torch.stack(columns, -2)
