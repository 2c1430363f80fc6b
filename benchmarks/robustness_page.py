"""The tables of docs/robustness.md, from results/fuzz.json and results/kills.json.

python benchmarks/robustness_page.py     writes them into the page
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "robustness.md"


def fuzz_table(report: dict) -> str:
    lines = ["| door | cases | answers | refusals | faults |", "| --- | ---: | ---: | ---: | ---: |"]
    rows, keys = report["doors"], ("cases", "answer", "refusal", "fault")
    lines += [f"| {row['door']} | {' | '.join(f'{row[key]:,}' for key in keys)} |" for row in rows]
    lines.append(f"| all | {' | '.join(f'{sum(row[key] for row in rows):,}' for key in keys)} |")
    longest, most = max(row["longest_s"] for row in rows), max(row["most_gib"] for row in rows)
    return "\n".join(
        [
            *lines,
            "",
            f"No case took more than {longest:.2f} s of the processor and {most:.2f} GiB of memory (seed {report['seed']};",
            "[results/fuzz.json](../results/fuzz.json)).",
        ]
    )


def kills_table(report: dict) -> str:
    lines = ["| command | kills | runs of it | one undisturbed, CPU s |", "| --- | ---: | ---: | ---: |"]
    rows = report["commands"]
    lines += [f"| {row['command']} | {row['kills']} | {row['trials']} | {row['seconds']:.2f} |" for row in rows]
    kills, faults = sum(row["kills"] for row in rows), len(report["faults"])
    said = "None was found otherwise" if not faults else f"{faults} were found otherwise"
    return "\n".join([*lines, "", f"{kills} kills. {said} ([results/kills.json](../results/kills.json))."])


def page(text: str) -> str:
    """The page with the tables of the committed results."""
    for name, table in (("fuzz", fuzz_table), ("kills", kills_table)):
        file = ROOT / "results" / f"{name}.json"
        made = table(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else "Not measured."
        head, rest = text.split(f"<!-- {name} -->")
        text = f"{head}<!-- {name} -->\n\n{made}\n\n<!-- /{name} -->{rest.split(f'<!-- /{name} -->')[1]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
