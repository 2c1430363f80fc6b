"""Writing pictures: what a format holds is checked before anything is computed, and a file appears whole or not at all."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt
from PIL import Image

from gridless.files import replacing

from . import colours
from .metadata import Metadata
from .pictures import ImageError, as_image, quantise, show
from .png_writing import write_png


@dataclass(frozen=True)
class Format:
    """What a kind of picture file can hold."""

    name: str
    """As Pillow calls it."""
    side: float = inf
    """Most pixels of a row or column."""
    bytes: float = inf
    """Most bytes of all samples, where sizes are kept in 32 bits."""
    alpha: bool = True
    lossy: bool = False
    """Whether it takes a quality."""
    profile: bool = True
    """Whether it keeps what lies beside the pixels."""
    segment: float = inf
    """Most bytes of EXIF or of XMP."""


FORMATS = {
    ".png": Format("PNG", side=2**31 - 1),
    # libjpeg's own limit, a little below the format's
    ".jpg": Format("JPEG", side=65_500, alpha=False, lossy=True, segment=65_500),
    ".jpeg": Format("JPEG", side=65_500, alpha=False, lossy=True, segment=65_500),
    ".webp": Format("WEBP", side=16_383, lossy=True),
    ".bmp": Format("BMP", bytes=2**32 - 2**10, alpha=False, profile=False),
    ".tif": Format("TIFF", bytes=2**32 - 2**25),
    ".tiff": Format("TIFF", bytes=2**32 - 2**25),
}
"""Suffix -> the formats that are written."""

Target = str | os.PathLike | BinaryIO
"""A path, or a stream such as standard output, which gets the file when it is whole."""


def check_holds(
    path: str | os.PathLike, shape: tuple[int, int, int], depth: int = 8, alpha: bool = False, tiled: bool = False
) -> None:
    """Raises ImageError unless a picture of `shape` (H, W, C without alpha) can be written to `path`; nothing is computed.

    `tiled`: for `write_tiles`, whose TIFF holds 16 bits and floats of every kind and any size.
    """
    path = Path(path)
    check_format(path, path.suffix.lower(), shape, depth, alpha, tiled)
    if not path.parent.is_dir():
        raise ImageError(f"the folder {show(path.parent)} does not exist; create it first")
    if path.is_dir():
        raise ImageError(f"{show(path)} is a folder, expected a file name to write")


def check_format(
    path: str | os.PathLike, suffix: str, shape: tuple[int, int, int], depth: int, alpha: bool, tiled: bool
) -> None:
    """Raises ImageError, which names `path`, unless a file that ends in `suffix` can hold such a picture."""
    channels = shape[2] + alpha
    if suffix not in FORMATS:
        raise ImageError(f"{show(path)} ends in {suffix!r}, expected one of {' '.join(FORMATS)}")
    format = FORMATS[suffix]
    tiled = tiled and format.name == "TIFF"
    if depth not in ((8, 16, 32) if tiled else (8, 16)):
        if depth == 32:
            raise ImageError(f"{show(path)}: {suffix} cannot keep floating-point numbers; use .tif")
        raise ImageError(f"depth is {depth!r}, expected 8 or 16 bits per sample")
    if alpha and not format.alpha:
        raise ImageError(f"{show(path)}: {suffix} cannot keep alpha (transparency); use .png, or composite it first")
    if tiled:
        return
    if depth == 16 and not (suffix == ".png" or (format.name == "TIFF" and channels == 1)):
        raise ImageError(f"{show(path)}: {suffix} cannot keep 16 bits of {channels} channels; use .png")
    size = shape[0] * shape[1] * channels * depth // 8
    if max(shape[:2]) > format.side or size > format.bytes:
        most = f"{format.side:,} pixels a side" if max(shape[:2]) > format.side else f"{format.bytes:,} bytes"
        raise ImageError(
            f"{show(path)}: {suffix} cannot hold {shape[0]:,} x {shape[1]:,} pixels, its limit is {most}; "
            f"use {'.png' if suffix != '.png' else '.tif'}"
        )


def check_metadata(path: str | os.PathLike, suffix: str, about: Metadata) -> None:
    """Raises ImageError if the format has no room for so much EXIF or XMP."""
    most = FORMATS[suffix].segment
    for name, data in (("EXIF", about.exif), ("XMP", about.xmp)):
        if data is not None and len(data) > most:
            raise ImageError(
                f"{show(path)}: {suffix} keeps {most:,} bytes of {name}, there are {len(data):,}; use .png, or --strip it"
            )


def write_photo(
    path: str | os.PathLike,
    values: np.ndarray,
    depth: int = 8,
    alpha: np.ndarray | None = None,
    *,
    quality: int | None = None,
    about: Metadata | None = None,
) -> None:
    """Writes values (H W C) in [0, 1], clipped and rounded by `quantise`, in the format that the suffix names.

    depth    8 or 16; 16 for .png, and for grey without alpha .tif
    alpha    (H W) in [0, 1], 0 = transparent; .png, .webp and .tif keep it
    quality  1 … 100 of .jpg (95 if None) and .webp (lossless if None); the other formats lose nothing
    about    profile, EXIF, XMP and resolution to write beside the pixels; .bmp keeps none of them
    The file appears whole or not at all: if anything fails, an older file of that name is untouched. Raises ImageError,
    also if the folder does not exist.
    """
    path = Path(path)
    if np.ndim(values) == 3:
        check_holds(path, tuple(values.shape), depth, alpha is not None)
    samples = quantise(values, depth)
    if alpha is not None:
        if tuple(alpha.shape) != samples.shape[:2]:
            raise ImageError(f"alpha has shape {tuple(alpha.shape)}, expected (H, W) = {samples.shape[:2]}")
        samples = np.concatenate([samples, quantise(alpha[..., None], depth)], axis=-1)
    write_bands(path, path.suffix.lower(), samples.shape, [samples], depth, quality, about or Metadata())


def write_bands(
    target: Target,
    suffix: str,
    shape: tuple[int, ...],
    bands: Iterable[UInt[np.ndarray, "h W C"]],
    depth: int = 8,
    quality: int | None = None,
    about: Metadata | None = None,
) -> None:
    """Writes (H, W, C) samples, alpha last, from bands of rows in turn, as `write_photo` does. A .png never holds more than
    a band; the other formats hold the whole picture, as integers. What fits the format was checked before."""
    format, about = FORMATS[suffix], about or Metadata()
    try:
        with replacing_stream(target) as file:
            if format.name == "PNG":
                write_png(file, (shape[0], shape[1], shape[2]), bands, depth, about)
            else:
                whole = np.empty(shape, np.uint8 if depth == 8 else np.uint16)
                start = 0
                for band in bands:
                    whole[start : start + len(band)] = band
                    start += len(band)
                _encode(file, as_image(whole), format, quality, about)
    except (ValueError, struct.error) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{show_target(target)}: {suffix} cannot hold {shape} samples ({error}); use .png") from error
    except OSError as error:
        raise ImageError(f"{show_target(target)} cannot be written ({error.strerror or error})") from error


def _encode(file: BinaryIO, image: Image.Image, format: Format, quality: int | None, about: Metadata) -> None:
    grey = image.mode in ("L", "LA")
    if about.profile is not None and (not format.profile or (format.name == "WEBP" and grey)):
        image, about = colours.in_srgb(image, about.profile), Metadata(None, about.exif, about.xmp, about.resolution)
    options: dict[str, Any] = {}
    if format.name == "JPEG":
        options = {"quality": quality or 95, "subsampling": 0 if (quality or 95) >= 90 else -1}
    elif format.name == "WEBP":  # which has no grey
        image = image if not grey else image.convert("RGBA" if image.mode == "LA" else "RGB")
        options = {"lossless": True, "exact": True} if quality is None else {"quality": quality, "exact": True}
    if format.profile:
        options |= {"icc_profile": about.profile} if about.profile is not None else {}
        options |= {"exif": b"Exif\0\0" + about.exif} if about.exif is not None else {}
        options |= {"xmp": about.xmp} if about.xmp is not None and format.name != "TIFF" else {}
        options |= {"dpi": about.resolution} if about.resolution is not None and format.name != "WEBP" else {}
    buffer = io.BytesIO()  # given a file of the disk, Pillow's encoders write past Python
    image.save(buffer, format=format.name, **options)
    file.write(buffer.getbuffer())


@contextmanager
def replacing_stream(target: Target) -> Iterator[BinaryIO]:
    """A file to write to, which takes the name of a path, or goes to a stream, when the block ends well."""
    if isinstance(target, str | os.PathLike):
        with replacing(Path(target)) as part, part.open("w+b") as file:
            yield file
        return
    whole = io.BytesIO()
    yield whole
    target.write(whole.getbuffer())
    target.flush()


def show_target(target: Target) -> str:
    """A path, or what a stream is called, in a message."""
    return show(target) if isinstance(target, str | os.PathLike) else "standard output"
