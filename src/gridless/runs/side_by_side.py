"""Bicubic interpolation and an answer in one picture, side by side, with their names."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

from gridless.data.metadata import Metadata
from gridless.data.picture_writing import write_bands
from gridless.data.pictures import Photo, as_image, quantise_with_alpha

CANVAS_BYTES = 16  # of a pixel of the answer, at most: the answer, the interpolation, and both on one sheet
BEHIND = 128  # level behind what is transparent


class SideBySide:
    """Takes an answer part by part and is written when all is there; in 8 bits, floats from their least to their most."""

    def __init__(self, photo: Photo, size: tuple[int, int], about: Metadata):
        floats = photo.depth == 32
        finite = photo.values[np.isfinite(photo.values)] if floats else np.array([0.0, 1.0])
        self.low, self.high = float(finite.min()), float(finite.max())
        self.profile = Metadata(about.profile)
        alpha = None if photo.alpha is None else photo.alpha / (1 if floats else 2**photo.depth - 1)
        values = photo.values if alpha is None else np.concatenate([photo.values, alpha[..., None]], -1)
        self.bicubic = as_image(self._levels(values)).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        self.answer = np.empty((*size, values.shape[-1]), np.uint8)

    def record(self, part: tuple[slice, slice], values: Float32[np.ndarray, "h w C"]) -> None:
        """The answer to rows and columns, alpha last."""
        self.answer[part] = self._levels(values)

    def write(self, path: Path) -> None:
        """A PNG. Raises ImageError if it cannot be written."""
        pictures = {"bicubic": self.bicubic, "gridless": as_image(self.answer)}
        width, height = self.bicubic.size
        text = min(max(12, height // 30), max(12, width // 8), 96)
        head, gap = 2 * text, max(4, width // 100)
        sheet = Image.new("L" if self.answer.shape[-1] < 3 else "RGB", (2 * width + gap, height + head), "white")
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(text)
        for number, (name, picture) in enumerate(pictures.items()):
            left = number * (width + gap)
            draw.text((left + text // 2, text // 3), name, fill="black", font=font)
            ground = Image.new(sheet.mode, picture.size, BEHIND if sheet.mode == "L" else (BEHIND,) * 3)
            veiled = picture.mode in ("LA", "RGBA")
            ground.paste(picture.convert(sheet.mode), mask=picture.getchannel("A") if veiled else None)
            sheet.paste(ground, (left, head))
        samples = np.asarray(sheet)
        samples = samples[..., None] if samples.ndim == 2 else samples
        write_bands(path, ".png", samples.shape, [samples], about=self.profile)

    def _levels(self, values: np.ndarray) -> UInt8[np.ndarray, "h w C"]:
        colours, rest = (values, None) if values.shape[-1] % 2 else (values[..., :-1], values[..., -1:])
        colours = np.nan_to_num((colours - self.low) / ((self.high - self.low) or 1.0))
        return quantise_with_alpha(colours if rest is None else np.concatenate([colours, rest], -1))
