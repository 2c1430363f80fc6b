"""docs/cifar10.md and its figure from results/reconstruction.json: every number of the page comes from there."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

from gridless.scoring.results import number

RESULTS, PAGE, FIGURE = "results/reconstruction.json", "docs/cifar10.md", "docs/images/rate-distortion.png"
BARS = {"mamba-ginr": (46.0, 52.0), "mamba-ginr-1024": (38.5, 40.0), "mamba-ginr-512": (31.6, 31.6)}
SHIPPED = "cifar10-mamba-ginr"
WORDS = {
    "all": "as it is",
    "tokens": "tokens start without their patch",
    "offsets": "latents read without the offset",
    "linear": "what is read does not reach the output past the network",
    "near": "near latents hardly preferred",
    "muon": "AdamW alone",
    "none": "none of the five",
}
NARROWED = "narrowed-1024"
PART, FINER = "part-", "finer-"
SHORT, NARROW = "short-", "short-mamba-ginr-"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def by_name(rows: list[dict]) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        groups[row["name"]].append(row)
    return groups


def whole(value: float) -> str:
    return f"{value:,.0f}"


def minutes(rows: list[dict]) -> str:
    return whole(mean(row["train_seconds"] for row in rows) / 60)


def psnrs(rows: list[dict], key: str = "psnr") -> str:
    return " / ".join(number(row[key], 2) for row in rows)


def model_table(groups: dict[str, list[dict]], names: list[str], coded: bool = True) -> str:
    rows = []
    for name in names:
        of = groups[name]
        first = of[0]
        rows.append([
            name.removeprefix(SHORT), whole(first["floats"]), whole(first["parameters"]), whole(first["steps"]),
            minutes(of), psnrs(of), *([psnrs(of, "coded_psnr"), whole(mean(r["bytes"] for r in of))] if coded else []),
        ])  # fmt: skip
    head = ["system", "floats", "parameters", "steps", "minutes", "PSNR of each seed"]
    head += ["at 8 bits", "bytes"] if coded else []
    return table(head, rows)


def verdicts(groups: dict[str, list[dict]]) -> str:
    lines = []
    for name, (bar, aim) in BARS.items():
        if name in groups:
            best, floats = mean(row["psnr"] for row in groups[name]), groups[name][0]["floats"]
            met = "above" if best >= bar else "below"
            also = f" (aim {number(aim, 1)}: {'reached' if best >= aim else 'not reached'})" if aim != bar else ""
            lines.append(f"- {whole(floats)} floats: {number(best, 2)} dB, {met} the bar of {number(bar, 1)}{also}.")
    return "\n".join(lines)


def parts_text(groups: dict[str, list[dict]]) -> str:
    """What the recipe loses with each part; empty where that was not measured."""
    named = {name.removeprefix(PART): of for name, of in groups.items() if name.startswith(PART)}
    if "all" not in named:
        return ""
    flags = {name: f"`{of[0]['flags']}`" if of[0]["flags"] else "" for name, of in named.items()} | {
        "none": "all of these"
    }
    rows = [[words, psnrs(named[name]), flags[name]] for name, words in WORDS.items() if name in named]
    of = named["all"][0]
    lines = f"""
## What each part is worth

`mamba-ginr` with {whole(of["floats"])} floats after {whole(of["steps"])} steps of 16 pictures, one seed, on a schedule
of that length:

{table(["the recipe", "PSNR", "flags"], rows)}
"""
    return lines


def systems_text(groups: dict[str, list[dict]]) -> str:
    """Empty where nothing was measured."""
    short = [n for n in groups if n.startswith(SHORT) and not n.startswith(NARROW)]
    if not short:
        return ""
    return f"""
## Five systems, the same steps

{model_table(groups, short, coded=False)}

