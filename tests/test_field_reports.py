"""What users of other packages reported, each by its own small input: the right answer, or one clear line.

The numbers are those of the list in the order of the tests; a name is the package and its issue.
"""

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.data.archives import open_archive

pd = pytest.importorskip("pandas")
xr = pytest.importorskip("xarray")

KRIGING = gl.bases.Kriging(kernels=("matern32",), lengths=(0.2, 0.8), noises=(0.003, 0.1))


def stations(count: int = 20, seed: int = 0, **columns) -> "pd.DataFrame":
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(40, 50, count), rng.uniform(0, 20, count)
    return pd.DataFrame({"lat": lat, "lon": lon, "t": 15 - 0.8 * (lat - 45) + np.sin(lon / 3)} | columns)


def grid(lat=None, lon=None, **variables) -> "xr.Dataset":
    """A template of 1-D latitudes and longitudes."""
    lat = np.arange(48.0, 41.0, -2.0) if lat is None else lat
    lon = np.arange(2.0, 18.0, 4.0) if lon is None else lon
    coords = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}
    return xr.Dataset(variables, coords=coords)


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.slow
def test_1_many_readings_need_no_matrix_of_all_pairs():  # PyKrige 166
    table = stations(120_000)
    field = KRIGING.encode(gl.read_table(table, values="t"))
    asked = stations(10, seed=1)
    mean = field({"lat": asked["lat"].to_numpy(), "lon": asked["lon"].to_numpy()})
    assert np.abs(mean[:, 0].numpy() - asked["t"].to_numpy()).max() < 0.05


def test_2_rows_without_a_reading_are_left_out_with_a_word():  # PyKrige 69, pyinterpolate 283
    table = stations(5)
    table.loc[[0, 2, 3], "t"] = np.nan
    with pytest.warns(UserWarning, match="3 of 5 rows have no reading of t and are left out"):
        samples = gl.read_table(table, values="t")
    assert samples.values.shape == (1, 2, 1)
    with pytest.raises(ValueError, match="no row of 5 has a reading of t"):
        gl.read_table(table.assign(t=np.nan), values="t")


def test_3_repeated_places_are_averaged():  # PyKrige 103, 150
    twice = pd.DataFrame(
        {"lat": [-17.18527778] * 2 + [-16.0], "lon": [145.7238889] * 2 + [146.0], "t": [1.0, 3.0, 2.5]}
    )
    samples = gl.read_table(twice, values="t")
    assert samples.mask.tolist() == [[True, False, True]] and samples.values[0, 0, 0] == 2.0
    assert gl.bases.Kriging().encode(samples)({"lat": -16.5, "lon": 145.9}).isfinite().all()


def test_4_no_seam_at_the_date_line():  # xarray 5987, xESMF 10, sup3r 88
    either = pd.DataFrame({"lat": [0.0, 1.0, 0.5], "lon": [179.9, -179.9, 179.5], "t": [1.0, 2.0, 1.5]})
    samples = gl.read_table(either, values="t")
    assert samples.domain.axes[1].length < 1
    field = gl.bases.Kriging().encode(samples)
    torch.testing.assert_close(field({"lat": 0.5, "lon": -180.0}), field({"lat": 0.5, "lon": 180.0}), rtol=0, atol=1e-6)
    lon = np.arange(0.0, 360.0, 10.0)
    wave = np.cos(np.radians(lon)) * np.ones((4, 1))
    whole = gl.read(grid(lon=lon, wave=(("lat", "lon"), wave)))
    asked = gl.bases.Interpolation("bicubic").encode(whole)({"lat": [45.0] * 2, "lon": [-0.5, 359.5]})
    assert asked[0] == asked[1] and abs(float(asked[0]) - np.cos(np.radians(0.5))) < 1e-3
    quarter = gl.read(grid(lon=lon[27:33], wave=(("lat", "lon"), wave[:, 27:33])))
    assert gl.bases.Kriging().encode(quarter)({"lat": 45.0, "lon": -60.0}).isfinite().all()  # 300 by another name


