"""What a run was trained on, in a few words and a hash: enough to tell that a run folder belongs to other data."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

LOOKED_AT = 2**16  # numbers of an array, evenly spread
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def of_task(task: Any) -> dict:
    """Its kind and options, as JSON has them."""
    return {"kind": type(task).__name__, **{name: _plain(value) for name, value in _parts(task).items()}}


def of_data(data: Any) -> dict:
    """Kind, number, and a hash of the first two and the last two items, however many there are; other items are not read."""
    kind, count = type(data).__name__, len(data) if hasattr(data, "__len__") else None
    if count is None or not hasattr(data, "__getitem__"):
        return {"kind": kind, "items": count, "hash": _hash(data)}
    return {
        "kind": kind,
        "items": count,
        "hash": _hash([data[i] for i in sorted({*range(count)[:2], *range(count)[-2:]})]),
    }


def _hash(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    _update(digest, value)
    return digest.hexdigest()


def _update(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.numpy() if value.dtype != torch.bfloat16 else value.float().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value.reshape(-1)[:: max(1, value.size // LOOKED_AT)]).tobytes())
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            digest.update(f"{key!r}:".encode())
            _update(digest, inner)
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)} ".encode())
        for inner in value:
            _update(digest, inner)
    elif _parts(value):
        digest.update(type(value).__name__.encode())
        _update(digest, _parts(value))
    else:
        digest.update(_words(value).encode())


def _parts(value: Any) -> dict:
    """The options of a dataclass or of an object of plain attributes; what an object keeps to itself (`_name`) is no
    option."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    attributes = getattr(value, "__dict__", {})
    return (
        {}
        if callable(value) or isinstance(value, type)
        else {k: v for k, v in attributes.items() if not k.startswith("_")}
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | torch.Tensor):
        return _hash(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    parts = _parts(value)
    return {"kind": type(value).__name__, **{k: _plain(v) for k, v in parts.items()}} if parts else _words(value)


def _words(value: Any) -> str:
    """The same in every process."""
    if isinstance(value, set | frozenset):
        return repr(sorted(value, key=repr))
    if isinstance(value, Path):
        return str(value)
    return ADDRESS.sub("", getattr(value, "__qualname__", None) or repr(value))
