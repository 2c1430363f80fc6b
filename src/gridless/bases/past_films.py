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
    step: float | None
    """From frame to frame, in the domain's unit of time; None without a domain."""

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
            steps.append(None if signal.domain is None else abs(signal.domain.axes[axis].length) / len(films[-1]))
        shapes = {tuple(film.shape[1:]) for film in films}
        if len(shapes) != 1:
            raise ValueError(
                f"films of the past share one grid, got {', '.join(map(str, sorted(shapes))) or 'no film'}"
            )
        known = [step for step in steps if step is not None]
        if known and (len(known) < len(steps) or max(known) > 1.01 * min(known)):
            raise ValueError(f"films of the past share one step in time, got {', '.join(map(str, sorted(set(known))))}")
        if max(map(len, films)) < 3:
            raise ValueError(f"forecasts learn from films of at least 3 frames, the longest has {max(map(len, films))}")
        stamps = [times for times in seconds if times is not None]
        return cls(films, stamps if len(stamps) == len(films) else None, spaces[0], steps[0])

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

    def splits(self, share: float) -> list[tuple["PastFilms", "PastFilms"]]:
        """What teaches and what is left out, so large a share of the films or of the frames of a single one: once from the
        end, once from the beginning."""
        several = len(self.films) > 1
        count = len(self.films) if several else len(self.films[0])
        cut = min(count - 1, max(1, round(count * share)))

        def part(some: slice) -> PastFilms:
            return self._part(some, slice(None)) if several else self._part(slice(None), some)

        return [(part(slice(-cut)), part(slice(-cut, None))), (part(slice(cut, None)), part(slice(cut)))]

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
