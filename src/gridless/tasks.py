"""What is seen and what is asked. Training draws from a task; evaluation lists its cases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.data.images import Photo, quantise, resize_bicubic
from gridless.samples import Samples


@dataclass(frozen=True)
class Uniform:
    """A range to draw from."""

    low: float
    high: float

    def __post_init__(self):
        if not 0 < self.low <= self.high:
            raise ValueError(f"Uniform needs 0 < low ≤ high, got {self.low}, {self.high}")


@dataclass(frozen=True, eq=False)
class Batch:
    """Seen samples, asked coordinates with their cell, and the values there."""

    samples: Samples
    coords: Float[Tensor, "B Q d"]
    cell: Float[Tensor, "B 1 d"]
    target: Float[Tensor, "B Q C"]

    def to(self, device) -> "Batch":
        return Batch(self.samples.to(device), self.coords.to(device), self.cell.to(device), self.target.to(device))


@dataclass(frozen=True, eq=False)
class Case:
    """One question of an evaluation: the seen picture, the asked grid and the true picture on it, 8 bits."""

    name: str
    scale: float
    seen: np.ndarray
    truth: np.ndarray

    def samples(self) -> Samples:
        return Samples.from_grid(torch.from_numpy(self.seen.astype(np.float32) / 255))

    @property
    def shape(self) -> tuple[int, int]:
        return self.truth.shape[:2]


@dataclass(frozen=True)
class SuperResolution:
    """A small picture is seen, the large one asked. The small one is Pillow's bicubic reduction of the large one, 8 bits.

    `scale`: what training draws from (a number or Uniform); `scales`: what evaluation asks; `recolour`: whether
    training crops get random colours, so that a few photos are not learned by heart.
    """

    scale: Uniform | float = Uniform(1, 4)
    scales: Sequence[float] = (2, 3, 4)
    recolour: bool = False

    name = "super-resolution"

    def draw(
        self, photos: Sequence[np.ndarray], rng: np.random.Generator, size: int, batch: int, queries: int | None
    ) -> Batch:
        """`batch` random crops, `size`² seen, `queries` random pixels of each asked (size² if None)."""
        span = self.scale if isinstance(self.scale, Uniform) else Uniform(self.scale, self.scale)
        seen, asked, cells, truth = [], [], [], []
        queries = queries or size * size
        for _ in range(batch):
            photo = photos[rng.integers(len(photos))]
            largest = min(photo.shape[:2])
            if largest < size * span.low:
                raise ValueError(
                    f"a picture of {photo.shape[0]}×{photo.shape[1]} is too small to be seen at {size}×{size}; "
                    "use larger pictures or a smaller signal.window"
                )
            side = min(round(size * rng.uniform(span.low, span.high)), largest)
            crop = random_crop(photo, side, rng)
            crop = recoloured(crop, rng) if self.recolour else crop
            index = rng.integers(side * side, size=queries)
            seen.append(resize_bicubic(crop, (size, size)) if side != size else crop)
            asked.append(np.stack([(index // side + 0.5) / side, (index % side + 0.5) / side], -1))
            cells.append([[1 / side, 1 / side]])
            truth.append(crop.reshape(-1, crop.shape[-1])[index])
        samples = Samples.from_grid(_unit(np.stack(seen)))
        coords, cell = (torch.from_numpy(np.asarray(x, np.float32)) for x in (asked, cells))
        return Batch(samples, coords, cell, _unit(np.stack(truth)))

    def cases(self, photo: Photo, scales: Sequence[float] | None = None) -> Iterator[Case]:
        """Each scale: the picture cropped to round(⌊H/s⌋·s), and its reduction to ⌊H/s⌋."""
        truth = as_rgb8(photo)
        for scale in self.scales if scales is None else scales:
            small = tuple(floor(n / scale + 1e-9) for n in truth.shape[:2])  # 33 / 1.1 is 29.999… in floats
            if min(small) < 1:
                raise ValueError(f"{photo.name} ({truth.shape[0]}×{truth.shape[1]}) is too small for ×{scale:g}")
            height, width = (round(n * scale) for n in small)
            cut = truth[:height, :width]
            yield Case(photo.name, scale, resize_bicubic(cut, small), cut)


@dataclass(frozen=True)
class Reconstruction:
    """The picture is seen, the same picture is asked."""

    name = "reconstruction"

    def draw(
        self, photos: Sequence[np.ndarray], rng: np.random.Generator, size: int, batch: int, queries: int | None
    ) -> Batch:
        crops = np.stack([random_crop(photos[rng.integers(len(photos))], size, rng) for _ in range(batch)])
        every = np.arange(size * size)
        index = np.stack(
            [every if queries is None else rng.choice(every, queries, replace=False) for _ in range(batch)]
        )
        coords = torch.from_numpy(
            np.stack([(index // size + 0.5) / size, (index % size + 0.5) / size], -1).astype(np.float32)
        )
        target = np.take_along_axis(crops.reshape(batch, -1, crops.shape[-1]), index[..., None], 1)
        return Batch(Samples.from_grid(_unit(crops)), coords, torch.full((batch, 1, 2), 1 / size), _unit(target))

    def cases(self, photo: Photo, scales: Sequence[float] | None = None) -> Iterator[Case]:
        picture = as_rgb8(photo)
        yield Case(photo.name, 1, picture, picture)


def as_rgb8(picture: Photo | np.ndarray) -> np.ndarray:
    """(H W 3) in 8 bits: what training and evaluation see of a photo or an array. 16 bits are rounded."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3:
            raise ValueError(f"expected a uint8 picture (H, W, C), got {picture.dtype} {picture.shape}")
        return picture
    return picture.rgb() if picture.depth == 8 else quantise(picture.rgb() / 65535)


def random_crop(photo: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A square crop in one of its eight orientations."""
    height, width = photo.shape[:2]
    if side > min(height, width):
        raise ValueError(
            f"a crop of {side} does not fit a picture of {height}×{width}; use larger pictures or a smaller window"
        )
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    crop = np.rot90(photo[y : y + side, x : x + side], rng.integers(4))
    return np.ascontiguousarray(crop[:, ::-1] if rng.integers(2) else crop)


def recoloured(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crop with its channels in random order, each with a random contrast and brightness, or as a negative."""
    channels = crop.shape[-1]
    values = crop[..., rng.permutation(channels)] / np.float32(255)
    values = 1 - values if rng.integers(2) else values
    contrast = rng.uniform(0.6, 1.1, channels).astype(np.float32)
    brightness = rng.uniform(-0.1, 0.2, channels).astype(np.float32)
    return quantise(values * contrast + brightness)


def _unit(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255)
