"""The selective scan as a PyTorch operator: one schema, its gradient, fake kernel and FLOP formula for every device.

The work is done by `cpu.py` or `gpu.py`, imported at the first call on such a device. Gradients are not differentiable.
"""

import math
from types import ModuleType

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula


def implementation(device: torch.device) -> ModuleType:
    """The module whose `forward`, `backward` and `states_shape` serve this device."""
    if device.type == "cpu":
        from . import cpu

        return cpu
    from . import gpu

    return gpu


@torch.library.custom_op("gridless::selective_scan", mutates_args=())
def scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, reverse: bool, keep: bool) -> tuple[Tensor, Tensor]:
    """y (batch, length, width) in float32 and, if `keep`, the states that the backward starts from."""
    return implementation(x.device).forward(x, dt, A, B, C, reverse, keep)


@scan.register_fake
def _(x, dt, A, B, C, reverse, keep):
    batch, length, width = x.shape
    shape = implementation(x.device).states_shape(batch, length if keep else 0, width, A.shape[1])
    return x.new_empty(x.shape, dtype=torch.float32), x.new_empty(shape, dtype=torch.float32)


@torch.library.custom_op("gridless::selective_scan_backward", mutates_args=())
def scan_backward(
    dy: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, states: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, dt, A, B and C, in float32."""
    if states.numel() == 0:
        raise ValueError("gridless::selective_scan was called with keep=False: it has no backward then")
    return implementation(x.device).backward(dy, x, dt, A, B, C, states, reverse)


@scan_backward.register_fake
def _(dy, x, dt, A, B, C, states, reverse):
    return tuple(v.new_empty(v.shape, dtype=torch.float32) for v in (x, dt, A, B, C))


def _save(ctx, inputs, output) -> None:
    x, dt, A, B, C, ctx.reverse, _ = inputs
    ctx.save_for_backward(x, dt, A, B, C, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # else a zero gradient as large as the states


def _gradients(ctx, dy, _):
    *inputs, states = ctx.saved_tensors
    gradients = scan_backward(dy, *inputs, states, ctx.reverse)
    return *(g.to(v.dtype) for g, v in zip(gradients, inputs, strict=True)), None, None


scan.register_autograd(_gradients, setup_context=_save)

_ops = torch.ops.gridless
# FLOPs per (batch, step, channel, state): the power of two counts as 10 (5 multiply-adds), a multiply-add as 2.
# Forward 16: dt A (1), exp2 (10), h = a h + u B (3), y += C h (2).
# Backward 28: a and h again (14), g += C dy (2), dB (2), dC (2), du (2), g a (1), s (1), dz (2), dA (2).
register_flop_formula(_ops.selective_scan)(lambda x, dt, A, *_, out_shape: 16 * math.prod(x) * A[1])
register_flop_formula(_ops.selective_scan_backward)(lambda dy, x, dt, A, *_, out_shape: 28 * math.prod(x) * A[1])


def selective_scan_fused(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, reverse: bool = False) -> Tensor:
    """As `selective_scan_reference`, computed in float32; the result has the dtype of x."""
    keep = torch.is_grad_enabled() and any(v.requires_grad for v in (x, dt, A, B, C))
    return scan(x, dt, A, B, C, reverse, keep)[0].to(x.dtype)
