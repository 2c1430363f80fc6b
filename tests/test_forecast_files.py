"""`gridless forecast`: what it reads, at which moments it answers, and the file that it writes."""

from pathlib import Path

import numpy as np
import pytest

import gridless as gl
from gridless.bases.persistence import Persistence
from gridless.cli import main
from gridless.data.archive_writing import write_netcdf
from gridless.data.archives import open_archive
from gridless.data.clocks import Clock
from gridless.data.durations import Duration
from gridless.data.films import read_film
from gridless.field import Field
from gridless.protocols import Answer
from gridless.runs.forecast import ForecastOptions, Trained, forecast, forecast_model, moments_ahead
from tests.test_answers import complaints
from tests.test_films import FIVE, START, film, one_line

xr = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")

ALBERS = {
    "grid_mapping_name": "albers_conical_equal_area", "standard_parallel": [20.0, 60.0],
    "longitude_of_central_meridian": -96.0, "latitude_of_projection_origin": 40.0, "false_easting": 0.0,
    "false_northing": 0.0,
}  # fmt: skip


class Trend:
    """What a test knows: the value grows by 100 a frame, for ever, and the spread by 1 a frame after the last seen one."""

    name = "trend"

    def encode(self, samples: gl.Samples) -> Field:
        field = Field.of_base(Persistence(), samples)
        persisted, frames = field.solved, samples.shape[0]
        last = int(samples.mask_on_grid()[0].flatten(1).any(1).nonzero().max())

        class Solved:
            spread, differentiable = True, False

            def __call__(self, coords, cell=None):
                ahead = coords[..., :1] * frames - 0.5 - last
                return persisted(coords) + 100 * ahead.clamp(min=0)

            def mean_and_std(self, coords, cell=None):
                ahead = coords[..., :1] * frames - 0.5 - last
                return Answer(self(coords), (1 + ahead.clamp(min=0)).expand(*coords.shape[:-1], samples.channels))

        return Field(samples, Solved())


def options(until: str, every: str | None = None, **changed) -> ForecastOptions:
    return ForecastOptions(until=until, every=every, **changed)


def written(path: Path, source, until: str, every: str | None = None, model=None, trained=None, **changed):
    said = forecast(
        model or Persistence(), trained or Trained(), source, path, options(until, every, **changed), "a command"
    )
    assert str(path) in said and "\n" not in said
    return open_archive(path)


def bounds(path: Path) -> np.ndarray:
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.time_bnds.values


def radar(path: Path) -> Path:
    """Ten frames of rain on a projection, five minutes apart, with bounds of time; the stamps end the interval."""
    metres = {"units": "m"}
    rain = film().assign_coords(
        y=("y", np.arange(4) * -2000.0, metres | {"standard_name": "projection_y_coordinate"}),
        x=("x", np.arange(6) * 2000.0, metres | {"standard_name": "projection_x_coordinate"}),
        crs=((), 0, ALBERS),
    )
    rain = rain.assign(time_bnds=(("time", "bnds"), np.stack([rain.time.values - FIVE, rain.time.values], 1)))
    rain.rain.attrs |= {"standard_name": "lwe_thickness_of_precipitation_amount", "cell_methods": "time: sum"}
    rain.rain.encoding["grid_mapping"] = "crs"
    rain.rain[:, 0, :2] = np.nan
    rain.time.attrs |= {"standard_name": "time", "bounds": "time_bnds", "long_name": "end of the interval"}
    rain.time.encoding |= {"units": "minutes since 2020-01-01", "calendar": "proleptic_gregorian", "dtype": "int32"}
    rain.attrs |= {"title": "rain", "comment": "made"}
    for name in ("y", "x", "time"):
        rain[name].encoding["_FillValue"] = None
    rain.to_netcdf(path, engine="h5netcdf")
    return path


