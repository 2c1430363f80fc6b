"""What a place is usually like: a mean, and where times are known the harmonics of the year or of the day.

How many harmonics is chosen by leaving runs of fields out: a mean of every month would be a mean of as few fields as there
were years. `Climatology` is the mean alone, as an answer to any readings: what every method has to beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import pi
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.bases.archive import GriddedField
from gridless.bases.spatial import GridNodes
from gridless.data.signals import GridSignal
from gridless.data.sources import signals as as_signals
from gridless.domain import Domain
from gridless.field import Field
from gridless.protocols import Answer, Base, Solved, answer_of
from gridless.samples import Samples, moved_parts

Cycle = Literal["none", "year", "day"]
HARMONICS = 3  # at most
FOLDS = 7  # runs of fields in a row that are left out by turns: neighbours look alike
RIDGE = 1e-3  # of the number of fields, on each harmonic: where hardly anything was measured, the mean


def phases(times: object, cycle: Cycle) -> Float[Tensor, " S"]:
    """Which part of the year or day has passed, in [0, 1). Raises ValueError for what is no datetime64."""
    stamps = np.atleast_1d(np.asarray(times))
    if not np.issubdtype(stamps.dtype, np.datetime64) or np.isnat(stamps).any():
        raise ValueError(
            f"a climatology of the {cycle} takes times as datetime64, got {stamps.dtype}; give times=…, one for each field"
        )
    stamps, unit = stamps.astype("datetime64[s]"), {"year": "Y", "day": "D"}.get(cycle)
    if unit is None:
        return torch.zeros(len(stamps), dtype=torch.float64)
    start = stamps.astype(f"datetime64[{unit}]")
    whole = (start + 1).astype(stamps.dtype) - start.astype(stamps.dtype)
    return torch.from_numpy((stamps - start.astype(stamps.dtype)) / whole)


def design(phase: Float[Tensor, " S"], harmonics: int = HARMONICS) -> Float[Tensor, "S K"]:
    """One, and cosine and sine of each harmonic."""
    angle = 2 * pi * phase[:, None] * torch.arange(1, harmonics + 1, dtype=phase.dtype, device=phase.device)
    return torch.cat([torch.ones_like(phase)[:, None], torch.stack([angle.cos(), angle.sin()], -1).flatten(1)], 1)


def runs(count: int, folds: int = FOLDS) -> list[range]:
    """`count` fields as runs in a row, at most `folds`."""
    ends = np.linspace(0, count, min(folds, count) + 1).round().astype(int)
    return [range(a, b) for a, b in pairwise(ends.tolist())]


@dataclass(frozen=True, eq=False)
class Anomaly:
    """A field without what is usual there."""

    values: Float[Tensor, "*grid C"]
    mask: Bool[Any, "*grid"] | None


@dataclass(frozen=True, eq=False)
class Anomalies(Sequence):
    """Fields without what is usual there, each read when it is asked for."""

    fields: Sequence[GriddedField]
    chosen: Sequence[int]
    phase: Float[Tensor, " S"]
    coefficients: Float[Tensor, "*grid C K"]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Anomaly:
        number = self.chosen[index]
        field = self.fields[number]
        usual = self.coefficients @ design(self.phase[number : number + 1])[0]
        return Anomaly(_values(field) - usual, field.mask)


@dataclass(frozen=True, eq=False)
class Sums:
    """What least squares of each run of fields needs; a cell that was not measured adds nothing."""

    normal: Float[Tensor, "F *grid C K K"]
    right: Float[Tensor, "F *grid C K"]

    @classmethod
    def of(cls, fields: Sequence[GriddedField], phase: Float[Tensor, " S"], cycle: Cycle, folds: list[range]) -> "Sums":
        rows = design(phase, 0 if cycle == "none" else HARMONICS)
        shape = tuple(fields[0].values.shape)
        normal = torch.zeros(len(folds), *shape, rows.shape[1], rows.shape[1], dtype=torch.float64)
        right = torch.zeros(len(folds), *shape, rows.shape[1], dtype=torch.float64)
        for fold, chosen in enumerate(folds):
            for number in chosen:
                values = _values(fields[number])
                if tuple(values.shape) != shape:
                    raise ValueError(
                        f"the fields of an archive share one grid: expected values {shape}, got {tuple(values.shape)}"
                    )
                known, row = values.isfinite().double(), rows[number]
                normal[fold] += known[..., None, None] * (row[:, None] * row)
                right[fold] += (values.nan_to_num() * known)[..., None] * row
        return cls(normal, right)

    def coefficients(self, folds: Sequence[int], harmonics: int) -> Float[Tensor, "*grid C K"]:
        """Of the fields of some runs; zero where nothing was measured, and beyond `harmonics`."""
        kept = 1 + 2 * harmonics
        normal, right = (part[list(folds)].sum(0) for part in (self.normal, self.right))
        normal, right = normal[..., :kept, :kept], right[..., :kept]
        ridge = RIDGE * normal[..., :1, :1] * torch.eye(kept, dtype=normal.dtype)
        ridge[..., 0, 0] = 0
        known = normal[..., :1, :1] > 0
        solved = torch.linalg.solve((normal + ridge).where(known, torch.eye(kept).double()), right[..., None])[..., 0]
        out = torch.zeros(*solved.shape[:-1], 1 + 2 * HARMONICS, dtype=solved.dtype)
        out[..., :kept] = solved
        return out


def harmonics_of(fields: Sequence[GriddedField], phase: Tensor, cycle: Cycle, sums: Sums, folds: list[range]) -> int:
    """How many harmonics tell most of fields that were left out."""
    if cycle == "none" or len(folds) < 2:
        return 0
    errors = torch.zeros(HARMONICS + 1, dtype=torch.float64)
    for fold, chosen in enumerate(folds):
        others = [other for other in range(len(folds)) if other != fold]
        for harmonics in range(HARMONICS + 1):
            anomalies = Anomalies(fields, list(chosen), phase, sums.coefficients(others, harmonics))
            errors[harmonics] += sum(float(anomalies[i].values.nan_to_num().square().sum()) for i in range(len(chosen)))
    return int(errors.argmin())


def _values(field: GriddedField) -> Float[Tensor, "*grid C"]:
    """float64; NaN where nothing was measured."""
    values = field.values
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    values = (values if torch.is_tensor(values) else torch.from_numpy(np.ascontiguousarray(values))).double()
    if field.mask is None:
        return values
    return values.where(torch.as_tensor(field.mask)[..., None], torch.nan)


class Climatology:
    """The mean of past fields at every place and how far they lay around it, whatever the readings say."""

    name = "climatology"
    has_spread = True

    def __init__(self):
        self.solved: SolvedClimatology | None = None

    @property
    def needs_fit(self) -> bool:
        """Whether it has seen no fields yet."""
        return self.solved is None

    def fit(self, data: Sequence) -> dict[str, float | int]:
        """Fitted to fields on one grid; NaN is not measured. Says how many. Raises ValueError for fewer than two."""
        fields: Any = as_signals(data)
        if len(fields) < 2:
            raise ValueError(f"a climatology is made of at least two past fields, got {len(fields)}")
        if not isinstance(fields[0], GridSignal):
            raise ValueError(f"a climatology is made of fields on one grid, got {type(fields[0]).__name__}")
        sums = Sums.of(fields, torch.zeros(len(fields), dtype=torch.float64), "none", [range(len(fields))])
        usual, count = sums.coefficients([0], 0), sums.normal[0, ..., 0, 0]
        anomalies = Anomalies(fields, range(len(fields)), torch.zeros(len(fields), dtype=torch.float64), usual)
        square = sum(anomalies[i].values.nan_to_num().square() for i in range(len(fields)))
        std = (square / (count - 1).clamp(min=1)).sqrt()
        domain = fields[0].domain
        known = (count > 0).flatten(0, -2)
        periodic = (False,) * (count.ndim - 1) if domain is None else domain.joins
        nodes = GridNodes(tuple(count.shape[:-1]), periodic, "linear", known)
        parts = torch.stack([usual[..., 0], std], -1).flatten(0, -3)
        parts = torch.stack([nodes.extended(parts[:, c], known[:, c]) for c in range(parts.shape[1])], 1)
        self.solved = SolvedClimatology(nodes, parts, domain)
        return {"fields": len(fields)}

    def solve(self, samples: Samples) -> "SolvedClimatology":
        """The same for all samples of the domain. Raises ValueError before it was fitted, and in another domain."""
        if self.solved is None:
            raise ValueError("this climatology has seen no fields; fit it to past ones first")
        if samples.domain is not None and self.solved.domain not in (None, samples.domain):
            raise ValueError(
                "these samples lie in another domain than the past fields; give domain=… of the archive to them"
            )
        return self.solved

    def encode(self, samples: Samples) -> Field:
        """As a baseline: samples in, field out, and how sure it is."""
        return Field.of_base(self, samples)


@dataclass(frozen=True, eq=False)
class SolvedClimatology:
    """The same answer for every field; NaN where nothing was ever measured."""

    nodes: GridNodes
    parts: Float[Tensor, "P C 2"]
    """Mean and deviation at the cells; linear in between."""
    domain: Domain | None

    spread = True
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self._at(coords, 0)

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        """Standard deviations of past fields around their mean."""
        return self._at(coords, 1)

    def draws(self, n: int, seed: int) -> None:
        """None: past fields are functions, their spread alone is none."""
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedClimatology":
        return moved_parts(self, device)

    def _at(self, coords: Float[Tensor, "B Q d"], part: int) -> Float[Tensor, "B Q C"]:
        values = self.nodes.evaluate(coords.double(), self.parts[..., part])
        return values.where(self.nodes.contains(coords), torch.nan).to(coords.dtype)


@dataclass(frozen=True, eq=False)
class OfAnomalies:
    """Another base, of what readings depart from a climatology: what past fields teach a method that knows only one."""

    base: Base
    usual: Climatology

    @property
    def name(self) -> str:
        return f"{self.base.name}-anomalies"

    def solve(self, samples: Samples) -> "SolvedAnomalies":
        """Raises ValueError before the climatology was fitted, and in another domain."""
        points, usual = samples.as_points(), self.usual.solve(samples)
        anomaly = points.values - usual(points.point_coords)
        return SolvedAnomalies(self.base.solve(replace(points, values=anomaly)), usual)

    def encode(self, samples: Samples) -> Field:
        """As a baseline: samples in, field out."""
        return Field.of_base(self, samples)


@dataclass(frozen=True, eq=False)
class SolvedAnomalies:
    """The climatology and what the readings add to it; as unsure as what they add."""

    anomaly: Solved
    usual: SolvedClimatology

    differentiable = False

    @property
    def spread(self) -> bool:
        return self.anomaly.spread

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self.usual(coords) + self.anomaly(coords, cell)

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"] | None:
        return self.anomaly.std(coords, cell)

    def mean_and_std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Answer:
        """Both at once, for the price of one."""
        answer = answer_of(self.anomaly, coords, cell)
        return Answer(self.usual(coords) + answer.mean, answer.std)

    def draws(self, n: int, seed: int) -> None:
        """None."""
        return None

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedAnomalies":
        return SolvedAnomalies(self.anomaly.to(device), self.usual.to(device))
