"""Reading pictures with nothing lost.

Pillow does the decoding, under rules of ours: the header is judged before a pixel is allocated, a file that holds less
or more than one whole picture is an error rather than a grey area or a first frame, and 16-bit colour stays 16-bit
(Pillow alone silently keeps the high byte of it). tifffile reads what Pillow does not: TIFFs of floating-point numbers.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from . import colours, headers
from .completeness import check_png, check_tiff, with_other_ends
from .pictures import ImageError, Photo, safe_name, show

READ_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
"""Of the files that are read; what a file is, its bytes say."""
MAX_PIXELS = 64_000_000

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")  # Pillow's others may start external programs

for _name in (
    "PIL",
    "tifffile",
):  # what they log of damaged files is an error here; without a handler it would be printed
    logging.getLogger(_name).addHandler(logging.NullHandler())

Source = str | os.PathLike | io.BytesIO
"""A path, or the bytes of a file that has none."""


def read_photo(
    source: Source, max_pixels: int = MAX_PIXELS, *, frame: int | None = None, floats: bool = False
) -> Photo:
    """The picture in a PNG, JPEG, WebP, BMP, GIF, AVIF or TIFF file, turned upright by its EXIF orientation.

    16 bits stay 16 bits. CMYK becomes sRGB by the file's colour profile, palettes are looked up, transparency becomes
    `alpha`. RGB and grey are as stored, whatever their profile.
    frame   of an animation or a TIFF of several pages, from 0 on; None: the file must hold one picture
    floats  TIFFs of floating-point numbers are read too, as float32 in units of their own (with tifffile)
    Raises ImageError if the file is missing, damaged, cut off or no picture, if it holds several frames, pages or further
    channels, if reading would lose depth, or if the header announces more than `max_pixels` (nothing is decoded then).
    """
    with opened(source) as (path, file):
        if floats and headers.holds_floats(file):
            return _read_floats(path, file, max_pixels, frame)
        return _decode(path, file, max_pixels, frame)


def frame_count(source: Source) -> int:
    """How many frames of an animation, or pages of a TIFF, `read_photo` can read one by one. Raises ImageError."""
    with opened(source) as (_, file):
        if headers.holds_floats(file):
            file.seek(0)
            return len(_tifffile().TiffFile(file).pages)
        return len(headers.frame_numbers(_open(file)))


def photo_size(source: Source, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) of the picture that `read_photo` reads, from the header alone. Raises ImageError as it does, for
    what the header says."""
    with opened(source) as (path, file):
        image = _judged(path, file, max_pixels)
        height, width = image.size[::-1]
        if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
            return height, width  # Pillow has turned the former's; of the latter it would decode the picture to look on
        return (width, height) if image.getexif().get(0x0112, 1) in (5, 6, 7, 8) else (height, width)


@contextmanager
def opened(source: Source) -> Iterator[tuple[Path, BinaryIO]]:
    """A name for messages and the file, if it is one; whatever a decoder makes of it is said in one line that names it."""
    path = Path("standard input") if isinstance(source, io.BytesIO) else Path(source)
    try:
        with _binary(path, source) as file, headers.quiet:
            try:
                yield path, file
            except UnidentifiedImageError:
                expected = "PNG, JPEG, WebP, BMP, GIF, AVIF or TIFF"
                if (kind := headers.foreign_kind(file)) is not None:
                    raise ImageError(f"{show(path)} is {kind}, which is not read; expected {expected}") from None
                raise ImageError(
                    f"{show(path)} is not an image, or its header is damaged; expected {expected}"
                ) from None
    except (ImageError, ImportError):
        raise
    except FileNotFoundError:
        raise ImageError(f"{show(path)} does not exist, expected an image file; check the path") from None
    except PermissionError:
        raise ImageError(f"{show(path)} may not be read (permission denied); change its permissions") from None
    except Image.DecompressionBombError:  # Pillow's own limit, about 179 million pixels
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(f"{show(path)} announces more than {limit} pixels, Pillow's limit; cut it up first") from None
    except Exception as error:  # a decoder fed with damaged bytes raises anything: OSError, SyntaxError, struct.error …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{show(path)} is damaged or cut off ({reason}); copy or download it again") from error


