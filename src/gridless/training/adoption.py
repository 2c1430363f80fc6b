"""What a model takes over from its training data: the domain, the step and, of pairs, the units of both quantities."""

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np
import torch

from gridless import config as c
from gridless.config.errors import ConfigError
from gridless.data.pairs import levels, pair_of
from gridless.data.signals import GridSignal, Signal
from gridless.data.sources import Source
from gridless.model import FieldModel
from gridless.protocols import Task

MEASURED = 256  # pairs whose values say the units, spread evenly over all


def adopt_data(model: FieldModel, data: Sequence[Signal] | Source, task: Task) -> None:
    """The model keeps what its signals share, in its config; what is given there already stays."""
    if task.kind == "operator":
        adopt_units(model, data)
    if isinstance(task, c.Forecast) and model.config.film is not None:
        film = replace(model.config.film, frames=task.seen + task.ahead, seen=task.seen)
        model.adopt(replace(model.config, film=film))
    adopt_domain(model, data, task)


def adopt_domain(model: FieldModel, data: Sequence[Signal] | Source, task: Task) -> None:
    """The model keeps the domain that its signals share, and with a task that sees them as they are also their step."""
    if model.config.domain is not None or isinstance(data, Source):
        return
    looked_at = [data[i] for i in sorted({0, min(1, len(data) - 1), len(data) - 1})]
    domain_of = getattr(task, "domain_of", attrgetter("domain"))  # of a task that shows parts of signals
    domain, *others = map(domain_of, looked_at)
    whole = model.config.signal.whole
    if domain is None or any(other is None if whole else other != domain for other in others):
        return
    step = None
    if task.kind == "reconstruction" and isinstance(looked_at[0], GridSignal):
        step = tuple(abs(axis.length) / n for axis, n in zip(domain.axes, looked_at[0].shape, strict=True))
    model.adopt(replace(model.config, domain=domain, step=step))


def adopt_units(model: FieldModel, data: Sequence[Signal] | Source) -> None:
    """Of pairs: the window is the whole domain; level and deviation of what is seen, and of what is asked unless a base
    answers in the units of what is seen."""
    if isinstance(data, Source):
        pairs = [pair_of(signal) for signal in data.draw(np.random.default_rng(0), MEASURED)]
    else:
        chosen = sorted(set(np.linspace(0, len(data) - 1, MEASURED).round().astype(int).tolist()))
        pairs = [pair_of(data[i]) for i in chosen]
    signal, answered = model.config.signal, pairs[0].asked.channels
    if answered != signal.outputs:
        raise ConfigError(
            f"the pairs ask {answered} channels, the model answers {signal.outputs}; set signal.out_channels"
        )
    units: dict[str, object] = {"whole": True}
    if isinstance(model.config.base, c.NoBase | c.Own):
        if signal.mean is None:
            units |= _units("", *levels([pair.seen for pair in pairs]))
        if signal.out_mean is None:
            units |= _units("out_", *levels([pair.asked for pair in pairs]))
    model.adopt(replace(model.config, signal=replace(signal, **units)))


def _units(of: str, mean: torch.Tensor, std: torch.Tensor) -> dict[str, tuple[float, ...]]:
    """A channel that does not vary keeps its unit."""
    return {f"{of}mean": tuple(mean.tolist()), f"{of}std": tuple(torch.where(std > 0, std, 1.0).tolist())}
