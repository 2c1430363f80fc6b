"""A field where some of its axes stand still: a film at one moment, a volume in one plane."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.coords import Lattice
from gridless.domain import TIME, Domain
from gridless.protocols import Answer, Correction, Draws, Solved, answer_of
from gridless.samples import Samples


def section(
    samples: Samples, solved: Solved, correction: Correction | None, coordinates: Mapping[str, Any]
) -> tuple[Samples, Solved, Correction | None]:
    """What a field is made of, where these axes of its domain stand still. Raises ValueError for other names, for places
    outside, and where no axis would be left."""
    names = () if samples.domain is None else samples.domain.names
    if samples.domain is None or not coordinates or not set(coordinates) < set(names):
        has = f"its axes are {', '.join(names)}" if names else "it has no domain that names axes"
        raise ValueError(f"at(…) takes some of a field's axes, got {', '.join(coordinates) or 'none'}; {has}")
    for name, value in coordinates.items():
        assert samples.domain is not None
        plane = Plane.of(samples.domain, name, value)
        samples, solved = plane.samples(samples), SolvedSection(solved, plane)
        correction = None if correction is None else SectionCorrection(correction, plane)
    return samples, solved, correction


@dataclass(frozen=True)
class Plane:
    """Where `axis` is `u`, in [0, 1]."""

    axis: int
    u: float

    @classmethod
    def of(cls, domain: Domain, name: str, value: Any) -> "Plane":
        """A time may be written as text."""
        axis = domain.axes[domain.names.index(name)]
        place = np.datetime64(value) if axis.unit == TIME else value
        return cls(domain.names.index(name), float(Domain(axes=(axis,)).to_unit({name: place})))

    def lifted(self, coords: Float[Tensor, "B Q k"], u: float | None = None) -> Float[Tensor, "B Q k+1"]:
        """Coordinates among all axes; `u`: what to put there instead."""
        here = coords.new_full((*coords.shape[:-1], 1), self.u if u is None else u)
        return torch.cat([coords[..., : self.axis], here, coords[..., self.axis :]], -1)

    def cell(self, cell: Float[Tensor, "B #Q k"] | None) -> Float[Tensor, "B #Q k+1"] | None:
        """A pixel has no extent along an axis that stands still."""
        return None if cell is None else self.lifted(cell, 0.0)

    def domain(self, domain: Domain | None) -> Domain | None:
        """Of the other axes."""
        if domain is None:
            return None
        sphere = domain.sphere
        if sphere is not None:
            first, second = (i - (i > self.axis) for i in sphere)
            sphere = None if self.axis in sphere else (first, second)
        return replace(domain, axes=(*domain.axes[: self.axis], *domain.axes[self.axis + 1 :]), sphere=sphere)

    def samples(self, samples: Samples) -> Samples:
        """Those of the nearest row of a grid; points as they are, without the axis."""
        domain = self.domain(samples.domain)
        if samples.shape is None:
            coords = torch.cat([samples.point_coords[..., : self.axis], samples.point_coords[..., self.axis + 1 :]], -1)
            return replace(samples, coords=coords, domain=domain, space=None)
        count = samples.shape[self.axis]
        row = min(count - 1, int(self.u * count))
        shape = (*samples.shape[: self.axis], *samples.shape[self.axis + 1 :])

        def cut(part: Tensor | None) -> Tensor | None:
            return (
                None
                if part is None
                else part.unflatten(1, samples.grid_shape).select(1 + self.axis, row).flatten(1, len(shape))
            )

        values = cut(samples.values)
        assert values is not None
        parts = {"mask": cut(samples.mask), "noise": cut(samples.noise)}
        return replace(samples, values=values, shape=shape, domain=domain, space=None, **parts)


@dataclass(frozen=True, eq=False)
class SolvedSection:
    """A solved base in a plane."""

    solved: Solved
    plane: Plane

    @property
    def spread(self) -> bool:
        return self.solved.spread

    @property
    def differentiable(self) -> bool:
        return self.solved.differentiable

    @property
    def reading_variance(self):
        """Of a reading's own error, where the base knows it (else None)."""
        variance = getattr(self.solved, "reading_variance", None)
        return None if variance is None else lambda coords: variance(self.plane.lifted(coords))

    def __call__(self, coords: Tensor, cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self.solved(self.plane.lifted(coords), self.plane.cell(cell))

    def std(self, coords: Tensor, cell: Tensor | None = None) -> Float[Tensor, "B Q C"] | None:
        return self.solved.std(self.plane.lifted(coords), self.plane.cell(cell))

    def mean_and_std(self, coords: Tensor, cell: Tensor | None = None) -> Answer:
        return answer_of(self.solved, self.plane.lifted(coords), self.plane.cell(cell))

    def draws(self, n: int, seed: int) -> Draws | None:
        draws = self.solved.draws(n, seed)
        return None if draws is None else DrawsInPlane(draws, self.plane)

    def gate(self, cell: Float[Tensor, "B #Q k"]) -> Float[Tensor, "B #Q 1"] | float:
        return self.solved.gate(self.plane.lifted(cell, 0.0))

    def to(self, device) -> "SolvedSection":
        return replace(self, solved=self.solved.to(device))


@dataclass(frozen=True, eq=False)
class DrawsInPlane:
    draws: Draws
    plane: Plane

    def __call__(self, coords: Float[Tensor, "B Q k"]) -> Float[Tensor, "B n Q C"]:
        return self.draws(self.plane.lifted(coords))


@dataclass(frozen=True, eq=False)
class SectionCorrection:
    """What a network adds there."""

    correction: Correction
    plane: Plane

    @property
    def spread(self) -> bool:
        return self.correction.spread

    @property
    def joint(self) -> bool:
        return self.correction.joint

    @property
    def channels(self) -> int:
        return self.correction.channels

    def answer(
        self, solved: Solved, coords: Tensor, cell: Tensor | None, ratio: Tensor, latents_at: Tensor | None
    ) -> Answer:
        assert isinstance(solved, SolvedSection), "the base of this section"
        at = None if latents_at is None else self.plane.lifted(latents_at)
        ratio = self.plane.lifted(ratio, float(ratio.min()))
        return self.correction.answer(solved.solved, self.plane.lifted(coords), self.plane.cell(cell), ratio, at)

    def on_lattice(
        self, solved: Solved, base: Float[Tensor, "B N C"], lattice: Lattice, ratio: Float[Tensor, "B 1 k"]
    ) -> Float[Tensor, "B N C"]:
        return self.answer(solved, lattice.points(len(base)), None, ratio, None).mean

    def draws(self, solved: Solved, n: int, seed: int) -> Draws | None:
        assert isinstance(solved, SolvedSection), "the base of this section"
        draws = self.correction.draws(solved.solved, n, seed)
        return None if draws is None else DrawsInPlane(draws, self.plane)

    def check_fresh(self) -> None:
        self.correction.check_fresh()

    def to(self, device) -> "SectionCorrection":
        return replace(self, correction=self.correction.to(device))
