"""NetCDF and Zarr: grids, templates and films."""

import gzip
import json
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import damage
import h5py
import numpy as np
import xarray as xr
from doors.door import Case, given
from doors.tables import table

import gridless as gl


def dataset() -> xr.Dataset:
    rng, times = np.random.default_rng(2), np.arange("2024-01-01", "2024-01-06", dtype="datetime64[D]")
    coords = {
        "time": ("time", times.astype("datetime64[ns]")),
        "lat": ("lat", np.arange(40.0, 45.0), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(6.0), {"units": "degrees_east", "bounds": "lon_bnds"}),
    }
    edges = np.stack([np.arange(6.0) - 0.5, np.arange(6.0) + 0.5], -1)
    values = rng.normal(size=(5, 5, 6)).astype(np.float32)
    variables = {"v": (("time", "lat", "lon"), values, {"units": "K"}), "lon_bnds": (("lon", "nv"), edges)}
    return xr.Dataset(variables, coords)


@cache
def netcdf(kind: str) -> bytes:
    path = Path("valid.nc")
    if kind == "scipy":
        dataset().to_netcdf(path, engine="scipy")
    else:
        packing = {"dtype": "i2", "scale_factor": 0.001, "_FillValue": -32768, "zlib": True}
        dataset().to_netcdf(path, engine="h5netcdf", encoding={"v": packing} if kind == "packed" else None)
    data = path.read_bytes()
    path.unlink()
    return data


UNITS = (
    "days since 2024-01-01", "days since 0000-00-00", "months since 2024-01-01", "months since 2024-13-01",
    "years since 1-1-1", "fortnights since x", "seconds since", "days since 99999-01-01", "days since 2024-01-01 99:99",
    "since", "days since -5-1-1", "microseconds since 1970-01-01", "", "K", "\x07",
)  # fmt: skip
ATTRIBUTES = (
    "_FillValue", "missing_value", "scale_factor", "add_offset", "units", "calendar", "bounds", "coordinates",
    "grid_mapping", "standard_name", "axis", "valid_range", "_Unsigned", "dtype", "flag_values", "cell_methods",
)  # fmt: skip
VALUES = (
    *UNITS, np.nan, np.inf, 0, -1, 1e300, 2**62, np.array([1.0, 2.0]), np.array([], np.float32), "nan", "v", "lon_bnds",
    "lat lon", "v v v", "nowhere", "360_day", "gregorian", "latitude", "longitude", "area: nowhere", b"\xff\xfe",
    "true", "x" * 5000,
)  # fmt: skip


