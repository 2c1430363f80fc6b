"""How likely readings are that a linear Gaussian model of few weights explains, for many models and noises at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Fit:
    """What readings say about the weights within each of K clusters, before their noise is known."""

    inner: Float[Tensor, "B K R R"]
    along: Float[Tensor, "B K R"]
    whole: Float[Tensor, "B K"]
    left: Float[Tensor, "B K"]
    share: Float[Tensor, "B K"]
    real: Int[Tensor, " B"]

    def of(self, chosen: Int[Tensor, "B T"]) -> "Fit":
        """The chosen clusters of each sample."""
        rows = torch.arange(len(chosen), device=chosen.device)[:, None]
        inner, along, whole, left, share = (
            x[rows, chosen] for x in (self.inner, self.along, self.whole, self.left, self.share)
        )
        return Fit(inner, along, whole, left, share, self.real)

    def root(self, noise: Float[Tensor, "B K"]) -> Float[Tensor, "B K R R"]:
        """Of the weights' precision times the noise."""
        eye = torch.eye(self.along.shape[-1], dtype=noise.dtype, device=noise.device)
        return torch.linalg.cholesky(self.inner + noise[..., None, None] * eye)

    def likelihoods(self, noises: Sequence[float]) -> Float[Tensor, "B K S"]:
        """Logarithms of how likely the readings are with each noise, and of the cluster's share."""
        out = []
        for noise in noises:
            v = noise + self.left
            root = self.root(v)
            met = torch.linalg.solve_triangular(root, self.along[..., None], upper=False).square().sum((-2, -1))
            freedom = self.real[:, None] - self.along.shape[-1]
            spread = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1) + freedom * v.log()
            out.append(self.share - 0.5 * ((self.whole - met) / v + spread))
        return torch.stack(out, -1)
