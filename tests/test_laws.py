"""The laws that make a field a field, over every preset, with and without local read-out, small and as a mosaic."""

import numpy as np
import pytest
import torch
from conftest import LOCAL, PRESETS, VARIANTS, tiny

import gridless as gl
from gridless.network.mosaic import Mosaic
from gridless.network.readers import WindowReader

SIZES = {"window": (8, 8), "not divided by the patch": (7, 5), "mosaic": (17, 12)}


@pytest.fixture(params=SIZES.values(), ids=SIZES.keys())
def samples(request) -> gl.Samples:
    torch.manual_seed(1)
    return gl.Samples.from_grid(torch.rand(2, *request.param, 3))


@pytest.fixture
def coords() -> torch.Tensor:
    torch.manual_seed(2)
    return torch.rand(2, 57, 2)


def close(a, b, tolerance=2e-5):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance, equal_nan=True)


def test_an_answer_never_depends_on_the_other_questions(model, samples, coords):
    with torch.no_grad():
        field = model.encode(samples)
        whole = field(coords)
        close(field(coords[:, 13:14]), whole[:, 13:14])
        for chunk in (1, 7, 56):
            close(field(coords, chunk=chunk), whole)
        shuffled = torch.randperm(57)
        close(field(coords[:, shuffled]), whole[:, shuffled])


def test_batch_mates_change_nothing(model, samples, coords):
    with torch.no_grad():
        whole = model.encode(samples)(coords)
        for b in range(2):
            alone = gl.Samples.from_grid(samples.on_grid()[b])
            close(model.encode(alone)(coords[b]), whole[b])


def test_every_sample_has_its_own_coordinates(model, samples, coords):
    with torch.no_grad():
        field = model.encode(samples)
        apart = field(coords)
        together = field(coords[:1])
        close(apart[0], together[0])
        assert (apart[1] - together[1]).abs().max() > 1e-3
        close(field(coords[1])[1], apart[1])


def test_two_fields_live_side_by_side(model, samples, coords):
    with torch.no_grad():
        first = model.encode(samples)
        before = first(coords)
        other = model.encode(gl.Samples.from_grid(torch.rand(1, 9, 9, 3)))
        other(coords[0])
        assert torch.equal(first(coords), before)


def test_forward_is_encode_then_ask(model, samples, coords):
    cell = torch.full((2, 1, 2), 0.02)
    with torch.no_grad():
        close(model(samples, coords, cell), model.encode(samples)(coords, cell), 1e-6)


def test_the_same_coordinate_at_the_same_cell_has_one_value_on_two_grids(model, samples):
    """Every third centre of a 3× finer grid is a centre of the coarse one."""
    with torch.no_grad():
        field = model.encode(samples)
        cell = torch.tensor([0.03, 0.03])
        coarse = field(gl.grid(4, 5), cell).unflatten(1, (4, 5))
        fine = field(gl.grid(12, 15), cell).unflatten(1, (12, 15))
        close(fine[:, 1::3, 1::3], coarse)


def test_an_image_is_the_field_on_its_grid(model, samples):
    with torch.no_grad():
        field = model.encode(samples)
        image = field.to_image(shape=(11, 13), chunk=29)
        close(image.flatten(1, 2), field(gl.grid(11, 13), gl.cells(11, 13)), 1e-4)


@pytest.mark.parametrize("preset", (*PRESETS, *VARIANTS))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("arm", [{}, LOCAL], ids=["plain", "photo"])
def test_the_gradient_is_the_finite_difference(preset, size, arm):
    """In float64; where a ReLU's kink lies within the step, of one of its sides."""
    model = tiny(preset, arm).double()
    torch.manual_seed(3)
    field = model.encode(gl.Samples.from_grid(torch.rand(*size, 3, dtype=torch.float64)))
    coords = torch.rand(23, 2, dtype=torch.float64) * 0.96 + 0.02
    gradient = field.gradient(coords)
    step = 1e-7
    with torch.no_grad():
        middle = field(coords)
        for axis in range(2):
            shift = torch.zeros(2, dtype=torch.float64)
            shift[axis] = step
            sides = torch.stack([field(coords + shift) - middle, middle - field(coords - shift)]) / step
            nearest = (sides - gradient[..., axis]).abs().argmin(0, keepdim=True)
            torch.testing.assert_close(gradient[..., axis], sides.gather(0, nearest)[0], rtol=1e-4, atol=1e-4)


