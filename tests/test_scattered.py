"""Classical fields from scattered readings: each reproduces what it can, and says how sure it is where it knows."""

import numpy as np
import pytest
import torch
from conftest import question

import gridless as gl
from gridless.bases import SCATTERED, Kriging, Scattered
from gridless.bases.scattered import InverseDistance
from gridless.data.sources import signals


@pytest.fixture
def points() -> torch.Tensor:
    return torch.rand(40, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", SCATTERED)
def test_the_mean_of_constants_is_the_constant(kind, points):
    field = Scattered(kind).encode(gl.Samples.from_points(points, torch.full((40, 2), 0.5)))
    torch.testing.assert_close(field(torch.rand(30, 2)), torch.full((30, 2), 0.5), rtol=0, atol=2e-3)


@pytest.mark.parametrize("kind", ["nearest", "idw", "linear", "rbf"])
def test_clean_readings_come_back(kind, points):
    values = torch.rand(40, 1)
    field = Scattered(kind).encode(gl.Samples.from_points(points, values))
    torch.testing.assert_close(field(points), values, rtol=0, atol=1e-4)


def test_inverse_distances_weigh_by_their_square_and_may_see_the_nearest_only():
    x, y = np.array([[0.0, 0.0], [0.3, 0.0], [1.0, 0.0]]), np.array([[1.0], [2.0], [9.0]])
    weights = 1 / np.array([0.1, 0.2, 0.9]) ** 2
    asked = np.array([[0.1, 0.0]])
    np.testing.assert_allclose(InverseDistance(x, y)(asked), (weights @ y / weights.sum())[None])
    np.testing.assert_allclose(
        InverseDistance(x, y, neighbours=2)(asked), (weights[:2] @ y[:2] / weights[:2].sum())[None]
    )
    np.testing.assert_allclose(InverseDistance(x, y)(x), y)


def test_linear_reproduces_planes_and_kriging_smooth_fields(points):
    def plane(x):
        return 0.2 + 0.5 * x[:, :1] - 0.3 * x[:, 1:]

    inside = torch.rand(50, 2) * 0.4 + 0.3
    for kind in ("linear", "rbf"):
        field = Scattered(kind).encode(gl.Samples.from_points(points, plane(points)))
        torch.testing.assert_close(field(inside), plane(inside), rtol=0, atol=1e-4)

    def smooth(x):
        return (3 * x[:, :1]).sin() * (2 * x[:, 1:]).cos()

    field = Scattered("gp").encode(gl.Samples.from_points(points, smooth(points)))
    assert (field(inside) - smooth(inside)).abs().max() < 0.02


def test_kriging_is_less_sure_where_nothing_was_read():
    near = torch.rand(30, 2) * 0.3
    field = Scattered("gp").encode(gl.Samples.from_points(near, (9 * near[:, :1]).sin()))
    std = field.std(torch.tensor([[0.15, 0.15], [0.95, 0.95]]))
    assert 0 < std[0] < 0.2 * std[1]
    with pytest.raises(ValueError, match="no spread"):
        Scattered("rbf").encode(gl.Samples.from_points(near, near[:, :1])).std(near)


@pytest.mark.parametrize("kind", SCATTERED)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_readings_or_readings_on_one_line(kind, count):
    coords = torch.linspace(0.1, 0.8, count)[:, None].expand(-1, 2)
    field = Scattered(kind).encode(gl.Samples.from_points(coords, torch.rand(count, 1)))
    assert field(torch.rand(9, 2)).isfinite().all()


def test_masked_readings_are_not_read(points):
    mask, values = torch.ones(40, dtype=torch.bool), torch.rand(40, 1)
    mask[25:] = False
    for kind in ("mean", "nearest", "linear", "rbf", "gp"):
        seen = Scattered(kind).encode(gl.Samples.from_points(points, values, mask))
        alone = Scattered(kind).encode(gl.Samples.from_points(points[:25], values[:25]))
        torch.testing.assert_close(seen(points), alone(points))


def test_the_oracle_finds_the_wave():
    waves, samples = question("simple", "val", 6, 51, 0.0)
    coords = torch.rand(6, 100, 2)
    torch.testing.assert_close(Scattered("oracle").encode(samples)(coords), waves(coords), rtol=0, atol=1e-3)


def test_an_unknown_baseline_names_those_there_are():
    with pytest.raises(
        ValueError, match="no baseline 'spline' for scattered readings; there are mean, nearest, idw, linear"
    ):
        Scattered("spline")


def scattered_readings(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((count, 2))
    wave = np.sin(5 * x[:, :1]) + np.cos(4 * x[:, 1:])
    return x, wave + noise * rng.standard_normal((count, 1))


def test_a_further_reading_scatters_more_than_the_field():
    """By the noise that was fitted: only so do nine of ten held-out readings lie within the nominal interval."""
    x, y = scattered_readings(460, 0.3)
    field = Scattered("gp").encode(gl.Samples.from_points(x[:60], y[:60]))
    mean, of_the_field = field.mean_and_std(x[60:])
    of_a_reading = field.std(x[60:], reading=True)
    noise = (of_a_reading.square() - of_the_field.square()).sqrt()
    torch.testing.assert_close(noise, noise[:1].expand_as(noise))
    assert 0.2 < noise[0] < 0.4
    inside = [
        float(((mean - torch.from_numpy(y[60:])).abs() < 1.645 * s).float().mean())
        for s in (of_the_field, of_a_reading)
    ]
    assert inside[0] < 0.7 and 0.85 < inside[1] < 0.95
    with pytest.raises(ValueError, match="no spread"):
        Scattered("idw").encode(gl.Samples.from_points(x[:60], y[:60])).std(x, reading=True)


@pytest.mark.parametrize("base", [Scattered("gp"), Kriging()], ids=["gp", "kriging"])
def test_stations_are_asked_as_readings_and_grids_as_fields(base):
    x, y = scattered_readings(200, 0.3)
    lattice = np.sin(np.linspace(0, 5, 14))[:, None, None] + 0.3 * np.random.default_rng(1).standard_normal((14, 14, 1))
    task = gl.SparseField(counts=(50,), noises=(0.0,))
    for signal, reading in ((gl.Samples.from_points(x, y), True), (lattice, False)):
        rows = gl.evaluate({"base": base}, signal if reading else [signal], task)
        (case,) = task.cases(signals(signal if reading else [signal]))
        assert case.readings == reading
        mean, std = base.encode(case.samples).mean_and_std(case.coords, reading=reading)
        inside = np.abs(mean.numpy() - case.truth) < 1.6449 * std.numpy()
        (coverage,) = [row["value"] for row in rows if row["metric"] == "coverage_90"]
        assert coverage == pytest.approx(inside.mean(), abs=1e-6)
