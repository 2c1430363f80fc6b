"""A PNG written from one band of rows at a time, 8 or 16 bits, so that it may be larger than memory.

Pillow needs the whole picture and has no colour of 16 bits. Format: PNG, third edition (W3C 2025).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt, UInt8

from .metadata import Metadata

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # samples per pixel -> colour type in a header
_INCH = 0.0254  # metres
LEVEL = 6  # of zlib: its default
ROWS = 64  # filtered at once


def write_png(
    file: BinaryIO, shape: tuple[int, int, int], bands: Iterable[UInt[np.ndarray, "h W C"]], depth: int, about: Metadata
) -> None:
    """A PNG of (H, W, C) samples, C = 1 … 4 (alpha last), from bands of rows in turn; depth 8 or 16 bits."""
    height, width, channels = shape
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPE[channels], 0, 0, 0))
    if about.profile is not None:
        _chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(about.profile))
    if about.resolution is not None:
        _chunk(file, b"pHYs", struct.pack(">IIB", *(round(n / _INCH) for n in about.resolution), 1))
    if about.exif is not None:
        _chunk(file, b"eXIf", about.exif)
    if about.xmp is not None:
        _chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + about.xmp)
    stream, step = zlib.compressobj(LEVEL), channels * depth // 8
    above = np.zeros(width * step, np.uint8)
    for band in (whole[start : start + ROWS] for whole in bands for start in range(0, len(whole), ROWS)):
        row = band.astype(">u2" if depth == 16 else np.uint8).reshape(len(band), -1).view(np.uint8)
        _chunk(file, b"IDAT", stream.compress(_filtered(row, above, step)))
        above = row[-1]
    _chunk(file, b"IDAT", stream.flush())
    _chunk(file, b"IEND", b"")


def _filtered(row: UInt8[np.ndarray, "h b"], above: UInt8[np.ndarray, " b"], step: int) -> bytes:
    """Each row less what one of the filters 1 (left), 2 (above) and 4 (Paeth's choice of the two and the corner) expects:
    the one with the smallest sum of differences, as the standard advises."""
    up = np.concatenate([above[None], row[:-1]])
    left, corner = (np.pad(x, ((0, 0), (step, 0)))[:, :-step] for x in (row, up))
    to_up, to_left = corner.astype(np.int16), corner.astype(np.int16)
    np.subtract(left, to_up, out=to_up)  # how far Paeth's guess, left + up − corner, is from what lies above
    np.subtract(up, to_left, out=to_left)
    to_corner = np.abs(to_up + to_left)
    np.abs(to_up, out=to_up)
    np.abs(to_left, out=to_left)
    nearest_left = (to_left <= to_up) & (to_left <= to_corner)
    paeth = np.where(nearest_left, left, np.where(to_up <= to_corner, up, corner))
    choices = np.stack([row - left, row - up, row - paeth])
    cost = np.abs(choices.view(np.int8).astype(np.int16)).sum(-1, dtype=np.int64)
    best = cost.argmin(0)
    out = np.empty((len(row), row.shape[1] + 1), np.uint8)
    out[:, 0] = np.array([1, 2, 4], np.uint8)[best]
    out[:, 1:] = choices[best, np.arange(len(row))]
    return out.tobytes()


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    if data or kind == b"IEND":
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
