"""What is seen and what is asked. Training draws from a task; evaluation lists its cases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases import Interpolation
from gridless.data.pictures import Photo, quantise, resize_bicubic
from gridless.data.waves import PLACEMENTS, WaveSource, place, read
from gridless.samples import Samples, moved

CROPS = 4  # of one picture and scale, when pictures are evaluated in crops
FROZEN = 40_000_004  # seed of the places at which the fields of a fixed set are read


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
    latents_at: Float[Tensor, "B Q d"] | None = None
    """Where the latents are read, if not at `coords`."""

    def to(self, device) -> "Batch":
        """The cell stays: the base reads it on the host to choose its taps, and must not wait for a GPU."""
        coords, target = moved(self.coords, device), moved(self.target, device)
        latents_at = None if self.latents_at is None else moved(self.latents_at, device)
        return Batch(self.samples.to(device), coords, self.cell, target, latents_at)


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
    training crops get random colours, so that a few photos are not learned by heart; `seen`: evaluation cuts a picture
    into crops that are seen at this size (at most CROPS of them, spread evenly) instead of asking for it whole.
    """

    scale: Uniform | float = Uniform(1, 4)
    scales: Sequence[float] = (2, 3, 4)
    recolour: bool = False
    seen: int | None = None

    name = "super-resolution"

    def prepared(self, data: Sequence[Photo | np.ndarray]) -> list[np.ndarray]:
        return prepared_pictures(data)

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
        for scale in self.scales if scales is None else scales:
            if self.seen is not None:
                side = round(self.seen * scale)
                for number, truth in enumerate(even_crops(as_rgb8(photo), side)):
                    yield Case(f"{photo.name}-{number}", scale, resize_bicubic(truth, (self.seen, self.seen)), truth)
                continue
            truth = as_rgb8(photo)
            small = tuple(floor(n / scale + 1e-9) for n in truth.shape[:2])  # 33 / 1.1 is 29.999… in floats
            if min(small) < 1:
                raise ValueError(f"{photo.name} ({truth.shape[0]}×{truth.shape[1]}) is too small for ×{scale:g}")
            height, width = (round(n * scale) for n in small)
            cut = truth[:height, :width]
            yield Case(photo.name, scale, resize_bicubic(cut, small), cut)


