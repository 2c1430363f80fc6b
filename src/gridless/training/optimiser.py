"""AdamW, its learning rate along the schedule, and the moving average of the weights."""

from math import cos, pi

import torch
from torch import nn

from gridless.config import Train

MATRICES = ("weight", "in_proj_weight", "x_proj", "dt_proj", "base")  # `base`: the shared factor of a written layer


def learning_rate(progress: float, train: Train) -> float:
    """The rate of the step with which `progress` (0 … 1) of the schedule is done: a linear rise from above zero, then a
    half cosine down to floor · lr."""
    o = train.optimizer
    if progress < o.warmup:
        return o.lr * progress / o.warmup
    along = (progress - o.warmup) / (1 - o.warmup)
    return o.lr * (o.floor + (1 - o.floor) * 0.5 * (1 + cos(pi * min(1.0, along))))


def build_optimizer(model: nn.Module, train: Train) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only: not on biases, norms, tokens, tables, frequencies and the scan's A and D."""
    decayed = [
        p
        for name, p in model.named_parameters()
        if p.ndim >= 2 and name.rsplit(".", 1)[-1] in MATRICES and ".wave." not in name
    ]
    chosen = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": train.optimizer.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=train.optimizer.lr, betas=(0.9, 0.99), fused=True)


def build_average(model: nn.Module, train: Train) -> torch.optim.swa_utils.AveragedModel | None:
    """The exponential moving average of the weights, if the recipe asks for one."""
    if train.optimizer.ema is None:
        return None
    return torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=ExponentialAverage(train.optimizer.ema))


Weights = tuple[torch.Tensor, ...] | list[torch.Tensor]


class ExponentialAverage:
    """One step of the average: decay min(decay, (1 + n) / (10 + n)) after n steps, so that it forgets its start."""

    def __init__(self, decay: float):
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averages: Weights, current: Weights, averaged: torch.Tensor | int) -> None:
        count = float(averaged)
        decay = min(self.decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(averages, current, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]  no public one
