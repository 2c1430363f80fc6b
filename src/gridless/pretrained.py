"""Where a saved model lies: a folder, the package's own weights, or a Hub repository; and what its card says."""

from importlib.resources import files
from pathlib import Path

from huggingface_hub import hf_hub_download


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
