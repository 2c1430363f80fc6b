"""Posterior samples of a model with a flow head, in training and in a field: over answers for a joint decoder, over the
latents for any other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gridless import config
from gridless.coords import Lattice
from gridless.network.decoders.joint import JointDecoder
from gridless.network.encoded import Encoded, Tokens
from gridless.network.flow import LatentVelocity, flow_loss, sampled
from gridless.network.heads import PointHead
from gridless.network.parts import Network
from gridless.network.questions import Question, Units
from gridless.network.readers import NetworkCorrection
from gridless.network.tokenizers import PointTokenizer
from gridless.protocols import Answer, Correction, Draws, Solved
from gridless.samples import Samples


class FlowHead(PointHead):
    """One value per channel of a posterior sample; a field answers the mean and the deviation of some of them. One alone
    has no deviation."""

    def __init__(self, flow: config.FlowHead, width: int, channels: int, joint: bool):
        super().__init__(width, channels)
        self.joint, self.count, self.has_spread = joint, flow.samples, flow.samples > 1
        if joint:  # a velocity starts as any layer does
            self.linear.reset_parameters()

    def answer(
        self, base: Answer, gate: Float[Tensor, "B #Q 1"] | float, output: Float[Tensor, "B n Q C"], units: Units
    ) -> Answer:
        scaled = gate * units.scale
        mean = base.mean + (scaled * output.mean(1)).to(base.mean.dtype)
        if not self.has_spread:
            return Answer(mean, base.std)
        return Answer(mean, (units.scale * output.std(1, correction=0)).to(base.mean.dtype))

    def draws(self, correction: Correction, solved: Solved, n: int, seed: int) -> Draws:
        assert isinstance(correction, NetworkCorrection) and isinstance(correction.reader, FlowReader), "this head's"
        return FlowDraws(solved, correction.reader.redrawn(n, seed), correction.units, self.count)

    def loss(self, model: Network, samples: Samples, question: Question, kind: str | None = None) -> Float[Tensor, ""]:
        """Of a joint decoder: the flow's, over the asked values. Of another: the error of the field that half of the asked
        values give when they are read themselves, and the flow's from the readings' latents to theirs."""
        if kind is not None:
            raise ValueError(f"train.loss {kind!r} never trains a flow; leave it out, and head.kind 'flow' has its own")
        if question.measured is not None and not question.measured.all():
            raise ValueError("a flow learns from questions that were all measured; ask fewer (train.queries)")
        flow, points, units = flow_of(model), samples.as_points(), model.units(samples)
        coords, target = question.coords, units.standard(question.target).float()
        places = model.frame(points)(coords)
        if self.joint:
            velocity = JointVelocity(model, places, model.latent(points))
            return flow_loss(flow, velocity, target, places)
        half = coords.shape[1] // 2
        dense = replace(
            points, values=question.target[:, :half], coords=coords[:, :half], mask=None, noise=None,
            level=units.level[:, 0].expand(len(coords), -1), scale=units.scale[:, 0].expand(len(coords), -1),
        )  # fmt: skip
        goal, seen = normal(model.latent(dense)), normal(model.latent(points))
        answer = model.decode(model.read(goal), places, question.pixel())
        loss = flow_loss(flow, LatentSteps(latent_velocity(model), seen.x), goal.x.detach())
        return (answer - target).square().mean() + loss


@dataclass(frozen=True, eq=False)
class FlowReader:
    """`n` posterior samples of scattered readings: (B n Q C). Latents of samples are made once, for all questions."""

    network: Network
    samples: Samples
    readings: Tokens
    encoded: Sequence[Encoded] | None
    n: int
    seed: int

    @classmethod
    def of(cls, network: Network, samples: Samples, n: int, seed: int) -> "FlowReader":
        readings = network.latent(samples)
        if network.decoder.joint:
            return cls(network, samples, readings, None, n, seed)
        return cls._from_latents(network, samples, normal(readings), n, seed)

    @classmethod
    def _from_latents(cls, network: Network, samples: Samples, seen: Tokens, n: int, seed: int) -> "FlowReader":
        """Every field of the batch sees the same noise: its batch-mates change nothing."""
        noise = torch.randn(n, *seen.x.shape[1:], generator=torch.Generator().manual_seed(seed)).to(seen.x)
        steps = LatentSteps(latent_velocity(network), seen.x)
        latents = [sampled(flow_of(network), steps, one.expand_as(seen.x)) for one in noise]
        return cls(network, samples, seen, [network.read(replace(seen, x=z)) for z in latents], n, seed)

    def redrawn(self, n: int, seed: int) -> "FlowReader":
        """Other samples of the same readings."""
        if self.encoded is None:
            return replace(self, n=n, seed=seed)
        return self._from_latents(self.network, self.samples, self.readings, n, seed)

    def __call__(
        self, coords: Tensor, cell: Tensor, latents_at: Tensor | None = None, base: Answer | None = None
    ) -> Float[Tensor, "B n Q C"]:
        if latents_at is not None:
            raise ValueError("a field of posterior samples reads its latents where it is asked; leave latents_at out")
        places = self.network.frame(self.samples)(coords)
        if self.encoded is not None:
            return torch.stack([self.network.decode(part, places, cell) for part in self.encoded], 1)
        generator = torch.Generator().manual_seed(self.seed)
        flow, shape, parts = flow_of(self.network), (*coords.shape[:2], self.samples.channels), []
        for _ in range(self.n):
            noise = torch.randn(shape, generator=generator).to(self.readings.x)
            velocity = JointVelocity(self.network, places, self.readings, generator)
            parts.append(sampled(flow, velocity, noise))
        return torch.stack(parts, 1)

    def on_lattice(self, lattice: Lattice, cell: Float[Tensor, "B 1 d"]) -> Float[Tensor, "B n N C"]:
        return self(lattice.points(len(cell)), cell)

    def to(self, network: Network, device) -> "FlowReader":
        encoded = None if self.encoded is None else [part.to(device) for part in self.encoded]
        readings, samples = self.readings.to(device), self.samples.to(device)
        return replace(self, network=network, samples=samples, readings=readings, encoded=encoded)


@dataclass(frozen=True, eq=False)
class FlowDraws:
    """Posterior samples in the units of the values."""

    solved: Solved
    reader: FlowReader
    units: Units
    count: int

    def __call__(self, coords: Float[Tensor, "B Q d"]) -> Float[Tensor, "B n Q C"]:
        cell = coords.new_full((len(coords), 1, coords.shape[-1]), self.reader.network.config.signal.finest_cell or 0.0)
        base = self.solved(coords)[:, None]
        return base + (self.units.scale[:, None] * self.reader(coords, cell)).to(base.dtype)


@dataclass(frozen=True, eq=False)
class JointVelocity:
    """Velocity of noisy answers that read one another. `generator`: of the noise that a solver shows which does not keep
    its state; None in training."""

    network: Network
    places: Float[Tensor, "B Q e"]
    readings: Tokens
    generator: torch.Generator | None = None

    def __call__(self, x: Tensor, t: Tensor, guess: Tensor | None) -> Tensor:
        network, flow = self.network, flow_of(self.network)
        tokenizer, decoder = network.tokenizer, joint_decoder(network)
        assert isinstance(tokenizer, PointTokenizer) and tokenizer.fourier is not None, (
            "a flow is of points at their places"
        )
        if self.generator is not None and not flow.keeps_state:
            x = torch.randn(x.shape, generator=self.generator).to(x)
        x = x if guess is None else torch.cat([x, guess], -1)
        encoding = tokenizer.fourier(self.places.to(x.dtype))
        out = network.head(decoder(encoding, x, t, self.readings))
        return out.sigmoid() if flow.sigmoid else out


@dataclass(frozen=True, eq=False)
class LatentSteps:
    """Velocity of latents, given those of the readings."""

    flow: LatentVelocity
    seen: Float[Tensor, "B M W"]

    def __call__(self, z: Tensor, t: Tensor, guess: Tensor | None) -> Tensor:
        return self.flow(z, t, guess, self.seen)


def normal(latents: Tokens) -> Tokens:
    """Latents of mean zero and variance one each, as the noise is."""
    return replace(latents, x=F.layer_norm(latents.x, latents.x.shape[-1:]))


def flow_of(network: Network) -> config.FlowHead:
    """The settings of a model's flow head."""
    head = network.config.head
    assert isinstance(head, config.FlowHead), "only models with a flow head come here"
    return head


def joint_decoder(network: Network) -> JointDecoder:
    decoder: object = network.decoder
    assert isinstance(decoder, JointDecoder), "the others' flow is over latents"
    return decoder


def latent_velocity(network: Network) -> LatentVelocity:
    """The flow over latents, which a model with a flow head has unless its decoder is joint."""
    assert network.flow is not None, "a joint decoder's flow is over answers"
    return network.flow
