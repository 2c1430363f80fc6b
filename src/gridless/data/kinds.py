"""What a file holds, by its name: the one place that tells tables, archives, volumes and pictures apart."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Literal

from gridless.data.archives import SUFFIXES as ARCHIVES
from gridless.data.picture_writing import FORMATS
from gridless.data.volumes import is_volume

TABLES = (".csv", ".csv.gz", ".parquet")
Kind = Literal["table", "archive", "volume", "picture", "other"]


def kind_of_file(name: str | Path) -> Kind:
    """`table`: rows of readings; `archive`: NetCDF and Zarr; `volume`: NIfTI and its like; `picture`: what
    pictures are written as."""
    text = str(name).lower().rstrip("/")
    if text.endswith(TABLES):
        return "table"
    if text.endswith(ARCHIVES):
        return "archive"
    if is_volume(text):
        return "volume"
    return "picture" if Path(text).suffix in FORMATS else "other"


def kind_of_inputs(names: Sequence[str]) -> Literal["readings", "volumes", "pictures"]:
    """What the words of a command are about: any table or archive among them is one of readings, any volume one of volumes,
    also in a folder that is given before all options and beside no picture; all others are pictures."""
    kinds = {kind_of_file(name) for name in names}
    if kinds & {"table", "archive"}:
        return "readings"
    first = takewhile(lambda name: not name.startswith("-"), names)
    folders = [] if "picture" in kinds else [Path(name) for name in first if Path(name).is_dir()]
    if "volume" in kinds or any(is_volume(file) for folder in folders for file in folder.rglob("*")):
        return "volumes"
    return "pictures"
