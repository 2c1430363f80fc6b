"""Photographs that every installation can have without a download: they ship inside two wheels.

scikit-image and scikit-learn carry real photographs, micrographs and textures. They are found without importing those
packages, which would cost seconds. The splits are fixed here, once: training sees `train`, tuning sees `val`, reports
see `test`. Logos, masks, chessboards and phantoms are left out.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .folders import PhotoFolder

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


def photos(split: str = "train") -> PhotoFolder:
    """The photographs of a split: "train" (16, the first 6 in colour), "val" (2) or "test" (3), read when asked for.

    Raises ValueError for another split, ImportError if scikit-image or scikit-learn is not installed.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}, expected one of {', '.join(map(repr, SPLITS))}")
    return PhotoFolder(tuple(_find(entry) for entry in SPLITS[split]))


def _find(entry: str) -> Path:
    package, inside = entry.split("/", 1)
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the photographs need the package {package!r}, not found; pip install 'gridless[photos]'")
    return Path(spec.submodule_search_locations[0], inside)
