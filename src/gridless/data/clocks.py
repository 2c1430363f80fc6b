"""Clocks: the even times of a film's frames, and the time of any moment between them and after them.

Steps are seconds, or calendar months where frames stand a month apart. Times are datetime64, or dates of another calendar.
"""

import calendar
from dataclasses import dataclass
from datetime import timedelta
from math import floor, gcd
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from gridless.data.durations import Duration, Unit
from gridless.data.stamps import RESOLUTION, named

EVEN = 0.05  # of a step: how far a frame's time may lie beside its place in the row
SAME_DAY = 3  # days that the stamps of months may differ: the 28th and the 31st are both the last
SHORTEST_MONTH = 27 * 86400  # seconds, and a day for stamps that shake
SPARSEST = 10  # times as many frames as there are may be missing between them


@dataclass(frozen=True, eq=False)
class Clock:
    """Frame k stands `k · step` after the first."""

    first: Any
    step: float
    unit: Unit

    @classmethod
    def of(cls, times: Shaped[np.ndarray, " T"], name: str) -> tuple["Clock", Int[np.ndarray, " T"]]:
        """The clock of these increasing times, and which frame each of them is: between some of them others may be missing.

        Raises ValueError, naming the file, for fewer than two times, for times that repeat, and for uneven steps.
        """
        if len(times) < 2:
            raise ValueError(f"{name} holds {len(times)} frame; a film has at least two, whose step is known")
        seconds = seconds_between(times[0], times)
        steps = np.diff(seconds)
        if (steps <= 0).any():
            twice = int(np.flatnonzero(steps <= 0)[0])
            raise ValueError(
                f"{name} holds two frames of one time, {named(times[twice : twice + 1])}; keep one of them"
            )
        parts = [_parts(time) for time in times]
        days, months = np.array([day for *_, day in parts]), np.array([12 * year + month for year, month, _ in parts])
        alike = (days == days[0]).all() or (np.ptp(days) <= SAME_DAY and (steps != steps[0]).any())
        if steps.min() >= SHORTEST_MONTH and alike:
            step = gcd(*np.diff(months).tolist())
            return _checked(cls(times[0], float(step), "month"), (months - months[0]) // step, name)
        for guess in (float(np.median(steps)), float(steps.min())):
            index = np.concatenate([[0], np.rint(steps / guess).astype(np.int64).cumsum()])
            for step in (guess, float(seconds[-1]) / max(int(index[-1]), 1)):
                if (np.diff(index) > 0).all() and (np.abs(seconds - step * index) <= EVEN * step).all():
                    return _checked(cls(times[0], step, "s"), index, name)
        low, high = (Duration(float(edge), "s") for edge in (steps.min(), steps.max()))
        raise ValueError(
            f"{name}: its steps of time are uneven ({low} … {high}); a film has even ones: resample it, such as "
            ".resample(time='1h').mean() of xarray, which leaves missing frames empty"
        )

    def at(self, frames: Float[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """The times of frames, whole or not, counted from the first. A part of a month is that part of its days."""
        return np.array(
            [self._at(self.first, float(k)) for k in np.asarray(frames)], dtype=np.asarray([self.first]).dtype
        )

    def shifted(self, time: Any, frames: float) -> Any:
        """A time so many frames later."""
        return self._at(time, frames)

    def frames_in(self, duration: Duration, what: str) -> float:
        """How many steps a duration is. Raises ValueError, naming `what`, for months of a film whose steps are seconds, and
        the reverse."""
        if duration.unit != self.unit:
            steps = Duration(self.step, self.unit)
            raise ValueError(
                f"{what} is {duration}, the frames of this film are {steps} apart; give {_alike(self.unit)}"
            )
        return duration.count / self.step

    @property
    def standard(self) -> bool:
        """Whether times are datetime64, and steps seconds: then coordinates of time are times."""
        return self.unit == "s" and isinstance(self.first, np.datetime64)

    def _at(self, start: Any, frames: float) -> Any:
        if self.unit == "s":
            return _later(start, frames * self.step)
        months = frames * self.step
        months = float(round(months)) if abs(months - round(months)) < 1e-9 else months
        low = _month_later(start, floor(months))
        if months == floor(months):
            return low
        length = float(seconds_between(low, np.array([_month_later(start, floor(months) + 1)]))[0])
        return _later(low, (months - floor(months)) * length)


def _checked(clock: Clock, index: np.ndarray, name: str) -> tuple[Clock, np.ndarray]:
    missing = int(index[-1]) + 1 - len(index)
    if missing > SPARSEST * len(index):
        raise ValueError(
            f"{name} holds {len(index)} frames, between which {missing} are missing at steps of "
            f"{Duration(clock.step, clock.unit)}; cut it where it stops, into films of their own"
        )
    return clock, index


def _alike(unit: Unit) -> str:
    return "a time such as 30min or 6h" if unit == "s" else "months, such as 1month"


def seconds_between(start: Any, times: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """How much later than `start` they are."""
    if isinstance(start, np.datetime64):
        return (times - start).astype("timedelta64[us]").astype(np.float64) / 1e6
    return np.array([(time - start).total_seconds() for time in times])


def _later(time: Any, seconds: float) -> Any:
    if isinstance(time, np.datetime64):
        return time.astype(RESOLUTION) + np.timedelta64(round(seconds * 1e6), "us")
    return time + timedelta(microseconds=round(seconds * 1e6))


def _parts(time: Any) -> tuple[int, int, int]:
    """Year, month and day."""
    if isinstance(time, np.datetime64):
        date = time.astype("datetime64[s]").item()
        return date.year, date.month, date.day
    return time.year, time.month, time.day


def _month_later(time: Any, months: int) -> Any:
    """The same day and hour of another month, or its last day."""
    year, month, day = _parts(time)
    year, month = year + (month - 1 + months) // 12, (month - 1 + months) % 12 + 1
    if not isinstance(time, np.datetime64):
        first = time.replace(year=year, month=month, day=1)
        return first.replace(day=min(day, first.daysinmonth))
    day = min(day, calendar.monthrange(year, month)[1])
    start = time.astype("datetime64[D]")
    return np.datetime64(f"{year:04d}-{month:02d}-{day:02d}").astype(RESOLUTION) + (time.astype(RESOLUTION) - start)
