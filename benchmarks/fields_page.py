"""docs/fields.md from results/fields.json."""

from collections.abc import Sequence

SETS = {
    "ostia": "Sea surface temperature of the tropics, monthly (OSTIA)",
    "ersst": "Sea surface temperature of the globe, monthly (ERSSTv5)",
    "era5": "Temperature at 2 m over Britain, hourly (ERA5)",
    "noaa": "Daily maximum temperature at US stations (NOAA)",
    "pm10": "Daily PM10 at rural stations in Germany (EEA AirBase)",
}
SPLITS = {
    "ostia": "months 1–42 teach, 43–54 are asked (an El Niño turning into a La Niña)",
    "ersst": "months 1–96 teach, 97–128 are asked",
    "era5": "20 days teach, of the last 11 every sixth hour is asked; the last full map is six hours old",
    "noaa": "stations with 90 % of the days; 27 are never used; every third day of 1993 is asked; 1990–1992 teach",
    "pm10": "stations with 70 % of the days since 2005; a fifth is never used; every fifth day of 2008–2009 with 15 or more "
    "readings is asked; 2003–2007 teach",
}
BARS = {
    ("ostia", 100): 0.294, ("ostia", 50): 0.351, ("ostia", 25): 0.455,
    ("ersst", 100): 0.390, ("ersst", 50): 0.446, ("ersst", 25): 0.492,
    ("era5", 100): 0.413, ("era5", 50): 0.545, ("era5", 25): 0.699,
}  # fmt: skip
"""RMSE of a prototype of optimal interpolation, rank and length the best in hindsight, on other draws."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(row: dict, name: str, digits: int) -> str:
    if row.get(name) is None:
        return "–"
    half = row[f"{name}_half_width"]
    return f"{row[name]:.{digits}f}" + (f" ± {half:.{digits}f}" if half is not None and name == "rmse" else "")


def percent(row: dict, name: str) -> str:
    return "–" if row.get(name) is None else f"{100 * row[name]:.0f}"


def of_set(found: dict, name: str) -> str:
    rows, about = [row for row in found["rows"] if row["set"] == name], found["sets"][name]
    counts = sorted({row["sensors"] for row in rows}, reverse=True)
    order = {row["method"]: row["rmse"] for row in reversed(rows) if row["sensors"] == counts[len(counts) // 2]}
    lines = []
    for method in sorted(order, key=lambda each: -order[each]):
        each = {row["sensors"]: row for row in rows if row["method"] == method}
        of_counts = [each[count] for count in counts if count in each]
        lines.append(
            [method, of_counts[0]["sees"], *(number(each[n], "rmse", 3) if n in each else "–" for n in counts),
             " / ".join(number(row, "crps", 3) for row in of_counts),
             " / ".join(percent(row, "coverage_50") for row in of_counts),
             " / ".join(percent(row, "coverage_90") for row in of_counts), f"{of_counts[0]['seconds']:.0f}"]
        )  # fmt: skip
    if (name, counts[0]) in BARS:
        bars = [f"{BARS[name, count]:.3f}" for count in counts]
        lines.append(["*prototype, best in hindsight*", "", *bars, "", "", "", ""])
    places = (
        f"{about['cells']:,} cells"
        if "cells" in about
        else f"{about['stations']} stations, {about['left_out']} left out"
    )
    head = ["", "sees", *(f"RMSE ({about['unit']}), {n} sensors" for n in counts), "CRPS", "in 50 %", "in 90 %", "s"]
    return (
        f"## {SETS[name]}\n\n{places}, {about['taught']} steps to learn from, {about['asked']} asked: {SPLITS[name]}.\n\n"
        + table(head, lines)
    )


def page(found: dict) -> str:
    hardware = found["hardware"]
    commits = ", ".join(dict.fromkeys(row["commit"] for row in found["rows"]))
    sets = "\n\n".join(of_set(found, name) for name in SETS if name in found["sets"])
    return f"""# Real fields from few readings

Written by `python benchmarks/fields.py --page` from `results/fields.json` (`{found["command"]}`;
commits {commits};
{hardware["cpu"]}, {hardware["threads"]} thread, shared with other work).

{len(found["seeds"])} draws of sensors (or of stations left out); means with their 95 % t-intervals over the draws. On
grids all measured cells are asked, those that are read included, and weighted by their area; the intervals are of the
*field*. Of stations, readings that were left out are asked; the intervals are of a *reading*. CRPS and the shares inside
the 50 % and 90 % intervals are for the counts of sensors in the same order.
Seconds are those of all draws and counts of a row together, fitting included.

What a row sees decides what it can be compared with: nothing of the day (climatology), its readings, past fields too, or
even the last full map. Nearest, linear, RBF, inverse distance, kriging and scikit-learn's Gaussian processes answer
anomalies to the climatology on grids, and values as they are at stations. OI is `gl.bases.Oi`: modes of past fields that
hold nearby, and a Matérn residual, in one covariance that past fields choose ([own-data.md](own-data.md)).

{sets}
"""
