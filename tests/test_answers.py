"""Answers as CF files: what a template gives them, what they say of themselves, and what reads them back."""

import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import gridless as gl
from gridless.data.archive_writing import write_netcdf, write_zarr
from gridless.data.archives import open_archive

xr = pytest.importorskip("xarray")
pd = pytest.importorskip("pandas")
iris = pytest.importorskip("iris_sample_data")

KRIGING = gl.bases.Kriging(kernels=("matern32",), lengths=(0.1, 0.5), noises=(0.003, 0.1))
NEAREST = gl.bases.Scattered("nearest")


def file(name: str) -> Path:
    return Path(iris.path, name)


def thinned(samples: gl.Samples, count: int = 60) -> gl.Samples:
    """Some of its readings, by the names of its axes."""
    points = samples.as_points()
    real = np.arange(points.values.shape[1]) if points.mask is None else np.flatnonzero(points.mask[0].numpy())
    pick = np.random.default_rng(0).choice(real, min(count, len(real)), replace=False)
    places = samples.domain.to_user(points.coords[0, pick])
    return gl.Samples.from_points(places, points.values[0, pick], domain=samples.domain)


def complaints(path: Path, tmp_path: Path) -> list[str]:
    """Errors of the CF checker, not its warnings."""
    pytest.importorskip("compliance_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from compliance_checker.runner import CheckSuite

        suite = CheckSuite()
        suite.load_all_available_checkers()
        dataset = suite.load_dataset(str(path))
        groups = suite.run_all(dataset, ["cf:1.11"])["cf:1.11"][0]
    return [f"{g.name}: {m}" for g in groups if g.weight == 3 and g.value[0] < g.value[1] for m in g.msgs]


def test_a_month_of_the_sea_from_sixty_readings(tmp_path):
    like = open_archive(file("ostia_monthly.nc")).isel(time=[50], longitude=slice(0, None, 8))
    field = KRIGING.encode(thinned(gl.read(file("ostia_monthly.nc")).samples(50)))
    answer = field.to_xarray(like, history="a command")
    write_netcdf(answer, tmp_path / "answer.nc")
    back = open_archive(tmp_path / "answer.nc")
    name, error = "surface_temperature", "surface_temperature_standard_error"
    assert back[name].dims == ("time", "latitude", "longitude") and set(back.data_vars) == {name, error}
    assert float(np.sqrt(((back[name] - like[name]) ** 2).mean())) < 1.5
    assert back[name].attrs["ancillary_variables"] == error and back[error].attrs["units"] == "K"
    assert back[error].attrs["standard_name"] == "surface_temperature standard_error"
    assert back[error].attrs["units_metadata"] == "temperature: difference"
    for coordinate in ("time", "latitude", "longitude", "time_bnds", "forecast_period", "latitude_longitude"):
        assert (back[coordinate].values == like[coordinate].values).all(), coordinate
        kept = {k: v for k, v in back[coordinate].attrs.items() if k not in ("units", "calendar")}
        assert kept.items() <= like[coordinate].attrs.items()
    assert back.time.encoding["bounds"] == "time_bnds"
    assert back[name].encoding["grid_mapping"] == "latitude_longitude"
    assert back.attrs["Conventions"] == "CF-1.11" and back.attrs["source"].endswith("kriging")
    assert back.attrs["history"].endswith("Z a command")
    assert complaints(tmp_path / "answer.nc", tmp_path) == []
    mask = field.to_xarray(like, mask=True)[name]
    assert (mask.isnull() == like[name].isnull()).all() and not answer[name].isnull().any()


def test_the_template_is_left_as_it_was():
    like = xr.open_dataset(file("ostia_monthly.nc"), engine="h5netcdf").isel(time=[0]).load()
    before = {n: (dict(v.attrs), dict(v.encoding)) for n, v in like.variables.items()}
    KRIGING.encode(thinned(gl.read(file("ostia_monthly.nc")).samples(0), 10)).to_xarray(like)
    assert before == {n: (dict(v.attrs), dict(v.encoding)) for n, v in like.variables.items()}


def test_years_of_another_calendar(tmp_path):
    pytest.importorskip("cftime")
    path = file("A1B_north_america.nc")
    years = gl.read(path)
    assert len(years) == 240 and years.times[0].calendar == "360_day"
    like = open_archive(path).isel(time=slice(0, 2))
    answer = gl.Snapshots(years.times[:2], [thinned(years.samples(i)) for i in (0, 1)], years.domain).encode(KRIGING)
    written = answer.to_xarray(like)
    assert float(np.abs(written.air_temperature - like.air_temperature).mean()) < 3
    write_netcdf(written, tmp_path / "answer.nc")
    assert (open_archive(tmp_path / "answer.nc").time.values == like.time.values).all()
    assert complaints(tmp_path / "answer.nc", tmp_path) == []
    with pytest.raises(ValueError, match="no field of the times 1862-06-01 00:00:00|no field of the times 1862-06-01"):
        answer.to_xarray(open_archive(path).isel(time=[2]))
    stamps = pd.DataFrame({"lat": [40.0], "lon": [-90.0], "v": [1.0], "t": ["1860-06-01"]})
    with pytest.raises(ValueError, match="the template counts in the 360_day calendar, the fields in the standard one"):
        gl.read_table(stamps, values="v", time="t", domain=gl.Domain.globe()).encode(KRIGING).to_xarray(like)


def test_a_tripolar_grid_is_scattered_over_the_sphere():
    path = file("NEMO/nemo_1m_20150101-20150201_grid-T.nc")
    seas = gl.read(path)
    assert len(seas) == 1 and seas.domain.sphere == (0, 1) and seas.domain.quantities[0].unit == "degree_C"
    readings = seas.samples(0)
    assert readings.coords is not None and 60_000 < readings.values.shape[1] < 70_000
    like = open_archive(path).isel(y=slice(0, None, 10), x=slice(0, None, 10))
    answer = NEAREST.encode(readings).to_xarray(like, spread=False, mask=True)
    assert answer.tos.dims == ("time_counter", "y", "x") and "nav_lat" in answer.coords
    np.testing.assert_allclose(answer.tos, like.tos, atol=1e-4)


def test_metres_of_a_projection_and_degrees():
    pytest.importorskip("pyproj")
    path = file("toa_brightness_stereographic.nc")
    seen = gl.read(path)
    assert seen.shape == (160, 256) and dict(seen.domain.mapping)["grid_mapping_name"] == "stereographic"
    like = open_archive(path)
    field = gl.bases.Interpolation("bicubic", fill=True).encode(seen)
    itself = field.to_xarray(like.isel(y=slice(4, None, 9), x=slice(4, None, 9)), spread=False)
    seen_there = like.data[4::9, 4::9].notnull()
    np.testing.assert_allclose(itself.data.where(seen_there), like.data[4::9, 4::9], atol=1e-2)
    assert itself.data.encoding["grid_mapping"] == "stereographic"
    lat, lon = float(like.lat[50, 60]), float(like.lon[50, 60])
    assert float(field({"lat": lat, "lon": lon})) == pytest.approx(float(like.data[50, 60]), abs=1.0)
    degrees = xr.Dataset(coords={"lat": [lat], "lon": [lon]})
    assert field.to_xarray(degrees, spread=False).data.item() == pytest.approx(float(like.data[50, 60]), abs=1.0)


def test_a_rotated_pole_is_a_sphere_too():
    pyproj = pytest.importorskip("pyproj")
    path = file("rotated_pole.nc")
    seen, like = gl.read(path), open_archive(path)
    assert seen.domain.sphere == (0, 1) and dict(seen.domain.mapping)["grid_north_pole_latitude"] == 37.5
    field = KRIGING.encode(thinned(seen, 200))
    answer = field.to_xarray(like)
    assert float(np.abs(answer.air_pressure_at_sea_level - like.air_pressure_at_sea_level).mean()) < 200
    crs = pyproj.CRS.from_cf(dict(like.rotated_latitude_longitude.attrs))
    change = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    lon, lat = change.transform(float(like.grid_longitude[20]), float(like.grid_latitude[10]))
    there = float(field({"lat": lat, "lon": lon}))
    assert there == pytest.approx(float(answer.air_pressure_at_sea_level[10, 20]), abs=1.0)


def stations(count: int = 12, **columns) -> "pd.DataFrame":
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"lat": rng.uniform(0, 4, count), "lon": rng.uniform(0, 4, count), "v": rng.random(count)} | columns
    )


