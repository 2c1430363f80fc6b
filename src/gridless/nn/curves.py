"""Space-filling curves: an order of scattered points that does not depend on how they were listed, and keeps neighbours
together."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

FLAT = 1e-6  # of the widest extent: along such a number of a position nothing lies apart


def order_along_curve(
    pos: Float[Tensor, "B N d"], kind: str, real: Bool[Tensor, "B N"] | None = None, ties: Tensor | None = None
) -> Int64[Tensor, "B N"]:
    """The order in which a curve visits points anywhere, each sample's laid through the cube around its own `real` points,
    in as many dimensions as they extend in (a plane in space is a plane). What is not real stands last. Points in one cell
    of the curve are ordered by their place, those at one place by `ties` (B N), so that their list's order says nothing."""
    pos = pos.detach().double()
    real = torch.ones_like(pos[..., 0], dtype=torch.bool) if real is None else real
    low, high = (pos.masked_fill(~real[..., None], far) for far in (torch.inf, -torch.inf))
    low, high = low.amin(1, keepdim=True), high.amax(1, keepdim=True)
    width = high - low
    widest = width.amax(-1, keepdim=True)
    unit = (pos - low) / torch.where(widest > 0, widest, 1.0)
    place = torch.zeros_like(real, dtype=torch.int64)
    apart = (width > FLAT * widest)[:, 0]
    for count in apart.sum(1).unique().tolist():
        rows = (apart.sum(1) == count).nonzero()[:, 0]
        if count:
            axes = (~apart[rows]).int().argsort(dim=1, stable=True)[:, :count]
            index = axes[:, None].expand(-1, pos.shape[1], -1)
            place[rows] = along_curve(unit[rows].gather(2, index), kind)
    order = torch.arange(pos.shape[1], device=pos.device).expand(real.shape)
    place = place.masked_fill(~real, torch.iinfo(torch.int64).max)
    keys = [*([] if ties is None else [ties.detach()]), *pos.unbind(-1), place]
    for key in keys:  # the last one counts most
        order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    return order


def along_curve(pos: Float[Tensor, "*B d"], kind: str) -> Int64[Tensor, "*B"]:
    """How far along the curve each position in [0, 1] lies: `morton` (interleaved bits) or `hilbert` (without jumps)."""
    axes = pos.shape[-1]
    bits = min(20, 62 // axes)
    cells = (pos.double() * 2**bits).long().clamp(0, 2**bits - 1).unbind(-1)
    match kind:
        case "morton":
            return _interleaved(list(cells), bits)
        case "hilbert":
            return _interleaved(_hilbert(list(cells), bits), bits)
    raise ValueError(f"no curve {kind!r}; there are morton and hilbert")


def _hilbert(x: list[Tensor], bits: int) -> list[Tensor]:
    """Skilling 2004 (AIP Conference Proceedings 707, 381): coordinates to the transposed Hilbert index, any dimension."""
    for level in range(bits - 1, 0, -1):
        low = (1 << level) - 1
        for i in range(len(x)):
            high = (x[i] >> level & 1).bool()
            swap = torch.where(high, 0, (x[0] ^ x[i]) & low)
            x[0] = torch.where(high, x[0] ^ low, x[0] ^ swap)
            x[i] = x[i] ^ swap
    for i in range(1, len(x)):
        x[i] = x[i] ^ x[i - 1]
    flip = torch.zeros_like(x[0])
    for level in range(bits - 1, 0, -1):
        flip = torch.where((x[-1] >> level & 1).bool(), flip ^ ((1 << level) - 1), flip)
    return [axis ^ flip for axis in x]


def _interleaved(x: list[Tensor], bits: int) -> Tensor:
    code = torch.zeros_like(x[0])
    for bit in range(bits - 1, -1, -1):
        for axis in x:
            code = code << 1 | (axis >> bit & 1)
    return code
