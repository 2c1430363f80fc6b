"""Batches that worker processes draw ahead are those that would have been drawn."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless.config import Train

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
