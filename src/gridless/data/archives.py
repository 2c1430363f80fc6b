"""Archives: NetCDF and Zarr opened by the rules of CF, lazily; masks, packing and calendars decoded.

Months are no unit of time, and no library decodes them. Whole months since a day that every month has are counted in the
calendar; anything else is refused.
"""

import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gridless.data.optional import optional
from gridless.data.room import check_room

if TYPE_CHECKING:
    import xarray as xr

logging.getLogger("asyncio").addHandler(logging.NullHandler())  # zarr's: of several chunks that fail, one is an error
SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf", ".zarr")
MAGIC = {b"CDF": "scipy", b"\x89HDF": "h5netcdf"}
MONTHS = re.compile(r"\s*(months?|years?)\s+since\s+(\d{1,4}-\d{1,2}-\d{1,2})(.*)", re.IGNORECASE)
STANDARD = ("", "standard", "gregorian", "proleptic_gregorian")
PLANE = 2  # dimensions of coordinates at most, all others are as large as what was measured
LAST_DAY = 28  # that every month has


def is_archive(path: Path) -> bool:
    """Whether the name is one of NetCDF or Zarr."""
    return path.suffix.lower() in SUFFIXES


def open_archive(path: str | Path, chunks: Mapping[str, int] | None = None) -> "xr.Dataset":
    """The dataset, whose values are read when they are asked for; bounds and grid mappings are coordinates. `chunks`: as
    dask arrays of these sizes. Raises ValueError or OSError, naming the file, for what cannot be read."""
    xarray, path = optional("xarray", "NetCDF or Zarr"), Path(path)
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    engine = _engine(path)
    optional({"scipy": "scipy", "zarr": "zarr", "h5netcdf": "h5netcdf"}[engine], str(path))
    if chunks is not None:
        optional("dask", "an archive in chunks")
    with warnings.catch_warnings():  # of two fill values, both are missing; of areas in another file, none is needed
        warnings.simplefilter("ignore")
        try:
            _check_announced(path, engine)
            dataset = xarray.open_dataset(path, engine=engine, chunks=chunks, decode_times=False, decode_coords="all")
        except ImportError as missing:
            raise ImportError(f'{path} needs {missing.name} ({missing}); pip install "gridless[fields]"') from missing
        except Exception as error:  # each engine has its own
            raise ValueError(f"{path} cannot be read by {engine} ({' '.join(str(error).split())})") from None
        for name in {*dataset.variables, *dataset.dims}:
            if not isinstance(name, str) or not name.isprintable():
                raise ValueError(f"{path} has the name {name!r}; expected letters and digits, rename it")
        dataset = decoded(dataset, str(path))
        for coordinate in dataset.coords.values():
            if coordinate.ndim <= PLANE:  # wherever they are asked for, they can be read
                loaded(coordinate)
        return dataset


def loaded(array: "xr.DataArray") -> np.ndarray:
    """The values of an array, read from the disk. Raises ValueError, naming it, for more than there is memory for, and for
    what cannot be read."""
    name = ": ".join([*filter(None, [str(array.encoding.get("source", ""))]), str(array.name)])
    check_room(array.size, name, max(4, array.dtype.itemsize))
    try:
        return np.asarray(array.values)
    except Exception as error:  # each engine has its own
        raise ValueError(f"{name} cannot be read ({' '.join(str(error).split())}); fetch it again") from None


def _check_announced(path: Path, engine: str) -> None:
    """Raises ValueError for coordinates beyond memory, which are read when the file is opened, and for HDF5 that has its
    values in other files. What h5netcdf has opened by half complains at its end, so that damage is found before."""
    if engine == "h5netcdf":
        h5py = optional("h5py", str(path))
        with h5py.File(path, "r") as file:
            for name in file:
                if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
                    raise ValueError(f"{name} lies in another file")
                item = file[name]
                if isinstance(item, h5py.Dataset):
                    if item.external or item.is_virtual:
                        raise ValueError(f"{name} has its values in another file")
                    if item.ndim == 1:
                        check_room(item.size, name)
    elif engine == "zarr":
        for name, array in optional("zarr", str(path)).open_group(path, mode="r").arrays():
            if array.ndim == 1:
                check_room(array.size, name)


def decoded(dataset: "xr.Dataset", name: str) -> "xr.Dataset":
    """With its times decoded. Raises ValueError, naming the variable, for times that nobody can tell."""
    xarray = optional("xarray", "NetCDF or Zarr")
    counted = {}
    for key, variable in dataset.variables.items():
        if match := MONTHS.fullmatch(str(variable.attrs.get("units", ""))):
            calendar = str(variable.attrs.get("calendar", "")).lower()
            if calendar == "360_day":  # where a month has thirty days
                continue
            counted[key] = _counted(f"{name}: {key}", variable, match, calendar)
            bounds = variable.attrs.get("bounds")
            if bounds in dataset.variables:
                counted[bounds] = _counted(f"{name}: {bounds}", dataset.variables[bounds], match, calendar)
    if counted:
        dataset = dataset.assign_coords(counted)
    try:
        return xarray.decode_cf(dataset, mask_and_scale=False, decode_coords=False)
    except ImportError as missing:
        raise ImportError(f'{name} needs {missing.name} ({missing}); pip install "{missing.name}"') from missing
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: times that cannot be read ({' '.join(str(error).split())})") from None


def _counted(name: str, variable: Any, match: re.Match, calendar: str) -> Any:
    """Whole months since a date, as datetime64."""
    count = np.asarray(variable.values, np.float64) * (12 if match[1].lower().startswith("year") else 1)
    start, units = np.datetime64("-".join(part.zfill(2) for part in match[2].split("-")), "D"), match[0].strip()
    day = start - start.astype("datetime64[M]").astype("datetime64[D]")
    if calendar not in STANDARD or (count % 1 != 0).any() or int(day.astype(int)) >= LAST_DAY:
        reason = (
            f"calendar {calendar}" if calendar not in STANDARD else f"values such as {np.ravel(variable.values)[0]:g}"
        )
        raise ValueError(
            f"{name} counts {units!r} ({reason}); a month has no fixed length, so only whole months since a day up to the "
            f"{LAST_DAY}th can be read: write days since"
        )
    clock = re.sub(r"[^0-9:.]", "", match[3]) or "0"
    hours, minutes, seconds = (float(part or 0) for part in (*clock.split(":"), "0", "0")[:3])
    months = start.astype("datetime64[M]") + count.astype(np.int64)
    microseconds = round((hours * 3600 + minutes * 60 + seconds) * 1e6)
    times = months.astype("datetime64[D]") + day
    times = times.astype("datetime64[us]") + np.timedelta64(microseconds, "us")
    kept = {key: value for key, value in variable.attrs.items() if key not in ("units", "calendar")}
    return variable.dims, times.astype("datetime64[ns]"), kept


def _engine(path: Path) -> str:
    if path.is_dir():
        return "zarr"
    with open(path, "rb") as file:
        start = file.read(4)
    for magic, engine in MAGIC.items():
        if start.startswith(magic):
            return engine
    raise ValueError(
        f"{path} begins with {start!r}, which is neither NetCDF 3 nor 4; expected one of them or a Zarr folder"
    )
