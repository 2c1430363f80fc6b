"""What a fuzz of the doors (benchmarks/fuzz.py) showed: damaged files that ended in a traceback, in lines of other
libraries, in a warning with the place in somebody's code, or in memory without a bound."""

import gzip
import io
import json
import logging
import pickle
import struct
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny
from PIL import Image
from safetensors.torch import load_file, save_file

import gridless as gl
from gridless import cli
from gridless.data.picture_reading import read_photo
from gridless.nn import memory


class Canary:
    """Whoever unpickles it makes a file."""

    def __reduce__(self):
        return exec, ("open('canary', 'w').close()",)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("canary").exists()


@pytest.fixture
def little_memory(monkeypatch):
    """A megabyte is free."""
    monkeypatch.setattr("gridless.data.room.free_memory", lambda device: 1 << 20)


def refused(capsys, *argv: str) -> str:
    """The one line that a command line answers with; it writes nothing."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as end:
        cli.main([*argv])
    lines = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and len(lines) == 1 and lines[0].startswith("gridless: "), lines
    assert "--debug shows where" not in lines[0] and sorted(Path().rglob("*")) == before
    return lines[0]


# --- pictures and arrays ------------------------------------------------------------------------------------------


def test_what_others_log_of_a_damaged_picture_is_not_printed(capsys, monkeypatch):
    """Without a handler of its own a library's log goes to standard error."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((12, 16), np.float32)).save(buffer, "TIFF")
    data, tag = buffer.getvalue(), struct.pack("<HH", 259, 3)
    assert data.count(tag) == 1
    Path("a.tif").write_bytes(data.replace(tag, struct.pack("<HH", 259, 14)))  # a type that there is not
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with suppress(gl.data.ImageError):
        read_photo("a.tif", floats=True)
    assert capsys.readouterr().err == ""


def npy(kind: str, shape: str) -> bytes:
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(90)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy("<f4", "(1000000, 1000000, 3)"), "cannot be read as an array"),
        (npy("<f4", "(4611686018427387904, 4, 1)"), "cannot be read as an array"),
        (npy("<U1", "(2, 3, 1)"), "expected an array of numbers, got <U1"),
        (npy("|V2", "(2, 3, 1)"), "expected an array of numbers"),
        (pickle.dumps(Canary()), "cannot be read as an array"),
    ],
)
def test_an_array_is_not_believed(data, message):
    Path("a.npy").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        gl.read("a.npy")


def test_several_arrays_are_none():
    with open("a.npy", "wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(ValueError, match="holds several arrays"):
        gl.read("a.npy")


def test_an_array_beyond_memory_is_not_read(little_memory):
    np.save("a.npy", np.zeros((300, 300, 1), np.float32))
    with pytest.raises(ValueError, match=r"a.npy takes about 0.0 GiB of memory, 0.0 are free"):
        gl.read("a.npy")


def test_the_limit_of_the_process_is_memory_too(monkeypatch):
    resource = pytest.importorskip("resource")
    before = memory.free_memory(torch.device("cpu"))
    used = memory.psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (used + (1 << 26), resource.RLIM_INFINITY))
    assert memory.free_memory(torch.device("cpu")) <= 1 << 27 < before


# --- tables ---------------------------------------------------------------------------------------------------------


def test_a_packed_table_is_unpacked_as_far_as_there_is_memory(little_memory):
    pytest.importorskip("pandas")
    Path("a.csv.gz").write_bytes(gzip.compress(b"lat,lon,v\n" + b"1,2,3\n" * 50_000))
    with pytest.raises(ValueError, match=r"a.csv.gz cannot be read as a table .* GiB of memory"):
        gl.read_table("a.csv.gz", values="v")


@pytest.mark.parametrize(
    "data", [b"lat,lon,v\n", gzip.compress(b"lat,lon,v\n", mtime=0)[:-9], b""], ids=["text", "cut", "empty"]
)
def test_what_is_not_packed_is_said_in_a_line(data):
    pytest.importorskip("pandas")
    Path("a.csv.gz").write_bytes(data)
    with pytest.raises(ValueError, match=r"^a.csv.gz cannot be read as a table .*expected CSV with a header") as caught:
        gl.read_table("a.csv.gz", values="v")
    assert "Errno" not in str(caught.value)


def test_a_grid_of_too_many_cells_is_refused(capsys):
    pytest.importorskip("xarray")
    Path("a.csv").write_text("y,x,v\n0,0,1\n1e9,3,2\n7,5,3\n", encoding="utf-8")
    words = "predict kriging a.csv --coords y x --value v --grid 0.01 -o o.nc"
    line = refused(capsys, *words.split())
    assert "a grid of 0.01 takes about" in line