METRES = {
    "grid_mapping_name": "lambert_azimuthal_equal_area",
    "latitude_of_projection_origin": 45.0,
    "longitude_of_projection_origin": 10.0,
    "false_easting": 0.0,
    "false_northing": 0.0,
    "semi_major_axis": 6371000.0,
    "semi_minor_axis": 6371000.0,
}


def projected(mapping: dict | None = METRES) -> "xr.Dataset":
    y, x = np.arange(4e5, -5e5, -2e5), np.arange(-6e5, 7e5, 3e5)
    about = [
        {"units": "m", "standard_name": f"projection_{axis}_coordinate", "axis": axis.upper()} for axis in ("y", "x")
    ]
    ds = xr.Dataset(
        {"height": (("y", "x"), np.zeros((5, 5)), {"units": "m", "grid_mapping": "crs"})},
        coords={"y": ("y", y, about[0]), "x": ("x", x, about[1])},
    )
    return ds.assign(crs=((), 0, mapping)) if mapping else ds


def test_5_degrees_and_metres_meet_through_the_grid_mapping_or_not_at_all():  # MetPy 614
    field = KRIGING.encode(gl.read_table(stations(), values="t", domain=gl.Domain.globe()))
    with pytest.raises(ValueError, match="neither latitude and longitude nor a grid mapping") as error:
        field.to_xarray(projected(None))
    assert "y (m), x (m)" in one_line(error)
    pyproj = pytest.importorskip("pyproj")
    answer = field.to_xarray(projected())
    place = pyproj.Transformer.from_crs(
        pyproj.CRS.from_cf(METRES).geodetic_crs, pyproj.CRS.from_cf(METRES), always_xy=True
    )
    lon, lat = place.transform(float(answer.x[1]), float(answer.y[3]), direction="INVERSE")
    assert abs(float(answer.t[3, 1]) - float(field({"lat": lat, "lon": lon}))) < 1e-4
    assert answer.t.encoding["grid_mapping"] == "crs" and answer.crs.attrs == METRES


def test_6_the_answer_is_in_the_units_of_the_readings_and_says_so():  # MetPy 2243
    warm = gl.read_table(stations(), values="t", units={"t": "degC"}, domain=gl.Domain.globe())
    kelvin = grid(t2m=(("lat", "lon"), np.full((4, 4), 288.0), {"units": "K", "standard_name": "air_temperature"}))
    answer = KRIGING.encode(warm).to_xarray(kelvin, variable="t2m")
    assert answer.t.attrs["units"] == "degC" and answer.t.attrs["standard_name"] == "air_temperature"
    assert answer.t.attrs["units_metadata"] == "temperature: on_scale" and 5 < float(answer.t.mean()) < 25
    assert answer.t_standard_error.attrs["units_metadata"] == "temperature: difference"
    unknown = KRIGING.encode(gl.read_table(stations(), values="t", domain=gl.Domain.globe()))
    with pytest.raises(ValueError, match="t2m is in K, the unit of t is not known; give the readings theirs") as error:
        unknown.to_xarray(kelvin, variable="t2m")
    one_line(error)


def test_7_time_zones_are_neither_dropped_nor_mixed():  # xarray 3291, 9026, ddlpy 105, darts 648
    when = ["2024-03-31T03:00+03:00", "2024-03-31T00:00Z", "2024-03-31T00:00"]
    table = stations(3, when=when)
    with pytest.raises(ValueError, match="when mixes stamps with and without a time zone: row 3 have none") as error:
        gl.read_table(table, values="t", time="when")
    one_line(error)
    zoned = gl.read_table(table[:2], values="t", time="when")
    assert zoned.times.tolist() == [pd.Timestamp("2024-03-31").to_pydatetime()] and zoned[0].values.shape[1] == 2
    naive = gl.read_table(table[2:].assign(when=["2024-07-01T02:00"]), values="t", time="when", tz="Europe/Berlin")
    assert naive.times[0] == np.datetime64("2024-07-01T00:00")
    with pytest.raises(ValueError, match="in row 1 the clocks of Europe/Berlin change"):
        gl.read_table(table[2:].assign(when=["2024-03-31T02:30"]), values="t", time="when", tz="Europe/Berlin")
    aware = table[:2].assign(when=pd.to_datetime(when[:2], utc=True).tz_convert("Asia/Tokyo"))
    assert gl.read_table(aware, values="t", time="when").times[0] == np.datetime64("2024-03-31T00:00")


