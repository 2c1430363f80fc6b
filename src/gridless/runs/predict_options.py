"""What `gridless predict` can be asked for beside a model and pictures."""

from dataclasses import dataclass
from math import isfinite

from gridless.coords import scaled
from gridless.data.picture_writing import FORMATS
from gridless.data.pictures import ImageError

SCALE = 4.0


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """One of `scale`, `width`, `height` and `long_side` says how large an answer is (×4 if none does)."""

    scale: float | None = None
    """Of width and height; need not be whole."""
    width: int | None = None
    """Pixels; the height follows, as the width follows from a height."""
    height: int | None = None
    long_side: int | None = None
    format: str | None = None
    """Suffix of the files written, without a dot; else that of the output, or in a folder that of the input."""
    quality: int | None = None
    """1 … 100, of JPEG (95 if None) and WebP (lossless if None)."""
    best: bool = False
    """The mean answer of the picture turned and mirrored in all eight ways."""
    exact: bool = False
    """The network computes in single precision; else in bf16 where the machine does."""
    compare: bool = False
    """Also a picture of bicubic interpolation and the answer side by side."""
    tile_wrap: bool = False
    """The picture repeats along both axes."""
    all_frames: bool = False
    """Of animations and TIFFs of several pages, every one to a numbered file."""
    strip: bool = False
    """Write no EXIF, XMP and resolution; the colour profile stays."""
    overwrite: bool = False
    """The output may be the input."""

    def __post_init__(self):
        given = {
            name: value
            for name in ("scale", "width", "height", "long_side")
            if (value := getattr(self, name)) is not None
        }
        if len(given) > 1:
            named = ", ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in given.items())
            raise ImageError(f"the size of an answer follows from one number, got {named}; leave out all but one")
        for name, value in given.items():
            if not (isfinite(value) and value > 0):
                raise ImageError(f"{name.replace('_', '-')} must be a positive number, got {value:g}")
        if self.format is not None and self.suffix not in FORMATS:
            raise ImageError(f"--format is {self.format!r}, expected one of {' '.join(name[1:] for name in FORMATS)}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ImageError(f"--quality is {self.quality}, expected 1 … 100")

    @property
    def suffix(self) -> str | None:
        """Of `format`, with its dot."""
        return None if self.format is None else f".{self.format.lower().removeprefix('.')}"

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the answer to a picture of these."""
        if self.width is not None:
            return max(1, round(height * self.width / width)), self.width
        if self.height is not None:
            return self.height, max(1, round(width * self.height / height))
        if self.long_side is not None:
            factor = self.long_side / max(height, width)
            return max(1, round(height * factor)), max(1, round(width * factor))
        rows, columns = scaled((height, width), SCALE if self.scale is None else self.scale)
        return rows, columns

    def check_quality(self, suffix: str) -> None:
        """Raises ImageError for a quality of a format that loses nothing."""
        if self.quality is not None and suffix in FORMATS and not FORMATS[suffix].lossy:
            lossy = " and ".join(name for name, format in FORMATS.items() if format.lossy and name != ".jpeg")
            raise ImageError(f"--quality is for {lossy}, {suffix} loses nothing; leave it out")
