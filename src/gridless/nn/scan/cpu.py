"""The selective scan fused for the CPU: one pass over the samples forward, one backward, no (B, L, D, N) tensor.

Equations as in `reference.py`.  A task is one sample and a block of 64 channels; its state (N, 64) stays in the
first-level cache.  Channels lie across the lanes of a vector, written out (`Lanes`; LLVM splits it on narrower
machines) so that the speed does not hang on an auto-vectoriser.  exp(dt A) = 2^(dt A log2 e) is a polynomial (`exp2`).
When a gradient will be asked for, the forward keeps the state every CHUNK steps, (B, L / CHUNK, N, D), and the backward
recomputes one chunk of 16 channels at a time, whose decays and states stay in cache.

Backward, with g_t = dLoss/dh_t, run against the direction of the scan:
    g_t = C_t dy_t + exp(dt A) g_{t+1}      dC_t = sum_d dy_t h_t             dB_t = sum_d g_t dt_t x_t
    s_t = g_t exp(dt_t A) h_{t-1}           d(dt_t x_t) = sum_n g_t B_t       dA = sum_{b,t} s_t dt_t
    dx_t = dt_t d(dt_t x_t)                 d(dt_t) = sum_n s_t A + x_t d(dt_t x_t)

Sums over tasks are done afterwards in a fixed order: results are the same bits for any number of threads.
"""

# Numba types its intrinsics as the functions that write their code, not as what is called.
# pyright: reportCallIssue=false

import math
import operator
from functools import reduce
from threading import Lock

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, lower_builtin, register_model, type_callable
from torch import Tensor
from torch.nn.functional import pad

LANES = 16  # channels in one vector
BLOCK = 64  # channels of one task
CHUNK = 16  # steps between two stored states
LN2 = math.log(2)

# --- A vector of 16 float32 as a numba type, with load, store, splat, total, exp2, + and * ----------------------------
_f32, _i32 = ir.FloatType(), ir.IntType(32)
_f32s, _i32s = ir.VectorType(_f32, LANES), ir.VectorType(_i32, LANES)


class _LanesType(types.Type):
    pass


Lanes = _LanesType("float32x16")
register_model(_LanesType)(lambda manager, lanes: models.PrimitiveModel(manager, lanes, _f32s))


@type_callable(operator.add)
@type_callable(operator.mul)
def _operator(context):
    return lambda a, b: Lanes if a is Lanes and b is Lanes else None


@lower_builtin(operator.add, Lanes, Lanes)
def _add(context, builder, signature, args):
    return builder.fadd(*args, flags=("contract",))  # contract: a * b + c may become one instruction


@lower_builtin(operator.mul, Lanes, Lanes)
def _multiply(context, builder, signature, args):
    return builder.fmul(*args, flags=("contract",))


def _pointer(context, builder, array_type, array, index):
    """The address of the 16 values from array[index] on: no bounds check, no negative index."""
    view = context.make_array(array_type)(context, builder, array)
    indices = cgutils.unpack_tuple(builder, index)
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, indices, wraparound=False)
    return builder.bitcast(pointer, _f32s.as_pointer())


@intrinsic
def load(typingctx, array, index):
    """The 16 values from array[index] on; they must lie in one row of a C-contiguous array."""

    def emit(context, builder, signature, args):
        return builder.load(_pointer(context, builder, array, *args), align=4, typ=_f32s)

    return Lanes(array, index), emit


