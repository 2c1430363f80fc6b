"""Files appear whole or not at all, and nothing stays of what did not."""

import errno
import json
import math
import os
import stat
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from gridless import files


def test_text_is_utf8_and_keeps_its_line_ends_whatever_the_locale(tmp_path):
    script = (
        "import sys; from gridless.files import write_text; write_text(sys.argv[1], 'Gr\\u00f6\\u00dfe \\u00d7\\n')"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.txt")], env=environment, check=True)
    assert (tmp_path / "a.txt").read_bytes() == "Größe ×\n".encode()


def test_json_holds_finite_numbers_only(tmp_path):
    files.write_json(tmp_path / "a.json", {"psnr": math.inf, "all": [1.5, math.nan], "name": "ü"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=pytest.fail) == {
        "psnr": None,
        "all": [1.5, None],
        "name": "ü",
    }
    files.append_json(tmp_path / "a.jsonl", {"gain": -math.inf})
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == '{"gain": null}\n'


@pytest.mark.parametrize("text", [b"", b'{"a": ', b"[" * 100_000, b"\xff\xfe{}"])
def test_a_damaged_json_file_is_named(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"run.json: expected JSON .*restore or remove"):
        files.read_json(tmp_path / "run.json")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    files.write_text(path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device; nothing was written.*results.csv") as caught:
            files.write_text(path, "new")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(KeyboardInterrupt), files.replacing_folder(tmp_path / "checkpoint-1") as part:
        (part / "state.json").write_text("{}", encoding="utf-8")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"] and path.read_text(encoding="utf-8") == "old"
    with pytest.raises(OSError, match=r"a\.txt"):
        files.write_text(tmp_path / "nowhere" / "a.txt", "")


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()

    def name(pid, host=files.HOST):
        return f".gridless-{host}-{pid}-0123abcd.tmp"

    (tmp_path / name(dead.pid)).write_text("half", encoding="utf-8")
    (tmp_path / name(dead.pid).replace("0123", "4567")).mkdir()
    kept = [name(os.getpid()), name(dead.pid, "00000000"), "mine.tmp"]
    for other in kept:
        (tmp_path / other).write_text("", encoding="utf-8")
    files.write_text(tmp_path / "a.txt", "")  # the first that this process writes there
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", *kept}


def test_every_file_has_the_mode_of_any_other(tmp_path):
    with open(tmp_path / "plain", "w", encoding="utf-8"):
        pass
    files.write_text(tmp_path / "text", "")
    with files.replacing(tmp_path / "tensors") as part:
        save_file({"a": torch.zeros(1)}, part)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_folder_appears_with_all_that_is_in_it(tmp_path):
    for text in ("first", "second"):
        with files.replacing_folder(tmp_path / "checkpoint-1") as part:
            (part / "a").write_text(text, encoding="utf-8")
            assert (
                not (tmp_path / "checkpoint-1").exists()
                or (tmp_path / "checkpoint-1" / "a").read_text(encoding="utf-8") == "first"
            )
    assert (tmp_path / "checkpoint-1" / "a").read_text(encoding="utf-8") == "second" and len(
        list(tmp_path.iterdir())
    ) == 1
