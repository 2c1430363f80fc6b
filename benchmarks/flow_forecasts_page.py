"""docs/scent.md from results/flow_forecasts.json."""

from statistics import mean

LEADS = ("1", "2", "3", "4", "5")
ORDER = ("persistence", "fno", "films", "perceiver", "scent", "on persistence")
NAMES = {
    "fno": "FNO, rolled out",
    "films": "latents at readings (`films`)",
    "perceiver": "Perceiver (without SCENT's four parts)",
    "scent": "SCENT (`scent-time`)",
    "no context": "without context: tokens do not read one another",
    "no calibration": "without calibration: answers read no anchors",
    "trained entry": "without projection: values enter through no fixed layer",
    "values enter once": "values enter once, as published",
    "high frequencies": "frequencies from two cycles on",
    "no target time": "without target time: one encoding for all moments",
    "queries calibrate": "answers read one another, as published",
    "mamba context": "a Mamba reads the tokens instead",
    "on persistence": "SCENT that starts at persistence",
    "untied": "three blocks of their own instead of one, three times",
    "no parts": "without all four",
}
SETS = {
    "S1": "clean",
    "S2": "noise, 10 % of the value",
    "S3": "a box of a quarter missing",
    "S4": "half of the places",
    "S5": "an eighth of the places, moving",
}
T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}


def by_arm(runs: list[dict]) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for run in runs:
        groups.setdefault(run["arm"], []).append(run)
    return groups


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
        runs = by_arm([run for run in report["runs"] if run["set"] == which])
        rows = [line(name, runs[name]) for name in ORDER if name in runs]
        if len(rows) > 1:
            head = "| | parameters | rate | 1 s | 2 s | 3 s | 4 s | 5 s | mean |\n| --- |" + " ---: |" * 8
            out.append(f"### {which}: {words}\n\n{head}\n" + "\n".join(rows))
    return "\n\n".join(out)


def parts_text(report: dict) -> str:
    runs = by_arm(report["parts"])
    whole = {run["seed"]: overall(run) for run in runs["scent"]}
    rows = ["| | parameters | error, mean over leads | against SCENT | seeds |", "| --- |" + " ---: |" * 4]
    for name, of in runs.items():
        change = 100 * (mean(overall(run) / whole[run["seed"]] for run in of) - 1)
        against = "" if name == "scent" else f"{change:+.0f} %"
        error = interval([overall(run) for run in of])
        rows.append(f"| {NAMES[name]} | {of[0]['parameters']:,} | {error} | {against} | {len(of)} |")
    rows.append("| *published: none of the four* | | | *+68 %* | |")
    return "\n".join(rows)


def fine(report: dict) -> float:
    """By how much fine features alone are worse, in %."""
    runs = by_arm(report["parts"])
    return 100 * (mean(map(overall, runs["high frequencies"])) / mean(map(overall, runs["scent"])) - 1)


def less(report: dict, arm: str, rival: str) -> str:
    """By how much an arm's error is smaller, from the set where it is least so to the one where it is most."""
    shares = {}
    for which in SETS:
        runs = by_arm([run for run in report["runs"] if run["set"] == which])
        shares[which] = round(100 * (1 - mean(map(overall, runs[arm])) / mean(map(overall, runs[rival]))))
    least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    return f"{shares[least]} % ({least}) … {shares[most]} % ({most})"


def commits(report: dict) -> str:
    """Of what was measured; later runs name theirs."""
    rows = [*report["tuning"], *report["runs"], *report["parts"]]
    return ", ".join(dict.fromkeys(row.get("commit", report["commit"]) for row in rows))


def steps(report: dict, arm: str) -> str:
    """From the fewest to the most of all sets."""
    made = [run["steps"] for run in report["runs"] if run["arm"] == arm]
    return f"{min(made)} … {max(made)}"


def page(report: dict) -> str:
    seeds = sorted({run["seed"] for run in report["runs"] if "steps" in run})
    return f"""# SCENT in space and time

Readings of a film are encoded for the moment that is asked, read one another in groups, and are read by learned latents;
one block warps these, and answers calibrate one another. `gl.preset("scent-time")` is this model, `gl.Forecast` the task.
No code of its authors is public: where the paper's text leaves a choice, the files in `src/gridless/network` say which one
was made (`encoders/contexts.py`, `decoders/calibration.py`, `moments.py`).

Simulated flows on 32², viscosity 0.001, one frame is seen. Relative squared error so many seconds ahead, after
{report["seconds"]:.0f} seconds of training on one thread (of the processor; published: 110,000 steps and more on an H100);
up to {len(seeds)} seeds, 95 % t-intervals. In that time SCENT makes {steps(report, "scent")} steps, `films`
{steps(report, "films")}, the Perceiver {steps(report, "perceiver")}, FNO {steps(report, "fno")}.

{sets_text(report)}

Latents that lie at readings ([`films`](systems/films.md)) leave {less(report, "films", "perceiver")} less error
than the plain Perceiver and {less(report, "films", "scent")} less than SCENT: what lies beside what need not be
learned. The Perceiver is ahead of SCENT on every set: it makes twice as many steps, and is not behind at as many either.
The Fourier neural operator, which knows of grids and of how a frame follows from the one before, is far ahead of all where
it can be asked at all. Persistence as a base pays SCENT one second ahead alone, and not of few places that move.

## What each part is worth

Set S4, half of the places are seen, every row as many steps as SCENT made in {report["seconds"]:.0f} seconds, its rate:

{parts_text(report)}

The published sign is not seen at this budget: none of the four parts of SCENT lowers the error after a few hundred steps.
What does is where frequencies begin: features that begin at two cycles across the square, instead of a third of one, leave
{fine(report):.0f} % more error. Values that enter a second time, times the features of their
places, make no difference beside that. Whether the parts pay after the published number of steps is not measured.

## How it was measured

`python benchmarks/flow_forecasts.py --json results/flow_forecasts.json --cache DIR`, commit {commits(report)},
{report["hardware"]["cpu"]}. A model's rate is the best of three on validation films of S4 (FNO: S1) in as many seconds.
"""
