"""docs/volumes.md from results/volumes.json."""

import numpy as np

SCALES = (2.5, 3.0, 4.0, 5.0)
HEAD = 0.1  # of the 98th percentile: what is brighter, holes filled, is head


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def subject_table(rows: list[dict], subject: str, profile: str) -> str:
    mine = [r for r in rows if (r["subject"], r["profile"]) == (subject, profile)]
    scales = sorted({r["scale"] for r in mine})
    lines = []
    for method in dict.fromkeys(r["method"] for r in mine):
        of = {r["scale"]: r for r in mine if r["method"] == method}
        lines.append(
            [method, *(f"{of[s]['psnr']:.2f}" if s in of else "–" for s in scales),
             *(f"{of[s]['ssim']:.4f}" if s in of else "–" for s in scales),
             f"{np.mean([r['seconds'] for r in of.values()]):.1f}"]
        )  # fmt: skip
    labels = [f"×{s:g}" for s in scales]
    return table(["", *(f"PSNR {x}" for x in labels), *(f"SSIM {x}" for x in labels), "s"], lines)


def gains(rows: list[dict], method: str = "volume", over: str = "bspline") -> list[float]:
    """In dB on the scan, by scale."""
    of = {(r["method"], r["scale"]): r["psnr"] for r in rows if (r["subject"], r["profile"]) == ("scan", "gaussian")}
    return [of[method, s] - of[over, s] for name, s in of if name == method]


def page(found: dict) -> str:
    rows, cpu, about = found["rows"], found["hardware"]["cpu"], found["training"]
    own = found["own"]
    self_taught = "" if own is None else (
        f"`own scan` learned from that scan, thickened ×{own['scale']:g} (`gridless train volumes --data thick.nii.gz\n"
        f"--task.scale {own['scale']:g}`), {own['steps']:,} steps in {own['train_seconds']:.0f} s of a busy core. What it "
        "saw of thin slices\nare the scan's own planes, cut across.\n\n"
    )  # fmt: skip
    box = "" if not any(r["profile"] == "box" for r in rows) else (
        "Another profile than it was taught, slices whose values are plain means (box):\n\n"
        f"{subject_table(rows, 'scan', 'box')}\n\n"
    )  # fmt: skip
    average = "" if not any(r["subject"] == "template" for r in rows) else (
        "**The mean of 152 heads** (MNI, 1 mm: smooth). `volume` learned from this very template, so that its row would\n"
        "say nothing; the linear filter was taught by the scan.\n\n"
        f"{subject_table(rows, 'template', 'gaussian')}\n\n"
    )  # fmt: skip
    low, high = min(gains(rows)), max(gains(rows))
    nearer = gains(rows, over="linear filter")
    over = [[r["data"], r["method"], f"{r['psnr']:.2f}", f"{r['seconds']:.1f}"] for r in found["over_time"]]
    return f"""# Volumes: thick slices at the spacing of their planes

Written by `python benchmarks/volumes.py --page` from `results/volumes.json` (commit {found["commit"]}; {cpu}, one thread,
shared with other work).

```
pip install ".[volumes]"
gridless predict volume brain.nii.gz --spacing 1 1 1 -o iso.nii.gz     # any spacing; or --like other.nii.gz
gridless predict bspline brain.nii.gz --spacing 1 1 1 -o iso.nii.gz    # the classical answer that it starts at
gridless train volumes --data scan.nii.gz                              # learns from the planes of a scan itself
```

A volume is made thicker along its third axis: a gaussian as wide at half its height as a slice is thick, taken at the
slices' centres. It is asked at its own spacing again. PSNR in dB (the peak is the range of the truth) and SSIM (planes
along the thick axis, every eighth) inside the head: what is brighter than {HEAD:.0%} of the 98th percentile, holes filled.
Seconds are the processor's, for one answer of {" × ".join(map(str, found["rows"][0]["shape"]))} voxels, encoding included.

`linear filter`: ridge regression on 3 × 3 × 6 samples, one filter for each place between two slices and each factor, taught
by the other subject of the page: it knows the profile and the factor.

**One person's head** (Colin 27, 1 mm, the mean of 27 scans of one person). `volume` are the weights that ship
({found["parameters"]:,} parameters, one model for every factor), which never saw this person: they learned from
{about["data"]}:
{about["steps"]:,} steps in {about["train_seconds"]:.0f} s on one shared core
([card](../src/gridless/weights/volume/README.md)). They are {low:.2f} … {high:.2f} dB nearer the truth than the cubic
B-spline, and {min(nearer):.2f} … {max(nearer):.2f} dB nearer than the linear filter.

{subject_table(rows, "scan", "gaussian")}

{self_taught}{box}{average}**Volumes over time** are answered one by one; a base also answers them as one field of four axes.

{table(["", "", "PSNR", "s"], over)}

What is wrong with it. One person is a demonstration, not a benchmark: the interval over people is unknown. The weights saw
heads, of people and of macaques, in one contrast and its negative; other organs and contrasts were not measured. They refine
along the coarsest axis alone; across it, at voxels finer than the planes', their answer is interpolated. Noise of a scanner
was not simulated: the scans are means of many. Gaps between slices are not modelled. What a network adds is a guess from
other heads: no measurement, and no ground for a diagnosis.
"""
