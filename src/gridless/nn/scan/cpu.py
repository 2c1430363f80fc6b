"""The selective scan fused for the CPU: one pass over the samples forward, one backward, no (B, L, D, N) tensor.

Equations as in `reference.py`.  A task is one direction, one sample and a group of channels. It takes CHUNK steps of all of
them, 16 channels (a vector) at a time: their states stay in the first-level cache, and the memory is read in long rows
(64 channels all along the sequence took up to twice the time, waiting for pages).  exp(dt A) = 2^(dt A log2 e) is a
polynomial (`lanes.py`).  When a gradient will be asked for, the forward keeps the state every CHUNK steps, and the
backward recomputes one chunk of 16 channels at a time, whose decays and states stay in cache.

Backward, with g_t = dLoss/dh_t, run against the direction of the scan:
    g_t = C_t dy_t + exp(dt A) g_{t+1}      dC_t = sum_d dy_t h_t             dB_t = sum_d g_t dt_t x_t
    s_t = g_t exp(dt_t A) h_{t-1}           d(dt_t x_t) = sum_n g_t B_t       dA = sum_{b,t} s_t dt_t
    dx_t = dt_t d(dt_t x_t)                 d(dt_t) = sum_n s_t A + x_t d(dt_t x_t)

What stands around the scan in Mamba costs as much memory traffic as the scan itself, so the kernel does it where it is
given the arrays for it: dt = softplus(dt + bias) · mask before, y = (y + skip x) · SiLU(z) after (`mixer.py`).

Sums over tasks are done afterwards in a fixed order: results are the same bits for any number of threads.
"""

# Numba types its intrinsics as the functions that write their code, not as what is called.
# pyright: reportCallIssue=false

import math

import numba
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from .kernels import kernel, ordered_sum, run
from .lanes import LANES, exp2, load, sigmoid, softplus, splat, store, total, zeros

GROUP = 256  # channels of one task
CHUNK = 16  # steps between two stored states
LN2 = math.log(2)

# --- The kernels ------------------------------------------------------------------------------------------------------
# x, dt (K, B, L, D), BC (K, B, L, 2N), y, dy (B, L, K D); D a multiple of LANES; A2 is A log2 e, (K, D / 16, N, 16).
# Direction 0 runs backwards if `reverse`, direction 1 if not. Of a part that is not asked for the arrays are empty: bias
# (K, D) and mask (B, L); skip (K, D) and z, in the odd sets of D columns of xz (B, L, 2 K D).


@numba.njit(nogil=True)
def _times(start, length, backwards):
    """The steps of a chunk: how many, the place of the first in time, and the way from one to the next."""
    steps = min(CHUNK, length - start)
    return (steps, length - 1 - start, -1) if backwards else (steps, start, 1)


@numba.njit(nogil=True)
def _prepare(x, dt, bias, mask, deltas, inputs, way, b, d, steps, t0, sign):
    """dt as the scan takes it, and dt x, for all steps of a chunk before the recurrence, which would wait for each."""
    for s in range(steps):
        t = t0 + sign * s
        dt_t = load(dt, (way, b, t, d))
        if bias.size:
            dt_t = softplus(dt_t + load(bias, (way, d)))
        if mask.size:
            dt_t = dt_t * splat(mask[b, t])
        store(deltas, (s, 0), dt_t)
        store(inputs, (s, 0), dt_t * load(x, (way, b, t, d)))


