"""One training step: its batch, its loss, its device."""

import pickle
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gridless.config import Train
from gridless.config.errors import ConfigError
from gridless.model import FieldModel
from gridless.nn.precision import bf16
from gridless.protocols import Batch, Task
from gridless.training.optimiser import build_optimizer, set_rate

PATIENCE = timedelta(days=1)  # of the processes that wait while the first one validates


@dataclass(frozen=True)
class Batches:
    """What a task draws from the data: the same for the same step, seed and process, whatever was drawn before."""

    task: Task
    data: Any
    window: tuple[int, ...]
    train: Train
    process: int = 0

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.train.seed, step, self.process))
        sizes = {"window": self.window, "batch": self.train.batch, "queries": self.train.queries}
        return self.task.draw(self.data, rng, **sizes)

    def seed(self, step: int) -> int:
        """Of the noise and dropout inside the network."""
        return int(np.random.SeedSequence((self.train.seed, step, self.process)).generate_state(1)[0])


class StepData(Dataset):
    """The batches of a training, by the number of the step."""

    def __init__(self, draw: Batches):
        self.draw = draw

    def __getitem__(self, step: int) -> Batch:
        return self.draw(step)


def batch_stream(draw: Batches, start: int) -> Iterator[Batch]:
    """The batches of step `start` and all that follow; with `train.workers` drawn ahead by as many processes."""
    if not draw.train.workers:
        return (draw(step) for step in count(start))
    # started anew, not forked: numba and OpenMP do not survive a fork. Batches travel as bytes: a process that is asked to
    # end while a thread of it copies a tensor into shared memory ends with "terminate called without an active exception"
    ahead = {"num_workers": draw.train.workers, "multiprocessing_context": "spawn", "prefetch_factor": 2}
    loader = DataLoader(StepData(draw), batch_size=None, sampler=count(start), collate_fn=pickle.dumps, **ahead)  # pyright: ignore[reportArgumentType]
    return map(pickle.loads, loader)


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    train: Train,
    rate: float,
    accelerator: Accelerator,
) -> Tensor:
    """One step on one batch at the given learning rate; returns the loss without waiting for it."""
    set_rate(optimizer, rate)
    batch = batch.to(accelerator.device)
    model.train()
    with bf16(accelerator.device, train.precision == "bf16"):
        asked = (batch.samples, batch.coords, batch.cell, batch.latents_at)
        loss = model(*asked, target=batch.target, measured=batch.measured, loss=train.loss)
    optimizer.zero_grad()
    accelerator.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), train.optimizer.clip)
    optimizer.step()
    return loss.detach()


def check_loss(model: FieldModel, train: Train) -> None:
    """Raises ConfigError for a loss that would leave a part of the head as it was born."""
    if train.loss is not None and model.config.head.kind in ("gaussian", "flow"):
        raise ConfigError(
            f"train.loss {train.loss!r} trains one value and never what head.kind {model.config.head.kind!r} adds; "
            "leave train.loss out (none): the head has its own"
        )


def build_accelerator() -> Accelerator:
    """Accelerate decides about devices and processes, and about nothing else: precision and batches are the recipe's,
    whatever its environment variables say. Raises ConfigError if an Accelerator that exists already says otherwise."""
    state = AcceleratorState._shared_state
    other = state.get("_mixed_precision", "no")
    if other != "no":
        raise ConfigError(
            f"an Accelerator with mixed_precision {other!r} exists in this process and would override train.precision; "
            "create it with mixed_precision='no', or train in a process of its own"
        )
    handlers = [InitProcessGroupKwargs(timeout=PATIENCE), DistributedDataParallelKwargs(find_unused_parameters=True)]
    whole = GradientAccumulationPlugin(num_steps=1)
    cpu = not torch.cuda.is_available()
    return Accelerator(cpu=cpu, mixed_precision="no", gradient_accumulation_plugin=whole, kwargs_handlers=handlers)


def compiled(model: nn.Module) -> nn.Module:
    """The same weights, compiled."""
    module = torch.compile(model)
    assert isinstance(module, nn.Module)
    return module


def trial(model: nn.Module, train: Train, draw: Callable[[int], Batch]) -> Callable[[int], float]:
    """A training step on a copy of the model: what is learned is thrown away."""
    copy, accelerator = deepcopy(model), build_accelerator()
    copy.to(accelerator.device)
    optimizer = build_optimizer(copy, train)
    trainee = compiled(copy) if train.compile else copy
    return lambda step: float(training_step(trainee, optimizer, draw(step), train, train.optimizer.lr, accelerator))
