"""The selective scan as a plain loop: slow, exact, on any device and in any floating dtype.

Source: Gu and Dao 2023, "Mamba", arXiv 2312.00752, eq. 2 (the recurrence) with eq. 4 (zero-order hold) for A and the
simplified Euler step dt * B for B, as the authors' own implementation has it.  Softplus, gate and D-skip are outside.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def selective_scan_reference(
    x: Float[Tensor, "batch length width"],
    dt: Float[Tensor, "batch length width"],
    A: Float[Tensor, "width state"],
    B: Float[Tensor, "batch length state"],
    C: Float[Tensor, "batch length state"],
    reverse: bool = False,
) -> Float[Tensor, "batch length width"]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t and y_t = <C_t, h_t>, from h = 0; `reverse` runs t from the end.

    The result has the dtype that the arguments promote to.  All of it is differentiable.
    """
    # unbind once: indexing x[:, t] in the loop would make every step's backward allocate a whole x, quadratic in length
    steps = list(zip(x.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True))
    h = x.new_zeros(x.shape[0], *A.shape)
    ys = []
    for x_t, dt_t, B_t, C_t in reversed(steps) if reverse else steps:
        h = torch.exp(dt_t[..., None] * A) * h + (dt_t * x_t)[..., None] * B_t[:, None]
        ys.append((h * C_t[:, None]).sum(-1))
    return torch.stack(ys[::-1] if reverse else ys, dim=1)
