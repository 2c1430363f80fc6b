"""What readings say about the weights of linear Gaussian models, and how likely they are; many models at once."""

from math import log, pi
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Posterior(NamedTuple):
    log_evidence: Float[Tensor, "*T"]
    """Logarithm of the density of the readings."""
    mean: Float[Tensor, "*T R"]
    """Of the weights."""
    precision_root: Float[Tensor, "*T R R"]
    """Lower Cholesky root of the precision of the weights."""
    chi_square: Float[Tensor, "*T"]
    """Squared distance of the readings from their mean, in the metric of their covariance; it is about their number where
    the model holds."""


def posterior(
    design: Float[Tensor, "*T N R"], anomaly: Float[Tensor, "*T N"], precision: Float[Tensor, "*T N"]
) -> Posterior:
    """Of anomaly = design w + noise, with w ~ N(0, I) and noise of variance 1 / precision (0: no reading): Bishop (2006),
    equations 2.115 to 2.117."""
    weighted = design * precision[..., None]
    eye = torch.eye(design.shape[-1], dtype=design.dtype, device=design.device)
    root = torch.linalg.cholesky(weighted.mT @ design + eye)
    projected = torch.linalg.solve_triangular(root, weighted.mT @ anomaly[..., None], upper=False)
    mean = torch.linalg.solve_triangular(root.mT, projected, upper=True)[..., 0]
    chi_square = (precision * anomaly.square()).sum(-1) - projected.square().sum((-2, -1))
    log_det = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1) - precision.where(precision > 0, 1).log().sum(-1)
    count = (precision > 0).sum(-1)
    return Posterior(-0.5 * (chi_square + log_det + count * log(2 * pi)), mean, root, chi_square)


def chi_square_bound(count: Float[Tensor, "*T"], deviations: float) -> Float[Tensor, "*T"]:
    """What a chi-square of `count` degrees of freedom exceeds as seldom as a normal variable its mean by so many standard
    deviations (Wilson & Hilferty 1931)."""
    return count * (1 - 2 / (9 * count) + deviations * (2 / (9 * count)).sqrt()) ** 3
