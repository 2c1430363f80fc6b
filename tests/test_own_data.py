"""A user's own arrays, where docs/own-data.md says that they work or are refused."""

import json

import numpy as np
import pytest
import torch
from conftest import tiny
from PIL import Image

import gridless as gl
from gridless.data.sources import signals
from gridless.scoring.evaluate import validation_scores

CUBIC = {"cubic": gl.bases.Interpolation("bicubic")}


@pytest.mark.parametrize("fill", [-9999.0, 9.96921e36])
def test_a_fill_value_is_refused_before_it_is_averaged_or_cut_away(fill):
    values = np.random.default_rng(0).random((12, 12, 1))
    values[0, 0] = fill
    for task in (gl.SuperResolution(scale=2.0), gl.Reconstruction(largest=4)):
        with pytest.raises(ValueError, match=r"signal-0: .*fill value; make them NaN"):
            gl.evaluate(CUBIC, [values], task)
    values[0, 0] = np.nan
    assert gl.evaluate(CUBIC, [values], gl.SuperResolution(scale=2.0))


def test_modes_are_fitted_to_whatever_training_takes():
    x = np.linspace(0, 1, 12)
    fields = [(np.sin(6 * x + k)[:, None] * np.cos(4 * x))[..., None] for k in range(6)]
    pod = gl.config.Pod(representation="grid", modes=2)
    modes = [gl.bases.Modes(pod, gl.config.Signal(axes=2, channels=1)) for _ in range(2)]
    modes[0].fit(fields)
    modes[1].fit([gl.Samples.from_grid(each) for each in fields])
    assert modes[0].fitted and modes[0].modes.equal(modes[1].modes)
    with pytest.raises(ValueError, match="fitted to grids, got Readings"):
        modes[0].fit([gl.Samples.from_grid(fields[0]).as_points()])


def test_one_place_has_one_coordinate_whichever_turn_it_is_written_in():
    """So that readings there are merged, not interpolated."""
    domain = gl.Domain.globe()
    samples = gl.Samples.from_points(
        {"lat": [10.0, 10.0], "lon": [-75.0, 285.0]}, np.array([[1.0], [2.0]]), domain=domain
    )
    assert samples.coords[0, 0].equal(samples.coords[0, 1]) and samples.mask.tolist() == [[True, False]]
    assert samples.values[0, 0].item() == 1.5
    lon = np.arange(-15, 345, 0.1)
    around = domain.to_unit({"lat": 0.0, "lon": lon}) - domain.to_unit({"lat": 0.0, "lon": lon + 360})
    assert around.abs().max() < 1e-12


def test_arrays_too_small_for_the_crops_say_what_is_needed():
    model = gl.FieldModel(gl.preset("hybrid", "tiny", channels=1))
    with (
        pytest.warns(UserWarning, match=r"signal-0 \(12, 12\) is left out: too small for crops of \(16, 16\)"),
        pytest.raises(ValueError, match=r"too small for crops of \(16, 16\)"),
    ):
        gl.fit(model, [np.ones((12, 12, 1))], gl.SuperResolution(scale=2.0), steps=1, quiet=True)


def test_a_further_metric_is_a_row_beside_the_others():
    values = np.random.default_rng(0).random((6, 6, 1))
    further = {"worst": lambda answer, case: float(np.abs(answer.mean - case.truth).max()), "none": lambda *_: None}
    rows = gl.evaluate(CUBIC, [values], gl.Reconstruction(), measures=further)
    assert {row["metric"]: row["value"] for row in rows}["worst"] == pytest.approx(0, abs=1e-6)
    assert "rmse" in {row["metric"] for row in rows} and "none" not in {row["metric"] for row in rows}


PLACES = {"y": [0.1, 0.2], "x": [0.3, 0.4]}
BOX = gl.Domain.box({"y": (0, 1), "x": (0, 1)})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: gl.Samples.from_points(PLACES, np.ones(2), domain=BOX),
            r"got \(2,\); of one channel: values\[..., None\]",
        ),
        (lambda: gl.Samples.from_points(PLACES, np.ones((3, 1)), domain=BOX), r"\(2,\) places for readings \(3,\)"),
        (lambda: BOX.to_unit({"y": [0.1, 0.2], "x": [0.3, 0.4, 0.5]}), r"unlike shapes: y \(2,\), x \(3,\)"),
        (
            lambda: gl.FieldModel(gl.preset("hybrid", "tiny")).encode(np.ones((8, 8, 3))),
            "expected Samples, got ndarray",
        ),
    ],
    ids=["no channels", "too few places", "unlike shapes", "no samples"],
)
def test_slips_of_the_first_hour_are_told_in_a_line(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def arrays(*shapes: tuple[int, ...], dtype=np.float32) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.random(shape, np.float32) if dtype is np.float32 else rng.integers(0, 255, shape, dtype) for shape in shapes
    ]


def trained(model: gl.FieldModel, data, task=None, **options) -> dict:
    train = gl.Train(steps=2, batch=2, queries=16, validate_every=1)
    return gl.fit(model, data, task or gl.SuperResolution(scale=2.0), train=train, quiet=True, **options)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_is_made_finer(channels):
    data = arrays((20, 24, channels), (22, 20, channels))
    model = gl.FieldModel(gl.preset("hybrid", "tiny", channels=channels))
    trained(model, data)
    assert model.head.linear.weight.any()
    rows = gl.evaluate({"own": model, **CUBIC}, data, gl.SuperResolution(scale=2.0))
    found = {(row["model"], row["image"]): row["value"] for row in rows if row["metric"] == "rmse"}
    assert len(found) == 4 and min(found.values()) > 0 and max(found.values()) < 1
    assert found["own", "signal-0"] != found["cubic", "signal-0"]


