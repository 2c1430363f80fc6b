"""Parts of signals: which signal, which crop of it, and readings of several fields side by side."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from math import ceil

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.data.signals import GridSignal, Reading, Signal
from gridless.data.sources import Source

CROPS = 4  # of one signal and scale, when signals are evaluated in crops
TRIES = 50  # to find a signal that is large enough, and a crop in which something was measured


def pick(
    signals: Sequence[Signal] | Source,
    rng: np.random.Generator,
    least: Sequence[float] | None = None,
    slices: bool = False,
) -> Signal:
    """One of the signals, at least so many samples large along every axis; `slices`: as a stack of them. Raises ValueError
    if there seems to be none."""
    small, needed = "", ()
    for _ in range(TRIES):
        signal = signals.draw(rng, 1)[0] if isinstance(signals, Source) else signals[int(rng.integers(len(signals)))]
        signal = stacked(grid_signal(signal), rng, least) if slices else signal
        if least is None or not isinstance(signal, GridSignal):
            return signal
        if all(n >= m for n, m in zip(signal.shape, least, strict=False)):
            return signal
        small, needed = f"{signal.name} {signal.shape}", tuple(ceil(m) for m in least)
        warnings.warn(f"{small} is left out: too small for crops of {needed}", stacklevel=2)
    raise ValueError(
        f"{small} is too small for crops of {needed}, and so are {TRIES} others; "
        "use larger signals or a smaller signal.window"
    )


def grid_signal(signal: Signal, axes: int | None = None) -> GridSignal:
    """The signal, which must lie on a grid."""
    if not isinstance(signal, GridSignal):
        raise ValueError(
            f"{signal.name} does not lie on a grid; scattered readings and formulas need task.kind sparse-field"
        )
    if axes is not None and signal.axes != axes:
        raise ValueError(f"{signal.name} has {signal.axes} axes {signal.shape}, the model sees {axes}")
    return signal


def random_crop(signal: GridSignal, size: Sequence[int], rng: np.random.Generator) -> GridSignal:
    """Somewhere in the signal, where something was measured."""
    for _ in range(TRIES):
        start = [int(rng.integers(n - side + 1)) for n, side in zip(signal.shape, size, strict=True)]
        crop = signal.crop(start, size)
        if crop.mask is None or crop.mask.any():
            return crop
    raise ValueError(f"{signal.name}: {TRIES} crops of {tuple(size)} held nothing that was measured")


def even_crops(signal: GridSignal, size: Sequence[int]) -> list[GridSignal]:
    """Crops beside one another, at most CROPS of them, spread evenly over the signal. None fits: no crop."""
    counts = [n // side for n, side in zip(signal.shape, size, strict=True)]
    total = int(np.prod(counts))
    places = [i * total // min(total, CROPS) for i in range(min(total, CROPS))]
    corners = [[int(i) * n for i, n in zip(np.unravel_index(p, counts), size, strict=True)] for p in places]
    return [replace(signal.crop(corner, size), name=f"{signal.name}-{i}") for i, corner in enumerate(corners)]


def stacked(
    signal: GridSignal, rng: np.random.Generator | None = None, least: Sequence[float] | None = None
) -> GridSignal:
    """A grid as a stack of slices: one of the axes whose samples are closest comes last, the last of them or a random one,
    the others in the signal's order or in any; of random orders those in which it has at least so many samples."""
    closest, axes = signal.closest_axes, range(signal.axes)
    if rng is None:
        return signal.arranged([*(axis for axis in axes if axis != closest[-1]), closest[-1]])
    orders = [order for order in permutations(axes) if order[-1] in closest]
    fitting = [o for o in orders if all(signal.shape[axis] >= n for axis, n in zip(o, least or (), strict=False))]
    orders = fitting or orders
    return signal.arranged(orders[int(rng.integers(len(orders)))])


def middle(signal: GridSignal, largest: int | None) -> GridSignal:
    """The middle of a signal that is larger along some axis."""
    if largest is None or max(signal.shape) <= largest:
        return signal
    size = [min(n, largest) for n in signal.shape]
    return signal.crop([(n - side) // 2 for n, side in zip(signal.shape, size, strict=True)], size)


def noisy(reading: Reading, rng: np.random.Generator, sigma: float, growing: bool = False) -> Reading:
    """The readings with an error of this deviation; `growing`: its mean, each in proportion to how far the value lies above
    the smallest one of its channel."""
    if not sigma:
        return reading
    error = sigma * rng.standard_normal(tuple(reading.values.shape), np.float32)
    if growing:
        error *= _relative_height(reading.values.numpy())
    return Reading(reading.coords, reading.values + torch.from_numpy(error).to(reading.values.dtype), reading.noise)


def _relative_height(values: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Above the smallest value, over the mean of that; 1 where all values are equal."""
    height = values - values.min(0)
    mean = height.mean(0)
    return np.where(mean > 0, height / np.where(mean > 0, mean, 1), 1).astype(np.float32)


def padded(
    readings: Sequence[Reading],
) -> tuple[Float[Tensor, "B Q d"], Float[Tensor, "B Q C"], Bool[Tensor, "B Q"] | None]:
    """Coordinates and values of several fields, and which of them are real where they differ in number."""
    longest = max(len(r.values) for r in readings)
    coords = torch.stack([_lengthened(r.coords, longest) for r in readings])
    values = torch.stack([_lengthened(r.values, longest) for r in readings])
    counts = torch.tensor([len(r.values) for r in readings])
    measured = None if (counts == longest).all() else torch.arange(longest) < counts[:, None]
    return coords, values, measured


def _lengthened(rows: Float[Tensor, "n k"], count: int) -> Float[Tensor, "{count} k"]:
    return torch.nn.functional.pad(rows, (0, 0, 0, count - len(rows)))