def months(values, units="months since 1950-01-01", **attrs) -> "xr.Dataset":
    values = np.asarray(values)
    sst = np.random.default_rng(0).random((len(values), 4, 4))
    return grid(sst=(("time", "lat", "lon"), sst)).assign_coords(time=("time", values, {"units": units} | attrs))


def test_8_whole_months_are_counted_in_the_calendar_and_others_refused(tmp_path):  # xarray 5939, xcdat 77
    months([0, 1, 13]).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    expected = np.array(["1950-01-01", "1950-02-01", "1951-02-01"], "datetime64[us]")
    assert (gl.read(tmp_path / "a.nc").times == expected).all()
    assert (gl.read(months([0, 1, 13])).times == expected).all()
    for bad in (months([0.5, 1.5]), months([0, 1], "months since 1950-01-31"), months([0, 1], calendar="noleap")):
        with pytest.raises(ValueError, match="a month has no fixed length") as error:
            gl.read(bad)
        one_line(error)


def test_9_decreasing_and_repeated_coordinates():  # scipy 9886, xarray 4637, 2250
    lat, lon = np.arange(75.0, 14.0, -5.0), np.arange(0.0, 41.0, 5.0)
    plane = 2 * lat[:, None] + lon
    down = gl.bases.Interpolation("bicubic").encode(gl.read(grid(lat, lon, z=(("lat", "lon"), plane))))
    up = gl.bases.Interpolation("bicubic").encode(gl.read(grid(lat[::-1], lon, z=(("lat", "lon"), plane[::-1]))))
    for field in (down, up):
        assert float(field({"lat": 52.5, "lon": 17.5})) == pytest.approx(122.5, abs=1e-3)
    doubled = grid(lat[[0, 1, 1, 2]], lon, z=(("lat", "lon"), plane[[0, 1, 1, 2]]))
    assert gl.read(doubled).coords is not None  # uneven: points, of which those at one place are averaged
    assert int(gl.read(doubled).mask.sum()) == 3 * len(lon)
    days = np.array(["2020-01-01", "2020-01-01"], "datetime64[ns]")
    again = gl.read(xr.concat([grid(lat, lon, z=(("lat", "lon"), plane))] * 2, dim="time").assign_coords(time=days))
    with pytest.raises(ValueError, match="two fields of one time, among 2020-01-01, 2020-01-01"):
        again.encode(KRIGING).to_xarray(grid(lat, lon).assign_coords(time=("time", days[:1])))


def test_10_a_hole_spoils_nothing_beside_it():  # xarray 5852, scipy 19277
    lat, lon = np.arange(0.0, 20.0), np.arange(0.0, 20.0)
    z = lat[:, None] + lon + 1.0
    z[:, :8] = np.nan  # land
    field = gl.bases.Interpolation("bicubic").encode(gl.read(grid(lat, lon, z=(("lat", "lon"), z))))
    assert float(field({"lat": 10.0, "lon": 8.0})) == pytest.approx(19.0, abs=1e-3)
    assert float(field({"lat": 10.5, "lon": 9.5})) == pytest.approx(21.0, abs=0.1)


