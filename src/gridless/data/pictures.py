"""Reading and writing pictures, nothing lost.

    file -> read_photo -> Photo (integers, as stored) -> .values in [0, 1] -> model -> write_photo -> file

Pillow does the decoding, under three rules of ours: the header is judged before a pixel is allocated, a damaged file is
an error rather than a grey area, and 16-bit colour stays 16-bit (Pillow alone silently keeps the high byte of it).
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Suffix -> Pillow's name of the formats that are written; GIF (its first frame) is read as well."""

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # samples per pixel -> colour type in a PNG header


class ImageError(ValueError):
    """A picture that cannot be read, written or used; one line: what came, what was expected, what to do."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture as it was stored."""

    name: str
    pixels: np.ndarray
    """(H W C) uint8 or uint16, C = 1 grey or 3 RGB."""
    alpha: np.ndarray | None = None
    """(H W) of the same dtype, 0 = transparent; None if the file has none."""

    def __post_init__(self):
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
    def values(self) -> Float32[np.ndarray, "H W C"]:
        """The pixels in [0, 1]; `quantise` at the same depth gives them back exactly."""
        return self.pixels.astype(np.float32) / np.float32(2**self.depth - 1)

    def rgb(self) -> UInt[np.ndarray, "H W 3"]:
        """The pixels with three channels, grey repeated."""
        return np.broadcast_to(self.pixels, (*self.shape[:2], 3)).copy()


def quantise(values: np.ndarray, depth: int = 8) -> UInt[np.ndarray, "H W C"]:
    """Float values (H W C), array or tensor -> integers: clipped to [0, 1], scaled, rounded half to even.

    Raises ImageError for integers (their range would be a guess), NaN, or a shape that is no picture.
    """
    if hasattr(values, "detach"):  # a tensor, known without importing torch; numpy has no bfloat16
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
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
    resized = _to_pillow(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized).reshape(height, width, -1).copy()


# ------------------------------------------------------------------------------------------------------------- reading


