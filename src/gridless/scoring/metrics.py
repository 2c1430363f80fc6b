"""Measures of a predicted picture, the protocol in the name.

All take a prediction and a truth, (H W C) floats in [0, 1], arrays or tensors, C = 1 (grey) or 3 (RGB), of one picture:
a table shows the mean over pictures. All but `psnr` clip and round both to 8 bits first, because a file or a screen
would. PSNR is in dB, higher is better; two pictures that are then identical score `math.inf`.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from gridless.data.pictures import quantise, resize_bicubic

LUMA = np.array([65.481, 128.553, 24.966])
"""BT.601 luma of R, G, B in [0, 1], in 8-bit units; black is 16, white 235 (MATLAB's rgb2ycbcr)."""


def psnr(prediction, truth) -> float:
    """Reconstruction: -10 log10 of the mean squared error of the floats, any shape, neither clipped nor rounded."""
    return _decibels(_float64(prediction), _float64(truth), peak=1)


def psnr_rgb(prediction, truth) -> float:
    """8-bit PSNR of pictures (H W C) over all pixels and channels (as LIIF on DIV2K), no border cut."""
    return _decibels(quantise(prediction), quantise(truth), peak=255)


def psnr_y_shave(prediction, truth, shave: int) -> float:
    """8-bit PSNR of the BT.601 luma of pictures (H W C), `shave` pixels cut from every border (as in Set5's tables).

    The luma itself is not rounded. The tables cut as many pixels as the scale; for a scale that is no integer the
    caller rounds up. Raises ValueError if nothing remains.
    """
    if shave < 0 or shave != int(shave):
        raise ValueError(f"shave is {shave}, expected a whole number of pixels; round a scale up with math.ceil")
    prediction, truth = quantise(prediction), quantise(truth)
    _check_same(prediction, truth)
    prediction, truth = luma(prediction), luma(truth)
    if 2 * shave >= min(truth.shape):
        raise ValueError(f"cutting {shave} pixels from every border of {truth.shape} leaves nothing; shave less")
    shave = int(shave)
    prediction, truth = (y[shave : y.shape[0] - shave, shave : y.shape[1] - shave] for y in (prediction, truth))
    return _decibels(prediction, truth, peak=255)


def luma(pixels: np.ndarray) -> np.ndarray:
    """8-bit pixels (H W C) -> luma (H W) in [16, 235], not rounded; grey counts as R = G = B."""
    red_green_blue = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return 16 + red_green_blue @ LUMA / 255


def ssim(prediction, truth) -> float:
    """Structural similarity of the 8-bit pictures (H W C), the mean over R, G, B: Gaussian window 11 x 11, sigma 1.5.

    Wang et al. 2004, as scikit-image computes it. Raises ValueError for pictures smaller than the window.
    """
    prediction, truth = quantise(prediction), quantise(truth)
    _check_same(prediction, truth)
    if min(truth.shape[:2]) < 11:
        raise ValueError(f"SSIM looks through a window of 11 x 11 pixels, the picture has {truth.shape[:2]}")
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise ImportError(f"ssim needs scikit-image ({error}); pip install 'gridless[eval]'") from error
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    score: Any = structural_similarity(prediction, truth, channel_axis=-1, data_range=255, **window)
    return float(score)


def lr_consistency(prediction, lr) -> float:
    """Does the answer explain its input? 8-bit PSNR of the prediction (H W C), made as small as `lr` (h w C) by
    `resize_bicubic`."""
    lr = quantise(lr)
    return _decibels(resize_bicubic(quantise(prediction), lr.shape[:2]), lr, peak=255)


# --- fields: a prediction and a truth of one shape, floats in any unit; arrays or tensors ------------------------------


def rmse(prediction, truth) -> float:
    """Root of the mean squared error, in the unit of the values; any shape, the same for both."""
    prediction, truth = _float64(prediction), _float64(truth)
    _check_same(prediction, truth)
    return float(np.sqrt(np.mean((prediction - truth) ** 2)))


def relative_l2(prediction, truth) -> float:
    """‖prediction − truth‖ / ‖truth‖; any shape, the same for both."""
    prediction, truth = _float64(prediction), _float64(truth)
    _check_same(prediction, truth)
    return float(np.linalg.norm(prediction - truth) / np.linalg.norm(truth))


def r2(prediction, truth) -> float:
    """1 − mean squared error / variance of the truth: 1 is exact, 0 as good as the truth's mean. Any shape, the same for
    both."""
    prediction, truth = _float64(prediction), _float64(truth)
    _check_same(prediction, truth)
    return float(1 - np.mean((prediction - truth) ** 2) / np.var(truth))


def coverage(mean, std, truth, level: float) -> float:
    """The share of the truth inside the central normal interval that should hold `level` of it; any shape, the same for
    all."""
    mean, std, truth = _float64(mean), _float64(std), _float64(truth)
    _check_same(mean, truth)
    return float(np.mean(np.abs(truth - mean) <= NormalDist().inv_cdf(0.5 + level / 2) * std))


def crps(mean, std, truth) -> float:
    """Continuous ranked probability score of normal predictions, the mean over points (Gneiting et al. 2005, eq. 5): the
    mean absolute error for std → 0; lower is better. Any shape, the same for all."""
    mean, std, truth = _float64(mean), np.maximum(_float64(std), 1e-12), _float64(truth)
    _check_same(mean, truth)
    z = (truth - mean) / std
    below = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return float(np.mean(std * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))))


def _float64(x) -> np.ndarray:
    return np.asarray(x.detach().cpu().double() if hasattr(x, "detach") else x, dtype=np.float64)


def _decibels(prediction: np.ndarray, truth: np.ndarray, peak: float) -> float:
    _check_same(prediction, truth)
    error = np.mean((prediction.astype(np.float64) - truth.astype(np.float64)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def _check_same(prediction: np.ndarray, truth: np.ndarray) -> None:
    if prediction.shape != truth.shape:
        raise ValueError(f"the prediction has shape {prediction.shape}, the truth {truth.shape}; expected the same")