def _edited(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """An HDF5 file whose attributes, types, values or links are wrong."""
    path = Path("edited.h5")
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        name = rng.choice(("v", "v", "time", "lat", "lon", "lon_bnds"))
        how = rng.choice(
            ("attribute", "attribute", "attribute", "lacks one", "values", "type", "huge", "link", "shape", "gone")
        )
        match how:
            case "attribute":
                for _ in range(rng.choice((1, 1, 2))):
                    file[name].attrs[rng.choice(ATTRIBUTES)] = rng.choice(VALUES)
            case "lacks one":
                keys = [*file[name].attrs]
                if keys:
                    del file[name].attrs[rng.choice(keys)]
            case "values":
                array = file[name][...].astype(np.float64).ravel()
                for _ in range(rng.choice((1, 2, array.size))):
                    array[rng.randrange(array.size)] = rng.choice(
                        (np.nan, np.inf, 1e300, -1e5, 0, 9.96921e36, array[0])
                    )
                _replaced(file, name, array.reshape(file[name].shape))
            case "type":
                shape = file[name].shape
                other = rng.choice(
                    (np.complex64, bool, "S3", object, np.uint64, np.float16, np.void, [("a", "f4"), ("b", "i4")])
                )
                text = (
                    np.full(shape, "x", object)
                    if other is object
                    else np.zeros(shape, "V4" if other is np.void else other)
                )
                _replaced(file, name, text)
            case "huge":
                sizes = {"time": (0,), "lat": (1,), "lon": (2,)}.get(name, (0, 1, 2))
                grown = rng.choice((10**9, 2**40))
                whole = tuple(grown if i in sizes else n for i, n in enumerate(file["v"].shape))
                for each in ("v", *(("time", "lat", "lon") if rng.random() < 0.7 else ())):
                    shape = whole if each == "v" else (whole[("time", "lat", "lon").index(each)],)
                    attributes = _plain(file[each])
                    del file[each]
                    file.create_dataset(
                        each, shape, "f4", chunks=tuple(min(n, 1 << 16) for n in shape[:1]) + (1,) * len(shape[1:])
                    )
                    file[each].attrs.update(attributes)
                for i, each in enumerate(("time", "lat", "lon")):
                    file[each].make_scale(each)
                    file["v"].dims[i].attach_scale(file[each])
            case "link":
                del file[name]
                file[name] = rng.choice(
                    (
                        h5py.ExternalLink("/etc/passwd", "/"),
                        h5py.ExternalLink("../outside.nc", "/v"),
                        h5py.SoftLink("/" + name),
                        h5py.SoftLink("/x"),
                    )
                )
            case "shape":
                _replaced(
                    file,
                    name,
                    np.zeros(rng.choice(((), (0,), (1,), (5, 0, 6), (7,), (2, 2, 2, 2), (5, 5, 7))), np.float32),
                )
            case "gone":
                del file[name]
    out = path.read_bytes()
    path.unlink()
    return f"HDF5 {how}", out


def _plain(item: h5py.Dataset) -> dict:
    return {k: v for k, v in item.attrs.items() if k in ("units", "calendar", "_FillValue")}


def _replaced(file: h5py.File, name: str, values: np.ndarray) -> None:
    attributes = _plain(file[name])
    kind = h5py.string_dtype() if values.dtype == object else None
    scales = [[*dim.values()] for dim in file[name].dims]
    del file[name]
    file.create_dataset(name, data=values, dtype=kind)
    file[name].attrs.update({k: v for k, v in attributes.items() if k != "_FillValue"})
    if name in ("time", "lat", "lon"):
        file[name].make_scale(name)
        if "v" in file and values.ndim:
            at = ("time", "lat", "lon").index(name)
            file["v"].dims[at].attach_scale(file[name])
    elif len(scales) == values.ndim:
        for dim, found in zip(file[name].dims, scales, strict=True):
            for scale in found:
                dim.attach_scale(scale)


def damaged_netcdf(rng: random.Random) -> tuple[str, str]:
    valid = {kind: netcdf(kind) for kind in ("scipy", "h5netcdf", "packed")}
    kind = rng.choice(("scipy", "h5netcdf", "packed", "packed"))
    if kind != "scipy" and rng.random() < 0.65:
        how, data = _edited(valid[kind], rng)
    elif rng.random() < 0.05:
        how, data = "packed", rng.choice((gzip.compress(valid[kind]), damage.bomb(), damage.zipped(valid[kind])))
    else:
        how, data = damage.damaged(valid[kind], rng, tuple(valid.values()))
    return how, given("in.nc", data)


@cache
def store(version: int) -> dict[str, bytes]:
    """The files of a valid Zarr store."""
    folder = Path("valid.zarr")
    dataset().to_zarr(folder, zarr_format=version, consolidated=version == 2)
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    shutil.rmtree(folder)
    return files


ABOUT = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


def damaged_zarr(rng: random.Random) -> tuple[str, str]:
    files = dict(store(rng.choice((2, 3))))
    if ".zmetadata" in files and rng.random() < 0.6:
        del files[".zmetadata"]
    names = list(files)
    how = rng.choice(
        ("JSON", "JSON", "JSON", "JSON", "JSON", "JSON", "chunks", "gone", "pickle", "shape", "huge", "names")
    )
    about = [name for name in names if Path(name).name in ABOUT]
    chunks = [name for name in names if name not in about]
    match how:
        case "JSON":
            for name in rng.choices(about, k=rng.choice((1, 1, 2))):
                how, files[name] = damage.damaged_json(files[name], rng)
        case "chunks":
            name = rng.choice(chunks)
            how, files[name] = damage.damaged(files[name], rng)
            if rng.random() < 0.1:
                how, files[name] = "a bomb in a chunk", damage.bomb()
        case "gone":
            del files[rng.choice(names)]
        case "pickle":  # a filter whose decoder is pickle
            files = dict(store(2))
            del files[".zmetadata"]
            array = rng.choice(("v", "lat", "time"))
            table = json.loads(files[f"{array}/.zarray"])
            table.update(
                rng.choice(({"filters": [{"id": "pickle"}]}, {"compressor": {"id": "pickle"}, "filters": None}))
            )
            table["compressor"] = table["compressor"] if table["filters"] is None else None
            files[f"{array}/.zarray"] = json.dumps(table).encode()
            for name in chunks if chunks[0] in files else [n for n in files if Path(n).name not in ABOUT]:
                if name.startswith(f"{array}/"):
                    files[name] = damage.canary()
        case "shape" | "huge":
            for name in about:
                table = json.loads(files[name])
                if "shape" in table and name.startswith(rng.choice(("v", "v", "lat", "time"))):
                    size = 7 if how == "shape" else rng.choice((10**6, 10**9, 2**50, 10**30))
                    table["shape"] = [rng.choice((n, size)) for n in table["shape"]]
                    if rng.random() < 0.5 and "chunks" in table:
                        table["chunks"] = table["shape"]
                    files[name] = json.dumps(table).encode()
        case "names":
            old = rng.choice(("v", "lat", "time", "lon_bnds"))
            new = rng.choice(("../outside", "a/b", "v v", "x\ny", "\u202e"))
            files = {
                name.replace(f"{old}/", f"{new}/") if ".." not in new else name: data for name, data in files.items()
            }
            files = {
                name: data.replace(f'"{old}"'.encode(), json.dumps(new).encode()) if name in about else data
                for name, data in files.items()
            }
    folder = Path("in.zarr")
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return f"Zarr {how}", str(folder)


def archived(read: Callable[[random.Random], tuple[str, str]]) -> Callable[[random.Random], Case]:
    def make(rng: random.Random) -> Case:
        how, name = read(rng)
        match rng.randrange(6):
            case 0:
                argv = ("predict", "kriging", name, "--variable", "v", "--grid", "2deg", "-o", "out.nc")
                return Case(how, argv, outputs=("out.nc",))
            case 1:
                Path("good.csv").write_bytes(table())
                argv = ("predict", "kriging", "good.csv", "--value", "v", "--like", name, "-o", "out.nc")
                return Case(f"{how}, as template", argv, outputs=("out.nc",))
            case 2 | 3:
                base = rng.choice(("persistence", "persistence", "damped-persistence", "linear-inverse", "advection"))
                out = rng.choice(("out.nc", "out.nc", "out.zarr"))
                return Case(
                    f"{how}, a film",
                    ("forecast", base, name, "--variable", "v", "--until", "2D", "-o", out),
                    None,
                    (out,),
                )
            case 4:
                return Case(how, call=lambda: gl.read(name, "v"), about="gl.read")
        return Case(how, call=lambda: gl.read_film(name, "v").signal(), about="gl.read_film")

    return make
