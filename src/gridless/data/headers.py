"""What a picture file's header says beyond its size: frames and pages, depth, colour profile, kinds that are not read."""

from __future__ import annotations

import ctypes
import io
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from PIL import Image, MpoImagePlugin, TiffImagePlugin

_MAGIC = {
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 picture",
    b"MM\0+": "a TIFF with big-endian offsets of 64 bits",
    b"%PDF": "a PDF document",
    b"8BPS": "a Photoshop document",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document, perhaps an SVG drawing",
    b"\x76\x2f\x31\x01": "an OpenEXR picture",
    b"SIMPLE  =": "a FITS file",
    b"\x89HDF": "an HDF5 file",
}
"""First bytes -> what people try to open as a picture."""
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3}  # photometric interpretation of a TIFF -> channels
_THUMBNAIL, _ALPHA, _PREMULTIPLIED = 1, 2, 1  # of NewSubfileType and ExtraSamples


def foreign_kind(path: Path) -> str | None:
    """What a file is that Pillow cannot open, None if its first bytes say nothing."""
    with open(path, "rb") as file:
        start = file.read(32)
        if start[4:8] == b"ftyp":
            brands = (start[8:12], *(start[i : i + 4] for i in range(16, 32, 4)))
            if b"avif" in brands or b"avis" in brands:
                return "an AVIF picture, damaged or of a kind that this Pillow cannot decode"
            return "a HEIC picture" if any(b in _HEIC for b in brands) else "a video"
        if start[:4] in (b"II*\0", b"MM\0*", b"II+\0"):
            with suppress(Exception):  # damaged as well, then
                tags = TiffImagePlugin.ImageFileDirectory_v2(start[: 16 if start[2:3] == b"+" else 8])
                file.seek(tags.next)
                tags.load(file)
                depth = "+".join(map(str, _tuple(tags.get(258, 1))))
                return f"a TIFF of {_channels(tags.get(277, 1))} of {depth} bits"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def several(image: Image.Image) -> str | None:
    """'12 pages', '3 frames', '5 channels' of a file that holds more than one picture; None if it holds one."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        colours, channels = _COLOURS.get(tags.get(262, -1), 1), tags.get(277, 1)
        extra = _tuple(tags.get(338, ()))
        if channels > colours + 1 or (channels > colours and 0 in extra):
            return f"{_channels(channels)}, {colours} of colour and {channels - colours} more"
        description = str(tags.get(270, ""))
        if description.startswith("ImageJ=") and "\nimages=" in description:  # a stack with one directory for all
            count = description.split("\nimages=")[1].split("\n")[0]
            return f"{count} images" if count != "1" else None
        pages = _pages(image)
        return f"{pages} pages" if pages > 1 else None
    if isinstance(image, MpoImagePlugin.MpoImageFile):  # most hold previews of the first picture beside it
        views = [e for e in (image.mpinfo or {}).get(0xB002, ()) if e["Attribute"]["MPType"].startswith("Multi-Frame")]
        return f"{len(views)} views" if len(views) > 1 else None
    frames = getattr(image, "n_frames", 1)
    return f"{frames} frames" if frames > 1 else None


def _pages(image: TiffImagePlugin.TiffImageFile) -> int:
    """Pages of a TIFF that are no thumbnails of others."""
    pages = image.n_frames
    if 1 < pages < 100:
        thumbnails = 0
        for number in range(1, pages):
            with suppress(Exception):  # a page of a kind that Pillow does not know counts as one
                image.seek(number)
                thumbnails += image.tag_v2.get(254, 0) & _THUMBNAIL
        pages -= thumbnails
        image.seek(0)
    return pages


def bits(image: TiffImagePlugin.TiffImageFile) -> tuple[int, ...]:
    """Bits of each channel of a TIFF."""
    return _tuple(image.tag_v2.get(258, 1))


def loss(image: Image.Image, file: BinaryIO) -> str | None:
    """Why this picture cannot be read without losing depth, as the predicate of a sentence; None if it can."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and max(bits(image)) > 8:
        tags = image.tag_v2
        grey = bits(image) == (16,) and tags.get(262) == 1 and image.mode.startswith("I;16")
        colour = set(bits(image)) == {16} and image.mode in ("RGB", "RGBA") and tags.get(284, 1) == 1
        premultiplied = _PREMULTIPLIED in _tuple(tags.get(338, ()))
        if not (grey or (colour and not premultiplied)):
            depth = "+".join(map(str, bits(image))) + (", premultiplied by alpha" if premultiplied else "")
            return f"is a TIFF of {depth} bits, only 8 bits and 16-bit grey, RGB and RGBA are read without loss"
    if image.format == "AVIF":
        file.seek(0)
        start = file.read(1 << 14)
        where = start.find(b"av1C")  # the codec's configuration: its third byte says high_bitdepth
        if where >= 0 and start[where + 6 : where + 7] and start[where + 6] & 0x40:
            return "is an AVIF of 10 or 12 bits, only 8 bits are read without loss"
    return None


def profile_name(image: Image.Image) -> str | None:
    """The name of an embedded colour profile, None without one or for sRGB."""
    profile = image.info.get("icc_profile")
    if not profile:
        return None
    try:
        from PIL import ImageCms

        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except Exception:  # damaged, or a Pillow without LittleCMS
        return "(not readable)"
    return None if "srgb" in name.lower() or name == "c2" else name or "(without a name)"  # c2: a small sRGB of the web


class _Quiet:
    """Python warnings are ignored while any thread reads. `warnings.catch_warnings` alone restores, where two threads
    overlap, what the other had set: everything would stay ignored for good."""

    def __init__(self):
        self._lock, self._readers = Lock(), 0
        self._caught: warnings.catch_warnings | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0 and self._caught is not None:
                self._caught.__exit__(None, None, None)


quiet = _Quiet()
"""Pillow warns about large pictures and odd metadata; what matters of it is an error here."""


@cache
def silence_libtiff() -> None:
    """Stop libtiff from writing lines of its own to stderr; its errors still become Pillow's exceptions.

    Its error handler is one of the process, set once: no stream is redirected, so threads and forks are not disturbed.
    Where Pillow carries libtiff inside itself (Windows), its function is not to be seen and its lines stay.
    """
    with suppress(AttributeError, OSError):
        handler = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
        handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        handler(None)


def _channels(count: int) -> str:
    return f"{count} channel{'s' * (count != 1)}"


def _tuple(value: object) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
