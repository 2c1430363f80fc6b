"""A reader of films whose network is told the moment that is asked: every moment has an encoding of its own.

Source: SCENT (Park et al. 2025, arXiv 2504.12262): time-targeted encoding, E(U at t_i, x, t_i, t_o), and warp-unrolling
beyond its horizon t_h: ⌊Δt / t_h⌋ jumps of t_h, then the rest. The text does not say in which space a jump is made; both
readings are built: `field` answers at the places of the readings and encodes the answers, `latent` applies the processor
once more for every jump, as IPOT does. Deviations: what is asked within the seen frames is answered from the window of
frames around it; a question's derivative by time includes that of the encoding.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gridless import config as c
from gridless.coords import Lattice
from gridless.domain import Domain
from gridless.network.frames import Frame
from gridless.network.parts import Network
from gridless.network.questions import Units
from gridless.nn.mamba import BiMamba
from gridless.nn.strewing import strewn
from gridless.protocols import Answer, answer_of
from gridless.samples import Samples, mapped, moved_parts

SAME = 1e-6  # windows of time that are no way at all


@dataclass(frozen=True, eq=False)
class TimeWindow:
    """Readings in time, in windows of the model's: a window is 1 long, and in it the last seen frame lies where training
    has it."""

    options: c.Film
    axis: int
    stretch: float
    """Windows in the domain of the samples."""

    @classmethod
    def of(cls, options: c.Film, samples: Samples, trained: Domain | None) -> "TimeWindow":
        domain, shape = samples.domain, samples.shape
        axis = 0 if domain is None else domain.time
        if axis is None:
            names = ", ".join(samples.domain.names) if samples.domain is not None else ""
            raise ValueError(
                f"this model is one of films, and none of the axes {names} is one of time; give that axis times as "
                "coordinates, or the name time"
            )
        if domain is not None and trained is not None:
            stretch = abs(domain.axes[axis].length / trained.axes[axis].length)
        else:
            stretch = 1.0 if shape is None else shape[axis] / options.frames
        return cls(options, axis, stretch)

    @property
    def frame(self) -> float:
        """From one frame to the next."""
        return 1 / self.options.frames

    @property
    def last(self) -> float:
        """Where in the window the last seen frame lies."""
        return (self.options.seen - 0.5) * self.frame

    @property
    def horizon(self) -> float:
        return self.options.ahead * self.frame

    def time(self, coords: Float[Tensor, "B N d"]) -> Float[Tensor, "B N"]:
        return coords[..., self.axis] * self.stretch

    def at(self, coords: Float[Tensor, "B N d"], shift: Float[Tensor, " B"]) -> Float[Tensor, "B N d"]:
        """Coordinates whose time is that in the window which begins at `shift`."""
        return self.moved(coords, self.time(coords) - shift[:, None])

    def moved(self, coords: Float[Tensor, "B N d"], time: Float[Tensor, "B #N"]) -> Float[Tensor, "B N d"]:
        """The same places at another time."""
        time = time[..., None].expand(*coords.shape[:2], 1).to(coords.dtype)
        return torch.cat([coords[..., : self.axis], time, coords[..., self.axis + 1 :]], -1)


@dataclass(frozen=True, eq=False)
class MomentReader:
    """Readings of a film, encoded anew for every moment that is asked."""

    network: Network
    points: Samples
    """With the level and deviation of all readings."""
    film: TimeWindow
    frame: Frame
    units: Units

    @classmethod
    def of(
        cls, network: Network, film: c.Film, samples: Samples, points: Samples, units: Units, trained: Domain | None
    ) -> "MomentReader":
        """`samples`: as they were given, `points`: the same as scattered readings; `trained`: the domain of training."""
        level, scale = points.standard()
        window = TimeWindow.of(film, samples, trained)
        return cls(network, replace(points, level=level, scale=scale), window, network.frame(points), units)

    def __call__(
        self, coords: Tensor, cell: Tensor, latents_at: Tensor | None = None, base: Answer | None = None
    ) -> Float[Tensor, "B Q k"]:
        if latents_at is not None:
            raise ValueError("a film's latents are made for the moment that is asked; leave latents_at out")
        coords, cell = coords.expand(len(self.points), -1, -1), cell.expand(*coords.shape[:2], -1)
        times = self.film.time(coords)
        end = self._last(self.points)
        if not self.film.options.target and self._within_reach(times, end):
            return self._outputs(self.points, coords, cell, end, end)  # one encoding for all
        first = times[:, :1]
        if coords.shape[1] and bool((times.detach() - first.detach()).abs().max() <= SAME):  # one moment of each field
            return self._moment(coords, cell, base, times)
        out = None
        for moment in times.detach().unique():
            asked = (times.detach() - moment).abs() <= SAME
            columns = asked.any(0).nonzero()[:, 0]
            now = torch.where(asked[:, columns], times[:, columns], moment)
            answer = self._moment(coords[:, columns], cell[:, columns], _columns(base, columns), now)
            out = answer.new_zeros(*times.shape, answer.shape[-1]) if out is None else out
            there = torch.where(asked[:, columns, None], answer, out[:, columns])
            out = out.index_copy(1, columns, there)
        return self._moment(coords, cell, None, times) if out is None else out

    def _moment(
        self, coords: Tensor, cell: Tensor, base: Answer | None, times: Float[Tensor, "B Q"]
    ) -> Float[Tensor, "B Q k"]:
        """All questions of a field are about one moment, `times` says which."""
        moment = times[:, 0] if times.shape[1] else self._last(self.points)
        if not coords.requires_grad:
            return self._warped(self.points, coords, cell, base, moment)
        if any(isinstance(part, BiMamba) for part in self.network.modules()):
            return self._each_alone(coords, cell, base, times)
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernel has no second derivative
            return self._with_slope(coords, cell, base, times, moment)

    def _with_slope(
        self, coords: Tensor, cell: Tensor, base: Answer | None, times: Tensor, moment: Float[Tensor, " B"]
    ) -> Float[Tensor, "B Q k"]:
        """Of every answer also the derivative by the moment of its own encoding. The encoding is shared, so the derivative
        of each answer by it is a product with the Jacobian: the derivative of the transposed product by its vector."""
        shared = moment.detach().requires_grad_()
        with torch.enable_grad():
            out = self._warped(self.points, coords, cell, base, shared)
            vector = torch.ones_like(out, requires_grad=True)
            (transposed,) = torch.autograd.grad(out, shared, vector, create_graph=True, allow_unused=True)
            if transposed is None or not transposed.requires_grad:
                return out
            (slope,) = torch.autograd.grad(transposed.sum(), vector, create_graph=True)
            away = times - times.detach()
        return out + slope * away[..., None]

    def _each_alone(
        self, coords: Tensor, cell: Tensor, base: Answer | None, times: Float[Tensor, "B Q"]
    ) -> Float[Tensor, "B Q k"]:
        """Every question with an encoding of its own: the scan's kernels have no second derivative."""
        asked = coords.shape[1]
        parts = [
            self._warped(self.points, coords[:, q : q + 1], cell[:, q : q + 1], _columns(base, [q]), times[:, q])
            for q in range(asked)
        ]
        return torch.cat(parts, 1)

    def _within_reach(self, times: Float[Tensor, "B Q"], end: Float[Tensor, " B"]) -> bool:
        """Of the last window."""
        after = (times - end[:, None]).detach()
        return bool(((after <= self.film.horizon + SAME) & (after > -self.film.options.seen * self.film.frame)).all())

    # --- windows of time ----------------------------------------------------------------------------------------------

    def _last(self, points: Samples) -> Float[Tensor, " B"]:
        return self._extreme(points, -torch.inf).amax(1)

    def _extreme(self, points: Samples, otherwise: float) -> Float[Tensor, "B N"]:
        times = self.film.time(points.point_coords).detach()
        return times if points.mask is None else times.masked_fill(~points.mask, otherwise)

    def _window_end(self, points: Samples, moment: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The last frame of the window that answers a moment: the last of all, or that of the frames around the moment."""
        moment, film = moment.detach(), self.film
        last, times = self._last(points), self._extreme(points, torch.inf)
        before = torch.where(times <= moment[:, None] + SAME, times, -torch.inf).amax(1)
        start = torch.where(before.isfinite(), before, times.amin(1))
        way = (film.options.seen - 1) * film.frame
        return torch.where(moment >= last - way - SAME, last, torch.minimum(start + way, last))

    def _warped(
        self, points: Samples, coords: Tensor, cell: Tensor, base: Answer | None, moment: Float[Tensor, " B"]
    ) -> Float[Tensor, "B Q k"]:
        """Answers about one moment of each field, after as many jumps as it lies beyond the horizon."""
        end = self._window_end(points, moment)
        jumps = (((moment.detach() - end - SAME) / self.film.horizon).ceil() - 1).clamp(min=0).long()
        if self.film.options.unroll == "latent":
            return self._outputs(points, coords, cell, moment, end, jumps)
        if not jumps.any():
            return self._outputs(points, coords, cell, moment, end)
        out = None
        for count in jumps.unique().tolist():
            rows = (jumps == count).nonzero()[:, 0]
            part = replace(self, points=_rows(points, rows), units=_rows(self.units, rows))
            some = None if base is None else _rows(base, rows)
            answer = part._after_jumps(int(count), coords[rows], cell[rows], some, moment[rows], end[rows])
            out = answer.new_zeros(len(points), *answer.shape[1:]) if out is None else out
            out = out.index_copy(0, rows, answer)
        assert out is not None
        return out

    def _after_jumps(
        self, count: int, coords: Tensor, cell: Tensor, base: Answer | None, moment: Tensor, end: Tensor
    ) -> Float[Tensor, "B Q k"]:
        points = self.points
        for _ in range(count):
            points = self._jump(points, end)
            end = end + self.film.horizon
        out = self._outputs(points, coords, cell, moment, end)
        if count == 0 or base is None:
            return out
        value = self._answer(points, out, coords, cell)  # beside the base of the last jump, and asked beside the first
        scale = torch.where(self.units.scale > 0, self.units.scale, 1.0)
        return torch.cat([(value.mean - base.mean) / scale, out[..., base.mean.shape[-1] :]], -1).to(out.dtype)

    def _jump(self, points: Samples, end: Float[Tensor, " B"]) -> Samples:
        """Readings of the window that begins where the horizon of this one ends: answers at the places of the last frame."""
        film, times = self.film, self.film.time(points.point_coords)
        inside = times > (end - 0.5 * film.frame)[:, None]
        kept = replace(points, mask=inside if points.mask is None else inside & points.mask).compacted()
        frames = []
        for back in reversed(range(film.options.seen)):
            moment = end + film.horizon - back * film.frame
            coords = film.moved(kept.point_coords, (moment / film.stretch)[:, None])
            cell = torch.zeros_like(coords)
            out = self._outputs(points, coords, cell, moment, end)
            frames.append(replace(kept, coords=coords, values=self._answer(points, out, coords, cell).mean, noise=None))
        values, coords = (torch.cat([getattr(f, name) for f in frames], 1) for name in ("values", "coords"))
        mask = None if kept.mask is None else kept.mask.repeat(1, len(frames))
        return replace(kept, values=values, coords=coords, mask=mask, noise=None)

    def _answer(self, points: Samples, out: Tensor, coords: Tensor, cell: Tensor) -> Answer:
        """Outputs as values, in the units of the readings."""
        solved = self.network.solve_base(points)
        if solved.spread:
            raise ValueError(
                "this model's base knows a spread, which is not carried beyond the frames of training; ask within them, or "
                "set film.unroll to latent"
            )
        return self.network.head.answer(answer_of(solved, coords), 1.0, out, self.units)

    def _outputs(
        self,
        points: Samples,
        coords: Tensor,
        cell: Tensor,
        moment: Float[Tensor, " B"],
        end: Float[Tensor, " B"],
        jumps: Int64[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B Q k"]:
        """What the network says from the window whose last seen frame is `end`."""
        film, times = self.film, self.film.time(points.point_coords).detach()
        inside = (times <= end[:, None] + SAME) & (times > (end - film.options.seen * film.frame)[:, None] + SAME)
        shift = end - film.last
        seen = replace(
            points,
            coords=film.at(points.point_coords, shift),
            mask=inside if points.mask is None else inside & points.mask,
        )
        asked = film.at(coords, shift)
        known = moment - shift
        if jumps is not None and jumps.any():  # the rest of the way is asked, the jumps are the processor's
            known = known - jumps * film.horizon
            asked = film.at(coords, shift + jumps * film.horizon)
        target = known if film.options.target else None
        latents = self.network.latent(self._thinned(seen.compacted()), None, target)
        jumps = torch.zeros_like(moment, dtype=torch.long) if jumps is None else jumps
        for jump in range(int(jumps.max())):
            further = self.network.processor(latents)
            more = (jumps > jump)[:, None, None]
            latents = replace(latents, x=torch.where(more, further.x, latents.x))
        return self.network.decode(self.network.read(latents), self.frame(asked), cell)

    def _thinned(self, seen: Samples) -> Samples:
        """As many readings as the network takes."""
        count = self.film.options.readings
        if count is None or seen.point_coords.shape[1] <= count:
            return seen
        key = strewn(seen.point_coords, random=self.network.training)
        key = key if seen.mask is None else key.masked_fill(~seen.mask, torch.inf)
        return seen.chosen(key.argsort(dim=1)[:, :count])

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B N k"]:
        return self(lattice.points(len(cell)), cell)

    def to(self, network: Network, device) -> "MomentReader":
        return replace(moved_parts(self, device), network=network)


def _columns(answer: Answer | None, columns: Int64[Tensor, " q"] | list[int]) -> Answer | None:
    return (
        None
        if answer is None
        else Answer(answer.mean[:, columns], None if answer.std is None else answer.std[:, columns])
    )


def _rows(value, rows: Int64[Tensor, " b"]):
    """Some fields of a batch; what is one for all stays."""
    return mapped(value, lambda t: t[rows] if len(t) > 1 else t)
