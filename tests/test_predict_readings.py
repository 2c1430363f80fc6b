"""gridless predict with readings: a table in; a dataset, a table or a map out."""

import numpy as np
import pytest
from PIL import Image

import gridless as gl
from gridless import cli
from gridless.data.archives import open_archive
from gridless.data.kinds import kind_of_file

pd = pytest.importorskip("pandas")
xr = pytest.importorskip("xarray")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """stations.csv of two days, one of them also alone; grid.nc with the days, and places.csv."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(40, 50, 40), rng.uniform(0, 20, 40)
    table = pd.DataFrame({"lat": lat, "lon": lon, "day": ["2020-01-01"] * 20 + ["2020-01-02"] * 20})
    table["tmax"] = 15 - 0.8 * (lat - 45) + np.sin(lon / 3)
    table.to_csv("stations.csv", index=False)
    table[:20].to_csv("one.csv", index=False)
    table[["lat", "lon", "day"]].to_csv("places.csv", index=False)
    days = pd.to_datetime(["2020-01-01", "2020-01-02"])
    coords = {
        "time": days,
        "lat": ("lat", np.arange(50.0, 39.0, -2.0), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(0.0, 21.0, 2.5), {"units": "degrees_east"}),
    }
    about = {"units": "K", "standard_name": "air_temperature"}
    ds = xr.Dataset({"t2m": (("time", "lat", "lon"), np.zeros((2, 6, 9)), about)}, coords=coords)
    ds.to_netcdf("grid.nc", engine="h5netcdf")
    ds.isel(time=0, drop=True).to_netcdf("still.nc", engine="h5netcdf")
    return tmp_path


def predict(*words) -> None:
    cli.main(["predict", "kriging", *map(str, words)])


def fails(capsys, *words) -> str:
    with pytest.raises(SystemExit) as stopped:
        predict(*words)
    assert stopped.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("gridless: ")
    return line


STATIONS = ("stations.csv", "--coords", "lat", "lon", "--value", "tmax")


def test_a_table_and_a_grid_become_a_cf_file(folder, capsys):
    predict(
        *STATIONS, "--time", "day", "--like", "grid.nc", "--variable", "t2m", "--units", "tmax=degC", "-o", "filled.nc"
    )
    assert "filled.nc: tmax and tmax_standard_error, 2 × 6 × 9 (time, lat, lon)" in capsys.readouterr().out
    with open_archive(folder / "filled.nc") as answer:
        assert answer.tmax.attrs["units"] == "degC" and answer.tmax.attrs["standard_name"] == "air_temperature"
        assert np.isfinite(answer.tmax).all() and (answer.tmax_standard_error > 0).all()
        assert "gridless predict" not in answer.attrs["source"] and "history" in answer.attrs
    still = gl.read_table(folder / "one.csv", values="tmax", domain=folder / "still.nc")
    predict("one.csv", "--value", "tmax", "--like", "still.nc", "-o", "still-filled.nc")
    with open_archive(folder / "still-filled.nc") as answer:
        expected = gl.bases.Kriging().encode(still).to_xarray(folder / "still.nc").tmax
        np.testing.assert_allclose(answer.tmax, expected, atol=1e-5)


def test_other_outputs(folder, capsys):
    predict(*STATIONS, "--time", "day", "--grid", "2.5deg", "-o", "filled.zarr")
    with open_archive(folder / "filled.zarr") as answer:
        assert answer.tmax.dims == ("time", "lat", "lon") and set(np.mod(answer.lat.values, 2.5)) == {0.0}
    predict(*STATIONS, "--time", "day", "--at", "places.csv", "-o", "answers.csv")
    answers = pd.read_csv(folder / "answers.csv")
    truth = pd.read_csv(folder / "stations.csv").tmax
    assert len(answers) == 40 and (answers.tmax_mean - truth).abs().max() < 0.5
    predict("one.csv", "--value", "tmax", "--grid", "1", "--no-spread", "-o", "mean.nc")
    with open_archive(folder / "mean.nc") as answer:
        assert list(answer.data_vars) == ["tmax"]


def test_a_map(folder):
    pytest.importorskip("matplotlib")
    predict("one.csv", "--value", "tmax", "--units", "tmax=degC", "--grid", "0.5deg", "-o", "map.png")
    with Image.open(folder / "map.png") as image:
        assert image.width > 1.5 * image.height > 500
        assert len(image.convert("RGB").getcolors(1 << 24)) > 300


def test_a_gridded_archive_with_holes_is_filled(folder):
    rng = np.random.default_rng(0)
    with open_archive(folder / "still.nc") as ds:
        values = 280 + rng.random((6, 9))
        values[2, 3:6] = np.nan
        ds.load().assign(t2m=ds.t2m.copy(data=values)).to_netcdf("holes.nc", engine="h5netcdf")
    predict("holes.nc", "--variable", "t2m", "--like", "still.nc", "-o", "filled.nc")
    with open_archive(folder / "filled.nc") as answer:
        assert np.isfinite(answer.t2m).all() and answer.t2m.attrs["units"] == "K"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("one.csv", "--like", "still.nc", "-o", "a.nc"), "which column holds the readings? give --value NAME"),
        (("one.csv", "--value", "tmax", "-o", "a.nc"), "ask at one of --like grid.nc, --grid 0.25deg and --at"),
        (
            ("one.csv", "--value", "tmax", "--grid", "1", "-o", "a.csv"),
            "expected .nc, .zarr or .png, which --like and --grid ask for",
        ),
        (
            ("one.csv", "--value", "tmax", "--at", "places.csv", "-o", "a.nc"),
            "expected .csv or .parquet, which --at asks for",
        ),
        (("one.csv", "--value", "tmax", "--grid", "1furlong", "-o", "a.nc"), "the step of the grid is in 'furlong'"),
        (("one.csv", "--value", "tmax", "--grid", "fine", "-o", "a.nc"), "the step of a grid is 'fine'"),
        (("one.csv", "--value", "tmax", "--units", "degC", "--grid", "1", "-o", "a.nc"), "expected column=unit"),
        ((*STATIONS, "--time", "day", "--grid", "1", "-o", "a.png"), "a map has two axes, this answer has time 2"),
        (("missing.csv", "--value", "tmax", "--grid", "1", "-o", "a.nc"), "missing.csv"),
    ],
)
def test_what_cannot_be_answered_is_one_line(folder, capsys, words, line):
    assert line in fails(capsys, *words)
    assert not [path for path in folder.iterdir() if path.name.startswith(("a.", ".gridless"))]


@pytest.mark.filterwarnings("default")
def test_readings_without_a_time_are_answered_on_the_grid_of_a_template_with_several(folder, capsys):
    predict("one.csv", "--value", "tmax", "--like", "grid.nc", "-o", "a.nc")
    assert "has 2 times and these readings have none: they are answered on its grid" in capsys.readouterr().err
    with open_archive("a.nc") as answer:
        assert dict(answer.tmax.sizes) == {"lat": 6, "lon": 9} and bool(answer.tmax.notnull().all())


def test_stamps_without_a_match_are_named(folder, capsys):
    with open_archive(folder / "grid.nc") as ds:
        ds.load().assign_coords(time=pd.to_datetime(["2020-01-02", "2020-02-03"])).to_netcdf(
            "other.nc", engine="h5netcdf"
        )
    line = fails(capsys, *STATIONS, "--time", "day", "--like", "other.nc", "-o", "a.nc")
    assert "no field of the times 2020-02-03, which the template asks" in line


def test_weights_that_ship_answer_a_table_and_kriging_is_a_name(folder, capsys):
    from gridless.runs.sensor_answers import model_of

    assert model_of("kriging") == gl.bases.Kriging() and model_of("sensors").name == "sensors"
    cli.main(["predict", "sensors", *STATIONS, "--time", "day", "--at", "places.csv", "-o", "a.csv"])
    said, table = capsys.readouterr(), pd.read_csv("a.csv")
    assert "a.csv: 40 rows" in said.out and said.err == ""
    assert abs(table.tmax_mean - pd.read_csv("stations.csv").tmax).max() < 0.5  # it was read there
    assert "no model at 'photograph'" in fails_as(
        capsys, "photograph", "one.csv", "--value", "tmax", "--grid", "1", "-o", "a.nc"
    )


@pytest.mark.parametrize(
    ("words", "came"),
    [
        (("--coords", "lat", "lon", "day", "--value", "tmax"), "3 axes (lat, lon, day)"),
        (("--coords", "lat", "lon", "elevation", "--value", "tmax"), "3 axes (lat, lon, elevation)"),
        (("--coords", "lat", "--value", "tmax"), "1 axis (lat)"),
        (("--value", "tmax", "tmin"), "2 values"),
        (("--coords", "lat", "lon", "day", "--value", "tmax", "tmin"), "2 values and 3 axes (lat, lon, day)"),
    ],
)
def test_tables_that_weights_do_not_take_are_referred_to_kriging(folder, capsys, words, came):
    table = pd.read_csv("stations.csv")
    table.assign(elevation=100 * table.index, tmin=table.tmax - 8).to_csv("more.csv", index=False)
    asked = ("more.csv", *words, "--at", "more.csv", "-o", "a.csv")
    line = fails_as(capsys, "sensors", *asked).strip().splitlines()[-1]
    assert line == (
        f"gridless: sensors takes 1 value and 2 axes, more.csv has {came}; `gridless predict kriging more.csv …` answers it"
    )
    predict(*asked)
    assert len(pd.read_csv("a.csv")) == 40


def test_positions_of_more_numbers_than_weights_read_are_referred_to_kriging(tmp_path):
    from gridless.runs.sensor_answers import check_fit

    model = gl.FieldModel(gl.preset("sensors", "tiny", signal={"positions": 2}))
    ring = gl.Domain.of_grid({"lat": np.arange(75, -76, -30.0), "lon": np.arange(0, 360, 30.0)})
    samples = gl.Samples.from_points({"lat": [0.0, 10.0], "lon": [0.0, 20.0]}, np.ones((2, 1)), domain=ring)
    with pytest.raises(
        ValueError, match=r"at most 2 numbers, a.csv has positions of 3; `gridless predict kriging a.csv"
    ):
        check_fit(model, samples, tmp_path.relative_to(tmp_path) / "a.csv")


def fails_as(capsys, *words) -> str:
    with pytest.raises(SystemExit):
        cli.main(["predict", *words])
    return capsys.readouterr().err


def test_a_model_of_ones_own_answers_too(folder):
    model = gl.FieldModel(gl.preset("sensors", "tiny"))
    model.save_pretrained(folder / "run")
    cli.main(["predict", "run", "one.csv", "--value", "tmax", "--grid", "2", "-o", "own.nc"])
    predict("one.csv", "--value", "tmax", "--grid", "2", "-o", "kriging.nc")
    with open_archive(folder / "own.nc") as own, open_archive(folder / "kriging.nc") as kriging:
        np.testing.assert_allclose(own.tmax, kriging.tmax, atol=1e-3)  # untrained, it is its base
        assert own.attrs["source"].endswith("sensors") and kriging.attrs["source"].endswith("kriging")


def test_names_say_what_files_hold():
    kinds = {
        "a.csv": "table", "a.CSV.GZ": "table", "b.parquet": "table", "c.nc": "archive", "d.zarr/": "archive",
        "e.png": "picture", "folder": "other", "run": "other",
    }  # fmt: skip
    assert {name: kind_of_file(name) for name in kinds} == kinds


def test_both_kinds_have_a_page_of_help(capsys):
    for words, said in (
        (["--help"], "readings"),
        (["pictures", "--help"], "--long-side"),
        (["readings", "--help"], "--like"),
    ):
        cli.main(["predict", *words])
        assert said in capsys.readouterr().out
