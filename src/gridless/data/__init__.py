"""Data: pictures read and written without loss, photographs every installation has, and waves with a formula."""

from importlib import import_module

from .cifar10 import cifar10, cifar10_labels
from .images import ImageError, Photo, read_photo, resize_bicubic, write_photo
from .photos import folder, photos

__all__ = [
    "ImageError",
    "Photo",
    "cifar10",
    "cifar10_labels",
    "folder",
    "photos",
    "read_photo",
    "resize_bicubic",
    "synthetic",
    "write_photo",
]


def __getattr__(name: str):
    if name == "synthetic":  # loads torch, which pictures do not need
        return import_module(f"{__name__}.synthetic")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
