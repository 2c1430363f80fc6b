"""Units do not matter: readings a·y + b are answered a·f + b, with the spread a·σ. What is untrained is its base."""

from dataclasses import replace

import pytest
import torch
from conftest import LOCAL, tiny
from every_model import ASKED, GRIDS, JOINT, POINTS, SIZES, Arm, places

import gridless as gl
from gridless.bases import KINDS, SCATTERED, Interpolation, Kriging, Scattered

UNITS = [(1.0, 1e4), (1e-4, 0.0), (1e-4, 1e4), (3e3, -7.0)]
OWN = [(name, size) for name, size in ASKED if name not in JOINT and "pod" not in name]
"""Models that standardise each field by itself; modes know their training fields' units, V1 and V2 one for all."""
BASES = {
    **{f"grid {kind}": Interpolation(kind) for kind in KINDS},
    **{kind: Scattered(kind) for kind in SCATTERED if kind not in ("gp", "oracle")},  # one is fitted, one knows its ½
    "kriging": Kriging(),
}


def changed(samples: gl.Samples, a: float, b: float) -> gl.Samples:
    return replace(samples, values=a * samples.values + b)


def assert_affine(model, samples: gl.Samples, a: float, b: float):
    coords = places(13, dtype=torch.float64)
    before, after = (model.encode(s).answer(coords) for s in (samples, changed(samples, a, b)))
    torch.testing.assert_close((after.mean - b) / a, before.mean, rtol=0, atol=2e-5)
    assert (before.std is None) == (after.std is None)
    if before.std is not None:
        assert (before.std > 0).all()
        torch.testing.assert_close(after.std / abs(a), before.std, rtol=1e-4, atol=1e-6)


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), OWN)
def test_affine_readings_have_affine_answers(name, size):
    model, samples = Arm(name).fresh().double(), Arm(name).samples(SIZES[size], dtype=torch.float64)
    assert model.config.signal.mean is None
    for a, b in UNITS:
        assert_affine(model, samples, a, b)


@pytest.mark.parametrize("name", ["sensors", "sensors-flow", "sensors-point"])
def test_so_have_posterior_samples(name):
    model, samples = Arm(name).fresh().double(), Arm(name).samples(dtype=torch.float64)
    coords = places(13, dtype=torch.float64)
    for a, b in UNITS:
        before, after = (model.encode(s).sample(coords, 3, seed=1) for s in (samples, changed(samples, a, b)))
        torch.testing.assert_close((after - b) / a, before, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("name", "size"), OWN)
def test_equal_readings_are_answered_by_that_constant(name, size):
    """However little rounding says of a deviation."""
    for value in (0.0, 0.3, -1e4):
        assert_constant(Arm(name).model(), Arm(name).samples(SIZES[size]), value)


def assert_constant(model: gl.FieldModel, samples: gl.Samples, value: float):
    samples = replace(samples, values=torch.full_like(samples.values, value))
    field = model.encode(samples)
    answer = field.answer(places(13))
    torch.testing.assert_close(answer.mean, torch.full_like(answer.mean, value), rtol=1e-6, atol=0)
    if answer.std is not None:
        assert not answer.std.any()
    if not field.joint:
        assert field.gradient(places(13)).abs().max() <= 1e-4 * abs(value)


@pytest.mark.parametrize("name", [name for name in GRIDS if name.endswith("photo")])
def test_a_narrow_range_is_corrected_narrowly(name):
    """What a network adds to a base is in units of the picture's own spread: a hundredth of it is a hundredth."""
    model, coords = Arm(name).model(), places(13)
    wide = Arm(name).samples((9, 7))
    narrow = changed(wide, 0.01, 0.4)
    added = [model.encode(s)(coords) - model.base.encode(s)(coords) for s in (wide, narrow)]
    assert added[0].abs().max() > 1e-3
    torch.testing.assert_close(added[1] / 0.01, added[0], rtol=0, atol=2e-4)


# --- bases ------------------------------------------------------------------------------------------------------------


