"""Space-filling curves visit every cell once; Hilbert's never jumps."""

import pytest
import torch

import gridless as gl
from gridless.nn.curves import along_curve


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
