"""A window that is the whole domain: samples of the same domain on any grid, as the model's own grid has them.

Where `signal.whole` says so, a finer grid is no larger domain: its values are taken at the model's samples, and a question
is asked where it lies in the model's domain. Scattered readings keep their values and move to the model's domain.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from gridless import config as c
from gridless.bases.regridding import REACH, Placement, placement_of, resampled
from gridless.coords import Lattice
from gridless.domain import Domain
from gridless.network.parts import Network, Reader
from gridless.protocols import Answer
from gridless.samples import Samples

REACH_OF_POINTS = 0.05  # of the domain's length: how far the extent of points may lie beyond the model's


@dataclass(frozen=True, eq=False)
class PlacedReader:
    """A reader of the model's domain, asked in the unit coordinates of the samples."""

    reader: Reader
    placement: Placement

    def __call__(
        self, coords: Tensor, cell: Tensor, latents_at: Tensor | None = None, base: Answer | None = None
    ) -> Float[Tensor, "B Q k"]:
        at = None if latents_at is None else self.placement(latents_at)
        return self.reader(self.placement(coords), cell, at, base)

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N k"]:
        axes = tuple(self.placement.axis(x, i) for i, x in enumerate(lattice.axes))
        return self.reader.on_lattice(Lattice(axes), cell)

    def to(self, network: Network, device) -> "PlacedReader":
        return PlacedReader(self.reader.to(network, device), self.placement)


def placed(reader: Reader, placement: Placement | None) -> Reader:
    """The reader, asked in the unit coordinates of the samples."""
    return reader if placement is None else PlacedReader(reader, placement)


def in_domain(samples: Samples, config: c.Model, domain: Domain | None) -> tuple[Samples, Placement | None]:
    """The samples in the model's domain, on its own grid if it sees grids, and where their coordinates lie there (None:
    where they are). Raises ValueError for axes of other names and for samples that reach beyond the model's domain."""
    signal = config.signal
    if not signal.whole:
        return samples, None
    points = isinstance(config.tokenizer, c.Points)
    domain = domain if samples.domain is not None else None
    same = domain is None or samples.domain == domain
    if same and (points or samples.shape == signal.windows):
        return samples, None
    if isinstance(config.head, c.FlowHead) and not same:
        raise ValueError("head.kind 'flow' reads samples in the domain of its training alone; give them that domain")
    reach = (REACH_OF_POINTS,) * samples.axes if points else tuple(REACH / n for n in signal.windows)
    placement = placement_of(samples, domain, reach)
    if points:
        scattered = samples.as_points()
        coords = placement(scattered.point_coords.double()).to(scattered.point_coords.dtype)
        return replace(scattered, coords=coords, domain=domain), None if same else placement
    return resampled(samples, signal.windows, domain, placement), None if same else placement
