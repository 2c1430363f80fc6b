"""All of Mamba between its two projections as one PyTorch operator on the CPU, both directions in one call.

x, z = xz;  x = SiLU(convolution x)  (`convolution.py`);  low, B, C = x_proj x;  dt = softplus(dt_proj low + dt_bias);
y = (scan(x, dt, A, B, C) + D x) · SiLU(z)  (`cpu.py`).  As `mamba_inner_fn` in the authors' code: what lies between is
never written in float32, and the gradient of xz is written once. Gradients are not differentiable.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from . import cpu
from .convolution import convolve, convolve_backward


@torch.library.custom_op("gridless::mamba_mixer", mutates_args=())
def mixer(
    xz: Tensor,
    mask: Tensor | None,
    conv_weight: Tensor,
    conv_bias: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """y (B, L, K D) and what the backward starts from: x, dt, the projected low, B, C, and the states if `keep`."""
    real = _real(mask, A)
    x = convolve(xz, conv_weight, conv_bias, real)
    ways, rank = len(x), dt_proj.shape[2]
    flat = x.view(ways, -1, x.shape[-1])
    projected = torch.bmm(flat, x_proj.to(x.dtype).transpose(1, 2))
    dt = torch.bmm(projected[..., :rank], dt_proj.to(x.dtype).transpose(1, 2)).view_as(x)
    around = (dt_bias, real, D, xz)
    y, states = cpu.scan_forward(x, dt, A, _input_output(projected, rank, x), False, keep, around)
    return y, x, dt, projected, states


@mixer.register_fake
def _(xz, mask, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A, D, keep):
    (batch, length, _), (ways, rows, width), state = xz.shape, x_proj.shape, A.shape[2]
    x = xz.new_empty(ways, batch, length, width)
    states = A.new_empty(ways, *cpu.states_shape(batch, length if keep else 0, width, state)[1:])
    projected = xz.new_empty(ways, batch * length, rows)
    return xz.new_empty(batch, length, ways * width), x, torch.empty_like(x), projected, states


@torch.library.custom_op("gridless::mamba_mixer_backward", mutates_args=())
def mixer_backward(
    dy: Tensor,
    xz: Tensor,
    mask: Tensor | None,
    conv_weight: Tensor,
    conv_bias: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    x: Tensor,
    dt: Tensor,
    projected: Tensor,
    states: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of xz, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A and D; all but the first in float32."""
    if states.numel() == 0:
        raise ValueError("gridless::mamba_mixer was called with keep=False: it has no backward then")
    real, rank, dxz = _real(mask, A), dt_proj.shape[2], torch.empty_like(xz)
    around, BC = (dt_bias, real, D, xz), _input_output(projected, rank, x)
    dx, ddt, dA, dBC, dbias, dD = cpu.scan_backward(dy.contiguous(), x, dt, A, BC, states, False, around, dxz)
    flat_x, flat_dt = (part.view(len(x), -1, x.shape[-1]) for part in (x, ddt))
    d_low = torch.bmm(flat_dt, dt_proj.to(x.dtype))
    ddt_proj = torch.bmm(flat_dt.transpose(1, 2), projected[..., :rank])
    d_projected = torch.cat([d_low, dBC.view(len(x), -1, BC.shape[-1]).to(x.dtype)], -1)
    dx_proj = torch.bmm(d_projected.transpose(1, 2), flat_x)
    dx = torch.baddbmm(dx.view_as(flat_x), d_projected, x_proj.to(x.dtype)).view_as(x)
    dw, db = convolve_backward(dx, xz, conv_weight, conv_bias, real, dxz)
    return dxz, dw, db, dx_proj.float(), ddt_proj.float(), dbias, dA.contiguous(), dD


@mixer_backward.register_fake
def _(dy, xz, mask, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A, D, *_):
    parts = (xz, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A, D)
    return tuple(torch.empty_like(part, memory_format=torch.contiguous_format) for part in parts)


def _real(mask: Tensor | None, like: Tensor) -> Float[Tensor, "B L"]:
    return like.new_empty(0, 0) if mask is None else mask.float()


def _input_output(projected: Tensor, rank: int, x: Tensor) -> Float[Tensor, "K B L 2*N"]:
    """B and C, contiguous in float32: each of their numbers is spread over 16 channels in every step."""
    return projected[..., rank:].float().contiguous().view(*x.shape[:3], -1)


def _save(ctx, inputs, output) -> None:
    *tensors, _ = inputs
    ctx.save_for_backward(*tensors, *output[1:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _gradients(ctx, dy, *_):
    dxz, *others = mixer_backward(dy, *ctx.saved_tensors)
    return dxz, None, *others, None


mixer.register_autograd(_gradients, setup_context=_save)

_ops = torch.ops.gridless


# As the matrix products and the scan of `operator.py` are counted; convolution and gate, like everywhere, are not.
@register_flop_formula(_ops.mamba_mixer)
def _flops(xz, mask, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A, *_, out_shape) -> int:
    tokens = xz[0] * xz[1]
    return tokens * (2 * math.prod(x_proj) + 2 * math.prod(dt_proj) + 16 * math.prod(A))


@register_flop_formula(_ops.mamba_mixer_backward)
def _backward_flops(dy, xz, mask, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A, *_, out_shape) -> int:
    tokens = xz[0] * xz[1]
    return tokens * (4 * math.prod(x_proj) + 4 * math.prod(dt_proj) + 28 * math.prod(A))
