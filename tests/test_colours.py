"""Colours survive: profiles are kept or converted, as a colour-managed reference has it, and so are gAMA and cHRM."""

import io

import numpy as np
import pytest
from conftest import bicubic_model
from pictures import H, W, noise, saved
from PIL import Image
from profiles import ADOBE_RGB, CMYK, DISPLAY_P3, GREY, managed

from gridless.data import colours
from gridless.data.metadata import Metadata, read_metadata
from gridless.data.picture_reading import read_photo
from gridless.data.picture_writing import write_photo
from gridless.data.pictures import ImageError
from gridless.runs.predict import predict_file
from gridless.runs.predict_options import PredictOptions

PROFILES = {"AdobeRGB": ADOBE_RGB, "Display-P3": DISPLAY_P3, "grey": GREY}
WRITTEN = (".png", ".jpg", ".webp", ".tif", ".bmp")


def smooth(channels: int, height: int = 24, width: int = 30) -> np.ndarray:
    """Saturated colours that a JPEG keeps well enough."""
    coarse = np.random.default_rng(5).integers(0, 256, (3, 4, channels), dtype=np.uint8)
    image = Image.fromarray(coarse[..., 0] if channels == 1 else coarse)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)).reshape(height, width, channels)


def picture(name: str) -> Image.Image:
    samples = smooth(1 if name == "grey" else 3)
    return Image.fromarray(samples[..., 0] if name == "grey" else samples)


def seen(path) -> np.ndarray:
    """What a colour-managed viewer shows of a file."""
    with Image.open(path) as image:
        profile = image.info.get("icc_profile")
        return np.asarray(image.convert("RGB")).astype(int) if profile is None else managed(image, profile)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("suffix", WRITTEN)
def test_what_a_managed_viewer_sees_stays(tmp_path, name, suffix):
    """At ×1: the same colours within one level, lossy JPEG within its own error. The profile is in the file where the
    format has a place for it; BMP, and WebP of a grey profile, hold sRGB."""
    image = picture(name)
    image.save(tmp_path / "in.png", icc_profile=PROFILES[name])
    out = tmp_path / f"out{suffix}"
    predict_file(bicubic_model(), tmp_path / "in.png", out, PredictOptions(scale=1))
    kept = read_metadata(out).profile == PROFILES[name]
    assert kept == (suffix != ".bmp" and (name, suffix) != ("grey", ".webp"))
    reference = managed(image, PROFILES[name])
    if suffix == ".jpg":
        jpeg = Image.open(io.BytesIO(saved(image, "JPEG", quality=95, subsampling=0)))
        reference = managed(jpeg, PROFILES[name])
    assert np.abs(seen(out) - reference).max() <= 1


@pytest.mark.parametrize("name", PROFILES)
def test_a_wide_gamut_is_enlarged_as_it_is_encoded(tmp_path, name):
    """Nothing beyond sRGB is cut off on the way, as 8 bits of sRGB would."""
    image = picture(name)
    image.save(tmp_path / "in.png", icc_profile=PROFILES[name])
    predict_file(bicubic_model(), tmp_path / "in.png", tmp_path / "out.png", PredictOptions(scale=3))
    expected = np.asarray(image.resize((90, 72), Image.Resampling.BICUBIC)).reshape(72, 90, -1).astype(int)
    assert np.abs(read_photo(tmp_path / "out.png").pixels - expected).max() <= 1
    assert read_metadata(tmp_path / "out.png").profile == PROFILES[name]


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_four_inks_become_srgb_by_their_profile(tmp_path, format):
    image = Image.merge("CMYK", [Image.fromarray(smooth(1, H * 2, W * 2)[..., 0]).rotate(90 * k) for k in range(4)])
    data = saved(image, format, icc_profile=CMYK, **({"quality": 100, "subsampling": 0} if format == "JPEG" else {}))
    (tmp_path / "in").write_bytes(data)
    predict_file(bicubic_model(), tmp_path / "in", tmp_path / "out.png", PredictOptions(scale=1))
    stored = Image.open(io.BytesIO(data))
    assert stored.mode == "CMYK"
    assert np.abs(seen(tmp_path / "out.png") - managed(stored, CMYK)).max() <= 1
    assert read_metadata(tmp_path / "out.png").profile is None
    naive = np.asarray(stored.convert("RGB")).astype(int)
    assert np.abs(naive - managed(stored, CMYK)).max() > 50  # the profile matters


def test_four_inks_without_a_profile_are_read_as_before(tmp_path):
    image = Image.new("CMYK", (W, H), (0, 255, 0, 0))
    (tmp_path / "in.tif").write_bytes(saved(image, "TIFF"))
    assert (read_photo(tmp_path / "in.tif").pixels == (255, 0, 255)).all()


