"""A picture answered at another scale: transparency, narrow ranges, eight turns, seamless textures, limits, memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import LOCAL, bicubic_model, tiny
from pictures import noise
from PIL import Image

import gridless as gl
from gridless.config import Model
from gridless.config.merging import build, dump, merge
from gridless.data.picture_reading import read_photo
from gridless.data.picture_writing import write_photo
from gridless.data.pictures import ImageError, Photo
from gridless.data.transparency import spread_colours
from gridless.runs import predict
from gridless.runs.picture_answers import answerer
from gridless.runs.predict import bands, memory_needed, predict_file
from gridless.runs.predict_options import PredictOptions

WHOLE = (slice(None), slice(None))


# --- transparency -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [0, 0.5])
def test_a_white_disc_on_transparent_black_has_white_edges(tmp_path, background):
    row, column = np.mgrid[:24, :24] - 11.5
    alpha = np.clip(9 - np.hypot(row, column), 0, 1)
    white = np.where(alpha > 0, 1.0, background)[..., None] * np.ones(3)
    write_photo(tmp_path / "in.png", white, alpha=alpha)
    predict_file(bicubic_model(), tmp_path / "in.png", tmp_path / "out.png", PredictOptions(scale=3))
    out = read_photo(tmp_path / "out.png")
    edge = (out.alpha > 0) & (out.alpha < 255)
    assert edge.sum() > 100 and out.pixels[out.alpha > 0].min() >= 254
    assert (out.pixels[out.alpha == 0] == round(255 * background)).any()  # what was stored there is still there


def test_at_its_own_size_hidden_colours_come_back(tmp_path):
    pixels, alpha = noise(3, 16), noise(1, 16)[..., 0]
    alpha[2:9, 3:11] = 0
    write_photo(tmp_path / "in.png", pixels / 65535, 16, alpha / 65535)
    predict_file(bicubic_model(), tmp_path / "in.png", tmp_path / "out.png", PredictOptions(scale=1))
    out = read_photo(tmp_path / "out.png")
    np.testing.assert_array_equal(out.pixels, pixels)
    np.testing.assert_array_equal(out.alpha, alpha)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("size", [(26, 38), (60, 41), (9, 12)])
def test_colours_beside_transparency_are_pillows(channels, size):
    """Half-transparent pixels weigh by their alpha: what is seen over any ground is what Pillow's resize gives."""
    samples = noise(channels)
    samples[3:9, 4:12, -1] = 0
    photo = Photo("a", samples[..., :-1].copy(), samples[..., -1].copy())
    got = answerer(bicubic_model(), photo, size)(WHOLE)
    values = samples / 255
    values[..., :-1] *= values[..., -1:]  # mode RGBa, in floats: Pillow clips 8 bits between rows and columns
    bands = [Image.fromarray(np.float32(values[..., c])) for c in range(channels)]
    want = np.stack([np.asarray(band.resize(size[::-1], Image.Resampling.BICUBIC)) for band in bands], -1)
    np.testing.assert_allclose(got[..., -1], want[..., -1], atol=1e-5)
    seen = want[..., -1] > 0.02
    colours = (want[..., :-1] / np.where(seen, want[..., -1], 1)[..., None]).clip(0, 1)
    np.testing.assert_allclose(got[seen][:, :-1], colours[seen], atol=1e-4)


def test_a_nearly_transparent_pixel_lends_little_of_its_colour():
    """Alpha 2 of 255 with black beside opaque white: the network sees white beside it, and no edge is dark."""
    pixels, alpha = np.full((12, 12, 3), 255, np.uint8), np.full((12, 12), 255, np.uint8)
    pixels[:, 6:], alpha[:, 6:] = 0, 2
    values = spread_colours(pixels / np.float32(255), alpha / np.float32(255))
    assert values[:, :8].min() > 0.9
    out = answerer(bicubic_model(), Photo("a", pixels, alpha), (36, 36))(WHOLE)
    assert out[..., :3][out[..., 3] > 0.2].min() > 0.95


