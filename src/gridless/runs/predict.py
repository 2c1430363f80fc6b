"""A picture file in, a larger picture file out: grey stays grey, alpha and 16 bits are kept."""

import sys
from collections.abc import Callable
from math import inf, prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from gridless.bases import Interpolation
from gridless.coords import scaled
from gridless.data.picture_writing import FORMATS, check_holds, write_photo
from gridless.data.pictures import ImageError, Photo, read_photo
from gridless.data.tiles import write_tiles
from gridless.model import FieldModel
from gridless.network.mosaic import BYTES_KEPT
from gridless.nn.memory import free_memory
from gridless.samples import Samples

Part = tuple[slice, slice]
# Measured with the photo recipe's model on a CPU, peak of the process above the model:
INPUT_BYTES = 40  # of a pixel as stored, as floats, and as the model's samples
ENCODED_BYTES = 640  # of a pixel's features in the windows it lies in; BYTES_KEPT is their most
OUTPUT_BYTES = 16  # of a sample: the answer, two float copies while it is rounded, the integers and their encoding
WORKING_BYTES = 1 << 26  # of one block of questions on its way through the network


def predict_file(model: FieldModel, source: str | Path, target: str | Path, scale: float) -> tuple[int, int]:
    """Write `source` at `scale` times its size to `target`; returns the new (height, width).

    A TIFF is written tile by tile and may be larger than memory. A colour profile other than sRGB is said on stderr.
    Raises ImageError for files that cannot be read or written, before anything is computed, ImportError for a TIFF
    without tifffile. `target` appears whole or not at all.
    """
    target, suffix = Path(target), Path(target).suffix.lower()
    if not 0 < scale < inf:
        raise ImageError(f"scale must be a positive number, got {scale:g}")
    photo = read_photo(source)
    height, width = scaled(photo.shape[:2], scale)
    tiled = suffix in FORMATS and FORMATS[suffix].name == "TIFF"
    depth = photo.depth if tiled or suffix == ".png" else 8
    check_holds(target, (height, width, photo.shape[2]), depth, photo.alpha is not None, tiled)
    shape = (height, width, photo.shape[2] + (photo.alpha is not None))
    needed, free = memory_needed(photo, shape, tiled), free_memory(torch.device("cpu"))
    if needed > free:
        advice = "make a smaller picture" if tiled else "write a .tif, which needs little beyond the input"
        raise ImageError(
            f"scale {scale:g} makes {height * width:,} pixels of {photo.shape[0]}×{photo.shape[1]}: as {suffix} that takes "
            f"about {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} are free; {advice}"
        )
    if photo.profile is not None:
        print(
            f"gridless: {source} has the colour profile {photo.profile}, which is read as sRGB; colours may shift",
            file=sys.stderr,
        )
    answer = answerer(model, photo, (height, width))
    if tiled:
        write_tiles(target, shape, answer, depth)
        return height, width
    values = answer((slice(None), slice(None)))
    values, alpha = (values, None) if photo.alpha is None else (values[..., :-1], values[..., -1])
    write_photo(target, values, depth=depth, alpha=alpha)
    return height, width


def memory_needed(photo: Photo, shape: tuple[int, int, int], tiled: bool) -> int:
    """About how many bytes of memory a picture takes on its way to one of `shape` (H, W, C with alpha), beyond the
    model's own: the input, its encoded windows, the network at work, and, unless it is written in tiles, the output."""
    pixels = prod(photo.shape[:2])
    encoded = min(BYTES_KEPT, pixels * ENCODED_BYTES)
    output = 0 if tiled else prod(shape) * OUTPUT_BYTES
    return pixels * INPUT_BYTES + encoded + WORKING_BYTES + output


def answerer(model: FieldModel, photo: Photo, shape: tuple[int, int]) -> Callable[[Part], Float32[np.ndarray, "h w C"]]:
    """A function of rows and columns that gives the picture at `shape` there: values (h w C), alpha the last if any.

    The network sees RGB; a grey picture is the mean of its channels. Alpha is interpolated: it is a shape, not a
    photograph. What lies under full transparency is nobody's colour: there the network sees that of the visible pixels
    around, so that their edges keep it; where the answer is fully transparent it holds the stored colour again."""
    values = torch.from_numpy(photo.values)
    seen, peak, alpha = values, 2**photo.depth - 1, None
    least = 0.5 / peak  # below it an answer's alpha is written as 0
    if photo.alpha is not None:
        seen = torch.from_numpy(spread_colours(photo.values, photo.alpha > 0))
        opaque = torch.from_numpy(photo.alpha.astype(np.float32) / peak)[..., None]
        alpha = Interpolation("bicubic").encode(Samples.from_grid(opaque))
    seen = seen.expand(-1, -1, 3) if seen.shape[-1] == 1 else seen
    with torch.no_grad():
        field = model.encode(Samples.from_grid(seen).to(next(model.parameters()).device))

    whole = field.to_image(shape=shape) if field.joint else None  # its questions cannot be asked apart

    def answer(part: Part) -> np.ndarray:
        picture = (field.to_image(shape=shape, part=part) if whole is None else whole[part]).cpu()
        if values.shape[-1] == 1:
            picture = picture.mean(-1, keepdim=True)
        if alpha is not None:
            opacity = alpha.to_image(shape=shape, part=part)
            rows, columns = (
                torch.arange(n)[p] * size // n for n, p, size in zip(shape, part, values.shape[:2], strict=True)
            )
            hidden = values[rows][:, columns]  # the stored pixel that the asked one begins in
            picture = torch.cat([torch.where(opacity <= least, hidden, picture), opacity], -1)
        return picture.numpy()

    return answer


def spread_colours(values: Float32[np.ndarray, "H W C"], visible: np.ndarray) -> Float32[np.ndarray, "H W C"]:
    """Visible pixels as they are; a hidden one takes the mean of the visible ones in the smallest block of 2^k × 2^k
    that has some (the push and pull of Gortler et al. 1996, "The Lumigraph", section 3.6, without its smoothing)."""
    if visible.all() or not visible.any():
        return values
    (height, width), weight = visible.shape, visible[..., None].astype(np.float32)
    even = ((0, height % 2), (0, width % 2), (0, 0))

    def halved(x: np.ndarray) -> np.ndarray:
        x = np.pad(x, even)
        return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]

    count = halved(weight)
    coarse = spread_colours(halved(values * weight) / np.maximum(count, 1), count[..., 0] > 0)
    return np.where(weight > 0, values, coarse.repeat(2, 0).repeat(2, 1)[:height, :width])
