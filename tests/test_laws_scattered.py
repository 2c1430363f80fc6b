"""The laws of a field from scattered readings, over encoders, decoders, heads and bases."""

import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless.bases import Modes, fit_modes
from gridless.data.waves import WaveSource

pytestmark = pytest.mark.filterwarnings("ignore:the readings of .* are unlike")  # numbers without a pattern
TOKENS = {"count": 6, "std": 0.5, "read": "tokens"}
ALL = {"count": 0, "read": "all"}
SSM = {"state": 4, "gap": 0.1}
ARMS = {
    "transformer": {},
    "transformer, tokens": {"encoder": {"tokens": TOKENS}},
    "perceiver": {"encoder": {"kind": "perceiver", "count": 8, "widths": [32], "head_width": 16}},
    "mamba, morton": {"encoder": {"kind": "mamba", "depth": 2, "order": "morton", "ssm": SSM, "tokens": ALL}},
    "mamba, hilbert": {"encoder": {"kind": "mamba", "depth": 1, "order": "hilbert", "ssm": SSM, "tokens": TOKENS}},
    "lainr": {"decoder": {"kind": "lainr", "hidden": 32, "attention": {"bias": {"kind": "euclid"}}}},
    "point": {"head": {"kind": "point"}, "processor": {"depth": 1, "head_width": 16, "heads": 2}},
    "pod": {"base": {"kind": "pod", "modes": 20, "degree": 10}},
    "pod, clusters": {"base": {"kind": "pod", "clusters": 3, "modes": 20, "rank": 8, "degree": 10}},
}


@pytest.fixture(params=ARMS, scope="module")
def model(request) -> gl.FieldModel:
    return woken(request.param)


def woken(arm: str) -> gl.FieldModel:
    model = tiny("scattered", ARMS[arm])
    if isinstance(model.base, Modes):
        fit_modes(model.base, WaveSource(("simple",)).first(2000))
    return model


@pytest.fixture
def samples() -> gl.Samples:
    torch.manual_seed(1)
    return gl.Samples.from_points(torch.rand(2, 23, 2), torch.rand(2, 23, 1))


@pytest.fixture
def coords() -> torch.Tensor:
    torch.manual_seed(2)
    return torch.rand(2, 41, 2)


def both(field, coords, **kwargs) -> torch.Tensor:
    """Values, and behind them standard deviations where there are any."""
    try:
        return torch.cat(field.mean_and_std(coords, **kwargs), -1)
    except ValueError:
        return field(coords, **kwargs)


def close(a, b, tolerance=3e-5):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def test_an_answer_never_depends_on_the_other_questions(model, samples, coords):
    with torch.no_grad():
        field = model.encode(samples)
        whole = both(field, coords)
        close(both(field, coords[:, 13:14]), whole[:, 13:14])
        for chunk in (1, 7, 40):
            close(both(field, coords, chunk=chunk), whole)
        shuffled = torch.randperm(41)
        close(both(field, coords[:, shuffled]), whole[:, shuffled])


def test_the_order_of_the_sensors_changes_nothing(model, samples, coords):
    shuffled = torch.randperm(23)
    other = gl.Samples.from_points(samples.coords[:, shuffled], samples.values[:, shuffled])
    with torch.no_grad():
        close(both(model.encode(other), coords), both(model.encode(samples), coords))


def test_padding_and_batch_mates_are_inert(model, samples, coords):
    """The first field has 15 sensors and 8 padded places, whatever stands there; alone it answers the same."""
    mask = torch.ones(2, 23, dtype=torch.bool)
    mask[0, 15:] = False
    where, values = samples.coords.clone(), samples.values.clone()
    where[0, 15:], values[0, 15:] = 7.0, float("nan")
    with torch.no_grad():
        beside = both(model.encode(gl.Samples.from_points(where, values, mask)), coords)
        for b, count in enumerate((15, 23)):
            alone = gl.Samples.from_points(samples.coords[b, :count], samples.values[b, :count])
            close(both(model.encode(alone), coords[b]), beside[b])


@pytest.mark.parametrize("count", [1, 2, 10, 500])
def test_any_number_of_sensors(model, coords, count):
    torch.manual_seed(3)
    field = model.encode(gl.Samples.from_points(torch.rand(count, 2), torch.rand(count, 1)))
    with torch.no_grad():
        assert both(field, coords[0]).isfinite().all()


