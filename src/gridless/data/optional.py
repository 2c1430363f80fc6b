"""Packages that only scientific fields and volumes need, imported when they are used."""

from importlib import import_module
from typing import Any


def optional(name: str, what: str, extra: str = "fields") -> Any:
    """The module, which the `extra` installs. ImportError, in one line, says how to get it."""
    try:
        return import_module(name)
    except ImportError as missing:
        package = missing.name or name
        raise ImportError(f'{what} needs {package} ({missing}); pip install "gridless[{extra}]"') from missing
