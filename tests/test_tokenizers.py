"""Patches of a grid of any dimension, cut and joined."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridless.network.tokenizers import cut_patches, join_patches


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_joined_patches_are_the_grid_again(shape, size, channels):
    values = torch.rand(2, *[n * size for n in shape], channels)
    patches = cut_patches(values, size)
    assert patches.shape == (2, torch.tensor(shape).prod(), size ** len(shape) * channels)
    assert torch.equal(join_patches(patches, tuple(shape), size), values)


def test_patches_stand_in_raster_order():
    values = torch.arange(24.0).reshape(1, 4, 6, 1)
    assert cut_patches(values, 2)[0, 1].tolist() == [2, 3, 8, 9]
    assert cut_patches(values, 2)[0, 3].tolist() == [12, 13, 18, 19]
