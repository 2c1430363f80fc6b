"""A picture file in, a larger picture file out: grey stays grey, alpha and 16 bits are kept."""

from collections.abc import Callable
from math import inf
from pathlib import Path

import numpy as np
import torch

from gridless.bases import Interpolation
from gridless.data.pictures import FORMATS, ImageError, Photo, read_photo, write_photo
from gridless.data.tiles import write_tiles
from gridless.field import scaled
from gridless.model import FieldModel
from gridless.nn.memory import free_memory
from gridless.samples import Samples

Part = tuple[slice, slice]
BYTES_A_SAMPLE = 12  # the answer, its float copy in `quantise`, the integers and their encoding


def predict_file(model: FieldModel, source: str | Path, target: str | Path, scale: float) -> tuple[int, int]:
    """Write `source` at `scale` times its size to `target`; returns the new (height, width).

    A TIFF is written tile by tile and may be larger than memory. Raises ImageError for files that cannot be read or
    written, ImportError for a TIFF without tifffile. `target` appears whole or not at all.
    """
    target, suffix = Path(target), Path(target).suffix.lower()
    if suffix not in FORMATS:
        raise ImageError(f"{target} ends in {suffix!r}, expected one of {' '.join(FORMATS)}")
    if not target.parent.is_dir():
        raise ImageError(f"the folder {target.parent} does not exist; make it first")
    if not 0 < scale < inf:
        raise ImageError(f"scale must be a positive number, got {scale:g}")
    photo = read_photo(source)
    if photo.alpha is not None and FORMATS[suffix] in ("JPEG", "BMP"):
        raise ImageError(f"{source} has transparency, which {suffix} cannot hold; write a .png")
    height, width = scaled(photo.shape[:2], scale)
    shape = (height, width, photo.shape[2] + (photo.alpha is not None))
    if FORMATS[suffix] == "TIFF":
        write_tiles(target, shape, answerer(model, photo, (height, width)), photo.depth)
        return height, width
    needed, free = np.prod(shape, dtype=float) * BYTES_A_SAMPLE, free_memory(torch.device("cpu"))
    if needed > free:
        raise ImageError(
            f"scale {scale:g} makes {height * width:,} pixels of {photo.shape[0]}×{photo.shape[1]}: as {suffix} that takes "
            f"about {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} are free; write a .tif, which needs little"
        )
    values = answerer(model, photo, (height, width))((slice(None), slice(None)))
    values, alpha = (values, None) if photo.alpha is None else (values[..., :-1], values[..., -1])
    write_photo(target, values, depth=photo.depth if suffix == ".png" else 8, alpha=alpha)
    return height, width


def answerer(model: FieldModel, photo: Photo, shape: tuple[int, int]) -> Callable[[Part], np.ndarray]:
    """A function of rows and columns that gives the picture at `shape` there: values (h w C), alpha the last if any.

    The network sees RGB; a grey picture is the mean of its channels. Alpha is interpolated: it is a shape, not a
    photograph."""
    values, alpha = torch.from_numpy(photo.values), None
    seen = values.expand(-1, -1, 3) if values.shape[-1] == 1 else values
    with torch.no_grad():
        field = model.encode(Samples.from_grid(seen).to(next(model.parameters()).device))
    if photo.alpha is not None:
        shape_of = torch.from_numpy(photo.alpha.astype(np.float32) / (2**photo.depth - 1))[..., None]
        alpha = Interpolation("bicubic").encode(Samples.from_grid(shape_of))

    whole = field.to_image(shape=shape) if field.joint else None  # its questions cannot be asked apart

    def answer(part: Part) -> np.ndarray:
        picture = (field.to_image(shape=shape, part=part) if whole is None else whole[part]).cpu()
        if values.shape[-1] == 1:
            picture = picture.mean(-1, keepdim=True)
        if alpha is not None:
            picture = torch.cat([picture, alpha.to_image(shape=shape, part=part)], -1)
        return picture.numpy()

    return answer
