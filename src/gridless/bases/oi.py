"""Optimal interpolation: what past fields teach of an archive's covariance, and kriging for what they leave out.

A field is what is usual there (and then: climatology.py) plus a Gaussian process with the leading modes of past fields,
which may hold less the farther apart two places are, and a Matérn residual (oi_prior.py). How all of it is put together is
chosen by past fields that were left out (oi_fitting.py), and weighed again by the readings of each field. Readings unlike
the archive are answered by `fallback`, as `Modes` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.bases.climatology import HARMONICS, design, phases
from gridless.bases.covariance import KERNELS
from gridless.bases.mixture import Base, ReadingMixture, familiarity, warn_of_unlike
from gridless.bases.oi_fitting import fit_prior
from gridless.bases.oi_prior import MODE_VARIANCES, NOISES, RESIDUAL_VARIANCES, OiPrior, Readings
from gridless.bases.solved_oi import ArchiveFields, SolvedOi
from gridless.bases.spatial import GridNodes
from gridless.data.signals import GridSignal, Signal
from gridless.data.sources import Source
from gridless.data.sources import signals as as_signals
from gridless.domain import Domain
from gridless.field import Field
from gridless.samples import Samples

VARIANTS = len(MODE_VARIANCES) * len(RESIDUAL_VARIANCES) * len(NOISES)
DRAWN = 256  # fields, of a source that never ends
GRIDDED = ("usual", "modes", "residual_std", "inside", "rate", "anchors")
"""Buffers whose sizes are the archive's."""