def header(file: BinaryIO) -> ImageFile.ImageFile:
    """The file's picture, not decoded yet; of the formats that are read only."""
    return _open(file)


@contextmanager
def _binary(path: Path, source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, io.BytesIO):
        if not source.getbuffer().nbytes:
            raise ImageError(f"{show(path)} is empty (0 bytes), expected an image; check what comes before the pipe")
        source.seek(0)
        yield source
        return
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise ImageError(f"{show(path)} is {kind}, expected one image file; see gridless.data.folder for folders")
    if status.st_size == 0:
        raise ImageError(f"{show(path)} is empty (0 bytes), expected an image; copy or download it again")
    with open(path, "rb") as file:
        yield file


def _judged(path: Path, file: BinaryIO, max_pixels: int, frame: int | None = None) -> ImageFile.ImageFile:
    """The file's picture, not decoded yet, if its header announces one that can be read whole."""
    image = _open(file)
    if frame is not None:
        numbers = headers.frame_numbers(image)
        if not 0 <= frame < len(numbers):
            raise ImageError(f"{show(path)} holds {len(numbers)} pictures, there is no number {frame} counted from 0")
        image.seek(numbers[frame])
    _check_size(path, image.height, image.width, max_pixels)
    if (surplus := headers.surplus_channels(image)) is not None:
        raise ImageError(
            f"{show(path)} holds {surplus}, expected one picture; save the one you want as a file of its own"
        )
    if frame is None and (several := headers.several(image)) is not None:
        raise ImageError(_expected_one(path, several))
    if (reason := headers.loss(image, file)) is not None:
        raise ImageError(f"{show(path)} {reason}; save it as PNG")
    return image


def _expected_one(path: Path, several: str) -> str:
    return (
        f"{show(path)} holds {several}, expected one picture; save the one you want as a file of its own, or answer all "
        "with predict --all-frames"
    )


def _check_size(path: Path, height: int, width: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"{show(path)} has no pixels (height {height}, width {width}), expected at least 1 x 1")
    if width * height > max_pixels:
        raise ImageError(
            f"{show(path)} announces {height} x {width} = {height * width} pixels, the limit is {max_pixels}; "
            "if you trust it, raise max_pixels"
        )


