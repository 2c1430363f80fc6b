"""The signal and the window that a network sees of it."""

from typing import Literal

from pydantic import FiniteFloat

from gridless.config.frozen import config
from gridless.config.numbers import Count, Natural, Positive


@config
class Signal:
    """The signal and the window the network sees: one unit of its coordinates is `unit` samples."""

    axes: Count = 2
    channels: Count = 3
    out_channels: Count | None = None
    """Channels of the answer, if others than those that are seen; then without an interpolating base."""
    whole: bool = False
    """The window is the whole domain: a grid of another step is resampled to the window, not cut into more of them. Training
    on pairs (task.kind operator) sets it."""
    window: Count | tuple[Count, ...] = 32
    """Samples per axis, one number or one for each."""
    overlap: Natural = 8
    """Samples shared by neighbouring windows of a larger signal."""
    tile: Count | None = None
    """Samples per axis that a field answers at once, of a model without latents, which knows no place in its window: larger
    ones waste less on what neighbours share. None: a window."""
    mean: FiniteFloat | tuple[FiniteFloat, ...] | None = None
    std: Positive | tuple[Positive, ...] | None = None
    """The network sees (value − mean) / std and its correction is scaled by std; one number or one per channel. None:
    each field's own mean and deviation, so that units do not matter."""
    out_mean: FiniteFloat | tuple[FiniteFloat, ...] | None = None
    out_std: Positive | tuple[Positive, ...] | None = None
    """The same of the answer, where that is another quantity than what is seen: answers start at `out_mean` and are scaled
    by `out_std`. Training on pairs learns both, where no base knows them."""
    finest_cell: float | None = None
    """The smallest asked pixel, relative to a sample's, that training shows; None: the answer ignores the cell."""
    slices: bool = False
    """Grids are stacks of slices: the network sees the axis of the coarsest step last and refines along it alone; across it
    what it adds is interpolated from sample to sample."""
    positions: Count | None = None
    """Numbers of a position that a model of scattered points reads; None: one per axis. A circle needs one more, a sphere
    three for its two axes; missing ones are 0."""

    seen: Literal["samples", "base"] = "samples"
    """What the network sees of a grid: its samples, or what the base keeps of them (base.kind components), so that a field
    is no more numbers than the base's."""
    frame: Literal["domain", "readings"] = "domain"
    """What positions of scattered points are measured in: the domain, whose longest axis is 1, or the extent of the
    readings, around their middle."""

    def __post_init__(self):
        if isinstance(self.window, tuple) and len(self.window) != self.axes:
            raise ValueError(f"signal.window names {len(self.window)} axes, signal.axes is {self.axes}")
        counts = {"mean": self.channels, "std": self.channels, "out_mean": self.outputs, "out_std": self.outputs}
        for name, count in counts.items():
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != count:
                raise ValueError(f"signal.{name} names {len(value)} channels, there are {count}")
        for mean, std in (("mean", "std"), ("out_mean", "out_std")):
            if (getattr(self, mean) is None) != (getattr(self, std) is None):
                raise ValueError(f"signal.{mean} and signal.{std} are given both or not at all")

    @property
    def windows(self) -> tuple[int, ...]:
        """Samples of a window along every axis."""
        return self.window if isinstance(self.window, tuple) else (self.window,) * self.axes

    @property
    def tiles(self) -> tuple[int, ...]:
        """Samples along every axis that a field answers at once."""
        return self.windows if self.tile is None else tuple(max(n, self.tile) for n in self.windows)

    @property
    def unit(self) -> int:
        """Samples per unit of the network's coordinates: those of the window's longest axis."""
        return max(self.windows)

    @property
    def outputs(self) -> int:
        """Channels of the answer."""
        return self.out_channels or self.channels

    @property
    def translated(self) -> bool:
        """Whether the answer is another quantity than what is seen."""
        return self.out_mean is not None or self.outputs != self.channels

    @property
    def places(self) -> int:
        """Numbers of a position."""
        return self.positions or self.axes
