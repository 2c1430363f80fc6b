"""Training fields on one grid, with holes, read a few at a time.

Their modes are found by subspace iteration (Halko, Martinsson & Tropp 2011). Every round fills the holes of a field with
what the modes of the round before make of what was measured (gappy POD, Everson & Sirovich 1995; iterated as DINEOF is,
Beckers & Rixen 2003). Only modes and weights stay in memory, so an archive may be larger than that.
"""

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.bases.clusters import principal
from gridless.bases.mode_mixture import chunks
from gridless.bases.spatial import GridNodes
from gridless.bases.training_fields import Decomposition, FormulaFields, deviation, spectra

NUMBERS_AT_ONCE = 1 << 24
COVERED = 0.1  # of the fields must have measured a cell, or it counts as outside
ROUNDS = 30  # of subspace iteration, at most
FLOOR = (
    1e-3  # of the variance, at least, is taken for noise when holes are filled: spurious modes would feed themselves
)
SETTLED = 1e-5  # relative change of the variance that the modes hold, below which a round was the last
SPARE = 10  # directions, so that the last modes are found as well as the first
RUNS = 4  # in time, by turns of one half and the other: neighbours look alike


class GriddedField(Protocol):
    @property
    def values(self) -> Float[Tensor, "*grid C"] | np.ndarray:
        """NaN where a channel was not measured."""
        ...

    @property
    def mask(self) -> Bool[Tensor, "*grid"] | np.ndarray | None: ...


