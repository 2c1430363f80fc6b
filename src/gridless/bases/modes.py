"""The best guess from readings that is linear among fields of a kind: modes that training fields are made of, weighted to
fit what was read (mode_mixture.py), fitted by `fit_modes` (modes_fitting.py).

Readings unlike the training fields would be answered with confidence all the same. So the log evidence of the readings
under the modes is compared with their log evidence under `fallback`, a base that knows nothing of the training fields
(kriging), and the answer is the mixture of both, the modes having the prior probability FAMILIAR. Without a fallback the
spread is widened instead, where the readings lie farther from the modes than chance would have it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from gridless import config
from gridless.bases.evidence import chi_square_bound
from gridless.bases.mixture import Base, SolvedMixture, warn_of_unlike
from gridless.bases.mixture import familiarity as familiarity_of
from gridless.bases.mode_mixture import ModeMixture, Readings
from gridless.bases.modes_fitting import FittedModes, fit_modes, training_fields
from gridless.bases.solved_modes import SolvedModes
from gridless.bases.spatial import GridNodes, Legendre, SpatialBasis
from gridless.bases.training_fields import CELLS
from gridless.data.sources import Source
from gridless.field import Field
from gridless.samples import Samples

DEVIATIONS, TOLERANCE = 4.0, 3.0  # with no fallback, readings are unlike them whose chi-square is so much above chance

BUFFERS = ("mean", "modes", "cluster_means", "cluster_factors", "cluster_shares", "residual_std", "scale", "inside")
EARLIER_NAMES = {
    "centres": "cluster_means",
    "factors": "cluster_factors",
    "shares": "cluster_shares",
    "rest": "residual_std",
}


class Modes(FittedModes):
    """Unfitted, it answers the signal's mean everywhere.

    Buffers are the fields of a ModeMixture; on a grid their sizes are the archive's, known once it is fitted or loaded.
    Raises ValueError for modes that the polynomials cannot hold, and for a `rank` above the shared modes.
    """

    name = "pod"
    has_spread = True

    def __init__(self, modes: config.Pod, signal: config.Signal, fallback: Base | None = None):
        super().__init__()
        axes, channels, count = signal.axes, signal.channels, modes.modes
        rank = count if modes.rank is None else modes.rank
        polynomials = modes.degree**axes
        if modes.representation == "legendre" and count > polynomials * channels:
            raise ValueError(
                f"base.modes {count} are more than the {modes.degree}^{axes} polynomials of base.degree {modes.degree}"
            )
        if rank > count:
            raise ValueError(f"base.rank {rank} is more than the base.modes {count} that clusters share")
        if len(modes.periodic) not in (0, axes):
            raise ValueError(f"base.periodic must name each of {axes} axes, got {modes.periodic}")
        self.config, self.axes, self.channels, self.fallback = modes, axes, channels, fallback
        on_grid = modes.representation == "grid"
        size, cells = (1, (1,) * axes) if on_grid else (polynomials, (CELLS,) * axes)
        mean = torch.zeros(size, channels)
        mean[0] = torch.tensor(0.0 if signal.mean is None else signal.mean)
        self.register_buffer("mean", mean)
        self.register_buffer("modes", torch.zeros(size, channels, count))
        self.register_buffer("cluster_means", torch.zeros(modes.clusters, count))
        self.register_buffer("cluster_factors", torch.zeros(modes.clusters, count, rank))
        self.register_buffer("cluster_shares", torch.full((modes.clusters,), 1 / modes.clusters))
        self.register_buffer("residual_std", torch.zeros(modes.clusters, *cells, channels))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("inside", torch.ones(*cells, channels, dtype=torch.bool))
        self.register_buffer("joins", torch.tensor(modes.periodic or (False,) * axes))
        self.register_load_state_dict_pre_hook(_adapt_state)

    @property
    def fitted(self) -> bool:
        """Whether it has seen training fields."""
        return bool(self.cluster_factors.any())

    @property
    def basis(self) -> SpatialBasis:
        """What modes are functions of: polynomials of the coordinate, or the cells of a grid."""
        if self.config.representation == "legendre":
            return Legendre(self.config.degree)
        return self._grid("cubic")

    @property
    def mixture(self) -> ModeMixture:
        """The clusters of training fields, each with modes of its own."""
        return ModeMixture(
            basis=self.basis,
            cells=self._grid("linear"),
            mean=self.mean,
            modes=self.modes,
            cluster_means=self.cluster_means,
            cluster_factors=self.cluster_factors,
            cluster_shares=self.cluster_shares,
            residual_std=self.residual_std.flatten(1, -2),
            scale=self.scale,
        )

    def solve(self, samples: Samples) -> SolvedModes | SolvedMixture:
        """The posterior of each sample; a NaN reading is a channel that was not measured.

        Warns once where readings are unlike the training fields. Raises ValueError for other axes or channels.
        """
        solved = self.solve_for_training(samples)
        if not self.fitted:
            return solved
        posterior, readings = solved.posterior, Readings.of(samples, self.scale)
        certain = torch.ones_like(posterior.log_evidence)
        if self.fallback is None:
            count = readings.measured.sum((1, 2)).to(certain).clamp(min=1)
            excess = (posterior.chi_square - TOLERANCE * chi_square_bound(count, DEVIATIONS)).clamp(min=0)
            warn_of_unlike(int((excess > 0).sum()), len(excess))
            missed = (solved.answer(readings.coords) - readings.values).square() * readings.measured
            missed = missed.sum(1) / readings.measured.sum(1).clamp(min=1)  # (B C)
            share = (excess / (excess + count))[:, None]
            return replace(solved, widening=(1 + excess / count).sqrt(), misfit=share * missed)
        broad = self.fallback.solve(samples)
        familiarity = familiarity_of(posterior.log_evidence, broad.log_evidence.sum(1).to(certain))
        warn_of_unlike(int((familiarity < 0.5).sum()), len(familiarity))
        if (familiarity == 1).all():
            return solved
        return SolvedMixture(solved, broad, familiarity)

    def solve_for_training(self, samples: Samples) -> SolvedModes:
        """As `solve`, of readings that are known to be of fields like the training fields."""
        if samples.axes != self.axes or samples.channels != self.channels:
            raise ValueError(
                f"these modes have {self.axes} axes and {self.channels} channels, got samples with {samples.axes} and "
                f"{samples.channels}; a channel that was not measured is NaN"
            )
        mixture = self.mixture
        readings = Readings.of(samples, self.scale)
        posterior = mixture.posterior(readings)
        certain = torch.ones_like(posterior.log_evidence)
        fill = self.config.outside == "nearest"
        none = torch.zeros_like(readings.values[:, 0])
        return SolvedModes(mixture, posterior, certain, certain, none, fill, samples.values.dtype)

    def encode(self, samples: Samples) -> Field:
        """As a baseline: samples in, field out, and how sure it is."""
        return Field.of_base(self, samples)

    @property
    def needs_fit(self) -> bool:
        """Whether training has to fit it first."""
        return not self.fitted

    def fit(self, data: "Sequence | Source") -> dict[str, float | int]:
        """Fitted to arrays, Samples or signals of whole fields: all of an archive, or enough of what can be drawn for
        ever. Raises ValueError for data of another kind than base.representation."""
        return fit_modes(self, training_fields(self, data))

    def adapt_state(self, state: dict, prefix: str = "") -> None:
        """Weights saved before modes had channels keep loading; a grid's buffers take the sizes that were saved."""
        state.setdefault(prefix + "joins", self.joins.clone())
        for earlier, name in EARLIER_NAMES.items():
            if prefix + earlier in state:
                state[prefix + name] = state.pop(prefix + earlier)
                state.setdefault(prefix + "scale", torch.ones(1))
                state.setdefault(prefix + "inside", torch.ones_like(self.inside))
        for name in ("mean", "modes", "residual_std"):
            saved, buffer = state.get(prefix + name), getattr(self, name)
            if saved is not None and saved.ndim == buffer.ndim - 1:  # of one channel
                state[prefix + name] = saved.unsqueeze(1 if name == "modes" else -1)
        on_grid = self.config.representation == "grid"
        for name in BUFFERS:  # in memory of their own: fields that were solved before keep the numbers of their time
            saved, buffer = state.get(prefix + name), getattr(self, name)
            if saved is not None and saved.ndim == buffer.ndim:
                shape = saved.shape if on_grid else buffer.shape
                setattr(self, name, torch.empty(shape, dtype=buffer.dtype, device=self.mean.device))

    def _grid(self, kernel: Literal["cubic", "linear"]) -> GridNodes:
        shape = tuple(self.inside.shape[:-1])
        return GridNodes(shape, self.periodic, kernel, None if self.inside.all() else self.inside.flatten(0, -2))


def _adapt_state(modes: Modes, state: dict, prefix: str, *_: object) -> None:
    """By name, so that a model can be pickled."""
    modes.adapt_state(state, prefix)
