"""A run folder on disk, and how an interrupted run goes on. Tensors as safetensors, the rest as JSON; never pickle."""

import json
import os
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from gridless.config.merging import ConfigError, difference
from gridless.model import FieldModel


class RunFolder:
    """runs/NAME: config.json, model.safetensors, README.md, run.json, metrics.jsonl, checkpoint/.

    A checkpoint is a folder written aside and renamed; tensors as safetensors, the rest as JSON.
    """

    def __init__(self, folder: str | Path, write: bool = True):
        self.folder, self.write = Path(folder), write
        self.folder.mkdir(parents=True, exist_ok=True)
        self.metrics = self.folder / "metrics.jsonl"

    def begin(self, facts: dict) -> None:
        """A new run: its facts, and nothing left of metrics."""
        if self.write:
            self._json("run.json", {**facts, "complete": False})
            self.metrics.write_text("")

    def log(self, record: dict) -> None:
        if self.write:
            with self.metrics.open("a") as file:
                file.write(json.dumps(record) + "\n")

    def checkpoint(self, step: int, model: nn.Module, optimizer, average, seconds: float) -> None:
        if not self.write:
            return
        aside = self.folder / f".checkpoint-{step}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, aside / "model.safetensors")
        moments = {
            f"{i}.{name}": value
            for i, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        save_file(moments, aside / "optimizer.safetensors")
        if average is not None:
            save_file({k: v.contiguous() for k, v in average.state_dict().items()}, aside / "average.safetensors")
        (aside / "state.json").write_text(json.dumps({"step": step, "train_seconds": round(seconds, 3)}))
        place = self.folder / f"checkpoint-{step}"
        shutil.rmtree(place, ignore_errors=True)
        aside.rename(place)
        for old in self.checkpoints()[:-1]:
            shutil.rmtree(old)

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, newest last."""
        return sorted(self.folder.glob("checkpoint-*"), key=lambda p: int(p.name.rsplit("-", 1)[1]))

    def resume(self, settings: dict, model: nn.Module, optimizer, average) -> tuple[int, dict]:
        """Load the newest checkpoint, if there is one: the step it stands at and the run's facts.

        Raises ConfigError if the folder holds a run with other settings.
        """
        facts_file = self.folder / "run.json"
        if not facts_file.is_file():
            return 0, {}
        facts = json.loads(facts_file.read_text())
        other = difference({name: facts.get(name) for name in settings}, settings)
        if other:
            raise ConfigError(f"{self.folder} holds a run with another {other}; give another folder, or remove it")
        if facts.get("complete"):
            self._tidy()
            model.load_state_dict(load_file(self.folder / "model.safetensors"))
            return facts["steps"], facts
        if not self.checkpoints():
            return 0, {"steps": facts["steps"]}
        newest = self.checkpoints()[-1]
        state = json.loads((newest / "state.json").read_text())
        model.load_state_dict(load_file(newest / "model.safetensors"))
        moments: dict[int, dict] = {}
        for key, value in load_file(newest / "optimizer.safetensors").items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        if average is not None:
            average.load_state_dict(load_file(newest / "average.safetensors"))
        self._cut_metrics(state["step"])
        return state["step"], facts | {"train_seconds": state["train_seconds"]}

    def finish(self, model: FieldModel, facts: dict) -> None:
        if self.write:
            model.save_pretrained(self.folder)
            self._json("run.json", {**facts, "complete": True})
            self._tidy()

    def _tidy(self) -> None:
        """Nothing of a finished run's way stays, also if it was killed while it finished."""
        if self.write:
            for old in [*self.checkpoints(), *self.folder.glob(".checkpoint-*"), *self.folder.glob(".saving-*")]:
                shutil.rmtree(old)

    def _cut_metrics(self, step: int) -> None:
        """Drop what was logged after the checkpoint, and a line that the kill cut short."""
        if not self.write:
            return
        kept = []
        for line in self.metrics.read_text().splitlines() if self.metrics.is_file() else []:
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (json.JSONDecodeError, KeyError):
                continue
        self._text("metrics.jsonl", "".join(kept))

    def _json(self, name: str, value: dict) -> None:
        self._text(name, json.dumps(value, indent=2) + "\n")

    def _text(self, name: str, text: str) -> None:
        aside = self.folder / f".{name}.part"
        aside.write_text(text)
        os.replace(aside, self.folder / name)