def template(**coords) -> "xr.Dataset":
    return xr.Dataset(coords={"lat": [1.0, 2.0, 3.0], "lon": [1.0, 3.0]} | coords)


def test_times_are_matched_exactly_and_in_one_resolution():
    table = pd.concat([stations(when=day) for day in ("2020-01-01", "2020-01-02T00:00Z"[:10], "2020-01-03")])
    series = gl.read_table(table, values="v", time="when").encode(KRIGING)
    days = np.array(["2020-01-03", "2020-01-01"], "datetime64[ns]")
    answer = series.to_xarray(template(time=days))
    assert answer.v.dims == ("time", "lat", "lon") and (answer.time.values == days).all()
    alone = series[2].to_xarray(template())
    np.testing.assert_allclose(answer.v[0], alone.v, atol=1e-6)
    with pytest.raises(
        ValueError, match="no field of the times 2020-01-09, which the template asks; there are fields of"
    ):
        series.to_xarray(template(time=np.array(["2020-01-09"], "datetime64[ns]")))
    without = series.to_xarray(template())
    assert without.v.shape == (3, 3, 2) and without.time.attrs["standard_name"] == "time"
    one = gl.read_table(stations(when="2020-01-05T06"), values="v", time="when").encode(KRIGING)
    assert one.to_xarray(template()).time.values.astype("datetime64[h]").tolist() == [datetime(2020, 1, 5, 6)]


