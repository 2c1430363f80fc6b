"""docs/systems/*.md: what stands between `<!-- NAME: … -->` and `<!-- end -->` is written here, and the diagrams are drawn.

    python benchmarks/system_pages.py

Sources, equations and deviations are quoted from the tops of the files that they belong to, parameters are counted, scores
come from results/: none of it is kept twice.
"""

import ast
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

import gridless as gl
from gridless.config import Model

sys.path.insert(0, str(Path(__file__).parent))

from system_diagrams import diagram

ROOT = Path(__file__).parents[1]
PAGES, IMAGES, PACKAGE = ROOT / "docs" / "systems", ROOT / "docs" / "images" / "systems", ROOT / "src" / "gridless"
PRESETS = sorted(path.stem for path in (PACKAGE / "config" / "presets").glob("*.toml"))
SIZES = ("tiny", "small", "base")
MARK = re.compile(r"(<!-- (\w+): ([^\n]*) -->\n).*?(<!-- end -->)", re.S)
WORDS = {
    "mamba": "Mamba", "transformer": "transformer", "perceiver": "Perceiver", "relative": "attention by differences",
    "none": "–", "point": "value", "gaussian": "value, spread", "flow": "samples by flow", "lainr": "LAINR",
    "scent": "SCENT", "mlp": "MLP", "composer": "written MLP", "direct": "local read-out", "joint": "joint",
}  # fmt: skip