class Oi(nn.Module):
    """Unfitted, it answers the signal's mean, as unsure as its readings lie around it.

    Buffers of the grid's size have it once the base is fitted or loaded.
    """

    name = "oi"
    has_spread = True
    usual: Tensor
    modes: Tensor
    residual_std: Tensor
    inside: Tensor
    rank: Tensor
    taper_rate: Tensor
    kernel: Tensor
    rate: Tensor
    log_prior: Tensor
    variance: Tensor
    widening: Tensor
    anchors: Tensor
    joins: Tensor

    def __init__(self, oi: config.Oi, signal: config.Signal, fallback: Base | None = None):
        super().__init__()
        axes, channels, shapes = signal.axes, signal.channels, oi.shapes
        if len(oi.periodic) not in (0, axes):
            raise ValueError(f"base.periodic must name each of {axes} axes, got {oi.periodic}")
        self.config, self.axes, self.channels, self.fallback = oi, axes, channels, fallback
        usual = torch.zeros(1, channels, 1 + 2 * HARMONICS)
        usual[0, :, 0] = torch.tensor(0.0 if signal.mean is None else signal.mean)
        self.register_buffer("usual", usual)
        self.register_buffer("modes", torch.zeros(1, channels, 1))
        self.register_buffer("residual_std", torch.zeros(1, channels, shapes))
        self.register_buffer("inside", torch.ones(*(1,) * axes, channels, dtype=torch.bool))
        self.register_buffer("rank", torch.zeros(shapes, dtype=torch.long))
        self.register_buffer("taper_rate", torch.zeros(shapes, dtype=torch.float64))
        self.register_buffer("kernel", torch.zeros(shapes, dtype=torch.long))
        self.register_buffer("rate", torch.ones(shapes, 1, dtype=torch.float64))
        self.register_buffer("anchors", torch.zeros(1, axes))
        self.register_buffer("log_prior", torch.zeros(shapes, VARIANTS, dtype=torch.float64))
        self.register_buffer("variance", torch.zeros((), dtype=torch.float64))
        self.register_buffer("widening", torch.ones((), dtype=torch.float64))
        self.register_buffer("joins", torch.tensor(oi.periodic or (False,) * axes))
        self.register_load_state_dict_pre_hook(_adapt_state)

    @property
    def needs_fit(self) -> bool:
        """Whether training has to fit it first."""
        return not self.fitted

    @property
    def fitted(self) -> bool:
        """Whether it has seen past fields."""
        return bool(self.variance > 0)

    def fit(self, data: Sequence | Source, times: object = None) -> dict[str, float | int]:
        """Fitted to arrays, Samples or signals of whole fields on one grid, in the order of time; NaN is not measured.
        `times`: datetime64, one for each, where base.cycle is of the year or day. Says how many fields there were and how
        long it took. Raises ValueError for fewer than four fields, other data than grids of the signal's axes and channels,
        and times that do not fit."""
        begun, signals = perf_counter(), as_signals(data)
        if isinstance(signals, Source):
            signals = signals.draw(np.random.default_rng(0), DRAWN)
        first = signals[0]
        if not isinstance(first, GridSignal) or first.axes != self.axes or first.channels != self.channels:
            raise ValueError(
                f"base.kind 'oi' is fitted to past fields on a grid of {self.axes} axes and {self.channels} channels, got "
                f"{type(first).__name__} {first.name} of {first.axes} and {first.channels}"
            )
        phase = self._phases(times, len(signals))
        if first.domain is not None and not self.config.periodic:
            self.joins = torch.tensor(first.domain.joins, device=self.joins.device)
        with torch.no_grad():
            fitted = fit_prior(_Grids(signals), phase, self.config.cycle, self._periodic, first.domain,
                               self.config.modes, self.config.shapes)  # fmt: skip
        device, prior = self.usual.device, fitted.prior
        for name, value in (
            ("usual", fitted.coefficients), ("modes", fitted.modes), ("residual_std", fitted.residual_std.movedim(0, -1)),
        ):  # fmt: skip
            setattr(self, name, value.float().contiguous().to(device))
        for name in ("rank", "taper_rate", "kernel", "rate", "log_prior", "variance"):
            setattr(self, name, getattr(prior, name).to(device))
        self.inside = fitted.inside.to(device)
        self.widening = torch.tensor(fitted.widening, dtype=torch.float64, device=device)
        self.anchors = _anchors(self.axes, first.domain).to(device)
        return {"base_fields": len(signals), "base_seconds": round(perf_counter() - begun, 3)}

    @property
    def about(self) -> dict[str, object]:
        """What was chosen, the likeliest shape first: for reports."""
        share, names = self.log_prior.exp().sum(1), list(KERNELS)
        shapes = [
            {
                "share": round(float(share[k]), 3), "modes": int(self.rank[k]), "kernel": names[int(self.kernel[k])],
                "lengths": [round(1 / float(rate), 4) for rate in self.rate[k]],
                "taper": round(1 / float(self.taper_rate[k]), 3) if self.taper_rate[k] else None,
            }
            for k in share.argsort(descending=True).tolist()
        ]  # fmt: skip
        return {"shapes": shapes, "widening": round(float(self.widening), 3)}

    def solve(self, samples: Samples, times: object = None) -> SolvedOi | ReadingMixture:
        """The posterior of each sample; a NaN reading is a channel that was not measured. `times`: when each was read, as
        datetime64, where base.cycle is of the year or day.

        Warns where readings are unlike the archive. Raises ValueError for other axes, channels or domains, and for missing
        times.
        """
        solved = self.solve_for_training(samples, times)
        if not self.fitted or self.fallback is None:
            return solved
        broad = self.fallback.solve(samples)
        probability = familiarity(solved.log_evidence, broad.log_evidence.sum(1).to(solved.log_evidence))
        warn_of_unlike(int((probability < 0.5).sum()), len(probability))
        return solved if (probability == 1).all() else ReadingMixture(solved, broad, probability)

    def solve_for_training(self, samples: Samples, times: object = None) -> SolvedOi:
        """As `solve`, of readings that are known to be of fields like the archive's."""
        if samples.axes != self.axes or samples.channels != self.channels:
            raise ValueError(
                f"this archive has {self.axes} axes and {self.channels} channels, got samples with {samples.axes} and "
                f"{samples.channels}; a channel that was not measured is NaN"
            )
        anchors = _anchors(self.axes, samples.domain).to(self.anchors)
        if self.fitted and (
            anchors.shape != self.anchors.shape or not torch.allclose(anchors, self.anchors, atol=1e-4)
        ):
            raise ValueError(
                "these samples lie in another domain than the archive that was fitted; give domain=… of the archive"
            )
        season = design(self._phases(times, len(samples)).to(self.usual.device))
        points = samples.as_points()
        coords, values = points.point_coords.double(), points.values.double()
        measured = values.isfinite() & (True if points.mask is None else points.mask[..., None])
        grid = GridNodes(tuple(self.inside.shape[:-1]), self._periodic, "cubic", self.inside.flatten(0, -2))
        fields = ArchiveFields(grid, replace(grid, kernel="linear"), self.usual.double(), self.modes.double(),
                               self.residual_std.double(), samples.domain)  # fmt: skip
        usual = fields.usual_at(coords, season)
        anomaly = (values.where(measured, 0) - usual).where(measured, 0)
        noise = points.noise
        if noise is not None:
            noise = noise.double().square()[..., None].expand_as(values).flatten(1)
        variance = self.variance if self.fitted else torch.ones_like(self.variance)
        prior = OiPrior(self.rank, self.taper_rate, self.kernel, self.rate, self.log_prior, variance)
        readings = Readings(fields.places(coords), anomaly.flatten(1), measured.flatten(1), noise)
        doubt = torch.zeros_like(season[:, 0])
        if not self.fitted:
            doubt = anomaly.detach().square().sum((1, 2)) / measured.sum((1, 2)).clamp(min=1)
        return SolvedOi(
            fields, prior, readings, prior.posterior(readings), usual, season, float(self.widening), doubt,
            self.config.outside == "nearest", samples.values.dtype,
        )  # fmt: skip

    def encode(self, samples: Samples, times: object = None) -> Field:
        """As a baseline: samples in, field out, and how sure it is."""
        return Field(samples, self.solve(samples, times))

    @property
    def _periodic(self) -> tuple[bool, ...]:
        return tuple(self.joins.tolist())

    def _phases(self, times: object, count: int) -> Float[Tensor, " S"]:
        cycle = self.config.cycle
        if cycle == "none":
            return torch.zeros(count, dtype=torch.float64)
        if times is None:
            raise ValueError(
                f"base.cycle {cycle!r} needs to know when: give times=…, datetime64, one for each of {count} fields"
            )
        phase = phases(times, cycle)
        if len(phase) not in (1, count):
            raise ValueError(f"expected a time for each of {count} fields, got {len(phase)}")
        return phase.expand(count)

    def adapt_state(self, state: dict, prefix: str = "") -> None:
        """Buffers of an archive's size take the sizes that were saved."""
        for name in GRIDDED:  # in memory of their own: fields that were solved before keep the numbers of their time
            saved, buffer = state.get(prefix + name), getattr(self, name)
            if saved is not None and saved.ndim == buffer.ndim:
                setattr(self, name, torch.empty(saved.shape, dtype=buffer.dtype, device=buffer.device))


@dataclass(frozen=True, eq=False)
class _Grids(Sequence):
    """Signals as fields with values and a mask, each read when it is asked for."""

    signals: Sequence[Signal]

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: int) -> GridSignal:
        signal = self.signals[index]
        if not isinstance(signal, GridSignal):
            raise ValueError(f"{signal.name} is a {type(signal).__name__}; an archive holds fields on one grid")
        return signal


def _anchors(axes: int, domain: Domain | None) -> Float[Tensor, "P e"]:
    """Positions of some places, by which a domain is known again."""
    u = torch.cat([torch.full((1, axes), 0.3), 0.2 + 0.5 * torch.eye(axes)]).double()
    return (u if domain is None else domain.embed(u)).float()


def _adapt_state(oi: Oi, state: dict, prefix: str, *_: object) -> None:
    """By name, so that a model can be pickled."""
    oi.adapt_state(state, prefix)
