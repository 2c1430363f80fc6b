"""A run on an archive of fields over time: its three splits, two steps, the rows of its table, maps, filled readings."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gridless as gl
from gridless import config as c
from gridless.config.errors import ConfigError
from gridless.config.merging import load_json, recipe, recipe_table
from gridless.data import labelled
from gridless.data.archive_splits import ends, split_archive
from gridless.reports.panels import Ground, Panel, _degrees, draw_panels
from gridless.reports.report import report
from gridless.runs.evaluation import evaluate_run
from gridless.runs.reading_options import ReadingOptions
from gridless.runs.sensor_answers import domain_of_columns, model_of, predict_readings
from gridless.runs.train import train_run
from gridless.training.loading import load_data

xr = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")
STEPS, LAT, LON = 16, np.arange(4.0, -4.0, -1.0), np.arange(0.0, 360.0, 15.0)


def write_archive(path: Path) -> Path:
    """Waves that go round the globe with the months, in K, and a piece of land."""
    t, y, x = np.meshgrid(np.arange(STEPS), np.radians(LAT), np.radians(LON), indexing="ij")
    values = 300 + 2 * np.sin(2 * x - t / 2) * np.cos(8 * y) + np.cos(x + t) + 0.1 * np.cos(5 * x + 30 * y * t)
    values[:, 2:5, 3:6] = np.nan
    dates = np.datetime64("2001-01", "M") + np.arange(STEPS)
    about = {"lat": {"units": "degrees_north"}, "lon": {"units": "degrees_east"}}
    coords = {"time": dates.astype("datetime64[ns]")} | {k: (k, v, about[k]) for k, v in (("lat", LAT), ("lon", LON))}
    dataset = xr.Dataset({"sst": (("time", "lat", "lon"), values, {"units": "K"})}, coords=coords)
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive") / "sst.nc")


@pytest.fixture(scope="module")
def run(archive, tmp_path_factory) -> Path:
    flags = {
        "data": {"path": str(archive), "variable": "sst", "val": 2, "test": 4},
        "model": {"base": {"modes": 3, "shapes": 2}},
        "task": {"sensors": [5, 20], "counts": [8, 20]},
        "train": {"seconds": None, "steps": 2, "batch": 2, "queries": 9, "validate_every": 1},
    }
    folder = tmp_path_factory.mktemp("runs") / "fields"
    train_run(recipe(recipe_table("fields"), flags)[0], folder, quiet=True)
    evaluate_run(folder)
    return folder


def test_the_splits_are_runs_in_time_of_these_sizes(archive):
    assert ends(54, 0.1, 0.2) == (38, 43) and ends(54, 4, 12) == (38, 42) and ends(10, 0, 0.2) == (8, 8)
    parts = [split_archive(c.ArchiveData(path=str(archive)), split).times for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [11, 2, 3]
    assert (np.concatenate(parts) == gl.read(archive).times).all()


def test_steps_are_read_when_they_are_asked_for(archive, monkeypatch):
    read, real = [], labelled._stacked
    monkeypatch.setattr(labelled, "_stacked", lambda arrays: read.append(1) or real(arrays))
    steps = load_data(c.ArchiveData(path=str(archive)), "train")
    assert len(steps) == 11 and not read
    assert steps[3].shape == (8, 24) and len(read) == 1
    assert steps[3] is steps[3] and len(read) == 1


def test_what_is_no_archive_to_learn_from_is_refused(archive, tmp_path):
    with pytest.raises(ValueError, match="needs data.path"):
        split_archive(c.ArchiveData(), "train")
    with pytest.raises(ValueError, match="leave none to learn from"):
        split_archive(c.ArchiveData(path=str(archive), val=4, test=12), "train")
    with pytest.raises(ConfigError, match="a share below 1 or a whole number of steps, got 2.5"):
        c.ArchiveData(val=2.5)
    with xr.open_dataset(archive, engine="h5netcdf") as dataset:
        dataset.isel(time=0, drop=True).to_netcdf(tmp_path / "one.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="holds one field"):
        split_archive(c.ArchiveData(path=str(tmp_path / "one.nc")), "train")
    assert load_data(c.ArchiveData(path=str(archive), val=0), "val") == ()


def test_every_row_stands_beside_the_model_with_its_skill(run):
    from gridless.scoring.results import grouped, headline, read_results

    rows = read_results(run / "results.csv")
    names = {
        "climatology",
        "nearest",
        "idw",
        "linear",
        "rbf",
        "gp",
        "kriging",
        "idw-anomalies",
        "kriging-anomalies",
        "oi",
        "sensors",
    }
    assert {row["model"] for row in rows} == names and {row["sensors"] for row in rows} == {8, 20}
    assert list(grouped(rows)) == ["sparse-field, sst.nc sst (K), test, noise 0"] and headline(rows) == "rmse"
    value = {(r["model"], r["metric"], r["image"], r["sensors"]): r["value"] for r in rows}
    images = {row["image"] for row in rows}
    assert len(images) == 4
    for image in images:
        usual = value["climatology", "rmse", image, 20]
        assert value["climatology", "skill", image, 20] == pytest.approx(0, abs=1e-6)
        assert value["oi", "skill", image, 20] == pytest.approx(
            1 - (value["oi", "rmse", image, 20] / usual) ** 2, abs=1e-4
        )
        assert 0 <= value["oi", "coverage_90", image, 20] <= 1 and value["oi", "crps", image, 20] > 0


def test_the_weights_kept_are_those_that_validate_best(run):
    facts = load_json(run / "run.json")
    assert facts["kept_step"] in (0, 1, 2) and facts["untrained"]["val_crps"] > 0 and facts["base_fields"] == 10


def test_the_report_has_maps_in_the_coordinates_of_the_data(run, tmp_path):
    report([run], tmp_path)
    html, text = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    maps = sorted((run / "fields").glob("*.png"))
    assert len(maps) == 3 and html.count("data:image/png;base64") >= 3 and "sst-2002-01-01" in text
    assert "later than all that was learnt from" in html and "psnr" not in text.split("RMSE")[0].lower()
    assert all(Image.open(io.BytesIO(file.read_bytes())).width > 1000 for file in maps)


def test_readings_in_a_table_are_answered_in_the_domain_of_the_archive(run, archive, tmp_path):
    """They were given a box of their own, which the archive's base refused."""
    path = Path(__file__).parents[1] / "examples" / "pseudo_stations.py"
    spec = importlib.util.spec_from_file_location("pseudo_stations", path)
    stations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stations)
    table = tmp_path / "readings.csv"
    table.write_text(
        stations.pseudo_stations(archive, 14, 20).replace("lat,lon,sst", "Latitude,lon,t"), encoding="utf-8"
    )
    assert len(table.read_text(encoding="utf-8").splitlines()) == 21
    with pytest.raises(ValueError, match="steps 1 … 16"):
        stations.pseudo_stations(archive, 17, 20)
    options = ReadingOptions(
        coords=("Latitude", "lon"), value=("t",), time=None, noise=None, units=("t=K",), tz=None, fill_values=(),
        like=archive, grid=None, at=None, variable=None, mask=True, spread=True,
    )  # fmt: skip
    model = model_of(str(run))
    with pytest.warns(UserWarning, match="has 16 times and these readings have none"):
        predict_readings(model, table, tmp_path / "filled.nc", options, "test")
    with xr.open_dataset(tmp_path / "filled.nc", engine="h5netcdf") as filled, xr.open_dataset(archive) as truth:
        land = np.isnan(truth.sst.values[13])
        assert filled.t.dims == ("lat", "lon") and (np.isnan(filled.t.values) == land).all()
        error = filled.t.values - truth.sst.values[13]
        assert np.nanmean(error**2) ** 0.5 < 1.0 and (filled.t_standard_error.values[~land] > 0).all()


