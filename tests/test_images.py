"""Pictures survive reading and writing bit for bit; damaged ones are refused with one line and leave nothing behind."""

import errno
import io
import os
import struct
import warnings
import zlib

import numpy as np
import png  # an independent PNG codec: Pillow is not asked to confirm itself
import pytest
from PIL import Image

from gridless.data import ImageError, Photo, read_photo, resize_bicubic, write_photo
from gridless.data.images import quantise

H, W = 13, 19  # odd and unequal: a swapped axis or a missed interlace pass shows


def noise(channels, depth=8, seed=0):
    samples = np.random.default_rng(seed).integers(0, 2**depth, (H, W, channels))
    return samples.astype(np.uint16 if depth > 8 else np.uint8)


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


def leftovers(folder, *expected):
    return sorted({entry.name for entry in folder.iterdir()} - set(expected))


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


def paeth_png(samples):
    """A 16-bit PNG whose rows use filter 4: the one filter that needs left, up and both."""
    row = samples.astype(">u2").reshape(H, -1).view(np.uint8).astype(int)
    step = 2 * samples.shape[-1]
    left = np.pad(row, ((0, 0), (step, 0)))[:, :-step]
    up = np.pad(row, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(up, ((0, 0), (step, 0)))[:, :-step]
    guess = left + up - corner
    a, b, c = abs(guess - left), abs(guess - up), abs(guess - corner)
    filtered = (row - np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))) % 256
    return np.pad(filtered, ((0, 0), (1, 0)), constant_values=4).astype(np.uint8).tobytes()


def raw_png(width, height, depth, colour_type, data=b"", end=True):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + (chunk(b"IEND", b"") if end else b"")


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


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


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


