"""A picture larger than memory, written as a tiled TIFF from one tile at a time (BigTIFF beyond 4 GB)."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float
from PIL import Image, TiffImagePlugin

from . import colours
from .metadata import EXIF_DIRECTORY, GPS_DIRECTORY, XMP_TAG, Metadata
from .picture_writing import FORMATS, Target, check_format, check_holds, replacing_stream, show_target
from .pictures import ImageError, quantise_with_alpha

SIDE = 256  # of a tile, in pixels
CLASSIC = int(FORMATS[".tif"].bytes)  # beyond it, offsets of 64 bits


def write_tiles(
    target: Target,
    shape: tuple[int, int, int],
    tile: Callable[[tuple[slice, slice]], Float[np.ndarray, "h w C"]],
    depth: int = 8,
    about: Metadata | None = None,
) -> None:
    """Writes an (H, W, C) picture, losslessly compressed; `tile(part)` gives the values in [0, 1] of rows and columns.

    C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha); depth 8 or 16 bits, clipped and rounded by `quantise`,
    or 32: floats as they are. 16-bit grey with alpha is written as RGB with alpha: few readers know the former. `about`:
    profile, EXIF, XMP and resolution. The file appears whole or not at all. Raises ImageError, also if the disk is too
    full, and ImportError without tifffile.
    """
    try:
        import tifffile
    except ImportError as error:
        raise ImportError("a tiled TIFF needs tifffile: pip install 'gridless[tiff]', or write a .png") from error
    height, width, channels = shape
    about, dtype = about or Metadata(), np.dtype("float32" if depth == 32 else f"uint{depth}")
    stored = 4 if (channels, depth) == (2, 16) else channels
    size, holds = height * width * stored * dtype.itemsize, (height, width, 1 if channels < 3 else 3)
    if isinstance(target, str | os.PathLike):
        check_holds(target, holds, depth, channels % 2 == 0, tiled=True)
        if size > (free := shutil.disk_usage(Path(target).parent).free):
            name = show_target(target)
            raise ImageError(f"{name} may need {size:,} bytes, the disk has {free:,} left; make a smaller picture")
    else:
        check_format("standard output", ".tif", holds, depth, channels % 2 == 0, tiled=True)
    if stored > channels and colours.space(about.profile) == "GRAY":
        raise ImageError(
            f"{show_target(target)}: 16-bit grey with alpha becomes RGB in a TIFF, where its grey profile means nothing; "
            "use .png"
        )

    def tiles() -> Iterator[np.ndarray]:
        for rows, columns in product(cuts(height), cuts(width)):
            values = tile((rows, columns))
            values = np.asarray(values, np.float32) if depth == 32 else quantise_with_alpha(values, depth)
            if stored > channels:
                values = np.concatenate([values[..., :1], values[..., :1], values], -1)
            yield values if stored > 1 else values[..., 0]

    try:
        with replacing_stream(target) as file:
            tifffile.imwrite(
                file,
                tiles(),
                shape=(height, width, stored) if stored > 1 else (height, width),
                dtype=dtype,
                byteorder="<",
                bigtiff=size > CLASSIC,
                tile=(SIDE, SIDE),
                photometric="rgb" if stored > 2 else "minisblack",
                planarconfig="contig" if stored > 1 else None,
                extrasamples=None if stored % 2 else ["unassalpha"],
                compression="zlib",
                predictor=depth != 32,  # that of floats needs a further package
                maxworkers=1,
                metadata=None,
                software=False,
                iccprofile=about.profile,
                resolution=about.resolution,
                resolutionunit=None if about.resolution is None else "inch",
                extratags=[] if about.xmp is None else [(XMP_TAG, "B", len(about.xmp), about.xmp, True)],
            )
            if about.exif is not None:
                add_exif(file, about.exif)
    except OSError as error:
        raise ImageError(f"{show_target(target)} cannot be written ({error.strerror or error})") from error


def add_exif(file: BinaryIO, exif: bytes) -> None:
    """Gives a TIFF of one page, little-endian, the tags of an EXIF block that it does not have (tifffile writes no
    directories within directories): its directory is written once more, behind all else, and the header points there."""
    file.seek(0)
    head = file.read(16)
    big = head[2] == 43
    count, entry, word, at = ("<Q", 20, "<Q", 8) if big else ("<H", 12, "<I", 4)
    described = Image.Exif()
    described.load(b"Exif\0\0" + exif)
    directory = TiffImagePlugin.ImageFileDirectory_v2(head if big else head[:8])
    for tag in described:
        directory[tag] = described.get_ifd(tag) if tag in (EXIF_DIRECTORY, GPS_DIRECTORY) else described[tag]

    def read(start: int) -> dict[int, bytes]:
        file.seek(start)
        (n,) = struct.unpack(count, file.read(struct.calcsize(count)))
        entries = (file.read(entry) for _ in range(n))
        return {struct.unpack_from("<H", each)[0]: each for each in entries}

    def append(data: bytes | None = None) -> int:
        end = file.seek(0, os.SEEK_END)
        end += file.write(bytes(end % 2))
        file.write(directory.tobytes(end) if data is None else data)
        return end

    tags = read(append()) | read(struct.unpack_from(word, head, at)[0])
    merged = struct.pack(count, len(tags)) + b"".join(tags[tag] for tag in sorted(tags)) + struct.pack(word, 0)
    start = append(merged)
    file.seek(at)
    file.write(struct.pack(word, start))


def cuts(length: int) -> list[slice]:
    """The ranges of tiles along rows or columns."""
    return [slice(start, min(start + SIDE, length)) for start in range(0, length, SIDE)]
