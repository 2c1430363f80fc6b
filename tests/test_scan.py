"""The selective scan: the fused CPU kernel against the float64 loop, and what both promise."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from gridless.nn.scan import backend, selective_scan, selective_scan_reference

pytest.importorskip("numba")

NAMES = ("y", "dx", "ddt", "dA", "dB", "dC")


def inputs(batch, length, width, state, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, length, width, generator=g)
    dt = torch.nn.functional.softplus(torch.randn(batch, length, width, generator=g) - 1)
    A = -0.1 - 8 * torch.rand(width, state, generator=g)
    B, C = torch.randn(2, batch, length, state, generator=g)
    return [v.to(dtype) for v in (x, dt, A, B, C)]


def with_gradients(scan, tensors, reverse=False, weight=None):
    """The output and the gradients of sum(weight * y)."""
    leaves = [v.detach().clone().requires_grad_() for v in tensors]
    y = scan(*leaves, reverse=reverse)
    if weight is None:
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return [y.detach(), *torch.autograd.grad((y * weight.to(y.dtype)).sum(), leaves)]


def assert_close(got, want, tolerance=2e-6):
    for name, a, b in zip(NAMES, got, want, strict=True):
        error = (a.double() - b.double()).abs().max()
        assert error <= tolerance * b.abs().max() + 1e-12, f"{name}: {error / b.abs().max():.1e}"


def check_against_float64(tensors, reverse, tolerance=2e-6):
    want = with_gradients(selective_scan_reference, [v.double() for v in tensors], reverse)
    assert_close(with_gradients(selective_scan, tensors, reverse), want, tolerance)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(2, 257, 130, 16), (1, 257, 64, 1), (3, 16, 5, 8), (1, 1, 1, 1), (2, 33, 100, 8)])
def test_output_and_gradients(shape, reverse):
    check_against_float64(inputs(*shape), reverse)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 70),
    width=st.sampled_from([1, 5, 64, 100, 130]),
    state=st.sampled_from([1, 8, 16]),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape(batch, length, width, state, reverse, seed):
    check_against_float64(inputs(batch, length, width, state, seed), reverse, tolerance=1e-5)


@pytest.mark.parametrize("scan", [selective_scan, selective_scan_reference])
def test_reverse_is_the_scan_of_the_flipped(scan):
    x, dt, A, B, C = inputs(2, 37, 20, 8)
    flipped = scan(x.flip(1), dt.flip(1), A, B.flip(1), C.flip(1)).flip(1)
    assert torch.equal(scan(x, dt, A, B, C, reverse=True), flipped)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("before,after", [(0, 21), (19, 0), (3, 7)])
def test_padding_is_inert(before, after, reverse):
    short = inputs(2, 30, 20, 8)
    real = slice(before, before + 30)
    padded = inputs(2, before + 30 + after, 20, 8, seed=5)
    padded[1] = torch.zeros_like(padded[1])
    padded[2] = short[2]
    for k in (0, 1, 3, 4):
        padded[k][:, real] = short[k]
    weight = torch.randn(short[0].shape)
    long_weight = torch.zeros_like(padded[0])
    long_weight[:, real] = weight
    want = with_gradients(selective_scan, short, reverse, weight)
    got = with_gradients(selective_scan, padded, reverse, long_weight)
    got = [v if name == "dA" else v[:, real] for name, v in zip(NAMES, got, strict=True)]
    assert torch.equal(got[0], want[0])
    assert_close(got, want, 1e-6)


def test_same_bits_again_and_for_any_number_of_threads():
    tensors = inputs(3, 50, 200, 16)
    before = torch.get_num_threads()
    runs = []
    try:
        for threads in (before, before, 1, 2):
            torch.set_num_threads(threads)
            runs.append(with_gradients(selective_scan, tensors))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


def test_inputs_that_are_not_contiguous():
    x, dt, A, B, C = tensors = inputs(2, 33, 20, 8)
    views = [v.transpose(0, -1).contiguous().transpose(0, -1) for v in tensors]
    views[0] = torch.stack([x, x], -1)[..., 0]
    assert not any(v.is_contiguous() for v in views)
    got = selective_scan(*views)
    assert got.is_contiguous() and torch.equal(got, selective_scan(x, dt, A, B, C))
    got = [v.requires_grad_() for v in views]
    ones = torch.autograd.grad(selective_scan(*got).sum(), got)  # its dy is an expanded scalar
    want = with_gradients(selective_scan, tensors, weight=torch.ones(x.shape))[1:]
    assert all(torch.equal(a, b) for a, b in zip(ones, want, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    half = inputs(2, 40, 20, 8, dtype=dtype)
    got = with_gradients(selective_scan, half)
    assert {v.dtype for v in got} == {dtype}
    assert torch.equal(got[0], selective_scan(*[v.float() for v in half]).to(dtype))
    assert_close(got, with_gradients(selective_scan_reference, [v.double() for v in half]), 2e-2)


def test_autocast_changes_nothing():
    tensors = inputs(2, 40, 20, 8)
    with torch.autocast("cpu", torch.bfloat16):
        got = with_gradients(selective_scan, tensors)
    assert all(torch.equal(a, b) for a, b in zip(got, with_gradients(selective_scan, tensors), strict=True))


def test_strong_decay_forgets_without_nan():
    x, dt, A, B, C = inputs(1, 20, 16, 4)
    dt, A = torch.full_like(dt, 100.0), torch.full_like(A, -2.0)  # exp(-200)
    got = with_gradients(selective_scan, (x, dt, A, B, C))
    torch.testing.assert_close(got[0], dt * x * (B * C).sum(-1, keepdim=True), rtol=1e-5, atol=1e-3)
    assert all(v.isfinite().all() for v in got)
    assert torch.equal(got[3], torch.zeros_like(A))  # nothing passes from step to step
    y = selective_scan(x, dt.fill_(1e30), A, B, C)
    assert not y.isnan().any()


def test_no_decay_and_unstable_and_nan():
    x, dt, A, B, C = inputs(1, 20, 16, 4)
    y = selective_scan(x, torch.ones_like(dt), torch.zeros_like(A), torch.ones_like(B), torch.full_like(C, 0.25))
    torch.testing.assert_close(y, x.cumsum(1))
    for growth in (50.0, 100.0):  # to infinity after one step; exp(100) at once, and inf * 0 is NaN
        grow = x, torch.ones_like(dt), torch.full_like(A, growth), B, C
        torch.testing.assert_close(
            selective_scan(*grow), selective_scan_reference(*grow), rtol=1e-5, equal_nan=True, atol=0
        )
    dt[0, 5, 3] = torch.nan
    y = selective_scan(x, dt, A, B, C)
    assert y[0, 5:, 3].isnan().all() and y.isnan().sum() == 15


def test_no_grad_and_inference_mode_and_frozen_inputs():
    tensors = inputs(2, 40, 20, 8)
    want, dx = with_gradients(selective_scan, tensors)[:2]
    leaves = [v.clone().requires_grad_() for v in tensors]
    with torch.no_grad():
        assert torch.equal(selective_scan(*leaves), want)
    with torch.inference_mode():
        assert torch.equal(selective_scan(*leaves), want)
        assert torch.equal(selective_scan(*[v + 0 for v in leaves]), want)
    x = tensors[0].clone().requires_grad_()
    weight = torch.randn(want.shape, generator=torch.Generator().manual_seed(1))
    (selective_scan(x, *tensors[1:]) * weight).sum().backward()
    assert torch.equal(x.grad, dx)


@pytest.mark.parametrize("shape", [(2, 18, 5, 3), (1, 4, 80, 1), (2, 3, 1, 1)])
def test_operators_are_well_formed(shape):
    selective_scan(*inputs(*shape))  # registers them
    ops = torch.ops.gridless
    leaves = [v.requires_grad_() for v in inputs(*shape)]
    torch.library.opcheck(ops.selective_scan.default, (*leaves, False, True))
    frozen = inputs(*shape)
    torch.library.opcheck(ops.selective_scan.default, (*frozen, True, False))
    y, states = ops.selective_scan(*frozen, True, True)
    torch.library.opcheck(ops.selective_scan_backward.default, (y, *frozen, states, True))


def test_backward_without_kept_states_is_refused():
    leaves = [v.requires_grad_() for v in inputs(1, 4, 3, 2)]
    y, _ = torch.ops.gridless.selective_scan(*leaves, False, False)
    with pytest.raises(ValueError, match="keep=False"):
        y.sum().backward()


def test_no_graph_break_under_compile():
    tensors = inputs(2, 20, 12, 4)
    compiled = torch.compile(selective_scan, backend="aot_eager", fullgraph=True)
    got, want = with_gradients(compiled, tensors), with_gradients(selective_scan, tensors)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_flops_are_counted():
    leaves = [v.requires_grad_() for v in inputs(2, 20, 12, 4)]
    with FlopCounterMode(display=False) as counter:
        y = selective_scan(*leaves)
    assert counter.get_total_flops() == 16 * 2 * 20 * 12 * 4
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 28 * 2 * 20 * 12 * 4


def test_several_python_threads_at_once():
    problems = [inputs(2, 60, 100, 16, seed) for seed in range(8)]
    want = [with_gradients(selective_scan, p) for p in problems]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, expected in zip(
                pool.map(lambda p: with_gradients(selective_scan, p), problems), want, strict=True
            ):
                assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("reverse", [False, True])
def test_reference_gradcheck(reverse):
    leaves = [v.requires_grad_() for v in inputs(2, 5, 3, 2, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda *v: selective_scan_reference(*v, reverse=reverse), leaves)
    assert torch.autograd.gradgradcheck(lambda *v: selective_scan(*v, reverse=reverse), leaves)  # float64: the loop


def test_mixed_dtypes_give_that_of_x(monkeypatch):
    x, dt, A, B, C = inputs(1, 8, 4, 2)
    fused = selective_scan(x.bfloat16(), dt, A, B.bfloat16(), C)
    monkeypatch.setenv("GRIDLESS_SCAN", "reference")
    loop = selective_scan(x.bfloat16(), dt, A, B.bfloat16(), C)
    assert fused.dtype == loop.dtype == torch.bfloat16
    torch.testing.assert_close(fused, loop)


def test_environment_takes_the_loop(monkeypatch):
    tensors = inputs(1, 8, 4, 2)
    monkeypatch.setenv("GRIDLESS_SCAN", "reference")
    assert torch.equal(selective_scan(*tensors), selective_scan_reference(*tensors))
    assert backend() == {"scan": "reference (GRIDLESS_SCAN=reference)"}


def test_backend_names_the_kernel():
    selective_scan(*inputs(1, 4, 3, 2))
    assert backend()["scan"].startswith("cpu-numba ")
    assert backend()["scan"].endswith(" threads)")


def child(program: str) -> str:
    # a fresh interpreter, not a fork: OpenMP does not survive fork
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.skipif(os.environ.get("GRIDLESS_SCAN") == "reference", reason="the kernel is switched off")
def test_without_numba():
    program = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "numba" else found(name, *rest)
sys.modules["numba"] = None
import torch
from gridless.nn.scan import backend, selective_scan
x, A, B = torch.ones(1, 4, 3), -torch.ones(3, 2), torch.ones(1, 4, 2)
print(tuple(selective_scan(x, x, A, B, B).shape), backend()["scan"])
"""
    assert child(program) == "(1, 4, 3) reference (numba is not installed: pip install numba)"


