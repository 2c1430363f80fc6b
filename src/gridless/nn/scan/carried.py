"""The selective scan of a sequence that goes on: from the state that earlier steps left to the one that is left now.

The recurrence h_t = exp(dt_t A) h_{t−1} + dt_t x_t B_t is linear in h, so a block of steps is the scan from zero, by
whatever kernel the device has, and what the state before it still says:
    y_t = scan(x, dt, A, B, C)_t + <C_t, exp(A Σ_{s≤t} dt_s) h>
    h' = exp(A Σ_s dt_s) h + Σ_t exp(A Σ_{s>t} dt_s) dt_t x_t B_t
Sums of dt run within a block and from its end, so that no large sums are subtracted: A dt ≤ 0 only ever forgets.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .choice import selective_scan

BLOCK = 64  # steps whose (steps, width, state) decays are in memory at once


def carried_scan(
    h: Float[Tensor, "batch width state"],
    x: Float[Tensor, "batch length width"],
    dt: Float[Tensor, "batch length width"],
    A: Float[Tensor, "width state"],
    B: Float[Tensor, "batch length state"],
    C: Float[Tensor, "batch length state"],
) -> tuple[Float[Tensor, "batch length width"], Float[Tensor, "batch width state"]]:
    """`selective_scan` from the state `h` instead of zero, and the state after it. A step with dt = 0 is padding; it leaves
    the state alone. Any device and floating dtype; differentiable where `selective_scan` is."""
    if x.shape[1] == 1:
        h = (dt[:, 0, :, None] * A).exp() * h + (dt * x)[:, 0, :, None] * B
        return (h * C).sum(-1)[:, None].to(x.dtype), h
    parts = []
    for start in range(0, x.shape[1], BLOCK):
        some = (slice(None), slice(start, start + BLOCK))
        y, h = _block(h, x[some], dt[some], A, B[some], C[some])
        parts.append(y)
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1), h


def _block(h: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    later = F.pad(dt[:, 1:], (0, 0, 0, 1)).flip(1).cumsum(1).flip(1)
    kept = (dt.cumsum(1)[..., None] * A).exp() * h[:, None]
    y = selective_scan(x, dt, A, B, C) + (kept @ C.to(kept.dtype)[..., None]).squeeze(-1).to(x.dtype)
    added = ((later[..., None] * A).exp() * (dt * x)[..., None] * B[:, :, None]).sum(1)
    return y, kept[:, -1] + added