def test_gif_first_frame(tmp_path):
    frames = [Image.new("P", (W, H), k) for k in (1, 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 250, 10, 20, 1, 2, 3])
    (tmp_path / "a.gif").write_bytes(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.gif").pixels, np.full((H, W, 3), (250, 10, 20)))


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


# ------------------------------------------------------------------------------------------------------------ refusing


def one_line(path, match, **options):
    with pytest.raises(ImageError, match=match) as caught:
        read_photo(path, **options)
    assert "\n" not in str(caught.value)


def bad_files():
    rgb = Image.fromarray(noise(3))
    good = saved(rgb, "PNG")
    deep = raw_png(W, H, 16, 2, paeth_png(noise(3, 16)))
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    yield "empty.png", b"", "empty"
    yield "text.png", b"this is not a picture\n" * 20, "not an image"
    yield "header.png", good[:20], "not an image|cut off"
    yield "half.png", good[: len(good) // 2], "cut off"
    yield "no_end.png", good[:-12], "cut off"
    yield "bit_flip.png", bytes(flipped), "damaged"
    yield "half16.png", deep[: len(deep) // 2], "cut off"
    yield "rows16.png", raw_png(W, H, 16, 2, paeth_png(noise(3, 16))[:-50]), "cut off"
    yield "grey16.png", raw_png(W, H, 16, 4, b"\0" * 30), "cut off"
    yield "no_end16.png", deep[:-12], "cut off"
    yield "colour_type.png", raw_png(W, H, 8, 5, b"\0" * 900), "damaged|not an image"
    for format in ("JPEG", "WEBP", "BMP", "TIFF"):
        data = saved(rgb, format)
        yield f"half.{format}", data[: len(data) // 2], "cut off|not an image"
        yield f"short.{format}", data[:-4], "cut off|not an image"
    gif = saved(rgb.convert("P"), "GIF")
    yield "half.gif", gif[: len(gif) // 2], "cut off|not an image"
    yield "short.gif", gif[:-4], "cut off|not an image"
    yield "no_width.png", raw_png(0, 5, 8, 2), "no pixels|not an image"
    yield "no_height16.png", raw_png(5, 0, 16, 2), "no pixels|not an image"
    yield "float.tif", saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "16-bit grey"
    tags = {258: (16, 16, 16)}  # a TIFF of 16-bit colour, of which Pillow would keep the high bytes
    yield "colour16.tif", saved(rgb, "TIFF", tiffinfo=tags).replace(struct.pack("<3H", 8, 8, 8), b"\x10\0" * 3), "loss"
    yield "line\nbreak.png", b"nothing", "not an image"


BAD = list(bad_files())


@pytest.mark.parametrize(("name", "data", "match"), BAD, ids=[repr(name) for name, _, _ in BAD])
def test_bad_files(tmp_path, name, data, match):
    (tmp_path / name).write_bytes(data)
    one_line(tmp_path / name, match)


def test_missing_folder_pipe_and_permission(tmp_path, monkeypatch):
    one_line(tmp_path / "missing.png", "does not exist")
    one_line(tmp_path / "missing" / "a.png", "does not exist")
    one_line(tmp_path, "is a folder")
    one_line("nul\0.png", "null")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        one_line(tmp_path / "pipe.png", "not a regular file")
    write_photo(tmp_path / "a.png", np.zeros((2, 2, 1)))

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    one_line(tmp_path / "a.png", "permission")


@pytest.mark.parametrize(("depth", "colour_type"), [(8, 2), (8, 0), (16, 0), (16, 2), (16, 4), (16, 6)])
@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])  # 81, 144 (where Pillow only warns), 3600 million pixels
def test_a_bomb_is_refused_from_its_header(tmp_path, monkeypatch, side, depth, colour_type):
    (tmp_path / "bomb.png").write_bytes(raw_png(side, side, depth, colour_type, b"\0" * 1000))
    limit = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded before the check"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_line(tmp_path / "bomb.png", "pixels")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_max_pixels_is_the_last_size_allowed(tmp_path):
    write_photo(tmp_path / "a.png", np.zeros((H, W, 3)), depth=16)
    assert read_photo(tmp_path / "a.png", max_pixels=H * W).shape == (H, W, 3)
    one_line(tmp_path / "a.png", f"{H} x {W} = {H * W} pixels, the limit is {H * W - 1}", max_pixels=H * W - 1)


def test_no_warning_escapes(tmp_path, monkeypatch):
    write_photo(tmp_path / "a.png", np.zeros((H, W, 3)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W - 1)  # Pillow now warns when it opens the file
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(tmp_path / "a.png").shape == (H, W, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W // 3)  # and now refuses
    one_line(tmp_path / "a.png", "Pillow's limit")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_refused_before_decoding(tmp_path, monkeypatch, format):
    (tmp_path / "a").write_bytes(saved(Image.fromarray(noise(3)), format))
    assert read_photo(tmp_path / "a", max_pixels=H * W).shape == (H, W, 3)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded before the check"))
    one_line(tmp_path / "a", "the limit is", max_pixels=H * W - 1)


BAD_WRITES = [
    ("a.gif", np.zeros((2, 2, 3)), {}, "ends in '.gif'"),
    ("a", np.zeros((2, 2, 3)), {}, "ends in ''"),
    ("missing/a.png", np.zeros((2, 2, 3)), {}, r"folder '.*missing' does not exist"),
    ("a.png", np.zeros((2, 2, 3)), {"depth": 12}, "depth is 12"),
    ("a.jpg", np.zeros((2, 2, 3)), {"depth": 16}, r"use \.png"),
    ("a.webp", np.zeros((2, 2, 3)), {"depth": 16}, r"use \.png"),
    ("a.jpg", np.zeros((2, 2, 3)), {"alpha": np.ones((2, 2))}, r"use \.png"),
    ("a.png", np.zeros((2, 2, 3)), {"alpha": np.ones((2, 3))}, "alpha has shape"),
    ("a.png", np.zeros((2, 2)), {}, "expected .H, W, C."),
    ("a.png", np.zeros((2, 2, 4)), {}, "expected .H, W, C."),
    ("a.png", np.zeros((0, 2, 3)), {}, "expected .H, W, C."),
    ("a.png", np.zeros((2, 2, 3), np.uint8), {}, "uint8, expected floats"),
    ("a.png", np.full((2, 2, 3), np.nan), {}, "12 of 12 values are NaN"),
    ("a.webp", np.zeros((1, 16_384, 1)), {}, "cannot hold"),
]


@pytest.mark.parametrize(("name", "values", "options", "match"), BAD_WRITES)
def test_bad_writes(tmp_path, name, values, options, match):
    with pytest.raises(ImageError, match=match) as caught:
        write_photo(tmp_path / name, values, **options)
    assert "\n" not in str(caught.value)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["write", "replace"])
def test_a_failed_write_changes_nothing(tmp_path, monkeypatch, suffix, failure, moment):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"older")

    def fail(*_):
        raise failure

    if moment == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:

        class Full(io.FileIO):
            def write(self, data):
                super().write(data[:5])  # the disk fills up on the way
                raise failure

        monkeypatch.setattr("builtins.open", lambda file, mode: Full(file, mode.replace("b", "")))
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else ImageError
    with pytest.raises(expected, match="No space left" if expected is ImageError else None):
        write_photo(path, np.zeros((4, 4, 3)))
    monkeypatch.undo()
    assert path.read_bytes() == b"older" and leftovers(tmp_path) == [path.name]


def test_target_that_is_a_folder(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match="cannot be written"):
        write_photo(tmp_path / "a.png", np.zeros((2, 2, 3)))
    assert leftovers(tmp_path) == ["a.png"]
