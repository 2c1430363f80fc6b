"""Writing pictures: what a format holds is checked before anything is computed, and a file appears whole or not at all."""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
from jaxtyping import UInt

from gridless.files import write_bytes

from .pictures import ImageError, as_image, quantise, show


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


FORMATS = {
    ".png": Format("PNG", side=2**31 - 1),
    ".jpg": Format("JPEG", side=65_500, alpha=False),  # libjpeg's own limit, a little below the format's
    ".jpeg": Format("JPEG", side=65_500, alpha=False),
    ".webp": Format("WEBP", side=16_383),
    ".bmp": Format("BMP", bytes=2**32 - 2**10, alpha=False),
    ".tif": Format("TIFF", bytes=2**32 - 2**25),
    ".tiff": Format("TIFF", bytes=2**32 - 2**25),
}
"""Suffix -> the formats that are written."""

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # samples per pixel -> colour type in a PNG header


def check_holds(
    path: str | os.PathLike, shape: tuple[int, int, int], depth: int = 8, alpha: bool = False, tiled: bool = False
) -> None:
    """Raises ImageError unless a picture of `shape` (H, W, C without alpha) can be written to `path`; nothing is computed.

    `tiled`: for `write_tiles`, whose TIFF holds 16 bits of every kind and any size.
    """
    path = Path(path)
    suffix, channels = path.suffix.lower(), shape[2] + alpha
    if suffix not in FORMATS:
        raise ImageError(f"{show(path)} ends in {path.suffix!r}, expected one of {' '.join(FORMATS)}")
    if depth not in (8, 16):
        raise ImageError(f"depth is {depth!r}, expected 8 or 16 bits per sample")
    if not path.parent.is_dir():
        raise ImageError(f"the folder {show(path.parent)} does not exist; create it first")
    if path.is_dir():
        raise ImageError(f"{show(path)} is a folder, expected a file name to write")
    format = FORMATS[suffix]
    if alpha and not format.alpha:
        raise ImageError(f"{show(path)}: {suffix} cannot keep alpha (transparency); use .png, or composite it first")
    if tiled and format.name == "TIFF":
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


def write_photo(path: str | os.PathLike, values: np.ndarray, depth: int = 8, alpha: np.ndarray | None = None) -> None:
    """Writes values (H W C) in [0, 1], clipped and rounded by `quantise`, in the format that the suffix names.

    depth  8 or 16; 16 for .png, and for grey without alpha .tif
    alpha  (H W) in [0, 1], 0 = transparent; .png, .webp and .tif keep it
    Everything is lossless but JPEG (quality 95, no chroma subsampling). The file appears whole or not at all: if
    anything fails, an older file of that name is untouched. Raises ImageError, also if the folder does not exist.
    """
    path = Path(path)
    if np.ndim(values) == 3:
        check_holds(path, tuple(values.shape), depth, alpha is not None)
    samples = quantise(values, depth)
    if alpha is not None:
        if tuple(alpha.shape) != samples.shape[:2]:
            raise ImageError(f"alpha has shape {tuple(alpha.shape)}, expected (H, W) = {samples.shape[:2]}")
        samples = np.concatenate([samples, quantise(alpha[..., None], depth)], axis=-1)
    suffix = path.suffix.lower()
    try:
        data = _encode_png_16(samples) if depth == 16 and suffix == ".png" else _encode(samples, FORMATS[suffix].name)
    except (OSError, ValueError, struct.error) as error:
        raise ImageError(f"{show(path)}: {suffix} cannot hold {samples.shape} samples ({error}); use .png") from error
    try:
        write_bytes(path, data)
    except OSError as error:
        raise ImageError(f"{show(path)} cannot be written ({error.strerror or error})") from error


def _encode(samples: np.ndarray, format: str) -> bytes:
    if format == "WEBP" and samples.shape[-1] < 3:  # WebP has no grey
        samples = np.concatenate([samples[..., :1]] * 3 + [samples[..., 1:]], axis=-1)
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}.get(format, {})
    buffer = io.BytesIO()
    as_image(samples).save(buffer, format=format, **options)
    return buffer.getvalue()


def _encode_png_16(samples: UInt[np.ndarray, "H W C"]) -> bytes:
    """A PNG of 16-bit samples, C = 1 … 4 (Pillow writes only C = 1): header, one compressed block, end mark."""
    height, width, channels = samples.shape
    row = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    left = np.pad(row, ((0, 0), (2 * channels, 0)))[:, : -2 * channels]
    # Filter 1, the difference to the same byte of the pixel on the left, compresses better than the bytes themselves.
    filtered = np.pad(row - left, ((0, 0), (1, 0)), constant_values=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPE[channels], 0, 0, 0)
    blocks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(filtered.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + blocks
