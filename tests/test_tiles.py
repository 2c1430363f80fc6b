"""A tiled TIFF holds what the PNG of the same answer holds, and is made without ever holding the picture."""

import errno
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import LOCAL, tiny
from PIL import Image
from test_cli import KINDS, png16, read_photo_like

import gridless as gl
from gridless.data import tiles
from gridless.data.picture_reading import read_photo
from gridless.data.pictures import ImageError
from gridless.data.tiles import write_tiles
from gridless.runs import predict
from gridless.runs.predict_options import PredictOptions

tifffile = pytest.importorskip("tifffile")


@pytest.mark.parametrize("channels", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["8 bits", "16 bits"])
def test_the_tiled_tiff_is_the_png(tmp_path, channels, dtype, monkeypatch):
    """31 × 27 at ×4.3 are 133 × 116 pixels: 3 × 2 tiles of 64², the last ones cut."""
    monkeypatch.setattr(tiles, "SIDE", 64)
    model, pixels, source = tiny("hybrid", LOCAL), read_photo_like((31, 27, channels), dtype), tmp_path / "in.png"
    if dtype == np.uint16:
        source.write_bytes(png16(pixels))
    else:
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(source)
    for name in ("out.png", "out.tif"):
        assert predict.predict_file(model, source, tmp_path / name, PredictOptions(scale=4.3)) == (133, 116)
    whole = read_photo(tmp_path / "out.png")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page, tiled = file.pages[0], file.asarray()
        assert page.is_tiled and len(page.dataoffsets) == 6 and len(file.pages) == 1
        # nobody else opens 16-bit grey with alpha
        stored = 4 if (channels, dtype) == (2, np.uint16) else channels
        assert page.photometric.name == ("RGB" if stored > 2 else "MINISBLACK")
        assert [s.name for s in page.extrasamples] == ["UNASSALPHA"] * (channels % 2 == 0)
    tiled = tiled.reshape(133, 116, stored)
    again = read_photo(tmp_path / "out.tif")
    assert np.array_equal(tiled, np.dstack([again.pixels] + ([] if again.alpha is None else [again.alpha])))
    if stored > channels:
        assert (tiled[..., :3] == tiled[..., :1]).all()
        tiled = tiled[..., 2:]
    colours, alpha = (tiled, None) if channels % 2 else (tiled[..., :-1], tiled[..., -1])
    # blocks are cut elsewhere: a value beside a rounding edge may fall to the other side
    for got, want in ((colours, whole.pixels), (alpha, whole.alpha)):
        assert (got is None) == (want is None)
        if got is not None:
            difference = np.abs(got.astype(int) - want)
            assert got.dtype == dtype and difference.max() <= 1
            assert (difference > 0).mean() < (0.001 if dtype == np.uint8 else 0.1)
    other = np.asarray(Image.open(tmp_path / "out.tif")).reshape(133, 116, stored)[..., stored - channels :]
    if dtype == np.uint8 or channels == 1:
        assert np.array_equal(other, tiled)
    else:  # another reader, which keeps the high bytes
        assert np.array_equal(other, tiled >> 8)


def test_a_joint_decoders_tiles_are_cut_from_one_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 32)
    model = tiny("hybrid", {"decoder": {"joint": True}})
    Image.fromarray(read_photo_like((8, 7, 3))).save(tmp_path / "in.png")
    for name in ("out.png", "out.tif"):
        predict.predict_file(model, tmp_path / "in.png", tmp_path / name, PredictOptions(scale=5))
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), read_photo(tmp_path / "out.png").pixels)


def test_a_part_of_a_grid_is_cut_from_the_whole():
    field = gl.bases.Interpolation("bicubic").encode(gl.Samples.from_grid(torch.rand(2, 9, 7, 3)))
    whole = field.to_image(shape=(40, 33))
    part = field.to_image(shape=(40, 33), part=(slice(11, 25), slice(30, None)), chunk=10)
    torch.testing.assert_close(part, whole[:, 11:25, 30:], rtol=0, atol=1e-6)
    for wrong in ((slice(0, 9, 2), slice(None)), (slice(None),)):
        with pytest.raises(ValueError, match="slice without steps per axis"):
            field.to_image(shape=(40, 33), part=wrong)


def test_the_picture_is_never_held(tmp_path):
    """Every tile is asked once, in turn, and no question is larger than a tile."""
    asked = []

    def tile(part):
        asked.append(tuple(s.stop - s.start for s in part))
        return np.full((*asked[-1], 3), 0.5, np.float32)

    write_tiles(tmp_path / "a.tif", (1000, 700, 3), tile)
    assert len(asked) == 12 and max(map(max, asked)) == 256 and sum(h * w for h, w in asked) == 700_000
    assert (tifffile.imread(tmp_path / "a.tif") == 128).all()


def test_beyond_four_gigabytes_the_file_is_a_bigtiff(tmp_path, monkeypatch):
    """The size decides before the first tile is written."""
    chosen = {}

    def stop(*args, bigtiff, shape, **kwargs):
        chosen[shape] = bigtiff

    monkeypatch.setattr(tifffile, "imwrite", stop)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1 << 60))
    for side in (16_384, 40_000):
        write_tiles(tmp_path / "a.tif", (side, side, 3), None)
    assert list(chosen.values()) == [False, True]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_older_file(tmp_path, failure):
    (tmp_path / "a.tif").write_bytes(b"older")

    def tile(part):
        if part[1].start:
            raise failure
        return np.zeros((256, 256, 1))

    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else ImageError):
        write_tiles(tmp_path / "a.tif", (300, 300, 1), tile)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.tif", b"older")]


def test_what_does_not_fit_is_said_beforehand(tmp_path, monkeypatch):
    model = tiny("hybrid", LOCAL)
    Image.fromarray(read_photo_like((20, 20, 3))).save(tmp_path / "in.png")
    monkeypatch.setattr(predict, "free_memory", lambda device: 1 << 29)
    advice = "write a .png or .tif, which need little beyond the input"
    with pytest.raises(ImageError, match=rf"as .jpg that takes about 1.0 GiB of memory, 0.5 are free; {advice}"):
        predict.predict_file(model, tmp_path / "in.png", tmp_path / "out.jpg", PredictOptions(scale=500))
    with pytest.raises(ImageError, match=r"may need 1,200,000,000,000,000 bytes, the disk has .* left"):
        predict.predict_file(model, tmp_path / "in.png", tmp_path / "out.tif", PredictOptions(scale=1_000_000))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImportError, match=r"pip install 'gridless\[tiff\]'"):
        predict.predict_file(model, tmp_path / "in.png", tmp_path / "out.tif", PredictOptions(scale=2))
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]
