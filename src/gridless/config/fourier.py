"""Frequencies at which places are written as Fourier features: an even band, or drawn at random."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from gridless.config.frozen import config


@config
class Band:
    """Frequencies per axis in cycles per unit (half the published ω). `high = None` is the window's Nyquist limit."""

    low: PositiveFloat = 0.5
    high: PositiveFloat | None = None
    count: PositiveInt = 16
    spacing: Literal["linear", "log"] = "linear"


@config
class Gaussian:
    """Random frequencies, drawn once and kept in the checkpoint: `std` in cycles per unit."""

    std: PositiveFloat = 4.0
    count: PositiveInt = 32
    learned: bool = False
    octaves: PositiveInt = 1
    """Several scales: a share of the frequencies at std, 2 · std, 4 · std … each."""