def test_columns_and_units_that_the_model_does_not_know_are_refused(run):
    model = model_of(str(run))

    def options(**changed) -> ReadingOptions:
        usual = dict(coords=("lat", "lon"), value=("t",), time=None, noise=None, units=(), tz=None, fill_values=(),
                     like=None, grid=None, at=None, variable=None, mask=False, spread=True)  # fmt: skip
        return ReadingOptions(**(usual | changed))

    with pytest.warns(UserWarning, match="t is taken to be in K"):
        assert domain_of_columns(model.domain, options()).quantities[0].name == "t"
    with pytest.raises(ValueError, match="t is in degC, this model learnt sst in K"):
        domain_of_columns(model.domain, options(units=("t=degC",)))
    with pytest.raises(ValueError, match=r"the axis lat \(degrees_north\), the coordinates are y, lon"):
        domain_of_columns(model.domain, options(coords=("y", "lon"), units=("t=K",)))


def test_a_climatology_is_the_mean_of_past_fields_and_their_spread(archive):
    steps = load_data(c.ArchiveData(path=str(archive)), "train")
    usual = gl.bases.Climatology()
    with pytest.raises(ValueError, match="has seen no fields"):
        usual.encode(steps[0].samples())
    assert usual.needs_fit and usual.fit(steps) == {"fields": 11} and not usual.needs_fit
    values = np.stack([np.where(step.mask, step.values[..., 0], np.nan) for step in steps])
    field = usual.encode(steps[0].samples())
    mean, std = field.mean_and_std(gl.grid(8, 24, dtype=torch.float64))
    np.testing.assert_allclose(mean[:, 0], values.mean(0).ravel(), atol=1e-6)
    np.testing.assert_allclose(std[:, 0], values.std(0, ddof=1).ravel(), atol=1e-6)
    assert float(field({"lat": 0.0, "lon": 359.9})) == pytest.approx(float(field({"lat": 0.0, "lon": -0.1})))
    with pytest.raises(ValueError, match="another domain"):
        usual.encode(gl.Samples.from_points({"lat": [1.0], "lon": [3.0]}, [[1.0]], domain=gl.Domain.globe()))
    with pytest.raises(ValueError, match="at least two past fields"):
        gl.bases.Climatology().fit(steps[:1])


def test_flat_maps_stand_below_one_another_and_others_in_a_row():
    def size(lat: np.ndarray, lon: np.ndarray) -> tuple[int, int]:
        ground = Ground(lat, lon, ("lat", "lon"), ("degrees_north", "degrees_east"))
        panels = [Panel("p", np.zeros((len(lat), len(lon))), "K", "viridis", 0, 1)] * 3
        return Image.open(io.BytesIO(draw_panels(panels, ground))).size

    wide, square = size(np.arange(-5.0, 5), np.arange(0.0, 360, 5)), size(np.arange(40.0, 60), np.arange(0.0, 30))
    assert wide[0] < 2.5 * wide[1] and square[0] > 2 * square[1]
    assert [_degrees(x, "E", "W") for x in (0, 10, -60, -180)] == ["0°", "10°E", "60°W", "180°"]
