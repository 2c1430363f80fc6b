"""How a config is declared: frozen, by keywords only, and every key that it does not know is refused."""

from functools import wraps
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from gridless.config.errors import config_error

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """The class as a validated dataclass, to a type checker too. Building one raises ConfigError."""
    declare: Any = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    return with_config_errors(declare(cls))


def with_config_errors(cls: type[T]) -> type[T]:
    """A pydantic dataclass that complains in our sentences."""
    validated: Any = cls.__init__

    @wraps(validated)
    def __init__(self, *values, **options):
        try:
            validated(self, *values, **options)
        except ValidationError as error:
            raise config_error(cls, error) from None

    declared: Any = cls
    declared.__init__ = __init__
    return cls
