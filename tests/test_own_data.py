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
