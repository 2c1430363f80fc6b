"""What an answer holds: its spectrum, and whether it is as right between the pixels as on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from jaxtyping import Float, Int

from gridless.bases import Interpolation
from gridless.coords import cells, grid
from gridless.field import Field
from gridless.samples import Samples
from gridless.scoring import metrics


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Mean power of a picture's waves by frequency, in cycles per pixel; `modes` counts the waves of each ring.

    power · modes, summed, over the number of pixels is the picture's mean square (Parseval).
    """

    frequency: Float[np.ndarray, " K"]
    power: Float[np.ndarray, " K"]
    modes: Int[np.ndarray, " K"]

    def above(self, frequency: float) -> float:
        """The power of all waves above a frequency, per pixel."""
        rest = self.frequency > frequency
        return float((self.power * self.modes)[rest].sum() / self.modes.sum())


def radial_spectrum(picture: Float[np.ndarray, "H W C"]) -> Spectrum:
    """|DFT|² / pixels, mean over channels and over rings of one frequency. White noise of variance v has power v at every
    frequency and every size, which is what dividing by the pixel count is for."""
    height, width = picture.shape[:2]
    power = (np.abs(np.fft.fft2(picture, axes=(0, 1))) ** 2).mean(-1) / (height * width)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij"))
    ring = np.maximum(np.rint(radius * min(height, width)).astype(int), radius > 0)  # the first is the mean alone
    modes = np.bincount(ring.ravel())
    mean = np.bincount(ring.ravel(), power.ravel()) / np.clip(modes, 1, None)
    return Spectrum(np.arange(len(modes)) / min(height, width), mean, modes)


def tapered(picture: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W C"]:
    """Without its mean and faded out to the border (Hann, mean square 1): else the jump from one border to the opposite
    one, which a DFT sees, drowns the high frequencies."""
    fade = np.ones(picture.shape[:2])
    for axis, n in enumerate(picture.shape[:2]):
        hann = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
        fade = fade * np.expand_dims(hann / np.sqrt((hann**2).mean()), 1 - axis)
    return (picture - picture.mean((0, 1))) * fade[..., None]


def jitter_curve(
    fields: dict[str, Field], truth: Samples, stds: Sequence[float], seed: int = 0, points: int = 1 << 14
) -> dict[str, list[float]]:
    """PSNR in dB of fields asked beside the pixels' centres, against the truth at the place that was asked.

    truth  one picture; off its centres it is known only by interpolation: bicubic (Keys, a = −0.5)
    stds   of the normal offset per axis, in pixels of the truth; the same directions at every std
    At most `points` pixels are asked, none nearer to the border than four of the largest std. Nothing is rounded.
    """
    shape, margin = truth.grid_shape, ceil(4 * max(stds))
    if min(shape) <= 2 * margin:
        raise ValueError(f"a jitter of {max(stds):g} px needs more than {2 * margin} px per axis, got {shape}")
    rng = np.random.default_rng(seed)
    inside = np.indices([n - 2 * margin for n in shape]).reshape(len(shape), -1).T + margin
    if len(inside) > points:
        inside = inside[rng.choice(len(inside), points, replace=False)]
    flat = torch.from_numpy(np.ravel_multi_index(inside.T, shape))
    centres, offset = grid(*shape, dtype=torch.float64)[flat], torch.from_numpy(rng.standard_normal(inside.shape))
    size, known = torch.tensor(shape, dtype=torch.float64), Interpolation("bicubic").encode(truth)
    curves: dict[str, list[float]] = {name: [] for name in fields}
    for std in stds:
        coords = (centres + std * offset / size).clamp(0, 1)
        target = known(coords.to(truth.values.device))
        for name, field in fields.items():
            device = field.samples.values.device
            with torch.no_grad():
                answer = field(coords.to(device), cells(*shape, dtype=torch.float64, device=device))
            curves[name].append(metrics.psnr(answer.cpu(), target.cpu()))
    return curves
