"""A field: a function of coordinates that answers at any place and resolution. A value, not a module's state."""

from collections.abc import Callable
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.coords import cells, grid_rows, sizes
from gridless.samples import Samples

CHUNK = 1 << 15  # queries handed on at once, some 100 bytes each; a network blocks them again (`blocks.py`)


class Field:
    """`base(coords) + correction(coords)` for the samples it was encoded from.

    `correction(coords, cell)` takes coordinates in [0, 1] and the asked cell relative to a sample's (1 = same size). With
    `spread`, it gives the standard deviations behind the values. `posterior(n, seed)` gives n posterior samples as one
    such correction, (B n Q C). `joint`: an answer depends on the other questions of its call, which are never divided.
    `checked`: coordinates outside the domain are refused; looking makes the host wait for a GPU.
    """

    def __init__(
        self,
        samples: Samples,
        base,
        correction: Callable[[Tensor, Tensor], Tensor] | None = None,
        finest_cell: float | None = None,
        *,
        spread: bool = False,
        posterior: Callable[[int, int], Callable[[Tensor, Tensor], Tensor]] | None = None,
        joint: bool = False,
        checked: bool = True,
    ):
        self.samples = samples
        self._base, self._correction, self._finest, self._checked = base, correction, finest_cell, checked
        self._spread, self._posterior, self.joint = spread, posterior, joint

    def __call__(
        self,
        coords: Float[Tensor, "*B Q d"],
        cell: Float[Tensor, "*B #Q d"] | None = None,
        chunk: int | None = None,
        latents_at: Float[Tensor, "*B Q d"] | None = None,
    ) -> Float[Tensor, "*B Q C"]:
        """Values at `coords` in [0, 1] per axis, in array order; every sample of the batch may be asked elsewhere.

        `cell` is the size of the asked pixel (per point, or one for all); it may stay on the CPU, where the base reads it.
        Without it a model answers as finely as it was trained to, and a classical base interpolates. `chunk`: so many
        points at once. `latents_at`: where the latents are read, if not at the coordinates that are decoded (modulation
        and decoding coordinates; a field of one window whose decoder attends). Raises ValueError for coordinates outside
        the domain, and for chunks of a joint field.
        """
        return self._asked(coords, cell, chunk, latents_at)[..., : self.samples.channels]

    @property
    def has_spread(self) -> bool:
        """Whether the field knows how sure it is."""
        return self._spread

    def std(
        self, coords: Float[Tensor, "*B Q d"], cell: Float[Tensor, "*B #Q d"] | None = None, chunk: int | None = None
    ) -> Float[Tensor, "*B Q C"]:
        """The standard deviations of the values at `coords`. Raises ValueError for a model that has none."""
        return self.mean_and_std(coords, cell, chunk)[1]

    def mean_and_std(
        self, coords: Float[Tensor, "*B Q d"], cell: Float[Tensor, "*B #Q d"] | None = None, chunk: int | None = None
    ) -> tuple[Float[Tensor, "*B Q C"], Float[Tensor, "*B Q C"]]:
        """Both at once, for the price of one."""
        if not self._spread:
            raise ValueError("this field has no spread; use a model with head.kind 'gaussian' or 'flow', or gp")
        return self._asked(coords, cell, chunk).chunk(2, -1)

    def sample(
        self, coords: Float[Tensor, "*B Q d"], n: int = 1, seed: int = 0, chunk: int | None = None
    ) -> Float[Tensor, "n *B Q C"]:
        """`n` posterior samples at `coords`; a seed stands for the same functions wherever they are asked (of a joint
        field: for the same answers to the same question). Raises ValueError for a model that has none."""
        if self._posterior is None:
            raise ValueError(
                "this field has no posterior samples; use a model with head.kind 'flow' or base.kind 'pod'"
            )
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        x, squeeze = self._batched(coords)
        draws, step = self._posterior(n, seed), self._chunk(chunk, x.shape[1])
        if x.shape[1] == 0:
            return self.samples.values.new_empty(n, *([] if squeeze else [len(x)]), 0, self.samples.channels)
        cell = self._relative(None, x)
        parts = []
        for q in range(0, x.shape[1], step):
            part = x[:, q : q + step]
            parts.append(self._base(self.samples, part, None)[:, None] + draws(part, cell))
        out = torch.cat(parts, 2).transpose(0, 1)
        return out[:, 0] if squeeze else out

    def _asked(
        self, coords: Tensor, cell: Tensor | None, chunk: int | None, latents_at: Tensor | None = None
    ) -> Tensor:
        x, squeeze = self._batched(coords)
        if x.shape[1] == 0:
            out = self.samples.values.new_empty(len(x), 0, self.samples.channels * (1 + self._spread))
            return out[0] if squeeze else out
        if cell is not None:
            cell = torch.as_tensor(cell, dtype=x.dtype)
            points, d = x.shape[1:]
            if cell.ndim == 0 or cell.shape[-1] != d or (cell.ndim > 1 and cell.shape[-2] not in (1, points)):
                expected = f"({d},), (1|{points}, {d}) or (B, 1|{points}, {d})"
                raise ValueError(f"cell must be {expected}, the size per axis, got {tuple(cell.shape)}")
            cell = cell.expand(len(x), 1, x.shape[-1]) if cell.ndim < 2 else (cell[None] if cell.ndim == 2 else cell)
            cell = cell.expand(len(x), -1, -1)
        chunk = self._chunk(chunk, x.shape[1])
        at = None if latents_at is None else self._batched(latents_at)[0]
        parts = [
            self._answer(x[:, q : q + chunk], _slice(cell, q, chunk), None if at is None else at[:, q : q + chunk])
            for q in range(0, x.shape[1], chunk)
        ]
        out = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return out[0] if squeeze else out

    def to_image(
        self,
        scale: float | None = None,
        shape: tuple[int, ...] | None = None,
        chunk: int | None = None,
        out: np.ndarray | None = None,
        part: tuple[slice, ...] | None = None,
    ) -> Tensor | np.ndarray:
        """The field on a grid of the given shape, or `scale` times the samples' grid: (H W C), (B H W C) for a batch.

        Works through the points in blocks; memory beyond the result does not grow with it. `part`: only these rows and
        columns. `out`: a float array of that shape to write into and return, such as a `numpy.memmap` of an answer larger
        than memory.
        """
        if (scale is None) == (shape is None):
            raise ValueError("give scale=… or shape=…, one of the two")
        if shape is None:
            if self.samples.shape is None:
                raise ValueError("scattered samples have no grid to scale; give shape=…")
            shape = scaled(self.samples.shape, scale)
        inside = tuple(range(n)[s] for n, s in zip(shape, part or (slice(None),) * len(shape), strict=False))
        if len(inside) != len(shape) or any(i.step != 1 for i in inside):
            raise ValueError(f"part must be a slice without steps per axis of {tuple(shape)}, got {part}")
        size, values = tuple(map(len, inside)), self.samples.values
        if self.joint and size != tuple(shape):
            raise ValueError(
                f"this field's answers depend on one another (a joint decoder), so {part} cannot be asked alone"
            )
        count = prod(size)
        rows = _rows(out, (*([] if len(values) == 1 else [len(values)]), *size, values.shape[-1]), len(values))
        if rows is None:
            rows = values.new_empty(len(values), count, values.shape[-1])
        cell = cells(*shape, dtype=torch.float64).expand(len(values), 1, -1)
        chunk = self._chunk(chunk, count)
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            points = grid_rows(shape, start, stop, torch.float64, values.device, inside).expand(len(values), -1, -1)
            with torch.no_grad():
                answer = self._answer(points, cell)[..., : values.shape[-1]]
            rows[:, start:stop] = answer if out is None else answer.cpu().numpy()
        if out is not None:
            return out
        picture = rows.unflatten(1, size)
        return picture[0] if len(picture) == 1 else picture

    def gradient(
        self, coords: Float[Tensor, "*B Q d"], cell: Tensor | None = None, create_graph: bool = False
    ) -> Float[Tensor, "*B Q C d"]:
        """Derivative of every channel along every axis, exact (automatic differentiation), per unit of the domain.

        `create_graph=True` lets a loss on the gradient train the model.
        """
        with torch.enable_grad():
            x, squeeze = self._batched(coords)
            if not (create_graph and x.requires_grad):
                x = x.detach().clone().requires_grad_(True)
            values = self(x, cell)
            columns = [
                torch.autograd.grad(values[..., c].sum(), x, retain_graph=True, create_graph=create_graph)[0]
                for c in range(values.shape[-1])
            ]
        out = torch.stack(columns, -2)
        return out[0] if squeeze else out

    def _chunk(self, chunk: int | None, points: int) -> int:
        if self.joint and chunk is not None and chunk < points:
            raise ValueError(
                f"this field's answers depend on one another (a joint decoder), so {points} questions cannot be asked "
                f"in chunks of {chunk}; leave chunk out, or ask fewer questions"
            )
        return points if self.joint else chunk or CHUNK

    def _answer(self, coords: Tensor, cell: Tensor | None, latents_at: Tensor | None = None) -> Tensor:
        out = self._base(self.samples, coords, cell)
        if self._correction is None:
            return out
        own = self._relative(cell, coords)
        ratio = own if self._finest is None else own.clamp(self._finest, 1.0)
        correction = self._correction(coords, ratio, *(() if latents_at is None else (latents_at,)))
        correction = (self._base.gate(own) * correction).to(out.dtype)
        if self._spread:
            value, std = correction.chunk(2, -1)
            return torch.cat([out + value, std], -1)
        return out + correction

    def _relative(self, cell: Tensor | None, coords: Tensor) -> Tensor:
        """The asked cell over a sample's, (B 1|Q d)."""
        if cell is None or self.samples.shape is None:
            return coords.new_full((len(coords), 1, coords.shape[-1]), self._finest or 0.0)
        ratio = cell * sizes(self.samples.shape, cell.dtype, cell.device)
        return ratio.to(coords.device, non_blocking=True)

    def _batched(self, coords: Tensor) -> tuple[Tensor, bool]:
        b, d = len(self.samples), self.samples.axes
        if coords.ndim not in (2, 3) or coords.shape[-1] != d or (coords.ndim == 3 and len(coords) not in (1, b)):
            raise ValueError(f"expected coordinates (Q, {d}) or ({b}, Q, {d}), got {tuple(coords.shape)}")
        low, high = map(float, coords.detach().aminmax()) if self._checked and coords.numel() else (0.0, 1.0)
        if not (low >= -1e-6 and high <= 1 + 1e-6):
            raise ValueError(
                f"coordinates must lie in [0, 1] per axis, got {low:.4g} … {high:.4g}; divide pixels by the size"
            )
        squeeze = coords.ndim == 2 and b == 1
        return (coords[None] if coords.ndim == 2 else coords).expand(b, -1, -1), squeeze


def scaled(shape: tuple[int, ...], scale: float) -> tuple[int, ...]:
    """The shape at `scale` times the resolution, at least one sample per axis."""
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    return tuple(max(1, round(n * scale)) for n in shape)


def _rows(out: np.ndarray | None, shape: tuple[int, ...], batch: int) -> np.ndarray | None:
    """The caller's array as (B, points, C), the same memory."""
    if out is None:
        return None
    if out.shape != shape or not np.issubdtype(out.dtype, np.floating) or not out.flags.c_contiguous:
        raise ValueError(f"out must be a C-contiguous float array {shape}, got {out.dtype} {out.shape}")
    return out.reshape(batch, -1, shape[-1])


def _slice(cell: Tensor | None, start: int, size: int) -> Tensor | None:
    return cell if cell is None or cell.shape[1] == 1 else cell[:, start : start + size]
