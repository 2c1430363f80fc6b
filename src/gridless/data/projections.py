"""Between latitude and longitude and the metres of a projection, by its CF grid mapping (pyproj)."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float

from gridless.config import Domain
from gridless.data.optional import optional

DEGREES = {"latitude": ("lat", "latitude"), "longitude": ("lon", "lng", "long", "longitude")}
Plane = tuple[Float[np.ndarray, "*B"], Float[np.ndarray, "*B"]]
Attributes = tuple[tuple[str, str | float | tuple[float, ...]], ...]


def attributes_of(mapping: Mapping[str, Any]) -> Attributes:
    """The attributes of a grid mapping as frozen data; empty of one that is latitude and longitude themselves."""
    if mapping.get("grid_mapping_name", "") in ("", "latitude_longitude"):
        return ()
    return tuple((str(key), _plain(value)) for key, value in sorted(mapping.items()))


def projected(mapping: Attributes, latitude: np.ndarray, longitude: np.ndarray) -> Plane:
    """Easting and northing, in the units of the projection's own axes, of places in degrees."""
    return _transformer(mapping).transform(longitude, latitude)


def unprojected(mapping: Attributes, easting: np.ndarray, northing: np.ndarray) -> Plane:
    """Latitude and longitude, in degrees; infinite where the projection has no place."""
    longitude, latitude = _transformer(mapping).transform(easting, northing, direction="INVERSE")
    return latitude, longitude


def on_plane(domain: Domain, coordinates: Mapping[str, Any]) -> Mapping[str, Any]:
    """Places by the names of a projected domain's axes; given in latitude and longitude they are projected."""
    words = {kind: [n for n in coordinates if str(n).lower() in names] for kind, names in DEGREES.items()}
    if not all(len(names) == 1 for names in words.values()) or set(coordinates) <= {axis.name for axis in domain.axes}:
        return coordinates
    latitude, longitude = (np.asarray(coordinates[names[0]], np.float64) for names in words.values())
    rest = {name: values for name, values in coordinates.items() if [name] not in words.values()}
    easting, northing = projected(domain.mapping, *np.broadcast_arrays(latitude, longitude))
    y, x = (domain.axes[i].name for i in native_axes(domain))
    return {**rest, y: northing, x: easting}


def native_axes(domain: Domain) -> tuple[int, int]:
    """Which axes of a projected domain are northing and easting: the last two, as archives have them."""
    return len(domain.axes) - 2, len(domain.axes) - 1


@cache
def _transformer(mapping: Attributes) -> Any:
    pyproj = optional("pyproj", "a grid in a projection, asked in latitude and longitude,")
    try:
        crs = pyproj.CRS.from_cf(dict(mapping))
    except (pyproj.exceptions.CRSError, KeyError) as error:
        name = dict(mapping).get("grid_mapping_name")
        raise ValueError(
            f"the grid mapping {name!r} describes no projection ({error}); correct its attributes"
        ) from None
    return pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)


def _plain(value: Any) -> str | float | tuple[float, ...]:
    if isinstance(value, str):
        return value
    numbers = np.atleast_1d(np.asarray(value, np.float64))
    return float(numbers[0]) if len(numbers) == 1 else tuple(map(float, numbers))
