"""A signal larger than the window: overlapping windows, each answered alone, blended by a partition of unity.

Along an axis of n samples, windows of w samples start every w − overlap samples (the last one ends at the border). From
one window to the next the weight falls as a smooth step inside their common samples, away from the windows' own borders.
Weights sum to one and are continuously differentiable: there is no seam, neither in the field nor in its gradient. At most
two windows per axis answer a point. An axis whose end is its beginning (a circle of longitudes) has windows all the way
round, at least two, so that the field joins there as everywhere else.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from threading import Lock

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gridless.config import Signal
from gridless.coords import Lattice, sizes
from gridless.network.encoded import Encoded
from gridless.network.local import smooth_step
from gridless.network.parts import Network
from gridless.network.readers import parameter_type
from gridless.nn.memory import points_at_once
from gridless.protocols import Answer

WINDOWS_AT_ONCE = 32
SAMPLES_AT_ONCE = (
    1 << 17
)  # … and together no more samples, unless one has: what is encoded at once stays near the cache
BYTES_KEPT = 1 << 28  # of encoded windows; a larger signal's are encoded again when asked for again


class Windows:
    """Where the windows of a grid start, and which of them answer a point with what weight."""

    def __init__(self, shape: Sequence[int], window: Sequence[int], overlap: int, joins: Sequence[bool] | None = None):
        self.joins = tuple(j and n > 1 for j, n in zip(joins or (False,) * len(shape), shape, strict=True))
        for size in window:
            check_overlap(size, overlap)
        self.grid = tuple(shape)
        self.size = tuple(min(n, w) for n, w in zip(shape, window, strict=True))
        self.starts = [
            circle_starts(n, w, overlap) if join else axis_starts(n, w, overlap)
            for n, w, join in zip(shape, window, self.joins, strict=True)
        ]
        self.shape = tuple(len(s) for s in self.starts)

    def origin(self, number: int) -> tuple[int, ...]:
        """First sample of a window, per axis."""
        out = []
        for starts in reversed(self.starts):
            number, i = divmod(number, len(starts))
            out.append(starts[i])
        return tuple(out[::-1])

    def cut(self, values: Tensor, number: int) -> Tensor:
        """The samples of a window, of values (*grid …)."""
        for axis, (start, size) in enumerate(zip(self.origin(number), self.size, strict=True)):
            if start + size <= self.grid[axis]:
                values = values.narrow(axis, start, size)
            else:  # across the join
                index = torch.arange(start, start + size, device=values.device) % self.grid[axis]
                values = values.index_select(axis, index)
        return values

    def local(self, points: Float[Tensor, "P d"], origins: Int64[Tensor, "P d"]) -> Float[Tensor, "P d"]:
        """Points within their windows, in units of samples."""
        away = points - origins
        if not any(self.joins):
            return away
        columns = [
            column.remainder(n) if join else column
            for column, n, join in zip(away.unbind(-1), self.grid, self.joins, strict=True)
        ]
        return torch.stack(columns, -1)

    def weights(self, samples: Float[Tensor, "P d"]) -> list[tuple[Int64[Tensor, " P"], Float[Tensor, " P"]]]:
        """For points in units of samples: 2^d pairs of window number and weight."""
        axes = [self._axis(samples[:, axis], axis) for axis in range(samples.shape[1])]
        out = []
        for corner in product((0, 1), repeat=len(axes)):
            number, weight = torch.zeros_like(axes[0][0]), torch.ones_like(samples[:, 0])
            for side, (first, second), count in zip(corner, axes, self.shape, strict=True):
                number = number * count + (first + side) % count
                weight = weight * (second if side else 1 - second)
            out.append((number, weight))
        return out

    def pieces(self, x: Float[Tensor, " n"], axis: int) -> list["Piece"]:
        """For ascending places along an axis, in units of samples: every run of them that one window answers."""
        if x.numel() == 0:
            return []
        first, second = self._axis(x, axis)
        pieces, count = [], self.shape[axis]
        for side, weight in ((0, 1 - second), (1, second)):
            number = torch.where(weight > 0, (first + side) % count, -1)
            runs, lengths = number.unique_consecutive(return_counts=True)
            start = 0
            for window, length in zip(runs.tolist(), lengths.tolist(), strict=True):
                inside = slice(start, start + length)
                start += length
                if window >= 0:
                    pieces.append(Piece(window, inside, weight[inside]))
        return pieces

    def _axis(self, x: Tensor, axis: int) -> tuple[Int64[Tensor, " P"], Float[Tensor, " P"]]:
        """The first window that answers x, and the weight of the next one."""
        starts = torch.tensor(self.starts[axis], device=x.device)
        if len(starts) == 1:
            return torch.zeros_like(x, dtype=torch.long), torch.zeros_like(x)
        size, n = self.size[axis], self.grid[axis]
        following = torch.cat([starts[1:], starts[:1] + n]) if self.joins[axis] else starts[1:]
        starts = starts[: len(following)]
        common = starts + size - following  # samples that neighbours share
        margin = common / 4  # the outermost quarter on each side is left to the other window
        low, high = (following + margin).to(x), (starts + size - margin).to(x)
        if self.joins[axis]:  # before the first window's own part the last one still answers, from a turn before
            x = torch.where(x.detach() < high[-1] - n, x + n, x)
        first = torch.searchsorted(high, x.detach().contiguous(), right=True).clamp(max=len(high) - 1)
        return first, smooth_step((x - low[first]) / (high[first] - low[first]))


@dataclass(frozen=True, eq=False)
class Piece:
    """A run of places along one axis that the window `window` of this axis answers, with this weight."""

    window: int
    inside: slice
    weight: Float[Tensor, " n"]


def check_overlap(window: int, overlap: int) -> None:
    """More than two windows would share a sample's blending beyond a third; none would blend at zero."""
    if not 0 < 3 * overlap <= window:
        raise ValueError(f"signal.overlap must be between 1 and a third of signal.window {window}, got {overlap}")


