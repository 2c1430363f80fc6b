"""What a fixed number of numbers keep of a grid: its principal components, as training fields say.

The best linear code in the mean of decibels: principal components of the training fields, each weighted by the inverse of
what is missed of it, in turns, since a mean over fields of −10 log₁₀ of the error has that gradient. A model whose network
sees what the base keeps (`signal.seen = "base"`) says all it says from these numbers: it starts at the components, and
learns what belongs to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless import config
from gridless.bases.interpolation import Constant, Interpolation
from gridless.bases.sized import SizedBuffers
from gridless.coords import Lattice
from gridless.data.signals import GridSignal, Signal
from gridless.data.sources import Source
from gridless.field import Field
from gridless.protocols import Solved
from gridless.samples import Samples

TURNS = 3  # of weighing fields by what is missed of them
SMALLEST = 1e-9  # squared error, of the variance, that a field is weighed by
REACH = 2.0  # corrections are in so many times of what the components miss


class Components(SizedBuffers):
    """Unfitted, it answers each field's level."""

    name = "components"
    has_spread = False

    def __init__(self, components: config.Components):
        super().__init__()
        self.config = components
        self.register_buffer("mean", torch.zeros(1, 1))
        self.register_buffer("basis", torch.zeros(1, 1))
        self.register_buffer("shape", torch.zeros(1, dtype=torch.long))
        self.register_buffer("missed", torch.ones(()))

    @property
    def needs_fit(self) -> bool:
        """Whether training has to fit it first."""
        return not bool(self.basis.any())

    def fit(self, data: Sequence[Signal] | Source) -> dict[str, float | int]:
        """To grids of one shape without holes, and with `mirrored` to their mirror images along the last axis. Raises
        ValueError for other signals, and for fewer fields than components."""
        fields = training_grids(data, self.config.mirrored)
        flat = fields.flatten(1)
        count = self.config.count
        if not count < min(flat.shape):
            raise ValueError(
                f"base.count {count} components need more fields and values than that, got {len(flat)} fields of "
                f"{flat.shape[1]} values"
            )
        weights = torch.ones(len(flat))
        for _ in range(TURNS):
            mean, basis = principal(flat, weights / weights.sum(), count)
            away = flat - mean
            missed = (away - away @ basis @ basis.T).square().mean(1)
            weights = 1 / missed.clamp(min=SMALLEST * float(flat.var()))
        self.mean, self.basis = mean[None], basis
        self.shape = torch.tensor(fields.shape[1:])
        self.missed = missed.log().mean().exp().sqrt() / flat.std()
        return {"base_fields": len(flat), "base_missed": round(float(self.missed), 5)}

    def solve(self, samples: Samples) -> Solved:
        """Raises ValueError for samples of another grid, or with holes."""
        if self.needs_fit:
            return Constant().solve(samples)
        fitted = tuple(self.shape.tolist())
        if (*samples.grid_shape, samples.channels) != fitted or samples.mask is not None:
            holes = " with holes" if samples.mask is not None else ""
            raise ValueError(
                f"these components are of complete grids {fitted[:-1]} with {fitted[-1]} channels, got "
                f"{samples.grid_shape} with {samples.channels}{holes}; resample and fill them"
            )
        values = samples.values.flatten(1)
        numbers = (values - self.mean.to(values)) @ self.basis.to(values)
        kept = self.mean.to(values) + numbers @ self.basis.T.to(values)
        seen = replace(samples, values=kept.view_as(samples.values))
        return SolvedComponents(seen, numbers, REACH * float(self.missed))

    def encode(self, samples: Samples) -> Field:
        """As a baseline: samples in, field out."""
        return Field.of_base(self, samples)

    def latent_floats(self, shape: tuple[int, ...] | None = None) -> int:
        """Numbers that a field keeps."""
        return self.config.count


@dataclass(frozen=True, eq=False)
class SolvedComponents:
    """The components' sum on the grid, bicubic in between."""

    kept: Samples
    numbers: Float[Tensor, "B K"]
    reach: float

    spread = False
    differentiable = True

    def __call__(
        self, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"] | None = None
    ) -> Float[Tensor, "B Q C"]:
        return self._grid(coords, cell)

    @property
    def _grid(self) -> Solved:
        return Interpolation("bicubic", exact=False).solve(self.kept)

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N C"]:
        return self._grid.on_lattice(lattice, cell)  # pyright: ignore[reportAttributeAccessIssue]

    def std(self, coords: Tensor, cell: Tensor | None = None) -> None:
        return None

    def draws(self, n: int, seed: int) -> None:
        return None

    def gate(self, cell: Float[Tensor, "B #Q d"]) -> float:
        return self.reach

    def to(self, device) -> "SolvedComponents":
        return SolvedComponents(self.kept.to(device), self.numbers.to(device), self.reach)


def principal(
    flat: Float[Tensor, "N P"], share: Float[Tensor, " N"], count: int
) -> tuple[Float[Tensor, " P"], Float[Tensor, "P K"]]:
    """Weighted mean and the leading directions around it."""
    mean = share @ flat
    away = (flat - mean) * share.sqrt()[:, None]
    _, vectors = torch.linalg.eigh((away.T @ away).double())
    return mean, vectors.flip(1)[:, :count].to(flat.dtype).contiguous()


def training_grids(data: Sequence[Signal] | Source, mirrored: bool) -> Float[Tensor, "N *grid C"]:
    """Raises ValueError for what is no complete grid of one shape."""
    if isinstance(data, Source):
        raise ValueError("components are learned from grids, these fields are formulas; take another base")
    fields = []
    for i in range(len(data)):
        signal = data[i]
        if not isinstance(signal, GridSignal) or signal.mask is not None:
            raise ValueError(f"{signal.name} is no complete grid, which base.kind 'components' learns from")
        if fields and signal.floats.shape != fields[0].shape:
            raise ValueError(f"{signal.name} {signal.shape} has another grid than the first {fields[0].shape[:-1]}")
        fields.append(np.asarray(signal.floats, np.float32))
    grids = torch.from_numpy(np.stack(fields))
    return torch.cat([grids, grids.flip(-2)]) if mirrored else grids
