"""Films of the past, as what learns from them reads them: frames of one grid at one step, time first, NaN where nothing was
measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.film import space_of, time_axis
from gridless.data.signals import GridSignal
from gridless.data.sources import Source
from gridless.data.sources import signals as as_signals
from gridless.domain import TIME, Domain

DRAWN = 32  # films, of a source that never ends


@dataclass(frozen=True, eq=False)
class PastFilms:
    """`seconds`: when every frame was, since 1970; None where the domain does not know."""

    films: list[Float[Tensor, "S *grid C"]]
    seconds: list[Float[Tensor, " S"]] | None
    space: Domain | None
    step: float
    """From frame to frame, in the domain's unit of time; NaN without a domain."""

    @classmethod
    def of(cls, data: Sequence | Source, axes: int, channels: int) -> "PastFilms":
        """Raises ValueError for other data than films of so many axes, time among them, on one grid and at one step."""
        signals = as_signals(data)
        if isinstance(signals, Source):
            signals = signals.draw(np.random.default_rng(0), DRAWN)
        films, seconds, spaces, steps = [], [], [], []
        for signal in signals:
            if not isinstance(signal, GridSignal) or signal.axes != axes or signal.channels != channels:
                raise ValueError(
                    f"forecasts learn from films on a grid of {axes} axes, time among them, and {channels} channels, got "
                    f"{type(signal).__name__} {signal.name} of {signal.axes} and {signal.channels}"
                )
            values = torch.from_numpy(np.ascontiguousarray(signal.floats)).float()
            if signal.mask is not None:
                values = values.where(torch.from_numpy(np.ascontiguousarray(signal.mask))[..., None], torch.nan)
            axis = time_axis(signal.domain)
            films.append(values.movedim(axis, 0))
            seconds.append(frame_seconds(signal.domain, len(films[-1])))
            spaces.append(space_of(signal.domain))
            axis = None if signal.domain is None else signal.domain.axes[axis]
            steps.append(float("nan") if axis is None else abs(axis.length) / len(films[-1]))
        shapes = {tuple(film.shape[1:]) for film in films}
        if len(shapes) != 1:
            raise ValueError(
                f"films of the past share one grid, got {', '.join(map(str, sorted(shapes))) or 'no film'}"
            )
        if max(steps) > 1.01 * min(steps):
            raise ValueError(f"films of the past share one step in time, got {min(steps):g} to {max(steps):g}")
        if max(map(len, films)) < 3:
            raise ValueError(f"forecasts learn from films of at least 3 frames, the longest has {max(map(len, films))}")
        known = [stamps for stamps in seconds if stamps is not None]
        return cls(films, known if len(known) == len(films) else None, spaces[0], steps[0])

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(self.films[0].shape[1:-1])

    @property
    def frames(self) -> int:
        """Of all films."""
        return sum(map(len, self.films))

    @cached_property
    def joins(self) -> tuple[bool, ...]:
        return (False,) * len(self.grid) if self.space is None else self.space.joins

    def split(self, share: float) -> tuple["PastFilms", "PastFilms"]:
        """The last films, or the end of a single one, as so large a share that is left out."""
        if len(self.films) > 1:
            cut = min(len(self.films) - 1, max(1, round(len(self.films) * (1 - share))))
            return self._part(slice(cut), slice(None)), self._part(slice(cut, None), slice(None))
        cut = round(len(self.films[0]) * (1 - share))
        return self._part(slice(None), slice(cut)), self._part(slice(None), slice(cut, None))

    def _part(self, some: slice, frames: slice) -> "PastFilms":
        seconds = None if self.seconds is None else [stamps[frames] for stamps in self.seconds[some]]
        return PastFilms([film[frames] for film in self.films[some]], seconds, self.space, self.step)


def frame_seconds(domain: Domain | None, count: int) -> Float[Tensor, " S"] | None:
    """When the frames of a film were, in seconds since 1970; None where its domain does not know."""
    if domain is None:
        return None
    axis = domain.axes[time_axis(domain)]
    if axis.unit != TIME:
        return None
    return axis.start + axis.length * (torch.arange(count, dtype=torch.float64) + 0.5) / count
