"""The GPU's scan kernel, without a GPU: its arithmetic in Triton's interpreter, its compilation for real targets."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

COMPARE = """
import json
import torch
from gridless.nn.scan import gpu, selective_scan_reference

def relative(got, want):
    return float((got.double() - want.detach()).abs().max() / want.detach().abs().max())

for batch, length, width, state, dtype in [
    (2, 19, 40, 5, torch.float32), (1, 33, 7, 16, torch.float32), (1, 16, 32, 8, torch.float32), (1, 1, 1, 1, torch.float32),
    (1, 20, 33, 4, torch.bfloat16),
]:
    g = torch.Generator().manual_seed(length)
    x, dy = torch.randn(2, batch, length, width, generator=g).to(dtype)
    dt = torch.nn.functional.softplus(torch.randn(batch, length, width, generator=g))
    dt[:, length // 2 :: 7] = 0  # padding
    A = -3 * torch.rand(width, state, generator=g)
    B, C = torch.randn(2, batch, length, state, generator=g).to(dtype)
    for reverse in (False, True):
        leaves = [v.double().requires_grad_() for v in (x, dt, A, B, C)]
        y = selective_scan_reference(*leaves, reverse=reverse)
        want = [y, *torch.autograd.grad(y, leaves, dy.double())]
        got, states = gpu.forward(x, dt, A, B, C, reverse, True)
        alone, none = gpu.forward(x, dt, A, B, C, reverse, False)
        assert torch.equal(alone, got) and none.numel() == 0
        got = [got, *gpu.backward(dy, x, dt, A, B, C, states, reverse)]
        print(json.dumps([relative(a, b) for a, b in zip(got, want, strict=True) if b.abs().max() > 0]))
"""

COMPILE = """
import inspect
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from gridless.nn.scan import gpu

for kernel, flags in ((gpu._forward, {"keep": True}), (gpu._backward, {})):
    names = list(inspect.signature(kernel.fn).parameters)
    constants = {"reverse": True, "step_of_chunk": gpu.CHUNK, "block": gpu.CHANNELS, "padded": 16} | flags
    numbers = {"length", "width", "state", "chunks"}
    types = {n: "constexpr" if n in constants else "i32" if n in numbers else "*fp32" for n in names}
    places = {(names.index(n),): value for n, value in constants.items()}
    code = triton.compile(ASTSource(kernel, types, places), target=GPUTarget("cuda", 90, 32))
    print(kernel.fn.__name__, len(code.asm["ptx"]) > 1000)
"""


def child(program: str, **environment: str) -> str:
    # a process of its own: Triton reads the variable once, and the interpreter must not stay on for other tests
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_interpreted_kernel_equals_the_float64_loop():
    errors = [json.loads(line) for line in child(COMPARE, TRITON_INTERPRET="1").splitlines()]
    assert len(errors) == 10
    assert max(max(row) for row in errors) < 1e-6


def test_the_kernel_compiles_for_a_gpu():
    """Down to PTX for compute capability 9.0; needs no GPU."""
    assert child(COMPILE).split() == ["_forward", "True", "_backward", "True"]
