"""Windows blended without a seam."""

from math import prod

import pytest
import torch
from conftest import LOCAL, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

import gridless as gl
from gridless import mosaic
from gridless.mosaic import Windows, axis_starts


@given(st.integers(1, 400), st.sampled_from([(8, 2), (8, 4), (32, 8), (24, 6), (5, 1)]))
@settings(max_examples=200, deadline=None)
def test_windows_cover_every_sample_and_overlap_enough(n, size):
    window, overlap = size
    starts = axis_starts(n, window, overlap)
    assert starts[0] == 0 and starts[-1] + window >= n and (n <= window or starts[-1] + window == n)
    for a, b in zip(starts, starts[1:], strict=False):
        assert 0 < b - a <= window - overlap


@pytest.mark.parametrize("shape", [(40,), (9, 33), (100, 8), (20, 21, 22)])
def test_weights_are_a_smooth_partition_of_unity(shape):
    windows = Windows(shape, 8, 2)
    points = (torch.rand(4000, len(shape), dtype=torch.float64) * torch.tensor(shape)).requires_grad_()
    pairs = windows.weights(points)
    torch.testing.assert_close(sum(w for _, w in pairs), torch.ones(4000, dtype=torch.float64))
    for number, weight in pairs:
        origin = torch.tensor([windows.origin(int(i)) for i in number])
        inside = ((points >= origin) & (points <= origin + torch.tensor(windows.size))).all(-1)
        assert inside[weight > 0].all()
    # weights of one window along a line: value and slope have no jump
    line = torch.full((20_001, len(shape)), 0.5, dtype=torch.float64)
    line[:, 0] = torch.linspace(0, shape[0], 20_001)
    line.requires_grad_()
    middle = len(windows.starts[0]) // 2 * prod(windows.shape[1:])
    weight = sum(torch.where(number == middle, w, 0.0) for number, w in windows.weights(line))
    slope = torch.autograd.grad(weight.sum(), line)[0][:, 0]
    step = shape[0] / 20_000
    assert weight.diff().abs().max() < 2 * step and slope.diff().abs().max() < 20 * step


@pytest.mark.parametrize("preset", ["mamba-ginr", "hybrid"])
def test_no_seam_in_the_field_nor_in_its_gradient(preset):
    """Along a line through every window, steps of value and gradient shrink with the step of the line.

    LAINR's own ReLUs have kinks, so that of its fields only the value is continuous.
    """
    model = tiny(preset, {**LOCAL, "base": {"kind": "none"}}).double()
    torch.manual_seed(1)
    field = model.encode(gl.Samples.from_grid(torch.rand(30, 11, 3, dtype=torch.float64)))
    jumps = []
    for n in (4_000, 16_000):
        line = torch.stack(
            [torch.linspace(0.01, 0.99, n, dtype=torch.float64), torch.full((n,), 0.4, dtype=torch.float64)], -1
        )
        with torch.no_grad():
            value = field(line)
        gradient = field.gradient(line)[..., 0]
        jumps.append((value.diff(dim=0).abs().max(), gradient.diff(dim=0).abs().max()))
    for coarse, fine in list(zip(*jumps, strict=True))[: 1 if preset == "mamba-ginr" else 2]:
        assert fine < 0.35 * coarse  # a jump would stay as it is


def test_windows_that_were_forgotten_are_encoded_again(monkeypatch):
    model = tiny("hybrid", LOCAL)
    samples = gl.Samples.from_grid(torch.rand(2, 30, 20, 3))
    with torch.no_grad():
        whole = model.encode(samples).to_image(2)
        monkeypatch.setattr(mosaic, "WINDOWS_KEPT", 3)
        torch.testing.assert_close(model.encode(samples).to_image(2), whole, rtol=0, atol=1e-5)


def test_an_overlap_that_does_not_fit():
    with pytest.raises(ValueError, match=r"overlap must be between 1 and half of signal.window 8, got 5"):
        Windows((20, 20), 8, 5)
