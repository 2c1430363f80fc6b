"""The selective scan fused for a GPU, in Triton: discretisation, recurrence and read-out in one pass, forward and back.

Equations and gradients as in `cpu.py`. A program is one sample and a block of channels; its state (channels, N) stays
in registers, always in float32, whatever the inputs' dtype. The reversed pass reads backwards: no flips, no copies.
When a gradient will be asked for, the forward keeps the state every CHUNK steps, and the backward recomputes one chunk
at a time into a scratch area of one chunk per program. Sums over blocks and samples are done afterwards in a fixed
order, so that results are the same bits every time.

Triton also runs without a GPU, in its interpreter (TRITON_INTERPRET=1): that is how the tests check this file.
"""

# Triton types its kernels as the Python functions that they are written as, not as what is called.
# pyright: reportCallIssue=false, reportOperatorIssue=false

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK = 16  # steps between two stored states
CHANNELS = 32  # of one program
LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _forward(
    x, dt, A, B, C, y, states, length, width, state, chunks,
    reverse: tl.constexpr, keep: tl.constexpr, step_of_chunk: tl.constexpr, block: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(1).to(tl.int64)
    d, n = tl.program_id(0) * block + tl.arange(0, block), tl.arange(0, padded)
    inside, used = d < width, n < state
    both = inside[:, None] & used[None, :]
    place = d[:, None] * state + n[None, :]
    a = tl.load(A + place, mask=both, other=0.0) * LOG2E
    h = tl.zeros((block, padded), tl.float32)
    for step in range(length):
        t = length - 1 - step if reverse else step
        if keep:  # noqa: SIM102, keep is known when the kernel is compiled, step is not
            if step % step_of_chunk == 0:
                first = (sample * chunks + step // step_of_chunk) * width * state
                tl.store(states + first + place, h, mask=both)
        row = sample * length + t
        dt_t = tl.load(dt + row * width + d, mask=inside, other=0.0).to(tl.float32)
        u_t = dt_t * tl.load(x + row * width + d, mask=inside, other=0.0).to(tl.float32)
        B_t = tl.load(B + row * state + n, mask=used, other=0.0).to(tl.float32)
        C_t = tl.load(C + row * state + n, mask=used, other=0.0).to(tl.float32)
        h = tl.exp2(dt_t[:, None] * a) * h + u_t[:, None] * B_t[None, :]
        tl.store(y + row * width + d, tl.sum(h * C_t[None, :], 1), mask=inside)


@triton.jit
def _backward(
    dy, x, dt, A, B, C, states, scratch, dx, ddt, dA, dB, dC, length, width, state, chunks,
    reverse: tl.constexpr, step_of_chunk: tl.constexpr, block: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    program, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    d, n = program * block + tl.arange(0, block), tl.arange(0, padded)
    inside, used = d < width, n < state
    both = inside[:, None] & used[None, :]
    place = d[:, None] * state + n[None, :]
    A_here = tl.load(A + place, mask=both, other=0.0)
    a = A_here * LOG2E
    offset = (sample * tl.num_programs(0) + program) * step_of_chunk * block * padded
    here = tl.arange(0, block)[:, None] * padded + n[None, :]
    g = tl.zeros((block, padded), tl.float32)
    da = tl.zeros((block, padded), tl.float32)
    for back in range(chunks):
        chunk = chunks - 1 - back
        start = chunk * step_of_chunk
        steps = tl.minimum(step_of_chunk, length - start)
        h = tl.load(states + (sample * chunks + chunk) * width * state + place, mask=both, other=0.0)
        for s in range(steps):
            tl.store(scratch + offset + s * block * padded + here, h)
            t = length - 1 - start - s if reverse else start + s
            row = sample * length + t
            dt_t = tl.load(dt + row * width + d, mask=inside, other=0.0).to(tl.float32)
            u_t = dt_t * tl.load(x + row * width + d, mask=inside, other=0.0).to(tl.float32)
            B_t = tl.load(B + row * state + n, mask=used, other=0.0).to(tl.float32)
            h = tl.exp2(dt_t[:, None] * a) * h + u_t[:, None] * B_t[None, :]
        tl.debug_barrier()  # the scratch area is read below, perhaps by other threads
        for i in range(steps):
            s = steps - 1 - i
            before = tl.load(scratch + offset + s * block * padded + here)
            t = length - 1 - start - s if reverse else start + s
            row = sample * length + t
            dy_t = tl.load(dy + row * width + d, mask=inside, other=0.0).to(tl.float32)
            x_t = tl.load(x + row * width + d, mask=inside, other=0.0).to(tl.float32)
            dt_t = tl.load(dt + row * width + d, mask=inside, other=0.0).to(tl.float32)
            B_t = tl.load(B + row * state + n, mask=used, other=0.0).to(tl.float32)
            C_t = tl.load(C + row * state + n, mask=used, other=0.0).to(tl.float32)
            decay, u_t = tl.exp2(dt_t[:, None] * a), dt_t * x_t
            g += dy_t[:, None] * C_t[None, :]
            h = decay * before + u_t[:, None] * B_t[None, :]
            sums = ((program * tl.num_programs(1) + sample) * length + t) * state + n
            tl.store(dC + sums, tl.sum(dy_t[:, None] * h, 0), mask=used)
            tl.store(dB + sums, tl.sum(g * u_t[:, None], 0), mask=used)
            du = tl.sum(g * B_t[None, :], 1)
            g = g * decay
            through = g * before
            da += through * dt_t[:, None]
            tl.store(dx + row * width + d, du * dt_t, mask=inside)
            tl.store(ddt + row * width + d, du * x_t + tl.sum(through * A_here, 1), mask=inside)
        tl.debug_barrier()
    tl.store(dA + sample * width * state + place, da, mask=both)


def states_shape(batch: int, length: int, width: int, state: int) -> tuple[int, ...]:
    """Of what `forward` keeps for `backward`: (batch, chunks, width, state)."""
    return batch, triton.cdiv(length, CHUNK), width, state


def forward(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, reverse: bool, keep: bool) -> tuple[Tensor, Tensor]:
    """y (batch, length, width) in float32 and, if `keep`, the states."""
    (batch, length, width), state = x.shape, A.shape[1]
    arrays = [v.contiguous() for v in (x, dt, A.float(), B, C)]
    y = x.new_empty(x.shape, dtype=torch.float32)
    states = x.new_empty(states_shape(batch, length if keep else 0, width, state), dtype=torch.float32)
    _forward[(triton.cdiv(width, CHANNELS), batch)](
        *arrays, y, states, length, width, state, triton.cdiv(length, CHUNK),
        reverse, keep, CHUNK, CHANNELS, triton.next_power_of_2(state),
    )  # fmt: skip
    return y, states


def backward(
    dy: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, states: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, dt, A, B and C in float32."""
    (batch, length, width), state = x.shape, A.shape[1]
    arrays = [v.contiguous() for v in (dy, x, dt, A.float(), B, C)]
    blocks, padded = triton.cdiv(width, CHANNELS), triton.next_power_of_2(state)

    def empty(*shape):
        return x.new_empty(shape, dtype=torch.float32)

    dx, ddt, dA = empty(*x.shape), empty(*x.shape), empty(batch, width, state)
    dB, dC = empty(blocks, batch, length, state), empty(blocks, batch, length, state)
    _backward[(blocks, batch)](
        *arrays, states, empty(blocks * batch * CHUNK * CHANNELS * padded), dx, ddt, dA, dB, dC,
        length, width, state, triton.cdiv(length, CHUNK), reverse, CHUNK, CHANNELS, padded,
    )  # fmt: skip
    return dx, ddt, dA.sum(0), dB.sum(0), dC.sum(0)
