"""A field of a volume to a NIfTI file: the affine of the new grid, the header and the type of the values that were read."""

import gzip
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Shaped

from gridless.coords import Lattice, lattice
from gridless.data.optional import optional
from gridless.data.room import check_room
from gridless.data.volume_space import NiftiSpace
from gridless.data.volumes import open_volume, space_of
from gridless.files import replacing

if TYPE_CHECKING:
    from gridless.field import Field

SUFFIXES = (".nii", ".nii.gz")
AT_ONCE = 1 << 20  # voxels that are answered at once
SLICES = ("slice_code", "slice_start", "slice_end", "slice_duration")  # of the header: when each slice was taken


@dataclass(frozen=True, eq=False)
class AskedGrid:
    """Where a volume is asked: its own box on another grid, or the voxels of another file."""

    space: NiftiSpace
    shape: tuple[int, int, int]
    other: NiftiSpace | None = None

    @classmethod
    def of(
        cls, space: NiftiSpace, spacing: Sequence[float] | None = None, like: str | Path | None = None
    ) -> "AskedGrid":
        """Raises ValueError for a spacing and a file at once; of neither it is the volume's own grid."""
        if spacing is not None and like is not None:
            raise ValueError(
                f"ask at a spacing or at the voxels of a file, got {tuple(spacing)} and {like}; leave one out"
            )
        other = None if like is None else space_of(open_volume(like), like)
        shape = other.shape if other else space.shape if spacing is None else space.shape_of(spacing)
        asked, most = " × ".join(map(str, shape)), np.iinfo(space.header["dim"].dtype).max
        if max(shape) > most:
            raise ValueError(
                f"{asked} voxels are asked, along an axis a file like this holds at most {most}; ask fewer"
            )
        check_room(prod(shape), f"an answer of {asked} voxels", 4)
        return cls(space, shape, other)

    @property
    def affine(self) -> Float[np.ndarray, "4 4"]:
        return self.moved(self.space.affine) if self.other is None else self.other.affine

    @property
    def voxel_sizes(self) -> tuple[float, float, float]:
        return NiftiSpace(self.affine, self.shape, None).voxel_sizes

    def moved(self, affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
        """One of the volume's affines (its sform, its qform), for the new grid."""
        return affine if self.other is not None else NiftiSpace(affine, self.space.shape, None).affine_of(self.shape)

    def places(self, slab: slice) -> Float[torch.Tensor, "N 3"]:
        """Coordinates in units of the volume's box, of some of the first axis, of the voxels of the other file."""
        assert self.other is not None
        index = np.indices((slab.stop - slab.start, *self.shape[1:])).reshape(3, -1).T
        index[:, 0] += slab.start
        across = np.linalg.inv(self.space.affine) @ self.other.affine
        voxel = index @ across[:3, :3].T + across[:3, 3]
        return torch.from_numpy((voxel + 0.5) / np.array(self.space.shape))

    def cell(self) -> Float[torch.Tensor, " 3"]:
        """The size of an asked voxel, in units of the box."""
        if self.other is None:
            return torch.tensor([1 / n for n in self.shape], dtype=torch.float64)
        across = np.linalg.inv(self.space.affine) @ self.other.affine
        return torch.from_numpy(np.abs(across[:3, :3]).max(1) / np.array(self.space.shape))


def write_nifti(
    fields: "Iterable[Field]",
    path: str | Path,
    *,
    spacing: Sequence[float] | None = None,
    like: str | Path | None = None,
    spread: str | Path | None = None,
    advance: Callable[[int], object] = lambda voxels: None,
) -> AskedGrid:
    """The fields of a file's volumes, one for each time (or one with an axis of time), to `path` (.nii, .nii.gz).

    At voxels of about `spacing` that fill the same box, at the voxels of the file `like`, or at the file's own. Whole
    numbers are written as whole numbers of the same type and scale, rounded and clipped, unless some voxel has no answer:
    then, and for all others, float32. `spread`: the standard deviations, to a second file. `advance` is told of every
    voxels that are done. Raises ValueError for fields of no file, and names that are none of NIfTI.
    """
    nibabel = optional("nibabel", "NIfTI", "volumes")
    for name in (path, spread):
        if name is not None and not str(name).lower().endswith(SUFFIXES):
            raise ValueError(f"{str(name)!r} is written as NIfTI, expected a name that ends in .nii or .nii.gz")
    fields = iter(fields)
    first = next(fields)
    space = first.samples.space
    if space is None:
        raise ValueError("these samples come from no volume's file, so that nobody knows where they lie; use gl.read")
    if spread is not None and not first.has_spread:
        raise ValueError(
            "this field has no spread; leave the second file out, or use a model with head.kind 'gaussian'"
        )
    asked = AskedGrid.of(space, spacing, like)
    kind = stored_type(space, first, asked)
    values, deviations = [], []
    for each in chain([first], fields):
        values.append(stored(answer(each, asked, each.to_grid, advance), space, kind))
        if spread is not None:
            deviations.append(answer(each, asked, None, advance).astype(np.float32))
    frames = first.samples.axes == 4 or len(values) * len(first.samples) > 1
    _save(nibabel, path, _whole(values, frames), asked, kind)
    if spread is not None:
        _save(nibabel, spread, _whole(deviations, frames), asked, np.dtype(np.float32))
    return asked


def stored_type(space: NiftiSpace, field: "Field", asked: AskedGrid) -> np.dtype:
    """Of the file: that which was read, of whole numbers that can hold every answer; else float32."""
    kind = space.header.get_data_dtype()
    if kind.kind not in "iu" or field.samples.mask is not None:
        return np.dtype(np.float32)
    if asked.other is not None:
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in asked.shape], indexing="ij")).reshape(3, -1).T
        across = np.linalg.inv(space.affine) @ asked.other.affine
        voxel = corners @ across[:3, :3].T + across[:3, 3]
        if (voxel < -0.5 - 1e-6).any() or (voxel > np.array(space.shape) - 0.5 + 1e-6).any():
            return np.dtype(np.float32)
    return kind


