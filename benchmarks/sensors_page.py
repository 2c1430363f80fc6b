"""docs/sensors.md from results/sensors.json: every number of the page, its verdicts too, comes from there."""

from gridless.scoring.results import number

MODEL, BASE = "model", "kriging"
WORSE, BETTER, KINDS = 1.01, 0.90, 3  # nowhere above the first; at or below the second on so many kinds
ASKED = 400  # places of a question
PLAIN = ("mean", "nearest", "linear", "idw", "rbf")
TITLES = {"prior": "the prior's kinds", "unseen": "unseen kinds", "darcy": "Darcy"}


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def with_interval(ratio: dict) -> str:
    return f"{number(ratio['typical'], 3)} [{number(ratio['low'], 3)}, {number(ratio['high'], 3)}]"


def of_block(found: dict, block: str) -> list[dict]:
    return [row for row in found["kinds"] if row["block"] == block]


def verdict(kinds: list[dict], score: str = "rmse", measure: str = "typical") -> dict:
    """Whether the bar is met: nowhere more than 1 % worse than the base, at least 10 % better on three kinds."""
    ratios = {row["kind"]: row["ratios"][score][measure] for row in kinds}
    worse = [kind for kind, ratio in ratios.items() if ratio > WORSE]
    better = [kind for kind, ratio in ratios.items() if ratio <= BETTER]
    return {"met": not worse and len(better) >= KINDS, "worse": worse, "better": better,
            "worst": max(ratios.values()), "best": min(ratios.values())}  # fmt: skip


def verdict_line(kinds: list[dict], score: str, measure: str) -> str:
    of = verdict(kinds, score, measure)
    what = f"{score.upper()}, {'typical field' if measure == 'typical' else 'mean over all questions'}"
    return (
        f"- **{what}: {'met' if of['met'] else 'not met'}.** Ratios from {number(of['best'], 3)} to "
        f"{number(of['worst'], 3)}; at least 10 % better: {listed(of['better'])}; more than 1 % worse: "
        f"{listed(of['worse'])}."
    )


def listed(kinds: list[str]) -> str:
    return f"{', '.join(kinds)} ({len(kinds)})" if kinds else "none"


def help_lines(kinds: list[dict]) -> str:
    """Which kinds' intervals lie below 1, around it and above it."""
    ratios = {row["kind"]: row["ratios"]["rmse"] for row in kinds}
    helps = [f"{kind} ({number(100 * (1 - r['typical']), 0)} %)" for kind, r in ratios.items() if r["high"] < 1]
    harms = [f"{kind} ({number(100 * (r['typical'] - 1), 1)} %)" for kind, r in ratios.items() if r["low"] > 1]
    unsure = [kind for kind, r in ratios.items() if r["low"] <= 1 <= r["high"]]
    return "\n".join(
        f"- {title}: {', '.join(names) or 'none'}."
        for title, names in (
            ("Lower RMSE than kriging, the interval below 1", helps),
            ("No difference that the fields show", unsure),
            ("Higher, the interval above 1", harms),
        )
    )


def ratio_table(kinds: list[dict]) -> str:
    rows = []
    for row in kinds:
        ours, base, ratios = row["scores"][MODEL], row["scores"][BASE], row["ratios"]
        rows.append([
            row["kind"], number(ours["rmse"], 3), number(base["rmse"], 3), with_interval(ratios["rmse"]),
            number(ratios["rmse"]["pooled"], 3), with_interval(ratios["crps"]), number(ratios["crps"]["pooled"], 3),
            *(f"{number(ours[f'coverage_{p}'], 2)} / {number(base[f'coverage_{p}'], 2)}" for p in (50, 90)),
        ])  # fmt: skip
    head = ["kind", "RMSE", "kriging's", "ratio, typical field", "of the means", "CRPS ratio, typical field", "of the means",
            "inside 50 %", "inside 90 %"]  # fmt: skip
    return table(head, rows)


def every_row(kinds: list[dict]) -> str:
    rows = []
    for row in kinds:
        values = [row["scores"][name]["rmse"] for name in (*PLAIN, BASE, MODEL)]
        rows.append([row["kind"], *(f"**{number(v, 3)}**" if v == min(values) else number(v, 3) for v in values)])
    head = ["kind", "mean", "nearest", "linear", "inverse distance", "thin plates", "kriging", "gridless"]
    return table(head, rows)


def scikit_table(kinds: list[dict]) -> str:
    rows = []
    for row in kinds:
        of = row["rivals"]
        scores = of["scores"]
        rows.append([
            row["kind"], str(of["questions"]), f"{number(scores[of['best']]['rmse'], 3)} ({of['best'].split()[1]})",
            number(scores[BASE]["rmse"], 3), number(scores[MODEL]["rmse"], 3), with_interval(of["ratios"]["rmse"]),
            with_interval(of["ratios"]["crps"]),
        ])  # fmt: skip
    head = [
        "kind",
        "questions",
        "scikit-learn's best",
        "kriging",
        "gridless",
        "ratio to scikit-learn's best",
        "of CRPS",
    ]
    return table(head, rows)


def slice_table(found: dict, block: str) -> str:
    rows = []
    for row in (row for row in found["slices"] if row["block"] == block):
        title = {"count": f"{row['value']} readings", "noise": f"noise {row['value']}"}.get(row["by"], row["value"])
        ours, base = row["scores"][MODEL], row["scores"][BASE]
        rows.append([
            title, str(row["questions"]), number(ours["rmse"], 3), number(base["rmse"], 3),
            with_interval(row["ratios"]["rmse"]), with_interval(row["ratios"]["crps"]),
            f"{number(ours['coverage_90'], 2)} / {number(base['coverage_90'], 2)}",
        ])  # fmt: skip
    head = ["", "questions", "RMSE", "kriging's", "ratio, typical field", "CRPS ratio", "inside 90 %"]
    return table(head, rows)


