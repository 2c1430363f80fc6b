"""Where a signal lies in its user's world: a name, a unit and a range for every axis."""

from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import FiniteFloat

from gridless.config.frozen import config
from gridless.config.numbers import Positive


@config
class Axis:
    """Inside, a coordinate u runs from 0 to 1; outside it is `start + length · u`, in `unit`.

    A grid's samples lie at u = (i + ½) / n whatever its kind, so `start` is half a step before the first of them.
    """

    name: str
    unit: str = ""
    """`degrees_north`, `m`, …; an axis of time has `seconds since 1970-01-01` and takes and gives datetime64."""
    start: FiniteFloat = 0.0
    length: FiniteFloat = 1.0
    """Negative where the samples run from high to low, as latitudes often do."""
    samples: Literal["cells", "nodes"] = "cells"
    """Whether a grid's value is that of a cell, or of a node whose first and last lie on the border: it decides which
    points a grid of another resolution has."""
    period: Positive | None = None
    """After so many units the axis is where it was; 360 for longitudes."""
    covariate: bool = False
    """A quantity that is known at readings and questions (elevation, day of the year) rather than a place: how far two of
    its values are apart says nothing about other axes of its unit."""


@config
class Quantity:
    """What the values of a channel are, in the words of CF; empty where nobody said. Nothing converts units: a field
    answers in those of its readings."""

    name: str
    unit: str = ""
    standard_name: str = ""
    long_name: str = ""
    cell_methods: str = ""


@config
class Domain:
    """What the axes of a field and its values are called outside, and where they lie."""

    axes: Annotated[tuple[Axis, ...], MinLen(1)]
    sphere: tuple[int, int] | None = None
    """Which axes are latitude and longitude in degrees: distances are then those of points on the sphere."""
    quantities: tuple[Quantity, ...] = ()
    """What lies there, one for each channel; empty where nobody said. Here, so that whatever carries the domain knows."""
    mapping: tuple[tuple[str, str | float | tuple[float, ...]], ...] = ()
    """The CF grid mapping of axes that are no latitude and longitude, such as metres of a projection; empty: none."""
