"""What a picture file's header says beyond its size: frames and pages, depth, kinds that are not read."""

from __future__ import annotations

import ctypes
import warnings
from contextlib import suppress
from functools import cache
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
_THUMBNAIL, _PREMULTIPLIED, _FLOATS = 1, 1, 3  # of NewSubfileType, ExtraSamples and SampleFormat


def foreign_kind(file: BinaryIO) -> str | None:
    """What a file is that Pillow cannot open, None if its first bytes say nothing."""
    file.seek(0)
    start = file.read(32)
    if start[4:8] == b"ftyp":
        brands = (start[8:12], *(start[i : i + 4] for i in range(16, 32, 4)))
        if b"avif" in brands or b"avis" in brands:
            return "an AVIF picture, damaged or of a kind that this Pillow cannot decode"
        return "a HEIC picture" if any(b in _HEIC for b in brands) else "a video"
    tags = _tiff_tags(file)
    if tags is not None:
        depth = "+".join(map(str, _tuple(tags.get(258, 1))))
        return f"a TIFF of {_channels(tags.get(277, 1))} of {depth} bits"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def holds_floats(file: BinaryIO) -> bool:
    """Whether it is a TIFF of floating-point numbers."""
    tags = _tiff_tags(file)
    return tags is not None and set(_tuple(tags.get(339, 1))) == {_FLOATS}


def _tiff_tags(file: BinaryIO) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """Those of the first page, None of other files and of damaged ones."""
    file.seek(0)
    start = file.read(16)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0"):
        with suppress(Exception):
            tags = TiffImagePlugin.ImageFileDirectory_v2(start[: 16 if start[2:3] == b"+" else 8])
            file.seek(tags.next)
            tags.load(file)
            return tags
    return None


def surplus_channels(image: Image.Image) -> str | None:
    """'5 channels', '12 images' of a TIFF whose one page holds more than a picture; None of all others."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    tags = image.tag_v2
    colours, channels = _COLOURS.get(tags.get(262, -1), 1), tags.get(277, 1)
    extra = _tuple(tags.get(338, ()))
    if channels > colours + 1 or (channels > colours and 0 in extra):
        return f"{_channels(channels)}, {colours} of colour and {channels - colours} more"
    description = str(tags.get(270, ""))
    if description.startswith("ImageJ=") and "\nimages=" in description:  # a stack with one directory for all
        count = description.split("\nimages=")[1].split("\n")[0]
        return f"{count} images" if count != "1" and image.n_frames == 1 else None
    return None


def several(image: Image.Image) -> str | None:
    """'12 pages', '3 frames' of a file that holds more than one picture; None if it holds one."""
    count = len(frame_numbers(image))
    kind = {"TIFF": "pages", "MPO": "views"}.get(image.format or "", "frames")
    return f"{count} {kind}" if count > 1 else None


def frame_numbers(image: Image.Image) -> list[int]:
    """What `image.seek` takes for each frame, page or view that is a picture of its own, not a preview of another."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _pages(image)
    if isinstance(image, MpoImagePlugin.MpoImageFile):  # most hold previews of the first picture beside it
        kinds = [entry["Attribute"]["MPType"] for entry in (image.mpinfo or {}).get(0xB002, ())]
        views = [number for number, kind in enumerate(kinds) if kind.startswith("Multi-Frame")]
        return views if len(views) > 1 else [0]
    return list(range(getattr(image, "n_frames", 1)))


def _pages(image: TiffImagePlugin.TiffImageFile) -> list[int]:
    """Pages of a TIFF that are no thumbnails of others."""
    pages = list(range(image.n_frames))
    if 1 < len(pages) < 100:
        for number in range(1, len(pages)):
            with suppress(Exception):  # a page of a kind that Pillow does not know counts as one
                image.seek(number)
                if image.tag_v2.get(254, 0) & _THUMBNAIL:
                    pages.remove(number)
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
