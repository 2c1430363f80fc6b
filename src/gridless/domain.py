"""Domain: from the user's coordinates to [0, 1] per axis and back, and to positions whose distance means something.

    user's coordinates  --to_unit-->  u in [0, 1] per axis  --embed-->  positions (… e)
                        <--to_user--

Applied once, at the door: inside, everything is u. Positions are what kriging and networks of scattered points measure
distances by: axes of one unit share a scale, an axis with a period lies on a circle, latitude and longitude on a sphere.
How far a kilometre is in days nobody knows: axes of other units, and covariates, are `groups` of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import pi, radians
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gridless import config
from gridless.config import Axis
from gridless.config.frozen import config as frozen

TOLERANCE = 1e-5  # of the length: a border that float32 has rounded is no place outside
TIME = "seconds since 1970-01-01"
LATITUDE = ("lat", "latitude", "y_lat", "degrees_north")
LONGITUDE = ("lon", "lng", "long", "longitude", "degrees_east")

Coordinates = Mapping[str, object]  # axis name -> numbers, datetime64 or a tensor, all of one shape or broadcast


@frozen
class Domain(config.Domain):
    """What the axes of a signal are called, which units they have, and where they begin, end and join."""

    @classmethod
    def of_grid(
        cls,
        coordinates: Mapping[str, object],
        *,
        samples: Literal["cells", "nodes"] = "cells",
        units: Mapping[str, str] | None = None,
        periods: Mapping[str, float] | None = None,
        covariates: Sequence[str] = (),
    ) -> "Domain":
        """The domain of a grid whose samples lie at these evenly spaced coordinates, one array per axis in array order.

        Latitude and longitude are recognised by name or unit; longitudes have a period of 360 and join at their ends where
        they go all the way round. Raises
        ValueError for uneven steps and for a single sample, whose step nobody knows.
        """
        axes = []
        for name, values in coordinates.items():
            unit, numbers = _numbers(name, values, (units or {}).get(name, ""))
            if numbers.ndim != 1 or len(numbers) < 2:
                raise ValueError(
                    f"axis {name}: expected a list of at least two coordinates, got shape {tuple(numbers.shape)}; "
                    "give an Axis with its start and length"
                )
            if _is(LONGITUDE, name, unit):  # those of a grid across the date line go on
                numbers = np.unwrap(numbers, period=360)
            steps = np.diff(numbers)
            if not np.allclose(steps, steps.mean(), rtol=1e-3, atol=0) or steps.mean() == 0:
                raise ValueError(
                    f"axis {name}: coordinates are not evenly spaced (steps {steps.min():g} … {steps.max():g}); "
                    "resample them, or give the values as points"
                )
            step = (numbers[-1] - numbers[0]) / (len(numbers) - 1)
            length, period = step * len(numbers), (periods or {}).get(name)
            if period is None and _is(LONGITUDE, name, unit) and abs(length) < (1 + 1e-3) * 360:
                period = 360.0
            start = float(numbers[0] - step / 2)
            axes.append(Axis(name=name, unit=unit, start=start, length=float(length), samples=samples, period=period))
        return cls._of(axes, covariates)

    @classmethod
    def around(
        cls,
        coordinates: Mapping[str, object],
        *,
        units: Mapping[str, str] | None = None,
        periods: Mapping[str, float] | None = None,
        covariates: Sequence[str] = (),
        margin: float = 0.05,
    ) -> "Domain":
        """The smallest box around scattered points with a margin on every side (a share of its length). `covariates`: names
        of axes that are no places, such as elevation."""
        axes = []
        for name, values in coordinates.items():
            unit, numbers = _numbers(name, values, (units or {}).get(name, ""))
            numbers = numbers[np.isfinite(numbers)]
            if not numbers.size:
                raise ValueError(f"axis {name}: no finite coordinate to put a domain around")
            period = (periods or {}).get(name) or (360.0 if _is(LONGITUDE, name, unit) else None)
            low, high = _shortest_arc(numbers, period) if period else (float(numbers.min()), float(numbers.max()))
            room = margin * ((high - low) or 1.0)
            low, high = low - room, high + room
            if _is(LATITUDE, name, unit):
                low, high = max(low, -90.0), min(high, 90.0)
            if period is not None and high - low > period:
                high = low + period
            axes.append(Axis(name=name, unit=unit, start=low, length=high - low, period=period))
        return cls._of(axes, covariates)

    @classmethod
    def _of(cls, axes: Sequence[Axis], covariates: Sequence[str]) -> "Domain":
        """Some of the axes as covariates. Raises ValueError for names that no axis has."""
        unknown = sorted(set(covariates) - {axis.name for axis in axes})
        if unknown:
            named = ", ".join(axis.name for axis in axes)
            raise ValueError(f"no axis is called {', '.join(unknown)}, which is to be a covariate; there are {named}")
        axes = [replace(axis, covariate=axis.name in covariates or axis.covariate) for axis in axes]
        return cls(axes=tuple(axes), sphere=_sphere(axes))

    def with_covariate(
        self, name: str, low: float, high: float, unit: str = "", period: float | None = None
    ) -> "Domain":
        """One more axis, of a quantity that is known at readings and at questions: `domain.with_covariate("elevation", 0,
        4000, "m")`, `domain.with_covariate("day", 0, 365.25, period=365.25)`."""
        axis = Axis(
            name=name, unit=unit, start=float(low), length=float(high) - float(low), period=period, covariate=True
        )
        return replace(self, axes=(*self.axes, axis))

    @classmethod
    def box(cls, bounds: Mapping[str, tuple[float, float]], **units: str) -> "Domain":
        """Axes between two numbers each: `Domain.box({"depth": (0, 40), "x": (0, 300)}, depth="m", x="m")`."""
        axes = [
            Axis(
                name=name,
                unit=units.get(name, ""),
                start=float(low),
                length=float(high) - float(low),
                period=360.0 if _is(LONGITUDE, name, units.get(name, "")) and abs(high - low) <= 360 else None,
            )
            for name, (low, high) in bounds.items()
        ]
        return cls(axes=tuple(axes), sphere=_sphere(axes))

    @classmethod
    def globe(cls, latitude: str = "lat", longitude: str = "lon") -> "Domain":
        """The whole sphere, in degrees."""
        axes = (
            Axis(name=latitude, unit="degrees_north", start=-90.0, length=180.0),
            Axis(name=longitude, unit="degrees_east", start=-180.0, length=360.0, period=360.0),
        )
        return cls(axes=axes, sphere=(0, 1))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.axes)

    @property
    def joins(self) -> tuple[bool, ...]:
        """Axes whose end is their beginning: the period is the whole length."""
        return tuple(a.period is not None and abs(abs(a.length) - a.period) < 1e-3 * a.period for a in self.axes)

    @property
    def time(self) -> int | None:
        """Which axis is that of time: one of datetime64, or called `time`; None: there is none."""
        return next((i for i, a in enumerate(self.axes) if a.unit == TIME or a.name.lower() == "time"), None)

    @property
    def lengths(self) -> Float[Tensor, " d"]:
        """Units per unit of u."""
        return torch.tensor([axis.length for axis in self.axes], dtype=torch.float64)

    def to_unit(self, coordinates: Coordinates | Float[Tensor, "*B d"]) -> Float[Tensor, "*B d"]:
        """u of the user's coordinates, float64: a dictionary with every axis by its name (broadcast against one another), or
        an array whose last axis is the domain's. Raises ValueError for unknown or missing names and places outside."""
        if isinstance(coordinates, Mapping):
            columns = [coordinates[name] for name in self.names if name in coordinates]
            if set(coordinates) != set(self.names):
                raise ValueError(f"expected the axes {', '.join(self.names)}, got {', '.join(map(str, coordinates))}")
        else:
            array = coordinates if isinstance(coordinates, Tensor) else np.asarray(coordinates)
            if array.shape[-1:] != (len(self.axes),):
                raise ValueError(
                    f"expected coordinates (…, {len(self.axes)}) for the axes {', '.join(self.names)}, got {array.shape}"
                )
            columns = list(array.unbind(-1)) if isinstance(array, Tensor) else list(np.moveaxis(array, -1, 0))
        parts = [self._inside(axis, column) for axis, column in zip(self.axes, columns, strict=True)]
        try:
            return torch.stack(torch.broadcast_tensors(*parts), -1)
        except RuntimeError:
            shapes = ", ".join(f"{name} {tuple(part.shape)}" for name, part in zip(self.names, parts, strict=True))
            raise ValueError(f"coordinates of unlike shapes: {shapes}; give arrays of one shape, or numbers") from None

    def to_user(self, u: Float[Tensor, "*B d"]) -> dict[str, np.ndarray]:
        """The user's coordinates of u, by name; datetime64 where an axis is one of time."""
        columns = np.asarray(u.detach().double().cpu())
        out = {}
        for i, axis in enumerate(self.axes):
            out[axis.name] = _outside(axis, axis.start + axis.length * columns[..., i])
        return out

    def embed(self, u: Float[Tensor, "*B d"]) -> Float[Tensor, "*B e"]:
        """Positions whose Euclidean distance is that of the places: axes of one unit share a scale (the longest is 1), a
        period becomes a circle, latitude and longitude a sphere; a covariate has a scale of its own."""
        parts = []
        for axes in self._parts():
            axis = self.axes[axes[0]]
            if len(axes) == 2:
                assert self.sphere is not None
                parts.append(self._on_sphere(u, self.sphere))
            elif self._is_circle(axes[0]):
                assert axis.period is not None
                angle = 2 * pi * (axis.length / axis.period) * u[..., axes[0]]
                radius = axis.period / (2 * pi * self._scale(axis))
                parts.append(radius * torch.stack([angle.cos(), angle.sin()], -1))
            else:
                parts.append((u[..., axes[0]] * (abs(axis.length) / self._scale(axis)))[..., None])
        return torch.cat(parts, -1)

    @property
    def groups(self) -> tuple[int, ...]:
        """Of every number of a position, which of the quantities it measures: numbers of one group are lengths that can be
        compared (the axes of one unit, the sphere), those of two groups are not; every covariate is its own."""
        keys, columns = [], []
        for axes in self._parts():
            axis = self.axes[axes[0]]
            key = ("sphere",) if len(axes) == 2 else ("covariate", axis.name) if axis.covariate else ("unit", axis.unit)
            if key not in keys:
                keys.append(key)
            columns += [keys.index(key)] * (3 if len(axes) == 2 else 2 if self._is_circle(axes[0]) else 1)
        return tuple(columns)

    def _parts(self) -> list[tuple[int, ...]]:
        """The axes in the order of their positions; latitude and longitude together, where the first of them stands."""
        parts, sphere = [], self.sphere or ()
        for i in range(len(self.axes)):
            if i not in sphere:
                parts.append((i,))
            elif i == min(sphere):
                parts.append(tuple(sphere))
        return parts

    def _is_circle(self, i: int) -> bool:
        axis = self.axes[i]
        return axis.period is not None and (self.joins[i] or abs(axis.length) > axis.period / 2)

    def _scale(self, axis: Axis) -> float:
        if axis.covariate:
            return abs(axis.length)
        flat = [other for i, other in enumerate(self.axes) if i not in (self.sphere or ()) and not other.covariate]
        return max(abs(other.length) for other in flat if other.unit == axis.unit)

    def _on_sphere(self, u: Tensor, sphere: tuple[int, int]) -> Float[Tensor, "*B 3"]:
        """A sphere whose larger extent within the domain is as long as a flat axis: about 1."""
        latitude, longitude = (self.axes[i] for i in sphere)
        phi, theta = (
            (axis.start + axis.length * u[..., i]) * (pi / 180)
            for i, axis in zip(sphere, (latitude, longitude), strict=True)
        )
        extent = max(radians(abs(latitude.length)), min(radians(abs(longitude.length)), pi))
        point = torch.stack([phi.cos() * theta.cos(), phi.cos() * theta.sin(), phi.sin()], -1)
        return point / extent

    def contains(self, coordinates: Coordinates) -> Bool[np.ndarray, "*B"]:
        """Which places, by the names of the axes, lie inside; NaN and NaT lie nowhere. Raises ValueError for a missing
        name."""
        parts = [_unit(axis, _float64(axis, coordinates[axis.name])) for axis in self.axes if axis.name in coordinates]
        if len(parts) != len(self.axes):
            raise ValueError(f"expected the axes {', '.join(self.names)}, got {', '.join(map(str, coordinates))}")
        inside = [((u >= -TOLERANCE) & (u <= 1 + TOLERANCE)).numpy() for u in parts]
        return np.logical_and.reduce(np.broadcast_arrays(*inside))

    def _inside(self, axis: Axis, values: object) -> Float[Tensor, "*B"]:
        x = _float64(axis, values)
        if bad := int((~x.isfinite()).sum()):
            raise ValueError(
                f"{bad} of {x.numel()} coordinates on axis {axis.name} are NaN or infinite; leave them out"
            )
        u = _unit(axis, x)
        if bool(((u < -TOLERANCE) | (u > 1 + TOLERANCE)).any()):
            ends = _outside(axis, np.array([axis.start, axis.start + axis.length]))
            low, high = _outside(axis, np.array([float(x.detach().min()), float(x.detach().max())]))
            unit = "" if axis.unit == TIME else f" {axis.unit}".rstrip()
            raise ValueError(
                f"{axis.name} must lie within {min(ends)} … {max(ends)}{unit}, got {low} … {high}; "
                "ask inside, or give the samples a larger domain"
            )
        return u.clamp(0, 1)


