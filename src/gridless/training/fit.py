"""fit(): one readable loop over Accelerate, and a run folder that survives a kill.

A step's batch, noise and dropout depend on (seed, step) alone, so there is no generator state to save: a resumed run
draws what the uninterrupted one would have drawn, and on the same machine with as many threads ends at the same bits.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from gridless.bases import Modes, enough_fields, fit_modes
from gridless.config import Train
from gridless.config.merging import dump
from gridless.data.waves import WaveSource
from gridless.model import FieldModel
from gridless.tasks import Batch, SparseField, Task
from gridless.training.checkpoints import RunFolder
from gridless.training.profiling import write_profile
from gridless.training.progress import Progress, announce
from gridless.training.provenance import describe

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}
LOG_EVERY = 20
VALIDATED = 64
CALIBRATION = 24  # timed steps that turn a budget in seconds into steps


def fit(
    model: FieldModel,
    data: Sequence | WaveSource,
    task: Task,
    steps: int | None = None,
    *,
    train: Train | None = None,
    folder: str | Path | None = None,
    validation: Sequence | WaveSource = (),
    quiet: bool = False,
    profile: bool = False,
) -> dict:
    """Train `model` in place on pictures (`Photo`s or uint8 arrays) or waves and return the run's facts.

    With a `folder`, the run is written there (weights, metrics.jsonl, run.json, checkpoint/) and an interrupted one
    goes on where its last checkpoint stands. `steps` overrides `train.steps` and `train.seconds`. `profile`: first write
    where the time of a step goes into the folder's profile.txt, measured on a copy.
    """
    train = replace(train or Train(), **({"steps": steps, "seconds": None} if steps else {}))
    if train.steps is None and train.seconds is None:
        raise ValueError("how long? give steps=…, or train.steps or train.seconds in the recipe")
    data = task.prepared(data)
    accelerator = build_accelerator()
    main = accelerator.is_main_process
    trainee = accelerator.prepare(torch.compile(model) if train.compile else model)
    optimizer = build_optimizer(model, train)
    average = build_average(model, train)
    settings = {"train": dump(train), "config": dump(model.config)}
    run = RunFolder(folder, write=main) if folder is not None else None
    done, facts = run.resume(settings, model, optimizer, average) if run else (0, {})
    if facts.get("complete"):
        model.eval()
        return facts
    fits = isinstance(model.base, Modes) and not model.base.fitted  # a run that goes on has its own
    if fits:
        announce(f"fitting the base, {model.config.base.clusters} clusters", quiet or not main)
        facts |= fit_modes(model.base, data.first(enough_fields(model.base, len(data))))
        average = build_average(model, train)

    size, share = model.config.signal.window, accelerator.process_index
    draw = lambda step: task.draw(  # noqa: E731
        data, np.random.default_rng((train.seed, step, share)), size, train.batch, train.queries
    )
    if profile and run and main:
        write_profile(trial(model, train, draw), run.folder / "profile.txt")
    total = facts.get("steps") or train.steps or calibrated(model, train, draw)
    total = broadcast_object_list([total])[0]  # every process has measured its own time
    facts = {**describe(model, train.seed), **settings} | facts | {"steps": total}
    if run and not done:
        run.begin(facts)
        if fits:
            run.checkpoint(0, model, optimizer, average, 0.0)
    spent, losses, mark = facts.get("train_seconds", 0.0), [], time.perf_counter()
    with Progress(total, done, quiet or not main) as progress:
        for step in range(done + 1, total + 1):
            rate = learning_rate(step - 1, total, train)
            torch.manual_seed(int(np.random.SeedSequence((train.seed, step, share)).generate_state(1)[0]))
            losses.append(training_step(trainee, optimizer, draw(step - 1), train, rate, accelerator))
            if average is not None:
                average.update_parameters(model)
            validates = len(validation) > 0 and (step % train.validate_every == 0 or step == total)
            saves = run is not None and (step % train.checkpoint_every == 0 or step == total)
            if not (step % LOG_EVERY == 0 or step == total or validates or saves):
                continue
            loss, losses = float(torch.stack(losses).mean()), []
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at step {step}; lower train.optimizer.lr or use fp32")
            spent += time.perf_counter() - mark
            speed = round(train.batch * accelerator.num_processes * step / spent, 1)
            record = {"step": step, "loss": loss, "lr": rate, "seconds": round(spent, 3), "samples_per_second": speed}
            progress.show(step, record)
            if run:
                run.log(record)
            if saves:
                run.checkpoint(step, model, optimizer, average, spent)
            if main and validates:
                record = {"step": step} | validate(model if average is None else average.module, validation, task)
                progress.note(record)
                if run:
                    run.log(record)
            mark = time.perf_counter()
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    model.eval()
    facts["train_seconds"] = round(spent, 1)
    if run:
        run.finish(model, facts)
    return facts


def training_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, train: Train, rate: float, accelerator
) -> torch.Tensor:
    """One step on one batch at the given learning rate; returns the loss without waiting for it."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    batch = batch.to(accelerator.device)
    model.train()
    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=autocasts(train, accelerator.device)):
        if train.loss == "head":
            loss = model(batch.samples, batch.coords, batch.cell, target=batch.target)
        else:
            answer = model(batch.samples, batch.coords, batch.cell, batch.latents_at)
            loss = LOSSES[train.loss](answer.float(), batch.target)
    optimizer.zero_grad()
    accelerator.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), train.optimizer.clip)
    optimizer.step()
    return loss.detach()