def test_arrays_of_16_bits_are_trained_on_as_the_floats_they_stand_for():
    whole, weights = arrays((20, 24, 3), dtype=np.uint16)[0] * np.uint16(257), []
    for data in (whole, whole.astype(np.float32) / np.float32(65535)):
        torch.manual_seed(0)
        model = gl.FieldModel(gl.preset("hybrid", "tiny"))
        trained(model, [data])
        weights.append(model.head.linear.weight)
    assert weights[0].any() and weights[0].equal(weights[1])


@pytest.mark.parametrize(
    "given",
    [
        lambda data: data,
        lambda data: [gl.Samples.from_grid(each) for each in data],
        lambda data: gl.Samples.from_grid(np.stack(data)),
    ],
    ids=["arrays", "samples", "a batch"],
)
def test_what_is_trained_on_can_be_validated_on(given, tmp_path):
    """With the same scores, however it is handed over."""
    model = gl.FieldModel(gl.preset("hybrid", "tiny", channels=5))
    data = arrays(*[(20, 24, 5)] * 3)
    trained(model, data[:2], folder=tmp_path, validation=given(data))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = [line for line in lines if "val_psnr" in line]
    expected = validation_scores(model, signals(data), gl.SuperResolution(scale=2.0))
    assert len(scores) == 2 and expected.keys() == {"val_psnr", "val_gain_x2"}
    assert {name: scores[-1][name] for name in expected} == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["8 bits", "16 bits"])
def test_a_grey_photo_stays_grey_where_one_channel_is_seen(dtype, tmp_path):
    (pixels,) = arrays((24, 20, 1), dtype=dtype)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    photo = gl.data.read_photo(tmp_path / "grey.png")
    for data in ([photo], [tmp_path / "grey.png"]):
        assert signals(data, 1)[0].values.shape == (24, 20, 1)
        assert signals(data, 3)[0].values.shape == signals(data)[0].values.shape == (24, 20, 3)
        model = gl.FieldModel(gl.preset("hybrid", "tiny", channels=1))
        trained(model, data, validation=data)
        assert gl.evaluate(model, data, gl.SuperResolution(scale=2.0))


def test_one_icon_among_larger_pictures_is_left_out_by_name():
    """Of training; an evaluation answers it, without the metrics whose window it is too small for."""
    data = arrays((40, 36, 3), (6, 7, 3), dtype=np.uint8)
    model = gl.FieldModel(gl.preset("hybrid", "tiny"))
    with pytest.warns(UserWarning, match=r"signal-1 \(6, 7\) is left out: too small for crops of \(16, 16\)") as told:
        gl.fit(model, data, gl.SuperResolution(scale=2.0), steps=1, quiet=True)
    assert model.trained_steps == 1 and not [w for w in told if "signal-0" in str(w.message)]
    rows = gl.evaluate(model, data, gl.SuperResolution(scale=2.0))
    metrics = [{row["metric"] for row in rows if row["image"] == f"signal-{i}"} for i in range(2)]
    assert metrics[0] - metrics[1] == {"ssim"} and "psnr_rgb" in metrics[1]
    with pytest.raises(ValueError, match=r"signal-1 \(6, 7, 3\)|signal-1 \(6, 7\) is too small for ×8"):
        gl.evaluate(model, data, gl.SuperResolution(scale=8.0))


def test_an_answer_may_have_other_channels_than_the_samples():
    """From three that are seen to two that are asked, trained by a loss of one's own or the head's."""
    diff = {"signal": {"out_channels": 2}, "base": {"kind": "none"}}
    model = tiny("hybrid", diff).train()
    samples, coords = gl.Samples.from_grid(np.ones((2, 8, 8, 3), np.float32)), torch.rand(2, 11, 2)
    loss = model(samples, coords, target=torch.rand(2, 11, 2))
    loss.backward()
    assert loss.isfinite() and not [name for name, p in model.named_parameters() if p.grad is None]
    field = model.eval().encode(samples)
    assert field(coords).shape == (2, 11, 2) and field(coords[:, :0]).shape == (2, 0, 2)
    assert field.to_grid(shape=(4, 5)).shape == (2, 4, 5, 2) and field.gradient(coords).shape == (2, 11, 2, 2)
    backwards = coords.numpy()[:, ::-1].astype(">f4")  # as arrays come from a file
    torch.testing.assert_close(field(backwards), field(coords).flip(1))
    with pytest.raises(ValueError, match="'bicubic' answers the 3 channels that are seen, .*; set base.kind to none"):
        tiny("hybrid", diff | {"base": {"kind": "bicubic"}})


def test_many_signals_are_weighed_once_each_and_the_oldest_make_room(monkeypatch):
    """The bytes of all that was kept were summed anew for every signal: training on thousands of pictures became slower
    with every picture that it had seen."""
    from gridless.data import sources

    weighed = []
    whole = sources._nbytes
    monkeypatch.setattr(sources, "_nbytes", lambda signal: weighed.append(signal) or whole(signal))
    data = signals([np.zeros((4, 4, 3), np.float32) + i for i in range(200)])
    for i in range(200):
        data[i]
    assert len(weighed) <= 200
    monkeypatch.setattr(sources, "BYTES_KEPT", 3 * 192)
    few = signals([np.zeros((4, 4, 3), np.float32) + i for i in range(9)])
    for i in (0, 1, 2, 0, 3):
        few[i]
    assert list(few._kept) == [2, 0, 3] and few._bytes == 3 * 192  # pyright: ignore[reportAttributeAccessIssue]
