"""Posterior samples of a model with a flow head, in training and in a field: over answers for a joint decoder, over the
latents for any other."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gridless.network.flow import flow_loss, sampled
from gridless.samples import Samples, Tokens

Draws = Callable[[Tensor, Tensor], Tensor]  # (coords, cell) -> (B n Q C), corrections to the base


def posterior(model, points: Samples) -> Callable[[int, int], Draws]:
    """`n, seed -> draws` for the readings of a field."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and model.training):
        seen = model.latent(points)
        seen = seen if model.decoder.joint else _normal(seen)
    return lambda n, seed: (joint_draws if model.decoder.joint else latent_draws)(model, seen, n, seed)


def summary(draws: Draws) -> Callable[[Tensor, Tensor], Float[Tensor, "B Q 2C"]]:
    """Mean and standard deviation of the draws."""

    def correction(coords: Tensor, cell: Tensor, latents_at: Tensor | None = None) -> Tensor:
        if latents_at is not None:
            raise ValueError("a field of posterior samples reads its latents where it is asked; leave latents_at out")
        found = draws(coords, cell)
        return torch.cat([found.mean(1), found.std(1, correction=0)], -1)

    return correction


def joint_draws(model, readings: Tokens, n: int, seed: int) -> Draws:
    """Noise for every question and sample, carried to answers that read one another."""
    flow, std = model.config.head, model.config.signal.std

    def draws(coords: Tensor, cell: Tensor) -> Tensor:
        b, q, channels = *coords.shape[:2], model.config.signal.channels
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for _ in range(n):
            x0 = torch.randn(b, q, channels, generator=generator).to(readings.x)
            velocity = joint_velocity(model, coords.to(x0.dtype), readings, generator)
            parts.append(sampled(flow, velocity, x0) * std)
        return torch.stack(parts, 1)

    return draws


def joint_velocity(model, coords: Tensor, readings: Tokens, generator: torch.Generator | None = None):
    """`generator`: of the noise that a solver shows which does not keep its state; None in training."""
    flow, place = model.config.head, model.tokenizer.fourier(coords)

    def velocity(x: Tensor, t: Tensor, guess: Tensor | None) -> Tensor:
        if generator is not None and not flow.keeps_state:
            x = torch.randn(x.shape, generator=generator).to(x)
        x = x if guess is None else torch.cat([x, guess], -1)
        out = model.head(model.decoder(place.to(x.dtype), x, t, readings))
        return out.sigmoid() if flow.sigmoid else out

    return velocity


def latent_draws(model, seen: Tokens, n: int, seed: int) -> Draws:
    """Noise in the latents, carried to latents of fields; each answers any question alone."""
    generator = torch.Generator().manual_seed(seed)
    shape = n, *seen.x.shape[1:]  # every field of the batch sees the same noise: its batch-mates change nothing
    noise = torch.randn(shape, generator=generator).to(seen.x)
    encoded = []
    for one in noise:
        with torch.set_grad_enabled(torch.is_grad_enabled() and model.training):
            z = sampled(model.config.head, lambda z, t, g: model.flow(z, t, g, seen.x), one.expand_as(seen.x))
            encoded.append(model.read(replace(seen, x=z)))

    def draws(coords: Tensor, cell: Tensor) -> Tensor:
        return torch.stack([model.decode(e, coords.to(seen.x.dtype), cell) for e in encoded], 1)

    return draws


def flow_head_loss(model, samples: Samples, coords: Tensor, cell: Tensor, target: Tensor) -> Float[Tensor, ""]:
    """Of a joint decoder: the flow's, over the asked values. Of another: the error of the field that half of the asked
    values give when they are read themselves, and the flow's from the readings' latents to theirs."""
    flow, signal, points = model.config.head, model.config.signal, samples.as_points()
    if model.decoder.joint:
        velocity = joint_velocity(model, coords, model.latent(points))
        return flow_loss(flow, velocity, (target - signal.mean) / signal.std, coords)
    half = coords.shape[1] // 2
    dense = _normal(model.latent(Samples(target[:, :half], coords=coords[:, :half])))
    seen = _normal(model.latent(points))
    answer = signal.mean + model.decode(model.read(dense), coords, cell)
    loss = flow_loss(flow, lambda z, t, g: model.flow(z, t, g, seen.x), dense.x.detach())
    return (answer - target).square().mean() / signal.std**2 + loss


def _normal(latents: Tokens) -> Tokens:
    """Latents of mean zero and variance one each, as the noise is."""
    return replace(latents, x=F.layer_norm(latents.x, latents.x.shape[-1:]))
