"""Mamba between its projections as one operator on the CPU: against the float64 layer, whose scan is a plain loop."""

from copy import deepcopy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gridless import config
from gridless.nn import mamba
from gridless.nn.mamba import BiMamba
from gridless.nn.scan import mixer_fits

pytest.importorskip("numba")

SHAPES = [(2, 37, 24, 16), (1, 1, 8, 3), (2, 16, 16, 1), (1, 3, 40, 5), (1, 70, 136, 8)]
"""Batch, length, width and state: lengths about the taps and the chunk, one more than a group of channels."""


def layer_of(width, state=16, direction="both", conv=4):
    torch.manual_seed(0)
    return BiMamba(width, config.Ssm(state=state, direction=direction, conv=conv))


def masked(batch, length):
    return torch.arange(length) < (length - 2 * torch.arange(batch) - 1).clamp(min=1)[:, None]


def with_gradients(layer, x, mask=None):
    """The output where it is real and the gradients of a weighted sum of that."""
    x = x.detach().clone().requires_grad_()
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(x.dtype)
    if mask is not None:
        weight = weight * mask[..., None]
    y = layer(x, mask)
    own = dict(layer.named_parameters())
    gradients = torch.autograd.grad((y * weight).sum(), [x, *own.values()])
    return {"y": (y * (weight != 0)).detach()} | dict(zip(["x", *own], gradients, strict=True))


def assert_close(got, want, tolerance):
    for name, b in want.items():
        error = (got[name].double() - b.double()).abs().max()
        assert error <= tolerance * b.abs().max() + 1e-12, f"{name}: {error / b.abs().max():.1e}"


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("direction", ["both", "forward"])
@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_gradients(shape, direction, real):
    batch, length, width, state = shape
    layer, x = layer_of(width, state, direction), torch.randn(batch, length, width)
    mask = masked(batch, length) if real else None
    assert mixer_fits(layer.in_proj(x), layer.inner)
    want = with_gradients(deepcopy(layer).double(), x.double(), mask)
    assert_close(with_gradients(layer, x, mask), want, 1e-5)


@pytest.mark.parametrize("taps", [1, 3, 5])
def test_any_number_of_taps(taps):
    layer, x = layer_of(16, conv=taps), torch.randn(2, 20, 16)
    assert_close(with_gradients(layer, x), with_gradients(deepcopy(layer).double(), x.double()), 1e-5)


def test_a_mask_with_holes():
    layer, x, mask = layer_of(16), torch.randn(2, 40, 16), torch.rand(2, 40) > 0.3
    assert_close(with_gradients(layer, x, mask), with_gradients(deepcopy(layer).double(), x.double(), mask), 1e-5)


def test_as_without_it(monkeypatch):
    """In bfloat16 too, where both round, in different places."""
    layer, x, mask = layer_of(32), torch.randn(2, 50, 32), masked(2, 50)
    runs = {}
    for fused in (True, False):
        monkeypatch.setattr(mamba, "mixer_fits", mixer_fits if fused else lambda xz, width: False)
        with torch.autocast("cpu", torch.bfloat16):
            runs[fused, "half"] = with_gradients(layer, x, mask)
        runs[fused, "single"] = with_gradients(layer, x, mask)
    assert_close(runs[True, "single"], runs[False, "single"], 1e-5)
    assert_close(runs[True, "half"], runs[False, "half"], 3e-2)
    assert runs[True, "half"]["y"].dtype == torch.bfloat16
    assert_close(runs[True, "half"], runs[True, "single"], 3e-2)


def test_a_layer_that_is_bfloat16_throughout():
    layer, x = layer_of(16), torch.randn(2, 20, 16)
    want = with_gradients(layer, x)
    got = with_gradients(layer.bfloat16(), x.bfloat16())
    assert {v.dtype for v in got.values()} == {torch.bfloat16}
    assert_close(got, want, 6e-2)


def test_padding_is_inert():
    layer, x = layer_of(24), torch.randn(2, 30, 24)
    long = torch.cat([x, torch.randn(2, 21, 24)], 1)
    mask = torch.arange(51).expand(2, -1) < 30
    want, got = with_gradients(layer, x), layer(long, mask)[:, :30]
    assert torch.equal(got, layer(x))
    parameters = dict(layer.named_parameters())
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((got * weight).sum(), parameters.values())
    assert_close(dict(zip(parameters, gradients, strict=True)), {name: want[name] for name in parameters}, 1e-5)


