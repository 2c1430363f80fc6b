"""What the numbers of a picture mean: ICC profiles, and the gAMA and cHRM chunks that PNGs have in their place.

RGB and grey are answered as they are encoded, and the answer carries the profile: a super-resolution network sees each
picture in units of its own level and spread, so that another gamut is another unit to it, while 8 bits of sRGB would cut
off what a wide gamut holds. Measured on three photographs at ×3, PSNR of the answer in its own encoding and by way of
sRGB: AdobeRGB 26.91 and 26.89 dB, Display-P3 26.91 and 26.89 (26.66 where sRGB is clipped), linear light 26.33 and 26.44
(bicubic 25.80). What cannot be answered as it is (four inks) or written with its profile is turned into sRGB by LittleCMS.
"""

from __future__ import annotations

import io
import struct
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

Chromaticity = tuple[float, float]
SRGB_PRIMARIES: tuple[Chromaticity, ...] = ((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
"""x and y of white, red, green and blue."""
SRGB_GAMMA = 2.2  # of a PNG that says gAMA 0.45455; sRGB's own curve is as near to it as a screen is

_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def space(profile: bytes | None) -> str | None:
    """RGB, GRAY, CMYK … of an ICC profile; None without one, or if LittleCMS cannot read it."""
    if not profile:
        return None
    try:
        return _opened(profile).profile.xcolor_space.strip()
    except Exception:  # damaged, or a Pillow without LittleCMS
        return None


def in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An 8-bit picture of Pillow (L, RGB or CMYK) with the colours of its profile, as RGB in sRGB; alpha stays (LA, RGBA).

    Perceptual intent: what a gamut holds beyond sRGB is drawn in where the profile says how, else cut off.
    """
    from PIL import ImageCms

    *bands, last = image.split()
    colours = image if image.mode not in ("LA", "RGBA") else Image.merge(image.mode[:-1], bands)
    # LittleCMS turns the way from grey into a table of few points, 8 levels off in the dark of a linear picture
    flags = ImageCms.Flags.NOOPTIMIZE if colours.mode == "L" else ImageCms.Flags.NONE
    transform = ImageCms.buildTransform(_opened(profile), _srgb(), colours.mode, "RGB", flags=flags)
    converted = ImageCms.applyTransform(colours, transform)
    assert converted is not None, "only a transform in place returns nothing"
    return converted if colours is image else Image.merge("RGBA", (*converted.split(), last))


def of_png(info: dict, channels: int) -> bytes | None:
    """The profile that a PNG's chunks gAMA and cHRM stand for, None where they say sRGB or nothing.

    `info`: Pillow's. Its chunks iCCP and sRGB come before, as the standard has it.
    """
    gamma, primaries = info.get("gamma"), info.get("chromaticity")
    if info.get("icc_profile") or "srgb" in info or not gamma:
        return None
    given = SRGB_PRIMARIES if primaries is None or channels == 1 else tuple(zip(*[iter(primaries)] * 2, strict=True))
    usual = np.allclose(given, SRGB_PRIMARIES, atol=2e-3)
    if usual and abs(gamma * SRGB_GAMMA - 1) < 0.02:
        return None
    return grey_profile(1 / gamma) if channels == 1 else matrix_profile(given, 1 / gamma)


def matrix_profile(primaries: tuple[Chromaticity, ...], gamma: float) -> bytes:
    """An ICC profile (version 2) of RGB with white, red, green and blue at these x, y and values to the power of `gamma`."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    white, tristimulus = columns[:, 0], columns[:, 1:]
    adapt = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD
    colourants = adapt @ (tristimulus * np.linalg.solve(tristimulus, white))
    tags = {f"{c}XYZ".encode(): _xyz(colourants[:, i]) for i, c in enumerate("rgb")}
    return _profile(b"RGB ", tags | {f"{c}TRC".encode(): _curve(gamma) for c in "rgb"})


def grey_profile(gamma: float) -> bytes:
    """An ICC profile (version 2) of grey values to the power of `gamma`."""
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


def _profile(kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"gridless: what the chunk gAMA says\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + b"CC0\0", b"wtpt": _xyz(np.array(_D50)), **tags}
    table, bodies, at = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, body in tags.items():
        table += tag + struct.pack(">II", at + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    header = struct.pack(">I4sI4s4s4s", at + len(bodies), bytes(4), 0x02400000, b"mntr", kind, b"XYZ ")
    header += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _xyz(np.array(_D50))[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + bodies


def _xyz(values: Float[np.ndarray, " 3"]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(v) * 65536) for v in values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, max(1, min(65535, round(gamma * 256))))


def _opened(profile: bytes) -> Any:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


@cache
def _srgb() -> Any:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
