"""Colour beside and under transparency: nobody sees what a fully transparent pixel holds, and it must not show."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32


def spread_colours(
    values: Float32[np.ndarray, "H W C"], weight: Float32[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W C"]:
    """Pixels of weight 1 as they are; one of less takes its share of the colours around: the weighted mean in the smallest
    block of 2^k × 2^k that has enough (the push and pull of Gortler et al. 1996, "The Lumigraph", section 3.6, without its
    smoothing). All is left as it is where no pixel has any weight."""
    if (weight == 1).all() or not (weight > 0).any():
        return values
    (height, width), share = weight.shape, weight[..., None].astype(np.float32)
    even = ((0, height % 2), (0, width % 2), (0, 0))

    def halved(x: np.ndarray) -> np.ndarray:
        x = np.pad(x, even)
        return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]

    total = halved(share)
    means = halved(values * share) / np.where(total > 0, total, 1)
    coarse = spread_colours(means, np.minimum(total[..., 0], 1)).repeat(2, 0).repeat(2, 1)[:height, :width]
    return np.where(share == 1, values, share * values + (1 - share) * coarse)
