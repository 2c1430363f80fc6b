"""The photo model that ships: by name, better than bicubic at any factor, without a seam, in half precision too."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.bases import Interpolation
from gridless.data.pictures import quantise, resize_bicubic
from gridless.nn.precision import bf16, has_bf16

CPU = torch.device("cpu")


@cache
def photo_model() -> gl.FieldModel:
    with torch.inference_mode(False):
        return gl.FieldModel.from_pretrained("photo")


@cache
def parts() -> list[np.ndarray]:
    """Of photos that no training saw (H W 3), 8 bits."""
    return [photo.pixels[60:252, 100:292] for photo in gl.data.photos("test")]


def seen(pixels: np.ndarray, scale: float) -> gl.Samples:
    size = tuple(int(n / scale) for n in pixels.shape[:2])
    coarse = resize_bicubic(np.ascontiguousarray(pixels), size)
    return gl.Samples.from_grid(torch.from_numpy(coarse.astype(np.float32) / 255))


def psnr(field: gl.Field, pixels: np.ndarray) -> float:
    answer = quantise(field.to_image(shape=pixels.shape[:2]).float().numpy())
    return float(10 * np.log10(255**2 / np.square(answer.astype(float) - pixels).mean()))


@pytest.mark.parametrize(("scale", "least"), [(2, 1.5), (3, 0.9), (3.7, 0.8), (6, 0.6)])
def test_it_is_better_than_bicubic_at_any_factor(scale, least):
    gains = []
    for pixels in parts():
        samples = seen(pixels, scale)
        gains.append(
            psnr(photo_model().encode(samples), pixels) - psnr(Interpolation("bicubic").encode(samples), pixels)
        )
    assert np.mean(gains) > least and min(gains) > 0.2, gains


@pytest.mark.skipif(not has_bf16(CPU), reason="this processor has no bf16")
def test_half_precision_costs_nothing_that_is_seen():
    for pixels in parts():
        samples = seen(pixels, 3)
        single = psnr(photo_model().encode(samples), pixels)
        with bf16(CPU):
            half = psnr(photo_model().encode(samples), pixels)
        assert abs(single - half) < 0.02


def test_tiles_leave_no_seam():
    model = photo_model()
    config = replace(model.config, signal=replace(model.config.signal, tile=128))
    tiled = gl.FieldModel(config)
    tiled.load_state_dict(model.state_dict())
    samples = gl.Samples.from_grid(torch.from_numpy(gl.data.photos("test")[1].values[:200, :220]))
    whole, parted = (m.eval().encode(samples) for m in (model, tiled))
    assert hasattr(parted.correction.reader, "windows") and not hasattr(whole.correction.reader, "windows")
    difference = whole.to_image(scale=2) - parted.to_image(scale=2)
    assert 255 * difference.abs().max() < 0.5  # of a level
    line = torch.stack([torch.full((400,), 0.4), torch.linspace(0.3, 0.7, 400)], -1)
    torch.testing.assert_close(parted.gradient(line), whole.gradient(line), rtol=0, atol=0.02 * 220)
    steps = [field(line).diff(dim=0).abs().max() for field in (parted, whole)]
    torch.testing.assert_close(*steps, rtol=0.01, atol=0)


def test_its_card_says_what_it_learned_and_under_which_terms():
    from importlib.resources import files

    folder = files("gridless.weights") / "photo"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "BSDS500" in card and "research" in card and "gridless train photo" in card
    assert (folder / "model.safetensors").stat().st_size < 6 * 2**20
