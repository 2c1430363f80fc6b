"""Is everything there that a picture's header announces? Bytes in, ValueError with the reason out.

Decoders fill what is missing with black or grey and say nothing that reaches Python, so each format is asked in its own
terms: a PNG's rows are counted in its inflated data, a TIFF's strips are held against the file, and a JPEG is decoded
once more with other bytes behind its data: if the picture changes, the decoder was reading past the end.
WebP, BMP, GIF and AVIF decoders refuse short data themselves. Not noticed: rows of a JPEG or WebP that fill up its last
block of 8 or 16 (they are in the data), a JPEG or LZW TIFF that holds more rows than it announces, a JPEG of nothing but
mid-grey, a progressive JPEG that lacks whole scans, an arithmetic-coded JPEG, an AVIF whose container states another size
than its stream (libavif stretches it).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples per pixel
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Interlaced passes: first row and column, step in rows and columns."""
_RATIO = 1032  # the most bytes that deflate makes of one
_PIECE = 1 << 18  # bytes inflated at once


def inflated_size(parts: Iterable[bytes], limit: int) -> int:
    """How many bytes a deflated stream holds, counted up to `limit` + 1; memory stays small."""
    stream, size = zlib.decompressobj(), 0
    for part in parts:
        while part and size <= limit and not stream.eof:
            size += len(stream.decompress(part, _PIECE))
            part = stream.unconsumed_tail
    return size


# ----------------------------------------------------------------------------------------------------------------- PNG


def check_png(data: bytes) -> tuple[int, int]:
    """(bits per sample, colour type) of a PNG whose checksums hold, whose end is there and whose rows are all there."""
    header, parts, position, kind = None, [], 8, b""
    while kind != b"IEND":
        if len(data) < position + 12:
            raise ValueError("it ends before its end mark")
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        position += 12 + length
        if len(data) < position:
            raise ValueError("it ends before its end mark")
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(data[position - 4 : position], "big"):
            raise ValueError(f"the checksum of its chunk {kind.decode('latin-1')!r} is wrong")
        if kind == b"IHDR":
            header = struct.unpack_from(">IIBBBBB", body)
        elif kind == b"IDAT":
            parts.append(body)
    if header is None:
        raise ValueError("it has no header chunk")
    width, height, depth, colour_type, _, _, interlaced = header
    bits = depth * _PNG_SAMPLES[colour_type]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    announced = sum(_pass_bytes(height, width, bits, *each) for each in passes)
    stored = sum(map(len, parts))
    if announced > stored * _RATIO:  # before any work is done
        raise ValueError(f"its header announces {height} x {width} pixels, more than {stored} bytes can hold")
    size = inflated_size(parts, announced)
    if size != announced:
        held = f"{size}" if size <= announced else "more"
        raise ValueError(f"its header announces {height} x {width} pixels, {announced} bytes, its data hold {held}")
    return depth, colour_type