def test_too_little_memory_is_one_line(capsys, monkeypatch):
    pytest.importorskip("xarray")
    Path("a.csv").write_text("lat,lon,v\n0,0,1\n1,3,2\n7,5,3\n", encoding="utf-8")

    def full(*args, **options):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr("gridless.runs.sensor_answers.answered", full)
    line = refused(capsys, "predict", "kriging", "a.csv", "--value", "v", "--grid", "1deg", "-o", "o.nc")
    assert line == (
        "gridless: there is too little memory (Unable to allocate 9 GiB); take a part of the input, or ask for less"
    )


# --- archives -------------------------------------------------------------------------------------------------------


def dataset():
    xr = pytest.importorskip("xarray")
    times = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]").astype("datetime64[ns]")
    coords = {"time": times, "lat": np.arange(40.0, 44.0), "lon": np.arange(5.0)}
    values = np.random.default_rng(0).normal(size=(4, 4, 5))
    return xr.Dataset({"v": (("time", "lat", "lon"), values)}, coords)


def netcdf(**changes) -> None:
    dataset().assign(**changes).to_netcdf("a.nc", engine="h5netcdf")


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_archive_does_not_complain_at_its_end():
    """A file that h5netcdf has opened by half raises once more when it is forgotten."""
    netcdf()
    data = bytearray(Path("a.nc").read_bytes())
    for at in [i for i in range(len(data)) if data[i : i + 4] == b"OHDR"][1:]:
        data[at + 6] ^= 1
    Path("a.nc").write_bytes(data)
    with pytest.raises(ValueError, match=r"a.nc cannot be read by h5netcdf"):
        gl.read("a.nc")


@pytest.mark.parametrize("how", ["a link", "raw bytes"])
def test_values_in_other_files_are_not_read(how):
    h5py = pytest.importorskip("h5py")
    netcdf()
    Path("secret").write_bytes(bytes(4096))
    with h5py.File("a.nc", "r+") as file:
        del file["v"]
        if how == "a link":
            file["v"] = h5py.ExternalLink("secret", "/v")
        else:
            file.create_dataset("v", (4, 4, 5), "f8", external=[("secret", 0, 640)])
    with pytest.raises(ValueError, match="in another file"):
        gl.read("a.nc", "v")


def test_coordinates_and_values_beyond_memory_are_not_read(monkeypatch):
    h5py = pytest.importorskip("h5py")
    netcdf()
    with h5py.File("a.nc", "r+") as file:
        file.create_dataset("far", (2**40,), "f4", chunks=(2**16,))
    with pytest.raises(ValueError, match=r"far takes about 65,536.0 GiB of memory"):
        gl.read("a.nc", "v")
    netcdf()
    monkeypatch.setattr("gridless.data.room.free_memory", lambda device: 5_000)
    with pytest.raises(ValueError, match=r"a.nc takes about .* GiB of memory"):
        gl.read_film("a.nc").signal()
    assert gl.read("a.nc")[0].shape == (4, 5)  # one step


def test_a_forecast_beyond_memory_is_not_begun(capsys, monkeypatch):
    netcdf()
    monkeypatch.setattr("gridless.data.room.free_memory", lambda device: 20_000)
    line = refused(capsys, "forecast", "persistence", "a.nc", "--until", "9D", "-o", "o.nc")
    assert "a forecast of a.nc takes about" in line


def test_a_template_without_a_place_is_refused(capsys):
    netcdf()
    Path("a.csv").write_text("lat,lon,v\n41,1,1\n42,3,2\n43,2,3\n", encoding="utf-8")
    dataset().isel(time=slice(0)).to_netcdf("empty.nc", engine="h5netcdf")
    line = refused(capsys, "predict", "kriging", "a.csv", "--value", "v", "--like", "empty.nc", "-o", "o.nc")
    assert "the template has no place along time" in line


def stored(version: int = 3) -> None:
    pytest.importorskip("zarr")
    dataset().to_zarr("a.zarr", zarr_format=version, consolidated=False)