def test_hidden_pixels_take_the_colours_around():
    values = np.random.default_rng(0).random((11, 17, 3), dtype=np.float32)
    visible = np.zeros((11, 17), bool)
    visible[4, 5:8] = visible[9, 16] = True
    spread = spread_colours(values, visible.astype(np.float32))
    np.testing.assert_array_equal(spread[visible], values[visible])
    shown = values[visible]
    assert (spread >= shown.min(0) - 1e-6).all() and (spread <= shown.max(0) + 1e-6).all()
    np.testing.assert_allclose(spread[5, 5], values[4, 5])  # the only visible one in its block of 2 × 2
    assert spread_colours(values, np.zeros((11, 17), np.float32)) is values


# --- narrow ranges, turns, textures -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """A small photo model, trained for a few seconds."""
    torch.manual_seed(0)
    diff = {
        **LOCAL,
        "tokenizer": {"stem": {"width": 16, "blocks": 2}},
        "encoder": {"depth": 0, "tokens": {"count": 0}},
    }
    model = gl.FieldModel(build(Model, merge(dump(gl.preset("hybrid", "tiny")), diff)))
    how = gl.Train(steps=80, batch=8, queries=150, loss="l1", optimizer={"lr": 4e-3})
    gl.fit(model, gl.data.photos(), gl.SuperResolution(scale=gl.Uniform(1.5, 3)), train=how, quiet=True)
    return model.eval()


def psnr(a, b, peak) -> float:
    return 10 * np.log10(peak**2 / np.mean((a.astype(float) - b) ** 2))


def test_pictures_of_few_levels_are_answered_as_well_as_others(trained, tmp_path):
    """16 bits that use 50 … 325 of 65,535, or as many levels elsewhere: never below bicubic, and by as much above it."""
    truth, gains = gl.data.photos("test")[1].values[:120, :120], {}
    for low, high in ((0, 65535), (50, 325), (60_000, 60_275)):
        levels = np.rint(low + truth * (high - low))
        small = [
            np.asarray(Image.fromarray(levels[..., c]).resize((60, 60), Image.Resampling.BICUBIC)) for c in range(3)
        ]
        write_photo(tmp_path / "in.png", np.stack(small, -1).clip(low, high).round() / 65535, 16)
        scores = []
        for model in (trained, bicubic_model()):
            predict_file(model, tmp_path / "in.png", tmp_path / "out.png", PredictOptions(scale=2))
            out = read_photo(tmp_path / "out.png")
            assert out.depth == 16
            scores.append(psnr(out.pixels, levels, high - low))
        gains[low] = scores[0] - scores[1]
    assert gains[0] > 0.1
    assert all(abs(gain - gains[0]) < 0.03 for gain in gains.values())


def test_the_best_answer_is_the_mean_of_eight(trained):
    """Of a picture that is no square, grey with alpha and in colour; the parts of it are those of the whole."""
    truth = gl.data.photos("test")[1].pixels[40:80, 30:78]
    photo, size = Photo("a", truth[::2, ::2].copy()), (40, 48)
    best = answerer(trained, photo, size, best=True)
    whole = best(WHOLE)
    turned = [
        answerer(trained, Photo("a", np.rot90(pixels, k).copy()), size if k % 2 == 0 else size[::-1])(WHOLE)
        for pixels in (photo.pixels, photo.pixels[:, ::-1])
        for k in range(4)
    ]
    back = [np.rot90(one, -k) for one, k in zip(turned, [0, 1, 2, 3] * 2, strict=True)]
    expected = np.mean([one if i < 4 else one[:, ::-1] for i, one in enumerate(back)], 0)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    np.testing.assert_allclose(best((slice(7, 19), slice(30, 48))), whole[7:19, 30:48], atol=1e-5)
    assert np.abs(whole - turned[0]).max() > 1e-3
    veiled = Photo("a", photo.pixels[..., :1].copy(), photo.pixels[..., 1].copy())
    assert answerer(trained, veiled, size, best=True)(WHOLE).shape == (*size, 2)


