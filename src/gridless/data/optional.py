"""Packages that only scientific fields need, imported when they are used."""

from importlib import import_module
from typing import Any


def optional(name: str, what: str) -> Any:
    """The module. ImportError, in one line, says how to get it."""
    try:
        return import_module(name)
    except ImportError as missing:
        package = missing.name or name
        raise ImportError(f'{what} needs {package} ({missing}); pip install "gridless[fields]"') from missing
