"""predict on the command line: files, folders, pipes, sizes, frames, floats, quality, comparisons, and what fails."""

import io
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LOCAL, bicubic_model, tiny
from pictures import H, W, leftovers, noise, saved
from PIL import Image
from test_cli import fails

from gridless import cli
from gridless.data.picture_reading import read_photo
from gridless.data.pictures import ImageError, Photo
from gridless.runs import picture_jobs, predict
from gridless.runs.picture_jobs import _bar
from gridless.runs.predict import predict_file
from gridless.runs.predict_options import PredictOptions


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    bicubic_model().save_pretrained(folder)
    return folder


def picture(path, channels=3, seed=0):
    samples = noise(channels, seed=seed)
    Image.fromarray(samples[..., 0] if channels == 1 else samples).save(path)
    return samples


def run(*argv):
    cli.main(["predict", *map(str, argv)])


# --- files and folders ------------------------------------------------------------------------------------------


def test_files_and_folders_into_a_folder(weights, tmp_path, capsys):
    """Names, and folders inside, are kept; what cannot be written as it came becomes PNG; other files are passed over."""
    folder = tmp_path / "holiday"
    (folder / "beach").mkdir(parents=True)
    picture(tmp_path / "a.jpg")
    picture(folder / "b.png")
    picture(folder / "beach" / "b.webp")
    picture(folder / "c.gif", 1)
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    (folder / ".hidden.png").write_bytes(b"no picture")
    run(weights, tmp_path / "a.jpg", folder, folder / "b.png", "--scale", 2, "-o", tmp_path / "big")
    files = sorted(str(p.relative_to(tmp_path / "big")) for p in (tmp_path / "big").rglob("*") if p.is_file())
    assert files == ["a.jpg", "b.png", os.path.join("beach", "b.webp"), "c.png"]
    assert all(read_photo(tmp_path / "big" / name).shape[:2] == (2 * H, 2 * W) for name in files)
    said = capsys.readouterr()
    assert said.out.count(f"{2 * W} × {2 * H}") == 4 and said.err == ""  # no bar where there is no terminal
    run(weights, folder / "b.png", "--scale", 1, "--format", "bmp", "-o", tmp_path / "new")
    assert leftovers(tmp_path / "new") == ["b.bmp"]
    run(weights, folder, "--scale", 1, "--format", "bmp", "-o", tmp_path / "bmp")
    assert {p.suffix for p in (tmp_path / "bmp").rglob("*.*")} == {".bmp"}