def test_untrained_is_the_base(samples, coords):
    torch.manual_seed(0)
    for preset in PRESETS:
        model = gl.FieldModel(gl.FieldModel(tiny(preset, LOCAL).config).config).eval()
        baseline = gl.bases.Interpolation("bicubic").encode(samples)
        with torch.no_grad():
            assert torch.equal(model.encode(samples)(coords), baseline(coords))
            assert not model.head.linear.weight.any()


def test_asked_at_their_own_size_the_samples_come_back(samples):
    """The base is exact and the correction is gated, whatever the network has learned."""
    model = tiny("hybrid", LOCAL)
    with torch.no_grad():
        field = model.encode(samples)
        assert torch.equal(field.to_image(1), samples.on_grid())
        assert (field.to_image(2) - gl.bases.Interpolation().encode(samples).to_image(2)).abs().max() > 1e-3


@pytest.mark.parametrize("preset", (*PRESETS, *VARIANTS))
@pytest.mark.parametrize("arm", [{}, LOCAL], ids=["plain", "photo"])
def test_padding_is_inert(preset, arm):
    """A masked border, whatever stands in it, changes no answer: not in the stem, not in either scan direction."""
    model = tiny(preset, {**arm, "base": {"kind": "none"}})
    torch.manual_seed(4)
    picture, coords = torch.rand(1, 6, 4, 3), torch.rand(1, 31, 2)
    padded = torch.full((1, 8, 8, 3), float("nan"))
    padded[:, :6, :4] = picture
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, :6, :4] = True
    inside = coords * torch.tensor([6 / 8, 4 / 8])
    cell = torch.full((1, 1, 2), 0.05)
    with torch.no_grad():
        alone = model.encode(gl.Samples.from_grid(picture))(coords, cell)
        beside = model.encode(gl.Samples.from_grid(padded, mask=mask))(inside, cell * torch.tensor([6 / 8, 4 / 8]))
    close(beside, alone)


def test_masks_differ_within_a_batch(model):
    """Each sample's own padding: the batch answers what each one answers alone."""
    torch.manual_seed(5)
    values, coords = torch.rand(3, 8, 8, 3), torch.rand(3, 19, 2)
    mask = torch.ones(3, 8, 8, dtype=torch.bool)
    mask[0, 4:], mask[1, :, 6:] = False, False
    with torch.no_grad():
        whole = model.encode(gl.Samples.from_grid(values, mask=mask))(coords)
        for b in range(3):
            alone = gl.Samples.from_grid(values[b], mask=mask[b])
            close(model.encode(alone)(coords[b]), whole[b])


@pytest.mark.parametrize("preset", (*PRESETS, *VARIANTS))
@pytest.mark.parametrize("arm", [{}, LOCAL], ids=["plain", "photo"])
def test_every_parameter_learns_and_what_is_fixed_is_saved(preset, arm):
    """After one step: a branch that starts at zero lets its first layer learn from the second on."""
    model = tiny(preset, arm, seed=6).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    samples, coords, cell = (
        gl.Samples.from_grid(torch.rand(2, 8, 8, 3)),
        torch.rand(2, 64, 2),
        torch.full((2, 1, 2), 0.06),
    )
    for _ in range(2):
        optimizer.zero_grad()
        (model(samples, coords, cell) - torch.rand(2, 64, 3)).square().mean().backward()
        optimizer.step()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead
    state = model.state_dict()
    assert all(name in state for name, _ in model.named_buffers())


@pytest.mark.parametrize("preset", ["mamba-ginr", "hybrid", "lainr", "scent"])
def test_positions_learn_under_the_euclidean_bias(preset):
    model = tiny(preset, {"decoder": {"attention": {"bias": {"kind": "euclid"}}}}).train()
    model(gl.Samples.from_grid(torch.rand(1, 8, 8, 3)), torch.rand(1, 9, 2)).square().sum().backward()
    positions = [p for name, p in model.encoder.named_parameters() if name.rsplit(".", 1)[-1] == "pos"]
    assert len(positions) == 1 and positions[0].grad.any()


