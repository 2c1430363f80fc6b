"""AdamW, and Muon for matrices if the recipe asks for it; the rate along the schedule; the moving average of the weights.

Muon: Jordan et al. 2024; scaled to the root mean square of AdamW's steps (Liu et al. 2025, arXiv 2502.16982).
"""

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


SPECTRUM = 16  # rows and columns from which on a matrix has a spectrum worth levelling


def build_optimizer(model: nn.Module, train: Train) -> torch.optim.Optimizer:
    """AdamW, with `muon` for matrices beside it; weight decay on matrices only: not on biases, norms, tokens, tables,
    frequencies and the scan's A and D."""
    decay, muon = train.optimizer.weight_decay, train.optimizer.muon
    decayed = [
        p
        for name, p in model.named_parameters()
        if p.ndim >= 2 and name.rsplit(".", 1)[-1] in MATRICES and ".wave." not in name
    ]
    levelled = [p for p in decayed if muon and p.ndim == 2 and min(p.shape) >= SPECTRUM]
    chosen, apart = {id(p) for p in decayed}, {id(p) for p in levelled}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [
        {"params": [p for p in decayed if id(p) not in apart], "weight_decay": decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=train.optimizer.lr, betas=(0.9, 0.99), fused=True)
    if not levelled:
        return adamw
    return WithMuon(adamw, torch.optim.Muon(levelled, weight_decay=decay, adjust_lr_fn="match_rms_adamw"), muon or 1.0)


class WithMuon(torch.optim.Optimizer):
    """AdamW for some parameters and Muon for others, as one optimiser. Muon's groups say by what `multiple` of the rate
    they learn."""

    def __init__(self, adamw: torch.optim.AdamW, muon: torch.optim.Muon, multiple: float):
        self.parts = (adamw, muon)
        for group in muon.param_groups:
            group["multiple"] = multiple
        super().__init__([*adamw.param_groups, *muon.param_groups], {})
        self._share()

    def _share(self) -> None:
        """The parts step on the groups and moments of the whole."""
        count = len(self.parts[0].param_groups)
        for part, groups in zip(self.parts, (self.param_groups[:count], self.param_groups[count:]), strict=True):
            part.param_groups, part.state = groups, self.state

    def load_state_dict(self, state_dict: dict) -> None:
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for part in self.parts:
            part.step()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("multiple", 1.0)


def moment_shapes(optimizer: torch.optim.Optimizer) -> list[dict[str, tuple[int, ...]]]:
    """What is kept of every parameter that has had a gradient, in the order of the groups."""
    shapes = []
    for group in optimizer.param_groups:
        for p in group["params"]:
            size = tuple(p.shape)
            adamw = {"step": (), "exp_avg": size, "exp_avg_sq": size}
            shapes.append({"momentum_buffer": size} if "ns_steps" in group else adamw)
    return shapes


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
