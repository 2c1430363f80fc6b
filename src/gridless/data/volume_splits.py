"""Scans to learn from: a file, a folder of them, or the template that ships inside another package."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from gridless.config import VolumeData
from gridless.data.signals import Signal
from gridless.data.sources import signals
from gridless.data.volumes import is_volume

TEMPLATE = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
"""Package/path of the average of 152 brains."""
SPLITS = ("train", "val", "test")


def split_volumes(data: VolumeData, split: str) -> Sequence[Signal]:
    """The scans of `split`, each read when it is asked for. All of one file, or of a folder without train, val and test
    inside, is learnt from. Raises ValueError where there is none."""
    root = template() if data.path is None else Path(data.path)
    if root.is_dir() and any((root / name).is_dir() for name in SPLITS):
        files = _inside(root / split) if (root / split).is_dir() else []
    else:
        files = [] if split != "train" else _inside(root) if root.is_dir() else [root]
        if split == "train" and not files:
            raise ValueError(f"the folder {str(root)!r} holds no volume, expected .nii or .nii.gz inside")
    return signals(files) if files else ()


def template() -> Path:
    """The MNI template: a T1-weighted head, 197 × 233 × 189 voxels of 1 mm. Found without importing the package, which would
    cost seconds."""
    package, inside = TEMPLATE.split("/", 1)
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the template needs the package nilearn, not found; pip install nilearn, or give --data FILE")
    return Path(spec.submodule_search_locations[0], inside)


def _inside(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name[0] != ".")
    return sorted(file for file in files if is_volume(file) and ".img" not in file.suffixes)
