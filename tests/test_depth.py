"""Depth does not decide whether a network trains: branches start small, and a rise of depth and rate makes no spike."""

import numpy as np
import pytest
import torch
from conftest import drawn, tiny
from test_training import pictures

import gridless as gl
from gridless.config import Optimizer, Train

DEEPER = {  # a preset, and the difference that makes its blocks so many
    "stem": ("mamba-ginr", lambda n: {"tokenizer": {"stem": {"width": 16, "blocks": n}}}),
    "mamba": ("mamba-ginr", lambda n: {"encoder": {"depth": n}}),
    "transformer": ("lainr", lambda n: {"encoder": {"depth": n}}),
    "processor": ("hybrid", lambda n: {"processor": {"depth": n}}),
    "scent": ("hybrid", lambda n: {"decoder": {"depth": n}}),
    "gated-blocks": (
        "lainr-large",
        lambda n: {"decoder": {"block": {"depth": n, "norm": True, "gated": True, "expansion": 2.0}}},
    ),
}


def stream(part: str, model: gl.FieldModel) -> list[torch.nn.Module]:
    """The last layers of the branches: what each of them adds to the stream is its output."""
    match part:
        case "stem":
            return [outer for _, outer in model.tokenizer.stem.blocks]
        case "mamba" | "transformer":
            return [end for block in model.encoder.blocks for end in block.branch_ends()]
        case "processor":
            return [end for block in model.processor.blocks for end in block.branch_ends()]
        case "scent":
            return [block.down for block in model.decoder.blocks]
        case "gated-blocks":
            return [block.feed.down for block in model.decoder.refine.bands[0]]


@pytest.mark.parametrize("part", DEEPER)
def test_what_all_branches_add_does_not_grow_with_their_number(part):
    """Twelve convolutions that started at full size multiplied a picture by 45,000."""
    added = []
    for depth in (2, 24):
        preset, deeper = DEEPER[part]
        torch.manual_seed(0)
        model = gl.FieldModel(tiny(preset, deeper(depth)).config)
        sizes = []
        for block in stream(part, model):
            block.register_forward_hook(lambda _, __, out, sizes=sizes: sizes.append(float(out.square().mean())))
        batch = drawn(gl.Reconstruction(), pictures(), np.random.default_rng(0), 8, 2, 20)
        with torch.no_grad():
            model(batch.samples, batch.coords, batch.cell)
        assert len(sizes) >= depth
        added.append(sum(sizes) ** 0.5)
    assert added[1] <= 1.5 * added[0] + 1e-6


@pytest.mark.parametrize("part", ["stem", "mamba", "transformer", "processor", "scent"])
def test_three_times_the_rate_and_the_depth_train_without_a_spike(part, monkeypatch):
    from gridless.training import fit as training

    preset, deeper = DEEPER[part]
    torch.manual_seed(0)
    model, losses, real = gl.FieldModel(tiny(preset, deeper(6)).config), [], training.training_step

    def noted(*args):
        losses.append(float(real(*args)))
        return torch.tensor(losses[-1])

    monkeypatch.setattr(training, "training_step", noted)
    train = Train(steps=40, batch=8, queries=32, optimizer=Optimizer(lr=3e-3, warmup=0.2))
    gl.fit(model, pictures(4), gl.Reconstruction(), train=train, quiet=True)
    assert max(losses) < 3 * losses[0] and sum(losses[-5:]) / 5 < losses[0]
