"""Which rows look alike, and along which directions they differ."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROUNDS = 25  # of k-means


def k_means(points: Float[Tensor, "S F"], clusters: int) -> Int[Tensor, " S"]:
    """The cluster of every point: Lloyd's algorithm from centres drawn far from one another (k-means++, Arthur &
    Vassilvitskii 2007)."""
    generator, size = torch.Generator(points.device).manual_seed(0), points.square().sum(1)

    def distances(centres: Tensor) -> Tensor:
        return (size[:, None] - 2 * points @ centres.mT + centres.square().sum(1)).clamp(min=0)

    chosen = [torch.randint(len(points), (1,), generator=generator, device=points.device)]
    nearest = distances(points[chosen[0]])[:, 0]
    for _ in range(1, clusters):
        far = nearest if nearest.sum() > 0 else torch.ones_like(nearest)
        chosen.append(torch.multinomial(far, 1, generator=generator))
        nearest = torch.minimum(nearest, distances(points[chosen[-1]])[:, 0])
    centres = points[torch.cat(chosen)]
    for _ in range(ROUNDS):
        member = distances(centres).argmin(1)
        count = member.bincount(minlength=clusters)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, member, points)
        centres = torch.where(count > 0, sums / count.clamp(min=1), centres)
    return member


def principal(rows: Float[Tensor, "S M"]) -> tuple[Float[Tensor, " M"], Float[Tensor, "M M"]]:
    """Variances and directions of the rows, the largest first."""
    variances, directions = torch.linalg.eigh((rows.mT @ rows / len(rows)).double())
    return variances.flip(-1).clamp(min=0).to(rows.dtype), directions.flip(-1).to(rows.dtype)
