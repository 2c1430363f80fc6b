"""Pictures survive reading and writing bit for bit."""

import struct
import zlib

import numpy as np
import png  # an independent PNG codec: Pillow is not asked to confirm itself
import pytest
from pictures import H, W, leftovers, noise, paeth_png, raw_png, saved
from PIL import Image, features

from gridless.data import ImageError, Photo, read_photo, resize_bicubic, write_photo
from gridless.data.picture_reading import photo_size
from gridless.data.pictures import quantise, safe_name


def save_png(path, samples, **options):
    kind = {1: {"greyscale": True}, 2: {"greyscale": True, "alpha": True}, 3: {"greyscale": False}, 4: {"alpha": True}}
    if "palette" not in options:
        options = {**kind[samples.shape[-1]], **{"greyscale": samples.shape[-1] < 3}, **options}
    writer = png.Writer(width=W, height=H, **options)
    with open(path, "wb") as file:
        writer.write(file, samples.reshape(H, -1).tolist())


def load_png(path):
    width, height, rows, info = png.Reader(bytes=path.read_bytes()).read()
    return np.vstack([np.asarray(row) for row in rows]).reshape(height, width, info["planes"]), info["bitdepth"]


# ------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_every_colour_type_is_read_exactly(tmp_path, channels, depth, interlace):
    samples = noise(channels, depth)
    save_png(tmp_path / "a.png", samples, bitdepth=depth, interlace=interlace)
    photo = read_photo(tmp_path / "a.png")
    colours = 1 if channels < 3 else 3
    assert photo.name == "a" and photo.depth == depth and photo.shape == (H, W, colours)
    assert photo.pixels.dtype == (np.uint8 if depth == 8 else np.uint16)
    np.testing.assert_array_equal(photo.pixels, samples[..., :colours])
    if channels in (2, 4):
        np.testing.assert_array_equal(photo.alpha, samples[..., -1])
        assert photo.alpha.dtype == photo.pixels.dtype
    else:
        assert photo.alpha is None


@pytest.mark.parametrize(("channels", "colour_type"), [(2, 4), (3, 2), (4, 6)])
def test_16_bit_png_with_row_filters(tmp_path, channels, colour_type):
    samples = noise(channels, 16)
    (tmp_path / "a.png").write_bytes(raw_png(W, H, 16, colour_type, paeth_png(samples)))
    photo = read_photo(tmp_path / "a.png")
    whole = photo.pixels if photo.alpha is None else np.concatenate([photo.pixels, photo.alpha[..., None]], -1)
    np.testing.assert_array_equal(whole, samples)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_of_few_greys_fills_the_range(tmp_path, depth):
    samples = noise(1, depth)
    save_png(tmp_path / "a.png", samples, bitdepth=depth)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, samples * (255 // (2**depth - 1)))


@pytest.mark.parametrize("transparent", [False, True])
def test_png_palette(tmp_path, transparent):
    colours = np.random.default_rng(1).integers(0, 256, (16, 4))
    index = noise(1, 4)
    palette = [tuple(map(int, c if transparent else c[:3])) for c in colours]
    save_png(tmp_path / "a.png", index, palette=palette, bitdepth=4)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, colours[index[..., 0], :3])
    if transparent:
        np.testing.assert_array_equal(photo.alpha, colours[index[..., 0], 3])
    else:
        assert photo.alpha is None


@pytest.mark.parametrize(("channels", "depth"), [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (3, 8), (3, 16)])
def test_png_with_one_transparent_colour(tmp_path, channels, depth):
    samples = noise(channels, depth)
    chosen = samples[5, 7].copy()
    save_png(tmp_path / "a.png", samples, bitdepth=depth, transparent=tuple(map(int, chosen)))
    photo = read_photo(tmp_path / "a.png")
    hidden = (samples == chosen).all(-1)
    np.testing.assert_array_equal(photo.alpha, np.where(hidden, 0, 2**photo.depth - 1))
    assert hidden.any() and not hidden.all()


def test_jpeg_grey_rgb_cmyk(tmp_path):
    flat = {"L": (90,), "RGB": (200, 40, 90), "CMYK": (0, 255, 0, 0)}
    expected = {"L": (90,), "RGB": (200, 40, 90), "CMYK": (255, 0, 255)}  # full magenta ink: no green
    for mode, colour in flat.items():
        image = Image.new(mode, (W, H), colour if len(colour) > 1 else colour[0])
        (tmp_path / "a.jpg").write_bytes(saved(image, "JPEG", quality=100, subsampling=-1))
        photo = read_photo(tmp_path / "a.jpg")
        assert photo.shape == (H, W, len(expected[mode])) and photo.alpha is None
        assert np.abs(photo.pixels.astype(int) - expected[mode]).max() <= 2


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(tmp_path, orientation, format):
    stored = noise(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    (tmp_path / "a.bin").write_bytes(saved(Image.fromarray(stored), format, exif=exif, **options))
    # where the standard says that row 0 and column 0 of the stored array are: top left, top right, …
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: stored[::-1].swapaxes(0, 1),
        7: stored[::-1, ::-1].swapaxes(0, 1),
        8: stored[:, ::-1].swapaxes(0, 1),
    }
    np.testing.assert_array_equal(read_photo(tmp_path / "a.bin").pixels, upright[orientation])