def test_threads_of_torch_are_followed_and_kept():
    program = """
import torch
torch.set_num_threads(1)
from gridless.nn.scan import backend, selective_scan
x, A, B = torch.ones(1, 4, 3), -torch.ones(3, 2), torch.ones(1, 4, 2)
compiled = torch.compile(selective_scan, backend="eager", fullgraph=True)  # with numba's import while it traces
compiled(x, x, A, B, B)
selective_scan(x, x, A, B, B)
print(torch.get_num_threads(), backend()["scan"].split(", ")[1])
"""
    assert child(program) == "1 1 threads)"


def test_import_leaves_numba_alone():
    assert child("import sys, gridless.nn.scan; print('numba' in sys.modules)") == "False"


@pytest.mark.parametrize(
    "change,words",
    [
        ({0: (4, 3)}, ["(4, 3)", "batch, length, width"]),
        ({1: (1, 5, 3)}, ["dt (1, 5, 3)", "dt (1, 4, 3)", "Change dt"]),
        ({2: (2, 3)}, ["A (2, 3)", "(3, 3)"]),
        ({2: (2, 2)}, ["A (2, 2)", "A (3, 2)", "Change A"]),
        ({3: (1, 4, 3), 4: (2, 4, 2)}, ["B (1, 4, 3)", "Change B and C"]),
        ({0: (1, 0, 3), 1: (1, 0, 3), 3: (1, 0, 2), 4: (1, 0, 2)}, ["at least 1"]),
    ],
)
def test_bad_shapes_are_named(change, words):
    shapes = [(1, 4, 3), (1, 4, 3), (3, 2), (1, 4, 2), (1, 4, 2)]
    tensors = [torch.ones(change.get(k, shape)) for k, shape in enumerate(shapes)]
    with pytest.raises(ValueError) as error:
        selective_scan(*tensors)
    assert all(word in str(error.value) for word in words), str(error.value)