def test_saved_and_loaded_is_bit_equal(model, samples, coords, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = gl.FieldModel.from_pretrained(tmp_path / "saved")
    assert again.config == model.config
    with torch.no_grad():
        assert torch.equal(again.encode(samples)(coords), model.encode(samples)(coords))
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_weights_in_half_the_bytes_answer_nearly_the_same(samples, coords, tmp_path):
    model = tiny("hybrid").eval()
    for p in model.parameters():
        p.data += 0.02 * torch.randn(p.shape)
    for name, dtype in (("whole", None), ("half", torch.float16)):
        model.save_pretrained(tmp_path / name, dtype=dtype)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    again = gl.FieldModel.from_pretrained(tmp_path / "half")
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    with torch.no_grad():
        torch.testing.assert_close(again.encode(samples)(coords), model.encode(samples)(coords), rtol=0, atol=1e-2)


@pytest.mark.parametrize("kind", ["none", "raster", "euclid"])
def test_the_bias_knows_coordinates_and_tokens_only(kind, coords):
    """Never the number of questions: asked one by one, the answers stay."""
    model = tiny("mamba-ginr", {"decoder": {"attention": {"bias": {"kind": kind}}}})
    with torch.no_grad():
        field = model.encode(gl.Samples.from_grid(torch.rand(2, 8, 8, 3)))
        close(torch.cat([field(coords[:, i : i + 1]) for i in range(57)], 1), field(coords))


@pytest.mark.parametrize("preset", ["mamba-ginr", "scent"])
def test_reading_the_nearest_latents_keeps_the_laws(preset, samples, coords):
    model = tiny(preset, {"decoder": {"attention": {"nearest": 3}}})
    with torch.no_grad():
        field = model.encode(samples)
        whole = field(coords)
        close(field(coords[:, 5:9]), whole[:, 5:9])
        assert (whole - tiny(preset).encode(samples)(coords)).abs().max() > 1e-4
    assert field.gradient(coords).isfinite().all()


@pytest.mark.parametrize("preset", (*PRESETS, *VARIANTS))
@pytest.mark.parametrize("axes", [1, 3, 4])
def test_any_number_of_axes(preset, axes):
    if preset == "conv" and axes > 3:
        pytest.skip("convolutions have three axes at most")
    diff = {"signal": {"axes": axes, "window": 4, "overlap": 1}, "tokenizer": {"position_width": 2 * axes * 2}}
    model = tiny(preset, diff)
    shape = (4, 3, 4, 6)[:axes]
    with torch.no_grad():
        field = model.encode(gl.Samples.from_grid(torch.rand(2, *shape, 3), axes=axes))
        coords = torch.rand(2, 11, axes)
        answer = field(coords)
        assert answer.shape == (2, 11, 3)
        close(field(coords[:, :3]), answer[:, :3])


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_a_volume_as_it_comes(preset):
    """Without an option but the number of axes and channels."""
    model = gl.FieldModel(gl.preset(preset, "tiny", axes=3, channels=2)).eval()
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)
    values, coords = torch.rand(2, 5, 6, 7, 2), torch.rand(2, 9, 3)
    field = model.encode(gl.Samples.from_grid(values, axes=3))
    answer = field(coords)
    assert answer.shape == (2, 9, 2) and answer.isfinite().all() and field.gradient(coords).shape == (2, 9, 2, 3)
    close(model.encode(gl.Samples.from_grid(values[1:], axes=3))(coords[1]), answer[1])
    for axis in range(3):
        assert (field(coords.index_fill(2, torch.tensor(axis), 0.5)) - answer).abs().max() > 1e-4


@pytest.mark.parametrize("preset", ["hybrid", "mamba-ginr", "ipc"])
def test_a_window_may_be_longer_along_one_axis(preset):
    """A grid of that shape is one window, as in training; one turned by a right angle is cut."""
    model = tiny(preset, {"signal": {"window": [8, 16]}})
    values, coords = torch.rand(2, 8, 16, 3), torch.rand(2, 19, 2)
    window, turned = (model.encode(gl.Samples.from_grid(v)) for v in (values, values.transpose(1, 2)))
    assert isinstance(window.correction.reader, WindowReader) and isinstance(turned.correction.reader, Mosaic)
    assert turned.correction.reader.windows.shape == (3, 1)
    for field in (window, turned):
        close(field(coords[:, 4:9]), field(coords)[:, 4:9])
        assert field(coords).isfinite().all()
    with pytest.raises(ValueError, match="signal.window names 3 axes, signal.axes is 2"):
        gl.preset(preset, "tiny", signal={"window": [8, 16, 8]})