def test_a_forecast_is_a_file_that_the_checker_passes(tmp_path):
    pytest.importorskip("pyproj")
    source = radar(tmp_path / "recent.nc")
    back = written(tmp_path / "next.nc", source, "30min", model=Trend())
    assert back.rain.dims == ("time", "y", "x") and set(back.data_vars) == {"rain", "rain_standard_error"}
    np.testing.assert_array_equal(back.time.values, START + FIVE * np.arange(10, 16))
    np.testing.assert_allclose(back.rain.values[:, 1, 2], 912 + 100 * np.arange(1, 7), atol=1e-2)
    np.testing.assert_allclose(back.rain_standard_error.values[:, 1, 2], 1 + np.arange(1, 7), atol=1e-4)
    assert np.isnan(back.rain.values[:, 0, :2]).all() and np.isnan(back.rain.values).sum() == 12
    assert (
        back.time.encoding["units"] == "minutes since 2020-01-01"
        and back.time.attrs["long_name"] == "end of the interval"
    )
    assert back.time.encoding["bounds"] == "time_bnds"
    np.testing.assert_array_equal(
        bounds(tmp_path / "next.nc"), np.stack([back.time.values - FIVE, back.time.values], 1)
    )
    assert back.forecast_reference_time.values == START + 9 * FIVE
    assert back.forecast_reference_time.attrs["standard_name"] == "forecast_reference_time"
    with xr.open_dataset(tmp_path / "next.nc", engine="h5netcdf", decode_times=False) as raw:
        assert raw.forecast_period.values.tolist() == [5, 10, 15, 20, 25, 30] and raw.forecast_period.units == "minutes"
        assert raw.rain.encoding["coordinates"] == "forecast_period forecast_reference_time"
        assert raw.rain.attrs["grid_mapping"] == "crs" and raw.rain.attrs["cell_methods"] == "time: sum"
        assert dict(raw.crs.attrs).keys() >= ALBERS.keys()
    assert back.attrs["history"].endswith("Z a command") and back.attrs["comment"] == "made"
    assert complaints(tmp_path / "next.nc", tmp_path) == []
    again = written(tmp_path / "later.nc", tmp_path / "next.nc", "10min", variable=("rain",))
    assert again.forecast_reference_time.values == START + 15 * FIVE and again.sizes["time"] == 2


def test_any_moment_is_asked(tmp_path):
    source = radar(tmp_path / "recent.nc")
    back = written(tmp_path / "next.nc", source, "6min", "90s", Trend(), spread=False)
    np.testing.assert_array_equal(back.time.values, START + 9 * FIVE + np.timedelta64(90, "s") * np.arange(1, 5))
    np.testing.assert_allclose(back.rain.values[:, 1, 2], 912 + 30 * np.arange(1, 5), atol=1e-2)
    assert back.time.encoding["units"] == "minutes since 2020-01-01" and back.time.encoding["dtype"] == np.float64
    assert set(back.data_vars) == {"rain"}
    assert (np.diff(bounds(tmp_path / "next.nc")) == FIVE).all()


def test_a_model_sees_the_frames_that_it_saw_in_training_and_beyond_them_the_file_says_so(tmp_path):
    seen = []

    class Watching(Trend):
        def encode(self, samples):
            seen.append((samples.shape, samples.mask_on_grid()[0, :, 2, 2].tolist()))
            return super().encode(samples)

    trained = Trained(seen=3, ahead=2)
    back = written(tmp_path / "next.nc", film(), "10min", model=Watching(), trained=trained)
    assert seen == [((5, 4, 6), [True] * 3 + [False] * 2)] and "comment" not in back.attrs
    back = written(tmp_path / "next.nc", film(), "20min", model=Watching(), trained=trained)
    assert back.attrs["comment"].startswith("training asked up to 10 min ahead; what lies beyond")
    written(tmp_path / "next.nc", film(), "10min", model=Watching(), trained=trained, frames=4)
    back = written(tmp_path / "next.nc", film(), "20min", model=Watching(), trained=Trained(3, 2, step=2))
    assert seen[2:] == [((6, 4, 6), [True] * 4 + [False] * 2), ((5, 4, 6), [True] * 3 + [False] * 2)]
    np.testing.assert_array_equal(back.time.values, START + FIVE * np.arange(10, 14))
    back = written(tmp_path / "next.nc", film(), "30min", "15min", Watching(), Trained(3, 2, every="15min"))
    assert seen[4] == ((5, 4, 6), [True] * 3 + [False] * 2) and "comment" not in back.attrs
    with pytest.raises(ValueError, match="holds 10 frames until its last one, 12 are to be seen; give a longer film"):
        written(tmp_path / "next.nc", film(), "10min", model=Watching(), trained=Trained(12, 2))


