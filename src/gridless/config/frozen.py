"""How a config is declared: frozen, by keywords only, and every key that it does not know is refused."""

from functools import partial

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

config = partial(dataclass, frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