def stored(values: Float[np.ndarray, "*dims"], space: NiftiSpace, kind: np.dtype) -> Shaped[np.ndarray, "*dims"]:
    """The numbers of the file."""
    if kind.kind == "f":
        return values.astype(np.float32)
    limits = np.iinfo(kind)
    slope, inter = float(space.header["scl_slope"]), float(space.header["scl_inter"])
    return np.clip(np.rint((values - inter) / slope), limits.min, limits.max).astype(kind)


def answer(
    field: "Field", asked: AskedGrid, to_grid: Callable[..., Any] | None, advance: Callable[[int], object]
) -> Float[np.ndarray, "B i j k t C"]:
    """The values (`to_grid`) or the deviations (None), in slabs across an axis that is not the coarsest: of the windows of
    a slab, the network keeps what it has encoded."""
    samples = field.samples
    times = samples.grid_shape[3:]
    whole = (*asked.shape, *times)
    across = 0 if int(np.argmax(asked.space.voxel_sizes)) != 0 or asked.other is not None else 1
    step = max(1, AT_ONCE * whole[across] // prod(whole))
    out = np.empty((len(samples), *asked.shape, *(times or (1,)), field.channels), np.float32)
    for start in range(0, whole[across], step):
        slab = slice(start, min(start + step, whole[across]))
        part = tuple(slab if axis == across else slice(0, n) for axis, n in enumerate(whole))
        if asked.other is None and to_grid is not None:
            block = to_grid(shape=whole, part=part)
            block = block[None] if len(samples) == 1 else block
        elif asked.other is None:
            axes, cell = lattice(whole, samples.shape, samples.domain)
            points = Lattice(tuple(axis[inside] for axis, inside in zip(axes, part, strict=True))).points(1)[0]
            block = _at(field, points, cell, True)
        else:
            points = _with_times(asked.places(slab), times)
            cell = torch.cat([asked.cell(), torch.tensor([1 / n for n in times], dtype=torch.float64)])
            block = _at(field, points, cell, to_grid is None)
        sizes = tuple(inside.stop - inside.start for inside in part)
        place = (slice(None), *part[:3])
        out[place] = np.asarray(block.cpu()).reshape(len(samples), *sizes[:3], *(times or (1,)), -1)
        advance(len(samples) * prod(sizes))
    return out


def _at(
    field: "Field", points: Float[torch.Tensor, "N d"], cell: Float[torch.Tensor, " d"], spread: bool
) -> Float[torch.Tensor, "B N C"]:
    """Values or deviations at places in units of the box; outside NaN, which nobody measured."""
    inside = ((points >= -1e-9) & (points <= 1 + 1e-9)).all(-1)
    out = torch.full((len(field.samples), len(points), field.channels), torch.nan)
    if inside.any():
        here = points[inside].clamp(0, 1).to(field.samples.values.dtype)
        with torch.no_grad():
            found = field.std(here, cell) if spread else field(here, cell)
        out[:, inside] = found.reshape(len(out), -1, field.channels).cpu().float()
    return out


def _with_times(points: Float[torch.Tensor, "N 3"], times: tuple[int, ...]) -> Float[torch.Tensor, "M d"]:
    """Every place at every time, if there are times."""
    if not times:
        return points
    t = (torch.arange(times[0], dtype=torch.float64) + 0.5) / times[0]
    return torch.cat([points.repeat_interleave(len(t), 0), t.repeat(len(points))[:, None]], -1)


def _whole(parts: list[np.ndarray], frames: bool) -> Shaped[np.ndarray, "i j k *rest"]:
    """Frames behind one another as NIfTI has them: time is the fourth dimension, channels are the fifth."""
    every = np.moveaxis(np.concatenate(parts), 0, 3)  # (i j k B t C)
    every = every.reshape(*every.shape[:3], -1, every.shape[-1])
    if every.shape[-1] > 1:
        return every
    return every[..., 0] if frames else every[..., 0, 0]


def _save(nibabel: Any, path: str | Path, values: np.ndarray, asked: AskedGrid, kind: np.dtype) -> None:
    """With the header that was read, the values as they are."""
    space, header = asked.space, asked.space.header.copy()
    box = header if asked.other is None else asked.other.header
    forms = {"qform": box.get_qform(coded=True), "sform": box.get_sform(coded=True)}
    header.set_data_shape(values.shape)
    header.set_data_dtype(kind)
    header["pixdim"][1:4] = asked.voxel_sizes
    for name, (affine, code) in forms.items():
        header[f"{name}_code"] = 0
        if affine is not None:
            getattr(header, f"set_{name}")(asked.moved(affine), int(code))
    if asked.shape != space.shape:
        for name in SLICES:
            header[name] = 0
    header["vox_offset"] = 0
    image = getattr(nibabel, type(header).__name__.replace("Header", "Image"))(values, None, header)
    scale = (space.header["scl_slope"], space.header["scl_inter"]) if kind.kind in "iu" else (1.0, 0.0)
    image.header.set_slope_inter(*map(float, scale))  # the values are what is stored, so nothing scales them again
    with replacing(path) as part:
        opened = gzip.open if str(path).lower().endswith(".gz") else open
        with opened(part, "wb") as file:
            image.to_file_map(type(image).make_file_map({"image": file}))
