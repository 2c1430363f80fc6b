"""Where position tokens stand, and that what is read back is what was put there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridless.network.encoders.mamba import placement

KINDS = ("equidistant", "middle", "group", "append")


@given(st.integers(0, 300), st.integers(0, 80), st.sampled_from(KINDS), st.integers(1, 8))
@settings(max_examples=400, deadline=None)
def test_every_placement_is_a_permutation_that_reads_its_tokens_back(patches, groups, kind, group):
    tokens = groups * group
    place = placement(patches, tokens, kind, group)
    total = patches + tokens
    assert sorted(place.order.tolist()) == list(range(total))
    assert place.order[place.tokens].tolist() == list(range(patches, total))  # all of them tokens, in their order
    assert place.order[place.patches].tolist() == list(range(patches))  # the patches keep theirs
    assert place.tokens.tolist() == sorted(set(place.tokens.tolist()))


def test_published_indices():
    assert placement(64, 16).tokens.tolist() == [0, 5, 10, 15, 21, 26, 31, 36, 42, 47, 52, 57, 63, 68, 73, 79]
    assert placement(4, 2, "middle").order.tolist() == [0, 1, 4, 5, 2, 3]
    assert placement(6, 4, "group", 2).order.tolist() == [6, 7, 0, 1, 2, 3, 4, 5, 8, 9]
    assert placement(3, 2, "append").order.tolist() == [0, 1, 2, 3, 4]
    assert placement(5, 1).tokens.tolist() == [0]


def test_a_group_must_divide():
    with pytest.raises(ValueError, match="groups of 3 do not divide 16 tokens"):
        placement(8, 16, "group", 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_reads_the_tokens(kind):
    """With depth 0 the latents are the tokens themselves and the patches come back unchanged, in order."""
    from conftest import tiny

    from gridless.network.encoded import Tokens

    diff = {"encoder": {"depth": 0, "final": "last-mlp", "tokens": {"content": False, "placement": kind, "group": 2}}}
    encoder = tiny("mamba-ginr", diff).encoder
    x = torch.randn(2, 9, 32)
    latents, patches = encoder(Tokens(x, torch.zeros(2, 9, 2)))
    assert torch.equal(latents.x, encoder.tokens.x.expand(2, -1, -1))
    assert torch.equal(patches, x)
