"""The standard pairs of single-picture super-resolution: what is seen, and the truth.

    DIR/Set5/HR/*.png                        five pictures, Set14 alike
    DIR/Set5/LR_matlab_bicubic/X2/img_001…   the same seen by MATLAB's bicubic: the k-th file is the k-th name of HR,
                                             which is cut to a multiple of the scale
    DIR/val/*.jpg                            BSD100, the 100 pictures of BSDS500's val cut to even sides; seen is our
                                             own reduction (Pillow's bicubic in 8 bits, ⌊n/s⌋ of round(⌊n/s⌋ · s))

Scores are those of the field: PSNR of BT.601's luma with as many pixels cut from every border as the scale says (rounded
up), and of RGB with none cut; answers are rounded to 8 bits first. A grey picture (Set14's bridge) counts as R = G = B,
as in BasicSR's tables; older ones take its grey for the luma, and are 0.09 dB lower in the mean of Set14.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from gridless.data.picture_reading import read_photo
from gridless.data.pictures import quantise
from gridless.data.signals import Picture
from gridless.scoring.metrics import psnr_rgb, psnr_y_shave
from gridless.tasks import SuperResolution

GIVEN = ("Set5", "Set14")
SCALES = {"Set5": (2.0, 3.0, 4.0), "Set14": (2.0, 3.0, 4.0), "BSD100": (2.0, 3.0, 3.7, 4.0, 6.0, 8.0)}
"""Set -> scales that are asked if no other are."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A picture of a set, seen `scale` times as coarse."""

    name: str
    scale: float
    low: UInt8[np.ndarray, "h w 3"]
    high: UInt8[np.ndarray, "H W 3"]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the answer."""
        return self.high.shape[:2]

    def scores(self, answer: Float[np.ndarray, "H W 3"]) -> dict[str, float]:
        """Of an answer in [0, 1]: PSNR in dB of the luma, `scale` pixels cut from every border, and of RGB."""
        truth = self.high / 255
        return {
            "psnr_y": psnr_y_shave(answer, truth, shave=math.ceil(self.scale)),
            "psnr_rgb": psnr_rgb(answer, truth),
        }


def pairs(data: str | Path, name: str, scale: float, most: int | None = None) -> Iterator[Pair]:
    """The pairs of a set at a scale, by file name, the first `most` of them. Raises ValueError for another set, and where
    files are missing or do not belong together."""
    if name not in SCALES:
        raise ValueError(f"there is no set {name!r}, expected one of {', '.join(SCALES)}")
    every = _given(Path(data) / name, scale) if name in GIVEN else _reduced(Path(data) / "val", scale)
    for number, pair in enumerate(every):
        if number == most:
            return
        yield pair


def _given(folder: Path, scale: float) -> Iterator[Pair]:
    lows = _files(folder / "LR_matlab_bicubic" / f"X{scale:g}", "*.png")
    highs = _files(folder / "HR", "*.png")
    if len(lows) != len(highs):
        raise ValueError(f"{folder} holds {len(highs)} pictures and {len(lows)} of them at ×{scale:g}; unpack it again")
    for low, high in zip(lows, highs, strict=True):
        yield given_pair(high.stem, scale, read_photo(low).rgb(), read_photo(high).rgb())


def given_pair(name: str, scale: float, low: np.ndarray, high: np.ndarray) -> Pair:
    """`high` cut to a multiple of the scale. Raises ValueError if it is then not `scale` times as large as `low`."""
    factor = round(scale)
    height, width = (n // factor * factor for n in high.shape[:2])
    if factor != scale or (height, width) != tuple(factor * n for n in low.shape[:2]):
        raise ValueError(f"{name}: {low.shape[:2]} at ×{scale:g} does not belong to {high.shape[:2]}")
    return Pair(name, scale, low, high[:height, :width])


def _reduced(folder: Path, scale: float) -> Iterator[Pair]:
    for file in _files(folder, "*.jpg"):
        yield reduced_pair(file.stem, scale, read_photo(file).rgb())


def reduced_pair(name: str, scale: float, high: np.ndarray) -> Pair:
    """`high` cut to even sides, and then as the project's own protocol cuts and reduces it."""
    even = np.ascontiguousarray(high[: high.shape[0] // 2 * 2, : high.shape[1] // 2 * 2])
    (case,) = SuperResolution(scales=(scale,)).cases([Picture(name, even)])
    return Pair(name, scale, quantise(case.samples.on_grid()[0]), case.truth)


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise ValueError(f"{folder} holds no {pattern}; unpack set5_set14.tar and bsds500_images.tar into one folder")
    return found
