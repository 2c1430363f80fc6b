"""Datasets to NetCDF and Zarr, whole or not at all; lazy ones block by block, never all in memory."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from gridless.data.optional import optional
from gridless.files import replacing, replacing_folder

if TYPE_CHECKING:
    import xarray as xr


def write_netcdf(dataset: "xr.Dataset", path: str | Path) -> None:
    """A NetCDF 4 file. OSError names a file that cannot be written."""
    optional("h5py", "NetCDF")
    optional("h5netcdf", "NetCDF")
    with replacing(path) as part:
        dataset.to_netcdf(part, engine="h5netcdf", format="NETCDF4")


def write_zarr(dataset: "xr.Dataset", path: str | Path) -> None:
    """A Zarr folder. Of a lazy dataset each block becomes one chunk of the store, so that no two writers share one. A
    store that stands at `path` goes when the new one is whole. OSError names a folder that cannot be written."""
    optional("zarr", "Zarr")
    path = Path(path)
    if path.exists() and not any(Path(path, name).exists() for name in ("zarr.json", ".zgroup")):
        raise FileExistsError(17, "is no Zarr store, and is not replaced by one; give another name", str(path))
    dataset = dataset.copy()
    for variable in dataset.variables.values():
        variable.encoding.pop("chunks", None)
        variable.encoding.pop("preferred_chunks", None)
        if variable.encoding.get("_FillValue", 0) is None:
            del variable.encoding["_FillValue"]
    with replacing_folder(path) as part, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Zarr format 3.*")  # of types that other readers may not know
        dataset.to_zarr(part, mode="w", consolidated=False, safe_chunks=True)
