"""Every Python block of the README and of docs/ runs as it stands, page by page, as one module; every command that a page
shows is one, with its options; every link and anchor leads somewhere."""

import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import gridless as gl

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1$", re.S | re.M)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def source(page: Path) -> str:
    """The page's blocks as one file, each on its own lines, so that an error names the line of the page."""
    text, lines = page.read_text(encoding="utf-8"), []
    for block in BLOCK.finditer(text):
        before = text.count("\n", 0, block.start(1))
        lines += [""] * (before - len(lines)) + block[1].splitlines()
    return "\n".join(lines)


def run(page: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page as a module that is imported, so that its classes can be found by their names."""
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source(page), str(page), "exec"), vars(module))
    return module


WITH_PYTHON = [page for page in PAGES if source(page)]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_every_python_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "import nibabel" in source(page):
        pytest.importorskip("nibabel")
    names = vars(run(page, monkeypatch))
    if page.name == "README.md":
        assert names["big"].shape == (89, 74, 3) and names["edge"].shape == (64, 3, 2)
        truth = 0.5 + 0.5 * (names["gl"].grid(64, 64) * names["torch"].tensor([8, 13])).sum(1, keepdim=True).sin()
        assert (names["mean"] - truth).abs().max() < 0.05 and names["std"].shape == (4096, 1)
        assert {"psnr_rgb", "floats_per_value"} <= {row["metric"] for row in names["rows"]}


def test_the_pages_with_python_are_these():
    python = {name_of(page) for page in WITH_PYTHON}
    assert {f"docs/{name}.md" for name in ("index", "own-data", "extending", "concepts", "systems/index")} <= python


def test_the_picture_is_one():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/concepts.md")]
    texts.append(re.sub("^ {4}", "", gl.__doc__, flags=re.M))
    pictures = {re.search(r"^Signal .*?^Field .*?$", text, re.S | re.M)[0] for text in texts}
    assert len(pictures) == 1


def commands(page: Path) -> list[list[str]]:
    """The command lines that a page shows, each as its words; a pipe's parts one by one."""
    lines = []
    for _, language, body in FENCED.findall(page.read_text(encoding="utf-8")):
        if language in ("", "bash", "sh"):
            lines += body.replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in re.split(r" [|>] ", line)]
    return [shlex.split(part, comments=True) for part in parts if re.match(r"(gridless|make|pip|python) ", part)]


def shown(program: str) -> dict[str, list[str]]:
    """Every line of a program that some page shows, and its words."""
    found = [(name_of(page), words) for page in PAGES for words in commands(page) if words[0] == program]
    return {f"{page}: {shlex.join(words)}": words[1:] for page, words in found}


@pytest.mark.parametrize("words", (lines := shown("gridless")).values(), ids=lines)
def test_every_command_is_one(words, monkeypatch):
    """The verb and its options are known; a recipe's settings are valid. Nothing is run."""
    from gridless.cli import app, predict
    from gridless.data.kinds import kind_of_inputs
    from gridless.runs.recipe_flags import recipe_of

    monkeypatch.chdir(ROOT)
    quiet = {"exit_on_error": False, "print_error": False}
    if "--help" in words:
        words = words[: words.index("--help")]
        assert app[words[0]] and (len(words) < 2 or app[words[0]][words[1]])
        return
    if words[0] == "predict":
        predict[kind_of_inputs(words[2:])].parse_args(words[1:], **quiet)
        return
    command, given, _ = app.parse_args(words, **quiet)
    if command.__name__ in ("train", "sweep"):
        named = {key: given.arguments.get(key) for key in ("data", "preset", "size", "variable")}
        recipe_of(given.arguments["recipe"], given.arguments.get("flags", ()), **named)


def test_what_is_made_installed_and_run_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {words[0] for words in shown("make").values()} <= targets
    extras = {extra for words in shown("pip").values() for extra in re.findall(r"[\w-]+", " ".join(words[1:]))}
    assert extras <= set(project["optional-dependencies"]) | {"gridless"}
    scripts = [words[0] for words in shown("python").values() if words[0].endswith(".py")]
    assert [script for script in scripts if not (ROOT / script).exists()] == []


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and the site make them."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line) for line in re.findall(r"^#+ (.*)$", text, re.M)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    wrong = []
    for file, anchor in re.findall(r"\]\((?!http)([^)#\s]*)(?:#([^)]*))?\)", FENCED.sub("", page.read_text("utf-8"))):
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(f"{file}#{anchor}")
    assert wrong == []