def tiles_of(signal: Signal, shape: Sequence[int], joins: Sequence[bool] | None = None) -> tuple[int, ...]:
    """Samples of a window of a grid of `shape`, per axis. A model whose tiles may have any size takes as many as the largest
    ones would be, each as small as they then can be, so that neighbours share no more than they must."""
    if signal.tile is None:
        return signal.windows
    out = []
    for n, tile, join in zip(shape, signal.tiles, joins or (False,) * len(shape), strict=True):
        count = len(axis_starts(n, tile, signal.overlap))
        out.append(tile if join or count == 1 else -(-(n + (count - 1) * signal.overlap) // count))
    return tuple(out)


def axis_starts(n: int, window: int, overlap: int) -> tuple[int, ...]:
    """Starts of the windows along n samples, spread evenly so that neighbours share at least `overlap`."""
    if n <= window:
        return (0,)
    count = -(-(n - overlap) // (window - overlap))
    return tuple((n - window) * i // (count - 1) for i in range(count))


def circle_starts(n: int, window: int, overlap: int) -> tuple[int, ...]:
    """Starts of the windows round a circle of n samples: two at least, so that each joins where the other is whole."""
    count = max(2, -(-n // (min(n, window) - overlap))) if n > window else 2
    return tuple(n * i // count for i in range(count))


class Mosaic:
    """Answers points of a larger signal from its windows. Encodes a window when it is first needed and keeps it; threads
    may ask at once."""

    def __init__(
        self,
        network: Network,
        windows: Windows,
        values: Float[Tensor, "B *grid C"],
        mask: Bool[Tensor, "B *grid"] | None,
        unit: int,
        pad: bool,
    ):
        """`values` in standard units; `unit`: samples per unit of the network's coordinates."""
        self.network, self.windows, self.values, self.mask = network, windows, values, mask
        self.unit, self.pad, self.per_field = unit, pad, prod(windows.shape)
        self.at_once = max(1, min(WINDOWS_AT_ONCE, SAMPLES_AT_ONCE // prod(windows.size)))
        self.capacity, self._lock = WINDOWS_AT_ONCE, Lock()
        self._graph = torch.is_grad_enabled()
        self._encoded_windows: OrderedDict[int, Encoded] = OrderedDict()
        total = len(values) * self.per_field
        for first in range(0, total, self.at_once):
            self._encoded(list(range(first, min(first + self.at_once, total))))
            if first == 0:
                rows = 2 * prod(windows.shape[1:])  # whoever asks row by row needs the windows of two
                self.capacity = max(self.at_once, rows, BYTES_KEPT // self._encoded_windows[0].nbytes())
                if total > self.capacity:
                    break

    def __call__(
        self,
        coords: Float[Tensor, "B Q d"],
        cell: Float[Tensor, "B #Q d"],
        latents_at: Tensor | None = None,
        base: Answer | None = None,
    ) -> Float[Tensor, "B Q k"]:
        """Outputs at coordinates in [0, 1] of the whole; the cell relative to a sample's."""
        if latents_at is not None:
            raise ValueError(
                f"latents_at needs samples within one window of {self.windows.size}, got {self.windows.grid}"
            )
        b, q, d = coords.shape
        samples = coords * sizes(self.windows.grid, torch.float64, coords.device)
        points = samples.to(parameter_type(self.network)).reshape(-1, d)
        cell = cell.expand(b, q, d).reshape(-1, d)
        offset = torch.arange(b, device=points.device).repeat_interleave(q) * self.per_field
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
        out: Tensor | None = None
        most = points_at_once(points.device)
        for ids, counted, start in _blocks(asked.tolist(), counts.tolist(), most):
            stop = start + sum(counted)
            rows = place[start:stop]
            answer = self._window_answers(ids, counted, points[rows], cell[rows]) * weight[start:stop, None]
            if out is None:
                out = answer.new_zeros(b * q, answer.shape[-1])
            out = out.index_add(0, rows, answer)
        assert out is not None, "every point lies in some window"
        return out.unflatten(0, (b, q))

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N k"]:
        """Window by window; which of them answer is decided once for every axis."""
        kind = parameter_type(self.network)
        axes = [axis * n for axis, n in zip(lattice.axes, self.windows.grid, strict=True)]
        out: Tensor | None = None
        for pieces in product(*(self.windows.pieces(x.to(kind), a) for a, x in enumerate(axes))):
            number = 0
            for piece, count in zip(pieces, self.windows.shape, strict=True):
                number = number * count + piece.window
            local, weight = [], pieces[0].weight.new_ones(())
            for a, (piece, origin) in enumerate(zip(pieces, self.windows.origin(number), strict=True)):
                away = axes[a][piece.inside] - origin
                away = away.remainder(self.windows.grid[a]) if self.windows.joins[a] else away
                local.append((away / self.unit).to(kind))
                weight = weight[..., None] * piece.weight
            encoded = self._encoded([b * self.per_field + number for b in range(len(self.values))])
            answer = self.network.decode_lattice(encoded, Lattice(tuple(local)), cell)
            answer = answer.unflatten(1, weight.shape) * weight[..., None]
            if out is None:
                out = answer.new_zeros(len(answer), *lattice.shape, answer.shape[-1])
            out[(slice(None), *(piece.inside for piece in pieces))] += answer
        assert out is not None, "every point lies in some window"
        return out.flatten(1, -2)

    def nbytes(self) -> int:
        """Of the encoded windows that are kept."""
        return sum(part.nbytes() for part in self._encoded_windows.values())

    def to(self, network: Network, device) -> "Mosaic":
        mask = None if self.mask is None else self.mask.to(device)
        return Mosaic(network, self.windows, self.values.to(device), mask, self.unit, self.pad)

    def __getstate__(self) -> dict:
        """Locks stay where they are; the windows are encoded again where they are asked for."""
        return self.__dict__ | {"_lock": None, "_encoded_windows": OrderedDict()}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._lock = Lock()

    def _window_answers(self, ids: list[int], counts: list[int], points: Tensor, cell: Tensor) -> Tensor:
        """Answers of several windows at once; their lists of points are padded to the longest."""
        longest = max(counts)
        window = torch.repeat_interleave(torch.arange(len(ids)), torch.tensor(counts)).to(points.device)
        first = torch.tensor([0, *counts[:-1]]).cumsum(0).to(points.device)
        column = torch.arange(len(points), device=points.device) - first[window]
        origins = torch.tensor([self.windows.origin(i % self.per_field) for i in ids], device=points.device)
        local = self.windows.local(points, origins[window]) / self.unit
        flat = window * longest + column
        blank = points.new_zeros(len(ids) * longest, points.shape[-1])
        coords = blank.index_copy(0, flat, local).unflatten(0, (len(ids), longest))
        cells = blank.index_copy(0, flat, cell.to(blank.dtype)).unflatten(0, (len(ids), longest))
        return self.network.decode(self._encoded(ids), coords, cells).flatten(0, 1)[flat]

    def _encoded(self, ids: list[int]) -> Encoded:
        """The windows behind one another. Looked up and dropped under the lock, encoded outside of it."""
        with self._lock:
            known = {i: self._encoded_windows[i] for i in ids if i in self._encoded_windows}
        missing = [i for i in ids if i not in known]
        for first in range(0, len(missing), self.at_once):
            known |= self._encode(missing[first : first + self.at_once])
        with self._lock:
            for i in ids:
                self._encoded_windows[i] = known[i]
                self._encoded_windows.move_to_end(i)
            while len(self._encoded_windows) > self.capacity:
                self._encoded_windows.popitem(last=False)
        return Encoded.stack([known[i] for i in ids])

    def _encode(self, ids: list[int]) -> dict[int, Encoded]:
        """Each of the windows, with a graph if there was to be one when the field was made: whoever asks first, in
        inference mode or without gradients, decides nothing for those who ask later."""
        pairs = [divmod(i, self.per_field) for i in ids]
        with torch.inference_mode(False), torch.set_grad_enabled(self._graph):
            values = torch.stack([self.windows.cut(self.values[b], number) for b, number in pairs])
            mask = None
            if self.mask is not None:
                mask = torch.stack([self.windows.cut(self.mask[b], number) for b, number in pairs])
            encoded = self.network.encode_window(values, mask, self.pad)
            return {i: encoded.select(slice(row, row + 1)) for row, i in enumerate(ids)}


def _blocks(ids: list[int], counts: list[int], most: int) -> Iterator[tuple[list[int], list[int], int]]:
    """Consecutive runs of windows for one call, with the index of their first point. Each run's lists, padded to its
    longest, stay within `most` points where one window alone does."""
    first, start, longest = 0, 0, 0
    for i, size in enumerate(counts):
        longest = max(longest, size)
        if i > first and (i - first == WINDOWS_AT_ONCE or (i - first + 1) * longest > most):
            yield ids[first:i], counts[first:i], start
            start += sum(counts[first:i])
            first, longest = i, size
    yield ids[first:], counts[first:], start


def latent_floats(signal: Signal, shape: tuple[int, ...] | None, latents: int, local: int) -> int:
    """Numbers that a field of samples of this `shape` (None: one window) keeps: `latents` of each window, `local` of each
    sample, and its own level and deviation where the model has none of its own."""
    shape = shape or signal.windows
    tiles = tiles_of(signal, shape)
    windows = prod(Windows(shape, tiles, signal.overlap).shape)
    pixels = prod(min(n, w) for n, w in zip(shape, tiles, strict=True))
    statistics = 0 if signal.mean is not None else 2 * signal.channels
    return windows * (latents + local * pixels) + statistics
