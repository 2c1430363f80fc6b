"""Numbers as options take them: finite, of their sign, and never a truth value."""

from typing import Annotated

from annotated_types import Ge, Gt
from pydantic import BeforeValidator, FiniteFloat


def _number(value):
    """A truth value is a slip where a number is asked, though Python counts with it."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


Positive = Annotated[FiniteFloat, Gt(0), BeforeValidator(_number)]
NonNegative = Annotated[FiniteFloat, Ge(0), BeforeValidator(_number)]
Count = Annotated[int, Ge(1), BeforeValidator(_number)]
Natural = Annotated[int, Ge(0), BeforeValidator(_number)]
