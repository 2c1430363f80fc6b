"""Models on disk: saved to a folder; loaded from a folder, from the package's own weights or from a Hub repository.

What a file says is not trusted. The tensors' names and shapes are read first, and a network that config.json describes
with more parts or larger ones than these is not built, so that a damaged or hostile file costs neither time nor memory.
"""

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlparse
from urllib.request import getproxies

import torch
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gridless.config.errors import ConfigError
from gridless.config.merging import dump, load_json
from gridless.files import replacing, write_json, write_text

REPOSITORY = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w.-]*")
REQUIRED = ("mean", "std")  # of a config's signal: with others than in training every answer is wrong
LARGEST = 2**20  # number in a config that describes no larger tensor
USUAL = 2**12  # … and one that is built at once
CONNECT = 3.0  # seconds that the Hub has to answer
ADVICE = "save the model again, or fetch its files anew"


class Described(Protocol):
    """A model whose config builds it again."""

    config: Any

    @property
    def name(self) -> str: ...
    def parameter_count(self) -> int: ...
    def state_dict(self) -> dict[str, Tensor]: ...


@runtime_checkable
class Adapting(Protocol):
    """A part of a model that changed since weights of it were saved."""

    def adapt_state(self, state: dict, prefix: str) -> None:
        """Gives saved weights the names and sizes of today, in place."""
        ...


def save(model: Described, folder: str | Path, *, card: str | None = None, dtype: torch.dtype | None = None) -> None:
    """config.json, model.safetensors and README.md (`card`), each whole or not at all.

    `dtype`: what floats are stored as, such as torch.float16 for half the bytes and three digits; a model that is loaded
    has its own type again. The steps that the model was trained for are kept with its weights.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(dtype=dtype if v.is_floating_point() else None) for k, v in model.state_dict().items()}
    steps = {"trained_steps": str(getattr(model, "trained_steps", 0))}
    write_tensors(folder / "model.safetensors", state, steps)
    write_json(folder / "config.json", dump(model.config))
    write_text(folder / "README.md", card or default_card(model.name, model.parameter_count()))


def load(
    cls: type,
    name: str | Path,
    device: str | torch.device = "cpu",
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Any:
    """The model of class `cls` in a folder, by a name that ships with the package, or of a Hub repository (owner/name; the
    last three arguments are the Hub's: a branch, tag or commit, an access token, and whether to do without the network).
    Ready to answer (`eval`).

    Raises ValueError, naming the file, where one is missing, damaged, or does not fit the others; OSError where the Hub
    cannot be asked.
    """
    hub = {"revision": revision, "token": token, "local_files_only": local_files_only}
    described, weights = file_of(name, "config.json", **hub), file_of(name, "model.safetensors", **hub)
    config = load_json(described)
    shapes, about = tensor_header(weights)
    model = _built(cls, config, described, shapes, weights)
    load_weights(model, weights)
    steps = about.get("trained_steps", "0")
    model.trained_steps = int(steps) if steps.isdecimal() else 0
    return model.to(device).eval()


def load_weights(model: nn.Module, path: Path, remedy: str = ADVICE) -> None:
    """The weights in a safetensors file. ValueError, naming the file, what is wrong and the `remedy`, if they are others
    than the model's, or a number is infinite or none."""
    stored, _ = tensor_header(path, remedy)
    state = read_tensors(path, stored, remedy)
    for name, part in model.named_modules():
        if isinstance(part, Adapting):  # a part whose buffers had other names, or take the sizes that were saved
            part.adapt_state(state, f"{name}." if name else "")
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    _compare(path, {name: tuple(value.shape) for name, value in state.items()}, expected, remedy)
    model.load_state_dict(state)


def default_card(name: str, parameters: int) -> str:
    return (
        f"---\nlibrary_name: gridless\ntags: [neural-field]\n---\n\n# {name}\n\n"
        f"A gridless field model with {parameters:,} parameters. `config.json` says what it is made of.\n\n"
        '```python\nimport gridless as gl\n\nmodel = gl.FieldModel.from_pretrained("this folder")\n```\n'
    )


def file_of(
    name: str | Path,
    file: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Path:
    """One of a model's files; from the Hub it is fetched. Raises ValueError where there is none."""
    for folder in (Path(name), Path(str(files("gridless").joinpath("weights", str(name))))):
        if folder.is_dir():
            if not folder.joinpath(file).is_file():
                raise ValueError(
                    f"{folder} holds no {file}; expected a folder written by save_pretrained or `gridless train`"
                )
            return folder / file
    text = str(name)
    if not REPOSITORY.fullmatch(text) or text.startswith("runs/") or Path(text).parent.is_dir():
        raise ValueError(
            f"no model at {text!r}: expected a folder with config.json, a name that ships, or a Hub repository owner/name"
        )
    alone = local_files_only or constants.HF_HUB_OFFLINE or not _hub_answers()
    try:
        return Path(hf_hub_download(text, file, revision=revision, token=token, local_files_only=alone))
    except HFValidationError as error:
        raise ValueError(f"{text!r} is no folder and no name of a Hub repository ({error})") from None
    except (HfHubHTTPError, OSError) as error:
        reason = "the Hub cannot be reached, and it is not in the cache" if alone else str(error).split("\n")[0]
        raise OSError(f"{file} of the Hub repository {text!r} could not be fetched: {reason}") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    """A safetensors file, whole or not at all. ValueError if a number is infinite or none."""
    for name, tensor in tensors.items():
        if not _finite(tensor):
            raise ValueError(f"{path}: {name} holds numbers that are not finite in {tensor.dtype}; it is not written")
    with replacing(path) as part:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()}, part, {"format": "pt", **(about or {})}
        )
        _order_about(part)


