"""Readings that come one after another: what a network keeps of them, and the field of all that were read so far.

A stream is a value: reading more makes another one, and the one before still answers. Its encoder reads forwards and has
one state per layer; the latents are read from there whenever a field is asked for. So taking in a reading costs that
reading, and a field the latents, however long the past is. In pieces of any length the field is that of all readings at
once in the same units.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gridless import config as c
from gridless.bases import Constant
from gridless.field import Field
from gridless.network.acceptance import accepted
from gridless.network.extent import in_domain, placed
from gridless.network.frozen import outside_inference
from gridless.network.parts import Network, SequentialEncoder
from gridless.network.questions import units_seen
from gridless.network.readers import NetworkCorrection, PointReader, check_fresh, weights_mark
from gridless.samples import Samples


@dataclass(frozen=True, eq=False)
class Stream:
    """What was read so far. Made by `FieldModel.stream`; it can be pickled, and refuses once its model was trained on.

    `readings`: the newest, or with `keep` all of them; their level and scale are the units of the whole stream. Readings at
    one place are averaged within a piece (`Samples.from_points`), not from piece to piece: each is read.
    """

    network: Network
    read: Any
    """What the encoder keeps: as much after a million readings as after one."""
    readings: Samples
    keep: bool
    mark: Float[Tensor, " P"] | None
    """Of the network's weights when the stream began."""

    @classmethod
    def of(cls, network: Network, samples: Samples, keep: bool = False) -> "Stream":
        """The stream that begins with these samples. `network` is a frozen copy. Raises ValueError for a model that cannot
        go on, naming what to set, and for first readings that do not vary where the model has no units of its own."""
        check_streams(network, keep)
        with outside_inference(), torch.no_grad():
            readings = _points(network, samples)
            if network.config.signal.mean is None:
                level, scale = readings.standard()
                if not bool((scale > 0).all()):
                    raise ValueError(
                        "the first readings of this stream do not vary, so they give no unit to read later ones in; begin "
                        "with more readings, give Samples level= and scale=, or set signal.mean and signal.std"
                    )
                readings = replace(readings, level=level, scale=scale)
            return cls(network, _advanced(network, readings, None), readings, keep, weights_mark(network))

    def updated(self, samples: Samples) -> "Stream":
        """The stream with these readings too, read after all before, in the units of the stream. Raises ValueError for
        other fields, channels, domains or units, where nothing was measured, and if the model was trained on since."""
        self._check_fresh()
        with outside_inference(), torch.no_grad():
            new = self._in_units(_points(self.network, samples))
            read = _advanced(self.network, new, self.read)
            readings = _behind(self.readings, new) if self.keep else new
            return replace(self, read=read, readings=readings)

    def field(self) -> Field:
        """The field of all readings so far; its price does not depend on how many they are, unless `keep` has their base
        solved. `field.samples` are the newest readings, or with `keep` all. Its values have no gradient by readings."""
        self._check_fresh()
        network, signal = self.network, self.network.config.signal
        with outside_inference(), torch.no_grad():
            fitted, placement = in_domain(self.readings, network.config, network.domain)
            latents = network.processor(_encoder(network).latents_after(self.read))
            reader = PointReader(network, network.read(latents), network.frame(fitted), units_seen(signal, fitted))
            solved = network.solve_base(self.readings)
            units = network.units(self.readings)
        correction = NetworkCorrection(network, placed(reader, placement), units, self.mark)
        return Field(self.readings, solved, correction, signal.finest_cell)

    @property
    def counts(self) -> Int64[Tensor, " B"]:
        """Readings of each field so far."""
        return self.read.counts

    def __len__(self) -> int:
        """Fields of the batch."""
        return len(self.readings)

    def _check_fresh(self) -> None:
        check_fresh(self.network, self.mark, "stream", "begin it again")

    def _in_units(self, new: Samples) -> Samples:
        """The new readings in the units of the stream."""
        first = self.readings
        if len(new) != len(first):
            raise ValueError(f"this stream is of {len(first)} fields, the new readings are of {len(new)}; give as many")
        if new.domain != first.domain:
            raise ValueError(
                "the new readings have another domain than the stream, so their coordinates mean other places; give every "
                "piece the domain of the first"
            )
        for name in ("level", "scale"):
            given, fixed = getattr(new, name), getattr(first, name)
            if given is not None and (fixed is None or not torch.equal(given, fixed)):
                raise ValueError(
                    f"the new readings bring a {name} of their own, but a stream keeps the units that it began with; leave "
                    f"{name} out"
                )
        return replace(new, level=first.level, scale=first.scale)


def check_streams(network: Network, keep: bool) -> None:
    """Raises ValueError, naming what to set, for a network whose fields need more of the past than a state."""
    config, encoder = network.config, network.encoder
    needed = {
        "tokenizer.kind = 'points'": isinstance(config.tokenizer, c.Points),
        "tokenizer.base = false": network.known is None,
        "signal.frame = 'domain'": config.signal.frame == "domain",
        "film = none": config.film is None,
        "head.kind 'point' or 'gaussian'": not isinstance(config.head, c.FlowHead),
        "encoder.kind = 'mamba' with ssm.direction 'forward', tokens.placement 'append' and tokens.read 'tokens'": (
            isinstance(encoder, SequentialEncoder)
        ),
    }
    missing = [option for option, given in needed.items() if not given]
    missing += encoder.missing_for_streams if isinstance(encoder, SequentialEncoder) else ()
    if missing:
        raise ValueError(
            f"the model {config.name} cannot read a stream: what it makes of earlier readings depends on later ones; train "
            f"one with {', '.join(missing)}"
        )
    if not keep and not isinstance(network.base, Constant):
        raise ValueError(
            f"base.kind {config.base.kind!r} is solved from all readings; stream(…, keep=True) keeps them and solves it "
            "for every field, at a price that grows with the past, or train a model with base.kind 'none'"
        )


def _encoder(network: Network) -> SequentialEncoder:
    assert isinstance(network.encoder, SequentialEncoder), "checked when the stream began"
    return network.encoder


def _points(network: Network, samples: Samples) -> Samples:
    """Readings as the network takes them. Raises ValueError where nothing was measured, or a gradient is wanted."""
    points = accepted(samples, network.config, network.domain).as_points()
    if points.mask is not None and not bool(points.mask.any()):
        raise ValueError("nothing was measured: a stream goes on with at least one reading; leave the empty update out")
    if points.values.requires_grad or points.point_coords.requires_grad:
        raise ValueError(
            "a stream keeps no gradient to its readings; give samples.values.detach(), or encode all at once"
        )
    return points


def _advanced(network: Network, points: Samples, before: Any) -> Any:
    fitted, _ = in_domain(points, network.config, network.domain)
    return _encoder(network).advanced(network.tokens(fitted), before)


def _behind(first: Samples, new: Samples) -> Samples:
    """All readings, the new ones at the end."""

    def both(name: str, missing: float) -> Tensor | None:
        parts = [getattr(first, name), getattr(new, name)]
        if parts[0] is None and parts[1] is None:
            return None
        shapes = (first.values.shape[:2], new.values.shape[:2])
        whole = [
            torch.full(shape, missing, device=first.values.device) if part is None else part
            for part, shape in zip(parts, shapes, strict=True)
        ]
        return torch.cat(whole, 1)

    mask = both("mask", True)
    return replace(
        first,
        values=torch.cat([first.values, new.values], 1),
        coords=torch.cat([first.point_coords, new.point_coords], 1),
        mask=None if mask is None else mask.bool(),
        noise=both("noise", 0.0),
    )
