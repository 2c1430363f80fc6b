"""A signal larger than the window: overlapping windows, each answered alone, blended by a partition of unity.

Along an axis of n samples, windows of w samples start every w − overlap samples (the last one ends at the border).
From one window to the next the weight falls as a smooth step inside their common samples, away from the windows' own
borders. Weights sum to one and are continuously differentiable: there is no seam, neither in the field nor in its
gradient. At most two windows per axis answer a point.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import product

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gridless.network.local import smooth_step
from gridless.nn.memory import points_at_once
from gridless.samples import Encoded

WINDOWS_AT_ONCE = 32
BYTES_KEPT = 1 << 30  # of encoded windows; a larger signal's are encoded again when asked for again


class Windows:
    """Where the windows of a grid start, and which of them answer a point with what weight."""

    def __init__(self, shape: tuple[int, ...], window: int, overlap: int):
        check_overlap(window, overlap)
        self.size = tuple(min(n, window) for n in shape)
        self.starts = [axis_starts(n, window, overlap) for n in shape]
        self.shape = tuple(len(s) for s in self.starts)

    def origin(self, number: int) -> tuple[int, ...]:
        """First sample of a window, per axis."""
        out = []
        for starts in reversed(self.starts):
            number, i = divmod(number, len(starts))
            out.append(starts[i])
        return tuple(out[::-1])

    def weights(self, samples: Float[Tensor, "P d"]) -> list[tuple[Int64[Tensor, " P"], Float[Tensor, " P"]]]:
        """For points in units of samples: 2^d pairs of window number and weight."""
        axes = [
            self._axis(samples[:, a], torch.tensor(s, device=samples.device), self.size[a])
            for a, s in enumerate(self.starts)
        ]
        out = []
        for corner in product((0, 1), repeat=len(axes)):
            number, weight = torch.zeros_like(axes[0][0]), torch.ones_like(samples[:, 0])
            for side, (first, second), count in zip(corner, axes, self.shape, strict=True):
                number = number * count + (first + side).clamp(max=count - 1)
                weight = weight * (second if side else 1 - second)
            out.append((number, weight))
        return out

    @staticmethod
    def _axis(x: Tensor, starts: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The first window that answers x, and the weight of the next one."""
        if len(starts) == 1:
            return torch.zeros_like(x, dtype=torch.long), torch.zeros_like(x)
        common = starts[:-1] + size - starts[1:]  # samples that neighbours share
        margin = common / 4  # the outermost quarter on each side is left to the other window
        low, high = (starts[1:] + margin).to(x), (starts[:-1] + size - margin).to(x)
        first = torch.searchsorted(high, x.detach().contiguous(), right=True).clamp(max=len(starts) - 2)
        return first, smooth_step((x - low[first]) / (high[first] - low[first]))


def check_overlap(window: int, overlap: int) -> None:
    """More than two windows would share a sample's blending beyond a third; none would blend at zero."""
    if not 0 < 3 * overlap <= window:
        raise ValueError(f"signal.overlap must be between 1 and a third of signal.window {window}, got {overlap}")