class Archive:
    def __init__(self, fields: Sequence[GriddedField], nodes: GridNodes, covered: Tensor, mean: Tensor, scale: Tensor):
        """`covered` (P C): which cells were measured often enough; the nodes stand there."""
        self.fields, self.nodes, self.covered, self.mean, self.scale = fields, nodes, covered, mean, scale
        self.inside = covered.unflatten(0, nodes.shape)
        self.run = -(-len(fields) // RUNS)

    @classmethod
    def of(cls, fields: Sequence[GriddedField] | FormulaFields, periodic: tuple[bool, ...], channels: int) -> "Archive":
        """Reads all fields once, for the mean and the standard deviation of every channel."""
        if callable(fields) or not hasattr(fields[0], "values"):
            raise ValueError(
                "base.representation 'grid' is fitted to gridded fields with values (*grid, C) and a mask, got "
                f"{type(fields).__name__}; formula fields take base.representation = 'legendre'"
            )
        shape = tuple(fields[0].values.shape)
        if len(shape) != len(periodic) + 1 or shape[-1] != channels:
            raise ValueError(f"these modes have {len(periodic)} axes and {channels} channels, got values {shape}")
        count, total, square = (torch.zeros(prod(shape[:-1]), channels, dtype=torch.float64) for _ in range(3))
        values, measured = _read(fields[0], shape)
        shift = (values * measured).sum(0) / measured.sum(0).clamp(
            min=1
        )  # squares of values far from zero would cancel
        for field in fields:
            values, measured = _read(field, shape)
            away = (values - shift) * measured
            count, total, square = count + measured, total + away, square + away.square()
        covered = count >= max(1, COVERED * len(fields))
        if not covered.any(0).all():
            raise ValueError(f"channel {int((~covered.any(0)).nonzero()[0])} was measured nowhere in these fields")
        mean = total / count.clamp(min=1)
        variance = (square / count.clamp(min=1) - mean.square()).clamp(min=0)
        scale = deviation((variance * covered).sum(0) / covered.sum(0))
        mean = torch.where(covered, mean + shift, 0) / scale
        return cls(fields, GridNodes(shape[:-1], periodic, inside=covered), covered, mean, scale)

    def decomposed(self, count: int) -> Decomposition:
        covered = self.covered.flatten().float()
        size = float(covered.sum())
        most = min(count, len(self.fields), int(size))
        width = min(most + SPARE, len(self.fields), int(size))
        generator = torch.Generator().manual_seed(0)
        directions = torch.linalg.qr(torch.randn(len(covered), width, generator=generator) * covered[:, None])[0]
        weights, prior, variance = torch.zeros(len(self.fields), width), None, 0.0
        for _ in range(ROUNDS):
            scatter, total = torch.zeros_like(directions), torch.zeros_like(covered)
            for some in self._chunks:
                values, measured = self._anomalies(some)
                filled = values + (covered - measured) * (weights[some, :most] @ directions[:, :most].mT)
                scatter, total = scatter + filled.mT @ (filled @ directions), total + filled.sum(0)
            shift = total / len(self.fields)  # the mean of filled fields is not that of what was measured
            self.mean = self.mean + shift.view_as(self.mean)
            scatter = scatter - len(self.fields) * shift[:, None] * (shift @ directions)
            directions = torch.linalg.qr(scatter)[0]
            weights, outside = self._projected(directions, covered, prior)
            turn = principal(weights)[1]
            directions, weights = directions @ turn, weights @ turn
            variances, before = weights.square().mean(0), variance
            variance = float(variances.sum())
            prior = variances.clamp(min=1e-9), (outside.mean() + FLOOR * variance / size).clamp(min=1e-9)
            if abs(variance - before) <= SETTLED * variance:
                break
        outside = outside + weights[:, most:].square().sum(1) / size
        modes = directions[:, :most].unflatten(0, self.mean.shape) * size**0.5  # mean square one
        return Decomposition(
            self.extended(self.mean).float(), self.extended(modes), weights[:, :most] / size**0.5, outside
        )

    def of_other(self, fields: Sequence[GriddedField]) -> "Archive":
        """Other fields on the same grid, in the units and around the mean of these."""
        return Archive(fields, self.nodes, self.covered, self.mean, self.scale)

    def explained(
        self, number: int, parts: Decomposition
    ) -> tuple[Float[Tensor, "G C"], Float[Tensor, "G C"], Float[Tensor, " M"]]:
        """One field around the mean, in its own units, 1 where it was measured, and the weights of modes in it. A field
        with holes has those that fit best, none larger than its modes usually have."""
        values, measured = (x[0].double() for x in self._anomalies(slice(number, number + 1)))
        modes = parts.modes.flatten(0, 1).double() * measured[:, None]
        normal, size = modes.mT @ modes, self.covered.sum()
        if measured.sum() < size:
            usual = parts.weights.double().square().mean(0).clamp(min=1e-12)
            normal = normal + (max(float(parts.outside.mean()), FLOOR * float(usual.sum())) / usual).diag()
        weights = torch.linalg.lstsq(normal, modes.mT @ values[:, None]).solution[:, 0]
        shape = self.mean.shape
        return values.view(shape) * self.scale, measured.view(shape), weights

    def values(self, some: slice) -> tuple[Float[Tensor, "s G C"], Float[Tensor, "s G C"]]:
        values, measured = self._anomalies(some)
        values, measured = (x.unflatten(1, self.mean.shape) for x in (values, measured))
        return values + self.mean.float(), measured

    def at_cells(self, coefficients: Float[Tensor, "P C F"]) -> Float[Tensor, "G C F"]:
        return coefficients

    def extended(self, values: Float[Tensor, "G C *F"]) -> Float[Tensor, "G C *F"]:
        """With the cells that were hardly measured filled from their neighbours."""
        known = self.covered.to(values.device).unbind(1)
        parts = [self.nodes.extended(values[:, c].reshape(len(values), -1), of_one) for c, of_one in enumerate(known)]
        return torch.stack(parts, 1).view_as(values)

    def spectra(self) -> Float[Tensor, "S F"]:
        shape = *self.nodes.shape, len(self.scale)
        return torch.cat([spectra(self._anomalies(some)[0].unflatten(1, shape)) for some in self._chunks])

    @cached_property
    def _chunks(self) -> list[slice]:
        return list(chunks(len(self.fields), max(1, NUMBERS_AT_ONCE // self.mean.numel())))

    def _anomalies(self, some: slice) -> tuple[Float[Tensor, "s PC"], Float[Tensor, "s PC"]]:
        """Zero where nothing was measured; and 1 where something was."""
        shape, inside = (*self.nodes.shape, len(self.scale)), self.covered
        values, measured = [], []
        for index in range(*some.indices(len(self.fields))):
            of_one, known = _read(self.fields[index], shape)
            measured.append((known * inside).flatten())
            values.append(((of_one / self.scale - self.mean) * known * inside).flatten())
        return torch.stack(values).float(), torch.stack(measured).float()

    def _projected(
        self, directions: Float[Tensor, "PC W"], covered: Tensor, prior: tuple[Tensor, Tensor] | None
    ) -> tuple[Float[Tensor, "S W"], Float[Tensor, " S"]]:
        """Weights of every field, and the variance of what they leave out. `prior`: variances of the weights and of what
        is left out, for fields with holes; None: a hole is the mean."""
        weights, outside = [], []
        for some in self._chunks:
            values, measured = self._anomalies(some)
            part = values @ directions
            if prior is not None:
                for i in (measured.sum(1) < covered.sum()).nonzero()[:, 0]:
                    seen = directions * measured[i, :, None]
                    normal = seen.mT @ directions + (prior[1] / prior[0]).diag()
                    part[i] = torch.linalg.solve(normal, seen.mT @ values[i])
            weights.append(part)
            missed = (values - part @ directions.mT) * measured
            outside.append(missed.square().sum(1) / measured.sum(1).clamp(min=1))
        return torch.cat(weights), torch.cat(outside)


def _read(field: GriddedField, shape: tuple[int, ...]) -> tuple[Float[Tensor, "P C"], Float[Tensor, "P C"]]:
    """Values, zero where nothing was measured, and 1 where something was."""
    values = field.values
    if tuple(values.shape) != shape:
        raise ValueError(f"the fields of an archive share one grid: expected values {shape}, got {tuple(values.shape)}")
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    values = torch.as_tensor(np.asarray(values) if not torch.is_tensor(values) else values).double()
    measured = values.isfinite()
    if field.mask is not None:
        measured = measured & torch.as_tensor(field.mask)[..., None]
    return values.where(measured, 0).flatten(0, -2), measured.double().flatten(0, -2)