def test_axes_that_the_field_does_not_know():
    field = KRIGING.encode(gl.read_table(stations(), values="v"))
    ds = template(height=("height", [2.0, 10.0], {"units": "m"}))
    deep = ds.assign(v=(("height", "lat", "lon"), np.zeros((2, 3, 2))))
    with pytest.raises(
        ValueError, match=r"2 samples along height, which the field does not know; .*isel\(height=\[0\]\)"
    ):
        field.to_xarray(deep)
    assert field.to_xarray(deep.isel(height=[1])).v.dims == ("height", "lat", "lon")
    assert "height" not in field.to_xarray(ds).dims
    with pytest.raises(ValueError, match="the template has no coordinate depth"):
        three = gl.read_table(stations(depth=np.arange(12.0)), coords=("depth", "lat", "lon"), values="v")
        KRIGING.encode(three).to_xarray(template())
    with pytest.raises(ValueError, match="the template has no variable 'w'; it has v"):
        field.to_xarray(deep, variable="w")


def test_outside_the_domain_is_nan_and_said():
    field = KRIGING.encode(gl.read_table(stations(), values="v"))
    with pytest.warns(UserWarning, match="2 of 6 places lie outside the field's domain"):
        answer = field.to_xarray(template(lat=[1.0, 2.0, 50.0]))
    assert np.isnan(answer.v[2]).all() and np.isfinite(answer.v[:2]).all()
    around = gl.read_table(stations(), values="v", domain=template(lat=[1.0, 2.0, 50.0]))
    assert np.isfinite(KRIGING.encode(around).to_xarray(template(lat=[1.0, 2.0, 50.0])).v).all()


def test_a_domain_over_readings_and_a_template_holds_both_whichever_way_round():
    lon = np.arange(-150.0, 151.0, 25.0)
    wide = pd.DataFrame({"lat": np.linspace(0, 3, len(lon)), "lon": lon, "v": np.arange(float(len(lon)))})
    samples = gl.read_table(wide, values="v", domain=template())
    assert samples.values.shape[1] == len(lon) and samples.domain.axes[1].length > 300
    across = gl.read_table(stations(), values="v", domain=template(lon=[355.0, 358.0, 2.0]))
    assert across.domain.axes[1].length < 12


def test_times_of_the_fields_replace_those_that_the_template_has_for_other_things():
    days = np.array(["2021-01-01", "2021-01-02", "2021-01-03"], "datetime64[ns]")
    ds = template(time=("time", days), age=("time", [1.0, 2.0, 3.0])).assign(v=(("lat", "lon"), np.zeros((3, 2))))
    table = pd.concat([stations(when=day) for day in ("2020-01-01", "2020-01-02")])
    answer = gl.read_table(table, values="v", time="when").encode(KRIGING).to_xarray(ds)
    assert answer.v.dims == ("time", "lat", "lon") and answer.time.dt.year.values.tolist() == [2020, 2020]


