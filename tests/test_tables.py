"""Tables of readings: columns, stamps, and what is refused."""

import numpy as np
import pytest

import gridless as gl

pd = pytest.importorskip("pandas")

TABLE = {"lat": [40.0, 41.0, 42.0, 43.0], "lon": [1.0, 2.0, 3.0, 4.0], "v": [1.0, 2.0, 3.0, 4.0]}


def table(**columns) -> "pd.DataFrame":
    return pd.DataFrame(TABLE | columns)


def test_a_file_a_frame_and_parquet_are_the_same(tmp_path):
    frame = table(error=[0.1, 0.2, 0.3, 0.4])
    frame.to_csv(tmp_path / "a.csv", index=False)
    sources = [frame, tmp_path / "a.csv", str(tmp_path / "a.csv")]
    if pytest.importorskip("pyarrow"):
        frame.to_parquet(tmp_path / "a.parquet")
        sources.append(tmp_path / "a.parquet")
    each = [gl.read_table(source, values="v", noise="error", units={"v": "degC"}) for source in sources]
    assert all(s.values.equal(each[0].values) and s.noise.equal(each[0].noise) for s in each)
    assert {s.domain for s in each} == {each[0].domain} and each[0].domain.sphere == (0, 1)
    assert each[0].domain.quantities == (gl.Quantity(name="v", unit="degC"),)
    assert [axis.unit for axis in each[0].domain.axes] == ["degrees_north", "degrees_east"]


def test_stamps_are_fields_over_one_domain():
    frame = table(when=["2020-01-02", "2020-01-01", "2020-01-02", "2020-01-02"])
    series = gl.read_table(frame, values="v", time="when")
    assert isinstance(series, gl.Snapshots) and series.times.dtype == "datetime64[us]"
    assert series.times.astype(str).tolist() == ["2020-01-01T00:00:00.000000", "2020-01-02T00:00:00.000000"]
    assert series[0].values.flatten().tolist() == [2.0] and series[1].values.flatten().tolist() == [1.0, 3.0, 4.0]
    assert series[0].domain == series[1].domain == series.domain and len(series[1:]) == 1
    field = series.encode(gl.bases.Kriging())[-1]
    assert field({"lat": 42.0, "lon": 3.0}).isfinite().all()


def test_other_axes_and_units():
    frame = pd.DataFrame({"x": [0.0, 10.0, 20.0], "depth": [1.0, 2.0, 5.0], "salt": [35.0, 35.5, 36.0]})
    samples = gl.read_table(frame, coords=("depth", "x"), values="salt", units={"x": "m", "depth": "m", "salt": "1e-3"})
    assert [axis.unit for axis in samples.domain.axes] == ["m", "m"] and samples.domain.sphere is None
    with pytest.raises(ValueError, match="units of z, which are no columns that are read"):
        gl.read_table(frame, coords=("depth", "x"), values="salt", units={"z": "m"})


@pytest.mark.parametrize(
    ("columns", "options", "line"),
    [
        ({}, {"values": "tmax"}, "the table has no column tmax; it has lat, lon, v"),
        ({"lat": [40.0, np.nan, 42.0, np.nan]}, {}, "column lat has no coordinate in rows 2, 4"),
        ({"v": ["1", "2", "n/a?", "4"]}, {}, "column v: expected a number, got 'n/a\\?' in row 3"),
        ({"lat": ["40", "41", "N42", "43"]}, {}, "column lat: expected a coordinate, got 'N42' in row 3"),
        ({"v": [1.0, np.inf, 3.0, 4.0]}, {}, "v is infinite in row 2"),
        ({"error": [0.1, np.nan, 0.1, 0.1]}, {"noise": "error"}, "column error has no deviation in row 2"),
        ({"error": [0.1, -1.0, 0.1, 0.1]}, {"noise": "error"}, "noise is a standard deviation"),
        ({"when": ["2020-01-01", "soon", "2020-01-01", "2020-01-01"]}, {"time": "when"}, "no time stamp in row 2"),
        ({"when": [20200101] * 4}, {"time": "when"}, "column when holds int64, expected time stamps in ISO 8601"),
        ({"when": ["2020-01-01"] * 4}, {"time": "when", "tz": "Mars/Base"}, "tz is 'Mars/Base', expected a time zone"),
        ({"when": ["2020-01-01T00Z"] * 4}, {"time": "when", "tz": "UTC"}, "column when has time zones of its own"),
        ({}, {"noise": "v"}, "column v is named twice"),
    ],
)
def test_what_is_refused_is_refused_in_a_line(columns, options, line):
    with pytest.raises(ValueError, match=line) as error:
        gl.read_table(table(**columns), **({"values": "v"} | options))
    assert "\n" not in str(error.value)


def test_files_that_are_no_tables_are_named(tmp_path):
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"empty.csv cannot be read as a table"):
        gl.read_table(tmp_path / "empty.csv", values="v")
    with pytest.raises(ValueError, match=r"broken.parquet cannot be read as a table"):
        gl.read_table(tmp_path / "broken.parquet", values="v")
    with pytest.raises(FileNotFoundError, match=r"missing.csv"):
        gl.read_table(tmp_path / "missing.csv", values="v")
    with pytest.raises(ValueError, match="expected a DataFrame or the path of a CSV or Parquet file, got dict"):
        gl.read_table(TABLE, values="v")


def test_a_package_that_is_missing_is_named(monkeypatch):
    from gridless.data import optional

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(optional, "import_module", missing)
    with pytest.raises(ImportError, match=r'a table needs pandas .*; pip install "gridless\[fields\]"'):
        gl.read_table("a.csv", values="v")
    with pytest.raises(ImportError, match=r'NetCDF or Zarr needs xarray .*; pip install "gridless\[fields\]"'):
        gl.read("a.nc")