def test_a_picture_can_be_written_into_an_array_on_disk(model, samples, tmp_path):
    field = model.encode(samples)
    whole = field.to_image(shape=(30, 21))
    for given in (
        np.empty((2, 30, 21, 3), np.float32),
        np.memmap(tmp_path / "big", np.float32, "w+", shape=(2, 30, 21, 3)),
    ):
        assert field.to_image(shape=(30, 21), chunk=100, out=given) is given
        close(torch.from_numpy(np.asarray(given)), whole)
    for wrong in (np.empty((30, 21, 3), np.float32), np.empty((2, 30, 21, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"out must be a C-contiguous float array \(2, 30, 21, 3\), got"):
            field.to_image(shape=(30, 21), out=wrong)


def test_requests_that_cannot_be_answered(model):
    field = model.encode(gl.Samples.from_grid(torch.rand(8, 8, 3)))
    with pytest.raises(ValueError, match=r"lie in \[0, 1\].*got 0 … 3"):
        field(torch.tensor([[0.0, 3.0]]))
    with pytest.raises(ValueError, match=r"expected coordinates \(Q, 2\)"):
        field(torch.rand(5, 3))
    with pytest.raises(ValueError, match="3 channels, got samples with 2 axes and 1 channels"):
        model.encode(gl.Samples.from_grid(torch.rand(8, 8, 1)))
    if model.tokenizer.size > 1:
        with pytest.raises(ValueError, match=r"patches of 2 do not divide \(7, 8\)"):
            model.encode(gl.Samples.from_grid(torch.rand(7, 8, 3)), pad=False)
    with pytest.raises(ValueError, match="NaN or infinite"):
        gl.Samples.from_grid(torch.full((4, 4, 3), float("nan")))
    with pytest.raises(ValueError, match="give scale=… or shape=…"):
        field.to_image()


JOINT = {
    "lainr blocks": ("mamba-ginr", {"decoder": {"block": {"depth": 1, "joint": True}}}),
    "scent": ("hybrid", {"decoder": {"joint": True}}),
}


@pytest.fixture(params=JOINT.values(), ids=JOINT.keys())
def joint(request) -> gl.FieldModel:
    return tiny(*request.param)


def test_joint_answers_depend_on_the_other_questions_and_are_never_divided(joint, coords):
    field = joint.encode(gl.Samples.from_grid(torch.rand(2, 8, 8, 3)))
    with torch.no_grad():
        whole = field(coords)
        assert torch.equal(field(coords), whole)
        assert (field(coords[:, :20]) - whole[:, :20]).abs().max() > 1e-4
        order = torch.randperm(57)
        close(field(coords[:, order]), whole[:, order])
        close(field.to_image(shape=(5, 7)).flatten(1, 2), field(gl.grid(5, 7), gl.cells(5, 7)), 1e-4)
    with pytest.raises(ValueError, match=r"57 questions cannot be asked in chunks of 10; leave chunk out"):
        field(coords, chunk=10)
    with pytest.raises(ValueError, match=r"cannot be asked alone"):
        field.to_image(shape=(5, 7), part=(slice(2), slice(None)))
    with pytest.raises(ValueError, match=r"one window answers at once: samples up to \(8, 8\), got \(8, 9\)"):
        joint.encode(gl.Samples.from_grid(torch.rand(2, 8, 9, 3)))


def test_every_parameter_of_a_joint_decoder_learns(joint, coords):
    joint.train()
    (joint(gl.Samples.from_grid(torch.rand(2, 8, 8, 3)), coords) - 0.5).square().mean().backward()
    assert not [name for name, p in joint.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize(
    ("preset", "diff", "message"),
    [
        ("trans-inr", {"encoder": {"tokens": {"read": "all"}}}, "'composer' is written by the position tokens"),
        ("mamba-ginr", {"decoder": {"widths": [8]}}, "names 1 widths for 2 decoder.bands"),
        ("hybrid", {"decoder": {"widths": [8]}}, "names 1 widths for a decoder.depth of 2"),
    ],
)
def test_options_that_do_not_fit(preset, diff, message):
    with pytest.raises(ValueError, match=message):
        tiny(preset, diff)


@pytest.mark.parametrize("preset", ["mamba-ginr", "scent", "hybrid"])
def test_modulation_and_decoding_coordinates_are_separate(preset, coords):
    model, samples = tiny(preset), gl.Samples.from_grid(torch.rand(2, 8, 8, 3))
    other = coords.roll(1, 1)
    with torch.no_grad():
        field = model.encode(samples)
        here = field(coords)
        close(field(coords, latents_at=coords), here, 1e-6)
        apart = field(coords, latents_at=other)
        assert (apart - here).abs().max() > 1e-4 and (apart - field(other)).abs().max() > 1e-4
        close(field(coords[:, :7], latents_at=other[:, :7], chunk=3), apart[:, :7])
    with pytest.raises(ValueError, match=r"latents_at needs samples within one window of \(8, 8\), got \(17, 9\)"):
        model.encode(gl.Samples.from_grid(torch.rand(17, 9, 3)))(coords[0], latents_at=coords[0])
    with pytest.raises(ValueError, match="'mlp' reads at no place"):
        tiny("mlp").encode(samples)(coords, latents_at=coords)
