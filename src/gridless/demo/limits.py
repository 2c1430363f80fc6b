"""How much one visitor may ask of a small machine that several use at once. Every refusal is one line."""

from pathlib import Path

UPLOAD_BYTES = 20_000_000
PICTURE_PIXELS = 16_000_000  # that are looked at, window by window
FILE_PIXELS = 1_500_000  # of a picture that is enlarged whole: about 35 s of one core
ENLARGED_PIXELS = 24_000_000
READINGS = 400  # kriging solves a system of so many unknowns, about 2 s
TABLE_BYTES = 2_000_000
TABLE_COLUMNS = 200
TEMPLATE_CELLS = 250_000
TEMPLATE_VALUES = 20_000_000  # of a variable, which a small file can announce
LARGEST = 1e15  # of a number that is typed


def check_bytes(path: Path, most: int = UPLOAD_BYTES) -> None:
    """Raises ValueError for a file that is larger."""
    size = path.stat().st_size
    if size > most:
        raise ValueError(
            f"{path.name} has {size / 1e6:.1f} MB, this page takes up to {most / 1e6:g}; "
            "give a smaller file, or use the command line"
        )


def check_enlarged(name: str, size: tuple[int, int], shape: tuple[int, int], scale: float) -> None:
    """Raises ValueError for a picture of `size` (H W) that this page does not enlarge to `shape`."""
    pixels, asked = size[0] * size[1], shape[0] * shape[1]
    advice = f"`gridless predict photo {name} --scale {scale:g} -o big.png` makes it on your own machine"
    if pixels > FILE_PIXELS:
        raise ValueError(
            f"{name} has {pixels:,} pixels, this page enlarges pictures of up to {FILE_PIXELS:,} as a whole; {advice}"
        )
    if asked > ENLARGED_PIXELS:
        raise ValueError(
            f"×{scale:g} of {name} has {asked:,} pixels, this page makes up to {ENLARGED_PIXELS:,}; "
            f"choose a smaller factor, or {advice}"
        )


def check_readings(count: int, model: str = "sensors") -> None:
    """Raises ValueError for more readings than this page takes."""
    if count > READINGS:
        raise ValueError(
            f"{count:,} readings, this page takes up to {READINGS}; leave some out, or use the command line: "
            f"`gridless predict {model} FILE …`"
        )