@intrinsic
def store(typingctx, array, index, vector):
    """Write the 16 values from array[index] on."""

    def emit(context, builder, signature, args):
        builder.store(args[2], _pointer(context, builder, array, *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, index, vector), emit


@intrinsic
def splat(typingctx, scalar):
    """One number in all lanes."""

    def emit(context, builder, signature, args):
        number = context.cast(builder, args[0], scalar, types.float32)
        vector = builder.insert_element(ir.Constant(_f32s, ir.Undefined), number, ir.Constant(_i32, 0))
        return builder.shuffle_vector(vector, vector, ir.Constant(_i32s, [0] * LANES))

    return Lanes(scalar), emit


@intrinsic
def total(typingctx, vector):
    """The sum of the lanes, by halves."""

    def emit(context, builder, signature, args):
        v = args[0]
        for width in (8, 4, 2, 1):
            halves = [ir.Constant(ir.VectorType(_i32, width), list(range(i, i + width))) for i in (0, width)]
            v = builder.fadd(*(builder.shuffle_vector(v, v, half) for half in halves))
        return builder.extract_element(v, ir.Constant(_i32, 0))

    return types.float32(vector), emit


# 2^f on [-1/2, 1/2], minimax in the relative error (9.1e-8) with the constant term 1, so that dt = 0 decays nothing
_EXP2 = (0.0013264727, 0.009671513, 0.055507336, 0.24022242, 0.693147, 1.0)


@intrinsic
def exp2(typingctx, vector):
    """2^z, to 2e-7 relative: 0 from z <= -127 down, infinity from z >= 128 up, NaN of NaN."""

    def emit(context, builder, signature, args):
        z, constant = args[0], lambda value: ir.Constant(_f32s, [value] * LANES)
        for limit, beyond in ((constant(-127.0), "<"), (constant(128.0), ">")):  # where 2^n below is exactly 0 and inf
            z = builder.select(builder.fcmp_ordered(beyond, z, limit), limit, z)  # false for NaN, which passes
        # adding 1.5 * 2^23 rounds z to an integer n, which is then in the low bits; no reassociation is allowed here
        magic = constant(1.5 * 2**23)
        shifted = builder.fadd(z, magic)
        f = builder.fsub(z, builder.fsub(shifted, magic))
        p = constant(_EXP2[0])
        for coefficient in _EXP2[1:]:
            p = builder.fadd(builder.fmul(p, f, flags=("contract",)), constant(coefficient), flags=("contract",))
        n = builder.shl(builder.bitcast(shifted, _i32s), ir.Constant(_i32s, [23] * LANES))  # to the exponent field
        return builder.bitcast(builder.add(builder.bitcast(p, _i32s), n), _f32s)

    return Lanes(vector), emit


# --- The kernels: arrays as below with D a multiple of LANES; A2 is (A log2 e)^T, (N, D) ------------------------------
def _kernel(function):
    """Compile at the first call, and keep the result on disk for the next process where a folder can be written."""
    try:
        return numba.njit(parallel=True, nogil=True, cache=True)(function)
    except RuntimeError:  # no such folder
        return numba.njit(parallel=True, nogil=True)(function)


@numba.njit(nogil=True)
def _scratch(rows, columns, lanes):
    """Zeros (rows, columns, lanes) on a 64-byte boundary: a vector across two cache lines costs double."""
    raw = np.zeros(rows * columns * lanes + 16, np.float32)
    first = (-(raw.ctypes.data // 4)) % 16
    return raw[first : first + raw.size - 16].reshape((rows, columns, lanes))


@numba.njit(nogil=True)
def _forward_block(x, dt, A2, B, C, y, states, b, first, last, reverse):
    length, state = B.shape[1:]
    h, a2 = _scratch(2, state, BLOCK)
    a2[:, : last - first] = A2[:, first:last]
    for step in range(length):
        t = length - 1 - step if reverse else step
        if states.size and step % CHUNK == 0:
            for n in range(state):
                for d in range(first, last, LANES):
                    store(states, (b, step // CHUNK, n, d), load(h, (n, d - first)))
        for d in range(first, last, LANES):
            j = d - first
            dt_t = load(dt, (b, t, d))
            u_t = dt_t * load(x, (b, t, d))
            y_t = splat(0.0)
            for n in range(state):
                h_t = exp2(dt_t * load(a2, (n, j))) * load(h, (n, j)) + u_t * splat(B[b, t, n])
                store(h, (n, j), h_t)
                y_t = y_t + h_t * splat(C[b, t, n])
            store(y, (b, t, d), y_t)


@_kernel
def _forward(x, dt, A2, B, C, y, states, reverse):
    width = x.shape[2]
    blocks = (width + BLOCK - 1) // BLOCK
    for task in numba.prange(x.shape[0] * blocks):
        first = task % blocks * BLOCK
        _forward_block(x, dt, A2, B, C, y, states, task // blocks, first, min(first + BLOCK, width), reverse)


@numba.njit(nogil=True)
def _backward_block(dy, x, dt, A2, B, C, states, dx, ddt, dA, dB, dC, b, first, last, reverse):
    length, state = B.shape[1:]
    a, h = _scratch(CHUNK, state, LANES), _scratch(CHUNK + 1, state, LANES)
    dB_lanes, dC_lanes = _scratch(CHUNK, state, LANES), _scratch(CHUNK, state, LANES)
    a2, g, da = _scratch(3, state, BLOCK)
    a2[:, : last - first] = A2[:, first:last]
    for chunk in range((length - 1) // CHUNK, -1, -1):
        start, steps = chunk * CHUNK, min(CHUNK, length - chunk * CHUNK)
        for d in range(first, last, LANES):
            j = d - first
            for n in range(state):
                store(h, (0, n, 0), load(states, (b, chunk, n, d)))
            for s in range(steps):
                t = length - 1 - start - s if reverse else start + s
                dt_t = load(dt, (b, t, d))
                u_t = dt_t * load(x, (b, t, d))
                for n in range(state):
                    a_t = exp2(dt_t * load(a2, (n, j)))
                    store(a, (s, n, 0), a_t)
                    store(h, (s + 1, n, 0), a_t * load(h, (s, n, 0)) + u_t * splat(B[b, t, n]))
            for s in range(steps - 1, -1, -1):
                t = length - 1 - start - s if reverse else start + s
                dy_t, dt_t, x_t = load(dy, (b, t, d)), load(dt, (b, t, d)), load(x, (b, t, d))
                u_t = dt_t * x_t
                du, dz = splat(0.0), splat(0.0)
                for n in range(state):
                    g_t = load(g, (n, j)) + dy_t * splat(C[b, t, n])
                    dB_t, dC_t = g_t * u_t, dy_t * load(h, (s + 1, n, 0))
                    if j > 0:
                        dB_t, dC_t = load(dB_lanes, (s, n, 0)) + dB_t, load(dC_lanes, (s, n, 0)) + dC_t
                    store(dB_lanes, (s, n, 0), dB_t)
                    store(dC_lanes, (s, n, 0), dC_t)
                    du = du + g_t * splat(B[b, t, n])
                    g_t = g_t * load(a, (s, n, 0))
                    store(g, (n, j), g_t)
                    s_t = g_t * load(h, (s, n, 0))
                    dz = dz + s_t * load(a2, (n, j))
                    store(da, (n, j), load(da, (n, j)) + s_t * dt_t)
                store(dx, (b, t, d), du * dt_t)
                store(ddt, (b, t, d), du * x_t + dz * splat(LN2))
        for s in range(steps):
            t = length - 1 - start - s if reverse else start + s
            for n in range(state):
                dB[first // BLOCK, b, t, n] = total(load(dB_lanes, (s, n, 0)))
                dC[first // BLOCK, b, t, n] = total(load(dC_lanes, (s, n, 0)))
    dA[b, :, first:last] = da[:, : last - first]


@_kernel
def _backward(dy, x, dt, A2, B, C, states, dx, ddt, dA, dB, dC, reverse):
    blocks = dB.shape[0]
    for task in numba.prange(x.shape[0] * blocks):
        first = task % blocks * BLOCK
        last = min(first + BLOCK, x.shape[2])
        _backward_block(dy, x, dt, A2, B, C, states, dx, ddt, dA, dB, dC, task // blocks, first, last, reverse)


# --- The two calls: float32 and contiguous inside, any width ---------------------------------------------------------
# One scan at a time, each on all threads: numba's fallback threading layer aborts the process on concurrent calls
_lock = Lock()
_torch_threads = torch.get_num_threads()
numba.get_num_threads()  # starts numba's threads, and with that sets OpenMP's number, which torch may share:
torch.set_num_threads(_torch_threads)  # put it back


def _run(kernel, *args: Tensor | bool) -> None:
    with _lock:
        before = numba.get_num_threads()
        numba.set_num_threads(threads())
        try:
            kernel(*(a.detach().numpy() if isinstance(a, Tensor) else a for a in args))
        finally:
            numba.set_num_threads(before)


def threads() -> int:
    """How many threads a scan uses: torch's number, as far as numba started that many."""
    return min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]  set at run time


def _widen(tensor: Tensor) -> Tensor:
    """Contiguous float32, the last axis (channels) filled up with zeros to whole vectors."""
    tensor, missing = tensor.float(), -tensor.shape[-1] % LANES
    return (pad(tensor, (0, missing)) if missing else tensor).contiguous()


def states_shape(batch: int, length: int, width: int, state: int) -> tuple[int, ...]:
    """Of what `forward` keeps for `backward`: (batch, chunks, state, width in whole vectors)."""
    return batch, -(-length // CHUNK), state, -(-width // LANES) * LANES


def _prepared(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> list[Tensor]:
    """The kernels' arrays."""
    return [_widen(x), _widen(dt), _widen(A.float().t() / LN2), B.float().contiguous(), C.float().contiguous()]


def forward(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, reverse: bool, keep: bool) -> tuple[Tensor, Tensor]:
    """y (batch, length, width) in float32 and, if `keep`, the states."""
    (batch, length, width), state = x.shape, A.shape[1]
    arrays = _prepared(x, dt, A, B, C)
    y = torch.empty_like(arrays[0])
    states = y.new_empty(states_shape(batch, length if keep else 0, width, state))
    _run(_forward, *arrays, y, states, reverse)
    return y[..., :width].contiguous(), states


def backward(
    dy: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, states: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, dt, A, B and C in float32."""
    (batch, length, width), state = x.shape, A.shape[1]
    arrays, dy = _prepared(x, dt, A, B, C), _widen(dy)
    dx, ddt = torch.empty_like(dy), torch.empty_like(dy)
    dA = dy.new_empty(batch, state, dy.shape[2])
    dB, dC = (dy.new_empty(-(-dy.shape[2] // BLOCK), batch, length, state) for _ in range(2))
    _run(_backward, dy, *arrays, states, dx, ddt, dA, dB, dC, reverse)
    dA, dB, dC = (reduce(torch.add, parts.unbind(0)) for parts in (dA, dB, dC))  # in order, however many threads
    return dx[..., :width].contiguous(), ddt[..., :width].contiguous(), dA[:, :width].t().contiguous(), dB, dC
