"""A picture file in, a larger picture file out: grey stays grey; alpha, 16 bits, floats, profile and metadata are kept."""

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt

from gridless.data.metadata import read_metadata
from gridless.data.picture_reading import read_photo
from gridless.data.picture_writing import FORMATS, check_format, check_holds, check_metadata, write_bands
from gridless.data.pictures import ImageError, Photo, quantise_with_alpha
from gridless.data.tiles import cuts, write_tiles
from gridless.model import FieldModel
from gridless.network.mosaic import BYTES_KEPT
from gridless.nn.memory import free_memory
from gridless.runs.picture_answers import TURNS, Part, answerer
from gridless.runs.predict_options import PredictOptions
from gridless.runs.side_by_side import CANVAS_BYTES, SideBySide

# Measured with the photo recipe's model on a CPU, peak of the process above the model:
INPUT_BYTES = 40  # of a pixel as stored, as floats, and as the model's samples
VEIL_BYTES = 60  # of a pixel with alpha, more: its colours weighted, spread, and as the samples of a base
FEATURE_BYTES = 4  # of a number that a field keeps, in single precision
WORKING_BYTES = 1 << 26  # of one block of questions on its way through the network, and of tiles on their way to a file
OUTPUT_BYTES = {".webp": 24, ".bmp": 10}  # of a pixel of a whole picture: as integers, as Pillow's, and its encoding
JPEG_BYTES = 10
BAND_BYTES = 2048  # of a sample of a row: a band of a PNG as integers, and its rows while they are filtered
FLOAT_BYTES = 16  # of a pixel of an answer that is made at once


@dataclass(frozen=True)
class Job:
    """One picture to answer."""

    source: Path | io.BytesIO
    target: Path | None
    """None: standard output."""
    suffix: str
    """Of the file that is written: its format."""
    frame: int | None = None
    """Of an animation or a TIFF of several pages; None: the file holds one picture."""

    @property
    def name(self) -> str:
        """Of the output, in messages."""
        return "standard output" if self.target is None else str(self.target)


def predict_file(
    model: FieldModel,
    source: str | Path,
    target: str | Path,
    options: PredictOptions | None = None,
    advance: Callable[[int], object] = lambda pixels: None,
) -> tuple[int, int]:
    """Write the answer to the picture `source` to `target`; returns its (height, width). ×4 without `options`.

    `advance` is told of every pixels that are done. RGB and grey are answered as they are encoded, and the file gets the
    profile that says so. A PNG or TIFF is written from one tile at a time and may be larger than memory. Raises ImageError
    for files that cannot be read or written, before anything is computed, ImportError for a TIFF without tifffile.
    `target` appears whole or not at all.
    """
    return predict_picture(model, Job(Path(source), Path(target), Path(target).suffix.lower()), options, advance)


def predict_picture(
    model: FieldModel,
    job: Job,
    options: PredictOptions | None = None,
    advance: Callable[[int], object] = lambda pixels: None,
) -> tuple[int, int]:
    """As `predict_file`, for a job: from memory, to standard output, or one frame of several."""
    options = options or PredictOptions()
    photo = read_photo(job.source, frame=job.frame, floats=True)
    size = options.shape(*photo.shape[:2])
    shape = (*size, photo.shape[2] + (photo.alpha is not None))
    depth = photo.depth if photo.depth == 32 or job.suffix in (".png", ".tif", ".tiff") else 8
    check_target(job, photo, size, depth, options)
    about = read_metadata(job.source, job.frame)
    about = (about.stripped() if options.strip else about).of_size(*size)
    check_metadata(job.name, job.suffix, about)
    check_memory(model, job, photo, shape, options)

    answer = answerer(model, photo, size, best=options.best, tile_wrap=options.tile_wrap, half=not options.exact)
    comparison = SideBySide(photo, size, about) if options.compare else None

    def tile(part: Part) -> np.ndarray:
        values = answer(part)
        if comparison is not None:
            comparison.record(part, values)
        advance(prod(values.shape[:2]))
        return values

    target = sys.stdout.buffer if job.target is None else job.target
    if FORMATS[job.suffix].name == "TIFF":
        write_tiles(target, shape, tile, depth, about)
    else:
        write_bands(target, job.suffix, shape, bands(tile, shape, depth), depth, options.quality, about)
    if comparison is not None and job.target is not None:
        comparison.write(job.target.with_name(f"{job.target.stem}-compare.png"))
    return size