def test_11_two_fill_values_and_packing(tmp_path):  # xarray 7191, 7691, 1163
    h5netcdf = pytest.importorskip("h5netcdf")
    with h5netcdf.File(tmp_path / "packed.nc", "w") as file:
        file.dimensions = {"lat": 4, "lon": 4}
        for name, numbers, unit in (
            ("lat", np.arange(48.0, 41.0, -2.0), "degrees_north"),
            ("lon", np.arange(2.0, 18.0, 4.0), "degrees_east"),
        ):
            file.create_variable(name, (name,), data=numbers).attrs["units"] = unit
        raw = np.arange(16, dtype=np.int16).reshape(4, 4)
        raw[0, 0], raw[0, 1] = -32768, -9999
        sst = file.create_variable("sst", ("lat", "lon"), data=raw, fillvalue=np.int16(-32768))
        sst.attrs["missing_value"], sst.attrs["scale_factor"] = np.int16(-9999), np.float32(0.01)
        sst.attrs["add_offset"], sst.attrs["units"] = np.float32(273.15), "K"
    samples = gl.read(tmp_path / "packed.nc")
    assert samples.mask.flatten().tolist() == [False, False] + [True] * 14
    assert float(samples.values[0, 15, 0]) == pytest.approx(273.3, abs=1e-4)
    answer = KRIGING.encode(samples).to_xarray(tmp_path / "packed.nc")
    assert not {"scale_factor", "add_offset", "missing_value"} & (set(answer.sst.attrs) | set(answer.sst.encoding))
    answer.to_netcdf(tmp_path / "answer.nc", engine="h5netcdf")
    back = open_archive(tmp_path / "answer.nc")
    assert back.sst.dtype == np.float32 and back.sst.encoding["_FillValue"] == np.float32(1e20)
    np.testing.assert_allclose(back.sst.values, answer.sst.values)


def test_12_the_grid_mapping_survives_the_file(tmp_path):  # xarray 7406, 6288, rioxarray 732
    pytest.importorskip("pyproj")
    field = KRIGING.encode(gl.read_table(stations(), values="t", domain=gl.Domain.globe()))
    projected().to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    for like in (projected(), projected()["height"].assign_coords(crs=projected().crs), tmp_path / "grid.nc"):
        field.to_xarray(like).to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
        with xr.open_dataset(tmp_path / "t.nc", engine="h5netcdf") as back:
            assert back.t.attrs["grid_mapping"] == back.t_standard_error.attrs["grid_mapping"] == "crs"
            assert dict(back.crs.attrs) == METRES


def test_13_cells_across_the_date_line_are_neighbours():  # cf-xarray 384
    lon = np.array([170.0, 180.0, -170.0, -160.0])
    samples = gl.read(grid(lon=lon, z=(("lat", "lon"), np.tile([1.0, 2.0, 3.0, 4.0], (4, 1)))))
    axis = samples.domain.axes[1]
    assert samples.shape == (4, 4) and (axis.start, axis.length) == (165, 40)
    field = gl.bases.Kriging().encode(samples)
    assert float(field({"lat": 45.0, "lon": 185.0})) == pytest.approx(2.5, abs=0.2)


def test_14_blocks_that_cut_the_chunks_of_the_template_lose_nothing(tmp_path):  # xarray 8371, 9072, 10501, 9557
    pytest.importorskip("dask")
    from gridless.data.archive_writing import write_zarr

    lon = np.arange(1.0, 19.0, 1.0)
    template = grid(lon=lon, z=(("lat", "lon"), np.zeros((4, 18))))
    template.chunk(lon=5).to_zarr(tmp_path / "grid.zarr", consolidated=False)
    field = KRIGING.encode(gl.read_table(stations(), values="t", domain=gl.Domain.globe()))
    lazy = field.to_xarray(xr.open_zarr(tmp_path / "grid.zarr", consolidated=False), chunks={"lon": 3})
    write_zarr(lazy, tmp_path / "answer.zarr")
    with open_archive(tmp_path / "answer.zarr") as back:
        np.testing.assert_allclose(back.t.values, field.to_xarray(template).t.values, atol=1e-5)
        assert back.t.encoding["chunks"] == (4, 3)


def test_15_all_readings_reach_every_block():  # xarray 10908
    pytest.importorskip("dask")
    field = KRIGING.encode(gl.read_table(stations(), values="t", domain=gl.Domain.globe()))
    lon = np.arange(1.0, 19.0, 1.0)
    template = grid(lon=lon, z=(("lat", "lon"), np.zeros((4, 18))))
    lazy = field.to_xarray(template.chunk(lat=1, lon=7))
    assert lazy.t.chunks == ((1, 1, 1, 1), (7, 7, 4))
    np.testing.assert_allclose(lazy.t.compute(scheduler="synchronous"), field.to_xarray(template).t, atol=1e-5)


