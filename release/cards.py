"""The cards of the weights that ship say what a user must know: what it is, data, terms, training, figures, limits, size."""

import json
import re
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path

WEIGHTS = Path(__file__).parents[1] / "src" / "gridless" / "weights"
NEEDED = {
    "its licence in the front matter": r"\A---\n(?:.*\n)*?license: \S+\n(?:.*\n)*?---\n",
    "a Python example": r"```python\n(?:.*\n)*?.*from_pretrained\(",
    "**Data.**": r"^\*\*Data\.\*\*",
    "**Training.** with its command": r"^\*\*Training\.\*\*[^`]*`gridless train ",
    "the commit": r"\bcommit(?:ted\s+with)?\s+[0-9a-f]{7}\b",
    "**Results.** with figures": r"^\*\*Results\.?\*\*[^\n]*(?:\n[^\n]+)*?\d\.\d",
    "**What is wrong with it**": r"^\*\*What is wrong with it",
}
BUFFERS = 0.01  # of the numbers in a file, at most, that are no parameters


def folders() -> list[Path]:
    return sorted(path.parent for path in WEIGHTS.glob("*/config.json"))


def complaints() -> list[str]:
    return [f"weights/{folder.name}/README.md: {what}" for folder in folders() for what in lacking(folder)]


def lacking(folder: Path) -> Iterator[str]:
    """What a card does not say, or says otherwise than its weights."""
    card, weights = folder / "README.md", folder / "model.safetensors"
    if not card.is_file():
        yield "there is no card"
        return
    text = card.read_text(encoding="utf-8")
    yield from (f"lacks {what}" for what, pattern in NEEDED.items() if not re.search(pattern, text, re.M))
    if re.search(r"^license: other$", text, re.M) and "**Terms.**" not in text:
        yield "lacks **Terms.**, which the licence `other` needs"
    size = f"{weights.stat().st_size / 1e6:.1f} MB"
    if size not in text:
        yield f"does not say its size, {size}"
    held, said = numbers(weights), re.search(r"\b([\d,]+) parameters", text)
    if said is None or abs(int(said[1].replace(",", "")) / held - 1) > BUFFERS:
        yield f"does not say its parameters, of {held:,} numbers in the file"


def numbers(weights: Path) -> int:
    """That a safetensors file holds, parameters and buffers."""
    with open(weights, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
