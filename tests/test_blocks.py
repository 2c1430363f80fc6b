"""Blocks sized from free memory: bounded on both sides, and the answers do not see them."""

import psutil
import pytest
import torch
from conftest import LOCAL, tiny

import gridless as gl
from gridless.nn import memory as blocks

CPU = torch.device("cpu")


def leave(monkeypatch, free: int) -> None:
    monkeypatch.setattr(blocks, "free_memory", lambda device: free)


def test_blocks_follow_the_free_memory_between_two_bounds(monkeypatch):
    sizes = []
    for free in (0, 1 << 20, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 40):
        leave(monkeypatch, free)
        sizes.append(blocks.points_at_once(CPU))
        assert sizes[-1] == blocks.FEWEST or sizes[-1] * blocks.POINT_BYTES <= free / blocks.SHARE
    assert sizes == sorted(sizes)
    assert sizes[0] == blocks.FEWEST < sizes[3] < sizes[-1] == blocks.MOST["cpu"]


def test_free_memory_is_the_machines():
    assert 0 < blocks.free_memory(CPU) <= psutil.virtual_memory().total


@pytest.mark.parametrize("preset", ["mamba-ginr", "hybrid", "ipc"])
@pytest.mark.parametrize("side", [8, 30], ids=["one window", "mosaic"])
def test_an_answer_does_not_depend_on_the_free_memory(preset, side, monkeypatch):
    model = tiny(preset, LOCAL)
    field = model.encode(gl.Samples.from_grid(torch.rand(2, side, side, 3)))
    answers, largest = [], []
    decoder = field.correction.network.decoder
    monkeypatch.setattr(decoder, "forward", counted(decoder.forward, largest))
    for free in (1 << 40, 0):
        leave(monkeypatch, free)
        largest.append(0)
        answers.append(field.to_image(shape=(90, 70)))
    torch.testing.assert_close(*answers, rtol=0, atol=1e-5)
    assert largest[1] <= blocks.FEWEST < largest[0] <= blocks.MOST["cpu"]


def counted(forward, largest: list[int]):
    """`forward`, noting how many points it is given at most."""

    def call(coords, *rest):
        largest[-1] = max(largest[-1], coords.shape[0] * coords.shape[1])
        return forward(coords, *rest)

    return call


def test_with_a_graph_the_points_stay_together(monkeypatch):
    """It keeps every point's values anyway, and a compiled training step stays one."""
    model, sizes = tiny("hybrid", LOCAL).train(), [0]
    monkeypatch.setattr(model.decoder, "forward", counted(model.decoder.forward, sizes))
    leave(monkeypatch, 0)
    model(gl.Samples.from_grid(torch.rand(2, 8, 8, 3)), torch.rand(2, 600, 2))
    assert sizes == [1200]
