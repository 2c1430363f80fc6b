"""Batches that worker processes draw ahead are those that would have been drawn."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless.config import Train
from gridless.training.steps import Batches, batch_stream

TRAIN = Train(steps=3, batch=2, queries=20)


@pytest.mark.slow
def test_workers_change_no_bit(capfd):
    data = [torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(i)).numpy() for i in range(3)]
    models = []
    for workers in (0, 2):
        model = tiny("conv", {"base": {"kind": "bicubic"}})
        gl.fit(model, data, gl.SuperResolution(scale=2.0), train=replace(TRAIN, workers=workers), quiet=True)
        models.append(model)
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not capfd.readouterr().err


class Large:
    """A task of batches that take long to hand over."""

    def draw(self, data, rng, **sizes) -> list[torch.Tensor]:
        return [torch.full((20_000_000,), float(data)), torch.zeros(20_000_000)]


@pytest.mark.slow
def test_workers_end_quietly_in_the_middle_of_a_batch(capfd):
    for level in range(3):
        stream = batch_stream(Batches(Large(), level, (), replace(TRAIN, workers=2)), 0)
        assert all((next(stream)[0] == level).all() for _ in range(2))
        del stream
    assert not capfd.readouterr().err