def bands(
    tile: Callable[[Part], np.ndarray], shape: tuple[int, int, int], depth: int
) -> Iterator[UInt[np.ndarray, "h W C"]]:
    """A picture as integers, in bands of rows that are asked tile by tile; no float copy of more than a tile exists."""
    height, width, channels = shape
    for rows in cuts(height):
        band = np.empty((rows.stop - rows.start, width, channels), np.uint8 if depth == 8 else np.uint16)
        for columns in cuts(width):
            band[:, columns] = quantise_with_alpha(tile((rows, columns)), depth)
        yield band


def check_target(job: Job, photo: Photo, size: tuple[int, int], depth: int, options: PredictOptions) -> None:
    """Raises ImageError unless the answer can be written where it is to go."""
    shape, alpha = (*size, photo.shape[2]), photo.alpha is not None
    if job.target is None:
        check_format(job.name, job.suffix, shape, depth, alpha, tiled=True)
    else:
        check_holds(job.target.with_suffix(job.suffix), shape, depth, alpha, tiled=True)
        same = isinstance(job.source, Path) and job.target.exists() and job.target.samefile(job.source)
        if same and not options.overwrite:
            raise ImageError(f"{job.name!r} is the input itself; give another output, or --overwrite to replace it")
    if options.compare and job.target is None:
        raise ImageError(
            "--compare writes a second file beside the output, which a pipe has no place for; give -o FILE"
        )
    options.check_quality(job.suffix)


def check_memory(
    model: FieldModel, job: Job, photo: Photo, shape: tuple[int, int, int], options: PredictOptions
) -> None:
    """Raises ImageError if the answer needs more memory than is free."""
    needed = memory_needed(model, photo, shape, job.suffix, options)
    free = free_memory(torch.device("cpu"))
    if needed > free:
        streamed = FORMATS[job.suffix].name in ("PNG", "TIFF") and not options.compare
        advice = "make a smaller picture" if streamed else "write a .png or .tif, which need little beyond the input"
        raise ImageError(
            f"{prod(shape[:2]):,} pixels of {photo.shape[0]}×{photo.shape[1]}: as {job.suffix} that takes about "
            f"{needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} are free; {advice}"
        )


def memory_needed(
    model: FieldModel, photo: Photo, shape: tuple[int, int, int], suffix: str, options: PredictOptions | None = None
) -> int:
    """About how many bytes of memory a picture takes on its way to one of `shape` (H, W, C with alpha), beyond the model's
    own: the input, its encoded windows (eight times for `best`), the network at work, and the output, unless it is written
    tile by tile."""
    options, joint = options or PredictOptions(), bool(getattr(model.decoder, "joint", False))
    pixels, asked, turns = prod(photo.shape[:2]), prod(shape[:2]), len(TURNS) if options.best else 1
    features = FEATURE_BYTES * model.latent_floats(photo.shape[:2])
    two_rows = features * 2 * model.config.signal.tiles[0] // photo.shape[0]  # of windows, which are kept at least
    encoded = turns * min(features, max(BYTES_KEPT, two_rows))
    given = pixels * (INPUT_BYTES * turns + (0 if photo.alpha is None else VEIL_BYTES))
    whole = {"TIFF": 0, "PNG": shape[1] * shape[2] * BAND_BYTES}  # of TIFF no more than a tile is held
    output = whole.get(FORMATS[suffix].name, asked * OUTPUT_BYTES.get(suffix, JPEG_BYTES))
    compared = asked * CANVAS_BYTES if options.compare else 0
    return given + encoded + WORKING_BYTES + output + compared + (asked * turns * FLOAT_BYTES if joint else 0)
