"""Many readings as overlapping neighbourhoods, whose answers are blended smoothly (a partition of unity)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gridless.bases.covariance import squared_distances

SHARPNESS = 6.0  # a neighbourhood's weight falls as exp(−SHARPNESS · (distance / radius)²)
NEGLIGIBLE = 1e-3  # of the largest weight; taken off all, so that none ends with a jump
DISTANCES_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The nearest readings of each centre. Wherever one asks, the weights of the neighbourhoods sum to 1 and change
    without a jump."""

    centre: Float[Tensor, "J e"]
    radius: Float[Tensor, " J"]
    index: Int[Tensor, "J m"]
    stretch: Float[Tensor, " e"]

    @classmethod
    def of(cls, x: Float[Tensor, "N e"], size: int, stretch: Float[Tensor, " e"]) -> "Neighbourhoods":
        """Of `size` readings each, a third of which are no other centre's own. `stretch`: how much distances count
        along each axis."""
        x = x * stretch
        centre = torch.stack([x[leaf].mean(0) for leaf in bisected(x, max(1, size // 3))])
        radius, index = x.new_empty(len(centre)), torch.empty(len(centre), size, dtype=torch.long, device=x.device)
        step = max(1, DISTANCES_AT_ONCE // len(x))
        for some in (slice(start, start + step) for start in range(0, len(centre), step)):
            nearest = squared_distances(centre[some], x).topk(size, largest=False)
            radius[some], index[some] = nearest.values.amax(1).sqrt(), nearest.indices.sort(1).values
        return cls(centre, radius.clamp(min=1e-6 * float(radius.max())), index, stretch)

    def weights(self, x: Float[Tensor, "Q e"]) -> Float[Tensor, "Q J"]:
        """How much each neighbourhood says at `x`."""
        far = SHARPNESS * squared_distances(x * self.stretch, self.centre) / self.radius.square()
        weight = (torch.exp(far.amin(1, keepdim=True) - far) - NEGLIGIBLE).clamp(min=0)
        return weight / weight.sum(1, keepdim=True)

    def parts(self, x: Float[Tensor, "Q e"]) -> Iterator[tuple[int, Int[Tensor, " q"], Float[Tensor, " q"]]]:
        """Each neighbourhood that says anything at some of `x`: which, at which of them, and with which weights."""
        first = 0
        for some in x.split(max(1, DISTANCES_AT_ONCE // len(self.centre))):
            weight = self.weights(some)
            for j in weight.detach().sum(0).nonzero()[:, 0].tolist():
                rows = weight[:, j].detach().nonzero()[:, 0]
                yield j, first + rows, weight[rows, j]
            first += len(some)


def bisected(x: Float[Tensor, "N e"], size: int) -> list[Int[Tensor, " n"]]:
    """Readings in groups of at most `size` that lie together: halved across the widest axis until they fit."""
    groups, done = [torch.arange(len(x), device=x.device)], []
    while groups:
        group = groups.pop()
        if len(group) <= size:
            done.append(group)
            continue
        places = x[group]
        widest = (places.amax(0) - places.amin(0)).argmax()
        group = group[places[:, widest].argsort(stable=True)]
        groups += [group[len(group) // 2 :], group[: len(group) // 2]]
    return done


def representative(x: Float[Tensor, "N e"], size: int, count: int) -> Int[Tensor, "G size"]:
    """Groups of readings that stand for all: one spread over the whole, `count` − 1 of neighbours."""
    order = torch.cat(bisected(x, size))
    spread = order[torch.linspace(0, len(x) - 1, size, device=x.device).long()]
    starts = torch.linspace(0, len(x) - size, count + 1, device=x.device).long()[1:-1]
    return torch.stack([spread, *(order[start : start + size] for start in starts.tolist())]).sort(1).values
