"""Where a domain says that an axis joins, value and gradient join; nodes and cells of the same data are one field."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import LOCAL, tiny
from every_model import GRIDS, POINTS, Arm

import gridless as gl
from gridless.bases import Interpolation, Kriging
from gridless.domain import Domain

EDGE = 1e-10
ROUND = {"one window": 8, "mosaic": 36}


def ring(count: int, kind: str = "cells") -> Domain:
    """Latitudes from north to south, and longitudes all the way round."""
    longitudes = np.arange(count) * (360 / count)
    return Domain.of_grid({"lat": np.linspace(70, -70, 8), "lon": longitudes}, samples=kind)


def around(count: int, kind: str = "cells", batch: int = 1) -> gl.Samples:
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(batch, 8, count, 3, generator=generator, dtype=torch.float64)
    return gl.Samples.from_grid(values, domain=ring(count, kind))


def both_sides() -> tuple[torch.Tensor, torch.Tensor]:
    """The same places beside the join: a little after the beginning, and a little before the end."""
    latitude = torch.linspace(0.03, 0.97, 9, dtype=torch.float64)
    return tuple(torch.stack([latitude, torch.full_like(latitude, u)], -1) for u in (EDGE, 1 - EDGE))


def assert_joined(field: gl.Field):
    after, before = both_sides()
    torch.testing.assert_close(field(after), field(before), rtol=0, atol=1e-7)
    torch.testing.assert_close(field.gradient(after), field.gradient(before), rtol=1e-4, atol=1e-5)
    apart = torch.stack([after[:, 0], torch.full_like(after[:, 0], 0.5)], -1)
    assert (field(after) - field(apart)).abs().max() > 5e-5  # tiny networks that saw no training hardly vary


# --- grids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", ROUND.values(), ids=ROUND.keys())
@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_s_field_joins_in_value_and_gradient(name, count):
    assert_joined(Arm(name).fresh().double().encode(around(count)))


def test_without_a_period_it_does_not_join():
    """The law above can fail: the same numbers on axes that end."""
    field = Arm("hybrid-photo").fresh().double().encode(replace(around(36), domain=None))
    after, before = both_sides()
    assert (field(after) - field(before)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["bilinear", "bicubic", "lanczos"])
def test_a_base_joins(kind):
    field = Interpolation(kind).encode(around(36))
    after, before = both_sides()
    torch.testing.assert_close(field(after), field(before), rtol=0, atol=1e-6)
    if kind != "bilinear":
        assert_joined(field)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(("count", "windows"), [(8, 2), (12, 2), (24, 4)])
def test_turned_samples_are_a_turned_field(name, count, windows):
    """By whole windows, where that many divide the circle; else the windows lie elsewhere in the picture."""
    model, samples = Arm(name).fresh().double(), around(count)
    field = model.encode(samples)
    assert field.correction.reader.windows.shape[1] == windows
    steps = count // windows
    rolled = gl.Samples.from_grid(samples.on_grid().roll(steps, 2), domain=samples.domain)
    coords = torch.rand(31, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    turned = coords + torch.tensor([0.0, steps / count], dtype=torch.float64)
    turned[:, 1] %= 1
    torch.testing.assert_close(model.encode(rolled)(turned), field(coords), rtol=0, atol=1e-5)


def test_longitudes_may_be_asked_by_any_turn():
    field = Arm("hybrid-photo").model().encode(replace(around(36), values=around(36).values.float()))
    asked = {"lat": [10.0, -30.0], "lon": np.array([350.0, 20.0])}
    turned = {"lat": [10.0, -30.0], "lon": np.array([-10.0, 380.0])}
    torch.testing.assert_close(field(asked), field(turned), rtol=0, atol=1e-5)


# --- readings ---------------------------------------------------------------------------------------------------------


def stations(channels: int = 1) -> gl.Samples:
    rng = np.random.default_rng(0)
    places = {"lat": rng.uniform(-80, 80, 30), "lon": rng.uniform(-180, 180, 30)}
    values = np.sin(np.radians(places["lat"])) + np.cos(np.radians(places["lon"])) * np.cos(np.radians(places["lat"]))
    return gl.Samples.from_points(places, values[:, None].repeat(channels, 1), domain=Domain.globe())


@pytest.mark.parametrize("name", ["kriging", *(n for n in POINTS if "pod" not in n and "film" not in n)])
def test_readings_on_a_sphere_make_a_field_that_joins(name):
    model = Kriging() if name == "kriging" else Arm(name).fresh().double()
    field = model.encode(stations())
    assert_joined(field)
    if field.has_spread:
        after, before = (field.std(coords) for coords in both_sides())
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-7)
    pole = [field({"lat": np.full(4, 90.0), "lon": np.array([-170.0, -60.0, 10.0, 130.0])})]
    torch.testing.assert_close(pole[0], pole[0][:1].expand(4, -1), rtol=0, atol=1e-5)


# --- nodes and cells --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (17, 12)], ids=["window", "mosaic"])
@pytest.mark.parametrize("name", ["bicubic", *GRIDS])
def test_nodes_and_cells_of_the_same_data_are_one_field(name, size):
    """Asked in units. Only a grid of another resolution has other points: nodes keep both ends."""
    model = Interpolation() if name == "bicubic" else Arm(name).model()
    values = Arm("hybrid-plain").samples(size, batch=1).on_grid()[0]
    axes = {"y": np.linspace(3, 7, size[0]), "x": np.linspace(-2, 0, size[1])}
    cells, nodes = (
        model.encode(gl.Samples.from_grid(values, domain=Domain.of_grid(axes, samples=kind)))
        for kind in ("cells", "nodes")
    )
    rng = np.random.default_rng(0)
    asked = {"y": rng.uniform(3, 7, 31), "x": rng.uniform(-2, 0, 31)}
    assert torch.equal(nodes(asked), cells(asked))
    finer = [2 * n - 1 for n in size]
    picture = nodes.to_grid(2)
    assert list(picture.shape[:2]) == finer and list(cells.to_grid(2).shape[:2]) == [2 * n for n in size]
    lines = np.linspace(3, 7, finer[0]), np.linspace(-2, 0, finer[1])
    points = dict(zip(("y", "x"), np.meshgrid(*lines, indexing="ij"), strict=True))
    cell = torch.tensor([1 / (2 * n) for n in size])
    units = {axis: numbers.ravel() for axis, numbers in points.items()}
    torch.testing.assert_close(picture.flatten(0, 1), cells(units, cell), rtol=0, atol=2e-4)


def test_unit_of_the_gradient_is_that_of_the_question():
    model = tiny("hybrid", LOCAL).double()
    values = Arm("hybrid-plain").samples(batch=1, dtype=torch.float64).on_grid()[0]
    domain = Domain.of_grid({"y": np.linspace(3, 7, 8), "x": np.linspace(-2, 0, 8)})
    field, step = model.encode(gl.Samples.from_grid(values, domain=domain)), 1e-6
    y, x = np.array([4.0, 6.1]), np.array([-1.3, -0.2])
    gradient = field.gradient({"y": y, "x": x})
    across = (field({"y": y, "x": x + step}) - field({"y": y, "x": x - step})) / (2 * step)
    down = (field({"y": y + step, "x": x}) - field({"y": y - step, "x": x})) / (2 * step)
    torch.testing.assert_close(gradient, torch.stack([down, across], -1), rtol=1e-4, atol=1e-5)
