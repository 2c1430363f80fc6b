"""A field is a value: a function of coordinates, and what it is where some of its axes stand still."""

from gridless.field.field import Field

__all__ = ["Field"]
