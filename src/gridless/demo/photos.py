"""A picture looked at through a window of its field, beside bicubic, at any magnification; and the enlarged file.

A window is encoded with a margin as wide as the network sees, in units of the whole picture's level and spread, so that it
answers what the whole picture would, at a price that does not grow with the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, floor, log2
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from gridless.bases import Interpolation
from gridless.coords import scaled
from gridless.data.picture_reading import read_photo
from gridless.data.pictures import quantise, safe_name
from gridless.demo.limits import PICTURE_PIXELS, check_bytes, check_enlarged
from gridless.demo.models import shipped
from gridless.demo.shelf import Shelf
from gridless.field import Field
from gridless.nn.precision import bf16
from gridless.runs.predict import predict_file
from gridless.runs.predict_options import PredictOptions
from gridless.samples import Samples

VIEW = 448, 640  # rows and columns of a view, at most
FACTOR = 1.0, 8.0  # of a file
CLOSEST = 64.0  # magnification of a view
OVERVIEW = 720  # pixels of the longer side
REACH = 36  # samples that the network and the base see beside a question
STEP = 32  # samples: where windows begin and end, so that near views share one
Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Picture:
    """A visitor's picture as the network sees it: values (H W 3) in [0, 1], transparent parts on white."""

    path: Path
    values: Float32[Tensor, "H W 3"]
    grey: bool
    level: Float[Tensor, "1 3"]
    scale: Float[Tensor, "1 3"]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


@dataclass(frozen=True)
class View:
    """Which pixels are asked: `part` of a picture of `shape`, which is that of the samples `window`, magnified."""

    window: tuple[Span, Span]
    """Rows and columns, in samples."""
    shape: tuple[int, int]
    part: tuple[slice, slice]
    seen: tuple[tuple[float, float], tuple[float, float]]
    """From where to where, down and across, in [0, 1] of the whole picture."""


pictures = Shelf(8, 400_000_000)
windows = Shelf(16, 400_000_000)


def read_picture(path: str | Path) -> Picture:
    """The picture in a file. Raises ValueError, in one line, for what is none, damaged, or too large for this page."""
    path = Path(path)
    if not path.is_file():
        raise ValueError("the picture is not here any more, files are deleted after an hour; drop it again")
    return pictures.get(path, lambda: _read(path), lambda picture: picture.nbytes)


def _read(path: Path) -> Picture:
    check_bytes(path)
    photo = read_photo(path, PICTURE_PIXELS)
    values = photo.values
    if photo.alpha is not None:
        alpha = photo.alpha[..., None].astype(np.float32) / np.float32(2**photo.depth - 1)
        values = values * alpha + (1 - alpha)
    grey = values.shape[-1] == 1
    tensor = torch.from_numpy(np.array(np.broadcast_to(values, (*values.shape[:2], 3))))
    level, scale = Samples.from_grid(tensor).standard()
    return Picture(path, tensor, grey, level, scale)


def view_of(size: tuple[int, int], place: tuple[float, float], magnification: float) -> View:
    """What is asked to see a picture of `size` (H W) around a `place` (down, across, in [0, 1]), so many times magnified.

    The window holds whatever less magnification down to a power of two shows, and so serves a whole octave. It has a whole
    number of pixels: the magnification is met to a thousandth. Raises ValueError for places outside and magnifications
    that are none.
    """
    if not 1 <= magnification <= CLOSEST:
        raise ValueError(f"magnification {magnification:g}, expected 1 … {CLOSEST:g}; drag the slider")
    if not all(0 <= at <= 1 for at in place):
        raise ValueError(f"the place {place[0]:g}, {place[1]:g} lies outside of the picture; expected 0 … 1")
    octave = 2 ** floor(log2(magnification))
    spans, shape, part, seen = [], [], [], []
    for n, at, most in zip(size, place, VIEW, strict=True):
        first, wide = _shown(n, at, most / octave)
        low = max(0, floor((first - REACH) / STEP) * STEP)
        high = min(n, ceil((first + wide + REACH) / STEP) * STEP)
        pixels = max(1, round((high - low) * magnification))
        each = pixels / (high - low)
        first, wide = _shown(n, at, most / each)
        count = max(1, min(pixels, most, round(wide * each)))
        begin = min(max(0, round((first - low) * each)), pixels - count)
        spans.append((low, high))
        shape.append(pixels)
        part.append(slice(begin, begin + count))
        seen.append(((low + begin / each) / n, (low + (begin + count) / each) / n))
    return View((spans[0], spans[1]), (shape[0], shape[1]), (part[0], part[1]), (seen[0], seen[1]))


