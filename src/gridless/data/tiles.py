"""A picture larger than memory, written as a tiled TIFF from one tile at a time (BigTIFF beyond 4 GB)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gridless.files import replacing

from .picture_writing import FORMATS, check_holds
from .pictures import ImageError, quantise, show

SIDE = 256  # of a tile, in pixels
CLASSIC = int(FORMATS[".tif"].bytes)  # beyond it, offsets of 64 bits


def write_tiles(
    path: str | os.PathLike,
    shape: tuple[int, int, int],
    tile: Callable[[tuple[slice, slice]], Float[np.ndarray, "h w C"]],
    depth: int = 8,
) -> None:
    """Writes an (H, W, C) picture, losslessly compressed; `tile(part)` gives the values in [0, 1] of rows and columns.

    C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha); depth 8 or 16 bits. Values are clipped and rounded
    by `quantise`. 16-bit grey with alpha is written as RGB with alpha: few readers know the former. The file appears whole
    or not at all. Raises ImageError, also if the disk is too full, and ImportError without tifffile.
    """
    try:
        import tifffile
    except ImportError as error:
        raise ImportError("a tiled TIFF needs tifffile: pip install 'gridless[tiff]', or write a .png") from error
    height, width, channels = shape
    path, dtype = Path(path), np.dtype(f"uint{depth}")
    check_holds(path, (height, width, 1 if channels < 3 else 3), depth, channels % 2 == 0, tiled=True)
    stored = 4 if (channels, depth) == (2, 16) else channels
    size, free = height * width * stored * dtype.itemsize, shutil.disk_usage(path.parent).free
    if size > free:
        raise ImageError(f"{show(path)} may need {size:,} bytes, the disk has {free:,} left; make a smaller picture")

    def tiles() -> Iterator[np.ndarray]:
        for rows, columns in product(_cuts(height), _cuts(width)):
            values = tile((rows, columns))
            colours, alpha = (values, None) if channels % 2 else (values[..., :-1], values[..., -1:])
            parts = [quantise(part, depth) for part in (colours, alpha) if part is not None]
            if stored > channels:
                parts.insert(0, parts[0].repeat(2, -1))
            yield np.concatenate(parts, -1) if channels > 1 else parts[0][..., 0]

    try:
        with replacing(path) as part, part.open("wb") as file:
            tifffile.imwrite(
                file,
                tiles(),
                shape=(height, width, stored) if stored > 1 else (height, width),
                dtype=dtype,
                bigtiff=size > CLASSIC,
                tile=(SIDE, SIDE),
                photometric="rgb" if stored > 2 else "minisblack",
                planarconfig="contig" if stored > 1 else None,
                extrasamples=None if stored % 2 else ["unassalpha"],
                compression="zlib",
                predictor=True,
                maxworkers=1,
                metadata=None,
            )
    except OSError as error:
        raise ImageError(f"{str(path)!r} cannot be written ({error.strerror or error})") from error


def _cuts(length: int) -> list[slice]:
    return [slice(start, min(start + SIDE, length)) for start in range(0, length, SIDE)]
