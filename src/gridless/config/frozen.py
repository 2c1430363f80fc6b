"""How a config is declared: frozen, by keywords only, and every key that it does not know is refused."""

from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """The class as a validated dataclass, to a type checker too."""
    declare: Any = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    return declare(cls)
