"""Every Python block of the README and of docs/ runs as it stands, page by page, as one module."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import gridless as gl

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)


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


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
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
    assert {"README.md", "own-data.md", "extending.md", "concepts.md"} <= {page.name for page in WITH_PYTHON}


def test_the_picture_is_one():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/concepts.md")]
    texts.append(re.sub("^ {4}", "", gl.__doc__, flags=re.M))
    pictures = {re.search(r"^Signal .*?^Field .*?$", text, re.S | re.M)[0] for text in texts}
    assert len(pictures) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
