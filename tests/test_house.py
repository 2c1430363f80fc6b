"""The layout: arrows run one way, no circle, few files in the root, none too long."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "gridless"
FLOORS = (
    ("cli", "__main__", "__init__"),
    ("demo",),  # a page for visitors: it draws with reports and writes files as runs does
    ("runs", "export"),
    ("reports",),
    ("training",),
    ("scoring",),
    ("model", "tasks"),
    ("network", "bases"),
    ("data", "field"),
    ("nn", "protocols", "weights"),
    ("samples", "coords", "intake", "domain"),
    ("config", "files", "terminal"),
)
"""From the doors down: a room imports from its own floor and those below."""
LONGEST, ROOT_FILES = 350, 12


def rooms() -> dict[str, int]:
    return {room: floor for floor, names in enumerate(FLOORS) for room in names}


def room_of(file: Path) -> str:
    inside = file.relative_to(PACKAGE)
    return inside.parts[0].removesuffix(".py")


def imported(file: Path) -> set[str]:
    """The rooms that a file imports when it is loaded or used; what only a type checker sees is no arrow."""
    found = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    hidden = {id(child) for node in skipped for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("gridless"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("gridless.")}
    return found


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_a_floor():
    assert {room_of(file) for file in files()} <= set(rooms())


@pytest.mark.parametrize("file", files(), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_no_arrow_points_up(file):
    floors, here = rooms(), room_of(file)
    if here == "__init__":
        return  # the public names, loaded on first use
    up = {room for room in imported(file) if room in floors and floors[room] < floors[here]}
    assert not up, f"{file.name} of {here} imports from above: {up}"


def test_rooms_import_one_another_in_no_circle():
    arrows = {room: set() for room in rooms()}
    for file in files():
        if room_of(file) != "__init__":
            arrows[room_of(file)] |= {room for room in imported(file) if room in arrows} - {room_of(file)}
    done: list[str] = []
    while len(done) < len(arrows):
        free = [room for room in arrows if room not in done and arrows[room] <= set(done)]
        assert free, f"a circle among {sorted(set(arrows) - set(done))}"
        done += free


def test_files_are_few_and_short():
    root = list(PACKAGE.glob("*.py"))
    assert len(root) <= ROOT_FILES, sorted(file.name for file in root)
    long = {f.name: n for f in files() if (n := len(f.read_text(encoding="utf-8").splitlines())) > LONGEST}
    assert not long


def without_encoding(file: Path) -> list[int]:
    """Lines that read or write text in whatever encoding the machine has; ruff sees those of what it knows to be a path."""
    lines = []
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        text = {"read_text": 0, "write_text": 1}.get(call.func.attr) == len(call.args)
        if text and not any(keyword.arg == "encoding" for keyword in call.keywords):
            lines.append(call.lineno)
    return lines


def test_text_is_read_and_written_in_a_named_encoding():
    every = [file for room in ("src", "tests", "benchmarks") for file in (ROOT / room).rglob("*.py")]
    assert not {str(file.relative_to(ROOT)): lines for file in every if (lines := without_encoding(file))}


def test_the_package_holds_weights_by_name_and_no_claims():
    inside = [str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts]
    assert not [name for name in inside if "claim" in name]
    assert {path.parent.name for path in PACKAGE.glob("weights/*/config.json")} == {
        "cifar10-mamba-ginr",
        "photo",
        "sensors",
        "volume",
    }
