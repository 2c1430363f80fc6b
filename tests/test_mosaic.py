"""Windows blended without a seam."""

import pytest
import torch
from conftest import LOCAL, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

import gridless as gl
from gridless.network import mosaic
from gridless.network.mosaic import Windows, axis_starts


@given(st.integers(1, 400), st.sampled_from([(8, 2), (9, 3), (32, 8), (32, 10), (24, 6), (5, 1)]))
@settings(max_examples=200, deadline=None)
def test_windows_cover_every_sample_and_overlap_enough(n, size):
    window, overlap = size
    starts = axis_starts(n, window, overlap)
    assert starts[0] == 0 and starts[-1] + window >= n and (n <= window or starts[-1] + window == n)
    for a, b in zip(starts, starts[1:], strict=False):
        assert 0 < b - a <= window - overlap


@given(st.integers(33, 120), st.sampled_from([(8, 2), (9, 3), (32, 8), (32, 10)]))
@settings(max_examples=60, deadline=None)
def test_along_an_axis_no_weight_jumps(n, size):
    """Value and slope of every window's weight, on a line a thousand times finer than the samples."""
    windows = Windows((n,), size[:1], size[1])
    line = torch.linspace(0, n, 1000 * n + 1, dtype=torch.float64)[:, None].requires_grad_()
    pairs = windows.weights(line)
    torch.testing.assert_close(sum(w for _, w in pairs), torch.ones(len(line), dtype=torch.float64))
    for window in range(len(windows.starts[0])):
        weight = sum(torch.where(number == window, w, 0.0) for number, w in pairs)
        slope = torch.autograd.grad(weight.sum(), line, retain_graph=True)[0][:, 0]
        assert weight.diff().abs().max() < 2e-3 and slope.diff().abs().max() < 1.3e-2


@pytest.mark.parametrize("shape", [(40,), (9, 33), (100, 8), (20, 21, 22)])
def test_weights_sum_to_one_and_stay_inside(shape):
    windows = Windows(shape, (8,) * len(shape), 2)
    points = torch.rand(4000, len(shape), dtype=torch.float64) * torch.tensor(shape)
    pairs = windows.weights(points)
    torch.testing.assert_close(sum(w for _, w in pairs), torch.ones(4000, dtype=torch.float64))
    for number, weight in pairs:
        origin = torch.tensor([windows.origin(int(i)) for i in number])
        inside = ((points >= origin) & (points <= origin + torch.tensor(windows.size))).all(-1)
        assert inside[weight > 0].all()


@given(st.integers(1, 900))
@settings(max_examples=100, deadline=None)
def test_tiles_of_any_size_share_no_more_than_they_must(n):
    signal = gl.config.Signal(axes=1, window=16, tile=64, overlap=12)
    (size,) = mosaic.tiles_of(signal, (n,))
    starts = axis_starts(n, size, 12)
    assert size <= 64 and len(starts) == len(axis_starts(n, 64, 12))
    assert all(12 <= a + size - b <= 14 for a, b in zip(starts, starts[1:], strict=False))
    assert mosaic.tiles_of(gl.config.Signal(axes=1, window=16, overlap=4), (n,)) == (16,)


def test_one_crowded_window_is_not_padded_to_all(monkeypatch):
    """Many points in one window and few in the others: what is decoded stays within twice what was asked."""
    model = tiny("hybrid", LOCAL)
    field = model.encode(gl.Samples.from_grid(torch.rand(40, 40, 3)))
    coords = torch.cat([torch.rand(5000, 2) * 0.05, torch.rand(200, 2)])
    network = model.frozen_copy()
    decoded, real = [], network.decode

    monkeypatch.setattr(mosaic, "points_at_once", lambda device: 6000)
    whole = field(coords)

    def counting(encoded, points, cell):
        decoded.append(points.shape[0] * points.shape[1])
        return real(encoded, points, cell)

    monkeypatch.setattr(network, "decode", counting)
    again = model.encode(gl.Samples.from_grid(field.samples.on_grid()[0]))(coords)
    torch.testing.assert_close(again, whole, rtol=0, atol=1e-5)
    assert sum(decoded) < 4 * len(coords) and max(decoded) <= 6000


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
        monkeypatch.setattr(mosaic, "BYTES_KEPT", 1)
        monkeypatch.setattr(mosaic, "WINDOWS_AT_ONCE", 3)
        torch.testing.assert_close(model.encode(samples).to_image(2), whole, rtol=0, atol=1e-5)


def test_an_overlap_that_does_not_fit():
    with pytest.raises(ValueError, match=r"overlap must be between 1 and a third of signal.window 8, got 3"):
        Windows((20, 20), (8, 8), 3)
