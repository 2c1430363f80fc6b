"""CIFAR-10 from a folder that holds its published files, python or binary batches, all of them or only some.

Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images". The splits are fixed here: the last
tenth of the training images, in the published order, is `val`; the test batch is `test`.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from .pictures import ImageError, Photo

SIDE, CLASSES = 32, 10
_RECORD = 1 + 3 * SIDE * SIDE  # one label byte, then three colour planes
_INSIDE = ("", "cifar-10-batches-bin", "cifar-10-batches-py")


def cifar10(path: str | Path, split: str = "train") -> list[Photo]:
    """The pictures of a split: "train", "val" or "test"; 32 × 32 RGB, named by split and number.

    Raises ImageError if the folder holds no batches or a damaged one, ValueError for another split.
    """
    pixels, _ = _read(Path(path), split)
    return [Photo(f"{split}-{number:05}", picture) for number, picture in enumerate(pixels)]


def cifar10_labels(path: str | Path, split: str = "train") -> UInt8[np.ndarray, " N"]:
    """The class, 0 … 9, of every picture of a split."""
    return _read(Path(path), split)[1]


def _read(path: Path, split: str) -> tuple[UInt8[np.ndarray, "N 32 32 3"], UInt8[np.ndarray, " N"]]:
    if split not in ("train", "val", "test"):
        raise ValueError(f"there is no split {split!r}, expected 'train', 'val' or 'test'")
    names = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    files = [file for name in names if (file := _find(path, name)) is not None]
    if not files:
        raise ImageError(
            f"{str(path)!r} holds no {names[0]} or {names[0]}.bin, expected the python or binary batches of CIFAR-10"
        )
    batches = [_batch(file) for file in files]
    pixels, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    if split != "test":
        border = len(pixels) - len(pixels) // 10
        part = slice(border) if split == "train" else slice(border, None)
        pixels, labels = pixels[part], labels[part]
    return pixels, labels


def _find(path: Path, name: str) -> Path | None:
    candidates = (path / inside / f"{name}{suffix}" for inside in _INSIDE for suffix in (".bin", ""))
    return next((file for file in candidates if file.is_file()), None)


def _batch(file: Path) -> tuple[UInt8[np.ndarray, "N 32 32 3"], UInt8[np.ndarray, " N"]]:
    if file.suffix == ".bin":
        raw = np.fromfile(file, np.uint8)
        if not raw.size or raw.size % _RECORD:
            raise ImageError(f"{file} has {raw.size} bytes, expected a multiple of {_RECORD}; fetch it again")
        records = raw.reshape(-1, _RECORD)
        planes, labels = records[:, 1:], records[:, 0]
    else:
        try:
            with file.open("rb") as stream:
                table = _Arrays(stream, encoding="bytes").load()
            planes, labels = np.asarray(table[b"data"], np.uint8), np.asarray(table[b"labels"], np.uint8)
            planes = planes.reshape(len(labels), 3 * SIDE * SIDE)
        except (pickle.UnpicklingError, KeyError, EOFError, ValueError, TypeError, IndexError) as error:
            raise ImageError(f"{file} is not a python batch of CIFAR-10 ({error}); fetch it again") from None
    if not len(labels):
        raise ImageError(f"{file} holds no pictures, expected a batch of CIFAR-10; fetch it again")
    if labels.max() >= CLASSES:
        raise ImageError(f"{file} holds the class {labels.max()}, CIFAR-10 has 0 … {CLASSES - 1}; is it CIFAR-100?")
    return np.ascontiguousarray(planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)), labels


class _Arrays(pickle.Unpickler):
    """A pickle may run any code; a batch needs nothing but numpy arrays."""

    _ALLOWED = frozenset({("numpy", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")})

    def find_class(self, module: str, name: str):
        if (module.split(".")[0], name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)  # as numpy 2 calls it