def test_jpeg_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(saved(Image.new("RGB", (W, H)), "JPEG", exif=exif))
    assert read_photo(tmp_path / "a.jpg").shape == (W, H, 3)


def test_orientation_of_a_16_bit_png(tmp_path):
    samples = noise(3, 16)
    write_photo(tmp_path / "a.png", Photo("a", samples).values, depth=16)
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes().removeprefix(b"Exif\x00\x00")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, samples[::-1].swapaxes(0, 1))


def test_a_gif_of_one_frame(tmp_path):
    image = Image.new("P", (W, H), 1)
    image.putpalette([0, 0, 0, 250, 10, 20, 1, 2, 3])
    (tmp_path / "a.gif").write_bytes(saved(image, "GIF"))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.gif").pixels, np.full((H, W, 3), (250, 10, 20)))


def test_avif_and_its_alpha(tmp_path):
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image = Image.new("RGBA", (W, H), (200, 40, 90, 128))
    (tmp_path / "a.avif").write_bytes(saved(image, "AVIF", quality=100, subsampling="4:4:4"))
    photo = read_photo(tmp_path / "a.avif")
    assert photo.shape == (H, W, 3) and np.abs(photo.pixels.astype(int) - (200, 40, 90)).max() <= 2
    assert np.abs(photo.alpha.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_tiff_keeps_its_low_bytes(tmp_path, channels, byteorder, compression):
    """Pillow alone gives the high bytes and says nothing."""
    tifffile = pytest.importorskip("tifffile")
    samples = noise(channels, 16)
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"] if channels == 4 else None}
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples,
        byteorder=byteorder,
        compression=compression,
        predictor=compression is not None,
        rowsperstrip=5,
        extratags=[(274, "H", 1, 6, False)],
        **options,
    )
    photo = read_photo(tmp_path / "a.tif")
    upright = samples[::-1].swapaxes(0, 1)  # orientation 6
    np.testing.assert_array_equal(photo.pixels, upright[..., :3])
    assert photo.depth == 16 and (photo.alpha is None) == (channels == 3)
    if channels == 4:
        np.testing.assert_array_equal(photo.alpha, upright[..., 3])


def test_the_size_is_read_from_the_header(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    for format in ("JPEG", "WEBP", "PNG", "TIFF"):
        (tmp_path / format).write_bytes(saved(Image.new("RGB", (W, H)), format, exif=exif))
        (tmp_path / f"{format}-plain").write_bytes(saved(Image.new("RGB", (W, H)), format))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    for format in ("JPEG", "WEBP", "PNG", "TIFF"):
        assert photo_size(tmp_path / format) == (W, H) and photo_size(tmp_path / f"{format}-plain") == (H, W)


def test_16_bit_grey_tiff_of_both_byte_orders(tmp_path):
    samples = noise(1, 16)
    little = saved(Image.fromarray(samples[..., 0]), "TIFF")
    assert little[:2] == b"II"
    big = saved(Image.frombytes("I;16B", (W, H), samples.astype(">u2").tobytes()), "TIFF")
    for data in (little, big):
        (tmp_path / "a.tif").write_bytes(data)
        np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, samples)


