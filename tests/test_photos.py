"""The photographs that ship in wheels, and folders of one's own."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gridless.data import ImageError, PhotoFolder, folder, folders, photos, read_photo, write_photo
from gridless.data.folders import unique_names
from gridless.data.photos import SPLITS
from gridless.data.pictures import safe_name

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


def tree(path, *names):
    for level, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        write_photo(path / name, np.full((2, 3 + level, 1), level / 255))


def test_folder(tmp_path):
    tree(tmp_path, "b.png", "a.PNG", "c.tif", "a.bmp", ".hidden.png", "inside/d.png")
    (tmp_path / "notes.txt").write_text("not a picture", encoding="utf-8")
    (tmp_path / "inside.png").mkdir()
    found = folder(tmp_path)
    assert [(p.name, int(p.pixels.max())) for p in found] == [("a.PNG", 1), ("a.bmp", 3), ("b", 0), ("c", 2)]
    assert found.sizes() == [(2, 4), (2, 6), (2, 3), (2, 5)] == [p.shape[:2] for p in found]


def test_pictures_anywhere_inside(tmp_path):
    names = ("b.png", "cats/a.png", "cats/b.png", "cats/deep/B.webp", "dogs/a.png", "dogs/a.bmp", ".git/x.png")
    tree(tmp_path, *names, "cats-a.png", "Größe.png")
    found = folder(tmp_path, recursive=True)
    assert [p.name for p in found] == list(found.names)
    assert {p.name: p.shape[1] - 3 for p in found} == {
        "Größe": 8, "cats-a": 7, "b": 0, "cats-a.png": 1, "cats-b": 2, "cats-deep-B": 3, "dogs-a.png": 4, "dogs-a.bmp": 5,
    }  # fmt: skip
    assert len({name.casefold() for name in found.names}) == len(found)


def test_names_are_unique_whatever_the_paths_are():
    paths = ["a/b.png", "a-b.png", "a/b-png", "a-b.PNG", "x\\y.png", "x-y.png", "A/B.png"]
    names = unique_names(map(Path, paths))
    assert len({name.casefold() for name in names}) == len(paths)
    assert all(name == safe_name(name) for name in names)


def test_a_picture_is_decoded_when_it_is_asked_for(tmp_path, monkeypatch):
    tree(tmp_path, *(f"{k}.png" for k in range(6)))
    decoded = []

    def read(file):
        decoded.append(file.stem)
        return read_photo(file)

    monkeypatch.setattr(folders, "read_photo", read)
    pictures = folder(tmp_path)
    assert len(pictures) == 6 and decoded == []
    part = pictures[4:1:-1]
    assert type(part) is PhotoFolder and part.names == ("4", "3", "2") and decoded == []
    assert part[0].name == "4" and pictures[4].name == "4" and pictures[-2].name == "4" and decoded == ["4"]
    with pytest.raises(IndexError):
        pictures[6]
    again = pickle.loads(pickle.dumps(part))
    assert again.names == part.names and again[0].pixels.shape == (2, 7, 1)


def test_few_decoded_pictures_are_kept(tmp_path, monkeypatch):
    tree(tmp_path, *(f"{k}.png" for k in range(4)))  # of 6, 8, 10 and 12 bytes
    kept = folders.DecodedPhotos(most=20)
    pictures = PhotoFolder(folder(tmp_path).files, kept=kept)
    for _ in range(2):
        for number in range(len(pictures)):
            assert pictures[number].nbytes <= kept.nbytes == sum(p.nbytes for p in kept.photos.values()) <= 20
    assert [p.shape[1] for p in kept.photos.values()] == [6]
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda k: pictures[k % 4].name, range(200)))
    assert names == [str(k % 4) for k in range(200)] and kept.nbytes <= 20


def test_a_picture_that_was_damaged_later_is_named(tmp_path):
    tree(tmp_path, "a.png", "b.png")
    pictures = folder(tmp_path)
    data = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[:-20])
    assert pictures[0].name == "a"
    with pytest.raises(ImageError, match=r"b\.png' is damaged"):
        pictures[1]


def test_bad_folders(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        folder(tmp_path / "missing")
    for recursive in (False, True):
        with pytest.raises(ImageError, match="holds no image"):
            folder(tmp_path, recursive)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="is a file"):
        folder(tmp_path / "broken.png")
    with pytest.raises(ImageError, match=r"broken\.png"):
        folder(tmp_path)
