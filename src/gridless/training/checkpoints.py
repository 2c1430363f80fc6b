"""A run folder on disk, and how an interrupted run goes on. Tensors as safetensors, the rest as JSON; never pickle."""

import shutil
from dataclasses import replace
from math import inf
from pathlib import Path

import torch
from torch import nn

from gridless.config.errors import ConfigError
from gridless.config.merging import build, difference, dump, load_json
from gridless.files import (
    append_json,
    json_line,
    parse_json,
    remove_leftovers,
    replacing_folder,
    to_disk,
    write_json,
    write_text,
)
from gridless.model import FieldModel
from gridless.training.best import BestWeights
from gridless.training.optimiser import moment_shapes
from gridless.training.plan import Plan, State
from gridless.weights.pretrained import load_weights, read_tensors, save, tensor_header, write_tensors

FACTS = {"complete": bool, "start": int, "steps": int, "train_seconds": (int, float), "train": dict}


class RunFolder:
    """runs/NAME: config.json, model.safetensors, README.md, run.json, metrics.jsonl, and checkpoint-STEP while it trains.

    `write`: False for the processes of a distributed training that only read.
    """

    def __init__(self, folder: str | Path, write: bool = True):
        self.folder, self.write = Path(folder), write
        self.folder.mkdir(parents=True, exist_ok=True)
        self.metrics = self.folder / "metrics.jsonl"

    def begin(self, facts: dict, state: State, model: nn.Module, optimizer, average, best=None) -> None:
        """A new run, or a finished one that goes on: its first checkpoint, then its facts. The other way round, a kill in
        between would lose a finished run's weights."""
        if self.write:
            if state.step == facts["start"]:
                write_text(self.metrics, "")
            self.checkpoint(state, model, optimizer, average, best)
            write_json(self.folder / "run.json", {**facts, "complete": False})

    def log(self, record: dict) -> None:
        if self.write:
            append_json(self.metrics, record)

    def checkpoint(
        self, state: State, model: nn.Module, optimizer: torch.optim.Optimizer, average, best: BestWeights | None = None
    ) -> None:
        if not self.write:
            return
        moments = {
            f"{i}.{name}": value
            for i, moment in optimizer.state_dict()["state"].items()
            for name, value in moment.items()
        }
        to_disk(self.metrics)  # what is logged up to this step is not lost when the checkpoint is there
        with replacing_folder(self.folder / f"checkpoint-{state.step}") as part:
            write_tensors(part / "model.safetensors", model.state_dict())
            write_tensors(part / "optimizer.safetensors", moments)
            if average is not None:
                write_tensors(part / "average.safetensors", average.state_dict())
            if best is not None:
                write_tensors(part / "best.safetensors", best.model.state_dict())
                known = None if best.score == inf else best.score
                state = replace(state, best_score=known, best_step=best.step)
            write_json(part / "state.json", dump(state))
        for old in self.checkpoints()[:-1]:
            shutil.rmtree(old)

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, newest last."""
        numbered = [p for p in self.folder.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdecimal()]
        return sorted(numbered, key=lambda p: int(p.name.removeprefix("checkpoint-")))

    def resume(
        self,
        settings: dict,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average,
        best: BestWeights | None = None,
    ) -> tuple[dict, State | None]:
        """The facts of the run in the folder (none: empty) and where it stands, with its weights in the model. None: it
        has not begun, or it is complete.

        A complete run of which more steps are asked stands at its end, at the beginning of a schedule of its own: its
        weights are the final ones, the optimiser's moments and the learning rate start afresh.
        Raises ConfigError if the folder holds a run with other settings, ValueError naming a damaged file.
        """
        if not (self.folder / "run.json").is_file():
            return {}, None
        facts, asked = self._facts(), settings["train"]["steps"]
        trained = facts["train"].get("steps")
        more = facts["complete"] and isinstance(trained, int) and asked is not None and asked > trained
        if more:
            facts["train"] = {**facts["train"], "steps": asked}
        other = difference({name: facts.get(name) for name in settings}, settings)
        if other:
            raise ConfigError(f"{self.folder} holds a run with another {other}; give another folder, or remove it")
        if facts["complete"]:
            self._tidy()
            load_weights(model, self.folder / "model.safetensors")
            model.trained_steps = facts["steps"]
            plan = (
                Plan(begin=facts["steps"], end=facts["start"] + asked, seconds=facts["train_seconds"]) if more else None
            )
            return facts, plan and State(step=plan.begin, train_seconds=plan.seconds, plan=plan)
        if not self.checkpoints():
            return {}, None
        state = self._restore(self.checkpoints()[-1], model, optimizer, average, best)
        self._cut_metrics(state.step)
        return facts, state

    def finish(self, model: FieldModel, facts: dict) -> None:
        if self.write:
            save(model, self.folder)
            write_json(self.folder / "run.json", {**facts, "complete": True})
            self._tidy()

    def _facts(self) -> dict:
        file = self.folder / "run.json"
        facts = load_json(file)
        wrong = [name for name, kind in FACTS.items() if not isinstance(facts.get(name), kind)]
        if wrong:
            raise ConfigError(f"{file} does not say {', '.join(wrong)}; remove {self.folder} and train again")
        return facts

    def _restore(
        self, checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average, best: BestWeights | None
    ) -> State:
        remedy = f"remove {checkpoint} and the run begins anew"
        file = checkpoint / "state.json"
        try:
            state = build(State, load_json(file), str(file))
        except ConfigError as error:
            raise ConfigError(f"{error}; {remedy}") from None
        if not state.plan.begin <= state.step <= state.plan.end:
            raise ConfigError(f"{file}: step {state.step} is not within its plan; {remedy}")
        moments = _moments(checkpoint / "optimizer.safetensors", optimizer, remedy)
        load_weights(model, checkpoint / "model.safetensors", remedy)
        if average is not None:
            load_weights(average, checkpoint / "average.safetensors", remedy)
        if best is not None and state.best_score is not None:
            load_weights(best.model, checkpoint / "best.safetensors", remedy)
            best.score, best.step = state.best_score, state.best_step
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        return state

    def _tidy(self) -> None:
        """Nothing of a finished run's way stays, also if it was killed while it finished."""
        if self.write:
            for old in self.checkpoints():
                shutil.rmtree(old)
            remove_leftovers(self.folder)

    def _cut_metrics(self, step: int) -> None:
        """Drop what was logged after the checkpoint, a line that the kill cut short, and whatever is no record."""
        if not self.write:
            return
        kept = []
        text = self.metrics.read_text(encoding="utf-8", errors="replace") if self.metrics.is_file() else ""
        for line in text.splitlines():
            try:
                record = parse_json(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int) and record["step"] <= step:
                kept.append(json_line(record) + "\n")
        write_text(self.metrics, "".join(kept))


def _moments(file: Path, optimizer: torch.optim.Optimizer, remedy: str) -> dict[int, dict[str, torch.Tensor]]:
    """What the optimiser keeps of every parameter that has had a gradient."""
    stored = {name.split(".", 1)[0] for name in tensor_header(file, remedy)[0]}
    shapes = {
        f"{i}.{name}": shape
        for i, each in enumerate(moment_shapes(optimizer))
        if str(i) in stored
        for name, shape in each.items()
    }
    moments: dict[int, dict] = {}
    for key, value in read_tensors(file, shapes, remedy).items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = value
    return moments