def _float64(axis: Axis, values: object) -> Float[Tensor, "*B"]:
    if isinstance(values, Tensor):
        return values.double()
    return torch.from_numpy(np.array(_numbers(axis.name, values, axis.unit)[1], np.float64))


def _unit(axis: Axis, x: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """u of the user's numbers, also outside; after as many whole periods as bring it inside."""
    u = (x - axis.start) / axis.length
    if axis.period is not None:
        turn = axis.period if axis.length > 0 else -axis.period
        turned = x - turn * torch.floor((x - axis.start) / turn)  # of whole degrees no digit changes
        outside = (u < -TOLERANCE) | (u > 1 + TOLERANCE)  # a place within the tolerance stays where it is
        u = torch.where(outside, (turned - axis.start) / axis.length, u)
    return u


def _sphere(axes: Sequence[Axis]) -> tuple[int, int] | None:
    """Latitude and longitude among the axes, if there is one of each."""
    latitude = [i for i, a in enumerate(axes) if _is(LATITUDE, a.name, a.unit)]
    longitude = [i for i, a in enumerate(axes) if _is(LONGITUDE, a.name, a.unit)]
    return (latitude[0], longitude[0]) if len(latitude) == len(longitude) == 1 else None


def _shortest_arc(numbers: np.ndarray, period: float) -> tuple[float, float]:
    """The smallest range that holds all of them, turned by whole periods: it leaves the widest gap out."""
    inside = np.unique(np.mod(numbers, period))
    gaps = np.diff(inside, append=inside[0] + period)
    first = (int(gaps.argmax()) + 1) % len(inside)
    low = float(inside[first])
    low -= period * np.floor((low - numbers.min()) / period + 1e-9) if low > numbers.max() else 0.0
    return low, low + period - float(gaps.max())


def _is(kind: tuple[str, ...], name: str, unit: str) -> bool:
    return name.lower() in kind or unit.lower() in kind


def _numbers(name: str, values: object, unit: str) -> tuple[str, np.ndarray]:
    """Unit and float64 numbers of coordinates; datetime64 becomes seconds since 1970."""
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if np.issubdtype(array.dtype, np.datetime64):
        if unit not in ("", TIME):
            raise ValueError(
                f"axis {name} holds times, its unit is {unit!r}; give numbers, or make the domain from times"
            )
        seconds = array.astype("datetime64[ns]").astype(np.int64) / 1e9
        return TIME, np.where(np.isnat(array), np.nan, seconds)
    if not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"axis {name} holds {array.dtype}, expected numbers or datetime64; convert it first")
    if unit == TIME:
        raise ValueError(
            f"axis {name} is one of time, got {array.dtype}; give datetime64, e.g. np.datetime64('2020-01-31')"
        )
    return unit, array.astype(np.float64)


def _outside(axis: Axis, x: np.ndarray) -> np.ndarray:
    if axis.unit == TIME:
        return (x * 1e9).round().astype(np.int64).astype("datetime64[ns]")
    return x