def _decode(path: Path, file: BinaryIO, max_pixels: int, frame: int | None) -> Photo:
    image = _judged(path, file, max_pixels, frame)
    file.seek(0)
    data, depth, colour_type = file.read(), 8, None
    if image.format == "PNG":
        depth, colour_type = check_png(data)
        if depth == 16 and frame:
            raise ImageError(f"{show(path)} is an animation of 16 bits, only its first frame is read; save it as PNGs")
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        check_tiff(image.tag_v2, data)
        headers.silence_libtiff()
        depth = max(headers.bits(image))
    elif image.format in ("JPEG", "MPO") and not frame:
        other = with_other_ends(data)
        if other is not None and not np.array_equal(np.asarray(image), np.asarray(_open(io.BytesIO(other)))):
            raise ValueError("its data end before its last pixel")
    if depth == 16 and (colour_type or image.mode in ("RGB", "RGBA")):
        samples, transparent = _samples_16(io.BytesIO(data), colour_type, image.tell())
    else:
        samples, transparent = _samples(path, image, depth)

    has_alpha = samples.shape[-1] in (2, 4)
    pixels, alpha = (samples[..., :-1], samples[..., -1]) if has_alpha else (samples, None)
    if transparent is not None and alpha is None:  # one colour is declared transparent (a PNG's tRNS chunk)
        hidden = (pixels == np.asarray(transparent)).all(axis=-1)
        alpha = np.where(hidden, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    alpha = None if alpha is None else np.ascontiguousarray(alpha)
    return Photo(safe_name(path.stem), np.ascontiguousarray(pixels), alpha)


def _samples(path: Path, image: Image.Image, depth: int) -> tuple[np.ndarray, object]:
    """What Pillow reads losslessly: (H W 1|2|3|4) samples and the transparent colour, if one is declared."""
    profile = image.info.get("icc_profile")
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
        case "CMYK":
            image = (
                colours.in_srgb(image, profile)
                if profile and colours.space(profile) == "CMYK"
                else image.convert("RGB")
            )
        case "YCbCr":
            image = image.convert("RGB")
        case "I;16" | "I;16B" | "I;16L":
            return np.asarray(image).astype(np.uint16)[..., None], transparent
        case mode:
            raise ImageError(f"{show(path)} holds {mode} samples, expected 8- or 16-bit grey or RGB; save it as PNG")
    return np.atleast_3d(np.asarray(image)), transparent


def _samples_16(file: io.BytesIO, colour_type: int | None, page: int) -> tuple[np.ndarray, object]:
    """16-bit colour, or grey with alpha: (H W 2|3|4) uint16 samples and the transparent colour, if one is declared.

    Pillow has no 16-bit colour mode. Its decoder, told how to unpack the bytes of a pixel, gives us each of them: a PNG's
    grey with alpha is four bytes, "an RGBA pixel"; colour is read twice, in its own byte order (the high bytes) and, on
    purpose, in the other (the low bytes). A reader in pure Python would need some 2 s per million pixels.
    """
    if colour_type == 4:
        samples, transparent = _unpack(file, {"LA;16B": "RGBA"}, page)
        return samples.view(">u2").astype(np.uint16), transparent
    native, other = ("L", "B") if sys.byteorder == "little" else ("B", "L")
    orders = {"L": "B", "B": "L", "N": other}
    high, transparent = _unpack(file, {}, page)
    low, _ = _unpack(file, {f"{m};16{o}": f"{m};16{orders[o]}" for m in ("RGB", "RGBX", "RGBA") for o in orders}, page)
    return high.astype(np.uint16) << 8 | low, transparent


def _unpack(file: io.BytesIO, raw_modes: dict[str, str], page: int) -> tuple[np.ndarray, object]:
    image = _open(file)
    image.seek(page)
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


# -------------------------------------------------------------------------------------------------------------- floats


def _read_floats(path: Path, file: BinaryIO, max_pixels: int, frame: int | None) -> Photo:
    """A page of a TIFF of floating-point numbers: float32 in the file's units; NaN and infinities stay."""
    tifffile = _tifffile()
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        if frame is None and len(tiff.pages) > 1:
            raise ImageError(_expected_one(path, f"{len(tiff.pages)} pages"))
        page: Any = tiff.pages[frame or 0]
        _check_size(path, page.imagelength, page.imagewidth, max_pixels)
        channels, extra = page.samplesperpixel, len(page.extrasamples)
        if channels - extra not in (1, 3) or extra > 1 or (extra and page.extrasamples[0] not in (1, 2)):
            raise ImageError(f"{show(path)} holds {channels} channels, expected grey or RGB, with alpha or without")
        values = np.asarray(page.asarray(), np.float32).reshape(-1, page.imagelength, page.imagewidth, channels)
        if int(page.planarconfig) == 2:  # each channel on its own
            values = np.moveaxis(np.asarray(page.asarray(), np.float32), 0, -1)[None]
        orientation = page.tags.get(274)
    values = upright(values[0], 1 if orientation is None else int(orientation.value))
    pixels, alpha = (values[..., :-1], values[..., -1]) if extra else (values, None)
    return Photo(
        safe_name(path.stem), np.ascontiguousarray(pixels), None if alpha is None else np.ascontiguousarray(alpha)
    )


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """An array (H W …) turned by its EXIF orientation, 1 … 8: where the stored row 0 and column 0 are to be seen."""
    if orientation >= 5:
        stored = stored.swapaxes(0, 1)
    rows, columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return stored[:: -1 if rows else 1, :: -1 if columns else 1]


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise ImportError(
            "a TIFF of floating-point numbers needs tifffile: pip install 'gridless[tiff]', or save it with 16 bits"
        ) from error
    return tifffile
