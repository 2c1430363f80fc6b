"""Space-filling curves visit every cell once; Hilbert's never jumps."""

import pytest
import torch

import gridless as gl
from gridless.nn.curves import along_curve, order_along_curve


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["morton", "hilbert"])
def test_every_cell_has_its_place(kind, axes):
    cells = gl.grid(*[8] * axes, dtype=torch.float64)
    order = along_curve(cells, kind).argsort()
    assert len(set(along_curve(cells, kind).tolist())) == 8**axes
    steps = (cells[order][1:] - cells[order][:-1]).norm(dim=-1) * 8
    if kind == "hilbert" or axes == 1:
        torch.testing.assert_close(steps, torch.ones_like(steps))
    assert along_curve(torch.tensor([[0.0] * axes, [1.0] * axes]), kind).min() >= 0


def test_morton_is_interleaved_bits():
    """The first four quarters: (0,0), (0,1), (1,0), (1,1)."""
    order = along_curve(gl.grid(2, 2), "morton").argsort()
    assert order.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no curve 'peano'"):
        along_curve(gl.grid(2, 2), "peano")


def test_points_anywhere_have_an_order_of_their_own():
    """On a sphere, with negative numbers; a shift, a stretch and the order of the list change nothing."""
    generator = torch.Generator().manual_seed(0)
    sphere = torch.nn.functional.normalize(torch.randn(2, 500, 3, generator=generator), dim=-1)
    order = order_along_curve(sphere, "hilbert")
    steps = sphere.gather(1, order[..., None].expand(-1, -1, 3)).diff(dim=1).norm(dim=-1)
    assert steps.mean() < 0.25  # at random it is 1.33
    assert torch.equal(order_along_curve(3 * sphere + 7, "hilbert"), order)
    shuffled = torch.randperm(500, generator=generator)
    assert torch.equal(shuffled[order_along_curve(sphere[:, shuffled], "hilbert")], order)


def test_a_plane_in_space_is_a_plane():
    """Positions of three numbers, of which one is zero: Hilbert's curve through the plane, without jumps."""
    cells = gl.grid(16, 16, dtype=torch.float64)[None]
    flat = torch.cat([cells[..., :1], torch.zeros_like(cells[..., :1]), cells[..., 1:]], -1)
    order = order_along_curve(flat, "hilbert")
    assert torch.equal(order, order_along_curve(cells, "hilbert"))
    both = order_along_curve(torch.cat([flat, torch.rand(1, 256, 3)]), "hilbert")  # whatever its batch-mates need
    assert torch.equal(both[:1], order)


def test_ties_are_broken_by_what_is_known_and_padding_stands_last():
    pos = torch.tensor([[[0.5, 0.5], [0.5, 0.5], [0.1, 0.9], [9.0, 9.0]]])
    real, value = torch.tensor([[True, True, True, False]]), torch.tensor([[2.0, 1.0, 3.0, 0.0]])
    order = order_along_curve(pos, "morton", real, value)
    assert order[0, -1] == 3 and order[0].tolist().index(1) < order[0].tolist().index(0)
    swapped = order_along_curve(pos[:, [1, 0, 2, 3]], "morton", real, value[:, [1, 0, 2, 3]])
    assert torch.equal(value[:, [1, 0, 2, 3]].gather(1, swapped), value.gather(1, order))
    assert torch.equal(order_along_curve(torch.zeros(1, 5, 2), "hilbert")[0], torch.arange(5))
