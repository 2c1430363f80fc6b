"""The fields that modes are fitted to, in units of each channel's standard deviation: what fitting asks of them, and
formula fields. Gridded archives: archive.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from gridless.bases.clusters import principal
from gridless.bases.mode_mixture import chunks
from gridless.bases.spatial import Legendre
from gridless.coords import grid

AT_ONCE = 500  # fields
CELLS = 32  # per axis, where spectra and residuals of formula fields are measured
MEASURED = 2000  # fields whose level and spread are those of all
SPECTRUM = 32  # cells per axis, at most, of the spectra that fields are compared by


@dataclass(frozen=True, eq=False)
class Decomposition:
    mean: Float[Tensor, "P C"]
    modes: Float[Tensor, "P C M"]
    weights: Float[Tensor, "S M"]
    outside: Float[Tensor, " S"]
    """Variance of each field that the modes leave out, a mean over the domain and the channels."""


class TrainingFields(Protocol):
    scale: Float[Tensor, " C"]
    inside: Bool[Tensor, "*cells C"]
    run: int
    """So many fields in a row may look alike."""

    def decomposed(self, count: int) -> Decomposition:
        """With `count` modes, or as many as the fields have."""
        ...

    def values(self, some: slice) -> tuple[Float[Tensor, "s G C"], Float[Tensor, "s G C"]]:
        """Of some fields at the cells, and 1 where they were measured, else 0."""
        ...

    def at_cells(self, coefficients: Float[Tensor, "P C F"]) -> Float[Tensor, "G C F"]: ...

    def extended(self, values: Float[Tensor, "G C"]) -> Float[Tensor, "G C"]:
        """With cells outside filled from their neighbours."""
        ...

    def spectra(self) -> Float[Tensor, "S F"]: ...


class FormulaFields(Protocol):
    """A batch of fields with a formula, such as `Waves`."""

    def __len__(self) -> int: ...
    def __getitem__(self, some: slice, /) -> "FormulaFields": ...
    def __call__(self, coords: Float[Tensor, "B Q d"], /) -> Float[Tensor, "B Q C"]: ...


class Formulas:
    """Fields that are called at coordinates: all at once, `fields(coords (B Q d)) -> (B Q C)`, and sliced. Their modes are
    those of their polynomials, by Gauss-Legendre quadrature."""

    run = 1

    def __init__(self, fields: Sequence | FormulaFields, basis: Legendre, cells: tuple[int, ...], channels: int):
        if not callable(fields):
            raise ValueError(
                "base.representation 'legendre' is fitted to formula fields, called at coordinates (B, Q, d), got "
                f"{type(fields).__name__}; gridded fields take base.representation = 'grid'"
            )
        self.fields, self.basis, self.cells = fields, basis, cells
        some = fields[:: -(-len(fields) // MEASURED)]
        values = some(grid(*cells).expand(len(some), -1, -1)).float()
        if values.shape[-1] != channels:
            raise ValueError(f"these modes have {channels} channels, got fields of {values.shape[-1]}")
        self.scale = deviation(values.var(0, correction=0).mean(0))
        self.centre = values.mean(0) / self.scale
        self.inside = torch.ones(*cells, channels, dtype=torch.bool)

    def decomposed(self, count: int) -> Decomposition:
        degree, axes = self.basis.degree, len(self.cells)
        nodes, share = np.polynomial.legendre.leggauss(degree)
        points, weight = product((nodes + 1) / 2, axes), product(share / 2, axes).prod(-1)
        project = (self.basis.basis(points) * weight[:, None]).float().mT  # (P Q)
        channels = len(self.scale)
        coefficients = torch.cat(
            [project @ self._called(some, points.float()) for some in chunks(len(self.fields), AT_ONCE)]
        )
        coefficients = coefficients.flatten(1) / channels**0.5  # their square is a mean over the channels
        mean = coefficients.mean(0)
        away = coefficients - mean
        modes = principal(away)[1][:, :count]
        weights = away @ modes
        outside = (away.square().sum(1) - weights.square().sum(1)).clamp(min=0)
        modes = modes.unflatten(0, (-1, channels)) * channels**0.5
        return Decomposition(mean.unflatten(0, (-1, channels)) * channels**0.5, modes, weights, outside)

    def values(self, some: slice) -> tuple[Float[Tensor, "s G C"], Float[Tensor, "s G C"]]:
        values = self._called(some, grid(*self.cells))
        return values, torch.ones_like(values)

    def at_cells(self, coefficients: Float[Tensor, "P C F"]) -> Float[Tensor, "G C F"]:
        at = self.basis.evaluate(grid(*self.cells).to(coefficients)[None], coefficients.flatten(1))
        return at[0].unflatten(-1, coefficients.shape[1:])

    def extended(self, values: Float[Tensor, "G C"]) -> Float[Tensor, "G C"]:
        return values

    def spectra(self) -> Float[Tensor, "S F"]:
        parts = (self.values(some)[0] - self.centre for some in chunks(len(self.fields), AT_ONCE))
        return torch.cat([spectra(part.unflatten(1, self.cells)) for part in parts])

    def _called(self, some: slice, points: Float[Tensor, "Q d"]) -> Float[Tensor, "s Q C"]:
        part = self.fields[some]
        return part(points.expand(len(part), -1, -1)).float() / self.scale


def deviation(variance: Float[Tensor, " C"]) -> Float[Tensor, " C"]:
    """Standard deviations to divide by: one where nothing varies."""
    return torch.where(variance > 0, variance.sqrt(), 1)


def spectra(values: Float[Tensor, "S *cells C"]) -> Float[Tensor, "S F"]:
    """Magnitudes of the windowed spectrum of every field; of a large grid, of its means over SPECTRUM cells per axis."""
    values, axes = values.movedim(-1, 1), values.ndim - 2
    shape = tuple(min(n, SPECTRUM) for n in values.shape[2:])
    pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[axes - 1]
    values = pool(values, shape)  # pyright: ignore[reportArgumentType]  as many numbers as this pool takes
    for axis, n in enumerate(shape):
        window = torch.from_numpy(np.hanning(n + 2)[1:-1]).to(values)
        values = values * window.view(n, *[1] * (axes - 1 - axis))
    return torch.fft.rfftn(values, dim=tuple(range(2, 2 + axes))).abs().flatten(1)


def product(line: np.ndarray, axes: int) -> Float[Tensor, "P d"]:
    """All tuples of numbers of a line, in raster order."""
    return torch.stack(torch.meshgrid(*[torch.from_numpy(line)] * axes, indexing="ij"), -1).flatten(0, -2)
