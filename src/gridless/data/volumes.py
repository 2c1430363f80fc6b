"""Volumes of scanners (NIfTI, and what else nibabel reads): samples on the grid of the file, in the units of its values.

The axes are the file's, in its order: i, j, k in millimetres from the centre of the first voxel along the array, whatever
their directions in the world are (the affine is kept, `samples.space`), and t for a fourth one. NaN was not measured.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gridless.config import Axis
from gridless.data.arrays import array_signal
from gridless.data.optional import optional
from gridless.data.room import check_room
from gridless.data.volume_space import NiftiSpace
from gridless.domain import Domain
from gridless.samples import Samples

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz", ".mgz", ".mgh")
EXACT = 1 << 24  # whole numbers up to here are float32
UNITS = {"mm": "mm", "meter": "m", "micron": "um", "sec": "s", "msec": "ms", "usec": "us", "hz": "Hz", "rads": "rad/s"}


def is_volume(path: str | Path) -> bool:
    """Whether the name is one of a volume."""
    return str(path).lower().endswith(SUFFIXES)


def read_volume(path: str | Path, frames: bool = False) -> Samples:
    """The samples of a file: of three axes, or of four with time, or (`frames`) a batch of three, one for each time. A fifth
    dimension are channels.

    Raises ValueError, naming the file, for what cannot be read, RGB and complex values; ImportError without
    nibabel.
    """
    image = open_volume(path)
    space, shape = space_of(image, path), grid_shape(image, path)
    values = _floats(image, path).reshape(*shape, -1)
    if frames and len(shape) == 4:
        return Samples.stack([each for each in _frames(values, domain_of(image, shape[:3]), space, path)])
    samples = array_signal(values, str(path)).samples()
    return replace(samples, domain=domain_of(image, shape), space=space)


def read_frames(path: str | Path) -> Iterator[Samples]:
    """The volumes of a file one after another, each read when it is asked for."""
    image = open_volume(path)
    space, shape = space_of(image, path), grid_shape(image, path)
    if len(shape) == 3:
        yield read_volume(path)
        return
    whole = image.shape
    for t in range(shape[3]):
        frame = _floats(image, path, (slice(None),) * 3 + (slice(t, t + 1),) + (slice(None),) * (len(whole) - 4))
        yield from _frames(frame.reshape(*shape[:3], 1, -1), domain_of(image, shape[:3]), space, path)


def _frames(values: np.ndarray, domain: Domain, space: NiftiSpace, path: str | Path) -> Iterator[Samples]:
    for t in range(values.shape[3]):
        samples = array_signal(np.ascontiguousarray(values[..., t, :]), str(path)).samples()
        yield replace(samples, domain=domain, space=space)


def open_volume(path: str | Path) -> Any:
    """The nibabel image, whose values are read when they are asked for."""
    nibabel, path = optional("nibabel", str(path), "volumes"), Path(path)
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    try:
        with (
            _corrections(path),
            np.errstate(over="ignore", invalid="ignore"),
        ):  # an affine that is none is refused later
            image: Any = nibabel.load(path)
    except Exception as error:  # each format has its own
        raise ValueError(f"{path} cannot be read as a volume ({' '.join(str(error).split())})") from None
    if not hasattr(image, "affine") or not hasattr(image, "dataobj"):
        raise ValueError(f"{path} holds a {type(image).__name__}, expected a volume")
    kind = image.get_data_dtype()
    if kind.fields is not None or kind.kind not in "fiu":
        named = "RGB" if kind.fields is not None else str(kind)
        raise ValueError(
            f"{path} holds {named} values, expected one number per voxel; write each component as a channel"
        )
    return image


@contextmanager
def _corrections(path: Path) -> Iterator[None]:
    """What nibabel corrects in a header and logs is a warning that names the file."""
    logger, lines = logging.getLogger("nibabel.global"), []

    def note(record: logging.LogRecord) -> bool:
        lines.append(record.getMessage())
        return False

    logger.addFilter(note)
    try:
        yield
    finally:
        logger.removeFilter(note)
    for line in dict.fromkeys(lines):
        warnings.warn(f"{path}: its header is wrong, {line}", stacklevel=4)


def space_of(image: Any, path: str | Path) -> NiftiSpace:
    """Raises ValueError for an affine that is none."""
    nibabel = optional("nibabel", str(path), "volumes")
    affine = np.array(image.affine, np.float64)
    with np.errstate(over="ignore"):  # is no size
        sizes = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if not (sizes > 0).all():
        raise ValueError(f"{path} has an affine without three axes; set its sform or qform")
    i, j, k = grid_shape(image, path)[:3]
    header = image.header.copy()
    try:
        if not isinstance(header, nibabel.Nifti1Header):
            header = nibabel.Nifti1Header.from_header(header)
            header.set_xyzt_units("mm")
            header.set_sform(affine, 1)
        elif not header.is_single:
            header = nibabel.Nifti1Header.from_header(header)
    except nibabel.spatialimages.HeaderDataError as error:
        raise ValueError(f"{path} does not fit into NIfTI, as which its answer is written ({error})") from None
    slope, inter = getattr(image.dataobj, "slope", 1.0), getattr(image.dataobj, "inter", 0.0)  # the header forgets them
    header["scl_slope"], header["scl_inter"] = slope, inter
    return NiftiSpace(affine, (i, j, k), header)


def grid_shape(image: Any, path: str | Path) -> tuple[int, ...]:
    """Three axes, or four where there are several times. Raises ValueError for more dimensions than NIfTI's of channels."""
    shape = (*map(int, image.shape), 1, 1, 1)[: max(3, len(image.shape))]
    if (len(shape) > 5 and max(shape[5:]) > 1) or 0 in shape:
        raise ValueError(
            f"{path} has the shape {image.shape}, expected a volume, volumes over time, or channels as 5th"
        )
    return shape[:4] if len(shape) > 3 and shape[3] > 1 else shape[:3]


