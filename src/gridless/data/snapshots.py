"""Snapshots: what was measured at several times, a field for each; and the fields that a model makes of them.

Snapshots    times + a sequence of Samples or signals, each read when it is asked for
FieldSeries  times + a sequence of Fields, each solved when it is asked for
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
from jaxtyping import Shaped

from gridless.data.signals import GridSignal, Readings
from gridless.data.stamps import named
from gridless.domain import Domain
from gridless.samples import Samples

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from gridless.field import Field


KEPT = 4  # fields that were solved


class Encoder(Protocol):
    """A model or a base: samples in, field out."""

    def encode(self, samples: Samples) -> "Field": ...


Snapshot = Samples | GridSignal | Readings


@dataclass(frozen=True, eq=False)
class Snapshots(Sequence[Snapshot]):
    """One field per time, over one domain: a sequence that `fit` and `evaluate` take as it is.

    `times`: datetime64 in UTC, or dates of another calendar (cftime), one for each of `fields`, in their order.
    """

    times: Shaped[np.ndarray, " T"]
    fields: Sequence[Snapshot]
    domain: Domain

    def __post_init__(self):
        if len(self.times) != len(self.fields):
            raise ValueError(f"{len(self.times)} times for {len(self.fields)} fields; give one for each")

    def __len__(self) -> int:
        return len(self.fields)

    @overload
    def __getitem__(self, index: int) -> Snapshot: ...
    @overload
    def __getitem__(self, index: slice) -> "Snapshots": ...
    def __getitem__(self, index: int | slice) -> "Snapshot | Snapshots":
        if isinstance(index, slice):
            return replace(self, times=self.times[index], fields=Chosen(self.fields, range(len(self))[index]))
        return self.fields[range(len(self))[index]]

    def samples(self, index: int) -> Samples:
        """What was measured at one time. Raises ValueError, naming the time, where nothing was."""
        index = range(len(self))[index]
        try:
            each = self.fields[index]
            return each if isinstance(each, Samples) else each.samples()
        except ValueError as error:
            time = named(self.times[index : index + 1])
            raise ValueError(str(error) if time in str(error) else f"{time}: {error}") from None

    def encode(self, model: Encoder) -> "FieldSeries":
        """The fields that a model or base makes of them, each solved when it is asked for."""
        return FieldSeries(model, self)


@dataclass(frozen=True, eq=False)
class Chosen(Sequence[Any]):
    """Some of a longer sequence, read when they are asked for."""

    whole: Sequence[Any]
    index: range

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Any) -> Any:
        return Chosen(self.whole, self.index[index]) if isinstance(index, slice) else self.whole[self.index[index]]


@dataclass(frozen=True, eq=False)
class FieldSeries:
    """Fields over time, each solved from its snapshot when it is asked for; small to send to a worker."""

    model: Encoder
    snapshots: Snapshots
    _last: dict[int, Any] = field(default_factory=dict, repr=False)

    @property
    def times(self) -> Shaped[np.ndarray, " T"]:
        """When the fields were measured, as datetime64."""
        return self.snapshots.times

    @property
    def domain(self) -> Domain:
        """Of a field: without time."""
        return self.snapshots.domain

    def __len__(self) -> int:
        return len(self.snapshots)

    def __getitem__(self, index: int) -> "Field":
        """The field of one time; the last few asked for are kept."""
        index = range(len(self))[index]
        solved = self._last.get(index)
        if solved is None:
            solved = self.model.encode(self.snapshots.samples(index))
            while len(self._last) >= KEPT:
                self._last.pop(next(iter(self._last), index), None)
            self._last[index] = solved
        return solved

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "snapshots": self.snapshots, "_last": {}}

    def to_xarray(
        self,
        like: "xr.Dataset | xr.DataArray | str | Path",
        *,
        spread: bool = True,
        variable: str | None = None,
        mask: "bool | xr.DataArray" = False,
        chunks: Mapping[str, int] | None = None,
        history: str | None = None,
    ) -> "xr.Dataset":
        """As `Field.to_xarray`; the template's times are matched exactly to those of the fields, and a template without
        times gets theirs."""
        from gridless.data.answers import answered

        return answered(self, like, spread=spread, variable=variable, mask=mask, chunks=chunks, history=history)

    def to_table(self, points: "pd.DataFrame | str | Path", time: str, *, tz: str | None = None) -> "pd.DataFrame":
        """As `Field.to_table`; the column `time` says which field each row asks."""
        from gridless.data.answer_tables import answered_table

        return answered_table(self, points, time=time, tz=tz)