def test_a_grid_is_the_points_of_its_cell_centres(model, coords):
    values = torch.rand(5, 4, 1)
    points = gl.Samples.from_points(gl.grid(5, 4), values.flatten(0, 1))
    with torch.no_grad():
        close(model.encode(gl.Samples.from_grid(values))(coords[0]), model.encode(points)(coords[0]))
        assert model.encode(points).to_image(shape=(6, 7), chunk=5).shape == (6, 7, 1)


def test_forward_is_encode_then_ask_and_two_fields_live_side_by_side(model, samples, coords):
    with torch.no_grad():
        field = model.encode(samples)
        before = field(coords)
        close(model(samples, coords), before, 1e-6)
        model.encode(gl.Samples.from_points(torch.rand(3, 2), torch.rand(3, 1)))(coords[0])
        assert torch.equal(field(coords), before)


@pytest.mark.parametrize("arm", ARMS)
def test_the_gradient_is_the_finite_difference(arm):
    model = woken(arm).double()
    torch.manual_seed(4)
    field = model.encode(gl.Samples.from_points(torch.rand(9, 2).double(), torch.rand(9, 1).double()))
    coords, step = torch.rand(17, 2, dtype=torch.float64) * 0.9 + 0.05, 1e-6
    gradient = field.gradient(coords)
    with torch.no_grad():
        for axis in range(2):
            shift = step * torch.eye(2, dtype=torch.float64)[axis]
            difference = (field(coords + shift) - field(coords - shift)) / (2 * step)
            torch.testing.assert_close(gradient[..., axis], difference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arm", ARMS)
def test_every_parameter_learns_and_what_is_fixed_is_saved(arm, tmp_path, coords):
    torch.manual_seed(6)
    model = woken(arm).train()
    samples, target = gl.Samples.from_points(torch.rand(2, 30, 2), torch.rand(2, 30, 1)), torch.rand(2, 41, 1)
    head = model.config.head.kind != "point"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        cell = torch.zeros(2, 1, 2)
        loss = (
            model(samples, coords, cell, target=target) if head else (model(samples, coords) - target).square().mean()
        )
        loss.backward()
        optimizer.step()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    model.eval().save_pretrained(tmp_path)
    again = gl.FieldModel.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(both(again.encode(samples), coords), both(model.encode(samples), coords))


def test_untrained_the_base_is_nearly_alone(samples, coords):
    """Two guesses are weighted by their precisions, and a new network claims none beyond the signal's spread."""
    own = {"signal": {"mean": 0.5, "std": 0.35}, "head": {"combine": "precision"}}
    model = gl.FieldModel(tiny("scattered", ARMS["pod"] | own).config).eval()
    model.base.fallback = None
    fit_modes(model.base, WaveSource(("simple",)).first(2000))
    with torch.no_grad():
        value, std = model.encode(samples).mean_and_std(coords)
        base, doubt = model.base.encode(samples).mean_and_std(coords)
        share = doubt**2 / (doubt**2 + model.config.signal.std**2)
    close(value, base + share * (0.5 - base), 2e-3)
    torch.testing.assert_close(std, doubt * (1 - share).sqrt(), rtol=1e-2, atol=1e-5)
    with pytest.raises(ValueError, match="base.kind 'pod' needs tokenizer.kind 'points' and head.kind 'gaussian'"):
        tiny("scattered", {**ARMS["pod"], "head": {"kind": "point"}})


@pytest.mark.parametrize("arm", [arm for arm in ARMS if "pod" in arm])
def test_posterior_samples_of_a_base_are_functions(arm, samples, coords):
    """The same ones however they are asked, and together they have the field's value and deviation."""
    field = woken(arm).eval().encode(samples)
    with torch.no_grad():
        few = field.sample(coords, 3, seed=1)
        assert few.shape == (3, 2, coords.shape[1], 1)
        assert torch.equal(few, field.sample(coords, 3, seed=1))
        close(field.sample(coords, 3, seed=1, chunk=4), few)
        close(field.sample(coords, 1, seed=1), few[:1])
        assert field.sample(coords[:, :0], 3).shape == (3, 2, 0, 1)
        assert tiny("scattered", ARMS[arm]).eval().encode(samples).sample(coords, 2).isfinite().all()  # not fitted
        close(field.sample(coords[:, 2:4], 3, seed=1), few[:, :, 2:4])
        alone = woken(arm).eval().encode(gl.Samples.from_points(samples.coords[1:], samples.values[1:]))
        close(alone.sample(coords[1:], 3, seed=1), few[:, 1:], 1e-4)
        many, (value, std) = field.sample(coords, 600, seed=2), field.mean_and_std(coords)
    assert ((many.mean(0) - value).abs() < 0.2 * std).float().mean() > 0.9
    assert (many.std(0) / std - 1).abs().mean() < 0.1


def test_what_a_model_does_not_have_is_said(samples, coords):
    bare = {"base": {"kind": "none"}}
    point, gaussian = tiny("scattered", ARMS["point"] | bare), tiny("scattered", bare)
    with pytest.raises(ValueError, match="no spread; use a model with head.kind 'gaussian' or 'flow'"):
        point.encode(samples).std(coords)
    with pytest.raises(ValueError, match="no posterior samples; use head.kind 'flow'"):
        gaussian.encode(samples).sample(coords)
    with pytest.raises(ValueError, match="scattered samples have no grid to scale; give shape="):
        point.encode(samples).to_image(2)
    with pytest.raises(ValueError, match="1 channels, got samples with 2 axes and 3 channels"):
        point.encode(gl.Samples.from_points(torch.rand(4, 2), torch.rand(4, 3)))
    with pytest.raises(ValueError, match="scattered points, not a grid; use a model with a point tokenizer"):
        tiny("hybrid").encode(gl.Samples.from_points(torch.rand(4, 2), torch.rand(4, 3)))


# --- readings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coords", "values", "message"),
    [
        (torch.rand(3, 2), torch.tensor([[1.0], [float("nan")], [float("inf")]]), "2 of 3 values are NaN or infinite"),
        (torch.rand(0, 2), torch.rand(0, 1), "no sensor: every field needs at least one reading"),
        (torch.tensor([[0.5, float("nan")]]), torch.rand(1, 1), "1 coordinates are NaN or infinite"),
        (torch.rand(3, 2), torch.rand(4, 1), r"expected coords \(N, d\) and values \(N, C\)"),
        (torch.rand(3, 2), torch.rand(3), r"channels last, .* of one channel: values\[..., None\]"),
        (torch.rand(3, 2), torch.ones(3, 1).int(), "must be floats"),
    ],
)
def test_readings_that_cannot_be(coords, values, message):
    with pytest.raises(ValueError, match=message):
        gl.Samples.from_points(coords, values)


