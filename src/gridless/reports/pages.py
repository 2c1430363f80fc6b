"""What pages share: templates, pictures inside them, the facts of a run, and files that are whole or not there."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridless.files import write_bytes
from gridless.scoring.results import number

FACTS = {
    "model": "Model", "params": "Parameters", "steps": "Steps",
    "train_seconds": "Training time", "seed": "Seed", "commit": "Commit", "started": "Started", "backend": "Backend",
    "hardware": "Hardware", "versions": "Versions", "train": "Settings",
}  # fmt: skip


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page from one of the templates."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as missing:
        raise ImportError(f"report needs jinja2 ({missing}); pip install 'gridless[eval]'") from missing
    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    return environment.get_template(template).render(values)


def embed(picture: bytes) -> str:
    """A PNG or WebP as an address that a page can carry inside itself."""
    kind = "webp" if picture[8:12] == b"WEBP" else "png"
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode()


def fact_lines(key: str, value: Any) -> list[str]:
    """The lines of one cell of the facts."""
    if isinstance(value, Mapping):
        return [f"{name.replace('_', ' ')}: {', '.join(fact_lines('', inner))}" for name, inner in value.items()] or [
            "–"
        ]
    if value is None or value == "":
        return ["–"]
    if key == "train_seconds":
        return [f"{value:.1f} s" + (f" ({value / 60:.1f} min)" if value >= 120 else "")]
    return [f"{value:,}" if key in ("params", "steps") else str(value)]


def write_file(file: Path, data: bytes) -> None:
    """Whole or not at all."""
    write_bytes(file, data)