def test_a_seamless_texture_stays_seamless(trained):
    """Rolled by whole samples, it is answered rolled; without --tile-wrap the border is another place."""
    pixels = gl.data.photos("test")[1].pixels[40:100, 30:80]
    rolled = np.roll(pixels, (20, 15), (0, 1))

    def answers(**options):
        first, second = (
            answerer(trained, Photo("a", p.copy()), (120, 100), **options)(WHOLE) for p in (pixels, rolled)
        )
        return np.roll(first, (40, 30), (0, 1)), second

    wrapped, shifted = answers(tile_wrap=True)
    # windows lie elsewhere, so that the network answers a little differently; the seam of the other way is far larger
    assert np.abs(wrapped - shifted).max() < 0.1
    cut, shifted = answers()
    assert np.abs(cut - shifted)[39:41].mean() > 3 * np.abs(wrapped - shifted)[39:41].mean()
    texture = answerer(bicubic_model(), Photo("a", pixels.copy(), pixels[..., 0].copy()), (120, 100), tile_wrap=True)
    again = answerer(bicubic_model(), Photo("a", rolled.copy(), rolled[..., 0].copy()), (120, 100), tile_wrap=True)
    np.testing.assert_allclose(np.roll(texture(WHOLE), (40, 30), (0, 1)), again(WHOLE), atol=1e-5)


# --- limits and memory ------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("size", "scale", "suffix", "options", "measured"),
    [
        ((200, 300), 4, ".png", {}, 103),
        ((200, 300), 4, ".jpg", {}, 91),
        ((400, 600), 2, ".png", {}, 191),
        ((400, 600), 3, ".webp", {}, 280),
        ((400, 600), 3, ".bmp", {}, 227),
        ((200, 300), 2, ".png", {"best": True}, 293),
        ((400, 600), 2, ".png", {"compare": True}, 215),
        ((1000, 1500), 4, ".png", {}, 629),
        ((1000, 1500), 4, ".jpg", {}, 801),
    ],
)
def test_memory_counts_input_windows_and_output(size, scale, suffix, options, measured):
    """Measured peaks above the loaded model, in MiB; the estimates lie within a factor of 1.5."""
    photo = Photo("a", np.broadcast_to(np.uint8(0), (*size, 3)))
    shape = (size[0] * scale, size[1] * scale, 3)
    model = gl.FieldModel.from_pretrained("photo")
    needed = memory_needed(model, photo, shape, suffix, PredictOptions(**options)) / 2**20
    assert measured / 1.5 < needed < measured * 1.5


def test_no_float_copy_of_a_picture_exists():
    """Tiles are asked in turn and become integers at once: of 2,000 × 3,000 pixels never more than a band is held."""
    asked, held = [], []

    def tile(part):
        asked.append(tuple(s.stop - s.start for s in part))
        return np.full((*asked[-1], 3), 0.5, np.float32)

    for band in bands(tile, (2000, 3000, 3), 8):
        held.append(band.nbytes)
        assert band.dtype == np.uint8 and (band == 128).all()
    assert max(map(max, asked)) == 256 and sum(h * w for h, w in asked) == 6_000_000
    assert max(held) == 256 * 3000 * 3 and len(held) == 8


def test_a_terminal_without_the_sign_of_multiplication(tmp_path):
    tiny("hybrid", LOCAL).save_pretrained(tmp_path / "weights")
    Image.fromarray(noise(3)).save(tmp_path / "in.png")
    done = subprocess.run(
        [sys.executable, "-m", "gridless", "predict", "weights", "in.png", "--scale", "1", "-o", "Größe.png"],
        cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.strip() == b"Gr??e.png: 19 ? 13"
    assert read_photo(tmp_path / "Größe.png").shape == (13, 19, 3)
