"""Frames of a film are seen, any moment is asked: between them, and beyond the last.

The corruptions follow SCENT (Park et al. 2025, arXiv 2504.12262): its simulated sets S1 (clean), S2 (noise in proportion to
the value), S3 (missing regions), S4 (half of the places), S5 (sensors that move).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from gridless import config
from gridless.config.frozen import config as frozen
from gridless.data.cropping import grid_signal, padded, pick
from gridless.data.forecasts import FilmWindow, hidden_box, sensor_places, window_domain
from gridless.data.signals import GridSignal, Reading, Signal
from gridless.data.sources import Source
from gridless.domain import Domain
from gridless.protocols import Batch, Case
from gridless.samples import Samples
from gridless.tasks.sparse_field import READINGS


@frozen
class Forecast(config.Forecast):
    """The first frames of a window of a film are seen; its frames, those that follow, and those between are asked."""

    @property
    def frames(self) -> int:
        """Of a window."""
        return self.seen + self.ahead

    def domain_of(self, signal: Signal) -> Domain | None:
        """Of a window, whose time counts from its first frame."""
        return window_domain(grid_signal(signal), self.frames, self.step)

    def draw(
        self,
        signals: Sequence[Signal] | Source,
        rng: np.random.Generator,
        *,
        window: tuple[int, ...],
        batch: int,
        queries: int | None,
    ) -> Batch:
        """One moment of each window is asked, all of its places with a `queries` of None."""
        low, high = self.sensors or (0, 0)
        count = round(np.exp(rng.uniform(np.log(low), np.log(high)))) if self.sensors else None
        seen, asked = [], []
        for _ in range(batch):
            film = grid_signal(pick(signals, rng))
            cut = FilmWindow(
                film, int(rng.integers(FilmWindow.starts(film, self.frames, self.step))), self.frames, self.step
            )
            frame = int(rng.integers(self.seen if self.ask == "ahead" else 0, self.frames))
            hidden = frame if self.between and 0 < frame < self.seen - 1 else None
            seen.append(self._seen(cut, rng, count, absolute=False, hidden=hidden))
            places = int(np.prod(film.shape)) // film.shape[cut.axis]
            cells = None if queries is None or queries >= places else rng.choice(places, queries, replace=False)
            coords, values, measured = cut.moment(frame * self.step, cells)
            keep = torch.from_numpy(measured)
            asked.append(Reading(coords[keep], values[keep]))
        coords, target, measured = padded(asked)
        cell = torch.zeros(batch, 1, coords.shape[-1], dtype=coords.dtype)
        return Batch(Samples.stack(seen), coords, cell, target, None, measured)

    def cases(self, signals: Sequence[Signal]) -> Iterator[Case]:
        """Every window × moment: those beyond the last seen frame, those between, and where little is seen the seen ones."""
        complete = self.sensors is None and not self.noise and not self.missing
        for number, signal in enumerate(signals):
            film = grid_signal(signal)
            for start in self._starts(film):
                window = FilmWindow(film, start, self.frames, self.step)
                rng = np.random.default_rng((READINGS, number, start))
                count = None if self.sensors is None else round(float(np.sqrt(self.sensors[0] * self.sensors[1])))
                samples = self._seen(window, rng, count, absolute=True)
                for offset in range((self.frames - 1) * self.step + 1):
                    lead = offset / self.step - (self.seen - 1)
                    known = complete and lead <= 0 and offset % self.step == 0
                    if not known and (self.leads is None or any(abs(lead - each) < 1e-6 for each in self.leads)):
                        coords, truth, measured = window.moment(offset)
                        if measured.any():
                            yield Case(
                                f"{film.name}-{start}", samples, truth.numpy(), coords=coords, measured=measured,
                                peak=film.peak, tags={"lead": round(lead, 6), "family": film.group},
                            )  # fmt: skip

    def for_validation(self) -> "Forecast":
        """One window of every film, its first and its last moment beyond what is seen."""
        return replace(self, windows=1, leads=tuple(sorted({1.0, float(self.ahead)})))

    def _starts(self, film: GridSignal) -> list[int]:
        """First frames of the windows that evaluation asks."""
        every = range(
            0, FilmWindow.starts(film, self.frames, self.step), self.stride or (self.frames - 1) * self.step + 1
        )
        if self.windows is None or len(every) <= self.windows:
            return list(every)
        return [every[int(i)] for i in np.linspace(0, len(every) - 1, self.windows + 2)[1:-1].round()]

    def _seen(
        self,
        window: FilmWindow,
        rng: np.random.Generator,
        count: int | None,
        absolute: bool,
        hidden: int | None = None,
    ) -> Samples:
        """The window with what is hidden of it, a frame of that number too."""
        values, measured = window.seen()
        axis = window.axis
        seen = np.moveaxis(measured, axis, 0).copy()
        seen[self.seen :] = False
        if count is not None:
            seen[: self.seen] &= sensor_places(rng, seen[: self.seen], count, self.moving)
        if self.missing:
            seen &= hidden_box(rng, seen.shape[1:], self.missing)
        if self.noise:
            values = values * (1 + self.noise * rng.standard_normal(values.shape, np.float32)).astype(values.dtype)
        if hidden is not None:
            seen[hidden] = False
        mask = np.moveaxis(seen, 0, axis)
        if not mask.any():
            raise ValueError(f"{window.film.name}: nothing is seen of the window from frame {window.start} on")
        return window.samples(values, mask, absolute)
