"""Answers larger than memory: lazy ones, block by block, also on a cluster of two processes on this machine."""

import numpy as np
import pytest

import gridless as gl
from gridless.data.archive_writing import write_netcdf, write_zarr
from gridless.data.archives import open_archive

pd = pytest.importorskip("pandas")
xr = pytest.importorskip("xarray")
dask = pytest.importorskip("dask")

KRIGING = gl.bases.Kriging(kernels=("matern32",), lengths=(0.2, 0.8), noises=(0.003, 0.1))
MONTHS = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], "datetime64[ns]")


def series() -> gl.FieldSeries:
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(-80, 80, 60), rng.uniform(-180, 180, 60)
    value = np.cos(np.radians(lat)) + 0.3 * np.sin(np.radians(lon))
    table = pd.DataFrame({"lat": lat, "lon": lon, "sst": value, "month": np.repeat(MONTHS, 20)})
    return gl.read_table(table, values="sst", time="month", domain=gl.Domain.globe()).encode(KRIGING)


def template(step: float = 15.0) -> "xr.Dataset":
    coords = {
        "lat": ("lat", np.arange(-90 + step / 2, 90, step), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(step / 2, 360, step), {"units": "degrees_east"}),
    }
    return xr.Dataset(coords=coords).assign_coords(time=("time", MONTHS))


def test_lazy_and_at_once_are_the_same(tmp_path):
    whole = series().to_xarray(template())
    lazy = series().to_xarray(template(), chunks={"time": 1, "lon": 10})
    assert lazy.sst.chunks == ((1, 1, 1), (12,), (10, 10, 4)) and whole.sst.chunks is None
    assert lazy.sst.attrs == whole.sst.attrs and lazy.sst.encoding == whole.sst.encoding
    with dask.config.set(scheduler="threads", num_workers=2):
        write_zarr(lazy, tmp_path / "a.zarr")
        write_netcdf(lazy, tmp_path / "a.nc")
    for name in ("a.zarr", "a.nc"):
        with open_archive(tmp_path / name) as back:
            for variable in ("sst", "sst_standard_error"):
                np.testing.assert_allclose(back[variable], whole[variable], rtol=0, atol=1e-6)
            assert back.sst.attrs["ancillary_variables"] == "sst_standard_error"
    with pytest.raises(ValueError, match=r"chunks of depth, which is no dimension of the answer \(time, lat, lon\)"):
        series().to_xarray(template(), chunks={"depth": 1})


def test_times_that_do_not_match_are_refused_before_anything_is_computed():
    later = template().assign_coords(time=("time", MONTHS + np.timedelta64(1, "D")))
    with pytest.raises(ValueError, match="no field of the times 2020-01-02"):
        series().to_xarray(later, chunks={"time": 1})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:DeprecationWarning")
def test_a_cluster_of_two_processes_answers_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    whole = series().to_xarray(template())
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(host="127.0.0.1", **options) as cluster, distributed.Client(cluster) as client:
        lazy = series().to_xarray(template(), chunks={"time": 1, "lon": 8})
        write_zarr(lazy, tmp_path / "a.zarr")
        assert len(client.scheduler_info()["workers"]) == 2
        one = series()[0].to_xarray(template(), chunks={"lat": 4})
        np.testing.assert_allclose(one.sst.compute(), whole.sst[0], rtol=0, atol=1e-6)
    with open_archive(tmp_path / "a.zarr") as back:
        np.testing.assert_allclose(back.sst, whole.sst, rtol=0, atol=1e-6)


def test_a_series_goes_to_a_worker_without_what_it_has_solved():
    import pickle

    fields = series()
    small = len(pickle.dumps(fields))
    fields[0]
    assert len(pickle.dumps(fields)) == small < 50_000
    assert pickle.loads(pickle.dumps(fields)).times.tolist() == fields.times.tolist()
