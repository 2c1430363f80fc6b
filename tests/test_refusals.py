"""What cannot be answered is refused, in a line that names what was wrong with it."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless.bases import Scattered
from gridless.weights.pretrained import load, save


def grid(*shape: int) -> gl.Samples:
    return gl.Samples.from_grid(torch.rand(*(shape or (8, 8, 3))))


def readings(channels: int = 1) -> gl.Samples:
    return gl.Samples.from_points(torch.rand(9, 2), torch.rand(9, channels))


def field(preset: str = "hybrid", diff: dict | None = None) -> gl.Field:
    model = tiny(preset, diff)
    return model.encode(readings(model.config.signal.channels) if model.points else grid())


def asked(*shape: int | float, **options) -> torch.Tensor:
    """Of a grid of this shape."""
    return field().to_grid(shape=shape, **options)


def twice_the_targets() -> torch.Tensor:
    model = tiny("hybrid", {"signal": {"channels": 1}}).train()
    return model(grid(2, 8, 8, 1), torch.rand(2, 5, 2), target=torch.rand(2, 5, 2))


PLACES = torch.rand(5, 2)
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a chunk below zero": (lambda: asked(4, 4, chunk=-1), "chunk is a number of points, at least 1, got -1"),
    "a chunk of nothing": (lambda: field()(PLACES, chunk=0), "chunk is a number of points, at least 1, got 0"),
    "a shape below zero": (lambda: asked(-3, 4), r"shape must be 2 whole numbers of at least 1, got \(-3, 4\)"),
    "an empty shape": (lambda: asked(0, 5), r"shape must be 2 whole numbers of at least 1, got \(0, 5\)"),
    "a shape of one axis": (lambda: asked(8), r"shape must be 2 whole numbers .* got \(8,\)"),
    "a broken shape": (lambda: asked(2.5, 4), r"shape must be 2 whole numbers .* got \(2.5, 4\)"),
    "a part beyond the end": (lambda: asked(4, 4, part=(slice(0, 9), slice(None))), r"part must lie within 0 … 4"),
    "a part before the start": (lambda: asked(4, 4, part=(slice(-1, 2), slice(None))), r"part must lie within 0 … 4"),
    "an endless scale": (lambda: field().to_grid(float("inf")), "scale must be a positive number .* got inf"),
    "an immense scale": (lambda: field().to_grid(1e308), r"scale must be a positive number .* got 1e\+308"),
    "a scale below zero": (lambda: field().to_grid(-2.0), "scale must be a positive number .* got -2"),
    "a cell of nothing": (lambda: field()(PLACES, torch.tensor([0.0, 0.1])), "cell is the size of a pixel.* got 0"),
    "a cell below zero": (lambda: field()(PLACES, torch.tensor([0.1, -0.1])), "size of a pixel, .* got -0.1"),
    "a cell of no number": (lambda: field()(PLACES, torch.tensor([0.1, torch.nan])), "size of a pixel, .* got nan"),
    "a gradient by such a cell": (lambda: field().gradient(PLACES, torch.zeros(2)), "size of a pixel, .* got 0"),
    "whole coordinates": (lambda: field()(torch.ones(3, 2).int()), "coordinates must be floats .* got torch.int32"),
    "their gradient": (lambda: field().gradient(torch.ones(3, 2).int()), "must be floats .* got torch.int32"),
    "a sample without a seed": (lambda: field().sample(PLACES, seed=None), "seed a whole number .* and None"),
    "no sample": (lambda: field().sample(PLACES, n=0), "n must be at least 1 .* got 0"),
    "a gradient of a joint field": (
        lambda: field(diff={"decoder": {"joint": True}}).gradient(PLACES),
        "a joint decoder.* does not exist",
    ),
    "a gradient of v1": (lambda: field("v1").gradient(PLACES), "a joint decoder.* does not exist"),
    "a gradient of v2": (lambda: field("v2").gradient(PLACES), "a joint decoder.* does not exist"),
    "a gradient without torch": (
        lambda: Scattered("gp").encode(readings()).gradient(PLACES),
        "answers without torch and has no gradient; use kriging",
    ),
    "two targets of one channel": (twice_the_targets, r"answer has shape \(2, 5, 1\), .* set signal.out_channels"),
    "readings interpolated as a grid": (
        lambda: tiny("scattered", {"base": {"kind": "bicubic"}}),
        "'bicubic' interpolates grids, tokenizer.kind 'points' reads scattered values",
    ),
    "an endless range": (lambda: gl.Uniform(1, float("inf")), "finite number"),
    "a range that falls": (lambda: gl.Uniform(2, 1), "low ≤ high, got 2.0, 1.0"),
    "crops of nothing": (lambda: gl.SuperResolution(seen=0), "seen: .*equal to 1, got 0"),
    "other crops of nothing": (lambda: gl.Reconstruction(seen=0), "seen: .*equal to 1, got 0"),
    "an unknown placement": (
        lambda: gl.SparseField(placement="nowhere"),
        "(?s)placement.*'clustered', 'tracks' or 'any'",
    ),
}


@pytest.mark.parametrize(("wrong", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_answered_is_told_in_a_line(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "truth", "input", ".hidden"])
def test_a_model_is_not_called_what_would_be_another_file(name, tmp_path):
    """Whether its own config says so or the caller; nothing is written."""
    save(tiny("hybrid"), tmp_path / "saved")
    config = tmp_path / "saved" / "config.json"
    table = json.loads(config.read_text(encoding="utf-8")) | {"name": name}
    config.write_text(json.dumps(table), encoding="utf-8")
    model, pictures = load(gl.FieldModel, tmp_path / "saved"), [np.zeros((16, 16, 3), np.uint8)]
    before = sorted(tmp_path.rglob("*"))
    for models in (model, {name: model}):
        with pytest.raises(ValueError, match=f"'{name}' cannot be the name of a model"):
            gl.evaluate(models, pictures, gl.SuperResolution(scale=2.0), save=tmp_path / "runs" / "pictures")
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_asked_is_nothing_answered():
    here = field()
    assert here.gradient(PLACES[:0]).shape == (0, 3, 2) and here(PLACES[:0]).shape == (0, 3)
    batch = tiny("hybrid").encode(grid(2, 8, 8, 3))
    assert batch.gradient(PLACES[:0]).shape == (2, 0, 3, 2)


@pytest.mark.parametrize("given", [np.asarray, torch.Tensor.tolist])
def test_places_come_as_lists_and_arrays_too(given):
    here = field()
    assert here(given(PLACES)).equal(here(PLACES))