def test_channels_names_and_a_field_without_spread(tmp_path):
    table = stations().rename(columns={"v": "T max (°C)"}).assign(w=1.0 + np.arange(12))
    field = gl.bases.Scattered("idw").encode(gl.read_table(table, values=("T max (°C)", "w")))
    with pytest.raises(ValueError, match="this field has no spread"):
        field.to_xarray(template())
    answer = field.to_xarray(template(), spread=False)
    assert list(answer.data_vars) == ["T_max_C", "w"] and answer.T_max_C.attrs["long_name"] == "T max (°C)"
    write_netcdf(answer, tmp_path / "a.nc")
    both = gl.read(tmp_path / "a.nc", ("T_max_C", "w"))
    assert both.channels == 2 and [q.name for q in both.domain.quantities] == ["T_max_C", "w"]
    with pytest.raises(ValueError, match="has the variables T_max_C, w; say which"):
        gl.read(tmp_path / "a.nc")
    with pytest.raises(ValueError, match="these samples have no domain"):
        KRIGING.encode(gl.Samples.from_points(np.random.rand(4, 2), np.ones((4, 1)))).to_xarray(template())


def test_quantities_are_saved_with_the_model(tmp_path):
    samples = gl.read_table(stations(60), values="v", units={"v": "degC"})
    model = gl.FieldModel(gl.preset("sensors", "tiny"))
    gl.fit(model, [samples], gl.SparseField(sensors=(10, 20)), steps=1, quiet=True)
    model.save_pretrained(tmp_path)
    loaded = gl.FieldModel.from_pretrained(tmp_path)
    assert loaded.domain == samples.domain and loaded.domain.quantities[0] == gl.Quantity(name="v", unit="degC")


def test_a_table_of_places():
    field = KRIGING.encode(gl.read_table(stations(), values="v"))
    asked = pd.DataFrame(
        {"latitude": [1.0, 2.0, 60.0], "longitude": [1.0, 2.0, 1.0], "id": ["a", "b", "c"]}, index=[7, 8, 9]
    )
    with pytest.warns(UserWarning, match="row 3 of the table lie outside"):
        answer = field.to_table(asked)
    assert list(answer.columns) == ["latitude", "longitude", "id", "v_mean", "v_standard_error"]
    assert answer.index.tolist() == [7, 8, 9] and np.isnan(answer.v_mean[9]) and answer.v_standard_error[7] > 0
    assert answer.v_mean[7] == pytest.approx(float(field({"lat": 1.0, "lon": 1.0})))
    with pytest.raises(ValueError, match="the table has no column lon"):
        field.to_table(asked[["latitude"]])
    with pytest.raises(ValueError, match="column latitude has no coordinate in row 2"):
        field.to_table(asked.assign(latitude=[1.0, np.nan, 2.0]))


def test_zarr_is_written_whole_and_only_over_zarr(tmp_path):
    answer = KRIGING.encode(gl.read_table(stations(), values="v")).to_xarray(template())
    write_zarr(answer, tmp_path / "a.zarr")
    write_zarr(answer, tmp_path / "a.zarr")
    with open_archive(tmp_path / "a.zarr") as back:
        np.testing.assert_array_equal(back.v, answer.v)
    (tmp_path / "folder.zarr").mkdir()
    with pytest.raises(FileExistsError, match="no Zarr store"):
        write_zarr(answer, tmp_path / "folder.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "folder.zarr"]


def test_archives_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "text.nc").write_text("lat,lon", encoding="utf-8")
    with pytest.raises(ValueError, match=r"text.nc begins with b'lat,', which is neither NetCDF 3 nor 4"):
        gl.read(tmp_path / "text.nc")
    with pytest.raises(FileNotFoundError, match="missing.nc"):
        gl.read(tmp_path / "missing.nc")
    classic = template().assign(v=(("lat", "lon"), np.ones((3, 2)) + np.arange(2)))
    classic.to_netcdf(tmp_path / "classic.nc", engine="scipy", format="NETCDF3_CLASSIC")
    assert gl.read(tmp_path / "classic.nc").shape == (3, 2)
    with pytest.raises(ValueError, match="holds 54 fields; give gl.read"):
        gl.fit(
            gl.FieldModel(gl.preset("sensors", "tiny")),
            [file("ostia_monthly.nc")],
            gl.SparseField(),
            steps=1,
            quiet=True,
        )


def test_snapshots_are_training_data():
    years = gl.read(file("ostia_monthly.nc"))
    rows = gl.evaluate({"nearest": NEAREST}, years[:2], gl.SparseField(counts=(30,)))
    assert {row["metric"] for row in rows} >= {"rmse"} and len(years[:2]) == 2
