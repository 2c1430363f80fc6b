"""Pictures, and reading them with nothing lost.

    file -> read_photo -> Photo (integers, as stored) -> .values in [0, 1] -> model -> write_photo -> file

Pillow does the decoding, under rules of ours: the header is judged before a pixel is allocated, a file that holds less
or more than one whole picture is an error rather than a grey area or a first frame, and 16-bit colour stays 16-bit
(Pillow alone silently keeps the high byte of it).
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from jaxtyping import Float32, UInt, UInt8
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from . import headers
from .completeness import check_png, check_tiff, with_other_ends

if TYPE_CHECKING:
    from torch import Tensor

READ_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
"""Of the files that are read; what a file is, its bytes say."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")  # Pillow's others may start external programs
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f\ud800-\udfff]")  # in a name that becomes part of a path


class ImageError(ValueError):
    """A picture that cannot be read, written or used; one line: what came, what was expected, what to do."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture as it was stored. Raises ImageError for arrays that are none, and for a name that is no file name."""

    name: str
    """Safe as a file name: reports and evaluations write into folders of this name."""
    pixels: np.ndarray
    """(H W C) uint8 or uint16, C = 1 grey or 3 RGB."""
    alpha: np.ndarray | None = None
    """(H W) of the same dtype, 0 = transparent; None if the file has none."""
    profile: str | None = None
    """Name of an embedded colour profile other than sRGB. The pixels are as stored, not converted."""

    def __post_init__(self):
        if self.name != safe_name(self.name):
            raise ImageError(
                f"a picture's name must be a file name without folders, got {self.name!r}; try {safe_name(self.name)!r}"
            )
        _check_shape(self.pixels, "pixels")
        if self.pixels.dtype not in (np.uint8, np.uint16):
            raise ImageError(f"pixels are {self.pixels.dtype}, a Photo holds uint8 or uint16; see quantise for floats")
        expected = (self.pixels.dtype, self.pixels.shape[:2])
        if self.alpha is not None and (self.alpha.dtype, self.alpha.shape) != expected:
            raise ImageError(f"alpha is {self.alpha.dtype} {self.alpha.shape}, expected {expected[0]} {expected[1]}")

    @property
    def depth(self) -> int:
        """Bits per sample: 8 or 16."""
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
        """The pixels in [0, 1]; `quantise` at the same depth gives them back exactly."""
        return self.pixels.astype(np.float32) / np.float32(2**self.depth - 1)

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


# ------------------------------------------------------------------------------------------------------------- reading


def read_photo(path: str | os.PathLike, max_pixels: int = 64_000_000) -> Photo:
    """The picture in a PNG, JPEG, WebP, BMP, GIF, AVIF or TIFF file, turned upright by its EXIF orientation.

    16 bits stay 16 bits. CMYK becomes RGB, palettes are looked up, transparency becomes `alpha`. Raises ImageError if the
    file is missing, damaged, cut off or no picture, if it holds several frames, pages or further channels, if reading
    would lose depth, or if the header announces more than `max_pixels` (nothing is decoded then).
    """
    path = Path(path)
    with _opened(path) as file:
        return _decode(path, file, max_pixels)


def photo_size(path: str | os.PathLike, max_pixels: int = 64_000_000) -> tuple[int, int]:
    """(height, width) of the picture that `read_photo` reads, from the header alone. Raises ImageError as it does, for
    what the header says."""
    path = Path(path)
    with _opened(path) as file:
        image = _judged(path, file, max_pixels)
        height, width = image.size[::-1]
        if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
            return height, width  # Pillow has turned the former's; of the latter it would decode the picture to look on
        return (width, height) if image.getexif().get(0x0112, 1) in (5, 6, 7, 8) else (height, width)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, if it is one; whatever a decoder makes of it is said in one line that names it."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ImageError(f"{show(path)} is {kind}, expected one image file; see gridless.data.folder for folders")
        if status.st_size == 0:
            raise ImageError(f"{show(path)} is empty (0 bytes), expected an image; copy or download it again")
        with open(path, "rb") as file, headers.quiet:
            yield file
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{show(path)} does not exist, expected an image file; check the path") from None
    except PermissionError:
        raise ImageError(f"{show(path)} may not be read (permission denied); change its permissions") from None
    except UnidentifiedImageError:
        expected = "PNG, JPEG, WebP, BMP, GIF, AVIF or TIFF"
        if (kind := headers.foreign_kind(path)) is not None:
            raise ImageError(f"{show(path)} is {kind}, which is not read; expected {expected}") from None
        raise ImageError(f"{show(path)} is not an image, or its header is damaged; expected {expected}") from None
    except Image.DecompressionBombError:  # Pillow's own limit, about 179 million pixels
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(f"{show(path)} announces more than {limit} pixels, Pillow's limit; cut it up first") from None
    except Exception as error:  # a decoder fed with damaged bytes raises anything: OSError, SyntaxError, struct.error …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{show(path)} is damaged or cut off ({reason}); copy or download it again") from error