def test_one_failing_file_stops_no_other(weights, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    picture(folder / "a.png")
    (folder / "b.png").write_bytes(b"nothing of a picture")
    picture(folder / "c.png")
    with pytest.raises(SystemExit) as stop:
        run(weights, folder, tmp_path / "missing.png", "-o", tmp_path / "out", "--scale", 1)
    said = capsys.readouterr()
    assert stop.value.code == 2
    lines = said.err.strip().splitlines()
    assert len(lines) == 2 and "b.png' is not an image" in lines[0] and "missing.png' does not exist" in lines[1]
    assert leftovers(tmp_path / "out") == ["a.png", "c.png"] and len(said.out.splitlines()) == 2


def test_what_is_no_command_is_said_before_anything_is_read(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(picture_jobs, "predict_picture", lambda *_: pytest.fail("computed"))
    picture(tmp_path / "a.png")
    (tmp_path / "b").mkdir()
    picture(tmp_path / "b" / "a.png")
    a, b = tmp_path / "a.png", tmp_path / "b" / "a.png"
    assert "would both become" in fails(capsys, "predict", weights, a, b, "-o", tmp_path / "out")
    assert "expected a folder" in fails(capsys, "predict", weights, a, tmp_path / "b", "-o", a)
    assert "give -o DIR" in fails(capsys, "predict", weights, a, b, "-o", tmp_path / "new.png")
    assert "got --scale 2, --width 40" in fails(
        capsys, "predict", weights, a, "-o", tmp_path / "c.png", "--scale", 2, "--width", 40
    )
    assert "--format says jpg" in fails(capsys, "predict", weights, a, "-o", tmp_path / "c.png", "--format", "jpg")
    assert "--format is 'gif'" in fails(capsys, "predict", weights, a, "-o", tmp_path / "d", "--format", "gif")
    assert "expected 1 … 100" in fails(capsys, "predict", weights, a, "-o", tmp_path / "c.jpg", "--quality", 0)
    assert "positive number, got 0" in fails(capsys, "predict", weights, a, "-o", tmp_path / "c.jpg", "--width", 0)
    assert "unknown option '--scal'" in fails(capsys, "predict", weights, a, "--scal", 2, "-o", tmp_path / "c.png")
    assert "give pictures or folders" in fails(capsys, "predict", weights, "-o", tmp_path / "c.png")
    assert "has no suffix" in fails(capsys, "predict", weights, a, "-o", "-")
    assert "takes one picture" in fails(capsys, "predict", weights, a, b, "-o", "-", "--format", "png")
    (tmp_path / "empty").mkdir()
    assert "holds no picture" in fails(capsys, "predict", weights, tmp_path / "empty", "-o", tmp_path / "out2")
    assert leftovers(tmp_path, "a.png", "b", "empty") == []


@pytest.mark.parametrize("link", [False, True])
def test_the_input_is_never_replaced_unless_asked(weights, tmp_path, capsys, link):
    pixels = picture(tmp_path / "a.png")
    target = tmp_path / "a.png"
    if link:
        target = tmp_path / "b.png"
        target.symlink_to(tmp_path / "a.png")
    line = fails(capsys, "predict", weights, tmp_path / "a.png", "-o", target)
    assert "is the input itself" in line and "--overwrite" in line
    assert "is the input itself" in fails(capsys, "predict", weights, tmp_path / "a.png", "-o", tmp_path)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, pixels)
    run(weights, tmp_path / "a.png", "-o", target, "--overwrite", "--scale", 2)
    assert read_photo(target).shape == (2 * H, 2 * W, 3)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("--width", 50, (34, 50)), ("--height", 26, (26, 38)), ("--long-side", 95, (65, 95)), ("--scale", 1.5, (20, 28))],
)
def test_a_size_instead_of_a_scale(weights, tmp_path, option, value, expected):
    picture(tmp_path / "a.png")
    run(weights, tmp_path / "a.png", option, value, "-o", tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png").shape == (*expected, 3)
    assert PredictOptions(long_side=40).shape(20, 10) == (40, 20)


# --- pipes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["png", "jpg", "tif"])
def test_a_pipe_in_and_out(weights, tmp_path, format, monkeypatch):
    if format == "tif":
        pytest.importorskip("tifffile")
    pixels, out = noise(3), io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(saved(Image.fromarray(pixels), "PNG"))))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    run(weights, "-", "-o", "-", "--format", format, "--scale", 1)
    data = io.BytesIO(out.getvalue())
    photo = read_photo(data)
    assert photo.shape == (H, W, 3) and (format == "jpg" or np.array_equal(photo.pixels, pixels))


def test_a_pipe_of_nothing(weights, tmp_path, capsys, monkeypatch):
    for data, match in ((b"", "'standard input' is empty"), (b"nothing", "'standard input' is not an image")):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        assert match in fails(capsys, "predict", weights, "-", "-o", tmp_path / "a.png")
    assert leftovers(tmp_path) == []


def test_a_pipe_of_processes(weights, tmp_path):
    """Only the picture is on standard output."""
    picture(tmp_path / "a.png")
    command = [sys.executable, "-m", "gridless", "predict", weights, "-", "-o", "-", "--format", "png", "--scale", "2"]
    done = subprocess.run(command, input=(tmp_path / "a.png").read_bytes(), capture_output=True)
    assert (
        done.returncode == 0 and done.stderr == b"" and read_photo(io.BytesIO(done.stdout)).shape == (2 * H, 2 * W, 3)
    )


