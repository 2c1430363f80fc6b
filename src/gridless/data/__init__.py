"""Data: pictures read and written without loss, photographs every installation has, and waves with a formula."""

from importlib import import_module
from typing import TYPE_CHECKING

from .cifar10 import cifar10, cifar10_labels
from .folders import PhotoFolder, folder
from .photos import photos
from .picture_reading import read_photo
from .picture_writing import write_photo
from .pictures import ImageError, Photo, quantise, resize_bicubic

if TYPE_CHECKING:
    from . import waves

__all__ = [
    "ImageError",
    "Photo",
    "PhotoFolder",
    "cifar10",
    "cifar10_labels",
    "folder",
    "photos",
    "quantise",
    "read_photo",
    "resize_bicubic",
    "waves",
    "write_photo",
]


def __getattr__(name: str):
    if name == "waves":  # loads torch, which pictures do not need
        return import_module(f"{__name__}.waves")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