def _judged(path: Path, file: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    """The file's picture, not decoded yet, if its header announces one that can be read whole."""
    image = _open(file)
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{show(path)} has no pixels (height {height}, width {width}), expected at least 1 x 1")
    if width * height > max_pixels:
        raise ImageError(
            f"{show(path)} announces {height} x {width} = {height * width} pixels, the limit is {max_pixels}; "
            "if you trust it, raise max_pixels"
        )
    if (parts := headers.several(image)) is not None:
        raise ImageError(
            f"{show(path)} holds {parts}, expected one picture; save the one you want as a file of its own"
        )
    if (reason := headers.loss(image, file)) is not None:
        raise ImageError(f"{show(path)} {reason}; save it as PNG")
    return image


def _decode(path: Path, file: BinaryIO, max_pixels: int) -> Photo:
    image = _judged(path, file, max_pixels)
    profile = headers.profile_name(image)
    file.seek(0)
    data, depth, colour_type = file.read(), 8, None
    if image.format == "PNG":
        depth, colour_type = check_png(data)
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        check_tiff(image.tag_v2, data)
        headers.silence_libtiff()
        depth = max(headers.bits(image))
    elif image.format in ("JPEG", "MPO"):
        other = with_other_ends(data)
        if other is not None and not np.array_equal(np.asarray(image), np.asarray(_open(io.BytesIO(other)))):
            raise ValueError("its data end before its last pixel")
    if depth == 16 and (colour_type or image.mode in ("RGB", "RGBA")):
        samples, transparent = _samples_16(io.BytesIO(data), colour_type)
    else:
        samples, transparent = _samples(path, image, depth)

    has_alpha = samples.shape[-1] in (2, 4)
    pixels, alpha = (samples[..., :-1], samples[..., -1]) if has_alpha else (samples, None)
    if transparent is not None and alpha is None:  # one colour is declared transparent (a PNG's tRNS chunk)
        hidden = (pixels == np.asarray(transparent)).all(axis=-1)
        alpha = np.where(hidden, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    alpha = None if alpha is None else np.ascontiguousarray(alpha)
    return Photo(safe_name(path.stem), np.ascontiguousarray(pixels), alpha, profile)


def _samples(path: Path, image: Image.Image, depth: int) -> tuple[np.ndarray, object]:
    """What Pillow reads losslessly: (H W 1|2|3|4) samples and the transparent colour, if one is declared."""
    ImageOps.exif_transpose(image, in_place=True)
    transparent = image.info.get("transparency") if image.mode in ("1", "L", "RGB", "I;16") else None
    if image.mode == "L" and depth < 8 and transparent is not None:
        transparent *= 255 // (2**depth - 1)  # Pillow scales 2- and 4-bit greys to 8 bits, but not this one
    match image.mode:
        case "L" | "LA" | "RGB" | "RGBA":
            pass
        case "1":
            image = image.convert("L")
        case "P" | "PA":
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        case "La" | "RGBa":
            image = image.convert(image.mode.upper())
        case "CMYK" | "YCbCr":
            image = image.convert("RGB")
        case "I;16" | "I;16B" | "I;16L":
            return np.asarray(image).astype(np.uint16)[..., None], transparent
        case mode:
            raise ImageError(f"{show(path)} holds {mode} samples, expected 8- or 16-bit grey or RGB; save it as PNG")
    return np.atleast_3d(np.asarray(image)), transparent


def _samples_16(file: io.BytesIO, colour_type: int | None) -> tuple[np.ndarray, object]:
    """16-bit colour, or grey with alpha: (H W 2|3|4) uint16 samples and the transparent colour, if one is declared.

    Pillow has no 16-bit colour mode. Its decoder, told how to unpack the bytes of a pixel, gives us each of them: a PNG's
    grey with alpha is four bytes, "an RGBA pixel"; colour is read twice, in its own byte order (the high bytes) and, on
    purpose, in the other (the low bytes). A reader in pure Python would need some 2 s per million pixels.
    """
    if colour_type == 4:
        samples, transparent = _unpack(file, {"LA;16B": "RGBA"})
        return samples.view(">u2").astype(np.uint16), transparent
    native, other = ("L", "B") if sys.byteorder == "little" else ("B", "L")
    orders = {"L": "B", "B": "L", "N": other}
    high, transparent = _unpack(file, {})
    low, _ = _unpack(file, {f"{m};16{o}": f"{m};16{orders[o]}" for m in ("RGB", "RGBX", "RGBA") for o in orders})
    return high.astype(np.uint16) << 8 | low, transparent


def _unpack(file: io.BytesIO, raw_modes: dict[str, str]) -> tuple[np.ndarray, object]:
    image = _open(file)
    image.tile = [tile._replace(args=_replaced(tile.args, raw_modes)) for tile in image.tile]
    ImageOps.exif_transpose(image, in_place=True)
    return np.ascontiguousarray(image), image.info.get("transparency")


def _replaced(args: str | tuple | None, raw_modes: dict[str, str]) -> str | tuple | None:
    if args is None:
        return None
    mode, rest = (args, None) if isinstance(args, str) else (args[0], args[1:])
    mode = raw_modes.get(mode, mode)
    return mode if rest is None else (mode, *rest)


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    """Reads the header only, and knows the listed formats only."""
    file.seek(0)
    return Image.open(file, formats=_FORMATS)


# -------------------------------------------------------------------------------------------------------------- shared


def as_image(samples: np.ndarray) -> Image.Image:
    """Samples (H W 1|2|3|4) as Pillow's image."""
    return Image.fromarray(samples[..., 0] if samples.shape[-1] == 1 else samples)


def show(path: str | os.PathLike) -> str:
    """A path in a message, on one line whatever it holds."""
    return repr(str(path))


def _check_shape(array: np.ndarray, what: str) -> None:
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ImageError(f"{what} have shape {tuple(array.shape)}, expected (H, W, C) with C = 1 (grey) or 3 (RGB)")
