"""Data: pictures read and written without loss, and the photographs every installation can train and test on."""

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
    "write_photo",
]
