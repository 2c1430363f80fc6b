"""A picture larger than memory, written as a tiled TIFF from one tile at a time (BigTIFF beyond 4 GB)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gridless.data.pictures import ImageError, aside, quantise

SIDE = 256  # of a tile, in pixels
CLASSIC = 2**32 - 2**25  # bytes that offsets of 32 bits reach, less room for the tables


def write_tiles(
    path: str | os.PathLike,
    shape: tuple[int, int, int],
    tile: Callable[[tuple[slice, slice]], Float[np.ndarray, "h w C"]],
    depth: int = 8,
) -> None:
    """Writes an (H, W, C) picture, losslessly compressed; `tile(part)` gives the values in [0, 1] of rows and columns.

    C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha); depth 8 or 16 bits. Values are clipped and rounded
    by `quantise`. The file appears whole or not at all. Raises ImageError, also if the disk is too full, and
    ImportError without tifffile.
    """
    try:
        import tifffile
    except ImportError as error:
        raise ImportError("a tiled TIFF needs tifffile: pip install 'gridless[tiff]', or write a .png") from error
    height, width, channels = shape
    path, dtype = Path(path), np.dtype(f"uint{depth}")
    if not path.parent.is_dir():
        raise ImageError(f"the folder {str(path.parent)!r} does not exist; create it first")
    size, free = height * width * channels * dtype.itemsize, shutil.disk_usage(path.parent).free
    if size > free:
        raise ImageError(f"{str(path)!r} may need {size:,} bytes, the disk has {free:,} left; make a smaller picture")

    def tiles() -> Iterator[np.ndarray]:
        for rows, columns in product(_cuts(height), _cuts(width)):
            values = tile((rows, columns))
            colours, alpha = (values, None) if channels % 2 else (values[..., :-1], values[..., -1:])
            parts = [quantise(part, depth) for part in (colours, alpha) if part is not None]
            yield np.concatenate(parts, -1) if channels > 1 else parts[0][..., 0]

    with aside(path) as file:
        tifffile.imwrite(
            file,
            tiles(),
            shape=shape if channels > 1 else shape[:2],
            dtype=dtype,
            bigtiff=size > CLASSIC,
            tile=(SIDE, SIDE),
            photometric="rgb" if channels > 2 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=None if channels % 2 else ["unassalpha"],
            compression="zlib",
            predictor=True,
            maxworkers=1,
            metadata=None,
        )


def _cuts(length: int) -> list[slice]:
    return [slice(start, min(start + SIDE, length)) for start in range(0, length, SIDE)]
