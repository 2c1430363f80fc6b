"""A grid of questions is answered at the price of its axes, with the same numbers as point by point."""

import pytest
import torch
from conftest import LOCAL, tiny

import gridless as gl
from gridless.bases import Interpolation
from gridless.coords import Lattice, lattice

SCALES = (1.0, 2.0, 3.7, 0.4, (1.3, 4.0))


def point_by_point(field: gl.Field, shape: tuple[int, ...]) -> torch.Tensor:
    samples = field.samples
    axes, cell = lattice(shape, samples.shape, samples.domain)
    coords = Lattice(tuple(axes)).points(len(samples))
    return field(coords, cell=cell).unflatten(1, shape)


def conv(diff: dict | None = None) -> gl.FieldModel:
    return tiny("conv", {"base": {"kind": "bicubic"}, **(diff or {})})


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(8, 8), (30, 21), (5, 40)])
@pytest.mark.parametrize("model", ["conv", "hybrid"])
def test_a_grid_is_its_points(model, size, scale):
    made = conv() if model == "conv" else tiny("hybrid", LOCAL)
    made.double()
    field = made.encode(gl.Samples.from_grid(torch.rand(2, *size, 3, dtype=torch.float64)))
    grid = field.to_grid(scale=scale)
    torch.testing.assert_close(grid, point_by_point(field, grid.shape[1:-1]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("scale", SCALES)
def test_an_interpolated_grid_is_its_points(kind, scale):
    field = Interpolation(kind).encode(gl.Samples.from_grid(torch.rand(2, 13, 18, 3, dtype=torch.float64)))
    grid = field.to_grid(scale=scale)
    torch.testing.assert_close(grid, point_by_point(field, grid.shape[1:-1]), rtol=0, atol=1e-12)


def test_holes_periods_and_other_numbers_of_axes_are_answered_too():
    mask = torch.rand(1, 20, 30, generator=torch.Generator().manual_seed(0)) > 0.3
    values = torch.rand(1, 20, 30, 3)
    circle = gl.Domain(axes=(gl.Axis(name="y"), gl.Axis(name="x", period=1.0)))
    fields = [
        conv().encode(gl.Samples.from_grid(values, mask=mask)),
        conv().encode(gl.Samples.from_grid(values, domain=circle)),
        tiny("conv", {"signal": {"axes": 1, "channels": 1}}).encode(gl.Samples.from_grid(torch.rand(1, 33, 1), axes=1)),
    ]
    for field in fields:
        shape = tuple(2 * n + 1 for n in field.samples.shape)
        torch.testing.assert_close(field.to_grid(shape=shape)[None], point_by_point(field, shape), rtol=0, atol=2e-5)


def test_parts_and_blocks_change_nothing():
    field = conv().double().encode(gl.Samples.from_grid(torch.rand(25, 31, 3, dtype=torch.float64)))
    whole = field.to_grid(scale=2.3)
    torch.testing.assert_close(field.to_grid(scale=2.3, chunk=37), whole, rtol=0, atol=1e-12)
    part = (slice(11, 40), slice(3, 64))
    torch.testing.assert_close(field.to_grid(scale=2.3, part=part), whole[part], rtol=0, atol=1e-12)


@pytest.mark.parametrize("most", [1, 5, 7, 12, 100])
def test_blocks_cover_a_lattice_once_in_order(most):
    whole = Lattice(tuple(torch.arange(n) for n in (3, 4, 2)))
    blocks = [block.points(1)[0] for _, block in whole.blocks(most)]
    assert torch.equal(torch.cat(blocks), whole.points(1)[0])
    assert max(map(len, blocks)) <= most


def test_a_larger_tile_answers_nearly_the_same():
    """Tiles only decide how much of a picture is seen at once; the model knows no place in its window."""
    values = torch.rand(1, 40, 44, 3)
    small, large = conv({"signal": {"tile": 20, "overlap": 6}}), conv({"signal": {"tile": 48, "overlap": 10}})
    large.load_state_dict(small.state_dict())
    near = [model.encode(gl.Samples.from_grid(values)).to_grid(scale=2) for model in (small, large)]
    torch.testing.assert_close(*near, rtol=0, atol=0.05)


def test_parts_that_would_read_nothing_are_refused():
    with pytest.raises(ValueError, match="direct"):
        tiny("conv", {"local": None})
    with pytest.raises(ValueError, match=r"local\.patches"):
        tiny("conv", {"local": {"patches": True}})
    with pytest.raises(ValueError, match=r"signal\.tile"):
        tiny("hybrid", {"signal": {"tile": 32}})
