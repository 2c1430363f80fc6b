"""The doors that files come in by: what valid files look like there, how they are made wrong, and who is asked.

A `Door` damages one of its valid files by a seed and says what is done with it: a command line, or a call of the package.
"""

import gzip
import io
import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import damage
import h5py
import nibabel
import numpy as np
import torch
import xarray as xr
from PIL import Image, ImageCms
from safetensors.torch import load_file, save

import gridless as gl
from gridless.cli import main


@dataclass(frozen=True)
class Case:
    """What was done to a file, and what is asked: a command line that writes `outputs`, or a call."""

    how: str
    argv: tuple[str, ...] = ()
    call: Callable[[], object] | None = None
    outputs: tuple[str, ...] = ()
    about: str = ""
    """Of a call, what is called."""

    def run(self) -> object:
        return main(list(self.argv)) if self.call is None else self.call()


@dataclass(frozen=True)
class Door:
    """`count`: of every 3,000 cases so many are this door's; `make`: a case of a random generator, in the present folder,
    which is empty and the case's own."""

    name: str
    count: int
    make: Callable[[random.Random], Case] = field(compare=False)


def _given(name: str, data: bytes) -> str:
    Path(name).write_bytes(data)
    return name


# ----------------------------------------------------------------------------------------------------------- pictures


