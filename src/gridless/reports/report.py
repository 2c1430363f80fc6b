"""Reports: run folders in, one self-contained HTML page, the same in Markdown, and one CSV out.

    run folders -> Run (facts, curve, rows) -> summarise -> Table -> page (plain values) -> report.html, report.md

A run folder holds results.csv and, where training and evaluation wrote them, run.json, metrics.jsonl and
predictions/IMAGE/xSCALE/{input,truth,MODEL...}.png. What is missing is left out; only results.csv must be there.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from gridless.reports import plots
from gridless.reports.lead_curves import lead_curves
from gridless.reports.methods import words_of
from gridless.reports.pages import FACTS, embed, fact_lines, render, write_file
from gridless.scoring.results import (
    CLASSICAL,
    COLUMNS,
    METRICS,
    Cell,
    Line,
    Table,
    grouped,
    headline,
    image_key,
    is_trained,
    number,
    read_results,
    scale_text,
    summarise,
    write_results,
)

PHOTOS = 24  # at most so many photos are pictured, the first ones: a page must stay small enough to send


@dataclass(frozen=True)
class Run:
    """One run folder, read: `facts` is run.json, `curve` the lines of metrics.jsonl, `rows` those of results.csv."""

    name: str
    folder: Path
    facts: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]


def report(runs: Sequence[str | Path] | Sequence[Mapping[str, Any]], output: str | Path) -> Path:
    """Writes report.html, report.md, strips/*.png and results.csv into `output` and returns it.

    runs    the rows of `evaluate`, or run folders, each with a results.csv; models of one name in several runs are told
            apart by the folder's name
    output  a folder, made where missing; it may be one of the runs, whose results.csv then stays as it is
    ValueError where no run is given, a folder or its results.csv is missing, or a file in it cannot be read.
    """
    rows = [run for run in runs if isinstance(run, Mapping)]
    if rows:
        Path(output).mkdir(parents=True, exist_ok=True)
        write_results(rows, Path(output, "results.csv"))
    paths = [output] if rows else [run for run in runs if not isinstance(run, Mapping)]
    folders = list(dict.fromkeys(Path(run).resolve() for run in paths))
    if not folders:
        raise ValueError(
            "report: got no run, expected at least one run folder; name one, e.g. `gridless report runs/photos`"
        )
    read = _labelled([_read_run(folder, name) for folder, name in zip(folders, _names(folders), strict=True)])
    output = Path(output)
    (output / "strips").mkdir(parents=True, exist_ok=True)

    page, pictures = _page(read)
    for file, data in pictures.items():
        write_file(output / file, data)
    embedded = {file: embed(data) for file, data in pictures.items()}
    write_file(output / "report.html", render("report.html.j2", page | {"pictures": embedded}).encode())
    write_file(output / "report.md", _markdown(page).encode())
    if output.resolve() not in folders:
        write_file(output / "results.csv", _concatenated(read).encode())
    return output


def _read_run(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder, expected a run folder; train one and `gridless eval` it first")
    rows = read_results(folder / "results.csv")
    facts, curve = {}, {}
    if (folder / "run.json").is_file():
        try:
            facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except ValueError as broken:
            raise ValueError(
                f"{folder / 'run.json'}: got text that is not JSON ({broken}); mend or remove it"
            ) from broken
        if not isinstance(facts, dict):
            raise ValueError(
                f"{folder / 'run.json'}: got a {type(facts).__name__}, expected an object; mend or remove it"
            )
    if (folder / "metrics.jsonl").is_file():
        for text in (folder / "metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # cut off when the run was stopped
            # A resumed run repeats steps: what came last holds.
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                curve.setdefault(line["step"], {}).update(line)
    return Run(name, folder, facts, [curve[step] for step in sorted(curve)], [row | {"run": name} for row in rows])


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, as many of their parents before them as tell them apart."""
    depth = 1
    while len({folder.parts[-depth:] for folder in folders}) < len(folders):
        depth += 1
    return ["/".join(folder.parts[-depth:]) for folder in folders]


def _labelled(runs: Sequence[Run]) -> list[Run]:
    """Gives every row a "label": the model's name, with the run's where two runs mean different things by it.

    A trained model of a name is another one in every run. A baseline is one for all, unless runs disagree on a value.
    """
    holders = Counter(name for run in runs for name in {row["model"] for row in run.rows})
    apart = {row["model"] for run in runs for row in run.rows if is_trained(row) and holders[row["model"]] > 1}
    seen: dict[tuple, tuple[str, float]] = {}
    for row in (row for run in runs for row in run.rows):
        run, value = seen.setdefault(
            (row["model"], row["metric"], row["scale"], image_key(row)), (row["run"], row["value"])
        )
        if run != row["run"] and not math.isclose(value, row["value"], rel_tol=1e-4, abs_tol=1e-6):
            apart.add(row["model"])

    def label(row: Mapping[str, Any]) -> str:
        return f"{row['model']} ({row['run']})" if row["model"] in apart else row["model"]

    return [replace(run, rows=[{**row, "label": label(row)} for row in run.rows]) for run in runs]


def _page(runs: Sequence[Run]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Everything the page says, as plain values, and its pictures: file name -> PNG bytes."""
    rows = [row for run in runs for row in run.rows]
    titles = [_title(run) for run in runs]
    photos, pictures = [], {}
    words = words_of(rows)
    names = dict.fromkeys(row["image"] for row in rows if row.get("sensors") is None and row.get("lead") is None)
    pictured = [name for name in names if any((run.folder / "predictions" / name).is_dir() for run in runs)]
    for name in names:
        strips = []
        for scale, note, strip in _strips(runs, name) if name in pictured[:PHOTOS] else ():
            slug = re.sub(r"[^\w.-]+", "-", f"{name}-x{scale_text(scale)}{note}").strip("-")
            file = next(f for f in (f"strips/{slug}{n}.png" for n in ("", *range(2, 999))) if f not in pictures)
            pictures[file] = plots.png(strip)
            strips.append(
                {
                    "file": file,
                    "alt": f"{name}, ×{scale_text(scale)}{note}",
                    "width": strip.width,
                    "height": strip.height,
                }
            )
        photos.append({"name": name, "strips": strips, "groups": _groups([r for r in rows if r["image"] == name])})
    shown = []
    for run, title in zip(runs, titles, strict=True):
        for file in sorted(each for each in (run.folder / "fields").glob("*.*") if each.suffix in (".png", ".webp")):
            slug = re.sub(r"[^\w.-]+", "-", run.name)
            name = f"strips/{slug}-{file.name}"
            pictures[name] = file.read_bytes()
            with Image.open(file) as picture:
                size = {"width": picture.width, "height": picture.height}
            shown.append({"file": name, "alt": f"{file.stem}, {title}", **size})
    curve = plots.training_curve({title: run.curve for title, run in zip(titles, runs, strict=True)})
    if curve:
        pictures["strips/training.png"] = curve
    leads = lead_curves(rows)
    if leads:
        pictures["strips/leads.png"] = leads
    ours = ("base", "oracle")  # a part of the model, and no fair baseline
    usual = ", ".join(dict.fromkeys(r["label"] for r in rows if not is_trained(r) and r["label"] not in ours))
    page = {
        "title": words.title,
        "lead": words.lead + (f", beside what people use today: {usual}." if usual else "."),
        "reference": words.reference,
        "method": words.method,
        "leads": "strips/leads.png" if leads else None,
        "groups": _groups(rows),
        "photos": photos,
        "fields": shown,
        "pictured": (min(len(pictured), PHOTOS), len(names)),
        "curve": "strips/training.png" if curve else None,
        "runs": titles,
        "facts": [
            (name, [fact_lines(key, run.facts.get(key)) for run in runs])
            for key, name in FACTS.items()
            if key != "train" or any(run.facts.get(key) for run in runs)
        ],
    }
    return page, pictures


def _title(run: Run) -> str:
    """The label of the run's trained model, which no other run has, or the run's own name."""
    return next((row["label"] for row in run.rows if is_trained(row)), f"run {run.name}")


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One group of tables for each (task, data, split): means over different things are never mixed."""
    order = list(METRICS)
    result = []
    for caption, members in grouped(rows).items():
        metrics = dict.fromkeys(row["metric"] for row in members)
        first = headline(members)
        known = sorted(metrics, key=lambda m: (m != first, order.index(m) if m in order else len(order)))
        result.append({"caption": caption, "tables": [summarise(members, m) for m in known]})
    return result


def _strips(runs: Sequence[Run], name: str) -> Iterable[tuple[float, str, Image.Image]]:
    """(scale, note, strip) of a photo; runs that answered the same question about the same truth share a strip."""
    entries: dict[tuple, dict[str, Any]] = {}
    for run in runs:
        labels = {row["model"]: row["label"] for row in run.rows}
        for folder in (run.folder / "predictions" / name).glob("x*"):
            files = {file.stem: file for file in sorted(folder.glob("*.png"))}
            if not re.fullmatch(r"x\d+(\.\d+)?", folder.name) or not {"input", "truth"} <= set(files):
                continue
            low, truth = _picture(files.pop("input")), _picture(files.pop("truth"))
            key = (float(folder.name[1:]), truth.size, low.size, truth.tobytes(), low.tobytes())
            entry = entries.setdefault(key, {"low": low, "truth": truth, "run": run.name, "shown": {}})
            chosen = sorted(
                (stem for stem in files if stem == "bicubic" or stem not in CLASSICAL), key="bicubic".__ne__
            )
            for stem in chosen:
                entry["shown"].setdefault(labels.get(stem, stem), _picture(files[stem]))
    scales = Counter(key[0] for key in entries)
    for (scale, *_), entry in sorted(entries.items(), key=lambda item: item[0][0]):
        note = f", {entry['run']}" if scales[scale] > 1 else ""
        if entry["shown"]:
            # strip() takes the first prediction as reference where a bicubic told apart has a label of its own.
            yield scale, note, plots.strip(entry["low"], entry["truth"], entry["shown"], f"×{scale:g}{note}")


def _picture(file: Path) -> Image.Image:
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except OSError as broken:
        raise ValueError(f"{file}: got something that is no picture ({broken}); evaluate the run again") from broken


def _concatenated(runs: Sequence[Run]) -> str:
    """The rows of all runs as CSV, the run's name as a last column: models of one name stay apart."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [*COLUMNS, "run"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for run in runs for row in run.rows)
    return out.getvalue()


def _markdown(page: Mapping[str, Any]) -> str:
    """The page in Markdown: the same tables, the pictures as files beside it."""

    def plain(text: str) -> str:
        return escape(re.sub(r"([\\`*_\[\]|#])", r"\\\1", " ".join(text.split())), quote=False)

    def grid(head: Sequence[str], body: Iterable[Sequence[str]], align: str) -> str:
        lines = [head, [":---"] + [align] * (len(head) - 1), *body]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def written(cell: Cell | None, line: Line, table: Table) -> str:
        if cell is None:
            return "–"
        digits = table.style.digits
        text = f"**{number(cell.mean, digits)}**" if cell.best else number(cell.mean, digits)
        if line.trained and cell.gain is not None:
            margin = f" ± {number(cell.margin, digits)}" if cell.margin is not None else ""
            text += f" ({number(cell.gain, digits, signed=True)}{margin})"
        return text + (f" [{cell.count} of {table.count}]" if cell.count < table.count else "")

    def tables(groups: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for group in groups:
            for table in group["tables"]:
                many = f"mean over {table.count} images" if table.count > 1 else ""
                note = ", ".join(filter(None, [table.style.note, group["caption"], many]))
                yield f"**{plain(table.style.title)}** ({plain(note)})"
                head = ["model", "parameters", *table.heads]
                body = (
                    [
                        plain(line.label),
                        *fact_lines("params", line.params),
                        *(written(cell, line, table) for cell in line.cells),
                    ]
                    for line in table.lines
                )
                yield grid(head, body, "---:")

    parts = [f"# {page['title']}", plain(page["lead"]), *tables(page["groups"])]
    parts += ["## Against the lead", f"![scores against the lead]({page['leads']})"] if page["leads"] else []
    parts += ["## Window by window" if page["leads"] else "## Field by field"] if page["fields"] else []
    parts += [f"![{plain(strip['alt'])}]({strip['file']})" for strip in page["fields"]]
    parts += ["## Photo by photo"] if page["photos"] else []
    for photo in page["photos"]:
        parts.append(f"### {plain(photo['name'])}")
        parts += [f"![{plain(strip['alt'])}]({strip['file']})" for strip in photo["strips"]]
        parts += ["<details><summary>Table</summary>", *tables(photo["groups"]), "</details>"]
    if page["curve"]:
        parts += ["## Training", f"![training curve]({page['curve']})"]
    facts = ([name, *("<br>".join(map(plain, lines)) for lines in values)] for name, values in page["facts"])
    parts += ["## Run facts", grid(["", *map(plain, page["runs"])], facts, ":---")]
    return "\n\n".join([*parts, "## How these numbers were made", plain(page["method"])]) + "\n"
