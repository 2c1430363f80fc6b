"""results.csv: its columns, written and read, and summarised into tables.

One row per image, scale, model and metric. A table is the mean over images per model and scale, with the gain over a
reference paired per image.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gridless.files import replacing
from gridless.scoring.statistics import estimate_mean

TAGS = ("scale", "sensors", "noise", "lead")
"""What a question is about, blank where it does not apply: how much finer a grid is asked than seen, how many readings a
field was recovered from, their noise, and how many frames after the last one that was seen is asked."""
NEEDED = ("model", "task", "data", "split", "image", "scale", "metric", "value", "params", "train_seconds", "seed")
COLUMNS = (*NEEDED, *(tag for tag in TAGS if tag not in NEEDED))
"""A file without some of the tags is read as one with blanks."""
CLASSICAL = (
    "nearest", "bilinear", "bicubic", "lanczos", "mean", "linear", "rbf", "idw", "gp", "kriging", "pod", "base", "oracle",
    "climatology", "idw-anomalies", "kriging-anomalies", "oi",
)  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """How a metric is written: `sign` +1 where higher is better, -1 where lower is, 0 where we do not know."""

    title: str
    unit: str
    digits: int
    sign: int

    @property
    def note(self) -> str:
        better = {1: "higher is better", -1: "lower is better", 0: ""}[self.sign]
        return ", ".join(part for part in (self.unit, better) if part)


METRICS = {
    "psnr": Metric("PSNR of the floats", "dB", 2, 1),
    "rmse": Metric("RMSE", "", 4, -1),
    "relative_l2": Metric("Relative L2 error", "", 4, -1),
    "skill": Metric("Skill against climatology", "1 − MSE / MSE of climatology", 3, 1),
    "r2": Metric("R²", "", 4, 1),
    "crps": Metric("CRPS", "", 4, -1),
    "coverage_50": Metric("Truth inside the 50 % interval", "", 3, 0),
    "coverage_90": Metric("Truth inside the 90 % interval", "", 3, 0),
    "floats_per_value": Metric("Latent floats kept per value", "", 2, -1),
    "psnr_rgb": Metric("PSNR of R, G, B", "dB", 2, 1),
    "psnr_y_shave": Metric("PSNR of luma, border shaved by the scale", "dB", 2, 1),
    "ssim": Metric("SSIM", "", 4, 1),
    "lr_consistency": Metric("Agreement with the input when made small again", "dB", 2, 1),
}


@dataclass(frozen=True)
class Cell:
    """Mean over `count` images; `gain` over the reference, paired per image, ± `margin`: half of the 95 % t-interval.

    gain is None without a shared image (and for the reference itself), margin is None with fewer than two.
    """

    mean: float
    count: int
    gain: float | None = None
    margin: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One model of a table; `cells` in the order of the table's scales, None where it was not evaluated."""

    label: str
    params: int | None
    trained: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Table:
    """One metric: models (baselines first) by scales."""

    metric: str
    scales: tuple[float | str, ...]
    lines: tuple[Line, ...]
    sensors: bool = False
    """The columns are counts of sensors."""

    @property
    def heads(self) -> tuple[str, ...]:
        """What stands over the columns."""
        return tuple(f"{scale:g} sensors" if self.sensors else f"×{scale_text(scale)}" for scale in self.scales)

    @property
    def count(self) -> int:
        """The images of the fullest cell; cells of fewer say so."""
        return max(cell.count for line in self.lines for cell in line.cells if cell)

    @property
    def style(self) -> Metric:
        return METRICS.get(self.metric, Metric(self.metric, "", 4, 0))


def headline(rows: Sequence[Mapping[str, Any]]) -> str:
    """The metric that comes first: the error in units where answers are held against a climatology; else the PSNR of the
    floats where there is one, which no rounding makes infinite."""
    metrics = {row["metric"] for row in rows}
    return "rmse" if "skill" in metrics else "psnr" if "psnr" in metrics else "psnr_rgb"


