"""Films: what NetCDF, Zarr and xarray hold, at even steps of time, in three parts without a shared frame."""

from pathlib import Path

import numpy as np
import pytest
import torch

import gridless as gl
from gridless import config as c
from gridless.config.errors import ConfigError
from gridless.data.archives import open_archive
from gridless.data.clocks import Clock
from gridless.data.durations import Duration
from gridless.data.films import read_film, split_film
from gridless.domain import TIME
from gridless.runs.recipe_flags import recipe_of
from gridless.training.loading import load_data

xr = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")

FIVE = np.timedelta64(5, "m")
START = np.datetime64("2020-02-28T23:00", "ns")


def film(times=None, name: str = "rain", shape=(4, 6), **coords) -> "xr.Dataset":
    """A number that says when and where: 100 · frame + 10 · row + column."""
    times = START + FIVE * np.arange(10) if times is None else times
    t, y, x = np.meshgrid(np.arange(len(times)), np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    at = {
        name: (name, np.arange(n) * 2.0, {"units": "km", "long_name": name})
        for name, n in zip("yx", shape, strict=True)
    }
    values = (100.0 * t + 10 * y + x).astype(np.float32)
    return xr.Dataset(
        {name: (("time", "y", "x"), values, {"units": "mm", "long_name": name})}, coords=at | {"time": times} | coords
    )


def one_line(error) -> None:
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_film_is_a_signal_whose_first_axis_is_time(tmp_path):
    film().to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    read = read_film(tmp_path / "f.nc")
    signal = read.signal()
    assert signal.shape == (10, 4, 6) and signal.channels == 1 and signal.mask is None
    assert signal.domain.names == ("time", "y", "x") and signal.domain.axes[0].unit == TIME
    assert signal.domain.quantities[0].unit == "mm" and read.clock.step == 300 and read.clock.standard
    at = signal.domain.to_user(gl.grid(10, 4, 6, dtype=torch.float64))
    np.testing.assert_array_equal(np.unique(at["time"]), START + FIVE * np.arange(10))
    field = gl.bases.Interpolation("bilinear").encode(signal.samples())
    between = {"time": START + np.timedelta64(150, "s"), "y": 2.0, "x": 4.0}
    assert float(field(between)) == pytest.approx(50 + 10 + 2, abs=1e-2)


def test_the_parts_follow_one_another_and_share_no_frame(tmp_path):
    film(START + FIVE * np.arange(20)).to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    data = c.FilmData(path=str(tmp_path / "f.nc"), val=3, test=0.2)
    parts = [load_data(data, split)[0] for split in ("train", "val", "test")]
    assert [part.shape[0] for part in parts] == [13, 3, 4]
    firsts = [part.domain.to_user(gl.grid(*part.shape, dtype=torch.float64))["time"].min() for part in parts]
    np.testing.assert_array_equal(firsts, START + FIVE * np.array([0, 13, 16]))
    assert np.concatenate([part.values[:, 0, 0, 0] for part in parts]).tolist() == [100.0 * k for k in range(20)]
    assert load_data(c.FilmData(path=data.path, val=0), "val") == ()


def test_missing_frames_and_values_are_holes():
    times = START + FIVE * np.array([0, 1, 2, 5, 6])
    holed = film(times)
    holed.rain[1, 2, 3] = np.nan
    signal = read_film(holed).signal()
    assert signal.shape[0] == 7 and signal.mask.sum() == 5 * 24 - 1
    assert not signal.mask[[3, 4]].any() and not signal.mask[1, 2, 3] and (signal.values[5, 0, 0] == 300).all()


def test_frames_come_in_the_order_of_their_times_and_time_comes_first():
    shuffled = film().isel(time=[4, 0, 3, 9, 8, 1, 2, 7, 6, 5]).transpose("y", "x", "time")
    for each in (film().isel(time=slice(None, None, -1)), shuffled):
        read = read_film(each)
        np.testing.assert_array_equal(read.values, read_film(film()).values)
        assert read.clock.first == START and read.dataset.rain.dims == ("time", "y", "x")


def test_stamps_that_shake_a_little_are_even_and_others_are_refused():
    shaken = START + FIVE * np.arange(10) + np.array([0, 3, -4, 1, 0, 9, -9, 2, 0, 0], "timedelta64[s]")
    assert read_film(film(shaken)).clock.step == pytest.approx(300, abs=2)
    uneven = START + np.array([0, 4, 11, 15, 29], "timedelta64[m]")
    with pytest.raises(ValueError, match=r"steps of time are uneven \(4 min … 14 min\); .*resample") as error:
        read_film(film(uneven))
    one_line(error)
    with pytest.raises(ValueError, match="two frames of one time, 2020-02-28T23:05"):
        read_film(film(START + FIVE * np.array([0, 1, 1, 2])))
    with pytest.raises(ValueError, match="between which 994 are missing at steps of 5 min"):
        read_film(film(START + FIVE * np.array([0, 1, 2, 3, 4, 999])))
    with pytest.raises(ValueError, match="holds 1 frame; a film has at least two"):
        read_film(film().isel(time=[3]))


def test_only_some_frames_counted_back_from_the_last():
    read = read_film(film(), every="15min")
    assert read.values[:, 0, 0, 0].tolist() == [0, 300, 600, 900] and read.clock.step == 900
    assert read_film(film(), every="20min").clock.first == START + FIVE
    assert read_film(film()).part(7, 10).values[:, 0, 0, 0].tolist() == [700, 800, 900]
    with pytest.raises(ValueError, match="every is 7 min, the frames of the film are 5 min apart; give a multiple"):
        read_film(film(), every="7min")
    with pytest.raises(ValueError, match="every is 1 month, the frames of this film are 5 min apart"):
        read_film(film(), every="1month")


def test_months_are_steps_of_their_own():
    months = np.datetime64("2001-11", "M") + np.arange(6)
    for day in (0, 15):
        read = read_film(film(months.astype("datetime64[ns]") + np.timedelta64(day, "D")))
        assert (read.clock.unit, read.clock.step) == ("month", 1.0)
        assert read.signal().domain.axes[0].unit == "month" and read.signal().domain.axes[0].length == 6
        ahead = read.clock.at(np.array([6.0, 9.0]))
        assert ahead.astype("datetime64[D]").tolist() == (np.array(["2002-05", "2002-08"], "datetime64[M]")
            .astype("datetime64[D]") + np.timedelta64(day, "D")).tolist()  # fmt: skip
    ends = np.array(["2019-11-30", "2019-12-31", "2020-01-31", "2020-02-29"], "datetime64[ns]")
    clock = read_film(film(ends)).clock
    assert str(clock.at(np.array([4.0]))[0])[:10] == "2020-03-30"
    assert (
        str(read_film(film(months.astype("datetime64[ns]"))).clock.at(np.array([0.5]))[0])
        == "2001-11-16T00:00:00.000000"
    )


def test_other_calendars_are_counted_from_their_first_frame():
    cftime = pytest.importorskip("cftime")
    days = np.array([cftime.DatetimeNoLeap(2020, 2, 26 + k) if k < 3 else cftime.DatetimeNoLeap(2020, 3, k - 2)
                     for k in range(6)])  # fmt: skip
    read = read_film(film(days))
    assert read.clock.step == 86400 and not read.clock.standard and read.signal().domain.axes[0].unit == "s"
    assert read.clock.at(np.array([6.5]))[0] == cftime.DatetimeNoLeap(2020, 3, 4, 12)
    months = np.array([cftime.DatetimeNoLeap(2019, 12 + k, 31) if k == 0 else cftime.DatetimeNoLeap(2020, k, d)
                       for k, d in ((0, 0), (1, 31), (2, 28))])  # fmt: skip
    clock = read_film(film(months)).clock
    assert clock.unit == "month" and clock.at(np.array([3.0]))[0] == cftime.DatetimeNoLeap(2020, 3, 31)


def test_what_is_no_film_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_film(tmp_path / "none.nc")
    with pytest.raises(ValueError, match="rain has no axis of time"):
        read_film(film().isel(time=0))
    with pytest.raises(ValueError, match=r"has the variables rain, snow; say which"):
        read_film(film().assign(snow=film().rain))
    with pytest.raises(ValueError, match=r"its frames lie on no even grid \(y, x\); interpolate them"):
        read_film(film().assign_coords(y=[0.0, 1.0, 5.0, 7.0]))
    with pytest.raises(ValueError, match="1 of 10 frames have no time"):
        times = START + FIVE * np.arange(10)
        times[3] = np.datetime64("NaT")
        read_film(film(times))
    with pytest.raises(ValueError, match="needs data.path"):
        split_film(c.FilmData(), "train")
    with pytest.raises(ConfigError, match="a share below 1 or a whole number of frames, got 2.5"):
        c.FilmData(test=2.5)
    film().to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="has 10 frames, of which data.val 5 and data.test 5 leave none"):
        split_film(c.FilmData(path=str(tmp_path / "f.nc"), val=5, test=5), "train")
    with pytest.raises(ValueError, match="nothing was measured"):
        read_film(film() * np.nan).signal()


