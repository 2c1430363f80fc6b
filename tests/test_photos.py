"""The photographs that ship in wheels, and folders of one's own."""

import subprocess
import sys

import numpy as np
import pytest

from gridless.data import ImageError, folder, photos, write_photo
from gridless.data.photos import SPLITS

TRAIN_COLOUR = ["astronaut", "motorcycle_left", "motorcycle_right", "hubble_deep_field", "ihc", "retina"]
TRAIN_GREY = ["brick", "camera", "coins", "grass", "gravel", "cell", "moon", "page", "text", "clock_motion"]


def test_the_splits():
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    found = {split: photos(split) for split in SPLITS}
    assert [p.name for p in found["train"]] == TRAIN_COLOUR + TRAIN_GREY
    assert [p.name for p in found["val"]] == ["flower", "rocket"]
    assert [p.name for p in found["test"]] == ["chelsea", "coffee", "china"]
    assert [p.shape[-1] for p in found["train"]] == [3] * 6 + [1] * 10
    assert {p.name: p.shape for p in found["test"]} == {
        "chelsea": (300, 451, 3),
        "coffee": (400, 600, 3),
        "china": (427, 640, 3),
    }
    assert all(p.depth == 8 and p.alpha is None and p.values.std() > 0.02 for split in found.values() for p in split)
    assert [p.name for p in photos()] == TRAIN_COLOUR + TRAIN_GREY
    names = [entry for split in SPLITS.values() for entry in split]
    assert len(names) == len(set(names)) == 21


def test_unknown_split():
    with pytest.raises(ValueError, match=r"'dev'.*'train', 'val', 'test'"):
        photos("dev")


def test_missing_wheel(monkeypatch):
    monkeypatch.setattr(sys.modules["gridless.data.photos"], "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'gridless\[photos\]'"):
        photos("test")


def test_no_heavy_package_is_imported():
    pytest.importorskip("skimage")
    code = (
        "import sys; from gridless.data import photos; photos('test');"
        "print([m for m in ('torch', 'skimage', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]" and done.stderr == ""


def test_folder(tmp_path):
    for level, name in enumerate(["b.png", "a.PNG", "c.tif", "a.bmp", ".hidden.png"]):
        write_photo(tmp_path / name, np.full((2, 3, 1), level / 255))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "inside.png").mkdir()
    found = folder(tmp_path)
    assert [(p.name, int(p.pixels.max())) for p in found] == [("a.PNG", 1), ("a.bmp", 3), ("b", 0), ("c", 2)]


def test_bad_folders(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        folder(tmp_path / "missing")
    with pytest.raises(ImageError, match="holds no image"):
        folder(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="is a file"):
        folder(tmp_path / "broken.png")
    with pytest.raises(ImageError, match=r"broken\.png"):
        folder(tmp_path)