def grouped(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by what they are about, (task, data, split, noise) in words: means over different things are never mixed."""
    groups: dict[str, list] = {}
    for row in rows:
        noise = "" if row.get("noise") is None else f"noise {row['noise']:g}"
        groups.setdefault(", ".join(filter(None, (row["task"], row["data"], row["split"], noise))), []).append(row)
    return groups


def write_results(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """results.csv: whole or not at all, in UTF-8."""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        used = [c for c in COLUMNS if c in NEEDED or any(row.get(c) not in (None, "") for row in rows)]
        table = csv.DictWriter(file, used, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a results.csv: scale, value, train_seconds float; params, seed int (None where blank); else text.

    ValueError where the file is missing, lacks a column, holds no row, or a number cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file, expected the results of an evaluation; run `gridless eval {path.parent}` first"
        )
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in NEEDED if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path}: got no column {', '.join(missing)}; expected {','.join(NEEDED)}; evaluate the run again"
            )
        rows = [_typed(row, f"{path}, line {reader.line_num}") for row in reader]
    if not rows:
        raise ValueError(f"{path}: got no row, expected one per image, scale, model and metric; evaluate the run again")
    return rows


def summarise(rows: Iterable[Mapping[str, Any]], metric: str, reference: str | None = None) -> Table:
    """Mean over images per (model, scale), and the gain over `reference`, paired per image, with its 95 % t-interval.

    Of fields, the columns are counts of sensors instead of scales. The reference is bicubic, of fields kriging
    (gp where that was not asked).

    rows  as of read_results; "label", else "model", names the line; "run", where given, says whose reference is meant
    Several values of one image (seeds, or the same baseline in several runs) are averaged first: the image is the unit.
    """
    rows = [row for row in rows if row["metric"] == metric]
    sensors = any(row.get("sensors") is not None for row in rows)
    rows = [{**row, "scale": float(row["sensors"])} for row in rows] if sensors else rows
    kriged = any(row["model"] == "kriging" for row in rows)
    reference = reference or (("kriging" if kriged else "gp") if sensors else "bicubic")
    values: dict[tuple, dict[tuple, list[float]]] = {}
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        label = row.get("label", row["model"])
        first.setdefault(label, row)
        values.setdefault((label, row["scale"]), {}).setdefault(image_key(row), []).append(row["value"])
    references: dict[tuple, list[float]] = {}
    for row in rows:
        if row["model"] == reference:
            references.setdefault((row.get("run"), row["scale"], image_key(row)), []).append(row["value"])

    def cell(label: str, scale: float) -> Cell | None:
        images = {image: float(np.mean(scores)) for image, scores in values.get((label, scale), {}).items()}
        if not images:
            return None
        mean, count = float(np.mean(list(images.values()))), len(images)
        base = {image: references.get((first[label].get("run"), scale, image)) for image in images}
        gains = [value - float(np.mean(known)) for image, value in images.items() if (known := base[image])]
        if first[label]["model"] == reference or not np.isfinite(gains).all() or not gains:
            return Cell(mean, count)
        gain = estimate_mean(gains)
        return Cell(mean, count, gain.mean, gain.half_width)

    scales = tuple(sorted({row["scale"] for row in rows}, key=scale_order))
    labels = sorted(first, key=lambda label: is_trained(first[label]))  # stable: else as they come
    grid = {label: [cell(label, scale) for scale in scales] for label in labels}
    sign = METRICS[metric].sign if metric in METRICS else 0
    for i in range(len(scales) if sign else 0):
        column = [entry for row in grid.values() if (entry := row[i])]
        full = max(entry.count for entry in column)  # means over fewer images do not compete
        top = max(sign * entry.mean for entry in column if entry.count == full)
        for row in grid.values():
            entry = row[i]
            if entry and entry.count == full and sign * entry.mean == top:
                row[i] = replace(entry, best=True)
    lines = [Line(label, first[label]["params"], is_trained(first[label]), tuple(grid[label])) for label in labels]
    return Table(metric, scales, tuple(lines), sensors)


def number(value: float, digits: int, signed: bool = False) -> str:
    """A number with a fixed count of digits and a real minus sign, never −0; ∞, and a dash for what is not a number."""
    if math.isnan(value):
        return "–"
    text = f"{abs(value):.{digits}f}".replace("inf", "∞")
    minus = value < 0 and text.strip("0.") != ""
    return ("−" if minus else "+" if signed else "") + text


def scale_text(scale: float | str) -> str:
    """A scale as one reads it: 2, 3.7, or 1×1×2 with a factor per axis."""
    return scale if isinstance(scale, str) else f"{scale:g}"


def scale_order(scale: float | str) -> tuple[float, ...]:
    """Scales from small to large."""
    return tuple(map(float, scale.split("×"))) if isinstance(scale, str) else (scale,)


def is_trained(row: Mapping[str, Any]) -> bool:
    return row["params"] != 0 and row["model"] not in CLASSICAL


def image_key(row: Mapping[str, Any]) -> tuple:
    return row["task"], row["data"], row["split"], row["image"], row.get("sensors"), row.get("noise")


def _typed(row: Mapping[str, str], where: str) -> dict[str, Any]:
    entries = {**dict.fromkeys(TAGS, ""), **row}

    def cast(column: str, kind: type, needed: bool = False) -> Any:
        text = (entries[column] or "").strip()
        try:
            return kind(float(text)) if text or needed else None
        except (ValueError, OverflowError):
            raise ValueError(f"{where}: got {column} {text!r}, expected a number; evaluate the run again") from None

    numbers = {"sensors": cast("sensors", int), "noise": cast("noise", float), "seed": cast("seed", int)}
    several = "×" in (entries["scale"] or "")  # one factor per axis
    scale = entries["scale"] if several else cast("scale", float, numbers["sensors"] is None)
    numbers |= {"scale": scale, "value": cast("value", float, True)}
    return {**entries, **numbers, "params": cast("params", int), "train_seconds": cast("train_seconds", float)}


def plain_table(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """`cells` for a terminal, in columns."""
    lines = cells(rows, metric)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def markdown_table(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """`cells` as a Markdown table."""
    head, *body = cells(rows, metric)
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(rows: Sequence[Mapping[str, Any]], metric: str) -> list[list[str]]:
    """A metric's means, models by scales, with the gain over bicubic where a model was trained; the head first."""
    table = summarise(rows, metric)
    digits = table.style.digits
    note = f" ({table.style.note})" if table.style.note else ""
    out = [[f"{table.style.title}{note}", *table.heads]]
    for line in table.lines:
        means = [number(c.mean, digits) if c else "–" for c in line.cells]
        gains = [
            f" ({number(c.gain, digits, True)})" if line.trained and c and c.gain is not None else ""
            for c in line.cells
        ]
        out.append([line.label, *(mean + gain for mean, gain in zip(means, gains, strict=True))])
    return out
