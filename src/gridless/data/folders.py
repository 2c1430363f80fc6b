"""A folder of pictures as a sequence: headers are judged at once, a picture is decoded when it is asked for."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import overload

from .picture_reading import READ_SUFFIXES, photo_size, read_photo
from .pictures import ImageError, Photo, safe_name

KEPT_BYTES = 1 << 28  # of decoded pictures in memory; a picture asked for again beyond that is decoded again


class DecodedPhotos:
    """Decoded pictures of at most `most` bytes, the least recently asked for dropped first. Threads may share one."""

    def __init__(self, most: int = KEPT_BYTES):
        self.most, self.nbytes = most, 0
        self.photos: OrderedDict[Path, Photo] = OrderedDict()
        self._lock = Lock()

    def read(self, file: Path) -> Photo:
        """The picture of a file, decoded unless it is kept. Raises ImageError as `read_photo` does."""
        with self._lock:
            if file in self.photos:
                self.photos.move_to_end(file)
                return self.photos[file]
        photo = read_photo(file)
        with self._lock:
            if file not in self.photos:
                self.photos[file] = photo
                self.nbytes += photo.nbytes
            while self.nbytes > self.most:
                self.nbytes -= self.photos.popitem(last=False)[1].nbytes
        return photo

    def __reduce__(self):
        return DecodedPhotos, (self.most,)  # a worker process decodes for itself


@dataclass(frozen=True, eq=False)
class PhotoFolder(Sequence[Photo]):
    """Picture files, each read when it is indexed; a slice is a PhotoFolder too.

    Indexing raises ImageError, which names the file, if it has been damaged or removed, or holds less than its header says.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...] = ()
    """Of the photos, unique and safe as file names; made from the files' own if not given."""
    kept: DecodedPhotos = field(default_factory=DecodedPhotos, repr=False)
    """Shared with the slices."""

    def __post_init__(self):
        object.__setattr__(self, "files", tuple(map(Path, self.files)))
        object.__setattr__(self, "names", tuple(self.names) or unique_names(Path(file.name) for file in self.files))
        if len(self.names) != len(self.files):
            raise ValueError(f"{len(self.names)} names for {len(self.files)} files, expected one for each")

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> PhotoFolder: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return PhotoFolder(self.files[index], self.names[index], self.kept)
        return replace(self.kept.read(self.files[index]), name=self.names[index])

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every picture, from its header. Raises ImageError for the first that cannot be read."""
        return [photo_size(file) for file in self.files]


def folder(path: str | os.PathLike, recursive: bool = False) -> PhotoFolder:
    """Every image file of a folder, by file name; `recursive`: and of the folders inside, by path.

    Hidden files and folders and files of other kinds are passed over. A photo is named like its file without the suffix;
    where two would be called the same, by its path inside the folder (`/` becomes `-`) and, if need be, its suffix.
    Every header is read at once, the pictures when they are asked for. Raises ImageError if the folder is missing or
    holds no image, or if the header of one says that it cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        reason = "is a file" if path.exists() else "does not exist"
        raise ImageError(f"{str(path)!r} {reason}, expected a folder of images; see read_photo for one file")
    inside = sorted(
        (Path(parent, name).relative_to(path) for parent, name in walk(path, recursive)), key=lambda file: file.parts
    )
    if not inside:
        where = "nor do the folders inside; " if recursive else ""
        raise ImageError(f"the folder {str(path)!r} holds no image, {where}expected files ending in {_suffixes()}")
    pictures = PhotoFolder(tuple(path / file for file in inside), unique_names(inside))
    pictures.sizes()
    return pictures


def walk(path: Path, recursive: bool) -> Iterable[tuple[str, str]]:
    """The folder and the name of every image file inside, by its suffix; hidden ones are passed over."""
    for parent, folders, files in os.walk(path):
        folders[:] = [name for name in folders if recursive and name[0] != "."]
        for name in files:
            if name[0] != "." and Path(name).suffix.lower() in READ_SUFFIXES and Path(parent, name).is_file():
                yield parent, name


def _suffixes() -> str:
    return " ".join(READ_SUFFIXES)


def unique_names(files: Iterable[Path]) -> tuple[str, ...]:
    """A name for each of several relative paths: its stem, else its path without suffix, else with it, else numbered.

    Names are safe as file names and differ in more than case, which not every disk tells apart.
    """
    files = list(files)
    candidates = [(file.stem, "-".join(file.with_suffix("").parts), "-".join(file.parts)) for file in files]
    names: list[str] = []
    counts = [Counter(safe_name(choice[level]).casefold() for choice in candidates) for level in range(3)]
    taken = set()
    for choice in candidates:
        options = [safe_name(choice[level]) for level in range(3)]
        name = next((n for n, count in zip(options, counts, strict=True) if count[n.casefold()] == 1), options[2])
        number = 2
        while name.casefold() in taken:
            name, number = f"{options[2]}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return tuple(names)