The same recipe and rate for all (`gridless train cifar10 --preset NAME`), that of `mamba-ginr`: bf16, Muon for the matrices,
AdamW for the rest; no other has a rate of its own, and sizes are not matched. Latents of
`mamba-ginr` and `hybrid` start with their patch (`encoder.tokens.content`); theirs and `lainr`'s, which start at random, are
read by offsets (`decoder.attention.rotation`); those of `scent` are a cascade's, and `trans-inr` writes a network from them.
"""


def finer_text(groups: dict[str, list[dict]]) -> str:
    """Empty where nothing was measured."""
    named = {name.removeprefix(FINER): of for name, of in groups.items() if name.startswith(FINER)}
    if not named:
        return ""
    systems = list(dict.fromkeys(name.rsplit("-", 1)[0] for name in named))
    rows = [
        [system, *(psnrs(named[key]) if (key := f"{system}-{base}") in named else "–" for base in ("none", "bicubic"))]
        for system in systems
    ]
    of = next(iter(named.values()))[0]
    return f"""
## Twice the resolution: 16 × 16 seen, 32 × 32 asked

True pictures, made smaller by Pillow; bicubic interpolation reaches {number(of["bicubic"], 2)} dB.
After {whole(of["steps"])} steps of 16 pictures, PSNR of each seed:

{table(["system", "alone", "on bicubic"], rows)}
"""


def shipped_text(groups: dict[str, list[dict]]) -> str:
    """Of the weights in the package."""
    row = groups[SHIPPED][0]
    return (
        f"`{SHIPPED}`, the weights in the package ([card](../src/gridless/weights/{SHIPPED}/README.md)), went on from\n"
        f"the first row with half of each batch asked between the pixels: {number(row['psnr'], 2)} dB at the pixels, and\n"
        f"{number(row['from_bicubic_at_128'], 2)} dB from bicubic interpolation where they answer at 128 × 128.\n"
        "A network that was asked at the pixels alone has seams between its patches there."
    )


def floats_table(groups: dict[str, list[dict]]) -> str:
    kinds = {"pca": groups["pca"], "fixed cosines": groups["dct"]}
    for name, of in groups.items():
        if name.startswith(NARROW):
            kinds.setdefault("mamba-ginr, short", []).extend(of)
    kinds["mamba-ginr, narrowed"] = groups.get(NARROWED, [])
    kinds["mamba-ginr, long"] = [row for name in BARS for row in groups.get(name, [])]
    counts = sorted({row["floats"] for of in kinds.values() for row in of})
    rows = []
    for kind, of in kinds.items():
        known = {row["floats"]: number(row["psnr"], 2) for row in of}
        rows.append([kind, *(known.get(count, "–") for count in counts)])
    return table(["PSNR, dB", *map(whole, counts)], rows)


def bytes_table(groups: dict[str, list[dict]]) -> str:
    """Of files, what the neighbours in bytes of each coded model reach, by linear interpolation."""
    rows = []
    names = [name for name in groups if "coded_psnr" in groups[name][0]]
    for name in sorted(names, key=lambda name: groups[name][0]["bytes"]):
        row = groups[name][0]
        files = (number(value, 2) if (value := at_bytes(groups[f], row["bytes"])) else "–" for f in ("JPEG", "WebP"))
        rows.append([name, whole(row["bytes"]), number(row["coded_psnr"], 2), *files])
    return table(["model", "bytes", "PSNR at 8 bits", "JPEG", "WebP"], rows)


def at_bytes(rows: list[dict], size: float) -> float | None:
    """PSNR of a file of so many bytes; None beyond the qualities that there are."""
    points = sorted((row["bytes"], row["psnr"]) for row in rows)
    for (low, first), (high, second) in zip(points, points[1:], strict=False):
        if low <= size <= high:
            return first + (second - first) * (size - low) / max(high - low, 1e-9)
    return None


def page(found: dict) -> str:
    groups = by_name(found["rows"])
    long = [name for name in (*BARS, NARROWED) if name in groups]
    return f"""# CIFAR-10: how many numbers a picture needs

