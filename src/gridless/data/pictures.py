"""Pictures: as stored, as values, as integers again.

file -> read_photo -> Photo (integers, as stored) -> .values in [0, 1] -> model -> write_photo -> file
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt, UInt8
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f\ud800-\udfff]")  # in a name that becomes part of a path


class ImageError(ValueError):
    """A picture that cannot be read, written or used; one line: what came, what was expected, what to do."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture as it was stored. Raises ImageError for arrays that are none, and for a name that is no file name."""

    name: str
    """Safe as a file name: reports and evaluations write into folders of this name."""
    pixels: np.ndarray
    """(H W C) uint8, uint16, or float32 in units of its own; C = 1 grey or 3 RGB, encoded as the file's profile says."""
    alpha: np.ndarray | None = None
    """(H W) of the same dtype, 0 = transparent; None if the file has none."""

    def __post_init__(self):
        if self.name != safe_name(self.name):
            raise ImageError(
                f"a picture's name must be a file name without folders, got {self.name!r}; try {safe_name(self.name)!r}"
            )
        _check_shape(self.pixels, "pixels")
        if self.pixels.dtype not in (np.uint8, np.uint16, np.float32):
            raise ImageError(f"pixels are {self.pixels.dtype}, a Photo holds uint8, uint16 or float32; see quantise")
        expected = (self.pixels.dtype, self.pixels.shape[:2])
        if self.alpha is not None and (self.alpha.dtype, self.alpha.shape) != expected:
            raise ImageError(f"alpha is {self.alpha.dtype} {self.alpha.shape}, expected {expected[0]} {expected[1]}")

    @property
    def depth(self) -> int:
        """Bits per sample: 8, 16, or 32 of floating-point numbers."""
        return 8 * self.pixels.dtype.itemsize

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.pixels.shape

    @property
    def nbytes(self) -> int:
        """Bytes of memory that pixels and alpha take."""
        return self.pixels.nbytes + (0 if self.alpha is None else self.alpha.nbytes)

    @property
    def values(self) -> Float32[np.ndarray, "H W C"]:
        """Integers in [0, 1], which `quantise` at the same depth gives back exactly; floats as they are."""
        return self.pixels if self.depth == 32 else self.pixels.astype(np.float32) / np.float32(2**self.depth - 1)

    def rgb(self) -> UInt[np.ndarray, "H W 3"]:
        """The pixels with three channels, grey repeated."""
        return np.broadcast_to(self.pixels, (*self.shape[:2], 3)).copy()


def safe_name(text: str) -> str:
    """The text as a file name: separators, control characters and bytes that are no text become '-', as do
    names made of dots; never empty."""
    text = _UNSAFE.sub("-", text)
    return text if text.strip(". ") else text.replace(".", "-").replace(" ", "-") or "-"


def quantise(values: np.ndarray | Tensor, depth: int = 8) -> UInt[np.ndarray, "H W C"]:
    """Float values (H W C), array or tensor -> integers: clipped to [0, 1], scaled, rounded half to even.

    Raises ImageError for integers (their range would be a guess), NaN, or a shape that is no picture.
    """
    if hasattr(values, "detach"):  # a tensor, known without importing torch; numpy has no bfloat16
        tensor: Any = values
        tensor = tensor.detach().cpu()
        values = tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor
    values = np.asarray(values)
    _check_shape(values, "values")
    if not np.issubdtype(values.dtype, np.floating):
        raise ImageError(f"values are {values.dtype}, expected floats in [0, 1]; divide them by 255 or 65535 first")
    if missing := int(np.isnan(values).sum()):
        raise ImageError(f"{missing} of {values.size} values are NaN; fill or mask them first")
    scaled = np.clip(values.astype(np.promote_types(values.dtype, np.float32)), 0, 1)
    scaled *= 2**depth - 1
    return np.rint(scaled, out=scaled).astype(np.uint8 if depth == 8 else np.uint16)


def quantise_with_alpha(values: np.ndarray | Tensor, depth: int = 8) -> UInt[np.ndarray, "H W C"]:
    """As `quantise`, of 1 … 4 channels: grey or RGB, and alpha where there are 2 or 4."""
    if values.shape[-1] % 2:
        return quantise(values, depth)
    return np.concatenate([quantise(values[..., :-1], depth), quantise(values[..., -1:], depth)], -1)


def resize_bicubic(pixels: np.ndarray, size: tuple[int, int]) -> UInt8[np.ndarray, "h w C"]:
    """Pillow's 8-bit bicubic, uint8 (H W C) -> (h w C), antialiased: how the protocol makes low-resolution inputs."""
    _check_shape(pixels, "pixels")
    if pixels.dtype != np.uint8:
        raise ImageError(f"pixels are {pixels.dtype}, the 8-bit protocol takes uint8; see quantise")
    height, width = size
    if height < 1 or width < 1:
        raise ImageError(f"cannot resize {pixels.shape[:2]} to {tuple(size)}, expected at least one row and one column")
    resized = as_image(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized).reshape(height, width, -1).copy()


def as_image(samples: np.ndarray) -> Image.Image:
    """Samples (H W 1|2|3|4) as Pillow's image."""
    return Image.fromarray(samples[..., 0] if samples.shape[-1] == 1 else samples)


def show(path: str | os.PathLike) -> str:
    """A path in a message, on one line whatever it holds."""
    return repr(str(path))


def _check_shape(array: np.ndarray, what: str) -> None:
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ImageError(f"{what} have shape {tuple(array.shape)}, expected (H, W, C) with C = 1 (grey) or 3 (RGB)")
