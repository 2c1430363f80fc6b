"""Colour profiles that tests of colours share: wide gamuts, grey, four inks."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms

from gridless.data.colours import _profile, grey_profile, matrix_profile

D65 = (0.3127, 0.3290)
ADOBE_RGB = matrix_profile((D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), 563 / 256)
DISPLAY_P3 = matrix_profile((D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), 2.2)
GREY = grey_profile(1.8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def cmyk() -> bytes:
    """Four inks by a table of their sixteen full overprints: dull cyan, magenta and yellow, and a black that is not."""
    inks = np.array([[0.1, 0.6, 0.85], [0.85, 0.15, 0.5], [0.95, 0.88, 0.15], [0.16, 0.15, 0.15]])
    overprints = [
        np.prod([inks[i] for i in range(4) if number >> (3 - i) & 1] or [np.ones(3)], axis=0) for number in range(16)
    ]
    rgb = Image.fromarray(np.uint8(np.rint(np.array(overprints) * 255))[None])
    lab = ImageCms.profileToProfile(rgb, SRGB, ImageCms.createProfile("LAB"), outputMode="LAB")
    nodes = np.asarray(lab).copy().reshape(-1, 3)
    nodes[:, 1:] ^= 128  # Pillow's a and b are signed, a table's begin at −128
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel())
    return _profile(b"CMYK", {b"A2B0": table + ramp * 4 + nodes.tobytes() + ramp * 3}).replace(b"XYZ ", b"Lab ", 1)


CMYK = cmyk()


def managed(image: Image.Image, profile: bytes) -> np.ndarray:
    """A picture in sRGB by LittleCMS, as integers that can be subtracted: the reference."""
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    flags = ImageCms.Flags.NOOPTIMIZE if image.mode == "L" else ImageCms.Flags.NONE  # of grey, a coarse table else
    out = ImageCms.profileToProfile(image, opened, SRGB, outputMode="RGB", flags=flags)
    assert out is not None
    return np.asarray(out).astype(int)