@cache
def pictures() -> dict[str, bytes]:
    """Small valid pictures of every format, depth, palette and kind of metadata, by the suffix they have."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    rgba, grey = Image.fromarray(rng.integers(0, 255, (12, 16, 4), dtype=np.uint8)), rgb.convert("L")
    deep = Image.fromarray(rng.integers(0, 65535, (12, 16), dtype=np.uint16))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "Maker", "2024:01:01 00:00:00"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:01 00:00:00"
    about: dict[str, Any] = {"icc_profile": icc, "exif": exif.tobytes()}
    frames = [rgb.convert("P"), rgb.rotate(90).resize((16, 12)).convert("P")]

    def saved(image: Image.Image, format: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        return buffer.getvalue()

    return {
        "rgb.png": saved(rgb, "PNG", **about),
        "rgba.png": saved(rgba, "PNG"),
        "deep.png": saved(deep, "PNG"),
        "palette.png": saved(rgb.convert("P"), "PNG", transparency=3),
        "one.png": saved(rgb.convert("1"), "PNG"),
        "grey.png": saved(grey, "PNG", transparency=7),
        "rgb.jpg": saved(rgb, "JPEG", **about),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True, restart_marker_rows=1),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG"),
        "grey.jpg": saved(grey, "JPEG", exif=exif.tobytes()),
        "rgb.tif": saved(rgb, "TIFF", icc_profile=icc, exif=exif),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "deep.tif": saved(deep, "TIFF"),
        "float.tif": saved(Image.fromarray(rng.random((12, 16), np.float32)), "TIFF"),
        "pages.tif": saved(rgb, "TIFF", save_all=True, append_images=[rgb]),
        "rgb.webp": saved(rgb, "WEBP", lossless=True, **about),
        "lossy.webp": saved(rgba, "WEBP", quality=80),
        "rgb.gif": saved(frames[0], "GIF"),
        "frames.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50),
        "rgb.bmp": saved(rgb, "BMP"),
        "rgb.avif": saved(rgb, "AVIF"),
    }


STRUCTURES = {".png": damage.damaged_png, ".jpg": damage.damaged_jpeg, ".tif": damage.damaged_tiff}
NAMES = ("in", "a b", "a\nb", "..\\..\\out", "ü", "%2e%2e%2fx", "x" * 240, "\udcff", "-o", "in.tar", ".hidden")


def _picture(rng: random.Random) -> tuple[str, str]:
    """A damaged picture in the present folder: what was done, and its name."""
    valid = pictures()
    which = rng.choice(list(valid))
    suffix = Path(which).suffix
    change = STRUCTURES.get(suffix, damage.damaged) if rng.random() < 0.5 else damage.damaged
    if change is damage.damaged:
        how, data = damage.damaged(valid[which], rng, tuple(valid.values()))
    else:
        how, data = change(valid[which], rng)
    stem = rng.choice(NAMES) if rng.random() < 0.2 else "in"
    suffix = rng.choice((suffix, suffix, suffix, suffix, ".png", ".jpg", ".tif", ".gif"))
    return how, _given(stem + suffix, data)


def predict_picture(rng: random.Random) -> Case:
    how, name = _picture(rng)
    given = f"./{name}" if name.startswith("-") else name
    out = rng.choice(("out.png", "out.png", "out.jpg", "out.tif", "out.webp"))
    argv = ("predict", "photo", given, "--scale", "1.5", "-o", out)
    if rng.random() < 0.15:
        return Case(f"{how}, all frames", (*argv, "--all-frames"), outputs=(out, "out-1.*", "out-2.*"))
    if rng.random() < 0.1:
        Path("pictures").mkdir()
        os.rename(name, Path("pictures", name))
        return Case(
            f"{how}, a folder", ("predict", "photo", "pictures", "--scale", "1.5", "-o", "outs"), None, ("outs/*",)
        )
    return Case(how, argv, outputs=(out,))


def read_picture(rng: random.Random) -> Case:
    how, name = _picture(rng)
    return Case(how, call=lambda: gl.read(name), about="gl.read")


# ------------------------------------------------------------------------------------------------------------- tables


CELLS = (
    "", " ", "nan", "NaN", "inf", "-Infinity", "1e400", "-9999", "9.96921e+36", "1e19", "0x1F", "1,5", "12:30", "text", "ü",
    "2024-01-31", "2024-13-45", "0000-00-00", "2024-01-01T00:00Z", "99999-01-01", "1" * 400, "1e-320", "true", "\"", "'",
    "=cmd|' /C calc'!A0", "../../etc/passwd", "\x00", "\u202e", "91", "-91", "361", "1e10", "-1e300", "١٢", "½", "None",
)  # fmt: skip


@cache
def table() -> bytes:
    rng = np.random.default_rng(1)
    rows = zip(rng.uniform(40, 50, 14), rng.uniform(0, 10, 14), rng.normal(size=14), range(14), strict=True)
    lines = [f"{a:.3f},{b:.3f},{v:.3f},2024-01-0{1 + n % 2}T00:00" for a, b, v, n in rows]
    return "\n".join(["lat,lon,v,t", *lines, ""]).encode()


def _table(rng: random.Random) -> tuple[str, str]:
    data, suffix, chance = table(), ".csv", rng.random()
    if chance < 0.3:
        how, data = damage.damaged(data, rng)
    elif chance < 0.8:
        how, cells = "cells", [line.split(",") for line in data.decode().strip().split("\n")]
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            row = rng.choice(cells)
            row[rng.randrange(len(row))] = rng.choice(CELLS)
        data = "\n".join(map(",".join, cells)).encode("utf-8", "surrogatepass")
    elif chance < 0.9:
        how, text = "a strange table", data.decode()
        data = rng.choice(
            (
                text.encode("utf-16"), b"\xef\xbb\xbf" + data, text.encode().replace(b",", b";"), data.replace(b"\n", b"\r"),
                data.replace(b"lat", b"lat,lat"), data[: data.index(b"\n")], data * 50, b"\n" * 1000, b"," * 5000,
                data + b"1," * 20_000, data.replace(b"lon", b"lat"), data + b'"' + data, b"lat,lon,v,t\n" * 3,
                b"lat,lon,v,t\n1,2,3,4\n", data.replace(b"4", b"5").replace(b".", b""), text.encode("utf-32"),
                b"lat,lon,v,t\n" + b"45,5,1,2024-01-01\n" * 9,
                b"lat,lon,v,t\n" + b"90,5,1,2024-01-01\n90,6,2,2024-01-01\n" * 3,
            )
        )  # fmt: skip
    else:
        how, suffix = "packed", rng.choice((".csv.gz", ".csv.gz", ".csv"))
        data = rng.choice(
            (
                gzip.compress(data), damage.damaged(gzip.compress(data), rng)[1], damage.bomb(b"lat,lon,v\n", b"1,2,3\n"),
                damage.bomb(), damage.zipped(data), damage.canary(),
            )
        )  # fmt: skip
    if rng.random() < 0.05:
        how, suffix = f"{how}, as Parquet", ".parquet"
    return how, _given(f"in{suffix}", data)


def predict_table(rng: random.Random) -> Case:
    how, name = _table(rng)
    model = rng.choice(("kriging", "kriging", "sensors"))
    match rng.randrange(4):
        case 0:
            Path("good.csv").write_bytes(table())
            argv = ("predict", model, "good.csv", "--value", "v", "--at", name, "-o", "out.csv")
            return Case(f"{how}, as places", argv, outputs=("out.csv",))
        case 1:
            argv = ("predict", model, name, "--value", "v", "--time", "t", "--grid", "2deg", "-o", "out.nc")
            return Case(f"{how}, with stamps", argv, outputs=("out.nc",))
        case 2:
            argv = ("predict", model, name, "--value", "v", "--coords", "lat", "lon", "--grid", "2", "-o", "out.png")
            return Case(f"{how}, to a map", argv, outputs=("out.png",))
    return Case(how, ("predict", model, name, "--value", "v", "--grid", "2deg", "-o", "out.nc"), outputs=("out.nc",))


def read_table(rng: random.Random) -> Case:
    how, name = _table(rng)
    time = rng.choice((None, "t"))
    return Case(how, call=lambda: gl.read_table(name, values="v", time=time), about="gl.read_table")


# ----------------------------------------------------------------------------------------------------- NetCDF and Zarr


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


def _netcdf(rng: random.Random) -> tuple[str, str]:
    valid = {kind: netcdf(kind) for kind in ("scipy", "h5netcdf", "packed")}
    kind = rng.choice(("scipy", "h5netcdf", "packed", "packed"))
    if kind != "scipy" and rng.random() < 0.65:
        how, data = _edited(valid[kind], rng)
    elif rng.random() < 0.05:
        how, data = "packed", rng.choice((gzip.compress(valid[kind]), damage.bomb(), damage.zipped(valid[kind])))
    else:
        how, data = damage.damaged(valid[kind], rng, tuple(valid.values()))
    return how, _given("in.nc", data)


@cache
def _store(version: int) -> dict[str, bytes]:
    """The files of a valid Zarr store."""
    folder = Path("valid.zarr")
    dataset().to_zarr(folder, zarr_format=version, consolidated=version == 2)
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    shutil.rmtree(folder)
    return files


ABOUT = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


def _zarr(rng: random.Random) -> tuple[str, str]:
    files = dict(_store(rng.choice((2, 3))))
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
            files = dict(_store(2))
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


def _archived(read: Callable[[random.Random], tuple[str, str]]) -> Callable[[random.Random], Case]:
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


# ------------------------------------------------------------------------------------------------------------ volumes


@cache
def volumes() -> dict[str, bytes]:
    rng = np.random.default_rng(3)
    affine = np.array([[0, -1.0, 0, 4], [-1.0, 0, 0, 5], [0, 0, 2.5, -3], [0, 0, 0, 1]])
    whole = (1000 * rng.random((6, 7, 4))).astype(np.int16)
    scaled = nibabel.Nifti1Image(whole, affine)
    scaled.header.set_slope_inter(0.5, 3)
    kinds = {
        "in.nii": nibabel.Nifti1Image(rng.random((6, 7, 4), np.float32), affine),
        "scaled.nii": scaled,
        "two.nii": nibabel.Nifti2Image(rng.random((6, 7, 4)), affine),
        "times.nii": nibabel.Nifti1Image(rng.random((5, 4, 3, 2), np.float32), affine),
    }
    out = {name: image.to_bytes() for name, image in kinds.items()}
    mgh = nibabel.MGHImage(rng.random((5, 4, 3), np.float32), affine)
    buffer = io.BytesIO()
    mgh.to_stream(buffer)
    return out | {"in.mgh": buffer.getvalue()}


FIELDS = {
    "dim": (40, "h", 8), "datatype": (70, "h", 1), "bitpix": (72, "h", 1), "pixdim": (76, "f", 8),
    "vox_offset": (108, "f", 1), "slope": (112, "f", 2), "units": (123, "b", 1), "toffset": (136, "f", 1),
    "codes": (252, "h", 2), "quatern": (256, "f", 6), "srow": (280, "f", 12), "magic": (344, "b", 4),
    "extension": (348, "b", 4),
}  # fmt: skip
"""Of a NIfTI-1 header: where, what and how many."""


def _volume(rng: random.Random) -> tuple[str, str]:
    valid = volumes()
    which = rng.choice(list(valid))
    data, suffix = valid[which], Path(which).suffix
    if suffix == ".nii" and which != "two.nii" and rng.random() < 0.6:
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 2))):
            at, kind, count = FIELDS[rng.choice(list(FIELDS))]
            numbers = (
                (0, -1, 1, 2, 3, 5, 16, 128, 1536, 32767)
                if kind != "f"
                else (0.0, -1.0, np.nan, np.inf, 1e30, 1e-30, 352.0, 3e9)
            )
            limit = 100 if kind == "b" else None
            number = rng.choice([n for n in numbers if limit is None or -limit <= n <= limit])
            size = struct.calcsize(kind)
            struct.pack_into(kind, out, at + size * rng.randrange(count), number)
        how, data = "NIfTI fields", bytes(out)
    else:
        how, data = damage.damaged(data, rng, tuple(valid.values()))
    if rng.random() < 0.3 and suffix == ".nii":
        data, suffix = gzip.compress(data), ".nii.gz"
        match rng.randrange(6):
            case 0:
                how, data = f"{how}, gzip", damage.damaged(data, rng)[1]
            case 1:
                head = bytearray(valid["in.nii"])
                struct.pack_into(
                    "8h", head, 40, 3, *rng.choice(((2000, 2000, 250), (30_000, 30_000, 30_000))), 1, 1, 1, 1
                )
                how, data = "a bomb", gzip.compress(bytes(head[:352])) + damage.bomb()
    return how, _given(f"in{suffix}", data)


def predict_volume(rng: random.Random) -> Case:
    how, name = _volume(rng)
    model, out = rng.choice(("bspline", "bspline", "volume")), rng.choice(("out.nii", "out.nii.gz"))
    match rng.randrange(4):
        case 0:
            Path("good.nii").write_bytes(volumes()["in.nii"])
            argv = ("predict", model, "good.nii", "--like", name, "-o", out)
            return Case(f"{how}, as template", argv, outputs=(out,))
        case 1:
            return Case(how, ("predict", model, name, "--spacing", "1", "1", "1", "-o", out), outputs=(out,))
    return Case(how, ("predict", model, name, "-o", out), outputs=(out,))


def read_volume(rng: random.Random) -> Case:
    how, name = _volume(rng)
    return Case(how, call=lambda: gl.read(name), about="gl.read")


# ------------------------------------------------------------------------------------------- arrays and checkpoints


@cache
def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(4).random((6, 5, 3), np.float32))
    return buffer.getvalue()


def read_array(rng: random.Random) -> Case:
    data, buffer = array(), io.BytesIO()
    match rng.randrange(5):
        case 0:
            shape, kind = (
                rng.choice(
                    ("(1000000, 1000000, 3)", "(6, 5, 1)", "(-1,)", "(4611686018427387904,)", "()", "(30000, 30000, 3)")
                ),
                "<f4",
            )
            if rng.random() < 0.4:
                shape, kind = (
                    "(6, 5, 3)",
                    rng.choice(("|O", "<c8", "|V4", "<U9", "|b1", "<i8", "__import__('os')", "<M8[s]")),
                )
            head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
            head = head.ljust(-(len(head) + 11) % 64 + len(head)) + "\n"
            how, data = "npy header", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data[128:]
        case 1:
            np.save(buffer, np.array([damage._Canary()], object), allow_pickle=True)
            how, data = "npy of objects", buffer.getvalue()
        case 2:
            np.savez(buffer, a=np.zeros((3, 3, 1), np.float32))
            how, data = "npz", rng.choice((buffer.getvalue(), damage.zipped(data)))
        case _:
            how, data = damage.damaged(data, rng)
    name = _given("in.npy", data)
    return Case(how, call=lambda: gl.read(name), about="gl.read")


@cache
def checkpoint(preset: str) -> dict[str, bytes]:
    torch.manual_seed(0)
    folder = Path("valid")
    if preset == "photo":
        gl.FieldModel(gl.preset("hybrid", "tiny", base={"kind": "bicubic"})).save_pretrained(folder)
    else:
        gl.FieldModel(gl.preset(preset, "tiny")).save_pretrained(folder)
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    shutil.rmtree(folder)
    return files


def _checkpoint(rng: random.Random) -> tuple[str, str]:
    files = dict(checkpoint(rng.choice(("photo", "sensors", "mamba-ginr", "lainr"))))
    chance = rng.random()
    if chance < 0.5:
        how, files["config.json"] = damage.damaged_json(files["config.json"], rng)
    elif chance < 0.65:
        how, files["model.safetensors"] = damage.damaged(files["model.safetensors"], rng)
    elif chance < 0.85:
        data = files["model.safetensors"]
        size = int.from_bytes(data[:8], "little")
        how, head = damage.damaged_json(data[8 : 8 + size], rng)
        how, files["model.safetensors"] = (
            f"safetensors header, {how}",
            len(head).to_bytes(8, "little") + head + data[8 + size :],
        )
    elif chance < 0.95:
        how, files["model.safetensors"] = _tensors(files["model.safetensors"], rng)
    else:
        how = "a file gone"
        del files[rng.choice(("config.json", "model.safetensors"))]
    Path("model").mkdir()
    for name, data in files.items():
        Path("model", name).write_bytes(data)
    return how, "model"


def _tensors(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    Path("valid.safetensors").write_bytes(data)
    tensors = load_file("valid.safetensors")
    Path("valid.safetensors").unlink()
    name = rng.choice(list(tensors))
    how = rng.choice(("a pickle", "not finite", "type", "shape", "name", "bomb"))
    match how:
        case "a pickle":
            buffer = io.BytesIO()
            torch.save({"a": damage._Canary(), **tensors}, buffer)
            return how, rng.choice((buffer.getvalue(), damage.canary()))
        case "not finite":
            tensors[name] = (
                torch.full_like(tensors[name], rng.choice((np.nan, np.inf)))
                if tensors[name].is_floating_point()
                else tensors[name] - 999
            )
        case "type":
            tensors[name] = tensors[name].to(
                rng.choice((torch.int64, torch.bool, torch.float64, torch.complex64, torch.uint8))
            )
        case "shape":
            tensors[name] = torch.zeros(rng.choice(((), (0,), (1, 1, 1, 1), (3, 5))))
        case "name":
            tensors[rng.choice(damage.TRICKS)] = tensors.pop(name)
        case "bomb":
            return how, rng.choice((damage.bomb()[: 1 << 20], damage.zipped(data)))
    return f"tensors: {how}", save(tensors)


def load_checkpoint(rng: random.Random) -> Case:
    how, name = _checkpoint(rng)
    return Case(how, call=lambda: gl.FieldModel.from_pretrained(name), about="FieldModel.from_pretrained")


def predict_checkpoint(rng: random.Random) -> Case:
    how, name = _checkpoint(rng)
    Path("good.png").write_bytes(pictures()["rgb.png"])
    return Case(how, ("predict", name, "good.png", "--scale", "1.5", "-o", "out.png"), outputs=("out.png",))


DOORS = (
    Door("gl.read, pictures", 700, read_picture),
    Door("predict, pictures", 500, predict_picture),
    Door("gl.read_table", 350, read_table),
    Door("predict, tables", 100, predict_table),
    Door("NetCDF: predict, forecast, gl.read, gl.read_film", 400, _archived(_netcdf)),
    Door("Zarr: predict, forecast, gl.read, gl.read_film", 250, _archived(_zarr)),
    Door("gl.read, volumes", 150, read_volume),
    Door("predict, volumes", 150, predict_volume),
    Door("gl.read, .npy", 100, read_array),
    Door("FieldModel.from_pretrained", 250, load_checkpoint),
    Door("predict, checkpoints", 50, predict_checkpoint),
)


def warm() -> None:
    """What is made once, before the cases."""
    pictures(), table(), volumes(), array(), _store(2), _store(3)
    [netcdf(kind) for kind in ("scipy", "h5netcdf", "packed")]
    [checkpoint(preset) for preset in ("photo", "sensors", "mamba-ginr", "lainr")]
    damage.bomb(), damage.bomb(b"lat,lon,v\n", b"1,2,3\n")