def test_frames_that_are_empty_at_the_end_are_ahead(tmp_path):
    holed = film()
    holed.rain[8:] = np.nan
    holed.rain[3] = np.nan
    back = written(tmp_path / "next.nc", holed, "5min", model=Trend())
    assert back.time.values == START + 8 * FIVE and back.forecast_reference_time.values == START + 7 * FIVE
    assert back.attrs["comment"].startswith("nothing was measured in the last 2 frames of the film")
    np.testing.assert_allclose(back.rain.values[0, 1], 810 + np.arange(6), atol=1e-2)
    with pytest.raises(ValueError, match="nothing was measured, all 10 frames are masked or NaN"):
        written(tmp_path / "none.nc", film() * np.nan, "5min")
    assert not (tmp_path / "none.nc").exists()


def test_what_no_frame_measured_is_answered_only_where_it_is_asked_for(tmp_path):
    holed = film()
    holed.rain[:, 1] = np.nan
    holed.rain[-1, 2] = np.nan
    back = written(tmp_path / "a.nc", holed, "5min")
    assert np.isnan(back.rain.values[0, 1]).all() and np.isfinite(back.rain.values[0, [0, 2, 3]]).all()
    assert np.isfinite(written(tmp_path / "b.nc", holed, "5min", fill=True).rain.values).all()


def test_months_and_other_calendars_go_on_as_they_are(tmp_path):
    cftime = pytest.importorskip("cftime")
    months = np.datetime64("2001-10-16", "ns") + np.array([0, 31, 61], "timedelta64[D]")
    monthly = film(months)
    firsts = np.array(["2001-10", "2001-11", "2001-12", "2002-01"], "datetime64[M]").astype("datetime64[ns]")
    monthly = monthly.assign(time_bnds=(("time", "bnds"), np.stack([firsts[:-1], firsts[1:]], 1)))
    monthly.time.attrs["bounds"] = "time_bnds"
    back = written(tmp_path / "m.nc", monthly, "3months", model=Trend())
    assert [str(t)[:10] for t in back.time.values] == ["2002-01-16", "2002-02-16", "2002-03-16"]
    assert [str(t)[:10] for t in bounds(tmp_path / "m.nc").ravel()[[0, 1, -1]]] == [
        "2002-01-01",
        "2002-02-01",
        "2002-04-01",
    ]
    np.testing.assert_allclose(back.rain.values[:, 0, 0], 300 + 100 * np.arange(3), atol=1e-2)
    assert complaints(tmp_path / "m.nc", tmp_path) == []
    days = np.array([cftime.Datetime360Day(2020, 2, 28 + k) for k in range(3)])
    back = written(tmp_path / "c.nc", film(days), "12h", "6h", Trend())
    assert back.time.values.tolist() == [cftime.Datetime360Day(2020, 2, 30, 6), cftime.Datetime360Day(2020, 2, 30, 12)]
    np.testing.assert_allclose(back.rain.values[:, 0, 0], [225, 250], atol=1e-2)
    assert back.time.encoding["calendar"] == "360_day" and back.forecast_reference_time.values[()].day == 30
    assert complaints(tmp_path / "c.nc", tmp_path) == []


def test_a_sphere_names_of_time_and_channels_stay(tmp_path):
    globe = film(name="t").rename(y="lat", x="lon", time="step")
    globe = globe.assign_coords(
        lat=("lat", np.arange(60.0, 20.0, -10.0), {"units": "degrees_north"}),
        lon=("lon", np.arange(0.0, 360.0, 60.0), {"units": "degrees_east"}),
        valid_time=("step", START + FIVE * np.arange(10), {"standard_name": "time"}),
        forecast_reference_time=((), START, {"standard_name": "forecast_reference_time"}),
        step=np.arange(10),
    ).expand_dims(height=[2.0])  # fmt: skip
    globe = globe.assign(u=globe.t + 5)
    back = written(tmp_path / "a.nc", globe, "5min", variable=("t", "u"))
    assert back.t.dims == ("valid_time", "height", "lat", "lon") and set(back.data_vars) == {"t", "u"}
    np.testing.assert_allclose(back.u.values, back.t.values + 5, atol=1e-3)
    assert back.forecast_reference_time.values == START + 9 * FIVE and back.height.values == [2.0]
    bare = film().drop_vars(["y", "x"])
    back = written(tmp_path / "b.zarr", bare, "5min")
    assert back.rain.shape == (1, 4, 6) and not {"y", "x"} & set(back.coords)
    np.testing.assert_allclose(back.rain.values[0], bare.rain.values[-1], atol=1e-2)


