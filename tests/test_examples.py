"""The examples run, draw a picture, and are short; those that are shown lie in docs/images/examples."""

import importlib.util
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLES, PICTURES = ROOT / "examples", ROOT / "docs" / "images" / "examples"
TINY = {
    "enlarge_photo": ["--scale", "2.5", "--side", "12"],
    "stations": ["--side", "12"],
    "oblique_plane": ["--side", "24", "--slices", "6"],
    "between_frames": ["--side", "20"],
    "own_arrays": ["--steps", "2"],
    "own_decoder": ["--steps", "2"],
}


@pytest.mark.parametrize("name", TINY)
def test_an_example_draws_its_picture(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if name == "stations":
        pytest.importorskip("pandas")
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec.loader.exec_module(module)
    module.main(["made.png", *TINY[name]])
    with Image.open("made.png") as picture:
        assert min(picture.size) >= 30
    assert capsys.readouterr().out


def test_the_examples_are_short_and_shown():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {*TINY, "pseudo_stations"}
    pages = [(ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/index.md")]
    for name in TINY:
        assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 60
        assert all(f"examples/{name}.py" in page for page in pages)
    pictures = list(PICTURES.glob("*.png"))
    assert {path.stem for path in pictures} <= set(TINY) and max(path.stat().st_size for path in pictures) <= 150_000
