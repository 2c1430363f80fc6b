"""Attention with a bias that never becomes a matrix."""

import pytest
import torch
import torch.nn.functional as F

from gridless.config import Bias
from gridless.nn.attention import SpatialBias, attend, nearest


def inputs(queries=37, latents=11, heads=2, width=12, dtype=torch.float32):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, heads, n, width, dtype=dtype) for n in (queries, latents, latents))
    return q, k, v, torch.rand(2, queries, 2), torch.rand(2, latents, 2)


def distances(kind, coords, pos, alpha, patches):
    if kind == "euclid":
        return -alpha * (coords[:, :, None] - pos[:, None]).square().sum(-1)
    index = (coords * patches).floor() @ torch.tensor([patches, 1.0]) / patches**2
    return -alpha * (index[..., None] - (torch.arange(pos.shape[1]) + 0.5) / pos.shape[1]).square()


@pytest.mark.parametrize("kind", ["euclid", "raster"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "dtype,tolerance", [(torch.float64, 1e-6), (torch.float32, 2e-6), (torch.bfloat16, 2e-2)], ids=str
)
def test_the_folded_bias_is_the_distance(kind, masked, dtype, tolerance):
    q, k, v, coords, pos = inputs(dtype=dtype)
    mask = torch.arange(11).expand(2, -1) < torch.tensor([[11], [6]]) if masked else None
    got = attend(q, k, v, SpatialBias(Bias(kind=kind, alpha=10.0), 4)(coords, pos), mask)
    logits = distances(kind, coords, pos, 10.0, 4)[:, None].double()
    if masked:
        logits = logits.masked_fill(~mask[:, None, None], float("-inf"))
    want = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=logits)
    assert got.dtype == dtype and (got.double() - want).abs().max() < tolerance


def test_no_bias_is_no_bias():
    q, k, v, coords, pos = inputs()
    assert SpatialBias(Bias(), 4)(coords, pos) is None
    torch.testing.assert_close(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_a_large_alpha_does_not_cancel_in_fp32():
    q, k, v, coords, pos = inputs()
    got = attend(q, k, v, SpatialBias(Bias(kind="euclid", alpha=1000.0), 4)(coords, pos))
    logits = distances("euclid", coords.double(), pos.double(), 1000.0, 4)[:, None]
    want = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=logits)
    assert (got - want).abs().max() < 1e-3


def test_memory_grows_with_queries_and_latents_not_with_their_product():
    """The bytes that autograd keeps: twice the latents must not double them."""

    def kept(latents):
        q, k, v, coords, pos = inputs(queries=512, latents=latents)
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            attend(q.requires_grad_(), k, v, SpatialBias(Bias(kind="euclid"), 4)(coords, pos))
        return total

    assert kept(512) < 1.9 * kept(256)


@pytest.mark.parametrize("kind", ["none", "euclid"])
@pytest.mark.parametrize("masked", [False, True])
def test_reading_the_nearest_alone(kind, masked):
    """The same as attention with everything else masked; with all of them, the same as attention."""
    q, k, v, coords, pos = inputs()
    bias = SpatialBias(Bias(kind=kind), 4)(coords, pos)
    mask = torch.arange(11).expand(2, -1) < torch.tensor([[11], [10]]) if masked else None
    near = nearest(coords, pos, 4)
    others = torch.ones(2, 37, 11, dtype=torch.bool).scatter(2, near, False)
    assert others.sum() == 2 * 37 * 7
    logits = torch.zeros(2, 1, 37, 11) if bias is None else distances(kind, coords, pos, 10.0, 4)[:, None]
    closed = others[:, None] if mask is None else others[:, None] | ~mask[:, None, None]
    want = F.scaled_dot_product_attention(q, k, v, attn_mask=logits.masked_fill(closed, float("-inf")))
    torch.testing.assert_close(attend(q, k, v, bias, mask, near), want, rtol=1e-4, atol=1e-5)
    everything = torch.arange(11).expand(2, 37, -1)
    torch.testing.assert_close(
        attend(q, k, v, bias, mask, everything), attend(q, k, v, bias, mask), rtol=1e-4, atol=1e-5
    )
    assert nearest(coords, pos, 11) is None and nearest(coords, pos, None) is None
