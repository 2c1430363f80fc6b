"""Where readings and questions lie, in the numbers that a network of scattered points sees."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gridless import config
from gridless.domain import Domain
from gridless.samples import Samples, moved_parts


@dataclass(frozen=True, eq=False)
class Frame:
    """Positions (`Domain.embed`) in as many numbers as a model reads: of the domain, or around the middle of each field's
    readings, over their extent (of every quantity the widest axis), so that it does not matter how far the domain
    reaches."""

    domain: Domain | None
    places: int
    dtype: torch.dtype
    centre: Float[Tensor, "B 1 e"] | None = None
    extent: Float[Tensor, "B 1 e"] | None = None

    @classmethod
    def of(cls, samples: Samples, signal: config.Signal, dtype: torch.dtype) -> "Frame":
        """Raises ValueError where positions have more numbers than the model reads."""
        frame = cls(samples.domain, signal.places, torch.float64)
        if signal.frame == "domain":
            return replace(frame, dtype=dtype)
        points = samples.as_points()
        x = frame(points.point_coords.double())
        if points.mask is not None:
            some = torch.take_along_dim(x, points.mask.int().argmax(1)[:, None, None], 1)
            x = torch.where(points.mask[..., None], x, some)
        low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
        groups = (0,) * x.shape[-1] if samples.domain is None else samples.domain.groups
        groups = torch.tensor((*groups, *(0,) * (x.shape[-1] - len(groups))), device=x.device)
        same = groups[:, None] == groups
        extent = (high - low)[..., None, :].where(same, 0).amax(-1)
        return cls(samples.domain, signal.places, dtype, (low + high) / 2, torch.where(extent > 0, extent, 1.0))

    def __call__(self, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B p"]:
        x = coords if self.domain is None else self.domain.embed(coords)
        missing = self.places - x.shape[-1]
        if missing < 0:
            names = "[0, 1]" if self.domain is None else ", ".join(self.domain.names)
            raise ValueError(
                f"positions in {names} have {x.shape[-1]} numbers, this model reads {self.places}; build it with "
                f"signal.positions = {x.shape[-1]}"
            )
        x = F.pad(x, (0, missing))
        moved = x if self.centre is None or self.extent is None else (x - self.centre) / self.extent
        return moved.to(self.dtype)

    def to(self, device) -> "Frame":
        return moved_parts(self, device)
