"""A file appears whole or not at all; what a killed process left is removed by the next write into the folder."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from gridless.data import files
from gridless.data.files import whole_file


def write(path, data=b"newer"):
    with whole_file(path) as file:
        file.write(data)


def test_the_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    order = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: order.append("fsync") or fsync(number))
    monkeypatch.setattr(os, "replace", lambda *names: order.append("replace") or rename(*names))
    (tmp_path / "a").write_bytes(b"older")
    write(tmp_path / "a")
    assert order == ["fsync", "replace"] and (tmp_path / "a").read_bytes() == b"newer"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_full_disk_names_the_file_and_leaves_the_older_one(tmp_path, monkeypatch, moment):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a").write_bytes(b"older")
    monkeypatch.setattr(os, moment, full)
    with pytest.raises(OSError, match=r"a' cannot be written \(No space left on device\)"):
        write(tmp_path / "a")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"older")]


def hidden(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".gridless-")]


@pytest.mark.skipif(files.fcntl is None, reason="POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path, how):
    code = """
import sys, time
from gridless.data.files import whole_file
with whole_file(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "b")], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        (file,) = hidden(tmp_path)
        old = time.time() - 2 * files.YOUNG
        os.utime(file, (old, old))
        write(tmp_path / "a")
        assert hidden(tmp_path) == [file]  # its writer lives
        process.send_signal(how)
        process.wait()
    assert hidden(tmp_path) == [file]
    write(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_just_made_is_left_alone(tmp_path):
    (tmp_path / ".gridless-0.tmp").write_bytes(b"another process is about to lock it")
    write(tmp_path / "a")
    assert len(hidden(tmp_path)) == 1
