"""What a file holds, by its name: the one place that tells tables, archives and pictures apart."""

from pathlib import Path
from typing import Literal

from gridless.data.archives import SUFFIXES as ARCHIVES
from gridless.data.picture_writing import FORMATS

TABLES = (".csv", ".csv.gz", ".parquet")
Kind = Literal["table", "archive", "picture", "other"]


def kind_of_file(name: str | Path) -> Kind:
    """`table`: rows of readings; `archive`: NetCDF and Zarr; `picture`: what pictures are written as."""
    text = str(name).lower().rstrip("/")
    if text.endswith(TABLES):
        return "table"
    if text.endswith(ARCHIVES):
        return "archive"
    return "picture" if Path(text).suffix in FORMATS else "other"


def holds_readings(name: str | Path) -> bool:
    """Whether it is a table or an archive."""
    return kind_of_file(name) in ("table", "archive")
