"""A field: a function of coordinates that answers at any place and resolution. A value, not a module's state."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.coords import Lattice, asked_shape, lattice, ranges_of, sizes
from gridless.domain import Coordinates
from gridless.field.derivatives import derivatives
from gridless.field.section import section
from gridless.intake import pixel_sizes, within_unit, writable
from gridless.protocols import Answer, Base, Correction, Solved, answer_of
from gridless.samples import Samples

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import xarray as xr

    from gridless.data.templates import Like

CHUNK = 1 << 15  # queries handed on at once, some 100 bytes each; a network blocks them again (`nn/memory.py`)
LATTICE_CHUNK = 1 << 20  # … of a lattice, whose points share most of their work
GRADIENTS_AT_ONCE = 1 << 12  # … whose graph is held

Out = TypeVar("Out", bound=np.ndarray)
Points = Float[Tensor, "*B Q d"] | Coordinates


class Field:
    """The solved base of some samples, and what a network corrects of it.

    `joint`: an answer depends on the other questions of its call, which are never divided. `checked`: coordinates outside
    are refused; looking makes the host wait for a GPU. It can be pickled and moved; it refuses once its model trained on.
    """

    def __init__(
        self,
        samples: Samples,
        solved: Solved,
        correction: Correction | None = None,
        finest_cell: float | None = None,
        checked: bool = True,
    ):
        self.samples, self.solved, self.correction = samples, solved, correction
        self.finest_cell, self.checked = finest_cell, checked

    @classmethod
    def of_base(cls, base: Base, samples: Samples) -> "Field":
        """The classical answer alone; of use outside of torch's inference mode too, wherever it is made."""
        with torch.inference_mode(False):
            samples = samples.cloned() if samples.values.is_inference() else samples
            return cls(samples, base.solve(samples))

    def __call__(
        self,
        coords: Points,
        cell: Float[Tensor, "*B #Q d"] | None = None,
        chunk: int | None = None,
        latents_at: Float[Tensor, "*B Q d"] | None = None,
    ) -> Float[Tensor, "*B Q C"]:
        """Values at `coords`: a tensor in [0, 1] per axis, in array order, or a dictionary in the units of the domain; every
        sample of the batch may be asked elsewhere.

        `cell` is the size of the asked pixel in units of the whole (per point, or one for all); it may stay on the CPU,
        where the base reads it. Without it a model answers as finely as it was trained to, and a classical base
        interpolates. `chunk`: so many points at once. `latents_at`: where the latents are read, if not at the coordinates
        that are decoded (a field of one window whose decoder attends). Raises ValueError for coordinates outside the
        domain, for chunks of a joint field, and if the model was trained on since.
        """
        return self._asked(coords, cell, chunk, latents_at, spread=False).mean

    def answer(
        self, coords: Points, cell: Float[Tensor, "*B #Q d"] | None = None, latents_at: Tensor | None = None
    ) -> Answer:
        """Values and, where the field knows them, their standard deviations."""
        return self._asked(coords, cell, None, latents_at, spread=self.has_spread)

    @property
    def has_spread(self) -> bool:
        """Whether the field knows how sure it is."""
        return self.solved.spread if self.correction is None else self.correction.spread

    @property
    def joint(self) -> bool:
        """Whether an answer depends on what else is asked: a decoder whose questions read one another."""
        return self.correction is not None and self.correction.joint

    @property
    def channels(self) -> int:
        """Of an answer; a network may answer others than it sees."""
        return self.samples.channels if self.correction is None else self.correction.channels

    def std(
        self,
        coords: Points,
        cell: Float[Tensor, "*B #Q d"] | None = None,
        chunk: int | None = None,
        reading: bool = False,
    ) -> Float[Tensor, "*B Q C"]:
        """The standard deviations of the values at `coords`: of the field, or of a further `reading` of it, whose error the
        base has estimated. Raises ValueError for a model that has none."""
        return self.mean_and_std(coords, cell, chunk, reading)[1]

    def mean_and_std(
        self,
        coords: Points,
        cell: Float[Tensor, "*B #Q d"] | None = None,
        chunk: int | None = None,
        reading: bool = False,
    ) -> tuple[Float[Tensor, "*B Q C"], Float[Tensor, "*B Q C"]]:
        """Both at once, for the price of one."""
        if not self.has_spread:
            raise ValueError("this field has no spread; use a model with head.kind 'gaussian' or 'flow', or kriging")
        answer = self._asked(coords, cell, chunk, None, spread=True)
        return answer.mean, self._of_a_reading(coords, answer.deviation()) if reading else answer.deviation()

    def _of_a_reading(self, coords: Points, std: Float[Tensor, "*B Q C"]) -> Float[Tensor, "*B Q C"]:
        variance = getattr(self.solved, "reading_variance", None)
        if variance is None:
            raise ValueError(
                "this field's base knows no error of a reading; use kriging, or ask for the field's own spread"
            )
        x, _ = self._batched(coords)
        batched = std.reshape(len(x), -1, std.shape[-1])
        return (batched.square() + variance(x)).sqrt().reshape(std.shape)

    def sample(self, coords: Points, n: int = 1, seed: int = 0, chunk: int | None = None) -> Float[Tensor, "n *B Q C"]:
        """`n` posterior samples at `coords`; a seed stands for the same functions wherever they are asked (of a joint
        field: for the same answers to the same question). Raises ValueError for a model that has none."""
        if not (isinstance(n, int) and n >= 1 and isinstance(seed, int) and seed >= 0):
            raise ValueError(f"n must be at least 1 and seed a whole number from 0 on, got {n} and {seed}")
        self._check_fresh()
        draws = self.solved.draws(n, seed) if self.correction is None else self.correction.draws(self.solved, n, seed)
        if draws is None:
            raise ValueError("this field has no posterior samples; use head.kind 'flow', base.kind 'kriging' or 'pod'")
        x, tail = self._batched(coords)
        step = self._chunk(chunk, x.shape[1])
        parts = [draws(x[:, q : q + step]) for q in range(0, x.shape[1], step)]
        parts = parts or [self.samples.values.new_empty(len(x), n, 0, self.channels)]
        return torch.cat(parts, 2).transpose(0, 1).reshape(n, *tail, self.channels)

    def at(self, **coordinates: object) -> "Field":
        """The field of the other axes where these stand still, by the names of the domain: `at(time="2020-01-31")` is a
        map. Raises ValueError for other names, for places outside, and where no axis would be left."""
        parts = section(self.samples, self.solved, self.correction, coordinates)
        return Field(*parts, self.finest_cell, self.checked)

    def to_grid(
        self,
        scale: float | Sequence[float] | None = None,
        shape: Sequence[int] | None = None,
        chunk: int | None = None,
        out: Out | None = None,
        part: tuple[slice, ...] | None = None,
    ) -> Tensor | Out:
        """The field on a grid of the given shape, or `scale` times the samples' grid (one number or one per axis):
        (*grid C), (B *grid C) for a batch.

        Works through the points in blocks; memory beyond the result does not grow with it. `part`: only these ranges of
        the grid. `out`: a float array of that shape to write into and return, such as a `numpy.memmap` of an answer larger
        than memory.
        """
        values, domain, seen = self.samples.values, self.samples.domain, self.samples.shape
        shape = asked_shape(self.samples.axes, seen, domain, scale, shape)
        size = tuple(map(len, ranges := ranges_of(shape, part)))
        if self.joint and size != shape:
            raise ValueError(
                f"this field's answers depend on one another (a joint decoder), so {part} cannot be asked alone"
            )
        axes, cell = lattice(shape, seen, domain, values.device)
        asked = Lattice(tuple(axis[inside.start : inside.stop] for axis, inside in zip(axes, ranges, strict=True)))
        target = writable(out, (*([] if len(values) == 1 else [len(values)]), *size, self.channels), len(values))
        made = values.new_empty(len(values), *(size if target is None else [0] * len(size)), self.channels)
        written: Any = made if target is None else target
        cell = cell.expand(len(values), 1, -1)
        self._check_fresh()
        for place, block in asked.blocks(self._chunk(chunk, prod(size), lattice=True)):
            with torch.no_grad():
                answer = self._on_lattice(block, cell).unflatten(1, block.shape)
            written[(slice(None), *place)] = answer if target is None else answer.cpu().numpy()
        return made.squeeze(0) if out is None else out

    to_image = to_grid
    """The same, as one says it of a picture: (H W C)."""

    def to_xarray(
        self,
        like: "Like",
        *,
        spread: bool = True,
        variable: str | None = None,
        mask: "bool | xr.DataArray" = False,
        chunks: Mapping[str, int] | None = None,
        history: str | None = None,
    ) -> "xr.Dataset":
        """The field on the coordinates of `like`, an xarray object or a path, by the rules of CF: the mean and, with
        `spread`, its `_standard_error`, in units of the readings; the coordinates with all that belongs to them.

        Outside the domain: NaN, and a warning counts. Land that the template masks is answered, unless `mask` is True (its
        own holes) or an array. `variable`: the template's that is the same quantity under another name. In dask chunks (the
        template's, or `chunks` by dimension): lazy. Raises ValueError for axes that one side lacks."""
        from gridless.data.answers import answered

        return answered(self, like, spread=spread, variable=variable, mask=mask, chunks=chunks, history=history)

    def to_table(self, points: "pd.DataFrame | str | Path", *, tz: str | None = None) -> "pd.DataFrame":
        """A table of places (CSV, Parquet, DataFrame) with the columns `NAME_mean` and, where the field has a spread,
        `NAME_standard_error`; NaN outside the domain. `tz`: of naive stamps."""
        from gridless.data.answer_tables import answered_table

        return answered_table(self, points, tz=tz)

    def to_nifti(
        self,
        path: "str | Path",
        *,
        spacing: Sequence[float] | None = None,
        like: "str | Path | None" = None,
        spread: "str | Path | None" = None,
    ) -> None:
        """The field of a volume (`gl.read("brain.nii.gz")`) as a NIfTI file: see `data.volume_writing.write_nifti`."""
        from gridless.data.volume_writing import write_nifti

        write_nifti([self], path, spacing=spacing, like=like, spread=spread)

    def gradient(
        self, coords: Points, cell: Tensor | None = None, create_graph: bool = False
    ) -> Float[Tensor, "*B Q C d"]:
        """Derivative of every channel along every axis, exact (automatic differentiation): per unit of [0, 1], or in the
        domain's units where coordinates come in a dictionary.

        `create_graph=True` lets a loss on the gradient train the model. Raises ValueError for a joint field, whose answers
        have no derivative of their own, and for baselines that answer without torch.
        """
        if self.joint:
            raise ValueError(
                "this field's answers depend on one another (a joint decoder): a derivative of one by its own place alone "
                "does not exist; use a decoder that answers each question alone"
            )
        if not self.solved.differentiable:
            raise ValueError("this baseline answers without torch and has no gradient; use kriging or an interpolation")
        self._check_fresh()
        x, tail = self._batched(coords)
        cell = pixel_sizes(cell, x, self.checked)
        step = x.shape[1] if create_graph else GRADIENTS_AT_ONCE
        parts = [
            derivatives(self._values(_slice(cell, q, step)), x[:, q : q + step], create_graph)
            for q in range(0, x.shape[1], max(1, step))
        ]
        out = torch.cat(parts, 1) if parts else x.new_empty(len(x), 0, self.channels, self.samples.axes)
        if isinstance(coords, Mapping) and self.samples.domain is not None:
            out = out / self.samples.domain.lengths.to(out)
        return out.reshape(*tail, *out.shape[-2:])

    def to(self, device) -> "Field":
        """The same field on another device. Raises ValueError if its model was trained on since."""
        with torch.inference_mode(False):
            correction = None if self.correction is None else self.correction.to(device)
            return Field(self.samples.to(device), self.solved.to(device), correction, self.finest_cell, self.checked)

    def _asked(
        self, coords: Points, cell: Tensor | None, chunk: int | None, latents_at: Tensor | None, spread: bool
    ) -> Answer:
        self._check_fresh()
        x, tail = self._batched(coords)
        cell, step = pixel_sizes(cell, x, self.checked), self._chunk(chunk, x.shape[1])
        at = None if latents_at is None else self._batched(latents_at)[0]
        parts = [
            self._answer(x[:, q : q + step], _slice(cell, q, step), None if at is None else at[:, q : q + step], spread)
            for q in range(0, x.shape[1], step)
        ]
        if not parts:
            empty = self.samples.values.new_empty(len(x), 0, self.channels)
            parts = [Answer(empty, empty if spread else None)]
        mean = parts[0].mean if len(parts) == 1 else torch.cat([part.mean for part in parts], 1)
        std = torch.cat([part.deviation() for part in parts], 1).reshape(*tail, -1) if spread else None
        return Answer(mean.reshape(*tail, mean.shape[-1]), std)

    def _values(self, cell: Tensor | None) -> Callable[[Tensor], Tensor]:
        return lambda coords: self._answer(coords, cell, None, spread=False).mean

    def _answer(self, coords: Tensor, cell: Tensor | None, latents_at: Tensor | None, spread: bool) -> Answer:
        if self.correction is None:
            return answer_of(self.solved, coords, cell) if spread else Answer(self.solved(coords, cell))
        return self.correction.answer(self.solved, coords, cell, self._ratio(cell, coords), latents_at)

    def _on_lattice(self, block: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N C"]:
        """The values on a lattice: as those of its points, at the price of its axes where base and network know how."""
        on_lattice = getattr(self.solved, "on_lattice", None)
        if on_lattice is None or self.joint:
            return self._answer(block.points(len(cell)), cell, None, spread=False).mean
        base = on_lattice(block, cell)
        return (
            base
            if self.correction is None
            else self.correction.on_lattice(self.solved, base, block, self._ratio(cell, cell))
        )

    def _ratio(self, cell: Tensor | None, coords: Tensor) -> Float[Tensor, "B #Q d"]:
        """The asked cell over a sample's."""
        if cell is None or self.samples.shape is None:
            return coords.new_full((len(coords), 1, coords.shape[-1]), self.finest_cell or 0.0)
        ratio = cell * sizes(self.samples.shape, cell.dtype, cell.device)
        return ratio.to(coords.device, non_blocking=True)

    def _check_fresh(self) -> None:
        if self.correction is not None:
            self.correction.check_fresh()

    def _chunk(self, chunk: int | None, points: int, lattice: bool = False) -> int:
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk is a number of points, at least 1, got {chunk}")
        if self.joint and chunk is not None and chunk < points:
            raise ValueError(
                f"this field's answers depend on one another (a joint decoder), so {points} questions cannot be asked "
                f"in chunks of {chunk}; leave chunk out, or ask fewer questions"
            )
        usual = LATTICE_CHUNK if lattice and hasattr(self.solved, "on_lattice") else CHUNK
        return max(1, points) if self.joint else chunk or usual

    def _batched(self, coords: Points) -> tuple[Float[Tensor, "B Q d"], tuple[int, ...]]:
        """Coordinates in [0, 1] for every field of the batch, and the shape that answers have before their channels."""
        b, d, device = len(self.samples), self.samples.axes, self.samples.values.device
        if isinstance(coords, Mapping):
            if (domain := self.samples.domain) is None:
                raise ValueError("these samples have no domain that names coordinates; ask with a tensor in [0, 1]")
            if domain.mapping:
                from gridless.data.projections import on_plane

                coords = on_plane(domain, coords)
            u = domain.to_unit(coords).to(device)
            outer = u.shape[:-1] if b == 1 else (b, *u.shape[:-1])
            return u.reshape(-1, d).expand(b, -1, -1), tuple(outer)
        coords = within_unit(coords, b, d, self.checked)
        outer = (coords.shape[-2],) if coords.ndim == 2 and b == 1 else (b, coords.shape[-2])
        return (coords[None] if coords.ndim == 2 else coords).expand(b, -1, -1), outer


def _slice(cell: Tensor | None, start: int, size: int) -> Tensor | None:
    return cell if cell is None or cell.shape[1] == 1 else cell[:, start : start + size]
