"""Gradients by the samples are true, in training and outside of it, and nothing keeps a graph that nobody asked for."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import LOCAL, tiny
from every_model import ARMS, ASKED, JOINT, SIZES, Arm, places

import gridless as gl
from gridless.bases import Interpolation, Kriging
from gridless.field.derivatives import derivatives
from gridless.network import mosaic

STEP = 1e-6
FLOWS = ("sensors-flow", "sensors-flow-alone", *JOINT)
NO_FLOW = [
    (name, size, training)
    for name, size in ASKED
    for training in (False, True)
    if name not in FLOWS and not (training and "precision" in name)
]


def slope(model, samples: gl.Samples, coords: torch.Tensor, training: bool = False) -> tuple[float, float]:
    """Of a weighted sum of the answers along a direction of the samples: by autograd, and by a central difference.

    In training the values alone: a gaussian head's spread must not teach the features there, so that its weight in an
    answer by precisions teaches nothing either."""
    generator = torch.Generator().manual_seed(5)
    direction = torch.randn(samples.values.shape, generator=generator, dtype=torch.float64)
    weights = torch.randn(coords.shape[1], samples.channels, generator=generator, dtype=torch.float64)

    def total(values: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(6)  # groups that are drawn in training
        answer = model.encode(replace(samples, values=values)).answer(coords)
        out = (answer.mean * weights).sum()
        return out if answer.std is None or training else out + (answer.std * weights).sum()

    values = samples.values.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(values), values)
    with torch.no_grad():
        ends = [float(total(samples.values + step * direction)) for step in (STEP, -STEP)]
    return float((gradient * direction).sum()), (ends[0] - ends[1]) / (2 * STEP)


@pytest.mark.filterwarnings("ignore:the readings of .* are unlike")
@pytest.mark.parametrize(("name", "size", "training"), NO_FLOW)
def test_the_gradient_by_the_samples_is_the_finite_difference(name, size, training):
    model = Arm(name).fresh().double().train(training)
    samples = Arm(name).samples(SIZES[size], dtype=torch.float64)
    given, difference = slope(model, samples, places(11, dtype=torch.float64), training)
    assert given == pytest.approx(difference, rel=1e-4, abs=1e-6) and abs(given) > 1e-3


@pytest.mark.parametrize("name", FLOWS)
def test_so_it_is_of_posterior_samples(name):
    model = Arm(name).fresh().double()
    given, difference = slope(model, Arm(name).samples(dtype=torch.float64), places(11, dtype=torch.float64))
    assert given == pytest.approx(difference, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("base", [Interpolation("bicubic"), Kriging()], ids=["bicubic", "kriging"])
def test_so_it_is_of_the_bases(base):
    samples = Arm("hybrid-plain" if base.name == "bicubic" else "sensors").samples((9, 7), dtype=torch.float64)
    given, difference = slope(base, samples, places(11, dtype=torch.float64))
    assert given == pytest.approx(difference, rel=1e-4, abs=1e-6) and abs(given) > 1e-3


def test_windows_that_were_forgotten_carry_the_gradient_too(monkeypatch):
    """Encoded again when they are asked for, also after a question that kept no graph."""
    monkeypatch.setattr(mosaic, "BYTES_KEPT", 1)
    monkeypatch.setattr(mosaic, "WINDOWS_AT_ONCE", 2)
    model, coords = tiny("hybrid", LOCAL).double(), places(11, dtype=torch.float64)
    samples = Arm("hybrid-photo").samples((30, 20), dtype=torch.float64)
    given, difference = slope(model, samples, coords)
    assert given == pytest.approx(difference, rel=1e-4)
    values = samples.values.clone().requires_grad_()
    field = model.encode(replace(samples, values=values))
    corner = torch.full((1, 2), 0.97, dtype=torch.float64)  # of the last window, which is not kept
    (expected,) = torch.autograd.grad(model.encode(replace(samples, values=values))(corner).sum(), values)
    with torch.no_grad():
        field(corner)
    (again,) = torch.autograd.grad(field(corner).sum(), values)
    torch.testing.assert_close(again, expected)


@pytest.mark.parametrize("name", ARMS)
def test_outside_training_no_graph_is_kept_and_no_weight_gets_a_gradient(name):
    model, samples, coords = Arm(name).fresh(), Arm(name).samples(), places(11)
    answer = model.encode(samples).answer(coords)
    assert not answer.mean.requires_grad and (answer.std is None or not answer.std.requires_grad)
    values = samples.values.clone().requires_grad_()
    model.encode(replace(samples, values=values))(coords).sum().backward()
    assert values.grad.any()
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


# --- memory -----------------------------------------------------------------------------------------------------------

MANY = """
import sys
sys.path[:0] = [{tests!r}]
import torch
torch.set_num_threads(1)
from every_model import Arm

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status", encoding="utf-8") if line.startswith("VmHWM"))

arm = Arm({name!r})
field = arm.model().encode(arm.samples({size!r}, batch=1))
coords = torch.rand({points}, 2)
field(coords[:5000])
before = peak()
answer = field(coords)
assert answer.isfinite().all() and not answer.requires_grad
print((peak() - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of a process from /proc")
@pytest.mark.parametrize("name", ["hybrid-photo", "sensors"])
def test_a_million_points_in_little_memory(name):
    """Megabytes beyond the model, its first answers and the coordinates."""
    script = MANY.format(tests=str(Path(__file__).parent), name=name, size=(17, 12), points=1 << 20)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) < 300


@pytest.mark.parametrize(
    ("name", "size"), [("hybrid-photo", "mosaic"), ("mamba-ginr-plain", "window"), ("sensors", "window")]
)
@pytest.mark.parametrize("cells", [None, 1, 23], ids=["no cell", "one cell", "cells"])
def test_a_gradient_is_the_same_however_few_points_are_asked_at_once(name, size, cells, monkeypatch):
    """Though a graph is held of a few of them only."""
    model, coords = Arm(name).fresh().double(), places(dtype=torch.float64)
    field = model.encode(Arm(name).samples(SIZES[size], dtype=torch.float64))
    cell = None if cells is None else torch.rand(cells, 2, dtype=torch.float64) / 20 + 0.01
    whole, seen, one = field.gradient(coords, cell), [], derivatives
    monkeypatch.setattr("gridless.field.field.GRADIENTS_AT_ONCE", 4)
    monkeypatch.setattr(
        "gridless.field.field.derivatives", lambda f, x, *rest: seen.append(x.shape[1]) or one(f, x, *rest)
    )
    torch.testing.assert_close(field.gradient(coords, cell), whole, rtol=1e-9, atol=1e-9)
    assert seen == [4, 4, 4, 4, 4, 3] and whole.abs().max() > 1e-3