@dataclass(frozen=True)
class Reconstruction:
    """The picture is seen, the same picture is asked.

    `turned`: training crops come in their eight orientations. `jitter`: training asks at points shifted by N(0, jitter²)
    (units of the picture, fresh for every point, kept inside); the target is the picture's value there, read by the
    bicubic kernel, or with `resampled=False` still that of the unshifted pixel, as the published notebooks have it.
    `offset`: what is decoded lies N(0, offset²) beside the point where the latents are read.
    `seen`: evaluation cuts a picture into crops of this size (at most CROPS) instead of asking for it whole.
    """

    turned: bool = True
    jitter: float = 0.0
    offset: float = 0.0
    resampled: bool = True
    seen: int | None = None

    name = "reconstruction"

    def prepared(self, data: Sequence[Photo | np.ndarray]) -> list[np.ndarray]:
        return prepared_pictures(data)

    def draw(
        self, photos: Sequence[np.ndarray], rng: np.random.Generator, size: int, batch: int, queries: int | None
    ) -> Batch:
        chosen = [photos[rng.integers(len(photos))] for _ in range(batch)]
        crops = np.stack([random_crop(photo, size, rng, self.turned) for photo in chosen])
        every = np.arange(size * size)
        index = np.stack(
            [every if queries is None else rng.choice(every, queries, replace=False) for _ in range(batch)]
        )
        coords = torch.from_numpy(
            np.stack([(index // size + 0.5) / size, (index % size + 0.5) / size], -1).astype(np.float32)
        )
        target = np.take_along_axis(crops.reshape(batch, -1, crops.shape[-1]), index[..., None], 1)
        samples, target, latents_at = Samples.from_grid(_unit(crops)), _unit(target), None
        if self.jitter:
            coords = _shifted(coords, self.jitter, rng)
        if self.offset:
            latents_at, coords = coords, _shifted(coords, self.offset, rng)
        if (self.jitter or self.offset) and self.resampled:
            target = Interpolation("bicubic")(samples, coords)
        return Batch(samples, coords, torch.full((batch, 1, 2), 1 / size), target, latents_at)

    def cases(self, photo: Photo, scales: Sequence[float] | None = None) -> Iterator[Case]:
        picture = as_rgb8(photo)
        if self.seen is None:
            yield Case(photo.name, 1, picture, picture)
            return
        for number, crop in enumerate(even_crops(picture, self.seen)):
            yield Case(f"{photo.name}-{number}", 1, crop, crop)


@dataclass(frozen=True)
class SparseField:
    """A few readings of a field are seen, the field is asked anywhere.

    `sensors`: how many, log-uniform, one number for a batch; `noise`: half of the fields are read without, the others
    with a standard deviation from this range; `placement`: random, grid, clustered or "any" of them. `lattice`: read and
    ask different cell centres of a lattice × lattice grid instead of any coordinates; `frozen`: a field of a fixed set
    is always read and asked at the same places. Evaluation: `counts` of sensors × `noises`, `fields` fixed fields of each
    family, asked on a `size` × `size` grid.
    """

    sensors: tuple[int, int] = (51, 51)
    noise: tuple[float, float] = (0.0, 0.0)
    placement: str = "random"
    lattice: int | None = None
    frozen: bool = False
    counts: Sequence[int] = (26, 51, 102, 204)
    noises: Sequence[float] = (0.0, 0.05, 0.1)
    size: int = 32
    fields: int = 64

    name = "sparse-field"

    def prepared(self, data: WaveSource) -> WaveSource:
        if not isinstance(data, WaveSource):
            raise ValueError("a sparse field is drawn from waves; set data.kind to 'waves'")
        return data

    def draw(self, data: WaveSource, rng: np.random.Generator, size: int, batch: int, queries: int | None) -> Batch:
        """Fresh readings and questions; `queries` None asks as many points as the evaluation's grid has."""
        low, high = self.sensors
        count = round(np.exp(rng.uniform(np.log(low), np.log(high))))
        placement = PLACEMENTS[rng.integers(len(PLACEMENTS))] if self.placement == "any" else self.placement
        noise = np.where(rng.random(batch) < 0.5, rng.uniform(*self.noise, batch), 0)
        waves, which = data.draw(rng, batch)
        queries = queries or (self.size**2 if self.lattice is None else self.lattice**2 - count)
        if self.frozen and which is not None:
            parts = [
                place(np.random.default_rng((FROZEN, *field)), 1, count + queries, "random", self.lattice)
                for field in which
            ]
            points = torch.cat(parts)
        elif self.lattice is not None:
            points = place(rng, batch, count + queries, "random", self.lattice)
        else:
            points = torch.cat([place(rng, batch, count, placement), place(rng, batch, queries)], 1)
        coords = points[:, count:]
        samples = read(waves, points[:, :count], rng, noise)
        return Batch(samples, coords, torch.full((batch, 1, 2), 1 / self.size), waves(coords))


Task = SuperResolution | Reconstruction | SparseField


def prepared_pictures(data: Sequence[Photo | np.ndarray]) -> list[np.ndarray]:
    """Pictures in 8 bits, at least one."""
    pictures = [as_rgb8(picture) for picture in data]
    if not pictures:
        raise ValueError("no pictures to train on")
    return pictures


def as_rgb8(picture: Photo | np.ndarray) -> np.ndarray:
    """(H W 3) in 8 bits: what training and evaluation see of a photo or an array. 16 bits are rounded."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3:
            raise ValueError(f"expected a uint8 picture (H, W, C), got {picture.dtype} {picture.shape}")
        return picture
    return picture.rgb() if picture.depth == 8 else quantise(picture.rgb() / 65535)


def random_crop(photo: np.ndarray, side: int, rng: np.random.Generator, turned: bool = True) -> np.ndarray:
    """A square crop, in one of its eight orientations if `turned`."""
    height, width = photo.shape[:2]
    if side > min(height, width):
        raise ValueError(
            f"a crop of {side} does not fit a picture of {height}×{width}; use larger pictures or a smaller window"
        )
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    crop = photo[y : y + side, x : x + side]
    if not turned:
        return crop
    crop = np.rot90(crop, rng.integers(4))
    return np.ascontiguousarray(crop[:, ::-1] if rng.integers(2) else crop)


def even_crops(photo: np.ndarray, side: int) -> list[np.ndarray]:
    """Squares beside one another, at most CROPS of them, spread evenly over the picture. None fits: no crop."""
    rows, columns = (n // side for n in photo.shape[:2])
    total = rows * columns
    places = [(i * total // min(total, CROPS)) for i in range(min(total, CROPS))]
    corners = [(p // columns * side, p % columns * side) for p in places]
    return [np.ascontiguousarray(photo[y : y + side, x : x + side]) for y, x in corners]


def recoloured(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crop with its channels in random order, each with a random contrast and brightness, or as a negative."""
    channels = crop.shape[-1]
    values = crop[..., rng.permutation(channels)] / np.float32(255)
    values = 1 - values if rng.integers(2) else values
    contrast = rng.uniform(0.6, 1.1, channels).astype(np.float32)
    brightness = rng.uniform(-0.1, 0.2, channels).astype(np.float32)
    return quantise(values * contrast + brightness)


def _shifted(coords: Tensor, std: float, rng: np.random.Generator) -> Tensor:
    return (coords + torch.from_numpy(rng.normal(0, std, coords.shape).astype(np.float32))).clamp(0, 1)


def _unit(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255)
