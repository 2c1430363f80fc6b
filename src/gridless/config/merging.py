"""From preset, recipe and flags to one validated config: preset < recipe < flags, merged as dictionaries, built once."""

import difflib
import tomllib
from dataclasses import fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from gridless.config import Model, Recipe
from gridless.config.errors import ConfigError, config_error, parts
from gridless.files import read_json

T = TypeVar("T")


def merge(*layers: dict) -> dict:
    """Lay nested dictionaries over one another, later ones on top. A `kind` that changes replaces its whole table.

    A table that names no kind is of the kind that the config has by default, so the lowest layer is the preset.
    """
    out: dict = {}
    for layer in layers:
        for key, value in layer.items():
            old = out.get(key)
            if isinstance(old, dict) and isinstance(value, dict) and _same_kind(key, old, value):
                out[key] = merge(old, value)
            else:
                out[key] = merge(value) if isinstance(value, dict) else value
    return out


def _same_kind(key: str, old: dict, new: dict) -> bool:
    return new.get("kind") in (None, old.get("kind", _default_kinds().get(key)))


@cache
def _default_kinds() -> dict[str, str]:
    """Of every part that comes in kinds (tokenizer, encoder, base, task …) the one that a recipe need not name."""
    owners, declared = {Recipe}, []
    while owners:
        declared += [(owner, field) for owner in owners for field in fields(owner)]
        owners = {inner for owner, field in declared for inner in parts(get_type_hints(owner)[field.name])} - {
            owner for owner, _ in declared
        }
    return {field.name: field.default.kind for _, field in declared if hasattr(field.default, "kind")}


def build(kind: type[T], data: object, path: str = "") -> T:
    """Validate `data` (a dictionary, or an instance already) as `kind`. Raises ConfigError with every wrong path."""
    if isinstance(data, kind):
        return data
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise config_error(kind, error, path) from None


def dump(value: Any) -> dict:
    """A validated config as a plain dictionary."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def difference(old: Any, new: Any, path: str = "") -> str:
    """The first path at which two nested dictionaries differ, with both values; empty if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            inner = difference(old.get(key), new.get(key), f"{path}.{key}".strip("."))
            if inner:
                return inner
        return ""
    return "" if old == new else f"{path} ({old!r}, not {new!r})"


def preset(
    name: str, size: str = "small", *, axes: int | None = None, channels: int | None = None, **overrides: Any
) -> Model:
    """A system by name (`mamba-ginr`, `hybrid`) at size `tiny` (tests), `small` (two cores) or `base` (as published), for
    signals of so many axes and channels. `overrides`: what else differs, as nested dictionaries or values of the config's
    fields: `base={"kind": "bicubic"}, signal={"window": 16}, width=96`."""
    shape = {"axes": axes, "channels": channels}
    signal = {"signal": {name: number for name, number in shape.items() if number is not None}}
    return build(Model, merge(preset_table(name, size), signal, overrides))


def preset_table(name: str, size: str) -> dict:
    """The preset as a plain dictionary, to be merged with a recipe and flags. One that `extends` another is a diff."""
    table = load_toml(_shipped("presets", name))
    sizes = table.pop("size")
    if size not in sizes:
        raise ConfigError(f"preset {name!r} has no size {size!r}; it has {', '.join(sizes)}")
    other = table.pop("extends", None)
    return merge({} if other is None else preset_table(other, size), {"name": name}, table, sizes[size])


def recipe_table(name: str | Path, extending: tuple[Path, ...] = ()) -> dict:
    """A recipe that ships, by name, or any .toml file by path.

    One that `extends` another is a diff. The other is a file beside the extending one (its name without .toml), else a
    recipe that ships; `extending` holds the files on the way here. Raises ConfigError where there is none, and where
    files extend one another in a circle.
    """
    path = Path(name)
    if path.suffix != ".toml":
        table = load_toml(_shipped("recipes", str(name)))
    elif path.is_file():
        table = load_toml(path)
    else:
        known = ", ".join(shipped("recipes"))
        raise ConfigError(f"no recipe at {path}; give the path of a .toml file or one of {known}")
    other = table.pop("extends", None)
    if other is None:
        return table
    neighbour = path.parent / f"{str(other).removesuffix('.toml')}.toml"
    if path.suffix == ".toml" and neighbour != path and neighbour.is_file():
        if neighbour in extending:
            raise ConfigError(f"{path} extends {neighbour}, which extends it; one of them must stand alone")
        other = neighbour
    return merge(recipe_table(other, (*extending, path)), table)


