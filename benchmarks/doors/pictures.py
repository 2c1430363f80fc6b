"""Pictures: PNG, JPEG, TIFF, WebP, GIF and others."""

import io
import os
import random
from functools import cache
from pathlib import Path
from typing import Any

import damage
import numpy as np
from doors.door import Case, given
from PIL import Image, ImageCms

import gridless as gl


@cache
def pictures() -> dict[str, bytes]:
    """Small valid pictures of every format, depth, palette and kind of metadata, by the suffix they have."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    rgba, grey = Image.fromarray(rng.integers(0, 255, (12, 16, 4), dtype=np.uint8)), rgb.convert("L")
    deep = Image.fromarray(rng.integers(0, 65535, (12, 16), dtype=np.uint16))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "Maker", "2024:01:01 00:00:00"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:01 00:00:00"
    about: dict[str, Any] = {"icc_profile": icc, "exif": exif.tobytes()}
    frames = [rgb.convert("P"), rgb.rotate(90).resize((16, 12)).convert("P")]

    def saved(image: Image.Image, format: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        return buffer.getvalue()

    return {
        "rgb.png": saved(rgb, "PNG", **about),
        "rgba.png": saved(rgba, "PNG"),
        "deep.png": saved(deep, "PNG"),
        "palette.png": saved(rgb.convert("P"), "PNG", transparency=3),
        "one.png": saved(rgb.convert("1"), "PNG"),
        "grey.png": saved(grey, "PNG", transparency=7),
        "rgb.jpg": saved(rgb, "JPEG", **about),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True, restart_marker_rows=1),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG"),
        "grey.jpg": saved(grey, "JPEG", exif=exif.tobytes()),
        "rgb.tif": saved(rgb, "TIFF", icc_profile=icc, exif=exif),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "deep.tif": saved(deep, "TIFF"),
        "float.tif": saved(Image.fromarray(rng.random((12, 16), np.float32)), "TIFF"),
        "pages.tif": saved(rgb, "TIFF", save_all=True, append_images=[rgb]),
        "rgb.webp": saved(rgb, "WEBP", lossless=True, **about),
        "lossy.webp": saved(rgba, "WEBP", quality=80),
        "rgb.gif": saved(frames[0], "GIF"),
        "frames.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50),
        "rgb.bmp": saved(rgb, "BMP"),
        "rgb.avif": saved(rgb, "AVIF"),
    }


STRUCTURES = {".png": damage.damaged_png, ".jpg": damage.damaged_jpeg, ".tif": damage.damaged_tiff}
NAMES = ("in", "a b", "a\nb", "..\\..\\out", "ü", "%2e%2e%2fx", "x" * 240, "\udcff", "-o", "in.tar", ".hidden")


def _picture(rng: random.Random) -> tuple[str, str]:
    """A damaged picture in the present folder: what was done, and its name."""
    valid = pictures()
    which = rng.choice(list(valid))
    suffix = Path(which).suffix
    change = STRUCTURES.get(suffix, damage.damaged) if rng.random() < 0.5 else damage.damaged
    if change is damage.damaged:
        how, data = damage.damaged(valid[which], rng, tuple(valid.values()))
    else:
        how, data = change(valid[which], rng)
    stem = rng.choice(NAMES) if rng.random() < 0.2 else "in"
    suffix = rng.choice((suffix, suffix, suffix, suffix, ".png", ".jpg", ".tif", ".gif"))
    return how, given(stem + suffix, data)


def predict_picture(rng: random.Random) -> Case:
    how, name = _picture(rng)
    given = f"./{name}" if name.startswith("-") else name
    out = rng.choice(("out.png", "out.png", "out.jpg", "out.tif", "out.webp"))
    argv = ("predict", "photo", given, "--scale", "1.5", "-o", out)
    if rng.random() < 0.15:
        return Case(f"{how}, all frames", (*argv, "--all-frames"), outputs=(out, "out-1.*", "out-2.*"))
    if rng.random() < 0.1:
        Path("pictures").mkdir()
        os.rename(name, Path("pictures", name))
        return Case(
            f"{how}, a folder", ("predict", "photo", "pictures", "--scale", "1.5", "-o", "outs"), None, ("outs/*",)
        )
    return Case(how, argv, outputs=(out,))


def read_picture(rng: random.Random) -> Case:
    how, name = _picture(rng)
    return Case(how, call=lambda: gl.read(name), about="gl.read")