def _order_about(path: Path) -> None:
    """The same tensors are the same file to the bit: safetensors writes what is said about them in no certain order."""
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size))


def tensor_header(path: Path, remedy: str = ADVICE) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Names and shapes of a file's tensors, and what was written about them; no tensor is read."""
    with _readable(path, remedy), safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]], remedy: str = ADVICE) -> dict[str, Tensor]:
    """The tensors of a safetensors file. ValueError, naming the file, what is wrong and the `remedy`, if it is damaged,
    holds other names or shapes than `shapes`, or a number that is infinite or none."""
    stored, _ = tensor_header(path, remedy)
    _compare(path, stored, shapes, remedy)
    with _readable(path, remedy), safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in stored}
    for name, tensor in tensors.items():
        if not _finite(tensor):
            raise ValueError(f"{path}: {name} holds numbers that are not finite; {remedy}")
    return tensors


def _compare(path: Path, stored: Mapping[str, tuple], expected: Mapping[str, tuple], remedy: str) -> None:
    complaints = [
        *_listed("lacks", [name for name in expected if name not in stored]),
        *_listed("has beside them", [name for name in stored if name not in expected]),
        *_listed(
            "has in another shape",
            [f"{k} {stored[k]}, not {v}" for k, v in expected.items() if k in stored and stored[k] != tuple(v)],
        ),
    ]
    if complaints:
        complaint = " ".join("; it ".join(complaints).split())  # names are a file's and may hold anything
        raise ValueError(f"{path} does not hold the weights that are asked for: it {complaint}; {remedy}")


def _listed(what: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"{what} {', '.join(names[:3])}{more}"] if names else []


def _finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    return all(bool(extreme.isfinite()) for extreme in tensor.aminmax())  # which are none if any number is


@contextmanager
def _readable(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # safetensors has errors of its own, and torch of others for types that it does not know
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: expected a safetensors file ({reason}); {remedy}") from None


def _built(cls: type, config: dict, described: Path, shapes: Mapping[str, tuple], weights: Path) -> Any:
    """The model of the config. Raises ConfigError unless it says what answers need and has no more parts, or larger ones,
    than the tensors of the file. Where a number is unusually large, it is built without memory first: rarely, because
    torch takes two seconds to get ready for it."""
    signal = config.get("signal")
    missing = [key for key in REQUIRED if not isinstance(signal, dict) or key not in signal]
    if missing:
        keys = " and ".join(f"signal.{key}" for key in missing)
        raise ConfigError(f"{described} does not say {keys}, without which every answer is wrong; {ADVICE}")
    side = max((n for shape in shapes.values() for n in shape), default=0)
    path, number = max(_whole_numbers(config), key=lambda entry: abs(entry[1]), default=("", 0))
    if abs(number) > max(side, LARGEST):
        raise ConfigError(f"{described}: {path} is {number}, and no tensor of {weights.name} is so large; {ADVICE}")
    try:
        with _no_larger_than(shapes):
            if abs(number) > max(side, USUAL):
                with torch.device("meta"):
                    cls(config)
            return cls(config)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{described} describes no model of these weights: {reason}; {ADVICE}") from None


def _whole_numbers(table: Any, path: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(table, dict | list):
        for key, value in table.items() if isinstance(table, dict) else enumerate(table):
            yield from _whole_numbers(value, f"{path}.{key}".strip("."))
    elif isinstance(table, int):
        yield path, table


@contextmanager
def _no_larger_than(shapes: Mapping[str, tuple]) -> Iterator[None]:
    """Ends a construction in this thread that makes many more parameters than these tensors, or larger ones."""
    thread, made, numbers = threading.get_ident(), 0, sum(prod(shape) for shape in shapes.values())

    def register(module: nn.Module, name: str, parameter: Tensor) -> None:
        nonlocal made
        made += threading.get_ident() == thread
        if made > 2 * len(shapes) + 100 or (parameter is not None and parameter.numel() > 4 * numbers + 1000):
            raise ValueError("it has more parts, or larger ones, than there are numbers")

    hook = register_module_parameter_registration_hook(register)
    try:
        yield
    finally:
        hook.remove()


def _hub_answers() -> bool:
    """Whether the Hub is there at all, since its client tries for half a minute. Behind a proxy only the client can tell."""
    address = urlparse(constants.ENDPOINT)
    if getproxies():
        return True
    try:
        socket.create_connection((address.hostname, address.port or 443), CONNECT).close()
    except OSError:
        return False
    return True