def test_channels_whole_numbers_and_frames_without_coordinates(tmp_path):
    bare = film().drop_vars(["y", "x"]).assign(wind=film().rain.astype(np.int16).drop_vars(["y", "x"]))
    read = read_film(bare, ("wind", "rain"))
    assert read.signal().channels == 2 and read.signal().domain.axes[1].length == 4
    assert [q.name for q in read.domain(1).quantities] == ["wind", "rain"]
    level = film().expand_dims(height=[2.0]).transpose("time", "height", "y", "x")
    assert read_film(level).values.shape == (10, 4, 6, 1)
    film().to_zarr(tmp_path / "f.zarr", consolidated=False)
    np.testing.assert_array_equal(read_film(open_archive(tmp_path / "f.zarr")).values, read_film(film()).values)


def test_durations_as_one_writes_them():
    for text, count, unit in (("30min", 1800, "s"), ("6h", 21600, "s"), ("3D", 259200, "s"), ("1.5 hours", 5400, "s"),
                              ("2 months", 2, "month"), ("1year", 12, "month"), ("90s", 90, "s")):  # fmt: skip
        assert Duration.of(text) == Duration(count, unit)
    assert [str(Duration(n, "s")) for n in (90.0, 1800.0, 259200.0, 0.5)] == ["90 s", "30 min", "3 d", "0.5 s"]
    assert [str(Duration(n, "month")) for n in (1.0, 6.0, 12.0, 24.0)] == ["1 month", "6 months", "1 year", "2 years"]
    for text in ("30", "5m", "-1h", "0h", "soon", "", "1h30"):
        with pytest.raises(ValueError, match=r"--until is .*expected a positive number and a unit .*, such as 30min"):
            Duration.of(text, "--until")


def test_a_clock_goes_on_after_its_frames():
    clock, index = Clock.of(np.array(["2020-01-01", "2020-01-02"], "datetime64[us]"), "f")
    assert index.tolist() == [0, 1] and str(clock.at(np.array([2.25]))[0]) == "2020-01-03T06:00:00.000000"
    assert clock.frames_in(Duration.of("6h"), "--every") == 0.25


@pytest.mark.parametrize("name", ["films", "fields"])
def test_flags_of_the_data_hold_beside_its_path(name):
    """They were dropped in silence where the data's kind is not the usual one."""
    made, _ = recipe_of(name, ("--data.val", "3", "--data.test", "0.3"), Path("f.nc"), variable=["t"])
    assert (made.data.val, made.data.test, made.data.path, made.data.variable) == (3, 0.3, "f.nc", ("t",))
    assert recipe_of(name, (), Path("f.nc"))[0].data.val == 0.1
