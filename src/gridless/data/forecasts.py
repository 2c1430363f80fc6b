"""Windows of films. A forecast is a hole at the end: frames that are seen, and after them frames that are masked, over one
domain with its axis of time, so that whatever answers a grid with holes can be asked about what comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.data.signals import GridSignal
from gridless.domain import RELATIVE_TIME, TIME, Domain
from gridless.samples import Samples


def time_axis(film: GridSignal) -> int:
    """Which axis is that of time; the first, where no domain says."""
    axis = None if film.domain is None else film.domain.time
    return 0 if axis is None else axis


@dataclass(frozen=True, eq=False)
class FilmWindow:
    """`frames` frames of a film, `step` apart, from the frame `start` on."""

    film: GridSignal
    start: int
    frames: int
    step: int = 1

    @classmethod
    def starts(cls, film: GridSignal, frames: int, step: int) -> int:
        """How many windows the film has. Raises ValueError if it has none."""
        length = film.shape[time_axis(film)]
        count = length - (frames - 1) * step
        if count < 1:
            raise ValueError(
                f"{film.name} has {length} frames; task.seen, task.ahead and task.step ask for {(frames - 1) * step + 1}"
            )
        return count

    @property
    def axis(self) -> int:
        return time_axis(self.film)

    def domain(self, absolute: bool) -> Domain | None:
        return window_domain(self.film, self.frames, self.step, self.start if absolute else None)

    @property
    def epoch(self) -> Float[Tensor, " 1"] | None:
        """When the first frame was, in seconds since 1970, where the film's times say."""
        axis = None if self.film.domain is None else self.film.domain.axes[self.axis]
        if axis is None or axis.unit != TIME:
            return None
        each = axis.length / self.film.shape[self.axis]
        return torch.tensor([axis.start + (self.start + 0.5) * each], dtype=torch.float64)

    def seen(self) -> tuple[Float[np.ndarray, "*grid C"], Bool[np.ndarray, "*grid"]]:
        """Values and what was measured of them, of all frames of the window."""
        part = [slice(None)] * self.film.axes
        part[self.axis] = slice(self.start, self.start + (self.frames - 1) * self.step + 1, self.step)
        values = self.film.floats[tuple(part)]
        mask = np.ones(values.shape[:-1], bool) if self.film.mask is None else self.film.mask[tuple(part)]
        return values, mask

    def samples(self, values: Float[np.ndarray, "*grid C"], mask: Bool[np.ndarray, "*grid"], absolute: bool) -> Samples:
        shape = mask.shape
        flat = torch.from_numpy(np.ascontiguousarray(np.where(mask[..., None], values, 0))).flatten(0, -2)[None]
        known = torch.from_numpy(np.ascontiguousarray(mask)).flatten()[None]
        return Samples(flat, shape, mask=known, domain=self.domain(absolute), epoch=None if absolute else self.epoch)

    def moment(
        self, offset: int, cells: np.ndarray | None = None
    ) -> tuple[Float[Tensor, "Q d"], Float[Tensor, "Q C"], Bool[np.ndarray, " Q"]]:
        """Coordinates in the window, values and what was measured of them, of a frame `offset` frames of the film after the
        window's first; `cells`: of some places (None: all)."""
        values = np.take(self.film.floats, self.start + offset, self.axis)
        shape = values.shape[:-1]
        cells = np.arange(int(np.prod(shape))) if cells is None else cells
        index = np.stack(np.unravel_index(cells, shape), -1)
        places = (index + 0.5) / np.array(shape)
        time = np.full((len(cells), 1), (offset / self.step + 0.5) / self.frames)
        coords = np.concatenate([places[:, : self.axis], time, places[:, self.axis :]], 1)
        measured = np.ones(len(cells), bool)
        if self.film.mask is not None:
            measured = np.take(self.film.mask, self.start + offset, self.axis).reshape(-1)[cells]
        chosen = np.ascontiguousarray(values.reshape(-1, self.film.channels)[cells])
        return torch.from_numpy(coords).to(torch.float32), torch.from_numpy(chosen), measured


def window_domain(film: GridSignal, frames: int, step: int, start: int | None = None) -> Domain | None:
    """Of so many frames, from the frame `start` on; None: time counts from the first of them, the same for all windows."""
    if film.domain is None:
        return None
    i = time_axis(film)
    time = film.domain.axes[i]
    each = time.length / film.shape[i]
    begin = -0.5 * each * step if start is None else time.start + (start - 0.5 * (step - 1)) * each
    unit = RELATIVE_TIME if start is None and time.unit == TIME else time.unit
    axis = replace(time, start=begin, length=frames * step * each, unit=unit)
    return replace(film.domain, axes=(*film.domain.axes[:i], axis, *film.domain.axes[i + 1 :]))


def sensor_places(
    rng: np.random.Generator, measured: Bool[np.ndarray, "T *space"], count: int, moving: bool
) -> Bool[np.ndarray, "T *space"]:
    """`count` places at which every frame is seen, or other ones in each; of those that were ever measured."""
    known = np.flatnonzero(measured.any(0))
    chosen = np.zeros((len(measured), measured[0].size), bool)
    for frame in chosen if moving else chosen[:1]:
        frame[rng.permutation(known)[:count]] = True
    return (chosen if moving else np.broadcast_to(chosen[:1], chosen.shape)).reshape(measured.shape)


def hidden_box(rng: np.random.Generator, shape: Sequence[int], share: float) -> Bool[np.ndarray, "*space"]:
    """False in a box of this share of the area, somewhere."""
    seen = np.ones(tuple(shape), bool)
    sides = [max(1, min(n, round(n * share ** (1 / len(shape))))) for n in shape]
    corner = [int(rng.integers(n - side + 1)) for n, side in zip(shape, sides, strict=True)]
    seen[tuple(slice(a, a + side) for a, side in zip(corner, sides, strict=True))] = False
    return seen
