"""What a field answers never changes silently: trained on, it refuses; and inference mode poisons nothing."""

import copy
import pickle

import pytest
import torch
from conftest import LOCAL, tiny
from every_model import ARMS, ASKED, SIZES, Arm, assert_same, everything, places

import gridless as gl
from gridless.bases import Constant, Interpolation, Kriging
from gridless.network import mosaic

TRAINED_ON = "trained on since the field was made; encode the samples again"


@pytest.fixture(params=ARMS)
def arm(request) -> Arm:
    return Arm(request.param)


# --- weights ----------------------------------------------------------------------------------------------------------


def step(model: gl.FieldModel, arm: Arm, kind: str):
    if kind == "load":
        model.load_state_dict(
            {name: x + 0.01 if x.is_floating_point() else x for name, x in model.state_dict().items()}
        )
        return
    model.train()
    parameters = model.parameters()
    optimizer = (
        torch.optim.AdamW(parameters, lr=0.01, fused=True) if kind == "fused" else torch.optim.SGD(parameters, lr=0.1)
    )
    samples, coords = arm.samples(), places()
    cell, target = torch.full((2, 1, 2), 0.06), torch.rand(2, 23, samples.channels)
    model(samples, coords, cell, target=target).backward()
    optimizer.step()
    model.eval()


@pytest.mark.parametrize("kind", ["fused", "sgd", "load"])
@pytest.mark.filterwarnings("ignore:the readings of .* are unlike")  # the modes were changed as well
def test_a_field_whose_model_was_trained_on_refuses(arm, kind):
    model, coords = arm.fresh(), places(9)
    field = model.encode(arm.samples())
    copies = [pickle.loads(pickle.dumps(field)), copy.deepcopy(field), field.to("cpu")]
    before = field(coords)
    step(model, arm, kind)
    asked = [lambda: field(coords), lambda: field.to_grid(shape=(3, 3)), lambda: field.to("cpu")]
    if not field.joint:
        asked.append(lambda: field.gradient(coords))
    for ask in asked:
        with pytest.raises(ValueError, match=TRAINED_ON):
            ask()
    with pytest.raises(ValueError, match=TRAINED_ON):
        pickle.loads(pickle.dumps(field))(coords)
    for other in copies:  # which have the weights of their time
        assert torch.equal(other(coords), before)
    after = model.encode(arm.samples())(coords)
    assert after.isfinite().all() and not torch.equal(after, before)


def test_other_modes_are_other_weights():
    """A base's own numbers count too."""
    model, arm = Arm("sensors-pod").fresh(), Arm("sensors-pod")
    field, solved = model.encode(arm.samples()), model.base.encode(arm.samples())
    before = field(places()), solved(places())
    model.load_state_dict({k: x + 0.01 if k.startswith("base.mean") else x for k, x in model.state_dict().items()})
    assert torch.equal(field(places()), before[0]) and torch.equal(solved(places()), before[1])
    field = model.encode(arm.samples())
    assert not torch.equal(field(places()), before[0])
    model.base.mean += 0.01
    with pytest.raises(ValueError, match=TRAINED_ON):
        field(places())


def test_two_fields_of_two_models_and_of_two_times():
    """Each answers by its own weights, or refuses."""
    arm, coords = Arm("hybrid-photo"), places(9)
    first, second = arm.fresh(), arm.fresh()
    old, other = first.encode(arm.samples((17, 12))), second.encode(arm.samples((17, 12)))
    before = other(coords)
    step(first, arm, "fused")
    new = first.encode(arm.samples((17, 12)))
    assert torch.equal(other(coords), before) and not torch.equal(new(coords), before)
    with pytest.raises(ValueError, match=TRAINED_ON):
        old(coords)
    assert torch.equal(new(coords), first.encode(arm.samples((17, 12)))(coords))


def test_a_mode_that_trains_nothing_changes_no_field(arm):
    """Taken into training and back, and moved to another type of number and back."""
    model, coords = arm.fresh(), places(9)
    field = model.encode(arm.samples())
    before = field(coords)
    model.train()
    assert torch.equal(field(coords), before)
    model.eval()
    assert torch.equal(field(coords), before)


# --- inference mode ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), ASKED)
def test_inference_mode_poisons_nothing(name, size):
    arm, coords = Arm(name), places(9)
    model = arm.fresh()
    outside = model.encode(arm.samples(SIZES[size]))
    expected, sent = everything(outside, coords), pickle.loads(pickle.dumps(outside))
    model = arm.fresh()
    with torch.inference_mode():
        samples, inside = arm.samples(SIZES[size]), places(9)
        field = model.encode(samples)
        assert_same(expected, everything(field, inside))
        assert_same(expected, everything(outside, inside))
        moved = field.to("cpu")
        sent(inside)  # what it makes now must be of use later
    for each in (field, outside, moved, sent):
        assert_same(expected, everything(each, coords))
        assert_same(expected, everything(each, inside))
    step(model, arm, "sgd")
    assert all(p.grad is not None for p in model.head.parameters())


def test_windows_that_are_encoded_again_in_inference_mode_serve_a_gradient(monkeypatch):
    monkeypatch.setattr(mosaic, "BYTES_KEPT", 1)
    monkeypatch.setattr(mosaic, "WINDOWS_AT_ONCE", 2)
    field = tiny("hybrid", LOCAL).encode(Arm("hybrid-photo").samples((30, 20)))
    corner = torch.full((1, 2), 0.97)  # of the last window, which is not kept
    with torch.inference_mode():
        field(corner)
    assert field.gradient(corner).isfinite().all()


@pytest.mark.parametrize(
    "base", [Interpolation(), Kriging(), Constant(None, 1)], ids=["bicubic", "kriging", "constant"]
)
def test_nor_a_baseline_s_field(base):
    name, coords = "hybrid-plain" if isinstance(base, Interpolation) else "sensors", places(9)
    expected = everything(base.encode(Arm(name).samples()), coords)
    with torch.inference_mode():
        field = base.encode(Arm(name).samples())
        assert_same(expected, everything(field, coords))
    assert_same(expected, everything(field, coords))
