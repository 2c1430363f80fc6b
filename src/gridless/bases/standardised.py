"""Readings in their own units: each field and channel over its own spread, places over their own extent."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gridless.bases.gaussian_process import Readings, numbers_at_once
from gridless.samples import Samples, moved_parts


@dataclass(frozen=True, eq=False)
class Standardised:
    """The channels of a batch as F = B · C scalar fields, float64.

    Readings are ordered by place (and value), those that are masked last, so that their order and number say nothing.
    Readings that are all equal have the scale 0, or that of their known noise.
    """

    readings: Readings  # (F N)
    location: Float[Tensor, " F"]
    scale: Float[Tensor, " F"]
    centre: Float[Tensor, "F e"]
    extent: Float[Tensor, "F e"]
    """Of each group of positions the widest, in all of its columns."""
    groups: tuple[int, ...]
    """Of every number of a position, which quantity it measures."""
    flat: bool
    """Whether every number is an axis of the samples'."""
    order: Int[Tensor, "B N"]
    """Of the samples, as they stand in the readings."""

    @classmethod
    def of(cls, samples: Samples, extent: float | tuple[float, ...] | None) -> "Standardised":
        """`extent`: one for all numbers of a position, or one for each. Raises ValueError where a field has no reading, and
        where one is not finite."""
        points = samples.as_points()
        x = samples.positions(points.point_coords).double()
        real = torch.ones_like(x[..., 0], dtype=torch.bool) if points.mask is None else points.mask
        if not real.any(1).all():
            raise ValueError(f"field {int((~real.any(1)).nonzero()[0])} of the batch has no reading; kriging needs one")
        values, noise = points.values.double().where(real[..., None], 0), points.noise
        x = x.where(real[..., None], 0)
        if noise is not None:
            noise = noise.double().where(real, 0)
        numbers = (values, x) if noise is None else (values, x, noise)
        if not all(n.isfinite().all() for n in numbers) or (noise is not None and (noise < 0).any()):
            raise ValueError("readings, places and noise must be finite, and noise not negative; mask the others")
        order = _order(x, values, real)[:, : int(real.sum(1).max())]
        x, values = (t.gather(1, order[..., None].expand(-1, -1, t.shape[-1])) for t in (x, values))
        real, noise = real.gather(1, order), None if noise is None else noise.gather(1, order)
        low, high = (t.where(real[..., None], t[:, :1]) for t in (x, x))
        low, high = low.amin(1), high.amax(1)
        centre = (low + high) / 2
        groups = samples.position_groups
        groups = (
            groups if len(groups) == centre.shape[1] else (0,) * centre.shape[1]
        )  # positions of a kind of their own
        width = widest(high - low, groups) if extent is None else centre.new_tensor(extent).expand_as(centre)
        width = width.where(width > 0, 1)
        x = ((x - centre[:, None]) / width[:, None]).where(real[..., None], 0)

        channels = values.shape[-1]
        x, real, centre, width = (t.repeat_interleave(channels, 0) for t in (x, real, centre, width))
        z, count = values.mT.flatten(0, 1), real.sum(1)
        start = z[:, 0].detach()  # differences first: a mean of equal numbers may differ from them
        rest = (z - start[:, None]).where(real, 0)
        mean = rest.sum(1) / count
        rest = (rest - mean[:, None]).where(real, 0)
        same = (z == start[:, None]).where(real, True).all(1)
        square = rest.square().sum(1) / count
        scale = square.where(~same, 1).sqrt().where(~same, 0)
        variance = None
        if noise is not None:
            noise = noise.repeat_interleave(channels, 0)
            scale = scale.where(~same, (noise.square().sum(1) / count).sqrt())
            variance = (noise / scale.where(scale > 0, 1)[:, None]).square()
        z = rest / scale.where(scale > 0, 1)[:, None]
        readings, flat = Readings(x, z, real, variance), len(groups) == samples.axes
        return cls(readings, start + mean, scale, centre, width, groups, flat, order)

    def of_rows(self, rows: Int[Tensor, " R"]) -> Readings:
        """Readings of some fields, without what is masked in all of them."""
        readings = self.readings.select(rows)
        return readings.select((slice(None), slice(int(readings.real.sum(1).max()))))

    def fields_at_once(self, count: int) -> int:
        """Fields of `count` readings whose covariances fit in memory together."""
        return max(1, numbers_at_once(self.readings.z) // min(count, self.readings.z.shape[1]) ** 2)

    def place(self, x: Float[Tensor, "B Q e"]) -> Float[Tensor, "F Q e"]:
        """Positions in the fields' own units."""
        x = x.double().repeat_interleave(len(self.scale) // len(x), 0)
        return (x - self.centre[:, None]) / self.extent[:, None]

    def to(self, device) -> "Standardised":
        return moved_parts(self, device)


def widest(width: Float[Tensor, "B e"], groups: tuple[int, ...]) -> Float[Tensor, "B e"]:
    """The largest of each group, in all of its columns."""
    index = torch.tensor(groups, device=width.device)
    return torch.stack([width[:, index == group].amax(1) for group in groups], 1)


def _order(x: Tensor, values: Tensor, real: Tensor) -> Int[Tensor, "B N"]:
    order = torch.arange(x.shape[1], device=x.device).expand(real.shape)
    for key in (*values.detach().unbind(-1), *x.detach().unbind(-1), (~real).double()):  # the last one counts most
        order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    return order
