"""What readings say about the weights of linear Gaussian models, and how likely they are; many models at once."""

import torch
from jaxtyping import Float
from torch import Tensor


def posterior(
    part: Float[Tensor, "*T N R"], rest: Float[Tensor, "*T N"], precision: Float[Tensor, "*T N"]
) -> tuple[Float[Tensor, "*T"], Float[Tensor, "*T R"], Float[Tensor, "*T R R"]]:
    """Of rest = part w + noise, with w ~ N(0, I) and noise of variance 1 / precision (0: no reading): the logarithm of
    how likely `rest` is, the mean of w, and the Cholesky root of the precision of w."""
    weighted = part * precision[..., None]
    eye = torch.eye(part.shape[-1], dtype=part.dtype, device=part.device)
    root = torch.linalg.cholesky(weighted.mT @ part + eye)
    met = torch.linalg.solve_triangular(root, weighted.mT @ rest[..., None], upper=False)
    mean = torch.linalg.solve_triangular(root.mT, met, upper=True)[..., 0]
    spread = precision.where(precision > 0, 1).log().sum(-1) - 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (spread - (precision * rest.square()).sum(-1) + met.square().sum((-2, -1))), mean, root
