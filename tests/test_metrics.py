"""Each measure against numbers worked out by hand."""

import math
import sys

import numpy as np
import pytest

from gridless.data import resize_bicubic
from gridless.scoring import metrics


def flat(level, channels=3, size=(16, 20)):
    return np.full((*size, channels), level / 255)


def noise(channels=3, size=(24, 36), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, channels)) / 255


def test_psnr_of_floats():
    assert metrics.psnr(np.zeros((2, 2, 3)), np.full((2, 2, 3), 0.1)) == pytest.approx(20)
    assert metrics.psnr(np.full((4, 4, 1), 2.0), np.ones((4, 4, 1))) == pytest.approx(0)  # not clipped
    truth = np.full((4, 4, 1), 0.5)
    assert metrics.psnr(truth + 1e-5, truth) == pytest.approx(100)  # not rounded
    assert metrics.psnr(truth, truth) == math.inf


def test_psnr_rgb():
    assert metrics.psnr_rgb(flat(100), flat(110)) == pytest.approx(20 * math.log10(25.5))  # 28.13 dB: ten levels
    one_channel = flat(100)
    one_channel[..., 0] += 10 / 255
    assert metrics.psnr_rgb(one_channel, flat(100)) == pytest.approx(20 * math.log10(25.5) + 10 * math.log10(3))
    assert metrics.psnr_rgb(flat(100, 1), flat(110, 1)) == pytest.approx(20 * math.log10(25.5))
    corner = flat(100)
    corner[0, 0] += 10 / 255  # the border counts
    assert metrics.psnr_rgb(corner, flat(100)) == pytest.approx(20 * math.log10(25.5) + 10 * math.log10(16 * 20))


def test_eight_bits_make_equal():
    truth = noise()
    assert metrics.psnr_rgb(truth + 0.49 / 255, truth) == math.inf
    assert metrics.psnr_rgb(truth + 0.51 / 255, truth) < 60
    assert metrics.psnr_rgb(flat(300), flat(255)) == math.inf
    assert metrics.psnr_y_shave(flat(-30), flat(0), 2) == math.inf
    # every pixel one level off: 48.13 dB, the best score short of infinity
    assert metrics.psnr_rgb(flat(1), flat(0)) == pytest.approx(48.1308, abs=1e-4)


def test_luma_is_bt601():
    corners = np.array([[[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    expected = [16, 16 + 65.481, 16 + 128.553, 16 + 24.966, 235]
    np.testing.assert_allclose(metrics.luma(corners)[0], expected)
    np.testing.assert_allclose(metrics.luma(np.array([[[0], [255]]], np.uint8))[0], [16, 235])


def test_psnr_y_shave():
    green = flat(0)
    green[..., 1] = 10 / 255  # luma off by 128.553 * 10 / 255
    expected = 20 * math.log10(255 / (128.553 * 10 / 255))
    assert metrics.psnr_y_shave(green, flat(0), 0) == pytest.approx(expected)
    assert metrics.psnr_y_shave(green, flat(0), 4) == pytest.approx(expected)
    assert metrics.psnr_y_shave(flat(10, 1), flat(0, 1), 3) == pytest.approx(20 * math.log10(255 / (219 * 10 / 255)))


def test_shave_cuts_exactly_the_border():
    truth = flat(100)
    for third in ((2, 5), (-3, 5), (5, 2), (5, -3)):  # the third pixel from each border
        prediction = flat(100)
        prediction[third] = 0
        assert metrics.psnr_y_shave(prediction, truth, 2) < math.inf
        assert metrics.psnr_y_shave(prediction, truth, 3) == math.inf
    assert metrics.psnr_y_shave(truth, truth, 7) == math.inf
    for shave in (8, 9, 1000):
        with pytest.raises(ValueError, match="leaves nothing"):
            metrics.psnr_y_shave(truth, truth, shave)
    for shave in (-1, 2.5):
        with pytest.raises(ValueError, match="whole number"):
            metrics.psnr_y_shave(truth, truth, shave)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim(channels):
    a, b, c1 = 100 / 255, 150 / 255, 0.01**2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)  # flat pictures: only the means differ
    assert metrics.ssim(flat(100, channels), flat(150, channels)) == pytest.approx(expected, abs=1e-6)
    truth = noise(channels)
    assert metrics.ssim(truth, truth) == pytest.approx(1)
    assert metrics.ssim(1 - truth, truth) < 0
    with pytest.raises(ValueError, match="11 x 11"):
        metrics.ssim(truth[:10], truth[:10])


def test_ssim_without_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(ImportError, match=r"pip install 'gridless\[eval\]'"):
        metrics.ssim(noise(), noise())


@pytest.mark.parametrize("channels", [1, 3])
def test_lr_consistency(channels):
    truth = noise(channels)
    lr = resize_bicubic(np.rint(truth * 255).astype(np.uint8), (7, 10)) / 255
    assert metrics.lr_consistency(truth, lr) == math.inf
    assert metrics.lr_consistency(flat(110, channels), flat(100, channels, (4, 5))) == pytest.approx(
        20 * math.log10(25.5)
    )


def test_tensors_and_unequal_shapes():
    import torch

    truth = noise()
    shifted = torch.tensor(truth, dtype=torch.float32, requires_grad=True) + 0.1
    assert metrics.psnr(shifted, torch.from_numpy(truth)) == pytest.approx(20, abs=1e-4)
    assert metrics.psnr_rgb(torch.from_numpy(truth), truth) == math.inf
    for measure in (metrics.psnr, metrics.psnr_rgb, metrics.ssim, lambda p, t: metrics.psnr_y_shave(p, t, 1)):
        with pytest.raises(ValueError, match=r"\(23, 36, 3\).*\(24, 36, 3\)"):
            measure(truth[1:], truth)
    with pytest.raises(ValueError, match="NaN"):
        metrics.psnr_rgb(truth * np.nan, truth)
    with pytest.raises(ValueError, match="uint8"):
        metrics.psnr_rgb(np.zeros((2, 2, 3), np.uint8), truth)
