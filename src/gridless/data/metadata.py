"""What a picture file says beside its pixels, and how that goes into the file of an answer: profile, EXIF, XMP, resolution.

The pixels of an answer are upright and of another size: the orientation becomes 1, dimensions those of the answer, and
previews of the old picture are dropped. Of EXIF's first directory only what describes the picture is kept (in a TIFF it
holds the layout of the file as well).
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace

from PIL import Image

from . import colours, headers
from .picture_reading import Source, header, opened

ORIENTATION, EXIF_DIRECTORY, GPS_DIRECTORY, XMP_TAG = 0x0112, 0x8769, 0x8825, 700
GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
_PNG_COLOUR_TYPE = 25  # where it is in a file: 0 grey, 4 grey and alpha
WIDTH, HEIGHT = 0xA002, 0xA003  # of the pixels, in the EXIF directory
DESCRIPTIVE = frozenset(
    (0x010E, 0x010F, 0x0110, 0x0112, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298)
) | frozenset(range(0x9C9B, 0x9CA0))
"""Title, camera, resolution, software, date, artist, host, rating, copyright, and the five that Windows writes."""
_XMP_FIELDS = {"tiff:Orientation": 0, "tiff:ImageWidth": 1, "tiff:ImageLength": 2}
_XMP_FIELDS |= {"exif:PixelXDimension": 1, "exif:PixelYDimension": 2}
_XMP_PREVIEWS = re.compile(rb"<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails\s*>", re.S)


@dataclass(frozen=True)
class Metadata:
    """Of one picture; whatever it does not have is None."""

    profile: bytes | None = None
    """ICC profile of the pixels as `read_photo` gives them; a PNG's gAMA and cHRM become one."""
    exif: bytes | None = None
    """A TIFF of directories without pixels, as every format keeps it; without the mark `Exif`."""
    xmp: bytes | None = None
    resolution: tuple[float, float] | None = None
    """Pixels per inch, across and down."""

    def of_size(self, height: int, width: int) -> Metadata:
        """The same of an upright picture of this size."""
        exif = None if self.exif is None else _exif_of_size(self.exif, height, width)
        return replace(self, exif=exif, xmp=None if self.xmp is None else _xmp_of_size(self.xmp, height, width))

    def stripped(self) -> Metadata:
        """The profile alone, without which the colours were others."""
        return Metadata(self.profile)


def read_metadata(source: Source, frame: int | None = None) -> Metadata:
    """Of the picture that `read_photo` reads. Metadata that are damaged count as none. Raises ImageError as `read_photo`
    does for files that are no pictures."""
    with opened(source) as (_, file):
        if headers.holds_floats(file):
            return _of_float_tiff(file, frame or 0)
        image = header(file)
        image.seek(headers.frame_numbers(image)[frame or 0])
        profile, grey = image.info.get("icc_profile"), image.mode in GREY_MODES
        if image.format == "PNG":
            file.seek(_PNG_COLOUR_TYPE)
            grey = file.read(1)[0] in (0, 4)  # Pillow takes grey with alpha of 16 bits for RGBA
            profile = profile or colours.of_png(image.info, 1 if grey else 3)
            if frame is None:
                image.load()  # what lies behind the pixels
        if image.mode == "CMYK" or colours.space(profile) != ("GRAY" if grey else "RGB"):
            profile = None  # none, of other channels, or of inks that have become sRGB
        exif = None
        with suppress(Exception):
            exif = _descriptive(image.getexif())
        xmp = image.info.get("xmp")
        resolution = image.info.get("dpi")
        return Metadata(profile, exif, xmp.encode() if isinstance(xmp, str) else xmp, _resolution(resolution))


def _of_float_tiff(file, page: int) -> Metadata:
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        tags = tiff.pages[page].aspage().tags
        profile, xmp = (tags[tag].value if tag in tags else None for tag in (34675, XMP_TAG))
    file.seek(0)
    exif = Image.Exif()
    with suppress(Exception):
        exif.load_from_fp(file)
    return Metadata(profile, _descriptive(exif), xmp.encode() if isinstance(xmp, str) else xmp)


def _resolution(pair: object) -> tuple[float, float] | None:
    with suppress(Exception):
        across, down = map(float, pair)  # pyright: ignore[reportArgumentType]
        return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None
    return None


def _descriptive(exif: Image.Exif) -> bytes | None:
    """What describes the picture, without a preview."""
    kept = Image.Exif()
    for tag in DESCRIPTIVE & set(exif):
        if not (tag == 0x010E and str(exif[tag]).startswith(("ImageJ=", "{"))):  # the layout of a stack
            kept[tag] = exif[tag]
    for tag in (EXIF_DIRECTORY, GPS_DIRECTORY):
        if directory := dict(exif.get_ifd(tag)):
            kept[tag] = directory
    return _bytes(kept) if set(kept) - {ORIENTATION} else None


def _exif_of_size(data: bytes, height: int, width: int) -> bytes:
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + data)
    kept = Image.Exif()
    for tag in exif:
        kept[tag] = exif[tag]
    kept[ORIENTATION] = 1
    for tag in (EXIF_DIRECTORY, GPS_DIRECTORY):
        if directory := dict(exif.get_ifd(tag)):
            directory |= {t: n for t, n in ((WIDTH, width), (HEIGHT, height)) if t in directory}
            kept[tag] = directory
    return _bytes(kept)


def _bytes(exif: Image.Exif) -> bytes:
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _xmp_of_size(data: bytes, height: int, width: int) -> bytes:
    values = [str(n).encode() for n in (1, width, height)]
    data = _XMP_PREVIEWS.sub(b"", data)
    for name, which in _XMP_FIELDS.items():
        mark = re.escape(name.encode())
        pattern = rb"(" + mark + rb"\s*=\s*[\"']|<" + mark + rb">)\d+"
        data = re.sub(pattern, lambda m, value=values[which]: m[1] + value, data)
    return data
