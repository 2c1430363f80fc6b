"""docs/scent.md from results/flow_forecasts.json."""

from statistics import mean

LEADS = ("1", "2", "3", "4", "5")
ORDER = ("persistence", "fno", "perceiver", "scent", "on persistence")
NAMES = {
    "fno": "FNO, rolled out",
    "perceiver": "Perceiver (none of SCENT's parts)",
    "scent": "SCENT (`scent-time`)",
    "no context": "tokens do not read one another",
    "no calibration": "answers read no anchors",
    "trained entry": "values enter through no fixed layer",
    "values enter once": "values enter once, as published",
    "high frequencies": "frequencies from two cycles on",
    "no target time": "one encoding for all moments",
    "queries calibrate": "answers read one another, as published",
    "mamba context": "a Mamba reads the tokens instead",
    "on persistence": "SCENT that starts at persistence",
    "untied": "three blocks of their own instead of one, three times",
    "no parts": "none of the four",
}
SETS = {
    "S1": "clean",
    "S2": "noise, 10 % of the value",
    "S3": "a box of a quarter missing",
    "S4": "half of the places",
    "S5": "an eighth of the places, moving",
}
T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}


def by_arm(report: dict, which: str) -> dict[str, list[dict]]:
    runs: dict[str, list[dict]] = {}
    for run in report["runs"]:
        if run["set"] == which:
            runs.setdefault(run["arm"], []).append(run)
    return runs


def overall(run: dict) -> float:
    return mean(run["errors"].values())


def interval(values: list[float], digits: int = 4) -> str:
    middle = mean(values)
    if len(values) not in T95:
        return f"{middle:.{digits}f}"
    spread = (sum((v - middle) ** 2 for v in values) / (len(values) - 1) / len(values)) ** 0.5
    return f"{middle:.{digits}f} ± {T95[len(values)] * spread:.{digits}f}"


def line(name: str, runs: list[dict]) -> str:
    leads = [f"{mean(run['errors'][lead] for run in runs):.4f}" for lead in LEADS]
    first = runs[0]
    parameters = f"{first['parameters']:,}" if first["parameters"] else ""
    cells = [NAMES.get(name, name), parameters, f"{first['rate']:g}" if "rate" in first else "", *leads]
    return "| " + " | ".join([*cells, interval([overall(run) for run in runs])]) + " |"


def sets_text(report: dict) -> str:
    out = []
    for which, words in SETS.items():
        runs = by_arm(report, which)
        rows = [line(name, runs[name]) for name in ORDER if name in runs]
        if len(rows) > 1:
            head = "| | parameters | rate | 1 s | 2 s | 3 s | 4 s | 5 s | mean |\n| --- |" + " ---: |" * 8
            out.append(f"### {which}: {words}\n\n{head}\n" + "\n".join(rows))
    return "\n\n".join(out)


def parts_text(report: dict) -> str:
    runs = by_arm(report, "S4")
    if "scent" not in runs or not any(name in runs for name in ("no context", "no calibration")):
        return "Not measured."
    whole = mean(overall(run) for run in runs["scent"])
    rows = ["| without | parameters | error, mean over leads | against SCENT | seeds |", "| --- |" + " ---: |" * 4]
    for name, of in runs.items():
        if name in NAMES and name not in ("fno", "scent"):
            change = 100 * (mean(overall(run) for run in of) / whole - 1)
            words = NAMES["perceiver alone"] if name == "perceiver" else NAMES[name]
            error = interval([overall(run) for run in of])
            rows.append(f"| {words} | {of[0]['parameters']:,} | {error} | {change:+.0f} % | {len(of)} |")
    rows.append("| *published: none of the four* | | | *+68 %* | |")
    return "\n".join(rows)


def page(report: dict) -> str:
    seeds = {name: len(of) for name, of in by_arm(report, "S4").items() if name in ("scent", "perceiver")}
    count = max(seeds.values(), default=0)
    return f"""# SCENT in space and time

Readings of a film are encoded for the moment that is asked, read one another in groups, and are read by learned latents;
one block warps these, and answers calibrate one another. `gl.preset("scent-time")` is this model, `gl.Forecast` the task.
No code of its authors is public: where the paper's text leaves a choice, the files in `src/gridless/network` say which one
was made (`encoders/contexts.py`, `decoders/calibration.py`, `moments.py`).

Simulated flows on 32², viscosity 0.001, one frame is seen. Relative squared error so many seconds ahead, after
{report["seconds"]:.0f} seconds of training on one thread (of the processor; published: 110,000 steps and more on an H100);
{count} seed{"" if count == 1 else "s"}, t-intervals where there are several.

{sets_text(report)}

## What each part is worth

Set S4, half of the places are seen:

{parts_text(report)}

## How it was measured

`python benchmarks/flow_forecasts.py --json results/flow_forecasts.json --cache DIR`, commit {report["commit"]},
{report["hardware"]["cpu"]}. A model's rate is the best of three on validation films in a third of the seconds.
"""