def autocasts(train: Train, device: torch.device) -> bool:
    """bf16 where the recipe asks for it and the machine computes in it; emulated, it would be slower than fp32."""
    if train.precision != "bf16":
        return False
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()


def build_accelerator() -> Accelerator:
    """Accelerate decides about devices and processes."""
    return Accelerator(cpu=not torch.cuda.is_available())


def learning_rate(step: int, total: int, train: Train) -> float:
    """Linear warm-up from a first step above zero, then a half cosine down to floor · lr."""
    o, warm = train.optimizer, max(1, round(train.optimizer.warmup * total))
    if step < warm:
        return o.lr * (step + 1) / warm
    along = (step - warm) / max(1, total - 1 - warm)
    return o.lr * (o.floor + (1 - o.floor) * 0.5 * (1 + cos(pi * min(1.0, along))))


def build_optimizer(model: FieldModel, train: Train) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only: not on biases, norms, tokens, tables, frequencies and the scan's A and D."""
    matrices = ("weight", "x_proj", "dt_proj")
    decayed = [
        p
        for name, p in model.named_parameters()
        if p.ndim >= 2 and name.rsplit(".", 1)[-1] in matrices and ".wave." not in name
    ]
    chosen = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": train.optimizer.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=train.optimizer.lr, betas=(0.9, 0.99), fused=True)


def build_average(model: FieldModel, train: Train) -> torch.optim.swa_utils.AveragedModel | None:
    """The exponential moving average of the weights, if the recipe asks for one."""
    if train.optimizer.ema is None:
        return None
    return torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=ExponentialAverage(train.optimizer.ema))


class ExponentialAverage:
    """One step of the average: decay min(decay, (1 + n) / (10 + n)) after n steps, so that it forgets its start."""

    def __init__(self, decay: float):
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averages: list[torch.Tensor], current: list[torch.Tensor], averaged: torch.Tensor) -> None:
        count = float(averaged)
        decay = min(self.decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(averages, current, 1 - decay)


def trial(model: FieldModel, train: Train, draw):
    """A training step on a copy of the model: what is learned is thrown away."""
    copy, accelerator = deepcopy(model), build_accelerator()
    copy.to(accelerator.device)
    optimizer = build_optimizer(copy, train)
    trainee = torch.compile(copy) if train.compile else copy
    return lambda step: float(training_step(trainee, optimizer, draw(step), train, train.optimizer.lr, accelerator))


def calibrated(model: FieldModel, train: Train, draw) -> int:
    """How many steps fit into train.seconds."""
    step, times = trial(model, train, draw), []
    for number in range(4 + CALIBRATION):
        start = time.perf_counter()
        step(number)
        times.append(time.perf_counter() - start)
    return max(10, int(train.seconds / float(np.median(times[4:]))))


def validate(model: FieldModel, photos: Sequence, task: Task) -> dict:
    """Mean PSNR and mean gain over the base on the middle 192² of the first VALIDATED validation pictures, or the PSNR of
    validation fields."""
    from gridless.bases import Interpolation
    from gridless.scoring.metrics import psnr_rgb

    model.eval()
    if isinstance(task, SparseField):
        from gridless.scoring.field_scores import validation

        return validation(model, photos, task)
    device = next(model.parameters()).device
    scores: dict[str, list[float]] = {}
    for photo in photos[:VALIDATED]:
        top, left = (max(0, (n - 192) // 2) for n in photo.shape[:2])
        middle = replace(photo, pixels=photo.pixels[top : top + 192, left : left + 192], alpha=None)
        for case in task.cases(middle):
            samples, truth = case.samples(), case.truth / 255
            score = psnr_rgb(model.encode(samples.to(device)).to_image(shape=case.shape).cpu().numpy(), truth)
            scores.setdefault("val_psnr", []).append(score)
            if case.scale != 1:
                base = psnr_rgb(Interpolation("bicubic").encode(samples).to_image(shape=case.shape).numpy(), truth)
                scores.setdefault(f"val_gain_x{case.scale:g}", []).append(score - base)
    return {k: round(float(np.mean(v)), 4) for k, v in scores.items()}
