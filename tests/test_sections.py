"""A film at one moment, a volume in one plane: the same answers with an axis less."""

import pickle

import numpy as np
import pytest
import torch
from conftest import tiny
from every_model import FILM

import gridless as gl
from gridless.config import Axis
from gridless.domain import TIME, Domain

AXES = (
    Axis(name="time", unit=TIME, start=1e9, length=8 * 3600.0),
    Axis(name="lat", unit="degrees_north", start=40, length=10),
    Axis(name="lon", unit="degrees_east", start=0, length=10),
)
NOON = np.datetime64("2001-09-09T03:46:40")  # two hours after the start


def film() -> gl.Samples:
    values = torch.rand(8, 5, 6, 1, generator=torch.Generator().manual_seed(0))
    return gl.Samples.from_grid(values, 3, domain=Domain(axes=AXES, sphere=(1, 2)))


def fields() -> dict[str, gl.Field]:
    grid = film()
    few = torch.randperm(240, generator=torch.Generator().manual_seed(1))[:20]
    points = gl.Samples(grid.values[:, few], coords=gl.grid(8, 5, 6)[None, few], domain=grid.domain)
    network = tiny("scent-time", {"signal": {"axes": 3, "positions": 4}})
    return {
        "bicubic": gl.bases.Interpolation("bicubic").encode(grid),
        "kriging": gl.bases.Kriging().encode(points),
        "network": network.encode(points),
        "untold": tiny("scent-time", {**FILM, "signal": {"axes": 3, "positions": 4}, "film": {"target": False}}).encode(
            points
        ),
    }


@pytest.mark.parametrize("name", ["bicubic", "kriging", "network", "untold"])
def test_a_section_answers_as_the_field_does_there(name):
    field = fields()[name]
    places = {"lat": np.array([41.0, 43.5]), "lon": np.array([2.0, 7.5])}
    with torch.no_grad():
        there = field({**places, "time": np.array([NOON, NOON])})
        torch.testing.assert_close(field.at(time=NOON)(places), there)
        torch.testing.assert_close(field.at(time=str(NOON))(places), there)
        at_lat = field.at(time=NOON, lat=41.0)
        torch.testing.assert_close(at_lat({"lon": np.array([2.0])}), there[:1])
        torch.testing.assert_close(pickle.loads(pickle.dumps(at_lat))({"lon": np.array([2.0])}), there[:1])
        assert field.at(time=NOON).to_grid(shape=(4, 3)).shape == (4, 3, 1)
    gradient = field.at(lat=43.5).gradient({"time": np.array([NOON]), "lon": np.array([7.5])})
    whole = field.gradient({"time": np.array([NOON]), "lat": np.array([43.5]), "lon": np.array([7.5])})
    torch.testing.assert_close(gradient, whole[..., [0, 2]], rtol=1e-4, atol=1e-6)


def test_spread_and_samples_come_along():
    field = fields()["kriging"]
    places, here = {"lat": [41.0], "lon": [2.0]}, field.at(time=NOON)
    everywhere = {**places, "time": np.array([NOON])}
    for reading in (False, True):
        for part, whole in zip(
            here.mean_and_std(places, reading=reading), field.mean_and_std(everywhere, reading=reading), strict=True
        ):
            torch.testing.assert_close(part, whole)
    torch.testing.assert_close(here.sample(places, 3, seed=1), field.sample(everywhere, 3, seed=1))


def test_a_grid_keeps_the_row_where_it_is_cut():
    section = fields()["bicubic"].at(time=np.datetime64("2001-09-09T03:16:40"))  # in the middle of the second hour
    assert torch.equal(section.to_grid(scale=1), film().on_grid()[0, 1])
    assert section.samples.domain.names == ("lat", "lon") and section.samples.domain.sphere == (0, 1)
    assert fields()["bicubic"].at(lat=44.0).samples.domain.sphere is None


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ({"depth": 3}, r"got depth; its axes are time, lat, lon"),
        ({"lat": 41.0, "lon": 2.0, "time": NOON}, "takes some of a field's axes"),
        ({}, "got none"),
        ({"lat": 70.0}, "lat must lie within 40"),
    ],
)
def test_what_is_no_section_is_refused(where, why):
    with pytest.raises(ValueError, match=why):
        fields()["bicubic"].at(**where)


def test_without_names_there_is_no_section():
    with pytest.raises(ValueError, match="no domain that names axes"):
        gl.bases.Interpolation().encode(gl.Samples.from_grid(torch.rand(4, 4, 1))).at(time=0.5)
