"""An archive in three runs of steps: what is learnt from, what validates, what is asked in the end."""

from pathlib import Path

from gridless.config import ArchiveData
from gridless.data.snapshots import Snapshots
from gridless.data.sources import read


def split_archive(data: ArchiveData, split: str) -> Snapshots:
    """The steps of `split` (train, val or test), each read when it is asked for. Raises ValueError for a missing path, a
    file without an axis of time, and too few steps."""
    if data.path is None:
        raise ValueError("data.kind 'archive' needs data.path (--data FILE), a file of NetCDF or Zarr")
    archive = read(Path(data.path), data.variable)
    if not isinstance(archive, Snapshots):
        raise ValueError(f"{data.path} holds one field; an archive to learn from has an axis of time")
    train, val = ends(len(archive), data.val, data.test)
    if train < 1:
        raise ValueError(
            f"{data.path} has {len(archive)} steps, of which data.val {data.val:g} and data.test {data.test:g} leave none "
            "to learn from; make them smaller"
        )
    return archive[{"train": slice(train), "val": slice(train, val), "test": slice(val, None)}[split]]


def ends(steps: int, val: float, test: float) -> tuple[int, int]:
    """Where the steps of training end, and those of validation. A size below 1 is a share."""
    sizes = [round(size * steps) if size < 1 else int(size) for size in (val, test)]
    return steps - sum(sizes), steps - sizes[1]