def base_samples(name: str, channels: int = 3) -> gl.Samples:
    samples = Arm("hybrid-plain").samples((7, 6), dtype=torch.float64)
    if "grid" in name:
        return samples
    values = samples.values[:, :19]
    return gl.Samples.from_points(Arm("sensors").samples(dtype=torch.float64).coords, values)


@pytest.mark.parametrize("name", BASES)
def test_bases_follow_any_unit_also_a_negative_one(name):
    for a, b in (*UNITS, (-2.0, 1e4)):
        assert_affine(BASES[name], base_samples(name), a, b)


@pytest.mark.parametrize("name", [*BASES, "gp"])
def test_channels_permuted_are_answers_permuted(name):
    base, samples, order = BASES.get(name) or Scattered(name), base_samples(name), [2, 0, 1]
    other = replace(samples, values=samples.values[..., order])
    coords = places(13, dtype=torch.float64)
    before, after = (base.encode(s).answer(coords) for s in (samples, other))
    torch.testing.assert_close(after.mean, before.mean[..., order], rtol=0, atol=1e-9)
    assert (before.mean[..., 0] - before.mean[..., 1]).abs().max() > 1e-3
    if before.std is not None:
        torch.testing.assert_close(after.std, before.std[..., order], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [*BASES, "gp"])
def test_bases_answer_equal_readings_by_that_constant(name):
    base, samples = BASES.get(name) or Scattered(name), base_samples(name)
    for value in (0.0, 0.3, -1e4):
        answer = base.encode(replace(samples, values=torch.full_like(samples.values, value))).answer(places(13))
        torch.testing.assert_close(answer.mean, torch.full_like(answer.mean, value), rtol=1e-6, atol=1e-12)
        assert answer.std is None or (answer.std < 1e-12).all()


# --- the start --------------------------------------------------------------------------------------------------------

STARTS_AT_ITS_BASE = [
    *(name for name in GRIDS if name.endswith("photo")),
    *(name for name in POINTS if "alone" not in name and "precision" not in name and "flow" not in name),
]


@pytest.mark.parametrize("name", STARTS_AT_ITS_BASE)
@pytest.mark.parametrize("size", SIZES)
def test_untrained_is_the_base_in_value_and_spread(name, size):
    model, samples = Arm(name).untrained(), Arm(name).samples(SIZES[size])
    field, base = (m.encode(samples).answer(places(13)) for m in (model, model.base))
    assert torch.equal(field.mean, base.mean)
    assert (field.std is None) == (base.std is None)
    if base.std is not None:
        torch.testing.assert_close(field.std, base.std, rtol=1e-5, atol=0)


def test_untrained_posterior_samples_lie_at_the_base():
    model, samples = Arm("sensors-flow").untrained(), Arm("sensors-flow").samples()
    field, base = (m.encode(samples).answer(places(13)) for m in (model, model.base))
    assert torch.equal(field.mean, base.mean)


@pytest.mark.xfail(reason="a flow's samples are of the network alone: the base's own doubt is not in them", strict=True)
def test_an_untrained_flow_is_as_sure_as_its_base():
    model, samples = Arm("sensors-flow").untrained(), Arm("sensors-flow").samples()
    field, base = (m.encode(samples).answer(places(13)) for m in (model, model.base))
    torch.testing.assert_close(field.std, base.std, rtol=1e-2, atol=0)


def test_a_gaussian_head_beside_a_picture_s_base_starts_at_the_picture_s_spread():
    """A base without a spread of its own."""
    model = tiny("hybrid", {**LOCAL, "head": {"kind": "gaussian"}})
    samples = Arm("hybrid-photo").samples()
    torch.nn.init.zeros_(model.head.linear.weight)
    answer = model.encode(samples).answer(places(13))
    assert torch.equal(answer.mean, model.base.encode(samples)(places(13)))
    scale = samples.values.std(1, correction=0)[:, None]
    torch.testing.assert_close(answer.std, scale.expand_as(answer.std), rtol=1e-4, atol=0)
