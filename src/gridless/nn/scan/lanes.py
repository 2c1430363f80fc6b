"""Sixteen float32 side by side, as a numba type: what the CPU's kernels are written in.

Written out so that the speed does not hang on an auto-vectoriser; LLVM splits the vectors on narrower machines. Arrays hold
float32, or bfloat16 as uint16 (numpy has no such type): `load` and `store` widen and round (to nearest, ties to even).
"""

# Numba types its intrinsics as the functions that write their code, not as what is called.
# pyright: reportCallIssue=false

import operator

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, lower_builtin, register_model, type_callable

LANES = 16  # channels in one vector
LOG2E = 1.4426950408889634
_f32, _i32, _i16 = ir.FloatType(), ir.IntType(32), ir.IntType(16)
_f32s, _i32s, _i16s = (ir.VectorType(kind, LANES) for kind in (_f32, _i32, _i16))


class _LanesType(types.Type):
    pass


Lanes = _LanesType("float32x16")
register_model(_LanesType)(lambda manager, lanes: models.PrimitiveModel(manager, lanes, _f32s))


@type_callable(operator.add)
@type_callable(operator.sub)
@type_callable(operator.mul)
@type_callable(operator.truediv)
def _operator(context):
    return lambda a, b: Lanes if a is Lanes and b is Lanes else None


@lower_builtin(operator.add, Lanes, Lanes)
def _add(context, builder, signature, args):
    return builder.fadd(*args, flags=("contract",))  # contract: a * b + c may become one instruction


@lower_builtin(operator.sub, Lanes, Lanes)
def _subtract(context, builder, signature, args):
    return builder.fsub(*args, flags=("contract",))


@lower_builtin(operator.mul, Lanes, Lanes)
def _multiply(context, builder, signature, args):
    return builder.fmul(*args, flags=("contract",))


@lower_builtin(operator.truediv, Lanes, Lanes)
def _divide(context, builder, signature, args):
    return builder.fdiv(*args)


def _all(kind, value):
    return ir.Constant(kind, [value] * LANES)


def _pointer(context, builder, array_type, array, index, vector):
    """The address of the 16 values from array[index] on: no bounds check, no negative index."""
    view = context.make_array(array_type)(context, builder, array)
    indices = cgutils.unpack_tuple(builder, index)
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, indices, wraparound=False)
    return builder.bitcast(pointer, vector.as_pointer())


@intrinsic
def load(typingctx, array, index):
    """The 16 values from array[index] on; they must lie in one row of a C-contiguous array."""
    half = array.dtype == types.uint16

    def emit(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args, _i16s if half else _f32s)
        if not half:
            return builder.load(pointer, align=4, typ=_f32s)
        wide = builder.zext(builder.load(pointer, align=2, typ=_i16s), _i32s)
        return builder.bitcast(builder.shl(wide, _all(_i32s, 16)), _f32s)

    return Lanes(array, index), emit


@intrinsic
def store(typingctx, array, index, vector):
    """Write the 16 values from array[index] on."""
    half = array.dtype == types.uint16

    def emit(context, builder, signature, args):
        pointer, value = _pointer(context, builder, array, *args[:2], _i16s if half else _f32s), args[2]
        if half:
            bits = builder.bitcast(value, _i32s)
            odd = builder.and_(builder.lshr(bits, _all(_i32s, 16)), _all(_i32s, 1))
            rounded = builder.add(bits, builder.add(odd, _all(_i32s, 0x7FFF)))
            missing = builder.fcmp_unordered("uno", value, value)  # rounding could carry a NaN over into infinity
            rounded = builder.select(missing, _all(_i32s, 0x7FC00000), rounded)
            value = builder.trunc(builder.lshr(rounded, _all(_i32s, 16)), _i16s)
        builder.store(value, pointer, align=2 if half else 4)
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


@intrinsic
def largest(typingctx, a, b):
    """The larger of each pair; b where one of them is NaN."""

    def emit(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return Lanes(a, b), emit


# log(1 + u) / u on [0, 1], minimax in the relative error (3e-8)
_LOG1P = (0.0052326885, -0.029505217, 0.078225917, -0.13663243, 0.19106006, -0.24842982, 0.33319097, -0.49999493)


@numba.njit(inline="always")
def sigmoid(v):
    """1 / (1 + exp(-v))."""
    return splat(1.0) / (splat(1.0) + exp2(v * splat(-LOG2E)))


@numba.njit(inline="always")
def softplus(v):
    """log(1 + exp v), to 3e-7 relative; to 4e-6 at v = -80, because float32 rounds v log2 e."""
    above = largest(splat(0.0), v)
    u = exp2((v - above - above) * splat(LOG2E))  # exp(-|v|)
    p = splat(_LOG1P[0])
    for k in range(1, len(_LOG1P)):
        p = p * u + splat(_LOG1P[k])
    return above + u * (p * u + splat(1.0))


@numba.njit(nogil=True)
def zeros(rows, columns, lanes):
    """Zeros (rows, columns, lanes) on a 64-byte boundary: a vector across two cache lines costs double."""
    raw = np.zeros(rows * columns * lanes + 16, np.float32)
    first = (-(raw.ctypes.data // 4)) % 16
    return raw[first : first + raw.size - 16].reshape((rows, columns, lanes))
