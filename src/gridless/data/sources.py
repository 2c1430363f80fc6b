"""Anything as signals: arrays, tensors, Samples, photos, paths, labelled arrays; sequences of them are read lazily."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from gridless.data.archives import is_archive, open_archive
from gridless.data.arrays import array_signal
from gridless.data.labelled import is_labelled, labelled_signal, read_labelled
from gridless.data.pairs import Pair
from gridless.data.picture_reading import read_photo
from gridless.data.pictures import Photo
from gridless.data.room import check_room
from gridless.data.signals import GridSignal, Picture, Readings, Signal
from gridless.data.snapshots import Snapshots
from gridless.data.volumes import is_volume, read_volume
from gridless.samples import Samples

if TYPE_CHECKING:
    import xarray as xr

BYTES_KEPT = 1 << 29  # of signals that were read
FEW = 100  # signals of a slice are kept in it


@runtime_checkable
class Source(Protocol):
    """An endless sequence: fields drawn afresh."""

    def draw(self, rng: np.random.Generator, count: int) -> Sequence[Signal]: ...


class Signals(Sequence[Signal]):
    """A sequence of anything as signals, each read when it is asked for and kept while there is room."""

    def __init__(self, data: Sequence, channels: int | None = None):
        """`channels`: of photos; grey ones are seen as RGB unless it is 1."""
        self.data, self.channels = data, channels
        self._kept: OrderedDict[int, Signal] = OrderedDict()
        self._bytes = (
            0  # of what is kept: counted along, because a sum over thousands of pictures costs more than a step
        )

    def __len__(self) -> int:
        return len(self.data)

    @overload
    def __getitem__(self, index: int) -> Signal: ...
    @overload
    def __getitem__(self, index: slice) -> "Signals": ...
    def __getitem__(self, index: int | slice) -> "Signal | Signals":
        if isinstance(index, slice):
            chosen = range(*index.indices(len(self)))
            return Signals([self[i] for i in chosen] if len(chosen) < FEW else Part(self, chosen), self.channels)
        index = range(len(self))[index]
        if index not in self._kept:
            self._kept[index] = as_signal(self.data[index], f"signal-{index}", self.channels)
            self._bytes += _nbytes(self._kept[index])
            while len(self._kept) > 1 and self._bytes > BYTES_KEPT:
                self._bytes -= _nbytes(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(index)
        return self._kept[index]


@dataclass(frozen=True, eq=False)
class Part(Sequence[Signal]):
    """Some of a longer sequence, read when they are asked for."""

    whole: Signals
    chosen: range

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Signal:
        return self.whole[self.chosen[index]]


@overload
def signals(data: Sequence | Samples, channels: int | None = None) -> Sequence[Signal]: ...
@overload
def signals(data: Source, channels: int | None = None) -> Source: ...
def signals(data: Sequence | Samples | Source, channels: int | None = None) -> Sequence[Signal] | Source:
    """Any sequence of arrays, tensors, Samples, photos, paths or signals as a sequence of signals; what can `draw` stays as
    it is. `channels`: of photos; grey ones are seen as RGB unless it is 1. Raises ValueError for an empty sequence, and for
    a single array or path where a sequence is meant."""
    if isinstance(data, Source | Signals):
        return data
    if isinstance(data, Samples):
        data = [data.select(slice(i, i + 1)) for i in range(len(data))]
    if isinstance(data, (str, Path)) or not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        raise ValueError(
            f"expected a sequence of arrays, Samples, pictures or paths, got {type(data).__name__}; put it in a list"
        )
    if len(data) == 0:
        raise ValueError("no data: expected at least one array, Samples, picture or path")
    return Signals(data, channels)


def as_signal(item: object, name: str = "signal", channels: int | None = None) -> Signal:
    """One signal of: an array or tensor (*grid, C), float or a picture of 8 or 16 bits; Samples of one field; a Photo; a
    path of any of them; an xarray.DataArray; a tuple of two, what is seen and what is asked. NaN is not measured. Raises
    ValueError for anything else."""
    match item:
        case Signal():
            return item
        case (seen, asked) if isinstance(item, tuple):
            parts = (as_signal(seen, f"{name}-seen", channels), as_signal(asked, f"{name}-asked"))
            return Pair(name, *parts)
        case Photo():
            return _picture(item, channels)
        case Samples():
            return _of_samples(item, name)
        case str() | Path() if is_archive(Path(item)):
            return _alone(read(item), str(item))
        case str() | Path() if is_volume(item):
            return _of_samples(read_volume(item), Path(item).name.split(".")[0])
        case str() | Path():
            return as_signal(_opened(Path(item)), Path(item).stem, channels)
        case np.ndarray() | Tensor():
            return array_signal(item, name)
    if is_labelled(item) and hasattr(item, "values"):
        return labelled_signal(item, name)  # pyright: ignore[reportArgumentType]  an array
    raise ValueError(
        f"{name} is a {type(item).__name__}; expected an array (*grid, C), Samples, a picture, a path or a Signal"
    )


def read(
    source: "str | Path | xr.Dataset | xr.DataArray",
    variable: str | Sequence[str] | None = None,
    *,
    frames: bool = False,
) -> Any:
    """What a file holds: Samples, or Snapshots (a field for each step of time, read when it is asked for).

    A picture is RGB in [0, 1]; a .npy file an array (*grid, C), whose NaN were not measured; a NIfTI file (.nii, .nii.gz) a
    volume in millimetres, with a fourth axis of time or (`frames`) a batch of volumes; NetCDF, Zarr and xarray objects are
    read by the rules of CF: `variable` is the data variable, or several that are channels. Raises ValueError (ImageError)
    for files that cannot be read.
    """
    if is_labelled(source):
        return read_labelled(source, variable)
    path = Path(source)  # pyright: ignore[reportArgumentType]  nothing labelled
    if is_volume(path) and variable is None:
        return read_volume(path, frames)
    if frames:
        raise ValueError(f"{path} is no volume over time; frames=True is for NIfTI")
    if is_archive(path):
        return read_labelled(open_archive(path), variable, str(path))
    if variable is not None:
        raise ValueError(f"{path} holds one array, volume or picture; variable={variable!r} is for NetCDF and Zarr")
    opened = _opened(path)
    if isinstance(opened, Photo):
        values = torch.from_numpy(opened.values)
        return Samples.from_grid(values.expand(-1, -1, 3) if values.shape[-1] == 1 else values)
    return array_signal(opened, path.stem).samples()


def _opened(path: Path) -> Photo | np.ndarray:
    if path.suffix.lower() != ".npy":
        return read_photo(path)
    try:
        with np.errstate(over="ignore"):  # a shape that no number counts is refused a line later
            stored = np.load(path, mmap_mode="r", allow_pickle=False)  # no memory for what is announced and not there
    except Exception as error:  # numpy's own, and those of its parser of headers
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read as an array ({reason}); write it with numpy.save") from None
    if not isinstance(stored, np.ndarray):
        raise ValueError(f"{path} holds several arrays; write one of them with numpy.save")
    check_room(stored.size, str(path), stored.itemsize)
    return np.array(stored)


def _picture(photo: Photo, channels: int | None) -> GridSignal:
    pixels = photo.pixels if channels == 1 and photo.shape[-1] == 1 else photo.rgb()
    if photo.depth == 8:
        return Picture(photo.name, pixels)
    return GridSignal(photo.name, pixels.astype(np.float32) / np.float32(65535))


def _alone(item: Samples | Snapshots, name: str) -> Signal:
    if isinstance(item, Snapshots) and len(item) != 1:
        raise ValueError(f"{name} holds {len(item)} fields; give gl.read({name!r}) instead of a list of paths")
    return as_signal(item[0] if isinstance(item, Snapshots) else item, name)


def _of_samples(item: Samples, name: str) -> Signal:
    if len(item) != 1:
        raise ValueError(f"{name} holds {len(item)} fields; give them one by one (samples.select)")
    if item.shape is None:
        return Readings(name, item)
    known = item.mask_on_grid()
    mask = None if known is None else known[0].cpu().numpy()
    return GridSignal(name, item.on_grid()[0].detach().cpu().numpy(), mask, item.domain)


def _nbytes(signal: Signal) -> int:
    if isinstance(signal, Pair):
        return _nbytes(signal.seen) + _nbytes(signal.asked)
    return signal.values.nbytes if isinstance(signal, GridSignal) else 0