def heading_text(file: Path) -> str:
    """What stands at the top of a file: the comment of a preset, the docstring of a module."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    return "\n".join(line[1:].removeprefix(" ") for line in re.match(r"(#.*\n)+", text)[0].splitlines())


def quoted(text: str) -> str:
    """As Markdown: what is set in becomes a block of code, the rest stays prose."""
    out: list[str] = []
    for part in re.split(r"((?:^ {4}.*\n?)+)", text, flags=re.M):
        if part.startswith("    "):
            out.append("```text\n" + re.sub("^ {4}", "", part.rstrip(), flags=re.M) + "\n```")
        elif part.strip():
            prose = re.sub(r"\n{2,}", "\n\n", part.strip())
            out.append(re.sub(r"^(Source|Sources|Deviations?)\b( of[^:]*)?:", r"**\1\2:**", prose, flags=re.M))
    return "\n\n".join(out)


def sources(names: str) -> str:
    parts = []
    for name in names.split():
        file = PACKAGE / name
        parts.append(f"### [{name}](../../src/gridless/{name})\n\n{quoted(heading_text(file))}")
    return "\n\n".join(parts)


@cache
def parameters(name: str, size: str) -> int:
    """Trained numbers, counted without making them."""
    with torch.device("meta"):
        return gl.FieldModel(gl.preset(name, size)).parameter_count()


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    lines = [head, ["---"] * left + ["---:"] * (len(head) - left), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def sizes(names: str) -> str:
    rows = [[f"`{name}`", *(f"{parameters(name, size):,}" for size in SIZES)] for name in names.split()]
    return table(["parameters of", *SIZES], rows)


def kind(part: object) -> str:
    name = part.kind  # pyright: ignore[reportAttributeAccessIssue]
    return WORDS.get(name, name)


def described(name: str) -> list[str]:
    model: Model = gl.preset(name, "base")
    depth, encoder = model.processor.depth, kind(model.encoder)
    if model.encoder.kind == "mamba" and not model.encoder.depth:
        encoder = "–"
    alone = "no" if model.decoder.kind == "joint" else "yes"
    between = "–" if not depth else f"attention × {depth}"
    return [f"`{name}`", encoder, between, kind(model.decoder), kind(model.head), kind(model.base), alone]


def systems(_: str) -> str:
    head = ["preset", "encoder", "latents among themselves", "decoder", "head", "base", "an answer stands alone"]
    return table(head, [described(name) for name in PRESETS], left=len(head))


def reconstruction(names: str) -> str:
    """Scores of results/reconstruction.json after equal steps; dashes where a system was not measured there."""
    found = json.loads((ROOT / "results" / "reconstruction.json").read_text(encoding="utf-8"))["rows"]
    rows = []
    for name in names.split():
        runs = [row for row in found if row["name"] == f"short-{name}"]
        first = runs[0]
        minutes = sum(run["train_seconds"] for run in runs) / len(runs) / 60
        scores = " / ".join(f"{run['psnr']:.2f}" for run in runs)
        counts = [f"{first[key]:,}" for key in ("floats", "parameters", "steps")]
        rows.append([f"`{name}`", *counts, f"{minutes:.0f}", scores])
    return table(["system", "numbers of a picture", "parameters", "steps", "minutes", "PSNR of each seed, dB"], rows)


def costs(names: str) -> str:
    """Counted and timed work of results/claims/systems.json, means over its rounds."""
    runs = json.loads((ROOT / "results" / "claims" / "systems.json").read_text(encoding="utf-8"))["runs"]
    rows = []
    for name in names.split():
        of = [run for run in runs if run["arm"] == name]
        score = {key: sum(run["scores"][key] for run in of) / len(of) for key in of[0]["scores"]}
        rows.append([
            f"`{name}`", f"{of[0]['params']:,}", f"{score['encode_gflop']:.2f}", f"{score['decode_gflop']:.2f}",
            f"{1000 * score['encode_seconds']:.0f}", f"{1000 * score['decode_seconds']:.0f}",
        ])  # fmt: skip
    return table(["system", "parameters", "GFLOP to encode", "to ask", "ms to encode", "to ask"], rows)


ARMS = {
    "shipped": "V1 as shipped", "full": "V1, its solver's state kept", "hold": "… and its input discretised",
    "all": "V1, all mended, on fresh fields", "v2": "V2 as shipped",
}  # fmt: skip


def sparse(arms: str) -> str:
    """Arms of results/claims/sparse.json: means over seeds, asked for everything at once and as many as in training."""
    runs = json.loads((ROOT / "results" / "claims" / "sparse.json").read_text(encoding="utf-8"))["runs"]
    rows = []
    for arm in arms.split():
        of = [run for run in runs if run["arm"] == arm]
        scores = [
            " / ".join(f"{run['scores']['psnr']:.1f}".replace("-", "−") for run in runs if run["arm"] == name)
            for name in (arm, f"{arm}, 51 at a time")
        ]
        rows.append([ARMS[arm], f"{of[0]['params']:,}", *scores])
    return table(["", "parameters", "all 1,024 places at once, dB", "51 at a time, dB"], rows)


def photo(sets: str) -> str:
    """Rows of results/photo.json."""
    found = json.loads((ROOT / "results" / "photo.json").read_text(encoding="utf-8"))["rows"]
    scales = (2, 3, 4)
    rows = []
    for name in sets.split():
        for method in ("bicubic", "lanczos", "photo"):
            score = {r["scale"]: r["psnr_y"] for r in found if (r["method"], r["set"]) == (method, name)}
            rows.append([f"{name}, {method}", *(f"{score[scale]:.2f}" for scale in scales)])
    return table(["PSNR of the luma, dB", *(f"×{scale}" for scale in scales)], rows)


def sensors(_: str) -> str:
    """Kinds of random fields of results/sensors.json."""
    kinds = json.loads((ROOT / "results" / "sensors.json").read_text(encoding="utf-8"))["kinds"]
    rows = [
        [k["kind"], *(f"{k['scores'][m][score]:.3f}" for score in ("rmse", "crps") for m in ("kriging", "model"))]
        for k in kinds if k["block"] == "prior"
    ]  # fmt: skip
    return table(["random fields", "kriging, RMSE", "`sensors`, RMSE", "kriging, CRPS", "`sensors`, CRPS"], rows)


def flow_forecasts(_: str) -> str:
    if (ROOT / "docs" / "scent.md").exists():
        return "Flows that no training saw, beside arms without its parts: [scent.md](../scent.md)."
    return "No figures of it are committed yet; `python benchmarks/flow_forecasts.py` makes them."


WRITERS: dict[str, Callable[[str], str]] = {
    "sources": sources, "sizes": sizes, "systems": systems, "reconstruction": reconstruction, "costs": costs,
    "sparse": sparse, "photo": photo, "sensors": sensors, "forecasts": flow_forecasts,
}  # fmt: skip


def filled(text: str) -> str:
    """A page with its marked parts written anew."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{WRITERS[mark[2]](mark[3])}\n\n{mark[4]}", text)


def drawings() -> dict[Path, str]:
    return {IMAGES / f"{name}.svg": diagram(gl.preset(name, "base"), name) for name in PRESETS}


def main() -> None:
    for page in sorted(PAGES.glob("*.md")):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for path, text in drawings().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