def axis_starts(n: int, window: int, overlap: int) -> tuple[int, ...]:
    """Starts of the windows along n samples, spread evenly so that neighbours share at least `overlap`."""
    if n <= window:
        return (0,)
    count = -(-(n - overlap) // (window - overlap))
    return tuple((n - window) * i // (count - 1) for i in range(count))


class Mosaic:
    """Answers points of a larger signal from its windows. Encodes a window when it is first needed and keeps it."""

    def __init__(
        self,
        windows: Windows,
        batch: int,
        encode: Callable[[list[tuple[int, tuple[int, ...]]]], Encoded],
        decode: Callable[[Encoded, Tensor, Tensor], Tensor],
        unit: int,
    ):
        """`encode` takes (sample, origin) pairs; `decode` takes coordinates in units of the window (`unit` samples)."""
        self.windows, self.encode, self.decode, self.unit = windows, encode, decode, unit
        self.per_sample = 1
        for n in windows.shape:
            self.per_sample *= n
        self._kept: OrderedDict[int, Encoded] = OrderedDict()
        self.capacity, total = WINDOWS_AT_ONCE, batch * self.per_sample
        for first in range(0, total, WINDOWS_AT_ONCE):
            self._encoded(list(range(first, min(first + WINDOWS_AT_ONCE, total))))
            if first == 0:
                self.capacity = max(WINDOWS_AT_ONCE, BYTES_KEPT // self._kept[0].nbytes())
                if total > self.capacity:
                    break

    def __call__(self, samples: Float[Tensor, "B Q d"], cell: Float[Tensor, "B #Q d"]) -> Float[Tensor, "B Q C"]:
        """Values at points given in units of samples; the cell relative to a sample's."""
        b, q, d = samples.shape
        points, cell = samples.reshape(-1, d), cell.expand(b, q, d).reshape(-1, d)
        offset = torch.arange(b, device=samples.device).repeat_interleave(q) * self.per_sample
        numbers, weights, places = [], [], []
        for number, weight in self.windows.weights(points):
            used = (weight > 0).nonzero().flatten()
            numbers.append((number + offset)[used])
            weights.append(weight[used])
            places.append(used)
        number, weight, place = torch.cat(numbers), torch.cat(weights), torch.cat(places)
        order = number.argsort(stable=True)
        number, weight, place = number[order], weight[order], place[order]
        asked, counts = number.unique_consecutive(return_counts=True)
        out, most = None, points_at_once(samples.device)
        for ids, sizes, start in _blocks(asked.tolist(), counts.tolist(), most):
            stop = start + sum(sizes)
            rows = place[start:stop]
            answer = self._window_answers(ids, sizes, points[rows], cell[rows]) * weight[start:stop, None]
            if out is None:
                out = answer.new_zeros(b * q, answer.shape[-1])
            out = out.index_add(0, rows, answer)
        return out.unflatten(0, (b, q))

    def _window_answers(self, ids: list[int], sizes: list[int], points: Tensor, cell: Tensor) -> Tensor:
        """Answers of several windows at once; their lists of points are padded to the longest."""
        longest = max(sizes)
        window = torch.repeat_interleave(torch.arange(len(ids)), torch.tensor(sizes)).to(points.device)
        first = torch.tensor([0, *sizes[:-1]]).cumsum(0).to(points.device)
        column = torch.arange(len(points), device=points.device) - first[window]
        origin = torch.tensor([self.windows.origin(i % self.per_sample) for i in ids], device=points.device)
        local = (points - origin[window]) / self.unit
        flat = window * longest + column
        blank = points.new_zeros(len(ids) * longest, points.shape[-1])
        coords = blank.index_copy(0, flat, local).unflatten(0, (len(ids), longest))
        cells = blank.index_copy(0, flat, cell.to(blank.dtype)).unflatten(0, (len(ids), longest))
        return self.decode(self._encoded(ids), coords, cells).flatten(0, 1)[flat]

    def _encoded(self, ids: list[int]) -> Encoded:
        missing = [i for i in ids if i not in self._kept]
        if missing:
            new = self.encode([(i // self.per_sample, self.windows.origin(i % self.per_sample)) for i in missing])
            for row, i in enumerate(missing):
                self._kept[i] = new.select(slice(row, row + 1))
        parts = [self._kept[i] for i in ids]
        for i in ids:
            self._kept.move_to_end(i)
        while len(self._kept) > self.capacity:
            self._kept.popitem(last=False)
        return Encoded.stack(parts)


def _blocks(ids: list[int], sizes: list[int], most: int):
    """Consecutive runs of windows for one call, with the index of their first point. Each run's lists, padded to its
    longest, stay within `most` points where one window alone does."""
    first, start, longest = 0, 0, 0
    for i, size in enumerate(sizes):
        longest = max(longest, size)
        if i > first and (i - first == WINDOWS_AT_ONCE or (i - first + 1) * longest > most):
            yield ids[first:i], sizes[first:i], start
            start += sum(sizes[first:i])
            first, longest = i, size
    yield ids[first:], sizes[first:], start