def domain_of(image: Any, shape: tuple[int, ...]) -> Domain:
    """Millimetres along every axis of the array from the centre of its first voxel; the time as the header counts it."""
    try:
        length_unit, time_unit = getattr(image.header, "get_xyzt_units", lambda: ("mm", "msec"))()
    except KeyError:  # a number that stands for no unit
        length_unit, time_unit = "unknown", "unknown"
    sizes = np.linalg.norm(np.array(image.affine)[:3, :3], axis=0)
    axes = [
        _axis(name, UNITS.get(length_unit, ""), float(s), n) for name, s, n in zip("ijk", sizes, shape, strict=False)
    ]
    if len(shape) == 4:
        step = float(image.header.get_zooms()[3]) if len(image.header.get_zooms()) > 3 else 0.0
        unit = UNITS.get(time_unit, "") if step > 0 else ""  # no step was written: frames are counted
        offset = float(image.header["toffset"]) if "toffset" in image.header and step > 0 else 0.0
        axes.append(_axis("t", unit, step or 1.0, shape[3], offset))
    return Domain(axes=tuple(axes))


def _axis(name: str, unit: str, step: float, count: int, first: float = 0.0) -> Axis:
    return Axis(name=name, unit=unit, start=first - step / 2, length=step * count)


def _floats(image: Any, path: str | Path, part: tuple[slice, ...] | None = None) -> Float[np.ndarray, "*dims"]:
    """The values with the header's slope, in single precision; of whole numbers that do not fit it, in double."""
    stored = image.dataobj
    announced = image.shape if part is None else tuple(len(range(n)[p]) for n, p in zip(image.shape, part, strict=True))
    check_room(prod(announced), str(path))
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # no number is refused where numbers are looked at
            values = np.asarray(stored) if part is None else np.asarray(stored[part])
    except Exception as error:  # each compression has its own
        raise ValueError(f"{path} is damaged ({' '.join(str(error).split())}); fetch it again") from None
    wide = values.dtype.kind in "iu" and values.dtype.itemsize > 2 and np.abs(values.astype(np.float64)).max() > EXACT
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, np.float64 if wide else np.float32)
