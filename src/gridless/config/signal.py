"""The signal and the window that a network sees of it."""

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from gridless.config.frozen import config


@config
class Signal:
    """The signal and the window the network sees: one unit of its coordinates is `window` samples."""

    axes: PositiveInt = 2
    channels: PositiveInt = 3
    window: PositiveInt = 32
    overlap: NonNegativeInt = 8
    """Samples shared by neighbouring windows of a larger signal."""
    mean: float = 0.0
    std: PositiveFloat = 1.0
    """The network sees (value − mean) / std and its correction is scaled by std."""
    finest_cell: float | None = None
    """The smallest asked pixel, relative to a sample's, that training shows; None: the answer ignores the cell."""
