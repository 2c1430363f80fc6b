"""The documents of a release: they are there, their links lead somewhere, and one version stands everywhere."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = ("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "SECURITY.md")


def project() -> dict:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def complaints() -> list[str]:
    return [*missing(), *disagreeing(), *dead_links()]


def missing() -> Iterator[str]:
    for name in NEEDED:
        if not (ROOT / name).is_file():
            yield f"{name} is missing; write it"


def disagreeing() -> Iterator[str]:
    """Versions other than pyproject's: the topmost of the changelog, the citation's, and that of a tag on this commit."""
    version = project()["version"]
    found = {
        "CHANGELOG.md": first(r"^## (?:\[)?(\d[\w.]*)", "CHANGELOG.md"),
        "CITATION.cff": first(r"^version: [\"']?(\d[\w.]*)", "CITATION.cff"),
    }
    found |= {f"the git tag {tag}": tag.removeprefix("v") for tag in tags()}
    for where, other in found.items():
        if other != version:
            yield f"{where} says version {other}, pyproject.toml {version}; make them one"


def first(pattern: str, name: str) -> str | None:
    path = ROOT / name
    match = re.search(pattern, path.read_text(encoding="utf-8"), re.M) if path.is_file() else None
    return match and match[1]


def tags() -> list[str]:
    """Of this commit, that name a version; none without git."""
    try:
        told = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return []
    return [tag for tag in told.stdout.split() if re.fullmatch(r"v?\d+(\.\d+)+\w*", tag)]


def dead_links() -> Iterator[str]:
    """Links within the repository that lead nowhere, of every page in the root."""
    for page in sorted(ROOT.glob("*.md")):
        for link in re.findall(r"\]\((?!http|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            if not (page.parent / link).exists():
                yield f"{page.name} links to {link}, which is not there"
