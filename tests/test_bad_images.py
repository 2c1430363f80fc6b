"""Damaged pictures are refused with one line, and a failed write leaves nothing behind."""

import errno
import io
import os
import struct
import warnings

import numpy as np
import pytest
from pictures import H, W, leftovers, noise, paeth_png, raw_png, saved
from PIL import Image

from gridless.data import ImageError, read_photo, write_photo
from gridless.data.picture_reading import opened


def one_line(path, match, **options):
    with pytest.raises(ImageError, match=match) as caught:
        read_photo(path, **options)
    assert "\n" not in str(caught.value)


def bad_files():
    rgb = Image.fromarray(noise(3))
    good = saved(rgb, "PNG")
    deep = raw_png(W, H, 16, 2, paeth_png(noise(3, 16)))
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    yield "empty.png", b"", "empty"
    yield "text.png", b"this is not a picture\n" * 20, "not an image"
    yield "header.png", good[:20], "not an image|cut off"
    yield "half.png", good[: len(good) // 2], "cut off"
    yield "no_end.png", good[:-12], "cut off"
    yield "bit_flip.png", bytes(flipped), "damaged"
    yield "half16.png", deep[: len(deep) // 2], "cut off"
    yield "rows16.png", raw_png(W, H, 16, 2, paeth_png(noise(3, 16))[:-50]), "cut off"
    yield "grey16.png", raw_png(W, H, 16, 4, b"\0" * 30), "cut off"
    yield "no_end16.png", deep[:-12], "cut off"
    yield "colour_type.png", raw_png(W, H, 8, 5, b"\0" * 900), "damaged|not an image"
    for format in ("JPEG", "WEBP", "BMP", "TIFF"):
        data = saved(rgb, format)
        yield f"half.{format}", data[: len(data) // 2], "cut off|not an image"
        yield f"short.{format}", data[:-4], "cut off|not an image"
    gif = saved(rgb.convert("P"), "GIF")
    yield "half.gif", gif[: len(gif) // 2], "cut off|not an image"
    yield "short.gif", gif[:-4], "cut off|not an image"
    yield "no_width.png", raw_png(0, 5, 8, 2), "no pixels|not an image"
    yield "no_height16.png", raw_png(5, 0, 16, 2), "no pixels|not an image"
    yield "float.tif", saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "16-bit grey"
    tags = {258: (16, 16, 16)}  # the data hold half as many bytes
    yield "short16.tif", saved(rgb, "TIFF", tiffinfo=tags).replace(struct.pack("<3H", 8, 8, 8), b"\x10\0" * 3), "741"
    yield "picture.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "a HEIC picture, which is not read"
    yield "picture.jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "a JPEG XL picture, which is not read"
    yield "drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing, which is not read"
    yield "line\nbreak.png", b"nothing", "not an image"


BAD = list(bad_files())


@pytest.mark.parametrize(("name", "data", "match"), BAD, ids=[repr(name) for name, _, _ in BAD])
def test_bad_files(tmp_path, name, data, match):
    (tmp_path / name).write_bytes(data)
    one_line(tmp_path / name, match)


def test_missing_folder_pipe_and_permission(tmp_path, monkeypatch):
    one_line(tmp_path / "missing.png", "does not exist")
    one_line(tmp_path / "missing" / "a.png", "does not exist")
    one_line(tmp_path, "is a folder")
    one_line("nul\0.png", "null")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        one_line(tmp_path / "pipe.png", "not a regular file")
    write_photo(tmp_path / "a.png", np.zeros((2, 2, 1)))

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    one_line(tmp_path / "a.png", "permission")


@pytest.mark.parametrize(("depth", "colour_type"), [(8, 2), (8, 0), (16, 0), (16, 2), (16, 4), (16, 6)])
@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])  # 81, 144 (where Pillow only warns), 3600 million pixels
def test_a_bomb_is_refused_from_its_header(tmp_path, monkeypatch, side, depth, colour_type):
    (tmp_path / "bomb.png").write_bytes(raw_png(side, side, depth, colour_type, b"\0" * 1000))
    limit = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded before the check"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_line(tmp_path / "bomb.png", "pixels")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_max_pixels_is_the_last_size_allowed(tmp_path):
    write_photo(tmp_path / "a.png", np.zeros((H, W, 3)), depth=16)
    assert read_photo(tmp_path / "a.png", max_pixels=H * W).shape == (H, W, 3)
    one_line(tmp_path / "a.png", f"{H} x {W} = {H * W} pixels, the limit is {H * W - 1}", max_pixels=H * W - 1)


def test_no_warning_escapes(tmp_path, monkeypatch):
    write_photo(tmp_path / "a.png", np.zeros((H, W, 3)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W - 1)  # Pillow now warns when it opens the file
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(tmp_path / "a.png").shape == (H, W, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W // 3)  # and now refuses
    one_line(tmp_path / "a.png", "Pillow's limit")


def test_threads_that_overlap_leave_the_warnings_as_they_were(tmp_path):
    write_photo(tmp_path / "a.png", np.zeros((H, W, 3)))
    before = list(warnings.filters)
    first, second = opened(tmp_path / "a.png"), opened(tmp_path / "a.png")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert warnings.filters[0][0] == "ignore"
    second.__exit__(None, None, None)
    assert list(warnings.filters) == before


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_refused_before_decoding(tmp_path, monkeypatch, format):
    (tmp_path / "a").write_bytes(saved(Image.fromarray(noise(3)), format))
    assert read_photo(tmp_path / "a", max_pixels=H * W).shape == (H, W, 3)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded before the check"))
    one_line(tmp_path / "a", "the limit is", max_pixels=H * W - 1)


BAD_WRITES = [
    ("a.gif", np.zeros((2, 2, 3)), {}, "ends in '.gif'"),
    ("a", np.zeros((2, 2, 3)), {}, "ends in ''"),
    ("missing/a.png", np.zeros((2, 2, 3)), {}, r"folder '.*missing' does not exist"),
    ("a.png", np.zeros((2, 2, 3)), {"depth": 12}, "depth is 12"),
    ("a.jpg", np.zeros((2, 2, 3)), {"depth": 16}, r"use \.png"),
    ("a.webp", np.zeros((2, 2, 3)), {"depth": 16}, r"use \.png"),
    ("a.jpg", np.zeros((2, 2, 3)), {"alpha": np.ones((2, 2))}, r"use \.png"),
    ("a.png", np.zeros((2, 2, 3)), {"alpha": np.ones((2, 3))}, "alpha has shape"),
    ("a.png", np.zeros((2, 2)), {}, "expected .H, W, C."),
    ("a.png", np.zeros((2, 2, 4)), {}, "expected .H, W, C."),
    ("a.png", np.zeros((0, 2, 3)), {}, "expected .H, W, C."),
    ("a.png", np.zeros((2, 2, 3), np.uint8), {}, "uint8, expected floats"),
    ("a.png", np.full((2, 2, 3), np.nan), {}, "12 of 12 values are NaN"),
    ("a.webp", np.zeros((1, 16_384, 1)), {}, r"its limit is 16,383 pixels a side; use \.png"),
    ("a.jpg", np.zeros((65_501, 1, 1)), {}, r"its limit is 65,500 pixels a side; use \.png"),
]


@pytest.mark.parametrize(("name", "values", "options", "match"), BAD_WRITES)
def test_bad_writes(tmp_path, name, values, options, match):
    with pytest.raises(ImageError, match=match) as caught:
        write_photo(tmp_path / name, values, **options)
    assert "\n" not in str(caught.value)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["write", "replace"])
def test_a_failed_write_changes_nothing(tmp_path, monkeypatch, suffix, failure, moment):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"older")

    def fail(*_):
        raise failure

    if moment == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:

        class Full(io.FileIO):
            def write(self, data):
                super().write(data[:5])  # the disk fills up on the way
                raise failure

        monkeypatch.setattr(io, "open", lambda file, mode, *_: Full(file, mode.replace("b", "")))
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else ImageError
    with pytest.raises(expected, match="No space left" if expected is ImageError else None):
        write_photo(path, np.zeros((4, 4, 3)))
    monkeypatch.undo()
    assert path.read_bytes() == b"older" and leftovers(tmp_path) == [path.name]


def test_target_that_is_a_folder(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match="is a folder"):
        write_photo(tmp_path / "a.png", np.zeros((2, 2, 3)))
    assert leftovers(tmp_path) == ["a.png"]
