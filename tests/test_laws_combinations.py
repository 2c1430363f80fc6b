"""Every head on every base, of grids and of points: finite wherever something was measured, in value, spread, loss and
gradient; and never a 0 that nobody measured."""

from itertools import product

import pytest
import torch
from conftest import tiny
from every_model import FLOW, POD, SIZES, TOKENS, Arm, fitted, places
from every_model import GRIDS as EVERY_GRID

import gridless as gl
from gridless.protocols import Answer

HEADS = {
    "point": {"kind": "point"},
    "gaussian": {"kind": "gaussian", "combine": "residual"},
    "precision": {"kind": "gaussian", "combine": "precision"},
    "flow": FLOW,
}
GRID_BASES = {
    "none": {"kind": "none"},
    **{kind: {"kind": kind} for kind in ("nearest", "bilinear", "bicubic", "lanczos")},
    "bicubic inexact": {"kind": "bicubic", "exact": False},
    "bicubic filled": {"kind": "bicubic", "fill": True},
}
POINT_BASES = {
    "none": {"kind": "none"},
    "kriging": {"kind": "kriging"},
    "kriging linear": {"kind": "kriging", "trend": "linear"},
    "pod": POD,
}
GRIDS = [pair for pair in product(HEADS, GRID_BASES) if pair[0] != "flow"]
POINTS = [pair for pair in product(HEADS, POINT_BASES) if pair[1] != "pod" or pair[0] in ("gaussian", "precision")]
LEVEL = 5.0  # far from 0, which is what must never be answered

pytestmark = pytest.mark.filterwarnings("ignore:the readings of .* are unlike")


def grid_model(head: str, base: str) -> gl.FieldModel:
    local = {"tokenizer": {"stem": {"width": 8, "blocks": 1}}, "local": {}, "signal": {"finest_cell": 0.25}}
    return woken(tiny("hybrid", {**local, "head": HEADS[head], "base": GRID_BASES[base]}))


def point_model(head: str, base: str) -> gl.FieldModel:
    return woken(tiny("scattered", {"encoder": {"tokens": TOKENS}, "head": HEADS[head], "base": POINT_BASES[base]}))


def woken(model: gl.FieldModel) -> gl.FieldModel:
    if hasattr(model.head, "spread"):
        torch.nn.init.normal_(model.head.spread[-1].weight, std=0.1)
    return fitted(model)


def grid_samples(kind: str, size=(8, 8)) -> gl.Samples:
    samples = Arm("hybrid-plain").samples(size)
    values = LEVEL + samples.on_grid()
    mask = torch.ones(values.shape[:-1], dtype=torch.bool)
    if kind == "equal":
        values = torch.full_like(values, LEVEL)
    if kind == "holes":
        mask[:, 2:, 1:7] = False  # wider than any kernel reaches
        mask[0, 0, 0] = False
    if kind == "one":
        mask[:] = False
        mask[:, 3, 4] = True
    return gl.Samples.from_grid(values, mask=None if mask.all() else mask)


def point_samples(kind: str) -> gl.Samples:
    samples = Arm("sensors").samples()
    values, count = LEVEL + samples.values, 1 if kind == "one" else 19
    if kind == "equal":
        values = torch.full_like(values, LEVEL)
    mask = torch.ones(2, count, dtype=torch.bool)
    if kind == "holes":
        mask[:, 4:9] = False
    return gl.Samples.from_points(samples.coords[:, :count], values[:, :count], mask)