def _shown(n: int, at: float, most: float) -> tuple[float, float]:
    """The first sample and how many are shown of n, around a place."""
    wide = min(float(n), most)
    return min(max(at * n - wide / 2, 0.0), n - wide), wide


def before_after(
    picture: Picture, place: tuple[float, float], magnification: float
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], View]:
    """Bicubic and the field around a place, asked at the same pixels, and what was asked."""
    view = view_of(picture.size, place, magnification)
    samples, asked = part_of(picture, view.window), {"shape": view.shape, "part": view.part}
    base = Interpolation("bicubic").encode(samples).to_image(**asked)

    def encoded() -> Field:
        with torch.no_grad(), bf16(torch.device("cpu")):
            return shipped("photo").encode(samples)

    size = 4 * shipped("photo").latent_floats(samples.grid_shape)
    field = windows.get((picture.path, view.window), encoded, lambda field: size)
    with bf16(torch.device("cpu")):
        answer = field.to_image(**asked)
    return quantise(base), quantise(_grey(answer) if picture.grey else answer), view


def part_of(picture: Picture, window: tuple[Span, Span]) -> Samples:
    """The samples of a window, in units of the whole picture's level and spread."""
    values = picture.values[slice(*window[0]), slice(*window[1])]
    return replace(Samples.from_grid(values), level=picture.level, scale=picture.scale)


def _grey(answer: Tensor) -> Tensor:
    return answer.mean(-1, keepdim=True).expand(-1, -1, 3)


def overview(picture: Picture, view: View) -> UInt8[np.ndarray, "h w 3"]:
    """The whole picture, small, with a frame around what is shown."""
    image = Image.fromarray(quantise(picture.values))
    image.thumbnail((OVERVIEW, OVERVIEW), Image.Resampling.BICUBIC)
    width, height = image.size
    (top, bottom), (left, right) = view.seen
    x, y = round(left * width), round(top * height)
    frame = [x, y, max(round(right * width) - 1, x + 4), max(round(bottom * height) - 1, y + 4)]
    draw = ImageDraw.Draw(image)
    draw.rectangle([frame[0] - 1, frame[1] - 1, frame[2] + 1, frame[3] + 1], outline=(20, 24, 32), width=4)
    draw.rectangle(frame, outline=(255, 255, 255), width=2)
    return np.asarray(image)


def enlarge(
    picture: Picture, scale: float, folder: Path, advance: Callable[[float], object] = lambda share: None
) -> Path:
    """The whole picture as a PNG in `folder`, as `gridless predict photo` writes it: grey, alpha, 16 bits and the profile
    stay. `advance` is told the share that is done. Raises ValueError for what this page does not enlarge."""
    if not FACTOR[0] <= scale <= FACTOR[1]:
        raise ValueError(f"factor {scale:g}, expected {FACTOR[0]:g} … {FACTOR[1]:g}; drag the slider")
    shape = scaled(picture.size, scale)
    check_enlarged(picture.path.name, picture.size, (shape[0], shape[1]), scale)
    target, done = folder / f"{safe_name(picture.path.stem)[:80]}-x{scale:g}.png", 0

    def count(pixels: int) -> None:
        nonlocal done
        done += pixels
        advance(done / (shape[0] * shape[1]))

    predict_file(shipped("photo"), picture.path, target, PredictOptions(scale=scale), count)
    return target