def test_a_damaged_chunk_is_a_value_error_whenever_it_is_read(capsys):
    stored()
    for chunk in Path("a.zarr/v/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:-9])
    steps = gl.read("a.zarr", "v")
    with pytest.raises(ValueError, match=r"v cannot be read"):
        steps[0]
    assert "v cannot be read" in refused(capsys, "forecast", "persistence", "a.zarr", "--until", "2D", "-o", "o.nc")


def test_damaged_bounds_are_found_when_the_archive_is_opened():
    pytest.importorskip("zarr")
    edges = np.zeros((5, 2))
    with_bounds = dataset().assign(lon_bnds=(("lon", "nv"), edges))
    with_bounds.lon.attrs["bounds"] = "lon_bnds"
    with_bounds.to_zarr("a.zarr", zarr_format=3, consolidated=False)
    for chunk in Path("a.zarr/lon_bnds/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"lon_bnds cannot be read"):
        gl.read_film("a.zarr", "v")


def test_a_name_of_several_lines_is_refused():
    stored()
    Path("a.zarr/v").rename("a.zarr/x\ny")
    with pytest.raises(ValueError, match=r"a.zarr has the name 'x\\ny'; expected letters and digits"):
        gl.read("a.zarr")


@pytest.mark.parametrize("filters", [["pickle"], ["vlen-utf8", "pickle"]])
def test_a_pickle_in_a_store_is_not_executed(filters):
    stored(2)
    file = Path("a.zarr/lat/.zarray")
    table = json.loads(file.read_text(encoding="utf-8"))
    table |= {"filters": [{"id": name} for name in filters], "compressor": None}
    if len(filters) > 1:
        table |= {"dtype": "|O", "fill_value": ""}
    file.write_text(json.dumps(table), encoding="utf-8")
    Path("a.zarr/lat/0").write_bytes(pickle.dumps(Canary()))
    with pytest.raises(ValueError, match=r"a.zarr cannot be read by zarr"):
        gl.read("a.zarr", "v")


# --- volumes --------------------------------------------------------------------------------------------------------


def scan(name: str = "a.nii", **fields) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((6, 5, 4), np.float32), np.diag([1.0, 1, 2, 1]))
    data = bytearray(image.to_bytes())
    for name_of, number in fields.items():
        at, kind = {
            "sform": (254, "h"),
            "first": (42, "h"),
            "size": (84, "f"),
            "offset": (108, "f"),
            "units": (123, "B"),
        }[name_of]
        struct.pack_into(kind, data, at, number)
    Path(name).write_bytes(data)


def test_what_nibabel_corrects_is_a_warning_that_names_the_file(capsys):
    scan(sform=77)
    with pytest.warns(UserWarning, match=r"^a.nii: its header is wrong, sform_code 77 not valid"):
        gl.read("a.nii")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        cli.main(["predict", "bspline", "a.nii", "-o", "o.nii"])
    said = capsys.readouterr().err
    assert said == "gridless: a.nii: its header is wrong, sform_code 77 not valid; setting to 0\n"


def test_a_header_with_a_unit_that_is_none_is_read():
    scan(units=7)
    assert gl.read("a.nii").domain.axes[0].unit == ""


def test_a_name_of_zarr_that_is_a_number_is_refused():
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    xarray.Dataset({"v": (("y", "x"), np.ones((3, 4), np.float32))}).to_zarr(
        "a.zarr", zarr_format=3, consolidated=False
    )
    described = Path("a.zarr/v/zarr.json")
    about = json.loads(described.read_text(encoding="utf-8"))
    described.write_text(json.dumps(about | {"dimension_names": ["y", 1e308]}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^a.zarr "):
        gl.read("a.zarr")


def test_a_volume_beyond_memory_is_not_read(little_memory):
    scan(first=32_000)
    with pytest.raises(ValueError, match=r"a.nii takes about"):
        gl.read("a.nii")


def test_voxels_that_no_file_or_memory_holds_are_refused(capsys, monkeypatch):
    scan()
    line = refused(capsys, "predict", "bspline", "a.nii", "--spacing", "0.0001", "-o", "o.nii")
    assert "6 × 5 × 4" not in line and "along an axis a file like this holds at most 32767" in line
    line = refused(capsys, "predict", "bspline", "a.nii", "--spacing", "0.0005", "-o", "o.nii")
    assert "an answer of 12000 × 10000 × 16000 voxels takes about" in line


def test_columns_of_several_lines_are_named_in_one():
    Path("a.csv").write_text('"lat\nlon",v\n1,2\n', encoding="utf-8")
    with pytest.raises(ValueError, match="no column lat; it has lat lon, v"):
        gl.read_table("a.csv", coords=("lat",), values="v")


# --- checkpoints ----------------------------------------------------------------------------------------------------


def test_a_tensor_of_several_lines_is_named_in_one():
    tiny("hybrid").save_pretrained("model")
    tensors = load_file("model/model.safetensors")
    tensors["a\nb"] = tensors.pop(next(iter(tensors)))
    save_file(tensors, "model/model.safetensors")
    with pytest.raises(ValueError, match=r"has beside them a b") as caught:
        gl.FieldModel.from_pretrained("model")
    assert "\n" not in str(caught.value)


def test_the_tables_of_robustness_are_those_of_the_committed_results():
    root = Path(__file__).parents[1]
    sys.path.insert(0, str(root / "benchmarks"))
    import robustness_page

    text = (root / "docs" / "robustness.md").read_text(encoding="utf-8")
    assert robustness_page.page(text) == text
