"""From features at a coordinate to values.

`gaussian` follows "faithful" heteroscedastic regression (Stirn et al. 2023, arXiv 2212.09184): the value learns by its
squared error alone, the standard deviation by the likelihood, and neither its gradient nor the residual's reaches the
features or the value. So the value is as good as without a spread, and the loss is stable.
"""

from math import log

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config

SMALLEST = 1e-3  # of a standard deviation, in the normalised values


class PointHead(nn.Module):
    """One value per channel. Starts at zero: an untrained field is its base."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(width, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q C"]:
        return self.linear(features)


class GaussianHead(PointHead):
    """Values, and behind them their standard deviations. Starts at zero and one."""

    def __init__(self, head: config.GaussianHead, width: int, channels: int):
        super().__init__(width, channels)
        self.spread = nn.Sequential(nn.Linear(width, head.hidden), nn.GELU(), nn.Linear(head.hidden, channels))
        nn.init.zeros_(self.spread[-1].weight)
        nn.init.constant_(self.spread[-1].bias, log(torch.e - 1))  # softplus gives one

    def forward(self, features: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q 2C"]:
        std = SMALLEST + F.softplus(_exact(self.spread(features.detach())))
        return torch.cat([_exact(self.linear(features)), std], -1)


def _exact(x: Tensor) -> Tensor:
    """Out of autocast's half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def likelihood_loss(
    mean: Float[Tensor, "B Q C"], std: Float[Tensor, "B Q C"], target: Float[Tensor, "B Q C"]
) -> Float[Tensor, ""]:
    """The mean negative log-likelihood of the targets, without its constant."""
    return (0.5 * ((target - mean) / std).square() + std.log()).mean()


def faithful_loss(
    mean: Float[Tensor, "B Q C"], std: Float[Tensor, "B Q C"], target: Float[Tensor, "B Q C"]
) -> Float[Tensor, ""]:
    """Half the squared error of the mean, plus the negative log-likelihood of its residual as it stands."""
    return 0.5 * (target - mean).square().mean() + likelihood_loss(mean.detach(), std, target)


def weighted(
    mean: Float[Tensor, "B Q C"],
    std: Float[Tensor, "B Q C"],
    other: Float[Tensor, "B Q C"],
    doubt: Float[Tensor, "B Q C"],
) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B Q C"]]:
    """Two guesses as one, each with the weight of its precision, 1 / std²."""
    share = doubt.square() / (std.square() + doubt.square())
    return other + share * (mean - other), std * share.sqrt()
