"""A recipe and the flags of a command, as one validated config."""

from pathlib import Path

from gridless.config import Recipe
from gridless.config.merging import merge, parse_flags, recipe, recipe_table


def recipe_of(
    name: str,
    flags: tuple[str, ...],
    data: Path | None,
    preset: str | None = None,
    size: str | None = None,
    variable: list[str] | None = None,
) -> tuple[Recipe, dict]:
    """The recipe called `name` with what a command says otherwise, and its table of arms. Raises ConfigError."""
    short: dict[str, object] = {k: v for k, v in (("preset", preset), ("size", size)) if v is not None}
    table = recipe_table(name)
    if data is not None:
        kind = table.get("data", {}).get("kind", "photos")
        short["data"] = {"kind": "folder" if kind == "photos" else kind, "path": str(data)}
    if variable:
        short["data"] = {**short.get("data", {}), "variable": variable}  # pyright: ignore[reportGeneralTypeIssues]
    return recipe(table, merge(short, parse_flags(list(flags))))
