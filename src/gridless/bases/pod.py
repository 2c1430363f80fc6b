"""The best linear guess from scattered readings: the modes that training fields are made of, weighted to fit what was read.

A field is m(x) + Σ_j w_j φ_j(x) with the training fields' mean m, their leading modes φ_j (proper orthogonal decomposition)
and w_j ~ N(0, λ_j), λ_j the modes' variances; a reading adds noise N(0, s²). The weights are the posterior mean,
    w = Λ Φᵀ (Φ Λ Φᵀ + s² I)⁻¹ (y − m),
that is least squares on the sensors (gappy POD, Everson & Sirovich 1995), regularised by how large each mode usually is;
s is the likeliest of a few, so that clean readings are met and noisy ones smoothed.

Mean and modes are polynomials of orthonormal Legendre products on [0, 1]^d: exact at any coordinate, with a true
gradient. They are fitted once on training fields, frozen, and kept in the checkpoint.
"""

from dataclasses import dataclass
from itertools import product
from math import log

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.data.synthetic import WaveSource, fixed
from gridless.field import Field
from gridless.samples import Samples

SNAPSHOTS = 2000  # training fields of each family
SMALLEST = 1e-4  # of the spread, relative to the fields' standard deviation
NOISES = (1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.06, 0.1, 0.15, 0.25)  # s, relative to the fields' standard deviation


class Pod(nn.Module):
    """Unfitted, it answers the signal's mean everywhere."""

    name = "pod"

    def __init__(self, pod: config.Pod, signal: config.Signal):
        super().__init__()
        modes, degree, axes, channels = pod.modes, pod.degree, signal.axes, signal.channels
        if channels != 1:
            raise ValueError(f"base.kind 'pod' takes one channel, got {channels}")
        self.degree, self.axes = degree, axes
        mean = torch.zeros(degree**axes)
        mean[0] = signal.mean
        self.register_buffer("mean", mean)
        self.register_buffer("modes", torch.zeros(degree**axes, modes))
        self.register_buffer("variances", torch.zeros(modes))

    @property
    def fitted(self) -> bool:
        return bool(self.variances.any())

    @torch.no_grad()
    def fit(self, source: WaveSource) -> "Pod":
        """Mean and modes of the training fields of these families; the part of each that polynomials cannot hold is lost."""
        nodes, weights = np.polynomial.legendre.leggauss(self.degree)
        nodes = torch.from_numpy((nodes + 1) / 2)
        points = torch.tensor(list(product(nodes.tolist(), repeat=self.axes)), dtype=torch.float64)
        weight = torch.from_numpy(weights / 2)
        share = torch.ones(1, dtype=torch.float64)
        for _ in range(self.axes):
            share = torch.outer(share, weight).flatten()
        project = self._basis(points) * share[:, None]
        parts = []
        for family in source.families:
            fields = fixed(family, "train", SNAPSHOTS)
            values = fields(points.expand(SNAPSHOTS, -1, -1))[..., 0]
            parts.append(values @ project)
        coefficients = torch.cat(parts)
        self.mean.copy_(coefficients.mean(0))
        away = coefficients - coefficients.mean(0)
        variances, modes = torch.linalg.eigh(away.T @ away / len(away))
        count = self.modes.shape[1]
        self.modes.copy_(modes.flip(-1)[:, :count])
        self.variances.copy_(variances.flip(-1)[:count].clamp(min=0))
        return self

    def encode(self, samples: Samples) -> Field:
        """The same protocol as a model's: samples in, field out, and how sure it is."""
        solved = self.solved(samples)

        def correction(coords: Tensor, cell: Tensor) -> Tensor:  # none
            std = solved.std(coords).to(samples.values.dtype)
            return torch.cat([torch.zeros_like(std), std], -1)

        return Field(samples, solved, correction, spread=True)

    def solved(self, samples: Samples) -> "SolvedPod":
        """What the field of these readings takes as its base."""
        points = samples.as_points()
        basis, factor = self._basis(points.coords.double()), self._factor()
        residual = points.values.double() - (basis @ self.mean.double())[..., None]
        seen = basis @ factor  # K = F Fᵀ
        if points.mask is not None:
            seen, residual = seen * points.mask[..., None], residual * points.mask[..., None]
        kernel, eye = seen @ seen.mT, torch.eye(seen.shape[1], dtype=seen.dtype, device=seen.device)
        real = seen.shape[1] if points.mask is None else points.mask.sum(1)
        noises = [noise**2 * max(float(self.variances.sum()), 1e-6) for noise in NOISES]  # of the fields' variance
        likelihoods = []
        for noise in noises:
            root = torch.linalg.cholesky(kernel + noise * eye)
            met = torch.linalg.solve_triangular(root, residual, upper=False)
            spread = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1) - (len(eye) - real) * log(noise)
            likelihoods.append(-met.square().sum((1, 2)) - spread)
        noise = seen.new_tensor(noises)[torch.stack(likelihoods).argmax(0)]
        root = torch.linalg.cholesky(kernel + noise[:, None, None] * eye)
        both = torch.linalg.solve_triangular(root, torch.cat([residual, seen], -1), upper=False)
        weights = both[..., 1:].mT @ both[..., :1]
        return SolvedPod(self, self.mean.double() + (factor @ weights)[..., 0], both[..., 1:])

    def _factor(self) -> Float[Tensor, "P M"]:
        """The modes, each as large as it usually is."""
        return (self.modes * self.variances.sqrt()).double()

    def _basis(self, coords: Float[Tensor, "*B d"]) -> Float[Tensor, "*B P"]:
        """Orthonormal Legendre polynomials of every axis, and their products."""
        out = None
        for x in (2 * coords - 1).unbind(-1):
            rows = [torch.ones_like(x), x]
            for n in range(1, self.degree - 1):
                rows.append(((2 * n + 1) * x * rows[n] - n * rows[n - 1]) / (n + 1))
            own = torch.stack([(2 * n + 1) ** 0.5 * row for n, row in enumerate(rows[: self.degree])], -1)
            out = own if out is None else (out[..., :, None] * own[..., None, :]).flatten(-2)
        return out


@dataclass(frozen=True, eq=False)
class SolvedPod:
    """The posterior of each sample's weights: the mean as one polynomial, the covariance as I − RᵀR."""

    pod: Pod
    polynomial: Float[Tensor, "B P"]
    known: Float[Tensor, "B N M"]

    name = "pod"

    def __call__(self, samples: Samples, coords: Tensor, cell: Tensor | None = None) -> Float[Tensor, "B Q 1"]:
        values = (self.pod._basis(coords.double()) * self.polynomial[:, None]).sum(-1, keepdim=True)
        return values.to(samples.values.dtype)

    def std(self, coords: Tensor) -> Float[Tensor, "B Q 1"]:
        """The posterior standard deviation of the value, without a reading's noise."""
        modes = self.pod._basis(coords.double()) @ self.pod._factor()
        variance = modes.square().sum(-1) - (self.known @ modes.mT).square().sum(-2)
        floor = SMALLEST**2 * float(self.pod.variances.sum())
        return variance.clamp(min=floor).sqrt()[..., None].to(coords.dtype)

    def gate(self, cell: Tensor) -> float:
        return 1.0
