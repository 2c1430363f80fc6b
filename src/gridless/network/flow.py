"""Flow matching: a velocity that carries noise to data, how it is learned and how it is followed.

Source: Lipman et al. 2023 (arXiv 2210.02747), Liu et al. 2023 (rectified flow, arXiv 2209.03003), in the convention
    x_t = s(t) x₁ + (1 − s(t)) x₀,    dx/dt = s′(t) (x₁ − x₀),    x₀ ~ N(0, 1),  t ∈ [0, 1]
`linear` has s(t) = t; `cosine` s(t) = sin²(πt/2), slow at both ends, with its own s′.
"""

from collections.abc import Callable
from math import log, pi

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.nn.attention import SelfAttentionBlock

REFLOW_STEPS = 4  # of the solver that pairs noise with answers in training
FARTHEST = 10.0  # an end is at most so many times the velocity away; the whole path of a constant velocity is 1 long
HIGHEST = 8  # cycles per unit that the frequency term compares


class TimeEmbedding(nn.Module):
    """Sines and cosines of scale · t at `width / 2` rates from 1 to 1 / 10,000, as they are or through an MLP."""

    rates: Float[Tensor, " width/2"]

    def __init__(self, time: config.Time, width: int):
        super().__init__()
        self.scale = time.scale
        self.register_buffer("rates", torch.exp(-log(10_000) * torch.arange(width // 2) / (width // 2)))
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) if time.mlp else None

    def forward(self, t: Float[Tensor, " B"]) -> Float[Tensor, "B D"]:
        phase = self.scale * t[:, None] * self.rates
        out = torch.cat([phase.sin(), phase.cos()], -1)
        return out if self.mlp is None else self.mlp(out)


def times(flow: config.FlowHead, count: int, like: Tensor) -> Float[Tensor, " B"]:
    """Training times: even, or logit-normal, most of them in the middle (Esser et al. 2024, arXiv 2403.03206)."""
    if flow.times == "uniform":
        return torch.rand(count, dtype=like.dtype, device=like.device)
    return torch.randn(count, dtype=like.dtype, device=like.device).sigmoid()


def mixed(path: str, x0: Tensor, x1: Tensor, t: Float[Tensor, " B"]) -> tuple[Tensor, Tensor]:
    """x_t and dx/dt on the way from x₀ to x₁."""
    t = t.reshape(-1, *[1] * (x1.ndim - 1))
    share, slope = (t, torch.ones_like(t)) if path == "linear" else ((pi * t / 2).sin() ** 2, pi / 2 * (pi * t).sin())
    return share * x1 + (1 - share) * x0, slope * (x1 - x0)


def arrived(path: str, x: Tensor, velocity: Tensor, t: Float[Tensor, " B"]) -> Tensor:
    """Where a straight path ends: the x₁ that x_t and the velocity point at, x_t + (1 − s) / s′ · velocity.

    On the cosine path (1 − s) / s′ = cot(πt/2) / π: 0 at t = 1, and without bound towards t = 0, where every path starts
    with no velocity and none says where it ends. There an error of the velocity is enlarged by at most FARTHEST, so that
    below t ≈ 0.02 the answer stays near x_t.
    """
    t = t.reshape(-1, *[1] * (x.ndim - 1))
    if path == "linear":
        return x + (1 - t) * velocity
    angle = pi * t / 2
    return x + angle.cos() / (pi * angle.sin()).clamp(min=1 / FARTHEST) * velocity


def heun(velocity: Callable[[Tensor, Tensor], Tensor], x: Tensor, steps: int) -> Tensor:
    """Follow dx/dt = velocity(x, t) from t = 0 to 1 by Heun's method, two calls a step."""
    for i in range(steps):
        t, step = x.new_full((len(x),), i / steps), 1 / steps
        first = velocity(x, t)
        second = velocity(x + step * first, t + step)
        x = x + step / 2 * (first + second)
    return x


Velocity = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (x_t, t, the last guess of x₁ or None) -> dx/dt


def flow_loss(
    flow: config.FlowHead, velocity: Velocity, x1: Float[Tensor, "B M W"], coords: Float[Tensor, "B M d"] | None = None
) -> Float[Tensor, ""]:
    """Squared error of the velocity on the way to x₁, and the further terms that `flow` asks for. `coords`: where the
    rows of x₁ lie, which the frequencies need."""
    x0 = torch.randn_like(x1)
    if flow.reflow and float(torch.rand(())) < flow.reflow:
        with torch.no_grad():
            x1 = sampled(flow, velocity, x0, REFLOW_STEPS)
    t = times(flow, len(x1), x1)
    x, slope = mixed(flow.path, x0, x1, t)
    slope_there = velocity(x, t, _guess(flow, velocity, x, t))
    loss = (slope_there - slope).square().mean()
    if flow.frequency or flow.consistency:
        guess = arrived(flow.path, x, slope_there, t)
    if flow.frequency and coords is not None:
        loss = loss + flow.frequency * spectrum(guess - x1, coords).mean()
    if flow.consistency:
        later = t + (1 - t) * torch.rand_like(t)
        with torch.no_grad():
            y, _ = mixed(flow.path, x0, x1, later)
            other = arrived(flow.path, y, velocity(y, later, _guess(flow, velocity, y, later)), later)
        loss = loss + flow.consistency * (guess - other).square().mean()
    return loss


def spectrum(error: Float[Tensor, "B Q C"], coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B F"]:
    """|Σ error · e^{−2πi f·x}|² / Q of scattered errors, for the whole frequencies f up to HIGHEST on every axis."""
    band = torch.arange(-HIGHEST, HIGHEST + 1, dtype=coords.dtype, device=coords.device)
    f = torch.cartesian_prod(*[band] * coords.shape[-1]).reshape(-1, coords.shape[-1])
    phase = 2 * pi * coords @ f.T
    real, imaginary = (torch.einsum("bqf,bqc->bfc", wave, error) for wave in (phase.cos(), phase.sin()))
    return (real.square() + imaginary.square()).mean(-1) / error.shape[1]


def _guess(flow: config.FlowHead, velocity: Velocity, x: Tensor, t: Tensor) -> Tensor | None:
    """Self-conditioning (Chen et al. 2023, arXiv 2208.04202): half of a batch is shown the network's own guess."""
    if not flow.self_condition:
        return None
    with torch.no_grad():
        guess = arrived(flow.path, x, velocity(x, t, torch.zeros_like(x)), t)
    return guess * (torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) < 0.5)


def sampled(flow: config.FlowHead, velocity: Velocity, x0: Tensor, steps: int | None = None) -> Tensor:
    """Where noise is carried."""
    last = [torch.zeros_like(x0) if flow.self_condition else None]

    def step(x: Tensor, t: Tensor) -> Tensor:
        slope_there = velocity(x, t, last[0])
        if flow.self_condition:
            last[0] = arrived(flow.path, x, slope_there, t)
        return slope_there

    return heun(step, x0, steps or flow.steps)


def still(layer: nn.Linear) -> nn.Linear:
    """The layer, started at zero: at first it scales and shifts nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class LatentVelocity(nn.Module):
    """Velocity of the latents, given the latents of the readings: self-attention among pairs of the two.

    The noise of a posterior sample lives here, in as many latents as the encoder has; the decoder then answers any
    question from the latents that it became. So a sample is a function.
    """

    def __init__(self, flow: config.FlowHead, width: int):
        super().__init__()
        self.time = TimeEmbedding(flow.time, width)
        self.join = nn.Linear((2 + flow.self_condition) * width, width)
        self.blocks = nn.ModuleList(
            SelfAttentionBlock(width, flow.heads, flow.head_width, 2.0) for _ in range(flow.depth)
        )
        self.modulate = nn.ModuleList()
        if flow.time.how == "adaln":
            self.modulate.extend(still(nn.Linear(width, 2 * width)) for _ in range(flow.depth))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(
        self, z: Float[Tensor, "B M W"], t: Float[Tensor, " B"], guess: Tensor | None, seen: Float[Tensor, "B M W"]
    ) -> Float[Tensor, "B M W"]:
        time = self.time(t)[:, None]
        x = self.join(torch.cat([z, seen] if guess is None else [z, seen, guess], -1))
        x = x if len(self.modulate) else x + time
        for i, block in enumerate(self.blocks):
            if len(self.modulate):
                scale, shift = self.modulate[i](time).chunk(2, -1)
                x = x * (1 + scale) + shift
            x = block(x)
        return self.out(self.norm(x))
