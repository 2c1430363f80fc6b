"""fit(): one readable loop over Accelerate, and a run folder that survives a kill.

A step's batch, noise and dropout depend on (seed, step) alone, so there is no generator state to save: a resumed run
draws what the uninterrupted one would have drawn, and on the same machine with as many threads ends at the same bits.
Steps are counted over a model's life, so that training on draws what was not drawn before.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import broadcast_object_list

from gridless.config import Train
from gridless.config.errors import ConfigError
from gridless.config.merging import dump
from gridless.data.signals import Signal
from gridless.data.sources import Source, signals
from gridless.model import FieldModel
from gridless.protocols import Learned, Task
from gridless.scoring.evaluate import validation_scores
from gridless.training.adoption import adopt_data
from gridless.training.best import BestWeights
from gridless.training.checkpoints import RunFolder
from gridless.training.fingerprint import of_data, of_task
from gridless.training.locking import held
from gridless.training.optimiser import build_average, build_optimizer, learning_rate
from gridless.training.plan import Plan, State, steps_within
from gridless.training.profiling import write_profile
from gridless.training.progress import Progress, announce
from gridless.training.provenance import describe
from gridless.training.steps import Batches, batch_stream, build_accelerator, check_loss, training_step, trial

LOG_EVERY = 20
VALIDATED = 64  # signals


def fit(
    model: FieldModel,
    data: Sequence | Source,
    task: Task,
    steps: int | None = None,
    *,
    train: Train | None = None,
    folder: str | Path | None = None,
    validation: Sequence = (),
    quiet: bool = False,
    profile: bool = False,
) -> dict:
    """Train `model` in place on any sequence of arrays, tensors, Samples, pictures, paths or signals, and return the run's
    facts. Items are read when they are drawn.

    `steps` overrides `train.steps` and `train.seconds`. A model that was trained before is trained on, with batches that
    it has not seen, on a schedule of their own; `model.trained_steps` counts all its steps.

    With a `folder`, the run is written there (weights, metrics.jsonl, run.json, checkpoints) and an interrupted one goes
    on where its last checkpoint stands, bit for bit. There `steps` are those of the whole run: a finished run is returned
    as it is, and trained on if more are asked. `profile`: first write where the time of a step goes into the folder's
    profile.txt, measured on a copy.

    Raises ConfigError if the folder holds a run of another model, task, data or settings, or is written by another process;
    FloatingPointError if the loss is no number.
    """
    train = replace(train or Train(), **({} if steps is None else {"steps": steps, "seconds": None}))
    if train.steps is None and train.seconds is None:
        raise ConfigError("how long? give steps=…, or train.steps or train.seconds in the recipe")
    check_loss(model, train)
    if train.keep == "best" and not len(validation):
        raise ConfigError("train.keep 'best' needs fields that validate; leave some to them, or set it to 'last'")
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    with nullcontext() if folder is None else held(folder):
        return _fit(model, data, task, train, folder, validation, quiet, profile)


def _fit(
    model: FieldModel,
    data: Sequence | Source,
    task: Task,
    train: Train,
    folder: str | Path | None,
    validation: Sequence,
    quiet: bool,
    profile: bool,
) -> dict:
    channels = model.config.signal.channels
    data = signals(data, channels)
    validation = signals(validation, channels) if len(validation) else ()
    validation = validation if isinstance(validation, Source) else validation[:VALIDATED]
    adopt_data(model, data, task)
    accelerator = build_accelerator()
    main = accelerator.is_main_process
    quiet = quiet or not main
    trainee = accelerator.prepare(torch.compile(model) if train.compile else model)
    optimizer, average = build_optimizer(model, train), build_average(model, train)
    best = BestWeights(model) if train.keep == "best" else None
    draw = Batches(task, data, model.config.signal.windows, train, accelerator.process_index)
    settings = {"train": dump(train), "config": dump(model.config), "task": of_task(task), "data": of_data(data)}
    settings["processes"] = accelerator.num_processes
    run = RunFolder(folder, write=main) if folder is not None else None
    facts, state = run.resume(settings, model, optimizer, average, best) if run else ({}, None)
    accelerator.wait_for_everyone()  # nobody writes before all have read
    if facts and state is None:
        model.eval()
        return facts
    if profile and run and main:
        write_profile(trial(model, train, draw), run.folder / "profile.txt")
    if state is None:
        base = fit_base(model, data, quiet)
        average = build_average(model, train)  # that of a base which was fitted too
        base_seconds = base["base_seconds"]
        start = getattr(model, "trained_steps", 0)
        count = train.steps or steps_within(train.seconds - base_seconds, trial(model, train, draw))
        plan = Plan(begin=start, end=start + count, seconds=base_seconds)
        state = State(step=start, train_seconds=base_seconds, plan=broadcast_object_list([plan])[0])
        facts = {**describe(model, train.seed), "start": start, **base}
    facts |= {**settings, "steps": state.plan.end, "train_seconds": state.train_seconds}
    if main and best is not None and best.score == inf:
        facts["untrained"] = validation_scores(model, validation, task)
        best.offer(facts["untrained"], model, state.step)
    if run and state.step == state.plan.begin and state.plan.progress == 0:
        run.begin(facts, state, model, optimizer, average, best)

    batches = batch_stream(draw, state.step)
    losses, mark = [], time.perf_counter()
    with Progress(state.step, quiet) as progress:
        while state.step < state.plan.end:
            step, plan, spent = state.step + 1, state.plan, state.train_seconds
            rate = learning_rate(plan.at(step), train)
            torch.manual_seed(draw.seed(step))
            losses.append(training_step(trainee, optimizer, next(batches), train, rate, accelerator))
            model.trained_steps = step
            if average is not None:
                average.update_parameters(model)
            last = step == plan.end
            validates = len(validation) > 0 and (step % train.validate_every == 0 or last)
            replans = train.steps is None and plan.is_milestone(step)
            saves = run is not None and (step % train.checkpoint_every == 0 or last or replans)
            state = replace(state, step=step)
            if not (step % LOG_EVERY == 0 or last or validates or saves or replans):
                continue
            loss, losses = float(torch.stack(losses).mean()), []
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at step {step}; lower train.optimizer.lr or use fp32")
            spent += time.perf_counter() - mark
            speed = train.batch * accelerator.num_processes * (step - plan.begin) / max(1e-9, spent - plan.seconds)
            record = {"step": step, "loss": loss, "lr": rate, "seconds": round(spent, 3)}
            record["samples_per_second"] = round(speed, 1)
            progress.show(step, plan.end, record)
            if run:
                run.log(record)
            if main and validates:  # before the checkpoint: a kill between the two costs steps, and no line
                trained = model if average is None else average.module
                assert isinstance(trained, FieldModel)
                record = {"step": step} | validation_scores(trained, validation, task)
                if best is not None:
                    best.offer(record, trained, step)
                progress.note(record)
                if run:
                    run.log(record)
            accelerator.wait_for_everyone()
            if replans and train.seconds is not None:
                plan = broadcast_object_list([plan.replanned(step, spent, train.seconds)])[0]
            state = State(step=step, train_seconds=spent, plan=plan)
            if run and saves:
                run.checkpoint(state, model, optimizer, average, best)
            mark = time.perf_counter()
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    if best is not None:
        model.load_state_dict(best.model.state_dict())
        facts["kept_step"] = best.step
    model.eval()
    facts |= {"steps": state.plan.end, "train_seconds": round(state.train_seconds, 1)}
    if run:
        run.finish(model, facts)
    return facts


def fit_base(model: FieldModel, data: Sequence[Signal] | Source, quiet: bool) -> dict:
    """Fits a base that learns from data, unless it has; what it says of that, and the seconds that it took."""
    base = model.base
    if not isinstance(base, Learned) or not base.needs_fit:
        return {"base_seconds": 0.0}
    began = time.perf_counter()
    announce(f"fitting the base {model.base.name!r}", quiet)
    facts = base.fit(data) or {}
    return facts | {"base_seconds": round(time.perf_counter() - began, 1)}
