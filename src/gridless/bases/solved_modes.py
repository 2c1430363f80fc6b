"""What a mixture of modes answers once a field was read: values, how sure it is, and posterior samples."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gridless.bases.mode_mixture import ModeMixture, ModesPosterior
from gridless.samples import moved_parts

SMALLEST = 1e-4  # of the spread, relative to the fields' standard deviation


@dataclass(frozen=True, eq=False)
class SolvedModes:
    """Answers in the readings' units; NaN where the training fields were never measured, unless `fill`."""

    mixture: ModeMixture
    posterior: ModesPosterior
    familiarity: Float[Tensor, " B"]
    """Probability that a field is like the training fields; 1 where nothing else was considered."""
    widening: Float[Tensor, " B"]
    """The standard deviation is so many times what the modes say, for readings that they do not explain …"""
    misfit: Float[Tensor, "B C"]
    """… and so much variance is added, in units of each channel's scale."""
    fill: bool
    dtype: torch.dtype

    spread = True
    differentiable = True

    def __call__(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        return self._in_units(self.answer(coords), coords)

    def answer(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        """In units of each channel's scale, everywhere."""
        mixture = self.mixture
        anomaly = self.posterior.mean @ mixture.modes.flatten(0, 1).double().mT
        coefficients = mixture.mean.double() + anomaly.unflatten(1, mixture.mean.shape)
        return mixture.basis.evaluate(shared(coords), coefficients).expand(len(coords), -1, -1)

    def std(self, coords: Float[Tensor, "B Q d"], cell: Tensor | None = None) -> Float[Tensor, "B Q C"]:
        """The posterior standard deviation of the field, without a reading's noise: within the clusters, between them, and
        of what they leave out."""
        return self._in_units(self._std(*self._variances(coords)), coords)

    def draws(self, n: int, seed: int) -> "ModesDraws":
        """`n` posterior samples that are functions; every field of a batch sees the same random numbers."""
        posterior, mixture = self.posterior, self.mixture
        rank, hypotheses = posterior.precision_root.shape[-1], posterior.probability.shape[1]
        generator = torch.Generator().manual_seed(seed)
        drawn = [(torch.rand(1, generator=generator), torch.randn(rank, 1, generator=generator)) for _ in range(n)]
        lot, normal = (torch.stack(part).to(posterior.probability) for part in zip(*drawn, strict=True))
        lots = lot[:, 0].expand(len(posterior.probability), n).contiguous()
        chosen = torch.searchsorted(posterior.probability.cumsum(1), lots).clamp(max=hypotheses - 1)
        rows, deviations = torch.arange(len(chosen), device=chosen.device), []
        for t, one in zip(chosen.unbind(1), normal, strict=True):
            root = posterior.precision_root[rows, t].mT
            weights = torch.linalg.solve_triangular(root, one.expand(len(rows), -1, -1), upper=True)
            factors = mixture.cluster_factors[posterior.cluster[rows, t]].double()
            deviations.append(posterior.weights[rows, t] + (factors @ weights)[..., 0] - posterior.mean)
        return ModesDraws(self, torch.stack(deviations, 1))

    def gate(self, cell: Tensor) -> float:
        return 1.0

    def to(self, device) -> "SolvedModes":
        return moved_parts(self, device)

    def _in_units(self, values: Float[Tensor, "B Q C"], coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B Q C"]:
        values = (values * self.mixture.scale.double()).to(self.dtype)
        return values if self.fill else values.where(self.mixture.basis.contains(shared(coords)), torch.nan)

    def _std(self, explained: Tensor, residual: Tensor) -> Float[Tensor, "B Q C"]:
        variance = (explained + residual).clamp(min=SMALLEST**2 * self.mixture.variance)
        return (variance * self.widening[:, None, None].square() + self.misfit[:, None]).sqrt()

    def _variances(self, coords: Tensor) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B Q C"]]:
        """Of what the modes explain, within and between the hypotheses, and of what they leave out."""
        places, mixture, posterior = shared(coords), self.mixture, self.posterior
        modes = mixture.modes_at(places)  # (b Q C M)
        shape, modes = modes.shape[1:3], modes.flatten(1, 2)
        mean = modes @ posterior.mean[..., None]
        explained, residual = torch.zeros_like(mean[..., 0]), torch.zeros_like(mean[..., 0])
        for t in range(posterior.probability.shape[1]):
            probability = posterior.probability[:, t, None]
            if not probability.any():
                break  # the likeliest come first
            cluster = posterior.cluster[:, t]
            along = (modes @ mixture.cluster_factors[cluster].double()).mT
            root = posterior.precision_root[:, t]
            within = torch.linalg.solve_triangular(root, along, upper=False).square().sum(1)
            between = (modes @ posterior.weights[:, t, :, None] - mean)[..., 0].square()
            explained = explained + probability * (within + between)
            left_out = mixture.residual_variance_at(cluster[:, None], places).flatten(1)
            residual = residual + probability * left_out
        return explained.unflatten(1, shape), residual.unflatten(1, shape)


@dataclass(frozen=True, eq=False)
class ModesDraws:
    """Posterior samples: a hypothesis, drawn by its probability, with weights drawn from its posterior. What the modes
    leave out has no shape of its own: there a sample's deviation is taken larger, by as much as it lacks."""

    solved: SolvedModes
    deviations: Float[Tensor, "B n M"]
    """Of the weights of the shared modes from their mean."""

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]:
        solved, mixture = self.solved, self.solved.mixture
        explained, residual = solved._variances(coords)
        ratio = solved._std(explained, residual) / explained.clamp(min=1e-12 * mixture.variance).sqrt()
        modes = mixture.modes_at(shared(coords))
        away = self.deviations @ modes.flatten(1, 2).mT
        away = away.unflatten(-1, modes.shape[1:3]) * (ratio * mixture.scale.double())[:, None]
        return solved(coords)[:, None] + away.to(solved.dtype)

    def to(self, device) -> "ModesDraws":
        return ModesDraws(self.solved.to(device), self.deviations.to(device))


def shared(coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "#B Q d"]:
    """In double precision; once, where all samples are asked at the same places."""
    shared = coords.stride(0) == 0 and not coords.requires_grad  # a gradient is of each sample's own coordinates
    return (coords[:1] if shared else coords).double()
