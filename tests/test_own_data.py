"""A user's own arrays, where docs/own-data.md says that they work or are refused."""

import numpy as np
import pytest

import gridless as gl

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
