"""Classical answers equal Pillow's, interpolate, and reproduce what their kernels can."""

import numpy as np
import pytest
import torch
from PIL import Image

import gridless as gl
from gridless.bases import Interpolation

PILLOW = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(29, 23, 1, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", PILLOW)
@pytest.mark.parametrize("shape", [(58, 46), (107, 85), (29, 23), (10, 9), (40, 11), (2, 1), (1, 40)])
def test_equals_pillow(kind, shape, picture):
    ours = Interpolation(kind).encode(gl.Samples.from_grid(picture)).to_image(shape=shape)[..., 0].numpy()
    theirs = np.asarray(Image.fromarray(picture[..., 0].numpy()).resize(shape[::-1], PILLOW[kind]))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", PILLOW)
def test_at_its_own_size_a_picture_is_itself(kind, picture):
    assert torch.equal(Interpolation(kind).encode(gl.Samples.from_grid(picture)).to_image(1), picture)


def test_bicubic_reproduces_quadratics():
    """Keys' a = −0.5 does; torch's −0.75 does not."""
    x = gl.grid(40, dtype=torch.float64)
    samples = gl.Samples.from_grid((x**2 - 0.3 * x), axes=1)
    inner = torch.rand(50, 1, dtype=torch.float64) * 0.8 + 0.1
    answer = Interpolation("bicubic").encode(samples)(inner)
    torch.testing.assert_close(answer, inner**2 - 0.3 * inner, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic", "lanczos"])
def test_constants_stay_constant_up_to_the_border(kind):
    field = Interpolation(kind).encode(gl.Samples.from_grid(torch.full((5, 6, 2), 0.7)))
    torch.testing.assert_close(field(torch.rand(100, 2)), torch.full((100, 2), 0.7))
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(field(corners), torch.full((3, 2), 0.7))


def test_what_was_not_measured_is_not_read():
    values, mask = torch.full((6, 6, 1), 0.4), torch.ones(6, 6, dtype=torch.bool)
    values[2, 3], mask[2, 3] = float("nan"), False
    field = Interpolation("bicubic").encode(gl.Samples.from_grid(values, mask=mask))
    torch.testing.assert_close(field(torch.rand(200, 2)), torch.full((200, 1), 0.4))


@pytest.mark.parametrize("kind", PILLOW)
def test_a_wide_hole_stays_within_what_was_measured(kind):
    values, mask = torch.rand(12, 12, 1), torch.ones(12, 12, dtype=torch.bool)
    mask[4:8, 4:8] = False
    field = Interpolation(kind).encode(gl.Samples.from_grid(values, mask=mask))
    image = field.to_image(4)
    assert image.isfinite().all() and image.min() > -0.7 and image.max() < 1.7


def test_an_unknown_baseline_names_those_there_are():
    with pytest.raises(ValueError, match="no baseline 'cubic'; there are nearest, bilinear, bicubic, lanczos"):
        Interpolation("cubic")
