"""EXIF, XMP and resolution go from the picture to its answer, upright and of the new size; --strip drops them."""

import io

import numpy as np
import pytest
from conftest import bicubic_model
from pictures import H, W, noise
from PIL import Image
from profiles import DISPLAY_P3

from gridless.data.metadata import Metadata, read_metadata
from gridless.data.picture_reading import read_photo, upright
from gridless.data.picture_writing import check_metadata
from gridless.data.pictures import ImageError
from gridless.runs.predict import predict_file
from gridless.runs.predict_options import PredictOptions

MAKER, DATE, RIGHTS, LATITUDE = "Maker", "2020:01:02 03:04:05", "all mine", (48.0, 8.0, 30.0)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="{}" exif:PixelXDimension="{}" dc:title="Größe">'
    "<tiff:ImageLength>{}</tiff:ImageLength>{}</d></x:xmpmeta>"
)


def exif_of(orientation: int = 1) -> bytes:
    """As a camera writes it, with a preview in a directory of its own."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x8298] = MAKER, orientation, RIGHTS
    exif[0x8769] = {0xA002: W, 0xA003: H, 0x9003: DATE, 0x829A: 0.01, 0x927C: b"the maker's own"}
    exif[0x8825] = {1: "N", 2: LATITUDE}
    return exif.tobytes()


def with_preview(exif: bytes, preview: bytes) -> bytes:
    """The block with a second directory, of a JPEG preview, behind the first."""
    import struct

    body = exif.removeprefix(b"Exif\0\0")
    order = "<" if body[:2] == b"II" else ">"
    start = struct.unpack_from(f"{order}I", body, 4)[0]
    entries = struct.unpack_from(f"{order}H", body, start)[0]
    pointer = start + 2 + 12 * entries
    body += bytes(len(body) % 2)
    second = struct.pack(f"{order}H", 2)
    for tag, value in ((0x0201, len(body) + 2 + 24 + 4), (0x0202, len(preview))):
        second += struct.pack(f"{order}HHII", tag, 4, 1, value)
    second += struct.pack(f"{order}I", 0) + preview
    return b"Exif\0\0" + body[:pointer] + struct.pack(f"{order}I", len(body)) + body[pointer + 4 :] + second


def write(path, format: str, orientation: int = 1) -> np.ndarray:
    """A picture with everything beside it; returns the samples as stored."""
    stored, options = noise(3), {}
    loaded = Image.Exif()
    loaded.load(with_preview(exif_of(orientation), b"the preview" * 9))
    options["exif"] = loaded if format == "TIFF" else with_preview(exif_of(orientation), b"the preview" * 9)
    if format == "WEBP":
        options["lossless"] = True
    if format == "AVIF":
        options |= {"quality": 100, "subsampling": "4:4:4"}
    if format not in ("PNG", "TIFF"):
        options["xmp"] = XMP.format(orientation, W, H, "<xmp:Thumbnails>old</xmp:Thumbnails>").encode()
    Image.fromarray(stored).save(path, format, icc_profile=DISPLAY_P3, dpi=(300, 300), **options)
    return stored


def read_exif(path) -> tuple[dict, dict, dict]:
    with Image.open(path) as image:
        exif = image.getexif()
        return dict(exif), exif.get_ifd(0x8769), exif.get_ifd(0x8825)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_what_a_camera_wrote_is_in_the_answer(tmp_path, source, suffix):
    write(tmp_path / "in", source, orientation=6)
    out = tmp_path / f"out{suffix}"
    size = predict_file(bicubic_model(), tmp_path / "in", out, PredictOptions(scale=2))
    assert size == (2 * W, 2 * H)
    main, exif, gps = read_exif(out)
    assert main[0x010F] == MAKER and main[0x8298] == RIGHTS and main[0x0112] == 1
    assert exif[0x9003] == DATE and float(exif[0x829A]) == 0.01 and exif[0x927C] == b"the maker's own"
    assert (exif[0xA002], exif[0xA003]) == (2 * H, 2 * W) and gps[1] == "N" and tuple(map(float, gps[2])) == LATITUDE
    data = out.read_bytes()
    assert b"the preview" not in data
    about = read_metadata(out)
    assert about.profile == DISPLAY_P3
    if source not in ("PNG", "TIFF"):  # which Pillow writes without XMP
        assert about.xmp == XMP.format(1, 2 * H, 2 * W, "").encode()
    if suffix != ".webp" and source not in ("WEBP", "AVIF"):  # which have no place for it
        assert about.resolution == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_strip_keeps_the_profile_alone(tmp_path, suffix):
    write(tmp_path / "in.jpg", "JPEG", orientation=3)
    out = tmp_path / f"out{suffix}"
    predict_file(bicubic_model(), tmp_path / "in.jpg", out, PredictOptions(scale=1, strip=True))
    about = read_metadata(out)
    assert about.profile == DISPLAY_P3 and about.xmp is None
    data = out.read_bytes()
    assert MAKER.encode() not in data and DATE.encode() not in data and b"xmpmeta" not in data


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, orientation, suffix):
    """The pixels are upright and the tag says so: turned by a viewer they are the picture, not twice turned."""
    stored = write(tmp_path / "in.webp", "WEBP", orientation)
    out = tmp_path / f"out{suffix}"
    predict_file(bicubic_model(), tmp_path / "in.webp", out, PredictOptions(scale=1))
    assert read_exif(out)[0][0x0112] == 1
    if suffix != ".jpg":
        np.testing.assert_array_equal(read_photo(out).pixels, upright(stored, orientation))
        with Image.open(out) as image:
            np.testing.assert_array_equal(np.asarray(image), upright(stored, orientation))
    assert read_photo(out).shape == ((W, H, 3) if orientation >= 5 else (H, W, 3))


def test_a_tiff_gives_no_layout_of_its_own(tmp_path):
    """Strips, sizes and compression of a TIFF are in its EXIF as Pillow has it, and are no description."""
    write(tmp_path / "in.tif", "TIFF")
    about = read_metadata(tmp_path / "in.tif").of_size(4, 5)
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + about.exif)
    assert {0x0100, 0x0101, 0x0111, 0x0117} & set(exif) == set() and exif[0x010F] == MAKER


def test_damaged_exif_is_left_out(tmp_path):
    Image.fromarray(noise(3)).save(tmp_path / "in.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 30)
    assert read_metadata(tmp_path / "in.jpg").of_size(3, 4).profile is None
    predict_file(bicubic_model(), tmp_path / "in.jpg", tmp_path / "out.png", PredictOptions(scale=1))
    assert read_photo(tmp_path / "out.png").shape == (H, W, 3)


def test_what_a_jpeg_has_no_room_for_is_said_before_computing():
    for about in (Metadata(exif=bytes(70_000)), Metadata(xmp=bytes(70_000))):
        with pytest.raises(ImageError, match="keeps 65,500 bytes of .*, there are 70,000; use .png, or --strip it"):
            check_metadata("a.jpg", ".jpg", about)
        check_metadata("a.png", ".png", about)


def test_metadata_of_nothing_are_none(tmp_path):
    Image.fromarray(noise(1)[..., 0]).save(tmp_path / "a.png")
    assert read_metadata(tmp_path / "a.png") == Metadata() == Metadata().of_size(3, 4) == Metadata().stripped()
    data = io.BytesIO((tmp_path / "a.png").read_bytes())
    assert read_metadata(data) == Metadata()
