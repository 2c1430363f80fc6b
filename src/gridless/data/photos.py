"""Photographs that every installation can have without a download: they ship inside two wheels.

scikit-image and scikit-learn carry real photographs, micrographs and textures. They are found without importing those
packages, which would cost seconds. The splits are fixed here, once: training sees `train`, tuning sees `val`, reports
see `test`. Logos, masks, chessboards and phantoms are left out.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from .pictures import FORMATS, ImageError, Photo, read_photo

_SKIMAGE, _SKLEARN = "skimage/data", "sklearn/datasets/images"

SPLITS = {
    "train": (
        f"{_SKIMAGE}/astronaut.png",
        f"{_SKIMAGE}/motorcycle_left.png",
        f"{_SKIMAGE}/motorcycle_right.png",
        f"{_SKIMAGE}/hubble_deep_field.jpg",
        f"{_SKIMAGE}/ihc.png",
        f"{_SKIMAGE}/retina.jpg",
        # grey from here on
        f"{_SKIMAGE}/brick.png",
        f"{_SKIMAGE}/camera.png",
        f"{_SKIMAGE}/coins.png",
        f"{_SKIMAGE}/grass.png",
        f"{_SKIMAGE}/gravel.png",
        f"{_SKIMAGE}/cell.png",
        f"{_SKIMAGE}/moon.png",
        f"{_SKIMAGE}/page.png",
        f"{_SKIMAGE}/text.png",
        f"{_SKIMAGE}/clock_motion.png",
    ),
    "val": (f"{_SKLEARN}/flower.jpg", f"{_SKIMAGE}/rocket.jpg"),
    "test": (f"{_SKIMAGE}/chelsea.png", f"{_SKIMAGE}/coffee.png", f"{_SKLEARN}/china.jpg"),
}
"""Split -> package/path of each photograph, in the order in which `photos` returns them."""


def photos(split: str = "train") -> list[Photo]:
    """The photographs of a split: "train" (16, the first 6 in colour), "val" (2) or "test" (3).

    Raises ValueError for another split, ImportError if scikit-image or scikit-learn is not installed.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}, expected one of {', '.join(map(repr, SPLITS))}")
    return [read_photo(_find(entry)) for entry in SPLITS[split]]


def folder(path: str | os.PathLike) -> list[Photo]:
    """Every image file of a folder (not of those inside it), by file name; hidden and other files are passed over.

    Names are file names without the suffix, or with it where two files differ in nothing else.
    Raises ImageError if the folder is missing or holds no image, or if one of them cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        reason = "is a file" if path.exists() else "does not exist"
        raise ImageError(f"{str(path)!r} {reason}, expected a folder of images; see read_photo for one file")
    suffixes = (*FORMATS, ".gif")
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in suffixes and f.name[0] != "." and f.is_file())
    if not files:
        raise ImageError(f"the folder {str(path)!r} holds no image, expected files ending in {' '.join(suffixes)}")
    times = Counter(file.stem for file in files)
    return [replace(read_photo(file), name=file.stem if times[file.stem] == 1 else file.name) for file in files]


def _find(entry: str) -> Path:
    package, inside = entry.split("/", 1)
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the photographs need the package {package!r}, not found; pip install 'gridless[photos]'")
    return Path(spec.submodule_search_locations[0], inside)