def with_chunks(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    import struct
    import zlib

    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:33] + made + data[33:]


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", round(gamma * 100_000).to_bytes(4, "big")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_gama_is_honoured(tmp_path, gamma, channels, suffix):
    """Values to the power of 1 / gAMA are light: the answer shows the same light, by a profile or in sRGB."""
    samples = smooth(channels)
    plain = saved(Image.fromarray(samples[..., 0] if channels == 1 else samples), "PNG")
    (tmp_path / "in.png").write_bytes(with_chunks(plain, gama(gamma)))
    out = tmp_path / f"out{suffix}"
    predict_file(bicubic_model(), tmp_path / "in.png", out, PredictOptions(scale=1))
    light = (np.broadcast_to(samples, (*samples.shape[:2], 3)) / 255) ** (1 / gamma)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    away = np.abs(seen(out) - srgb * 255)
    if suffix == ".jpg":  # an error of the JPEG grows in the dark, where sRGB's curve is steep
        assert np.median(away) <= 1.5
    else:
        assert away.max() <= 1.5
    assert np.abs(np.broadcast_to(samples, srgb.shape) - srgb * 255).max() > 10  # the chunk matters


def test_chunks_that_say_srgb_make_no_profile(tmp_path):
    plain = saved(Image.fromarray(noise(3)), "PNG")
    chromaticities = b"".join(
        round(100_000 * v).to_bytes(4, "big") for v in (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
    )
    for chunks, expected in (
        ([], False),
        ([gama(0.45455)], False),
        ([(b"sRGB", b"\0"), gama(1.0)], False),  # sRGB comes before
        ([gama(0.45455), (b"cHRM", chromaticities)], True),
    ):
        (tmp_path / "a.png").write_bytes(with_chunks(plain, *chunks))
        profile = read_metadata(tmp_path / "a.png").profile
        assert (profile is not None) == expected
        if profile is not None:
            samples = Image.fromarray(smooth(3))
            assert np.abs(managed(samples, profile) - managed(samples, DISPLAY_P3)).max() <= 1


def test_a_profile_of_other_channels_or_none_is_left_out(tmp_path):
    for profile in (b"nothing", GREY, CMYK):
        (tmp_path / "a.png").write_bytes(saved(Image.fromarray(noise(3)), "PNG", icc_profile=profile))
        assert read_metadata(tmp_path / "a.png").profile is None
    assert colours.space(None) is None and colours.space(b"nothing") is None


def test_a_grey_profile_where_grey_becomes_rgb(tmp_path):
    write_photo(tmp_path / "in.png", noise(1, 16) / 65535, 16, noise(1, 16)[..., 0] / 65535, about=Metadata(GREY))
    predict_file(bicubic_model(), tmp_path / "in.png", tmp_path / "out.png", PredictOptions(scale=1))
    assert read_metadata(tmp_path / "out.png").profile == GREY
    with pytest.raises(ImageError, match="its grey profile means nothing; use .png"):
        predict_file(bicubic_model(), tmp_path / "in.png", tmp_path / "out.tif", PredictOptions(scale=1))


def test_alpha_is_not_converted():
    samples = np.dstack([smooth(3), noise(1, seed=2)[:1, :1, 0].repeat(24, 0).repeat(30, 1)])
    got = np.asarray(colours.in_srgb(Image.fromarray(samples), ADOBE_RGB))
    np.testing.assert_array_equal(got[..., 3], samples[..., 3])
    np.testing.assert_array_equal(got[..., :3], managed(Image.fromarray(samples[..., :3]), ADOBE_RGB))


@pytest.mark.parametrize(
    ("red", "green", "gamma"), [((0.64, 0.33), (0.21, 0.71), 563 / 256), ((0.68, 0.32), (0.265, 0.69), 2.25)]
)
def test_profiles_mean_what_their_numbers_say(red, green, gamma):
    """LittleCMS's sRGB of a profile made from chromaticities, against the same by hand."""

    def in_light(primaries):
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
        return columns[:, 1:] * np.linalg.solve(columns[:, 1:], columns[:, 0])

    primaries, samples = ((0.3127, 0.329), red, green, (0.15, 0.06)), smooth(3)
    light = ((samples / 255) ** gamma) @ in_light(primaries).T @ np.linalg.inv(in_light(colours.SRGB_PRIMARIES)).T
    light = light.clip(0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    made = managed(Image.fromarray(samples), colours.matrix_profile(primaries, gamma))
    assert np.abs(made - np.rint(255 * srgb)).max() <= 1
