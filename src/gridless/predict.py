"""A picture file in, a larger picture file out: grey stays grey, alpha and 16 bits are kept."""

from math import inf
from pathlib import Path

import numpy as np
import torch

from gridless.bases import Interpolation
from gridless.data.images import FORMATS, ImageError, Photo, read_photo, write_photo
from gridless.model import FieldModel
from gridless.samples import Samples

LARGEST = 400_000_000  # pixels of an answer; more does not fit into most machines' memory


def predict_file(model: FieldModel, source: str | Path, target: str | Path, scale: float) -> tuple[int, int]:
    """Write `source` at `scale` times its size to `target`; returns the new (height, width).

    Raises ImageError for files that cannot be read or written. `target` appears whole or not at all.
    """
    target, suffix = Path(target), Path(target).suffix.lower()
    if suffix not in FORMATS:
        raise ImageError(f"{target} ends in {suffix!r}, expected one of {' '.join(FORMATS)}")
    if not target.parent.is_dir():
        raise ImageError(f"the folder {target.parent} does not exist; make it first")
    if not 0 < scale < inf:
        raise ImageError(f"scale must be a positive number, got {scale:g}")
    photo = read_photo(source)
    size = round(photo.shape[0] * scale) * round(photo.shape[1] * scale)
    if not 0 < size <= LARGEST:
        raise ImageError(
            f"scale {scale:g} makes {size:,} pixels of {photo.shape[0]}×{photo.shape[1]}; expected 1 … {LARGEST:,}"
        )
    if photo.alpha is not None and FORMATS[suffix] in ("JPEG", "BMP"):
        raise ImageError(f"{source} has transparency, which {suffix} cannot hold; write a .png")
    values, alpha = answer(model, photo, scale)
    depth = photo.depth if suffix == ".png" else 8
    write_photo(target, values, depth=depth, alpha=alpha)
    return values.shape[:2]


def answer(model: FieldModel, photo: Photo, scale: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Values (H W C) and alpha (H W) at `scale`. The network sees RGB; a grey picture is the mean of its channels.
    Alpha is interpolated: it is a shape, not a photograph."""
    device = next(model.parameters()).device
    values = torch.from_numpy(photo.values)
    seen = values.expand(-1, -1, 3) if values.shape[-1] == 1 else values
    with torch.no_grad():
        picture = model.encode(Samples.from_grid(seen).to(device)).to_image(scale).cpu()
    if values.shape[-1] == 1:
        picture = picture.mean(-1, keepdim=True)
    if photo.alpha is None:
        return picture.numpy(), None
    alpha = torch.from_numpy(photo.alpha.astype(np.float32) / (2**photo.depth - 1))[..., None]
    shape = tuple(picture.shape[:2])
    return picture.numpy(), Interpolation("bicubic").encode(Samples.from_grid(alpha)).to_image(shape=shape)[
        ..., 0
    ].numpy()
