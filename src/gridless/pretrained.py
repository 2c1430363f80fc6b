"""A model on disk: config.json, model.safetensors and README.md in a folder, in the package, or in a Hub repository."""

import json
import os
import tempfile
from importlib.resources import files
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from gridless.config.merging import dump, load_json

FILES = ("config.json", "model.safetensors", "README.md")


def save(model: nn.Module, folder: str | Path, card: str | None, dtype: torch.dtype | None) -> None:
    """Each file is written aside and renamed."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as name:
        aside = Path(name)
        aside.joinpath("config.json").write_text(json.dumps(dump(model.config), indent=2) + "\n", encoding="utf-8")
        stored = {
            k: v.to(dtype=dtype if v.is_floating_point() else None).contiguous() for k, v in model.state_dict().items()
        }
        save_file(stored, aside / "model.safetensors")
        text = card or default_card(model.name, model.parameter_count())
        aside.joinpath("README.md").write_text(text, encoding="utf-8")
        for file in FILES:
            os.replace(aside / file, folder / file)


def load(kind: type, name: str | Path) -> nn.Module:
    """The model of this `kind` that was saved there."""
    model = kind(load_json(file_of(name, "config.json")))
    weights = file_of(name, "model.safetensors")
    try:
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{weights} does not hold the weights of its config.json: {reason}") from error
    return model


def default_card(name: str, parameters: int) -> str:
    return (
        f"---\nlibrary_name: gridless\ntags: [neural-field]\n---\n\n# {name}\n\n"
        f"A gridless field model with {parameters:,} parameters. `config.json` says what it is made of.\n\n"
        '```python\nimport gridless as gl\n\nmodel = gl.FieldModel.from_pretrained("this folder")\n```\n'
    )


def file_of(name: str | Path, file: str) -> Path:
    """One of a model's files; from the Hub it is fetched. Raises ValueError where there is none."""
    for folder in (Path(name), Path(str(files("gridless").joinpath("weights", str(name))))):
        if folder.is_dir():
            if not folder.joinpath(file).is_file():
                raise ValueError(
                    f"{folder} holds no {file}; expected a folder written by save_pretrained or `gridless train`"
                )
            return folder / file
    if str(name).count("/") != 1 or str(name).startswith((".", "/", "~", "runs/")) or Path(name).parent.is_dir():
        raise ValueError(
            f"no model at {str(name)!r}: expected a folder with config.json, a name that ships, or a Hub repository"
        )
    return Path(hf_hub_download(str(name), file))
