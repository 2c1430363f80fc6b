"""A grid made coarser or finer, axis by axis, with the bicubic kernel that widens where samples are averaged: the same
numbers as `bases.Interpolation("bicubic")` asked on the whole grid, at the price of one small matrix per axis. Or made
coarser as a scanner's slices are, by a box or a gaussian.
"""

from collections.abc import Sequence
from math import log
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Profile = Literal["bicubic", "box", "gaussian"]
MEASURED = 0.5  # share of a sample's weight that must have been measured


def resample(
    values: Float[np.ndarray, "*grid C"],
    shape: Sequence[int],
    mask: Bool[np.ndarray, "*grid"] | None = None,
    nodes: Sequence[bool] | None = None,
    profile: Profile = "bicubic",
) -> tuple[Float[np.ndarray, "*shape C"], Bool[np.ndarray, "*shape"] | None]:
    """The values on a grid of `shape` over the same domain, and where they are known. Of holes nothing is read: the weights
    of what was measured are renormalised. `nodes`: axes whose first and last samples stay where they are. `profile`: the
    kernel of axes that become coarser; others are interpolated or stay."""
    nodes = nodes or (False,) * len(shape)
    sizes = zip(values.shape[:-1], shape, nodes, strict=True)
    matrices = [kernel_matrix(*size, profile).astype(values.dtype) for size in sizes]
    if mask is None:
        return _along(values, matrices), None
    weight = _along(mask[..., None].astype(values.dtype), matrices)
    mixed = _along(np.where(mask[..., None], values, 0), matrices)
    known = weight[..., 0] > MEASURED
    return np.where(known[..., None], mixed / np.where(known[..., None], weight, 1), 0), known


def kernel_matrix(
    seen: int, asked: int, nodes: bool = False, profile: Profile = "bicubic"
) -> Float[np.ndarray, "asked seen"]:
    """Weights of `seen` samples for every one of `asked`, both at cell centres (or nodes with common ends): Keys' cubic
    (a = −0.5), as wide as the larger of both cells, cut at the border and renormalised as Pillow does. Of coarser ones
    `box` takes the mean over an asked cell, `gaussian` has its width at half its height."""
    if nodes and seen > 1 and asked > 1:
        width = max(1.0, (seen - 1) / (asked - 1))
        centre = np.arange(asked) * (seen - 1) / (asked - 1)
    else:
        width = max(1.0, seen / asked)
        centre = (np.arange(asked) + 0.5) * seen / asked - 0.5
    x = np.abs(np.arange(seen)[None] - centre[:, None]) / width
    if profile != "bicubic" and width > 1:
        within = np.clip((0.5 - x) * width + 0.5, 0, min(1, width))  # of a sample's width, what the box covers
        weights = within if profile == "box" else np.where(x < 2, np.exp(-4 * log(2) * x * x), 0)
        return weights / weights.sum(1, keepdims=True)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)


def _along(values: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    for axis, matrix in enumerate(matrices):
        values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    return np.ascontiguousarray(values)
