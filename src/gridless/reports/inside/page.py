"""The page `gridless report --inside` writes.

run -> model, recipe, test pictures -> Exhibits -> one Section for each question -> inside.html, .md, .json, *.png
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gridless import config as c
from gridless.config.errors import ConfigError
from gridless.data import cifar10_labels
from gridless.data.cropping import grid_signal
from gridless.data.signals import Signal
from gridless.model import FieldModel
from gridless.reports.inside import sections as s
from gridless.reports.inside.exhibits import asked, choose
from gridless.reports.pages import FACTS, embed, fact_lines, render, write_file
from gridless.samples import Samples
from gridless.training.loading import load_data, load_run

PICTURES = 3  # of the test split, the first ones


def report_inside(
    run: str | Path, output: str | Path | None = None, labels: Sequence | np.ndarray | None = None
) -> Path:
    """Writes inside.html, inside.md, inside.json and the pictures into `output` (RUN/inside if None) and returns it.

    labels  one for each picture of the run's test split, CIFAR-10's own if None; with them the latents are probed
    ValueError where the run is not finished, its model does not answer colour pictures, or labels are too few.
    """
    model, recipe, facts = load_run(run)
    signal = recipe.model.signal
    if (signal.axes, signal.channels) != (2, 3):
        got = f"{signal.axes} axes and {signal.channels} channels"
        raise ConfigError(f"{run}: got a model of {got}, --inside draws colour pictures: 2 axes, 3 channels")
    pictures = load_data(recipe.data, "test")
    if labels is None and recipe.data.kind == "cifar10" and recipe.data.path is not None:
        labels = cifar10_labels(recipe.data.path, "test")[: recipe.data.held_out]
    if labels is not None and len(labels) != len(pictures):
        raise ValueError(f"expected one label for each of {len(pictures)} test pictures, got {len(labels)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        untrained = FieldModel(recipe.model)
    exhibits = choose(pictures[:PICTURES], recipe, model.decoder.joint)
    sections = [
        s.attention_section(model, exhibits),
        s.tokens_section(untrained, model),
        *s.modulation_sections(model, exhibits),
        s.neighbours_section(model, exhibits),
        s.spectra_section(model, exhibits),
        s.jitter_section(model, exhibits),
        s.probe_section(model, None if labels is None else middles(pictures, recipe), labels),
    ]
    size = "×".join(map(str, exhibits.windows[0].samples.grid_shape))
    page = {
        "title": f"Looking inside {model.name}",
        "lead": f"A model of {model.parameter_count():,} parameters after {facts.get('steps', 0):,} training steps, "
        f"looked at on pictures that it has not seen: {', '.join(case.name for case in exhibits.windows)}. Of each, the "
        f"window of {size} samples with most detail is asked at ×{exhibits.scale:g}.",
        "sections": [
            asdict(section) | {"file": f"{section.name}.png", "width": _width(section.picture)} for section in sections
        ],
        "facts": [(name, fact_lines(key, facts.get(key))) for key, name in FACTS.items() if facts.get(key) is not None],
    }
    output = Path(run, "inside") if output is None else Path(output)
    output.mkdir(parents=True, exist_ok=True)
    drawn = {f"{section.name}.png": section.picture for section in sections if section.picture}
    for file, data in drawn.items():
        write_file(output / file, data)
    numbers = {section.name: section.numbers or {"left_out": section.reason} for section in sections}
    write_file(output / "inside.json", (json.dumps(_plain(numbers), allow_nan=False) + "\n").encode())
    write_file(output / "inside.md", _markdown(page).encode())
    page["pictures"] = {file: embed(data) for file, data in drawn.items()}
    write_file(output / "inside.html", render("inside.html.j2", page).encode())
    return output


def middles(pictures: Sequence[Signal], recipe: c.Recipe) -> list[Samples]:
    """Of every picture, as it is seen, the middle window."""
    window, out = min(recipe.model.signal.windows), []
    for picture in pictures:
        seen = asked(grid_signal(picture), recipe).samples
        y, x = (max(0, (n - window) // 2) for n in seen.grid_shape)
        out.append(Samples.from_grid(seen.on_grid()[:, y : y + window, x : x + window]))
    return out


def _width(picture: bytes | None) -> int:
    """Of a picture on the page, CSS pixels: it is drawn at 150 dots an inch and shown at 113."""
    return 0 if picture is None else round(Image.open(BytesIO(picture)).width * 0.754)


def _plain(value: Any) -> Any:
    """Plain JSON: numbers to five digits, null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value


def _markdown(page: Mapping[str, Any]) -> str:
    parts = [f"# {page['title']}", page["lead"]]
    for section in page["sections"]:
        parts.append(f"## {section['title']}")
        if section["picture"]:
            parts += [f"![{section['title']}]({section['file']})", *section["caption"], section["finding"]]
        else:
            parts.append(f"Left out. {section['reason']}")
    facts = [f"| {name} | {'<br>'.join(lines)} |" for name, lines in page["facts"]]
    return "\n\n".join([*parts, "## Run facts", "\n".join(["| | |", "| :--- | :--- |", *facts])]) + "\n"