def assert_known(answer, certain: bool | None):
    """Sure of equal readings, and of nothing else; `certain` is None where modes that know better may doubt them."""
    assert answer.mean.isfinite().all() and (answer.mean.abs() > 1).all()
    if answer.std is not None:
        assert answer.std.isfinite().all() and (answer.std >= 0).all()
        assert certain is None or (not answer.std.any() if certain else (answer.std > 0).all())


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "equal", "holes", "one"])
@pytest.mark.parametrize(("head", "base"), GRIDS)
def test_grids_are_answered_wherever_something_was_measured(head, base, kind):
    samples, model = grid_samples(kind), grid_model(head, base)
    field = model.encode(samples)
    centres, certain = gl.grid(8, 8), kind in ("equal", "one")
    mask = torch.ones(2, 64, dtype=torch.bool) if samples.mask is None else samples.mask
    for cell in (None, gl.cells(8, 8), gl.cells(16, 16), gl.cells(3, 3)):
        at_samples = field.answer(centres, cell)
        assert_known(Answer(at_samples.mean[mask], None if at_samples.std is None else at_samples.std[mask]), certain)
        everywhere = field.answer(places(57), cell)
        reached = everywhere.mean.isfinite().all(-1)
        assert (everywhere.mean[reached].abs() > 1).all() and not (everywhere.mean == 0).any()
        if kind in ("plain", "equal") or base in ("none", "nearest", "bicubic filled"):
            assert base == "nearest" or reached.all()
        else:
            assert reached.any()
    picture = field.to_grid(1)
    assert (picture.isfinite().all(-1) | ~mask.unflatten(1, (8, 8))).all() and not (picture == 0).any()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", EVERY_GRID)
def test_no_preset_answers_zero_at_a_hole(name, size):
    """NaN where a base reaches nothing; what else is said is of the level of what was measured."""
    samples = grid_samples("holes", SIZES[size])
    field = Arm(name).model().encode(samples)
    for answer in (field(places(200)), field.to_grid(2), field.to_grid(1)):
        known = answer.isfinite().all(-1)
        assert known.any() and (answer[known] - LEVEL - 0.5).abs().max() < 3
        assert answer[~known].isnan().all()
        assert (not known.all()) == name.endswith("photo")


@pytest.mark.parametrize("kind", ["plain", "equal", "holes", "one"])
@pytest.mark.parametrize(("head", "base"), POINTS)
def test_readings_are_answered_everywhere(head, base, kind):
    samples, model = point_samples(kind), point_model(head, base)
    field, certain = model.encode(samples), kind in ("equal", "one")
    certain = None if certain and base == "pod" else certain
    for coords in (samples.coords, places(57)):
        for cell in (None, torch.full((1, 2), 0.1)):
            assert_known(field.answer(coords, cell), certain)
    if base != "none" or head == "flow":
        assert field.sample(places(5), 3).isfinite().all()


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "equal", "holes", "one"])
@pytest.mark.parametrize(("where", "head", "base"), [*(("grid", *p) for p in GRIDS), *(("points", *p) for p in POINTS)])
def test_a_step_of_training_is_finite(where, head, base, kind):
    model = (grid_model if where == "grid" else point_model)(head, base).train()
    samples = (grid_samples if where == "grid" else point_samples)(kind)
    coords, cell = places(40), torch.full((2, 1, 2), 0.06)
    for _ in range(2):
        loss = model(samples, coords, cell, target=LEVEL + torch.rand(2, 40, samples.channels))
        loss.backward()
        assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    if kind == "plain":
        assert all(p.grad is not None for p in model.head.parameters())


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", GRID_BASES)
def test_a_flow_of_a_grid_is_refused(base):
    with pytest.raises(ValueError, match="head.kind 'flow' needs tokenizer.kind 'points'"):
        grid_model("flow", base)


@pytest.mark.parametrize("head", ["point", "flow"])
def test_modes_without_a_gaussian_head_are_refused(head):
    with pytest.raises(ValueError, match="base.kind 'pod' needs tokenizer.kind 'points' and head.kind 'gaussian'"):
        point_model(head, "pod")


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_one_posterior_sample_has_no_spread(name):
    """Its deviation from itself is no doubt; more of them have one."""
    coords = places(9)
    with pytest.raises(ValueError, match="this field has no spread"):
        Arm(name).model().encode(Arm(name).samples()).std(coords)
    assert (Arm(name).fresh({"head": {"samples": 3}}).encode(Arm(name).samples()).std(coords) > 0).all()


@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_grid_of_which_nothing_was_measured_is_refused(batch):
    mask = torch.zeros(*batch, 4, 4, dtype=torch.bool)
    if batch:
        mask[0] = True  # one of the two fields
    with pytest.raises(ValueError, match="nothing was measured: every field needs at least one sample"):
        gl.Samples.from_grid(torch.rand(*batch, 4, 4, 3), mask=mask)
