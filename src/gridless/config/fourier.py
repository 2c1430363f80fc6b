"""Frequencies at which places are written as Fourier features: an even band, or drawn at random."""

from typing import Literal

from gridless.config.frozen import config
from gridless.config.numbers import Count, Positive


@config
class Band:
    """Frequencies per axis in cycles per unit (half the published ω). `high = None` is the window's Nyquist limit."""

    low: Positive = 0.5
    high: Positive | None = None
    count: Count = 16
    spacing: Literal["linear", "log"] = "linear"


@config
class Gaussian:
    """Random frequencies, drawn once and kept in the checkpoint: `std` in cycles per unit."""

    std: Positive = 4.0
    count: Count = 32
    learned: bool = False
    octaves: Count = 1
    """Several scales: a share of the frequencies at std, 2 · std, 4 · std … each."""
