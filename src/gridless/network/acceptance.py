"""What a model takes: samples of its axes, its channels and its step."""

import warnings
from dataclasses import replace

import torch

from gridless import config as c
from gridless.domain import Domain
from gridless.samples import Samples

STEP_TOLERANCE = 0.05  # of the distance from sample to sample that a model was trained at


def accepted(samples: Samples, config: c.Model, domain: Domain | None) -> Samples:
    """The samples as a model takes them. Raises ValueError for other axes, channels or steps."""
    if not isinstance(samples, Samples):
        raise ValueError(f"expected Samples, got {type(samples).__name__}; make them with gl.Samples.from_grid(…)")
    signal = config.signal
    if samples.axes != signal.axes or samples.channels != signal.channels:
        raise ValueError(
            f"this model takes {signal.axes} axes and {signal.channels} channels, got samples with "
            f"{samples.axes} axes and {samples.channels} channels"
        )
    if samples.domain is None and domain is not None:
        samples = replace(samples, domain=domain)
    if config.step is not None and samples.shape is not None and samples.domain is not None:
        steps = [abs(axis.length) / n for axis, n in zip(samples.domain.axes, samples.shape, strict=True)]
        for axis, step, trained in zip(samples.domain.axes, steps, config.step, strict=True):
            if abs(step / trained - 1) > STEP_TOLERANCE:
                raise ValueError(
                    f"this model was trained on samples {trained:g} {axis.unit} apart along {axis.name}, these are "
                    f"{step:g} apart; resample them to its step".replace("  ", " ")
                )
    values = samples.values if samples.values.dtype in (torch.float32, torch.float64) else samples.values.float()
    if values.is_inference():
        samples = samples.cloned()
        values = samples.values
    return replace(samples, values=values)


def too_many(config: c.Model, samples: Samples) -> bool:
    """Whether the base answers alone, because there are more readings than the network reads; a warning says so."""
    encoder, count = config.encoder, samples.values.shape[1]
    if not isinstance(encoder, c.RelativeEncoder) or encoder.count is not None or count <= encoder.most:
        return False
    warnings.warn(
        f"{count} readings are more than the {encoder.most} that the network {config.name} reads: its base answers alone",
        stacklevel=4,
    )
    return True
