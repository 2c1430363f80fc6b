"""predict of files with several frames or pages, and of TIFFs of floats."""

import sys

import numpy as np
import pytest
from conftest import bicubic_model
from pictures import H, W, leftovers, noise, saved
from PIL import Image
from test_cli import fails
from test_picture_jobs import picture, run, weights

from gridless.data.metadata import read_metadata
from gridless.data.picture_reading import frame_count, read_photo
from gridless.data.pictures import ImageError
from gridless.runs.predict import predict_file
from gridless.runs.predict_options import PredictOptions

__all__ = ["weights"]  # a fixture


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_frames_are_refused_or_all_answered(weights, tmp_path, capsys, format):
    frames = [Image.fromarray(noise(3, seed=k)) for k in range(11)]
    options = {"lossless": True} if format == "WEBP" else {}
    source = tmp_path / f"a.{format.lower()}"
    source.write_bytes(saved(frames[0], format, save_all=True, append_images=frames[1:], **options))
    line = fails(capsys, "predict", weights, source, "-o", tmp_path / "b.png")
    assert f"holds 11 {'pages' if format == 'TIFF' else 'frames'}" in line and "--all-frames" in line
    run(weights, source, "-o", tmp_path / "b.png", "--all-frames", "--scale", 1)
    names = [f"b-{k:02}.png" for k in range(1, 12)]
    assert leftovers(tmp_path, source.name) == names
    for name, frame in zip(names, frames, strict=True):
        got = read_photo(tmp_path / name)
        assert got.shape == (H, W, 3)
        if format not in ("GIF", "AVIF"):
            np.testing.assert_array_equal(got.pixels, np.asarray(frame))
        elif format == "GIF":
            assert np.abs(got.pixels.astype(int) - np.asarray(frame)).mean() < 25


def test_a_picture_of_one_frame_has_no_number(weights, tmp_path):
    picture(tmp_path / "a.png")
    run(weights, tmp_path / "a.png", "-o", tmp_path / "b.png", "--all-frames", "--scale", 1)
    assert leftovers(tmp_path) == ["a.png", "b.png"] and frame_count(tmp_path / "a.png") == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_floats_of_a_tiff_are_kept(weights, tmp_path, channels, dtype):
    """In units of their own, far from 0 … 1; what was not measured stays so."""
    tifffile = pytest.importorskip("tifffile")
    values = (500 + 300 * np.random.default_rng(0).standard_normal((H, W, channels))).astype(dtype)
    photometric = "rgb" if channels == 3 else "minisblack"
    stored = values if channels == 3 else values[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, extratags=[(271, "s", 0, "Maker", True)])
    run(weights, tmp_path / "a.tif", "-o", tmp_path / "b.tif", "--scale", 1)
    out = tifffile.imread(tmp_path / "b.tif")
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.reshape(values.shape), values.astype(np.float32), rtol=1e-6)
    assert b"Maker" in read_metadata(tmp_path / "b.tif").exif
    with pytest.raises(ImageError, match="cannot keep floating-point numbers; use .tif"):
        predict_file(bicubic_model(), tmp_path / "a.tif", tmp_path / "b.png")
    run(weights, tmp_path / "a.tif", "-o", tmp_path / "c.tif", "--scale", 3, "--compare")
    big = tifffile.imread(tmp_path / "c.tif")
    assert big.shape[:2] == (3 * H, 3 * W) and 0 < big.mean() < 1000 and big.max() > 900
    assert read_photo(tmp_path / "c-compare.png").shape[2] == channels


def test_floats_that_were_not_measured(tmp_path):
    """NaN and infinities do not spread: bicubic reaches two samples, and beyond its reach an answer is NaN."""
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).random((20, 20), np.float32) + 7
    values[3:14, 3:14], values[17, 17] = np.nan, np.inf
    tifffile.imwrite(tmp_path / "a.tif", values)
    predict_file(bicubic_model(), tmp_path / "a.tif", tmp_path / "b.tif", PredictOptions(scale=2))
    out = tifffile.imread(tmp_path / "b.tif")
    assert np.isnan(out[14:20, 14:20]).all() and np.isfinite(out[:4]).all() and np.isfinite(out[28:]).all()
    assert np.nanmin(out) > 6.5 and np.nanmax(out) < 8.5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_floats_are_turned_upright(tmp_path, channels, orientation):
    """As a TIFF of integers is, by Pillow."""
    tifffile = pytest.importorskip("tifffile")
    samples = noise(channels)
    stored = samples if channels == 3 else samples[..., 0]
    turned = {"photometric": "rgb" if channels == 3 else "minisblack", "extratags": [(274, "H", 1, orientation, True)]}
    tifffile.imwrite(tmp_path / "a.tif", stored, **turned)
    tifffile.imwrite(tmp_path / "f.tif", stored.astype(np.float32), **turned)
    floats = read_photo(tmp_path / "f.tif", floats=True)
    assert floats.depth == 32
    np.testing.assert_array_equal(floats.pixels, read_photo(tmp_path / "a.tif").pixels.astype(np.float32))


def test_floats_without_tifffile(tmp_path, monkeypatch, capsys, weights):
    Image.fromarray(noise(1)[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    line = fails(capsys, "predict", weights, tmp_path / "a.tif", "-o", tmp_path / "b.png")
    assert "a TIFF of floating-point numbers needs tifffile: pip install 'gridless[tiff]'" in line


def test_pages_of_floats(weights, tmp_path, capsys):
    tifffile = pytest.importorskip("tifffile")
    stack = np.random.default_rng(0).random((3, 12, 10), np.float32)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    assert "holds 3 pages" in fails(capsys, "predict", weights, tmp_path / "a.tif", "-o", tmp_path / "b.tif")
    run(weights, tmp_path / "a.tif", "-o", tmp_path / "b.tif", "--all-frames", "--scale", 1)
    for number, page in enumerate(stack, 1):
        np.testing.assert_allclose(tifffile.imread(tmp_path / f"b-{number}.tif"), page, rtol=1e-6)


def test_16_bit_colour_pages(weights, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pages = [noise(3, 16, seed=k) for k in range(2)]
    tifffile.imwrite(tmp_path / "a.tif", np.stack(pages), photometric="rgb")
    run(weights, tmp_path / "a.tif", "-o", tmp_path / "b.png", "--all-frames", "--scale", 1)
    for number, page in enumerate(pages, 1):
        np.testing.assert_array_equal(read_photo(tmp_path / f"b-{number}.png").pixels, page)