def clock_table(found: dict) -> str:
    def entry(of: dict) -> str:
        return f"{number(of['median'], 0)} ({number(of['min'], 0)} … {number(of['max'], 0)})"

    names = list(found["clock"][0]["milliseconds"])
    rows = [[str(row["count"]), *(entry(row["milliseconds"][name]) for name in names)] for row in found["clock"]]
    return table(["readings", *names], rows)


def counts_of(found: dict, block: str) -> str:
    """Of readings, with how many questions there were where that is fewer than at the first."""
    counted = {
        row["value"]: row["questions"] for row in found["slices"] if (row["block"], row["by"]) == (block, "count")
    }
    most = next(iter(counted.values()))
    return ", ".join(
        str(count) if asked == most else f"{count} (one field in {round(most / asked)})"
        for count, asked in counted.items()
    )


def darcy_section(found: dict) -> str:
    kinds = of_block(found, "darcy")
    if not kinds:
        return ""
    return f"""
## Pressures of Darcy flow

{kinds[0]["ratios"]["rmse"]["fields"]} test fields of 32 × 32 nodes in units of their own deviations (public data of the
neuraloperator project, MIT licence); 25, 50 and 100 random nodes are read without noise, all others are asked.

{ratio_table(kinds)}

{every_row(kinds)}

{scikit_table(kinds)}

{slice_table(found, "darcy")}
"""


def page(found: dict) -> str:
    prior, unseen = of_block(found, "prior"), of_block(found, "unseen")
    fields = prior[0]["ratios"]["rmse"]["fields"]
    few = prior[0]["rivals"]["ratios"]["rmse"]["fields"]
    hardware = found["hardware"]
    quick = "\n**A quick run: a quarter of the fields, up to 100 readings.**\n" if found["quick"] else ""
    verdicts = "\n".join(
        verdict_line(prior, score, measure) for measure in ("typical", "pooled") for score in ("rmse", "crps")
    )
    return f"""# Weights for scattered readings of any field

Written by `python benchmarks/sensors.py --page` from `results/sensors.json`
(`{found["command"]}`, {found["seconds"]:,} s; commit {found["commit"]}, {hardware["cpu"]}, {hardware["threads"]} thread).
{quick}
`gl.FieldModel.from_pretrained("sensors")` ({found["params"]:,} parameters) sees the readings of one field and where they
stand, and nothing else: no past, no other fields, no names of quantities. It starts at its base, kriging: a mixture over
kernels, lengths and noises weighed by the evidence of the readings, around plane waves where they hold some (what the waves
are worth beside plain kriging: [waves.md](waves.md)). It adds what its training on random fields taught; here it answers
untouched. The rows *kriging* are this base. Real fields are another table: [fields.md](fields.md).

![Four fields from 100 readings: the truth, kriging, the weights, their errors and spread](images/sensors.png)

Four test fields on the unit square, 100 readings without noise. The fields were chosen by their truth alone, before there
were weights; errors and spread of a line share one scale.

## Is it worth more than its base?

The bar, set before the first run: on no kind of the prior more than 1 % worse than kriging, and at least 10 % better on
three of the eight.

{verdicts}

{help_lines(prior)}

{ratio_table(prior)}

{fields} fields of each kind at the seeds of the test split, on squares, boxes, cylinders, regions and the globe. Each is
read at {counts_of(found, "prior")} places, without noise and with noise of 0.1 and 0.3, at random places,
in clusters and along tracks, in equal parts, and asked at {ASKED} random places. Fields have deviation 1 and the truth no
noise. A *typical field*: the geometric mean over fields of the ratio to kriging, with a 95 % t-interval over fields. *Of
the means*: the ratio of the scores over all questions together, mostly that of the hard ones. *Inside*: how much of the
truth lies in the intervals of 50 % and 90 %, gridless / kriging.

## Kinds that no training saw

Noise, steps and waves of other constructions, on the unit square: octaves of gradient noise; Mexican hats and Haar steps;
Franke, Branin, camel, peaks and Ackley, moved, turned and zoomed; signs of products of sines; a shock tube and the
saw-tooth of Burgers' equation, extruded; spiral waves. {unseen[0]["ratios"]["rmse"]["fields"]} fields of each kind,
read at {counts_of(found, "unseen")} places.

{ratio_table(unseen)}

{help_lines(unseen)}

## Every row

RMSE over all questions, in deviations of the field; the lowest is bold. All rows see the same readings and nothing else.

{every_row([*prior, *unseen])}

## Beside scikit-learn

Gaussian processes with a length for every axis and fitted noise, RBF and Matérn 3/2, on {few} of the fields of each kind at
all counts; where a domain joins at its ends they see positions without a seam. *Best* is the better of the two by RMSE over
these questions, chosen per kind after looking, in their favour.

{scikit_table([*prior, *unseen])}

## By number, noise and placement

{TITLES["prior"].capitalize()}:

{slice_table(found, "prior")}

{TITLES["unseen"].capitalize()}:

{slice_table(found, "unseen")}
{darcy_section(found)}
## Milliseconds

From readings to a map of 64 × 64 with its spread, fitting included, one thread, in turns: median (least … most).
*gridless* solves its kriging too; *encoding alone* is all that happens before the first question.

{clock_table(found)}
"""
