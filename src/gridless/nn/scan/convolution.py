"""Mamba's causal depthwise convolution and its SiLU in one pass on the CPU, in every direction at once.

p_s = b + Σ_j w_{K−1−j} x_{s−j} m_{s−j},  y_s = SiLU(p_s), over the steps s of the scan (against time in a direction that
runs backwards), x zero before the first; m is 0 where the sequence is padded. Backward: dp_s = dy_s SiLU'(p_s),
dx_s = m_s Σ_j w_{K−1−j} dp_{s+j}, dw_{K−1−j} = Σ_s dp_s x_{s−j} m_{s−j}, db = Σ_s dp_s; p is computed again.
"""

# Numba types its intrinsics as the functions that write their code, not as what is called.
# pyright: reportCallIssue=false

import numba
from jaxtyping import Float
from torch import Tensor

from .kernels import kernel, ordered_sum, run
from .lanes import LANES, load, sigmoid, splat, store, zeros

GROUP = 256  # channels of one task


# x, in the even sets of D columns of xz (B, L, 2 K D); w (K, taps, D), bias (K, D), mask (B, L) or empty; y (K, B, L, D)
@numba.njit(nogil=True)
def _input(xz, mask, b, t, column):
    x_t = load(xz, (b, t, column))
    if mask.size:
        x_t = x_t * splat(mask[b, t])
    return x_t


@numba.njit(nogil=True)
def _before_silu(xz, w, bias, mask, way, b, step, d, backwards):
    length, taps, width = xz.shape[1], w.shape[1], w.shape[2]
    p = load(bias, (way, d))
    for j in range(min(taps, step + 1)):
        t = length - 1 - step + j if backwards else step - j
        p = p + load(w, (way, taps - 1 - j, d)) * _input(xz, mask, b, t, 2 * way * width + d)
    return p


@kernel
def _forward(xz, w, bias, mask, y):
    (ways, batch, length, width), groups = y.shape, (y.shape[3] + GROUP - 1) // GROUP
    for task in numba.prange(ways * batch * groups):
        way, b, first = task // groups // batch, task // groups % batch, task % groups * GROUP
        backwards = way == 1
        for step in range(length):
            t = length - 1 - step if backwards else step
            for d in range(first, min(first + GROUP, width), LANES):
                p = _before_silu(xz, w, bias, mask, way, b, step, d, backwards)
                store(y, (way, b, t, d), p * sigmoid(p))


@numba.njit(nogil=True)
def _backward_group(dy, xz, w, bias, mask, dxz, dw, dbias, way, b, first, last, backwards):
    (length, width), taps = dy.shape[2:], w.shape[1]
    ring = 1
    while ring < taps:
        ring *= 2
    later = zeros(1, ring, GROUP)[0]  # dp of the last steps
    sums = zeros(1, taps + 1, GROUP)[0]
    for step in range(length - 1, -1, -1):
        t = length - 1 - step if backwards else step
        for d in range(first, last, LANES):
            i, column = d - first, 2 * way * width + d
            p = _before_silu(xz, w, bias, mask, way, b, step, d, backwards)
            open_p = sigmoid(p)
            dp = load(dy, (way, b, t, d)) * (open_p + p * open_p * (splat(1.0) - open_p))
            store(later, (step & (ring - 1), i), dp)
            store(sums, (taps, i), load(sums, (taps, i)) + dp)
            dx = splat(0.0)
            for j in range(taps):
                dx = dx + load(w, (way, taps - 1 - j, d)) * load(later, ((step + j) & (ring - 1), i))
                if j <= step:
                    u = length - 1 - step + j if backwards else step - j
                    change = dp * _input(xz, mask, b, u, column)
                    store(sums, (taps - 1 - j, i), load(sums, (taps - 1 - j, i)) + change)
            if mask.size:
                dx = dx * splat(mask[b, t])
            store(dxz, (b, t, column), dx)
    dw[b, way, :, first:last] = sums[:taps, : last - first]
    dbias[b, way, first:last] = sums[taps, : last - first]


@kernel
def _backward(dy, xz, w, bias, mask, dxz, dw, dbias):
    (ways, batch, _, width), groups = dy.shape, (dy.shape[3] + GROUP - 1) // GROUP
    for task in numba.prange(ways * batch * groups):
        way, b, first = task // groups // batch, task // groups % batch, task % groups * GROUP
        last, backwards = min(first + GROUP, width), way == 1
        _backward_group(dy, xz, w, bias, mask, dxz, dw, dbias, way, b, first, last, backwards)


def convolve(
    xz: Float[Tensor, "B L 2*K*D"],
    weight: Float[Tensor, "K taps D"],
    bias: Float[Tensor, "K D"],
    mask: Float[Tensor, "B L"],
) -> Float[Tensor, "K B L D"]:
    """SiLU of the convolution of every direction. xz is float32 or bfloat16, the rest float32; D a multiple of LANES."""
    y = xz.new_empty(len(weight), *xz.shape[:2], weight.shape[2])
    run(_forward, xz, weight, bias, mask, y)
    return y


def convolve_backward(
    dy: Float[Tensor, "K B L D"],
    xz: Float[Tensor, "B L 2*K*D"],
    weight: Float[Tensor, "K taps D"],
    bias: Float[Tensor, "K D"],
    mask: Float[Tensor, "B L"],
    dxz: Float[Tensor, "B L 2*K*D"],
) -> tuple[Float[Tensor, "K taps D"], Float[Tensor, "K D"]]:
    """The gradients of the weight and the bias; that of x is written into `dxz`."""
    dw, dbias = (part.new_empty(len(xz), *part.shape) for part in (weight, bias))
    run(_backward, dy, xz, weight, bias, mask, dxz, dw, dbias)
    return ordered_sum(dw), ordered_sum(dbias)