def test_what_does_not_fit_is_one_line_and_leaves_no_file(tmp_path):
    clock, _ = Clock.of(START.astype("datetime64[us]") + FIVE * np.arange(3), "f")
    assert moments_ahead(clock, Duration.of("10min"), Duration.of("2min")).tolist() == pytest.approx(
        [0.4, 0.8, 1.2, 1.6, 2]
    )
    cases = {
        ("30 parsecs", None): "--until is '30 parsecs'; expected a positive number and a unit",
        ("30min", "0min"): "--every is '0min'; expected",
        ("30min", "7min"): "--until is 30 min, no multiple of 7 min; give a multiple, or another --every",
        ("7min", None): "--until is 7 min, no multiple of 5 min",
        ("1month", None): "--until is 1 month, the frames of this film are 5 min apart; give a time such as 30min",
        ("300d", "1s"): "is 25,920,000 moments, at most 100,000",
    }
    for (until, every), message in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            written(tmp_path / "no.nc", film(), until, every)
        one_line(error)
    with pytest.raises(ValueError, match=r"a forecast is a dataset; give a name that ends in .nc or .zarr"):
        written(tmp_path / "no.png", film(), "5min")
    with pytest.raises(ValueError, match="--frames is how many of the last frames are seen, at least 1, got 0"):
        written(tmp_path / "no.nc", film(), "5min", frames=0)
    film().to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="is what is read; give the forecast another name"):
        written(tmp_path / "f.nc", tmp_path / "f.nc", "5min")
    assert [path.name for path in tmp_path.iterdir()] == ["f.nc"]


def test_the_command(tmp_path, capsys):
    source = radar(tmp_path / "recent.nc")
    arguments = ["forecast", "persistence", str(source), "--until", "4min", "--every", "2min", "--variable", "rain"]
    main([*arguments, "-o", str(tmp_path / "next.nc")])
    said = capsys.readouterr().out
    assert said.endswith("next.nc: rain, 2 × 4 × 6 (time, y, x), 2020-02-28T23:47 … 2020-02-28T23:49\n")
    back = open_archive(tmp_path / "next.nc")
    np.testing.assert_allclose(back.rain.values[:, 1, 2], 912, atol=1e-2)
    with pytest.raises(SystemExit):
        main(["forecast", "persistence", str(tmp_path / "none.nc"), "--until", "5min", "-o", str(tmp_path / "x.nc")])
    with pytest.raises(SystemExit):
        main(["forecast", "nobody", str(source), "--until", "5min", "-o", str(tmp_path / "x.nc")])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "none.nc" in lines[0] and "nobody" in lines[1]


def test_a_film_stays_what_it_was(tmp_path):
    source = film()
    before = source.copy(deep=True)
    written(tmp_path / "a.nc", source, "5min")
    assert source.identical(before) and read_film(source).dataset.rain.dtype == np.float32
    write_netcdf(source, tmp_path / "b.nc")


@pytest.mark.parametrize("name", ["persistence", "damped-persistence", "advection", "linear-inverse"])
def test_every_classical_forecast_by_its_name(name, tmp_path):
    rng = np.random.default_rng(0)
    times = START + FIVE * np.arange(40)
    wave = film(times, shape=(6, 8))
    t, y, x = np.meshgrid(np.arange(40), np.arange(6), np.arange(8), indexing="ij")
    wave.rain[:] = np.sin(x / 2 - t / 3) * np.cos(y / 3) + 0.05 * rng.standard_normal(t.shape)
    model, trained = forecast_model(name)
    back = written(tmp_path / "next.nc", wave, "10min", "5min", model, trained)
    assert ("rain_standard_error" in back) == (name in ("damped-persistence", "linear-inverse"))
    assert np.isfinite(back.rain.values).all() and back.attrs["source"].endswith(f", {name}")
