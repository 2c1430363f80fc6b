"""The licences of all that gridless depends on, in licences.csv: none may forbid what Apache-2.0 allows.

A dependency is used as it is and never shipped in the wheel, so that weak copyleft (LGPL, MPL) asks nothing of gridless.
Strong copyleft and proprietary terms are refused, in every extra.
"""

import csv
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

TABLE = Path(__file__).with_name("licences.csv")
FORBIDDEN = r"(?<!L)\bA?GPL|affero|(?<!lesser )general public|proprietary|commercial|SSPL|BUSL|CC-BY-N|-NC\b"
WEAK = r"LGPL|lesser general public|MPL|mozilla public|EPL|CDDL"
PERMISSIVE = (
    r"MIT\b|BSD|Apache|ISC\b|PSF|Python Software Foundation|HPND|Historical Permission|MIT-CMU|Zlib|Unlicense|CC0|"
    r"0BSD|BSL-1|Public Domain|libtiff|NCSA|CNRI-Python|Freely Distributable"
)
UNKNOWN = "unknown"
SCRIPT = """
import json
from importlib.metadata import distributions
rows = {}
for d in distributions():
    m = d.metadata
    said = m.get("License-Expression") or ""
    if not said:
        classes = [c.split(" :: ")[-1] for c in m.get_all("Classifier") or [] if c.startswith("License ::")]
        said = "; ".join(c for c in classes if c != "OSI Approved") or (m.get("License") or "").strip().split("\\n")[0][:80]
    rows[m["Name"]] = [m["Version"], said]
print(json.dumps(rows))
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def kind_of(said: str) -> str:
    """permissive, weak copyleft, forbidden or unknown. Of alternatives (OR) the freest counts, of several all do."""
    order = ("permissive", "weak copyleft", UNKNOWN, "forbidden")
    if re.search(r"\bOR\b", said):
        return min((kind_of(part) for part in re.split(r"\bOR\b", said)), key=order.index)
    if re.search(r"\bAND\b|; ", said):
        return max((kind_of(part) for part in re.split(r"\bAND\b|; ", said)), key=order.index)
    if re.search(WEAK, said, re.I):
        return "weak copyleft"
    if re.search(FORBIDDEN, said, re.I):
        return "forbidden"
    return "permissive" if re.search(PERMISSIVE, said, re.I) else UNKNOWN


def table() -> dict[str, str]:
    """What every distribution says of its licence, by its name."""
    with open(TABLE, newline="", encoding="utf-8") as file:
        return {row["distribution"]: row["licence"] for row in csv.DictReader(file)}


def complaints(said: Mapping[str, str]) -> list[str]:
    known = table() if TABLE.is_file() else {}
    out = []
    for name, licence in sorted(said.items()):
        kind = kind_of(licence or known.get(name, ""))
        if kind not in ("permissive", "weak copyleft"):
            out.append(
                f"{name} has the licence {licence!r}: {kind}; read it, and say in {TABLE.name} what it is, or leave it out"
            )
    return out


def installed(python: Path) -> dict[str, str]:
    """What the distributions that an interpreter sees say of their licences."""
    told = subprocess.run([python, "-I", "-c", SCRIPT], check=True, capture_output=True, text=True).stdout
    return {normal(name): said for name, (_, said) in json.loads(told).items() if normal(name) not in OURS}


OURS = ("gridless", "pip", "setuptools", "wheel")


def write(said: Mapping[str, str]) -> None:
    """The table anew; what was read by hand stays where a distribution says nothing."""
    known = table() if TABLE.is_file() else {}
    rows = known | {name: licence or known.get(name, "") for name, licence in said.items()}
    with open(TABLE, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["distribution", "licence", "kind"])
        writer.writerows([name, licence, kind_of(licence)] for name, licence in sorted(rows.items()))
