"""A picture answered at another scale: edges beside transparency, limits before computing, memory, profiles."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import LOCAL, tiny
from pictures import noise, saved
from PIL import Image

from gridless.data.picture_reading import read_photo
from gridless.data.picture_writing import write_photo
from gridless.data.pictures import ImageError, Photo
from gridless.data.transparency import spread_colours
from gridless.runs import predict
from gridless.runs.predict import memory_needed, predict_file
from gridless.runs.predict_options import PredictOptions


def base():
    """A model that answers as its bicubic base does: it is not trained."""
    model = tiny("hybrid", LOCAL)
    model.head.linear.weight.data.zero_()
    return model


@pytest.mark.parametrize("background", [0, 0.5])
def test_a_white_disc_on_transparent_black_has_white_edges(tmp_path, background):
    row, column = np.mgrid[:24, :24] - 11.5
    alpha = np.clip(9 - np.hypot(row, column), 0, 1)
    white = np.where(alpha > 0, 1.0, background)[..., None] * np.ones(3)
    write_photo(tmp_path / "in.png", white, alpha=alpha)
    predict_file(base(), tmp_path / "in.png", tmp_path / "out.png", PredictOptions(scale=3))
    out = read_photo(tmp_path / "out.png")
    edge = (out.alpha > 0) & (out.alpha < 255)
    assert edge.sum() > 100 and out.pixels[out.alpha > 0].min() >= 254
    assert (out.pixels[out.alpha == 0] == round(255 * background)).any()  # what was stored there is still there


def test_at_its_own_size_hidden_colours_come_back(tmp_path):
    pixels, alpha = noise(3, 16), noise(1, 16)[..., 0]
    alpha[2:9, 3:11] = 0
    write_photo(tmp_path / "in.png", pixels / 65535, 16, alpha / 65535)
    predict_file(base(), tmp_path / "in.png", tmp_path / "out.png", PredictOptions(scale=1))
    out = read_photo(tmp_path / "out.png")
    np.testing.assert_array_equal(out.pixels, pixels)
    np.testing.assert_array_equal(out.alpha, alpha)


def test_hidden_pixels_take_the_colours_around():
    values = np.random.default_rng(0).random((11, 17, 3), dtype=np.float32)
    visible = np.zeros((11, 17), bool)
    visible[4, 5:8] = visible[9, 16] = True
    spread = spread_colours(values, visible)
    np.testing.assert_array_equal(spread[visible], values[visible])
    shown = values[visible]
    assert (spread >= shown.min(0) - 1e-6).all() and (spread <= shown.max(0) + 1e-6).all()
    np.testing.assert_allclose(spread[5, 5], values[4, 5])  # the only visible one in its block of 2 × 2
    assert spread_colours(values, np.zeros((11, 17), bool)) is values


@pytest.mark.parametrize(
    ("suffix", "shape", "scale", "match"),
    [
        (".webp", (4, 200, 3), 82, "16,383 pixels a side"),
        (".jpg", (4, 200, 3), 328, "65,500 pixels a side"),
        (".jpg", (4, 200, 4), 2, "transparency"),
        (".gif", (4, 200, 3), 2, "ends in '.gif'"),
    ],
)
def test_what_a_format_cannot_hold_is_said_before_computing(tmp_path, monkeypatch, suffix, shape, scale, match):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "in.png")
    monkeypatch.setattr(predict, "answerer", lambda *_: pytest.fail("computed"))
    with pytest.raises(ImageError, match=match):
        predict_file(None, tmp_path / "in.png", tmp_path / f"out{suffix}", PredictOptions(scale=scale))


def test_memory_counts_input_windows_and_output():
    """Measured peaks above the loaded model: 116, 218 and 1255 MiB; the estimates lie within a factor of 1.5."""
    for (height, width), scale, measured in (((200, 300), 4, 116), ((400, 600), 2, 218), ((1000, 1500), 2, 1255)):
        photo = Photo("a", np.broadcast_to(np.uint8(0), (height, width, 3)))
        needed = memory_needed(photo, (height * scale, width * scale, 3), False) / 2**20
        assert measured / 1.5 < needed < measured * 1.5
        assert memory_needed(photo, (height * scale, width * scale, 3), True) < needed * 2**20


def test_a_terminal_without_the_sign_of_multiplication(tmp_path):
    tiny("hybrid", LOCAL).save_pretrained(tmp_path / "weights")
    Image.fromarray(noise(3)).save(tmp_path / "in.png")
    done = subprocess.run(
        [sys.executable, "-m", "gridless", "predict", "weights", "in.png", "--scale", "1", "-o", "Größe.png"],
        cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.strip() == b"Gr??e.png: 19 ? 13"
    assert read_photo(tmp_path / "Größe.png").shape == (13, 19, 3)