def test_16_a_frame_without_rain_or_without_a_reading(tmp_path):  # pysteps 309, 468, 203, 282
    rng = np.random.default_rng(0)
    frames = rng.gamma(1.0, 2.0, (3, 4, 4))
    frames[1], frames[2] = 0.0, np.nan
    hours = np.array(["2020-01-01T00", "2020-01-01T01", "2020-01-01T02"], "datetime64[ns]")
    film = gl.read(grid(rain=(("time", "lat", "lon"), frames)).assign_coords(time=hours))
    dry = film[:2].encode(gl.bases.Kriging())
    answer = dry.to_xarray(grid())
    assert np.isfinite(answer.rain.values).all() and (answer.rain.values[1] == 0).all()
    with pytest.raises(ValueError, match=r"^rain 2020-01-01T02:00: nothing was measured") as error:
        film.encode(gl.bases.Kriging())[2]
    one_line(error)
    together = gl.Samples.stack([film.samples(0), film.samples(1)])
    assert (gl.bases.Kriging().encode(together)(gl.grid(3, 3))[1] == 0).all()
    with pytest.raises(ValueError, match="nothing was measured"):
        gl.Samples.from_grid(frames[..., None], mask=np.isfinite(frames))


def test_17_latitude_longitude_and_time_in_one_kriging():  # GSTools 223, 312, skgstat 151
    rng = np.random.default_rng(0)
    lat, lon, day = rng.uniform(40, 50, 150), rng.uniform(0, 20, 150), rng.integers(0, 12, 150)
    table = pd.DataFrame(
        {
            "when": np.datetime64("2020-01-01") + day.astype("timedelta64[D]"),
            "lat": lat,
            "lon": lon,
            "t": np.sin(day / 3) + 0.2 * (lat - 45),
        }
    )
    field = gl.bases.Kriging().encode(gl.read_table(table, coords=("when", "lat", "lon"), values="t"))
    asked = field({"when": np.datetime64("2020-01-05T12"), "lat": 45.0, "lon": 10.0})
    assert float(asked) == pytest.approx(np.sin(1.5), abs=0.1)
    like = grid().assign_coords(time=("time", np.array(["2020-01-03", "2020-01-09"], "datetime64[ns]")))
    answer = field.to_xarray(like)
    assert answer.t.dims == ("time", "lat", "lon")
    truth = np.sin(np.array([2, 8]) / 3)[:, None] + 0.2 * (like.lat.values - 45)
    np.testing.assert_allclose(answer.t.mean("lon"), truth, atol=0.15)


def test_18_the_index_of_a_data_frame_says_nothing():  # MetPy 1029
    table = stations(10, state=["OK", "TX"] * 5)
    some = table[table.state == "TX"]
    assert some.index[0] == 1
    first, second = gl.read_table(some, values="t"), gl.read_table(some.reset_index(drop=True), values="t")
    assert first.values.equal(second.values) and first.coords.equal(second.coords)
    answer = KRIGING.encode(first).to_table(some)
    assert answer.index.equals(some.index) and np.isfinite(answer.t_mean).all()


def test_19_fill_values_are_refused_and_every_stamp_is_a_field():  # deepsensor's data requirements
    table = stations(5)
    table.loc[1, "t"] = -9999
    with pytest.raises(ValueError, match="looks like a fill value; fill_values=") as error:
        gl.read_table(table, values="t")
    one_line(error)
    with pytest.warns(UserWarning, match="1 of 5 rows"):
        assert gl.read_table(table, values="t", fill_values=[-9999]).values.shape == (1, 4, 1)
    hours = pd.date_range("2020-01-01", periods=24, freq="h")
    hourly = pd.concat([stations(3, seed=i, when=[str(hour)] * 3) for i, hour in enumerate(hours)])
    daily = stations(4, seed=99, when=["2020-01-01"] * 4)
    both = gl.read_table(pd.concat([hourly, daily]), values="t", time="when")
    assert len(both) == 24 and both[0].values.shape[1] == 7 and both[1].values.shape[1] == 3
    assert len({samples.domain for samples in both}) == 1


def test_every_report_is_here():
    names = [name for name in globals() if name.startswith("test_") and name.split("_")[1].isdigit()]
    assert sorted(int(name.split("_")[1]) for name in names) == list(range(1, 20))