@numba.njit(nogil=True)
def _forward_group(x, dt, A2, BC, bias, mask, skip, xz, y, states, way, b, first, last, backwards):
    length, state, width = BC.shape[2], BC.shape[3] // 2, x.shape[3]
    h = zeros(GROUP // LANES, state, LANES)
    deltas, inputs, outputs = zeros(3, CHUNK, LANES)
    for start in range(0, length, CHUNK):
        steps, t0, sign = _times(start, length, backwards)
        for d in range(first, last, LANES):
            v, i = d // LANES, (d - first) // LANES
            if states.size:
                for n in range(state):
                    store(states, (way, b, start // CHUNK, v, n, 0), load(h, (i, n, 0)))
            _prepare(x, dt, bias, mask, deltas, inputs, way, b, d, steps, t0, sign)
            for s in range(steps):
                t = t0 + sign * s
                dt_t, u_t, y_t = load(deltas, (s, 0)), load(inputs, (s, 0)), splat(0.0)
                for n in range(state):
                    h_t = exp2(dt_t * load(A2, (way, v, n, 0))) * load(h, (i, n, 0)) + u_t * splat(BC[way, b, t, n])
                    store(h, (i, n, 0), h_t)
                    y_t = y_t + h_t * splat(BC[way, b, t, state + n])
                store(outputs, (s, 0), y_t)
            for s in range(steps):
                t, y_t = t0 + sign * s, load(outputs, (s, 0))
                if skip.size:
                    z_t = load(xz, (b, t, (2 * way + 1) * width + d))
                    y_t = (y_t + load(skip, (way, d)) * load(x, (way, b, t, d))) * z_t * sigmoid(z_t)
                store(y, (b, t, way * width + d), y_t)


@kernel
def _forward(x, dt, A2, BC, bias, mask, skip, xz, y, states, reverse):
    (ways, batch, _, width), groups = x.shape, (x.shape[3] + GROUP - 1) // GROUP
    for task in numba.prange(ways * batch * groups):
        way, b, first = task // groups // batch, task // groups % batch, task % groups * GROUP
        last, backwards = min(first + GROUP, width), reverse != (way == 1)
        _forward_group(x, dt, A2, BC, bias, mask, skip, xz, y, states, way, b, first, last, backwards)


@numba.njit(nogil=True)
def _backward_group(
    dy, x, dt, A2, BC, bias, mask, skip, xz, states, dx, ddt, dA, dBC, dbias, dskip, dxz, way, b, first, last, backwards
):  # fmt: skip
    length, state, width = BC.shape[2], BC.shape[3] // 2, x.shape[3]
    a, h = zeros(2, CHUNK + 1, LANES)  # of one state: all of a chunk would not stay in the first-level cache
    dB_lanes, dC_lanes = zeros(state, CHUNK, LANES), zeros(state, CHUNK, LANES)
    g, da = zeros(GROUP // LANES, state, LANES), zeros(GROUP // LANES, state, LANES)
    sums = zeros(GROUP // LANES, 2, LANES)
    deltas, inputs, outputs, dys, d_inputs, d_deltas = zeros(6, CHUNK, LANES)
    for chunk in range((length - 1) // CHUNK, -1, -1):
        steps, t0, sign = _times(chunk * CHUNK, length, backwards)
        dB_lanes[:], dC_lanes[:] = 0, 0
        for d in range(first, last, LANES):
            v, i = d // LANES, (d - first) // LANES
            _prepare(x, dt, bias, mask, deltas, inputs, way, b, d, steps, t0, sign)
            for s in range(steps):
                t = t0 + sign * s
                dy_t = load(dy, (b, t, way * width + d))
                if skip.size:
                    z_t = load(xz, (b, t, (2 * way + 1) * width + d))
                    dy_t = dy_t * z_t * sigmoid(z_t)
                store(dys, (s, 0), dy_t)
            outputs[:], d_inputs[:], d_deltas[:] = 0, 0, 0
            for n in range(state):
                a2, h_t = load(A2, (way, v, n, 0)), load(states, (way, b, chunk, v, n, 0))
                store(h, (0, 0), h_t)
                for s in range(steps):
                    t = t0 + sign * s
                    a_t = exp2(load(deltas, (s, 0)) * a2)
                    h_t = a_t * h_t + load(inputs, (s, 0)) * splat(BC[way, b, t, n])
                    store(a, (s, 0), a_t)
                    store(h, (s + 1, 0), h_t)
                    store(outputs, (s, 0), load(outputs, (s, 0)) + h_t * splat(BC[way, b, t, state + n]))
                g_t, da_t = load(g, (i, n, 0)), load(da, (i, n, 0))
                for s in range(steps - 1, -1, -1):
                    t = t0 + sign * s
                    dy_t = load(dys, (s, 0))
                    g_t = g_t + dy_t * splat(BC[way, b, t, state + n])
                    store(dB_lanes, (n, s, 0), load(dB_lanes, (n, s, 0)) + g_t * load(inputs, (s, 0)))
                    store(dC_lanes, (n, s, 0), load(dC_lanes, (n, s, 0)) + dy_t * load(h, (s + 1, 0)))
                    store(d_inputs, (s, 0), load(d_inputs, (s, 0)) + g_t * splat(BC[way, b, t, n]))
                    g_t = g_t * load(a, (s, 0))
                    s_t = g_t * load(h, (s, 0))
                    store(d_deltas, (s, 0), load(d_deltas, (s, 0)) + s_t * a2)
                    da_t = da_t + s_t * load(deltas, (s, 0))
                store(g, (i, n, 0), g_t)
                store(da, (i, n, 0), da_t)
            for s in range(steps):
                t = t0 + sign * s
                du, x_t = load(d_inputs, (s, 0)), load(x, (way, b, t, d))
                dx_t, ddt_t = du * load(deltas, (s, 0)), du * x_t + load(d_deltas, (s, 0)) * splat(LN2)
                if skip.size:
                    skip_t, z_t = load(skip, (way, d)), load(xz, (b, t, (2 * way + 1) * width + d))
                    open_t = sigmoid(z_t)
                    slope = open_t + z_t * open_t * (splat(1.0) - open_t)  # of SiLU
                    dz_t = load(dy, (b, t, way * width + d)) * (load(outputs, (s, 0)) + skip_t * x_t) * slope
                    store(dxz, (b, t, (2 * way + 1) * width + d), dz_t)
                    dy_t = load(dys, (s, 0))
                    dx_t = dx_t + dy_t * skip_t
                    store(sums, (i, 0, 0), load(sums, (i, 0, 0)) + dy_t * x_t)
                if mask.size:
                    ddt_t = ddt_t * splat(mask[b, t])
                if bias.size:
                    ddt_t = ddt_t * sigmoid(load(dt, (way, b, t, d)) + load(bias, (way, d)))
                    store(sums, (i, 1, 0), load(sums, (i, 1, 0)) + ddt_t)
                store(dx, (way, b, t, d), dx_t)
                store(ddt, (way, b, t, d), ddt_t)
        for s in range(steps):
            t = t0 + sign * s
            for n in range(state):
                dBC[first // GROUP, way, b, t, n] = total(load(dB_lanes, (n, s, 0)))
                dBC[first // GROUP, way, b, t, state + n] = total(load(dC_lanes, (n, s, 0)))
    for d in range(first, last, LANES):
        v, i = d // LANES, (d - first) // LANES
        dA[b, way, v] = da[i]
        if skip.size:
            store(dskip, (b, way, d), load(sums, (i, 0, 0)))
        if bias.size:
            store(dbias, (b, way, d), load(sums, (i, 1, 0)))


@kernel
def _backward(dy, x, dt, A2, BC, bias, mask, skip, xz, states, dx, ddt, dA, dBC, dbias, dskip, dxz, reverse):
    groups, batch, width = dBC.shape[0], x.shape[1], x.shape[3]
    for task in numba.prange(x.shape[0] * batch * groups):
        way, b, first = task // groups // batch, task // groups % batch, task % groups * GROUP
        _backward_group(
            dy, x, dt, A2, BC, bias, mask, skip, xz, states, dx, ddt, dA, dBC, dbias, dskip, dxz, way, b, first,
            min(first + GROUP, width), reverse != (way == 1),
        )  # fmt: skip


# --- The calls --------------------------------------------------------------------------------------------------------
Around = tuple[Tensor, Tensor, Tensor, Tensor]
"""What Mamba has around the scan: bias, mask, skip and xz of the kernels."""


def scan_forward(
    x: Float[Tensor, "K B L D"],
    dt: Float[Tensor, "K B L D"],
    A: Float[Tensor, "K D N"],
    BC: Float[Tensor, "K B L 2*N"],
    reverse: bool,
    keep: bool,
    around: Around | None = None,
) -> tuple[Float[Tensor, "B L K*D"], Float[Tensor, "K B chunks D/16 N 16"]]:
    """y and, if `keep`, the states. x, dt and the xz of `around` are all float32 or all bfloat16, the rest is float32;
    all contiguous, D a multiple of LANES."""
    k, batch, length, width = x.shape
    y = x.new_empty(batch, length, k * width)
    states = A.new_empty(k, *states_shape(batch, length if keep else 0, width, A.shape[2])[1:])
    run(_forward, x, dt, _powers_of_two(A), BC, *(around or _nothing(x)), y, states, reverse)
    return y, states


def scan_backward(
    dy: Float[Tensor, "B L K*D"],
    x: Float[Tensor, "K B L D"],
    dt: Float[Tensor, "K B L D"],
    A: Float[Tensor, "K D N"],
    BC: Float[Tensor, "K B L 2*N"],
    states: Float[Tensor, "K B chunks D/16 N 16"],
    reverse: bool,
    around: Around | None = None,
    dxz: Float[Tensor, "B L 2*K*D"] | None = None,
) -> tuple[Tensor, ...]:
    """The gradients of x, dt, A and BC, then of the bias and the skip; that of z is written into `dxz`."""
    k, batch, length, width = x.shape
    around = around or _nothing(x)
    dx, ddt = torch.empty_like(x), torch.empty_like(x)
    dA = A.new_empty(batch, k, width // LANES, A.shape[2], LANES)
    dBC = A.new_empty(-(-width // GROUP), *BC.shape)
    dbias, dskip = (A.new_empty(batch, *part.shape) for part in (around[0], around[2]))
    dxz = around[3] if dxz is None else dxz
    arrays = (dy, x, dt, _powers_of_two(A), BC, *around, states, dx, ddt, dA, dBC, dbias, dskip, dxz)
    run(_backward, *arrays, reverse)
    dA, dBC, dbias, dskip = (ordered_sum(parts) for parts in (dA, dBC, dbias, dskip))
    return dx, ddt, dA.transpose(2, 3).reshape(A.shape), dBC, dbias, dskip


def _powers_of_two(A: Float[Tensor, "K D N"]) -> Float[Tensor, "K D/16 N 16"]:
    return (A / LN2).unflatten(1, (-1, LANES)).transpose(2, 3).contiguous()


def _nothing(x: Tensor) -> Around:
    flat = x.new_empty(0, 0, dtype=torch.float32)
    return flat, flat, flat, x.new_empty(0, 0, 0)


# --- The scan alone: one direction, any width, any dtype --------------------------------------------------------------
def _widen(tensor: Tensor) -> Tensor:
    """Contiguous float32, the last axis (channels) filled up with zeros to whole vectors."""
    tensor, missing = tensor.float(), -tensor.shape[-1] % LANES
    return (pad(tensor, (0, missing)) if missing else tensor).contiguous()


def states_shape(batch: int, length: int, width: int, state: int) -> tuple[int, ...]:
    """Of what `forward` keeps for `backward`: (1, batch, chunks, vectors of channels, state, channels of a vector)."""
    return 1, batch, -(-length // CHUNK), -(-width // LANES), state, LANES


def _prepared(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> list[Tensor]:
    """x, dt, A and BC for the kernels."""
    A = _widen(A.float().t()).t()
    return [v[None] for v in (_widen(x), _widen(dt), A, torch.cat([B.float(), C.float()], -1))]


def forward(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, reverse: bool, keep: bool) -> tuple[Tensor, Tensor]:
    """y (batch, length, width) in float32 and, if `keep`, the states."""
    y, states = scan_forward(*_prepared(x, dt, A, B, C), reverse, keep)
    return y[..., : x.shape[2]].contiguous(), states


def backward(
    dy: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, states: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, dt, A, B and C in float32."""
    width, state = A.shape
    gradients = scan_backward(_widen(dy), *_prepared(x, dt, A, B, C), states, reverse)
    dx, ddt, dA, dBC = (part[0] for part in gradients[:4])
    dB, dC = (part.clone(memory_format=torch.contiguous_format) for part in dBC.split(state, -1))
    return dx[..., :width].contiguous(), ddt[..., :width].contiguous(), dA[:width].contiguous(), dB, dC
