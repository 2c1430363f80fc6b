"""Space-filling curves: an order of scattered points that does not depend on how they were listed, and keeps neighbours
together."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


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
