"""From a recipe to its data, and from a run folder to its model."""

from collections.abc import Sequence
from pathlib import Path

import torch

from gridless import config as c
from gridless.config.errors import ConfigError
from gridless.config.merging import build, load_json
from gridless.data import cifar10, folder, photos
from gridless.data.archive_splits import split_archive
from gridless.data.flows import flow_films
from gridless.data.prior import FieldPrior
from gridless.data.signals import Signal
from gridless.data.sources import signals
from gridless.data.volume_splits import split_volumes
from gridless.data.waves import WaveSource
from gridless.model import FieldModel

SPLITS = ("train", "val", "test")


def load_data(data: c.AnyData, split: str, each: int = 64) -> Sequence[Signal]:
    """The signals of a split: train, val or test. A folder of pictures without these inside is a test set. `each`: fixed
    fields of every family of waves."""
    if split not in SPLITS:
        raise ConfigError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    match data.kind:
        case "waves":
            return WaveSource(data.families, split, data.fields if split == "train" else None, each)
        case "prior":
            return FieldPrior(data.kinds, split, data.each)
        case "flows":
            return flow_films(data, split)
        case "volumes":
            return split_volumes(data, split)
        case "archive":
            steps = split_archive(data, split)
            return signals(steps) if len(steps) else ()
        case "photos":
            pictures = photos(split)
        case "folder":
            pictures = folder(_split_folder(data.path, split), recursive=True)
        case "cifar10":
            if data.path is None:
                raise ConfigError("data.kind 'cifar10' needs data.path (--data DIR), a directory with its batches")
            pictures = cifar10(data.path, split)
    return signals(pictures if split == "train" or data.held_out is None else pictures[: data.held_out])


def load_run(run: str | Path) -> tuple[FieldModel, c.Recipe, dict]:
    """A run folder's model, recipe and facts."""
    run = Path(run)
    if not run.is_dir():
        raise ConfigError(f"no run at {run}; expected a folder written by `gridless train`")
    if not (run / "run.json").is_file():
        raise ConfigError(f"{run} holds no run.json; expected a folder written by `gridless train`")
    facts = load_json(run / "run.json")
    if not facts.get("complete"):
        raise ConfigError(f"{run} is not finished; `gridless train` with the same flags goes on with it")
    return FieldModel.from_pretrained(run, device()), build(c.Recipe, load_json(run / "recipe.json"), "recipe"), facts


def device() -> str:
    """Where answers are computed: a GPU if torch sees one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _split_folder(path: str | None, split: str) -> Path:
    if path is None:
        raise ConfigError("data.kind 'folder' needs data.path, a directory of pictures")
    root = Path(path)
    if (root / split).is_dir():
        return root / split
    if split != "test" or any((root / other).is_dir() for other in ("train", "val")):
        raise ConfigError(f"{root} has no folder {split}; training takes one with train, val and test inside")
    return root