def shipped(room: str) -> list[str]:
    """Names of the presets or recipes inside the package."""
    return sorted(
        p.name.removesuffix(".toml")
        for p in files("gridless.config").joinpath(room).iterdir()
        if p.name.endswith(".toml")
    )


def load_toml(path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def load_json(path: Path) -> dict:
    """The object that a JSON file holds. Raises ConfigError naming the file."""
    try:
        table = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: expected a JSON object, got {type(table).__name__}; restore or remove the file")
    return table


def recipe(table: dict, flags: dict) -> tuple[Recipe, dict]:
    """The recipe that `table` and `flags` describe, and its `[ablate]` arms: name -> what each changes.

    `preset` and `size` may stand in either; the preset's table lies below the recipe's `[model]`, flags lie on top. A
    recipe's `[for.NAME]` holds what it changes where the preset is NAME. An arm may name another preset or size.
    """
    whole = _assembled(table, flags)
    for room in ("model", "data", "task", "train"):
        if not isinstance(whole.get(room, {}), dict):
            raise ConfigError(f"{room} is a table of settings, got {whole[room]!r}; e.g. --train.steps 500")
    arms = {
        arm: _other_preset(table, flags, diff) if {"preset", "size"} & set(diff) else diff
        for arm, diff in whole.pop("ablate", {}).items()
    }
    return build(Recipe, whole), arms


def _assembled(table: dict, *above: dict) -> dict:
    """The preset that is asked for, the recipe, what the recipe changes for this preset, and what lies above, as one."""
    named = {key: value for layer in (table, *above) for key, value in layer.items() if key in ("preset", "size")}
    name = named.get("preset")
    model = {} if name is None else {"model": preset_table(name, named.get("size", "small"))}
    whole = merge(model, table, table.get("for", {}).get(name, {}), *above)
    return {key: value for key, value in whole.items() if key not in ("for", "preset", "size")}


def _other_preset(table: dict, flags: dict, arm: dict) -> dict:
    """An arm that names its preset or size, as the difference it makes to a recipe whose model is already merged."""
    model = build(Model, _assembled(table, flags, arm)["model"])
    return {k: v for k, v in arm.items() if k not in ("preset", "size")} | {"model": dump(model)}


def parse_flags(tokens: list[str]) -> dict:
    """`--model.encoder.depth 2 --train.steps=500` as a nested dictionary; values are read as TOML, else as text. `none` is
    no value, but of a `kind` its name."""
    out: dict = {}
    rest = list(tokens)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--"):
            raise ConfigError(f"expected a flag such as --train.steps 500, got {flag!r}")
        name, equals, value = flag[2:].partition("=")
        values = [value] if equals else []
        while not equals and rest and not rest[0].startswith("--"):
            values.append(rest.pop(0))
        if not values:
            raise ConfigError(f"--{name} needs a value")
        node = out
        *parents, leaf = name.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"--{name}: {parent} has been given a value already, it cannot hold {leaf} too")
        read = [v.strip("\"'") if leaf == "kind" else _toml_value(v) for v in values]
        node[leaf] = read[0] if len(read) == 1 else read
    return out


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return None if text.lower() in ("none", "null") else text


def _shipped(room: str, name: str):
    path = files("gridless.config").joinpath(room, f"{name}.toml")
    if not path.is_file():
        near = difflib.get_close_matches(name, shipped(room), 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no {room.removesuffix('s')} {name!r}; there are {', '.join(shipped(room))}.{hint}")
    return path