def read_photo(path: str | os.PathLike, max_pixels: int = 64_000_000) -> Photo:
    """The picture in a PNG, JPEG, WebP, BMP, GIF (first frame) or TIFF file, turned upright by its EXIF orientation.

    16-bit PNG of every kind and 16-bit grey TIFF stay 16-bit. CMYK becomes RGB, palettes are looked up, transparency
    becomes `alpha`. Raises ImageError if the file is missing, damaged, cut off or no picture, if reading would lose
    depth, or if the header announces more than `max_pixels` (nothing is decoded then).
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ImageError(f"{_show(path)} is {kind}, expected one image file; see gridless.data.folder for folders")
        if status.st_size == 0:
            raise ImageError(f"{_show(path)} is empty (0 bytes), expected an image; copy or download it again")
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about large pictures and odd metadata; size is an error here
            return _decode(path, file, max_pixels)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{_show(path)} does not exist, expected an image file; check the path") from None
    except PermissionError:
        raise ImageError(f"{_show(path)} may not be read (permission denied); change its permissions") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{_show(path)} is not an image, or its header is damaged; expected PNG, JPEG, WebP, BMP, GIF or TIFF"
        ) from None
    except Image.DecompressionBombError:  # Pillow's own limit, about 179 million pixels
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(f"{_show(path)} announces more than {limit} pixels, Pillow's limit; cut it up first") from None
    except Exception as error:  # a decoder fed with damaged bytes raises anything: OSError, SyntaxError, struct.error …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{_show(path)} is damaged or cut off ({reason}); copy or download it again") from error


def _decode(path: Path, file: io.BufferedIOBase, max_pixels: int) -> Photo:
    image = _open(file)
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{_show(path)} has no pixels (height {height}, width {width}), expected at least 1 x 1")
    if width * height > max_pixels:
        raise ImageError(
            f"{_show(path)} announces {height} x {width} = {height * width} pixels, the limit is {max_pixels}; "
            "if you trust it, raise max_pixels"
        )
    depth, colour_type = 8, None
    if image.format == "PNG":
        file.seek(24)
        depth, colour_type = file.read(2)
        image.verify()  # the checksum of every chunk up to the end mark: Pillow skips them when it decodes
        image = _open(file)
    if image.format == "TIFF":
        bits, photometric = image.tag_v2.get(258, (1,)), image.tag_v2.get(262)
        if max(bits) > 8 and (tuple(bits) != (16,) or photometric != 1 or not image.mode.startswith("I;16")):
            raise ImageError(
                f"{_show(path)} is a TIFF of {'+'.join(map(str, bits))} bits, which cannot be read without loss; "
                "expected 8 bits or 16-bit grey: save it as a 16-bit PNG"
            )
    if depth == 16 and colour_type != 0:
        samples, transparent = _samples_16(file, colour_type)
    else:
        samples, transparent = _samples(path, image, depth)

    has_alpha = samples.shape[-1] in (2, 4)
    pixels, alpha = (samples[..., :-1], samples[..., -1]) if has_alpha else (samples, None)
    if transparent is not None and alpha is None:  # one colour is declared transparent (a PNG's tRNS chunk)
        hidden = (pixels == np.asarray(transparent)).all(axis=-1)
        alpha = np.where(hidden, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return Photo(path.stem, np.ascontiguousarray(pixels), None if alpha is None else np.ascontiguousarray(alpha))


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
            raise ImageError(f"{_show(path)} holds {mode} samples, expected 8- or 16-bit grey or RGB; save it as PNG")
    return np.atleast_3d(np.asarray(image)), transparent


def _samples_16(file: io.BufferedIOBase, colour_type: int) -> tuple[np.ndarray, object]:
    """A 16-bit PNG in colour or with alpha: (H W 2|3|4) uint16 samples and the transparent colour, if one is declared.

    Pillow has no 16-bit colour mode. Its decoder, told how to unpack the bytes of a pixel, gives us each of them: grey
    with alpha is four bytes, "an RGBA pixel"; colour is read twice, as big-endian (the high bytes) and, on purpose, as
    little-endian (the low bytes). A reader in pure Python would need some 2 s per million pixels.
    """
    if colour_type == 4:
        samples, transparent = _unpack(file, "RGBA")
        return samples.view(">u2").astype(np.uint16), transparent
    mode = "RGB" if colour_type == 2 else "RGBA"
    high, transparent = _unpack(file, f"{mode};16B")
    low, _ = _unpack(file, f"{mode};16L")
    return high.astype(np.uint16) << 8 | low, transparent


def _unpack(file: io.BufferedIOBase, raw_mode: str) -> tuple[np.ndarray, object]:
    image = _open(file)
    image.tile = [image.tile[0]._replace(args=raw_mode)]
    ImageOps.exif_transpose(image, in_place=True)
    return np.ascontiguousarray(image), image.info.get("transparency")


def _open(file: io.BufferedIOBase) -> Image.Image:
    """Reads the header only, and knows the listed formats only (others start external programs)."""
    return Image.open(file, formats=(*dict.fromkeys(FORMATS.values()), "GIF"))


# ------------------------------------------------------------------------------------------------------------- writing


def write_photo(path: str | os.PathLike, values: np.ndarray, depth: int = 8, alpha: np.ndarray | None = None) -> None:
    """Writes values (H W C) in [0, 1], clipped and rounded by `quantise`, in the format that the suffix names.

    depth  8 or 16; 16 for .png, and for grey without alpha .tif
    alpha  (H W) in [0, 1], 0 = transparent; .png, .webp and .tif keep it
    Everything is lossless but JPEG (quality 95, no chroma subsampling). The file appears whole or not at all: if
    anything fails, an older file of that name is untouched. Raises ImageError, also if the folder does not exist.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ImageError(f"{_show(path)} ends in {path.suffix!r}, expected one of {' '.join(FORMATS)}")
    if depth not in (8, 16):
        raise ImageError(f"depth is {depth!r}, expected 8 or 16 bits per sample")
    if alpha is not None and FORMATS[suffix] in ("JPEG", "BMP"):
        raise ImageError(f"{_show(path)}: {suffix} cannot keep alpha; use .png, or composite the picture first")

    samples = quantise(values, depth)
    if alpha is not None:
        if tuple(alpha.shape) != samples.shape[:2]:
            raise ImageError(f"alpha has shape {tuple(alpha.shape)}, expected (H, W) = {samples.shape[:2]}")
        samples = np.concatenate([samples, quantise(alpha[..., None], depth)], axis=-1)
    if depth == 16 and not (suffix == ".png" or (FORMATS[suffix] == "TIFF" and samples.shape[-1] == 1)):
        raise ImageError(f"{_show(path)}: {suffix} cannot keep 16 bits of {samples.shape[-1]} channels; use .png")
    if not path.parent.is_dir():
        raise ImageError(f"the folder {_show(path.parent)} does not exist; create it first")
    try:
        data = _encode_png_16(samples) if depth == 16 and suffix == ".png" else _encode(samples, FORMATS[suffix])
    except (OSError, ValueError, struct.error) as error:  # the format's own limits, such as 16383 pixels in WebP
        raise ImageError(f"{_show(path)}: {suffix} cannot hold {samples.shape} samples ({error}); use .png") from error
    with aside(path) as file:
        file.write(data)


def _encode(samples: np.ndarray, format: str) -> bytes:
    if format == "WEBP" and samples.shape[-1] < 3:  # WebP has no grey
        samples = np.concatenate([samples[..., :1]] * 3 + [samples[..., 1:]], axis=-1)
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}.get(format, {})
    buffer = io.BytesIO()
    _to_pillow(samples).save(buffer, format=format, **options)
    return buffer.getvalue()


def _encode_png_16(samples: UInt[np.ndarray, "H W C"]) -> bytes:
    """A PNG of 16-bit samples, C = 1 … 4 (Pillow writes only C = 1): header, one compressed block, end mark."""
    height, width, channels = samples.shape
    row = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    left = np.pad(row, ((0, 0), (2 * channels, 0)))[:, : -2 * channels]
    # Filter 1, the difference to the same byte of the pixel on the left, compresses better than the bytes themselves.
    filtered = np.pad(row - left, ((0, 0), (1, 0)), constant_values=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPE[channels], 0, 0, 0)
    blocks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(filtered.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + blocks


@contextmanager
def aside(path: Path) -> Iterator[io.BufferedIOBase]:
    """Whole or not at all: a temporary file in the same folder, so on the same disk, takes the name once complete."""
    temporary = path.parent / f".gridless-{secrets.token_hex(6)}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException as error:  # KeyboardInterrupt too must leave nothing behind
        temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise ImageError(f"{_show(path)} cannot be written ({error.strerror or error})") from error


def _to_pillow(samples: np.ndarray) -> Image.Image:
    return Image.fromarray(samples[..., 0] if samples.shape[-1] == 1 else samples)


def _check_shape(array: np.ndarray, what: str) -> None:
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ImageError(f"{what} have shape {tuple(array.shape)}, expected (H, W, C) with C = 1 (grey) or 3 (RGB)")


def _show(path: Path) -> str:
    return repr(str(path))  # keeps a message on one line whatever the name holds
