"""A file that holds less, more or something else than one whole picture is refused, in one line that says what it holds."""

import io
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from pictures import H, W, noise, raw_png, saved
from PIL import Image

from gridless.data import ImageError, completeness, read_photo
from gridless.data.picture_reading import photo_size


def refused(path, match):
    with pytest.raises(ImageError, match=match) as caught:
        read_photo(path)
    assert "\n" not in str(caught.value)


# ----------------------------------------------------------------------------------------------------- several pictures


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames(tmp_path, format):
    frames = [Image.fromarray(noise(3, seed=k)) for k in range(3)]
    (tmp_path / "a").write_bytes(saved(frames[0], format, save_all=True, append_images=frames[1:]))
    refused(tmp_path / "a", rf"holds 3 {'pages' if format == 'TIFF' else 'frames'}, expected one picture")
    with pytest.raises(ImageError, match="holds 3"):
        photo_size(tmp_path / "a")


@pytest.mark.parametrize(
    ("shape", "options", "match"),
    [
        ((12, 20, 30), {}, "holds 12 pages"),
        ((12, 20, 30), {"imagej": True}, "holds 12 (pages|images)"),
        ((12, 20, 30), {"photometric": "minisblack", "planarconfig": "separate"}, "12 channels"),
        ((20, 30, 5), {"photometric": "rgb"}, "5 channels"),
        ((20, 30, 4), {"photometric": "rgb", "extrasamples": [0]}, "4 channels"),
        ((20, 30, 2), {"photometric": "minisblack", "planarconfig": "contig"}, "2 channels"),
        ((20, 30, 2), {"photometric": "minisblack", "extrasamples": ["unassalpha"]}, r"2 channels|16\+16 bits"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_and_channels_of_a_tiff(tmp_path, shape, options, match, dtype):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, dtype), **options)
    if options.get("extrasamples") == ["unassalpha"] and dtype == np.uint8:
        assert read_photo(tmp_path / "a.tif").alpha is not None  # grey and alpha
    else:
        refused(tmp_path / "a.tif", match)


def test_a_thumbnail_is_no_page(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(noise(3), photometric="rgb")
        file.write(noise(3)[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, noise(3))


# ---------------------------------------------------------------------------------------- more announced than there is

SIZE = (40, 50)


def picture(rng) -> Image.Image:
    """Smooth, as a photograph is, with some noise; never mid-grey, which is what a JPEG decoder fills in."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize(
        SIZE[::-1], Image.Resampling.BICUBIC
    )
    return Image.fromarray(np.clip(np.asarray(coarse, int) + rng.integers(-9, 9, (*SIZE, 3)), 0, 255).astype(np.uint8))


def png_with(data: bytes, height: int, width: int) -> bytes:
    header = data[12:16] + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def jpeg_with(data: bytes, height: int, width: int) -> bytes:
    at = re.search(rb"\xff[\xc0-\xc2]\x00[\x0b\x11\x14]\x08", data).start()
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def tiff_with(data: bytes, height: int, width: int, one_strip: bool) -> bytes:
    data, (start,) = bytearray(data), struct.unpack_from("<I", data, 4)
    for k in range(struct.unpack_from("<H", data, start)[0]):
        tag, kind = struct.unpack_from("<HH", data, start + 2 + 12 * k)
        new = {256: width, 257: height, 278: height if one_strip else None}.get(tag)
        if new is not None:
            struct.pack_into("<I" if kind == 4 else "<H", data, start + 10 + 12 * k, new)
    return bytes(data)


def mutations():
    """(name, data, announced shape): sizes other than the data hold, checksums right."""
    rng = np.random.default_rng(12)
    for number in range(24):
        image = picture(rng).convert(("L", "RGB")[number % 2])
        block = 16  # of a JPEG; fewer rows lie in its data
        for kind, (dh, dw) in {
            "one row": (1, 0), "rows": (int(rng.integers(block, 200)), 0), "twice": (SIZE[0], 0), "many": (20_000, 0),
            "columns": (0, int(rng.integers(block, 200))), "both": (block, block),
        }.items():  # fmt: skip
            h, w = SIZE[0] + dh, SIZE[1] + dw
            png = saved(image, "PNG", compress_level=int(rng.integers(10)))
            yield f"{kind}-{number}.png", png_with(png, h, w)
            compression = ("raw", "tiff_deflate", "tiff_lzw", "packbits", "jpeg")[number % 5]
            tiff = saved(image, "TIFF", compression=compression)
            yield f"{kind}-{number}-{compression}.tif", tiff_with(tiff, h, w, bool(number // 5 % 2))
            if kind != "one row":
                options = {
                    "progressive": bool(number // 2 % 2), "subsampling": number // 4 % 3, "quality": 30 + 3 * number,
                    "optimize": bool(number // 3 % 2), "restart_marker_rows": number // 6 % 2,
                }  # fmt: skip
                yield f"{kind}-{number}.jpg", jpeg_with(saved(image, "JPEG", **options), h, w)


def test_a_header_that_announces_more_than_there_is(tmp_path):
    answered, count = [], 0
    for name, data in mutations():
        count += 1
        (tmp_path / name).write_bytes(data)
        try:
            answered.append((name, read_photo(tmp_path / name).shape))
        except ImageError as error:
            assert name in str(error) and "\n" not in str(error)
    assert count > 300 and answered == []


@pytest.mark.parametrize("format", ["WEBP", "GIF", "BMP"])
def test_formats_whose_decoders_refuse(tmp_path, format):
    image = Image.fromarray(noise(3))
    data = bytearray(
        saved(
            image.convert("P") if format == "GIF" else image, format, **{"lossless": True} if format == "WEBP" else {}
        )
    )
    if format == "BMP":
        struct.pack_into("<i", data, 22, 2 * H)
    elif format == "GIF":
        where = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", W, H))
        struct.pack_into("<H", data, where + 7, 2 * H)
        struct.pack_into("<H", data, 8, 2 * H)
    else:
        (bits,) = struct.unpack_from("<I", data, 21)
        struct.pack_into("<I", data, 21, bits + (H << 14))
    (tmp_path / "a").write_bytes(data)
    refused(tmp_path / "a", "damaged or cut off")


def test_fewer_rows_announced_than_a_png_holds(tmp_path):
    (tmp_path / "a.png").write_bytes(png_with(saved(Image.fromarray(noise(3)), "PNG"), H - 1, W))
    refused(tmp_path / "a.png", "its data hold more")


def test_every_good_jpeg_is_read(tmp_path):
    rng = np.random.default_rng(3)
    for number in range(60):
        h, w = (int(n) for n in rng.integers(1, 70, 2))
        pixels = (
            np.full((h, w, 3), rng.integers(256), np.uint8) if number % 3 else rng.integers(0, 256, (h, w, 3), np.uint8)
        )
        options = {"progressive": bool(number & 1), "subsampling": number % 3, "quality": int(rng.integers(1, 101))}
        options["restart_marker_blocks"] = int(rng.integers(3)) if number & 2 else 0
        data = saved(Image.fromarray(pixels).convert(("L", "RGB", "CMYK")[number % 3]), "JPEG", **options)
        (tmp_path / "a.jpg").write_bytes(data)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("L" if number % 3 == 0 else "RGB")).reshape(h, w, -1)
        np.testing.assert_array_equal(read_photo(tmp_path / "a.jpg").pixels, expected)


def test_what_cannot_be_there_is_refused_before_any_work(tmp_path, monkeypatch):
    """A thousand bytes that announce 65,536 rows."""
    (tmp_path / "a.png").write_bytes(raw_png(20, 65_536, 8, 6, bytes(1000)))
    monkeypatch.setattr(zlib, "decompressobj", lambda: pytest.fail("inflated"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    refused(tmp_path / "a.png", r"announces 65536 x 20 pixels, more than \d+ bytes can hold")


def test_inflating_stops_at_what_was_announced():
    bomb = zlib.compress(bytes(1 << 24))
    assert completeness.inflated_size([bomb[:9], bomb[9:]], 1000) <= 1000 + (1 << 18)
    assert completeness.inflated_size([bomb[:9], bomb[9:]], 1 << 25) == 1 << 24


def test_libtiff_prints_nothing(tmp_path):
    data = bytearray(saved(Image.fromarray(noise(3)), "TIFF", compression="tiff_lzw"))
    data[300:340] = bytes(40)
    (tmp_path / "a.tif").write_bytes(data)
    code = f"from gridless.data import read_photo; read_photo({str(tmp_path / 'a.tif')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImageError" in done.stderr and "LZW" not in done.stderr