def test_same_bits_again_and_for_any_number_of_threads():
    layer, x = layer_of(40), torch.randn(3, 50, 40)
    xz, before, runs = layer.in_proj(x).detach(), torch.get_num_threads(), []
    try:
        for threads in (before, before, 1, 2):
            torch.set_num_threads(threads)
            leaf = xz.clone().requires_grad_()
            y = layer._mixed(leaf, None, None)
            runs.append([y, *torch.autograd.grad(y.square().sum(), [leaf, layer.conv_weight, layer.A_log, layer.D])])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


def test_no_grad_and_frozen_parameters():
    layer, x = layer_of(16), torch.randn(2, 20, 16)
    want = layer(x)
    with torch.no_grad():
        assert torch.equal(layer(x), want)
    with torch.inference_mode():
        assert torch.equal(layer(x), want)
    dx = with_gradients(layer, x)["x"]
    layer.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    (layer(leaf) * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    assert torch.equal(leaf.grad, dx)


def test_where_it_does_not_fit(monkeypatch):
    xz = torch.zeros(1, 4, 128)
    assert mixer_fits(xz, 32) and mixer_fits(xz.bfloat16(), 32)
    assert not mixer_fits(xz, 20)  # not a whole number of vectors
    assert not mixer_fits(xz.half(), 32) and not mixer_fits(xz.double(), 32)
    monkeypatch.setenv("GRIDLESS_SCAN", "reference")
    assert not mixer_fits(xz, 32)


def arguments(keep, mask=None):
    layer = layer_of(8, state=3)
    own = (layer.conv_weight, layer.conv_bias, layer.x_proj, layer.dt_proj, layer.dt_bias)
    tensors = [v.detach().clone().requires_grad_() for v in (torch.randn(2, 5, 64), *own, -layer.A_log.exp(), layer.D)]
    return tensors[0], mask, *tensors[1:], keep


def test_operators_are_well_formed():
    layer_of(8)(torch.zeros(1, 2, 8))  # registers them
    ops, mask = torch.ops.gridless, masked(2, 5)
    torch.library.opcheck(ops.mamba_mixer.default, arguments(True))
    torch.library.opcheck(ops.mamba_mixer.default, arguments(True, mask))
    inputs = [v.detach() if isinstance(v, torch.Tensor) else v for v in arguments(False)]
    torch.library.opcheck(ops.mamba_mixer.default, (*inputs,))
    y, *kept = ops.mamba_mixer(*inputs[:-1], True)
    torch.library.opcheck(ops.mamba_mixer_backward.default, (y, *inputs[:-1], *kept))


def test_backward_without_kept_states_is_refused():
    y, *_ = torch.ops.gridless.mamba_mixer(*arguments(False))
    with pytest.raises(ValueError, match="keep=False"):
        y.sum().backward()


def test_no_graph_break_under_compile():
    layer, x = layer_of(16), torch.randn(2, 20, 16)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))


def test_flops_are_those_of_the_parts(monkeypatch):
    layer, x, counts = layer_of(16), torch.randn(2, 20, 16), []
    for fused in (True, False):
        monkeypatch.setattr(mamba, "mixer_fits", mixer_fits if fused else lambda xz, width: False)
        with FlopCounterMode(display=False) as counter:
            layer(x).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1]


def test_it_keeps_less_than_half_for_the_backward(monkeypatch):
    layer, x, kept = layer_of(64), torch.randn(2, 128, 64), {}
    for fused in (True, False):
        monkeypatch.setattr(mamba, "mixer_fits", mixer_fits if fused else lambda xz, width: False)
        sizes: list[int] = []
        counted = torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.nbytes) or t, lambda t: t)
        with counted, torch.autocast("cpu", torch.bfloat16):
            layer(x)
        kept[fused] = sum(sizes) - sum(p.nbytes for p in layer.parameters())
    assert kept[True] < kept[False] / 2
