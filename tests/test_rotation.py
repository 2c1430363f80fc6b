"""Latents that are read by the offset of the question, tokens that start with their patch, and the narrow place behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import drawn, tiny

import gridless as gl
from gridless.coords import distinct
from gridless.network.encoded import Tokens
from gridless.network.encoders.position_tokens import nearest_content
from gridless.nn.attention import CrossAttention
from gridless.nn.rotation import Rotation


def reading(places: torch.Tensor, latents_at: torch.Tensor, rotation: bool = True) -> torch.Tensor:
    torch.manual_seed(0)
    attention = CrossAttention(6, 10, 2, 8, Rotation(2, 8, 2, high=4.0) if rotation else None)
    query, latents = torch.randn(2, 5, 6), torch.randn(2, 3, 10)
    keys_values = attention.keys_values(latents, latents_at)
    return attention(query, keys_values, place=places)


def test_what_is_read_depends_on_the_offset_alone():
    torch.manual_seed(1)
    places, latents_at = torch.rand(2, 5, 2), torch.rand(2, 3, 2)
    here, moved = reading(places, latents_at), reading(places + 0.37, latents_at + 0.37)
    torch.testing.assert_close(here, moved, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(here, reading(places + 0.37, latents_at), atol=1e-3)


def test_a_rotation_wants_pairs_of_channels():
    with pytest.raises(ValueError, match=r"attention.rotation turns pairs.*got 7"):
        Rotation(2, 7, 2, high=4.0)


def test_a_token_starts_with_the_nearest_measured_patch():
    patches = Tokens(torch.randn(2, 3, 4), torch.tensor([[[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]]).expand(2, -1, -1))
    pos = torch.tensor([[[0.45, 0.5], [0.8, 0.95]]]).expand(2, -1, -1)
    assert torch.equal(nearest_content(patches.x, patches, pos), patches.x[:, [1, 2]])
    holed = replace(patches, mask=torch.tensor([[True, False, True], [False, False, False]]))
    near = nearest_content(holed.x, holed, pos)
    assert torch.equal(near[0], patches.x[0, [0, 2]]) or torch.equal(near[0], patches.x[0, [2, 2]])
    assert not near[1].any(), "where nothing was measured a token starts with its own vector"


def test_answers_follow_from_the_numbers_that_are_kept():
    units = {"mean": 0.5, "std": 0.3}  # of the model: a field keeps none of its own
    model = tiny("mamba-ginr", {"signal": units, "processor": {"latent": 5, "depth": 1}})
    model.train()  # its fields are of the model itself, not of a copy that knows no hooks
    one, other = (gl.Samples.from_grid(torch.rand(1, 8, 8, 3)) for _ in range(2))
    coords, kept = gl.grid(8, 8)[None], []
    assert model.latent_floats() == 16 * 5
    hook = model.processor.narrow.register_forward_hook(lambda *call: kept.append(call[-1]))
    answer = model(one, coords)
    hook.remove()
    assert kept[0].shape == (1, 16, 5)
    assert not torch.allclose(model(other, coords), answer)
    model.processor.narrow.register_forward_hook(lambda *call: kept[0])
    assert torch.equal(model(other, coords), answer)


def test_latents_that_are_narrowed_together_keep_as_many_numbers_each():
    model = tiny("mamba-ginr", {"signal": {"mean": 0.5, "std": 0.3}, "processor": {"latent": 5, "group": 4}})
    assert model.latent_floats() == 16 * 5 and model.processor.narrow.out_features == 4 * 5
    model = tiny("mamba-ginr", {"processor": {"latent": 5, "group": 3}})
    with pytest.raises(ValueError, match=r"processor.group 3 does not divide the 16 latents"):
        model.encode(gl.Samples.from_grid(torch.rand(8, 8, 3)))


@pytest.mark.parametrize("preset", ["mamba-ginr", "hybrid", "scent"])
def test_places_that_samples_share_are_answered_as_their_own(preset):
    model, coords = tiny(preset), gl.grid(8, 8)[None].expand(3, -1, -1)
    samples = gl.Samples.from_grid(torch.rand(3, 8, 8, 3))
    assert len(distinct(coords)) == 1 and len(distinct(coords.clone())) == 3
    torch.testing.assert_close(model(samples, coords), model(samples, coords.clone()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("share, moved", [(1.0, 4), (0.5, 2), (0.3, 2)])
def test_jitter_moves_a_share_of_the_crops(share, moved):
    task, rng = gl.Reconstruction(jitter=0.02, jitter_share=share), np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)]
    batch = drawn(task, pictures, rng, 8, 4, None)
    exact = (batch.coords == gl.grid(8, 8)).all(2).all(1)
    assert int((~exact).sum()) == moved
    seen = batch.samples.values
    torch.testing.assert_close(batch.target[exact], seen[exact], atol=1e-6, rtol=0)