def _pass_bytes(height: int, width: int, bits: int, row: int, column: int, down: int, across: int) -> int:
    rows, columns = -(-max(height - row, 0) // down), -(-max(width - column, 0) // across)
    return rows * (1 + -(-columns * bits // 8)) if columns else 0


# ---------------------------------------------------------------------------------------------------------------- JPEG

_MARKER = re.compile(rb"\xff+[\x01-\xfe]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers
_RESTARTS = range(0xD0, 0xD8)
# Zero bits are a valid code of every table and go on in the last block's colour; random bits make a pattern of a grey one.
_NOISE = bytes(4) + np.random.default_rng(0).integers(0, 255, 64, dtype=np.uint8).tobytes()


def with_other_ends(data: bytes) -> bytes | None:
    """A JPEG with bytes of our own behind the data of each of its scans: the same picture, if its own were enough.

    None if it is arithmetic-coded, where missing data are zeros by definition. Raises ValueError if restart markers are
    missing.
    """
    ends, position, per_restart, blocks = [], 2, 0, {}
    while position + 4 <= len(data):
        start = _MARKER.search(data, position)  # bytes between segments are passed over, as decoders do
        if start is None:
            raise ValueError("it ends before its end mark")
        marker, position = data[start.end() - 1], start.end()
        if marker == 0xD9:
            break
        body = position + 2
        position += int.from_bytes(data[position:body], "big")
        if marker in _FRAMES:
            if marker > 0xC8:
                return None
            blocks = _jpeg_blocks(data[body:position])
        elif marker == 0xDD:
            per_restart = int.from_bytes(data[body : body + 2], "big")
        elif marker == 0xDA:
            restarts = 0
            for end in _MARKER.finditer(data, position):
                if data[end.end() - 1] not in _RESTARTS:
                    break
                restarts += 1
            else:
                raise ValueError("it ends before its end mark")
            position = end.start()
            ends.append(position)
            components = [data[body + 1 + 2 * i] for i in range(data[body])]
            units = blocks[components[0]] if len(components) == 1 else blocks[None]
            if per_restart and restarts < -(-units // per_restart) - 1:
                raise ValueError("its header announces more rows than its data hold")
    pieces = [data[a:b] for a, b in pairwise([0, *ends, len(data)])]
    return _NOISE.join(pieces)


def _jpeg_blocks(frame: bytes) -> dict[int | None, int]:
    """Coded units of a scan by its only component, and by None of a scan of several, from a frame header."""
    height, width, count = struct.unpack_from(">HHB", frame, 1)
    sampling = {frame[6 + 3 * i]: divmod(frame[7 + 3 * i], 16) for i in range(count)}
    across, down = (max(s[axis] for s in sampling.values()) for axis in (0, 1))
    units: dict[int | None, int] = {None: -(-height // (8 * down)) * -(-width // (8 * across))}
    for component, (h, v) in sampling.items():
        units[component] = -(-height * v // (8 * down)) * -(-width * h // (8 * across))
    return units


# ---------------------------------------------------------------------------------------------------------------- TIFF

_DEFLATE, _JPEG, _YCBCR = (8, 32946), 7, 6


def check_tiff(tags: Mapping[int, Any], data: bytes) -> None:
    """Each strip or tile that the header of a TIFF's page announces lies in the file and holds its rows.

    LZW, PackBits and the rest are decoded by libtiff, which refuses short data itself.
    """
    width, height = _number(tags, 256), _number(tags, 257)
    samples, compression = _number(tags, 277, 1), _number(tags, 259, 1)
    bits, planes = sum(_numbers(tags, 258, (1,) * samples)), 1
    if _number(tags, 284, 1) == 2:
        bits, planes = bits // samples, samples
    tiled = 322 in tags
    across, down = (
        (_number(tags, 322), _number(tags, 323)) if tiled else (width, min(_number(tags, 278, height), height))
    )
    if across < 1 or down < 1:
        raise ValueError(f"its strips or tiles are {down} x {across} pixels")
    rows = -(-height // down)
    offsets = _numbers(tags, 324 if tiled else 273, ())
    counts = _numbers(tags, 325 if tiled else 279, ())
    expected = rows * -(-width // across) * planes
    if len(offsets) != expected or len(counts) != expected:
        raise ValueError(
            f"its header announces {height} x {width} pixels in {expected} strips or tiles, "
            f"it lists {len(offsets)} places and {len(counts)} lengths"
        )
    row_bytes = -(-across * bits // 8)
    whole, last = down * row_bytes, (down if tiled else height - (rows - 1) * down) * row_bytes
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        if offset + count > len(data) or count < 1:
            raise ValueError(f"its strip or tile {number} lies outside the file")
        size = last if number % rows == rows - 1 and not tiled else whole
        stored = _stored(data[offset : offset + count], compression, whole + row_bytes)
        subsampled = _number(tags, 262, 1) == _YCBCR
        if stored is not None and not subsampled and not size <= stored < whole + row_bytes:  # some writers pad
            raise ValueError(
                f"its header announces {height} x {width} pixels, strip or tile {number} holds {stored} bytes for {size}"
            )
        frame = _jpeg_size(data[offset : offset + count]) if compression == _JPEG else None
        if frame is not None and (frame[0] < size // row_bytes or frame[1] < across):
            raise ValueError(f"its header announces {height} x {width} pixels, strip or tile {number} holds {frame}")


def _stored(part: bytes, compression: int, limit: int) -> int | None:
    if compression == 1:
        return len(part)
    return inflated_size([part], limit) if compression in _DEFLATE else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) of the frame in a JPEG stream, None if it has no frame header."""
    position = 2
    while (start := _MARKER.match(data, position)) and data[start.end() - 1] != 0xDA:
        if data[start.end() - 1] in _FRAMES:
            return struct.unpack_from(">HH", data, start.end() + 3)
        position = start.end() + int.from_bytes(data[start.end() : start.end() + 2], "big")
    return None


def _numbers(tags: Mapping[int, Any], tag: int, default: Sequence[int]) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _number(tags: Mapping[int, Any], tag: int, default: int = 0) -> int:
    return _numbers(tags, tag, (default,))[0]