def test_masks_of_readings():
    coords, values = torch.rand(2, 3, 2), torch.rand(2, 3, 1)
    with pytest.raises(ValueError, match="every field needs at least one reading"):
        gl.Samples.from_points(coords, values, torch.tensor([[True] * 3, [False] * 3]))
    with pytest.raises(ValueError, match=r"mask must be bool \(2, 3\)"):
        gl.Samples.from_points(coords, values, torch.ones(2, 3))
    values[0, 1] = float("nan")
    samples = gl.Samples.from_points(coords, values, torch.tensor([[True, False, True], [True] * 3]))
    assert samples.values.isfinite().all()


def test_readings_at_one_place_are_averaged():
    coords = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.1, 0.2], [0.1, 0.2]])
    samples = gl.Samples.from_points(coords, torch.tensor([[1.0], [5.0], [2.0], [6.0]]))
    assert samples.mask.tolist() == [[True, True, False, False]]
    assert samples.values[0, :2].tolist() == [[3.0], [5.0]]
    assert gl.Samples.from_points(torch.rand(4, 2), torch.rand(4, 1)).mask is None


@pytest.mark.parametrize("arm", ["transformer", "pod"])
def test_latents_are_read_where_they_are_asked_for(arm, samples, coords):
    field = woken(arm).encode(samples)
    with torch.no_grad():
        close(field(coords, latents_at=coords), field(coords))
        assert (field(coords, latents_at=1 - coords) - field(coords)).abs().max() > 1e-6


def test_posterior_samples_read_their_latents_where_they_are_asked(samples, coords):
    with pytest.raises(ValueError, match="posterior samples reads its latents where it is asked; leave latents_at out"):
        tiny("v2").encode(samples)(coords, latents_at=coords)


@pytest.mark.parametrize("shared", [lambda x: x[0], lambda x: x[:1].expand(2, -1, -1)], ids=["points", "expanded"])
def test_every_field_has_its_own_gradient_where_all_are_asked_alike(model, samples, coords, shared):
    field, asked = model.encode(samples), shared(coords)
    close(field.gradient(asked), field.gradient(coords[:1].repeat(2, 1, 1)), 1e-3)