{found["pictures"]:,} test pictures of 32 × 32, {found["training"]:,} training pictures; PSNR is the mean over pictures of
the floats, neither clipped nor rounded (58.92 dB is what rounding to 8 bits leaves). A system's floats are the numbers that
its field keeps of a picture: latents times their width, or what `model.processor.latent` leaves of it, or a base's
components. Where a row has one number, it is of one seed.

## MAMBA-GINR, trained for longer

{model_table(groups, long)}

{verdicts(groups)}

With 1,024 and 512 floats a field is the principal components of its picture (`base.kind = "components"`, fitted with each
picture weighted by the inverse of what is missed of it), and all that the network sees is their sum
(`signal.seen = "base"`): it answers what belongs to it. `narrowed-1024` narrows the latents between encoder and decoder
instead.

Trained by `python benchmarks/reconstruction.py --train --data DIR`; minutes are those of one shared CPU core. At 8 bits:
every number in 256 steps of its range, and the bytes of its entropy code.

{shipped_text(groups)}

{parts_text(groups)}{finer_text(groups)}
{systems_text(groups)}
## Rate and distortion

![PSNR against numbers per picture, and against bytes](images/rate-distortion.png)

{floats_table(groups)}

PCA and the cosines (of three principal colours, at the positions of largest variance) are fitted on the training pictures.
{short_text(groups)}
At equal bytes, headers and tables of the files not counted (those of a grey picture's file):

{bytes_table(groups)}

## How it was measured

`{found["command"]}`, commit {found["commit"]}, {found["hardware"]["cpu"]}.
"""


def short_text(groups: dict[str, list[dict]]) -> str:
    steps = {row["steps"] for name, of in groups.items() if name.startswith(NARROW) for row in of}
    each = " or ".join(map(whole, sorted(steps)))
    return f"`short` is {each} steps with a narrow place behind the encoder.\n" if steps else ""


def figure(found: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    groups = by_name(found["rows"])
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    curves = {"PCA": groups["pca"], "fixed cosines": groups["dct"]}
    curves["MAMBA-GINR, short"] = [row for name, of in groups.items() if name.startswith(NARROW) for row in of]
    curves["MAMBA-GINR, long"] = [row for name in BARS for row in groups.get(name, [])]
    styles = {
        "PCA": ("0.45", "-", "."),
        "fixed cosines": ("0.7", "-", "."),
        "MAMBA-GINR, short": ("tab:blue", "--", "o"),
    }
    styles |= {
        "MAMBA-GINR, long": ("tab:red", "-", "o"),
        "JPEG": ("tab:green", "-", "."),
        "WebP": ("tab:olive", "-", "."),
    }
    for name, of in curves.items():
        if not of:
            continue
        of, (colour, line, marker) = sorted(of, key=lambda row: row["floats"]), styles[name]
        left.plot([r["floats"] for r in of], [r["psnr"] for r in of], line, color=colour, marker=marker, label=name)
        coded = [row for row in of if "bytes" in row]
        if coded:
            right.plot([r["bytes"] for r in coded], [r["coded_psnr"] for r in coded], line, color=colour, marker=marker)
    for name, of in groups.items():
        if name.startswith(SHORT) and not name.startswith(NARROW) and name != SHORT + "mamba-ginr":
            left.plot([of[0]["floats"]], [mean(r["psnr"] for r in of)], "x", label=name.removeprefix(SHORT) + ", short")
    for name in ("JPEG", "WebP"):
        of = sorted(groups[name], key=lambda row: row["bytes"])
        right.plot([r["bytes"] for r in of], [r["psnr"] for r in of], color=styles[name][0], marker=".", label=name)
    for axes, label in ((left, "numbers per picture"), (right, "bytes per picture, 8 bits a number, entropy-coded")):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    left.set_ylabel("PSNR, dB (1,000 test pictures)")
    fig.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(fig)


def write(root: Path) -> None:
    found = json.loads((root / RESULTS).read_text(encoding="utf-8"))
    (root / PAGE).write_text(page(found), encoding="utf-8")
    figure(found, root / FIGURE)