# ------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("suffix", "depth"), [(".png", 8), (".png", 16), (".bmp", 8), (".webp", 8), (".tif", 8), (".TIFF", 8), (".tif", 16)]
)
def test_written_pictures_come_back_exactly(tmp_path, suffix, depth, channels, alpha):
    path, peak = tmp_path / f"a{suffix}", 2**depth - 1
    pixels, veil = noise(channels, depth), noise(1, depth, seed=1)[..., 0] if alpha else None
    if alpha:
        veil[::2] = 0  # colours under full transparency are kept too
    arguments = (path, pixels / peak, depth, None if veil is None else veil / peak)
    if (alpha and suffix == ".bmp") or (suffix == ".tif" and depth == 16 and (alpha or channels == 3)):
        with pytest.raises(ImageError, match=r"use \.png"):
            write_photo(*arguments)
        assert leftovers(tmp_path) == []
        return
    write_photo(*arguments)
    photo = read_photo(path)
    expected = np.broadcast_to(pixels, photo.shape)  # WebP has no grey and gives it back as equal channels
    assert photo.depth == depth and (photo.shape[-1] == channels or suffix == ".webp")
    np.testing.assert_array_equal(photo.pixels, expected)
    np.testing.assert_array_equal(photo.alpha, veil)
    write_photo(path, photo.values, depth, None if veil is None else veil / peak)  # float32 is precise enough
    np.testing.assert_array_equal(read_photo(path).pixels, expected)
    assert leftovers(tmp_path) == [path.name]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_another_reader_agrees_with_what_is_written(tmp_path, channels, depth):
    samples, peak = noise(channels, depth), 2**depth - 1
    colours, alpha = (samples[..., :-1], samples[..., -1]) if channels in (2, 4) else (samples, None)
    write_photo(tmp_path / "a.png", colours / peak, depth, None if alpha is None else alpha / peak)
    read, bits = load_png(tmp_path / "a.png")
    assert bits == depth
    np.testing.assert_array_equal(read, samples)


def test_jpeg_is_close_and_keeps_grey(tmp_path):
    ramp = np.linspace(0, 1, H)[:, None, None] * np.ones((1, W, 1))
    write_photo(tmp_path / "a.jpeg", ramp)
    photo = read_photo(tmp_path / "a.jpeg")
    assert photo.shape == (H, W, 1)
    assert np.abs(photo.values - ramp).max() < 0.03


def test_clipped_and_rounded_half_to_even(tmp_path):
    values = np.array([-0.5, 0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 0.5, 1, 7, np.inf])[None, :, None]
    expected = [0, 0, 0, 2, 2, 128, 255, 255, 255]
    assert quantise(values)[0, :, 0].tolist() == expected
    write_photo(tmp_path / "a.png", values)
    assert read_photo(tmp_path / "a.png").pixels[0, :, 0].tolist() == expected


def test_every_level_survives_float32():
    for depth, dtype in ((8, np.uint8), (16, np.uint16)):
        levels = np.arange(2**depth).astype(dtype)[None, :, None]
        photo = Photo("levels", levels)
        assert photo.values.dtype == np.float32 and photo.values.max() == 1
        np.testing.assert_array_equal(quantise(photo.values, depth), levels)


def test_tensors_are_taken(tmp_path):
    import torch

    values = torch.full((2, 3, 1), 0.25, requires_grad=True)
    assert (quantise(values) == 64).all()
    assert (quantise(values.bfloat16()) == 64).all()
    write_photo(tmp_path / "a.png", values, alpha=torch.zeros(2, 3))
    assert (read_photo(tmp_path / "a.png").alpha == 0).all()


def test_photo_values_and_rgb():
    photo = Photo("a", np.array([[[51], [255]]], np.uint8))
    assert photo.values[..., 0].tolist() == [[np.float32(0.2), 1.0]]
    assert photo.rgb().tolist() == [[[51] * 3, [255] * 3]] and photo.rgb().dtype == np.uint8
    assert photo.shape == (1, 2, 1) and photo.depth == 8
    for pixels, alpha in [
        (np.zeros((2, 2), np.uint8), None),
        (np.zeros((2, 2, 4), np.uint8), None),
        (np.zeros((2, 2, 3)), None),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint16)),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 1), np.uint8)),
    ]:
        with pytest.raises(ImageError):
            Photo("a", pixels, alpha)


@pytest.mark.parametrize(
    "name", ["../../evil", "a/b", "a\\b", "..", ".", "", "   ", "a\nb", "nul\0", "Gr\udcf6\udcdfe"]
)
def test_a_name_stays_inside_its_folder(tmp_path, name):
    pixels = np.zeros((2, 2, 1), np.uint8)
    with pytest.raises(ImageError, match="file name without folders") as caught:
        Photo(name, pixels)
    assert "\n" not in str(caught.value)
    safe = Photo(safe_name(name), pixels).name
    (tmp_path / safe).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [safe]


@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_pillows_bicubic(channels):
    pixels = noise(channels)
    small = resize_bicubic(pixels, (5, 7))
    assert small.shape == (5, 7, channels) and small.dtype == np.uint8
    for c in range(channels):
        image = Image.fromarray(pixels[..., c]).resize((7, 5), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(small[..., c], np.asarray(image))
    flat = resize_bicubic(np.full((8, 8, channels), 77, np.uint8), (3, 20))
    assert (flat == 77).all()
    for bad in [(noise(1, 16), (5, 7)), (pixels, (0, 7)), (pixels[..., 0], (5, 7))]:
        with pytest.raises(ImageError):
            resize_bicubic(*bad)
