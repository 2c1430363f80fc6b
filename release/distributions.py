"""The sdist and the wheel: built, small enough, and silent about the machine that built them."""

import getpass
import platform
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from release.documents import ROOT

LARGEST = 25e6  # bytes of the wheel
HOMES = rb"(?<![\w.~])(?:/(?:home|Users|root|work|workspace|mnt|opt)/|[A-Z]:\\Users\\)[A-Za-z0-9._-]+"
NO_NAMES = {"root", "user", "runner", "ubuntu", "admin", "localhost", "builder"}  # say nothing about a machine
IN_CHECKOUT = (".md", ".json", ".jsonl", ".ipynb", ".toml", ".csv", ".cff", ".yml", ".yaml")


def build(folder: Path) -> tuple[Path, Path]:
    """sdist and wheel of the checkout, the wheel made from the sdist."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, stdout=subprocess.DEVNULL)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def complaints(sdist: Path, wheel: Path) -> list[str]:
    said = [f"{file.name} {where}" for file in (sdist, wheel) for where in machine_marks(contents(file))]
    if wheel.stat().st_size > LARGEST:
        said.append(f"{wheel.name} has {wheel.stat().st_size / 1e6:.1f} MB, at most {LARGEST / 1e6:.0f} are wanted")
    names = [name for name, _ in contents(wheel)]
    said += [f"{wheel.name} holds {name}, which no user needs" for name in names if not name.startswith("gridless")]
    cards = {Path(name).parent.name for name in names if re.search(r"weights/[^/]+/README.md$", name)}
    weights = {Path(name).parent.name for name in names if name.endswith(".safetensors")}
    return said + [f"{wheel.name} holds the weights {name} without their card" for name in sorted(weights - cards)]


def contents(file: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the files in an archive."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist() if not name.endswith("/"))
        return
    with tarfile.open(file) as sdist:
        for member in sdist:
            if (opened := sdist.extractfile(member)) is not None:
                yield member.name, opened.read()


def checkout() -> Iterator[tuple[str, bytes]]:
    """The pages and tables of the checkout that git knows."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if path.suffix in IN_CHECKOUT and path.is_file():
            yield name, path.read_bytes()


def machine_marks(files: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Where a path below a home, or the name of this user or machine, stands."""
    names = {name for name in (getpass.getuser(), platform.node()) if len(name) > 3 and name.lower() not in NO_NAMES}
    mark = re.compile(b"|".join([HOMES, *(rb"\b" + re.escape(name.encode()) + rb"\b" for name in sorted(names))]))
    for name, data in files:
        if (match := mark.search(data)) is not None:
            yield f"{name} names {match[0].decode(errors='replace')!r}, a path or a name of a machine; take it out"