# --- quality, comparison, progress, kills -----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_quality(weights, tmp_path, suffix, capsys):
    picture(tmp_path / "a.png")
    sizes = []
    for name, quality in (("low", ["--quality", 20]), ("high", ["--quality", 98]), ("none", [])):
        run(weights, tmp_path / "a.png", "-o", tmp_path / f"{name}{suffix}", *quality, "--scale", 4)
        sizes.append((tmp_path / f"{name}{suffix}").stat().st_size)
    assert sizes[0] < sizes[1] / 2 and sizes[0] < sizes[2] / 2
    line = fails(capsys, "predict", weights, tmp_path / "a.png", "-o", tmp_path / "b.png", "--quality", 50)
    assert "--quality is for .jpg and .webp, .png loses nothing" in line


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_comparison_shows_both(tmp_path, channels):
    """Pillow's bicubic on the left, the answer on the right, each below its name."""
    samples = noise(channels)
    samples = np.kron(samples, np.ones((4, 4, 1), np.uint8))
    Image.fromarray(samples[..., 0] if channels == 1 else samples).save(tmp_path / "a.png")
    model = tiny("hybrid", LOCAL)
    height, width = predict_file(model, tmp_path / "a.png", tmp_path / "b.png", PredictOptions(scale=2, compare=True))
    sheet = read_photo(tmp_path / "b-compare.png").pixels
    head, gap = sheet.shape[0] - height, sheet.shape[1] - 2 * width
    left, right = sheet[head:, :width], sheet[head:, width + gap :]
    image, answer = Image.open(tmp_path / "a.png"), Image.open(tmp_path / "b.png")
    for got, want in ((left, image.resize((width, height), Image.Resampling.BICUBIC)), (right, answer)):
        if want.mode in ("LA", "RGBA"):
            ground = Image.new("RGBA", want.size, (128, 128, 128, 255))
            want = Image.alpha_composite(ground, want.convert("RGBA")).convert("L" if channels == 2 else "RGB")
        np.testing.assert_allclose(got.astype(int), np.asarray(want).reshape(got.shape).astype(int), atol=1)
    names = sheet[:head]
    assert names.shape[0] > 10 and (names[:, :width] < 90).any() and (names[:, width + gap :] < 90).any()
    with pytest.raises(ImageError, match="a pipe has no place"):
        predict.check_target(
            predict.Job(tmp_path / "a.png", None, ".png"), Photo("a", noise(3)), (9, 9), 8, PredictOptions(compare=True)
        )


def test_a_terminal_sees_a_bar_with_the_time_left(monkeypatch):
    said = io.StringIO()
    said.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setenv("TERM", "xterm")
    with _bar(lambda: [100, 300]) as (started, advance):
        started(0, "big/a.png")
        advance(100)
        started(1, "big/b.png")
        advance(100)
    assert "2/2 b.png" in said.getvalue() and "50%" in said.getvalue() and "left" in said.getvalue()


def test_a_killed_answer_leaves_nothing_behind(weights, tmp_path):
    """What stood there stays, and what the dead process had begun goes when the next one writes there."""
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"older")
    code = (
        "import os, sys, signal; from gridless import cli; from gridless.runs import predict; made = predict.answerer\n"
    )
    code += "predict.answerer = lambda *a, **k: lambda part: os.kill(os.getpid(), signal.SIGKILL)\n"
    code += "cli.main(['predict', *sys.argv[1:]])"
    done = subprocess.run([sys.executable, "-c", code, weights, tmp_path / "a.png", "-o", tmp_path / "b.png"])
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "b.png").read_bytes() == b"older" and len(leftovers(tmp_path, "a.png", "b.png")) == 1
    code = "from gridless import cli; import sys; cli.main(['predict', *sys.argv[1:], '--scale', '1'])"
    subprocess.run([sys.executable, "-c", code, weights, tmp_path / "a.png", "-o", tmp_path / "b.png"], check=True)
    assert leftovers(tmp_path) == ["a.png", "b.png"] and read_photo(tmp_path / "b.png").shape == (H, W, 3)


def test_a_failed_answer_leaves_nothing_behind(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"older")

    def broken(*_, **__):
        def answer(part):
            raise KeyboardInterrupt

        return answer

    monkeypatch.setattr(predict, "answerer", broken)
    for name in ("b.png", "b.jpg", "b.tif"):
        with pytest.raises(KeyboardInterrupt):
            predict_file(bicubic_model(), tmp_path / "a.png", tmp_path / name)
    assert leftovers(tmp_path) == ["a.png", "b.png"] and (tmp_path / "b.png").read_bytes() == b"older"
