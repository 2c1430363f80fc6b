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
def test_a_wide_hole_is_unknown_or_filled_and_never_zero(kind):
    """Beyond the kernel's reach NaN, or the nearest measured value; within it nothing beyond what was measured."""
    values, mask = 5 + torch.rand(14, 14, 1), torch.ones(14, 14, dtype=torch.bool)
    mask[4:10, 4:10] = False
    samples = gl.Samples.from_grid(values, mask=mask)
    image, filled = (Interpolation(kind, fill=fill).encode(samples).to_grid(4) for fill in (False, True))
    unknown = image.isnan()
    assert unknown[28, 28].all() and not unknown[:12].any() and filled.isfinite().all()
    assert torch.equal(filled[~unknown], image[~unknown])
    assert image[~unknown].min() > 4.5 and image[~unknown].max() < 6.5
    assert torch.isin(filled[unknown], values[mask]).all()


def test_at_a_hole_the_neighbours_answer_as_they_do_beside_it():
    """At the very centre of a missing sample every tap with weight is missing: a rounding error decided before."""
    values, mask = (
        280 + torch.rand(9, 9, 1, generator=torch.Generator().manual_seed(0)),
        torch.ones(9, 9, dtype=torch.bool),
    )
    mask[::2, 1::2] = False
    field = Interpolation("bicubic").encode(gl.Samples.from_grid(values, mask=mask))
    centre = torch.tensor([[4.5 / 9, 3.5 / 9]])
    here, beside = field(centre), field(centre + 1e-4)
    assert 279 < here < 282 and (here - beside).abs() < 0.05
    line = torch.stack([torch.full((4001,), 4.5 / 9), torch.linspace(0.2, 0.8, 4001)], -1)
    steps = field(line).diff(dim=0).abs()
    assert steps.max() < 0.02  # no jump where a hole comes within reach


def test_an_axis_whose_end_is_its_beginning_joins_in_value_and_gradient():
    lon = torch.arange(0, 360, 10.0, dtype=torch.float64)
    domain = gl.Domain.of_grid({"lat": torch.linspace(-40, 40, 9), "lon": lon})
    wave = torch.sin(torch.deg2rad(lon)).expand(9, -1)[..., None]
    field = Interpolation("bicubic").encode(gl.Samples.from_grid(wave, domain=domain))

    def at(*longitudes):
        return {"lat": torch.zeros(len(longitudes)), "lon": torch.tensor(longitudes)}

    torch.testing.assert_close(field(at(359.9999)), field(at(-0.0001)), atol=1e-6, rtol=0)
    torch.testing.assert_close(field(at(0.0, 180.0)), torch.zeros(2, 1, dtype=torch.float64), atol=1e-9, rtol=0)
    gradient = field.gradient(at(354.9999, 355.0001, -5.0001))[..., 1]
    torch.testing.assert_close(gradient, gradient[:1].expand_as(gradient), atol=1e-4, rtol=0)
    assert abs(float(gradient[0]) - torch.pi / 180) < 3e-3  # per degree


def test_nodes_and_cells_agree_on_the_same_data():
    """Values at 0, 1, … 8 km: as nodes the grid runs from 0 to 8, as cells from −½ to 8½; a place has one value."""
    values = torch.rand(9, 1, dtype=torch.float64)
    fields = [
        Interpolation().encode(
            gl.Samples.from_grid(values, 1, domain=gl.Domain.of_grid({"x": range(9)}, samples=kind, units={"x": "km"}))
        )
        for kind in ("nodes", "cells")
    ]
    asked = {"x": torch.linspace(0, 8, 33)}
    torch.testing.assert_close(fields[0](asked), fields[1](asked))
    finer = fields[0].to_grid(scale=4)
    assert finer.shape == (33, 1)
    torch.testing.assert_close(finer, fields[0](asked))
    assert fields[1].to_grid(scale=4).shape == (36, 1)


def test_an_unknown_baseline_names_those_there_are():
    with pytest.raises(ValueError, match="no baseline 'cubic'; there are nearest, bilinear, bicubic, lanczos"):
        Interpolation("cubic")
