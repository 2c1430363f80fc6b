"""Covariates and times beside places: axes whose lengths cannot be compared, in one kriging."""

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.bases.neighbourhoods import Neighbourhoods
from gridless.bases.stretches import stretches_of, trends_of

PLACES = gl.Domain.box({"lat": (44, 49), "lon": (5, 15)})
HIGH = PLACES.with_covariate("elevation", 0, 3000, "m")
KRIGING = gl.bases.Kriging(kernels=("matern32", "squared-exponential"))


def smooth(rng: np.random.Generator, columns: list[np.ndarray], lengths: list[float]) -> np.ndarray:
    """A random field of variance 1: cosines with normal frequencies of these lengths."""
    frequency = rng.standard_normal((400, len(columns))) / np.array(lengths)
    phase, weight = rng.uniform(0, 2 * np.pi, 400), rng.standard_normal(400)
    return np.cos(np.stack(columns, -1) @ frequency.T + phase) @ weight * np.sqrt(2 / 400)


def stations(seed: int, rate: float, count: int = 120) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Places with their elevation, the temperature there (°C) and a reading of it: a smooth field less `rate` K per km."""
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(44, 49, count), rng.uniform(5, 15, count)
    elevation = np.minimum(3000, rng.gamma(1.2, 500, count))
    level = 15 + 2 * smooth(rng, [lat, lon], [2.0, 3.0]) - rate * elevation / 1000
    return {"lat": lat, "lon": lon, "elevation": elevation}, level, level + rng.normal(0, 0.3, count)


def split(where: dict[str, np.ndarray], first: int, names) -> tuple[dict, dict]:
    return {n: where[n][:first] for n in names}, {n: where[n][first:] for n in names}


def rmse(seed: int, rate: float, domain: gl.Domain, first: int = 60, regression: bool = False) -> float:
    """Of kriging in `domain` at the places that are not seen; `regression`: of the residuals of a line over elevation."""
    where, truth, reading = stations(seed, rate)
    seen, asked = split(where, first, domain.names)
    line = np.zeros(len(truth))
    if regression:
        line = np.polyval(np.polyfit(where["elevation"][:first], reading[:first], 1), where["elevation"])
    field = KRIGING.encode(gl.Samples.from_points(seen, (reading - line)[:first, None], domain=domain))
    answer = field(asked)[:, 0].numpy() + line[first:]
    return float(np.sqrt(np.square(answer - truth[first:]).mean()))


def test_axes_of_other_units_and_covariates_are_groups_of_their_own():
    assert PLACES.groups == (0, 0, 0)
    assert HIGH.groups == (0, 0, 0, 1)
    assert HIGH.with_covariate("day", 0, 365.25, period=365.25).groups == (0, 0, 0, 1, 2, 2)
    metres = gl.Domain.box({"y": (0, 9000), "x": (0, 300), "t": (0, 5)}, y="m", x="m", t="h")
    assert metres.groups == (0, 0, 1) and metres.with_covariate("elevation", 0, 10, "m").groups == (0, 0, 1, 2)
    mixed = gl.Domain(axes=(PLACES.axes[0], metres.axes[2], PLACES.axes[1]), sphere=(0, 2))
    assert mixed.groups == (0, 0, 0, 1) and mixed.embed(torch.rand(5, 3)).shape == (5, 4)


def test_a_covariate_has_a_scale_of_its_own():
    far = gl.Domain.box({"y": (0, 9000), "x": (0, 300)}, y="m", x="m").with_covariate("elevation", 0, 10, "m")
    ends = far.embed(torch.tensor([[0.0, 0, 0], [1, 1, 1]]))
    torch.testing.assert_close(ends[1] - ends[0], torch.tensor([1, 300 / 9000, 1]))
    around = gl.Domain.around({"x": [0.0, 1.0], "elevation": [0.0, 900.0]}, covariates=["elevation"])
    assert [axis.covariate for axis in around.axes] == [False, True]
    with pytest.raises(ValueError, match="no axis is called height, which is to be a covariate; there are x"):
        gl.Domain.around({"x": [0.0, 1.0]}, covariates=["height"])


def test_one_quantity_has_the_hypotheses_that_it_had():
    assert stretches_of((0, 0), (0.5, 1, 2), (1.0,)) == [(1.0, 1.0)]
    assert stretches_of((0, 0), (0.5, 1, 2), (0.5, 1, 2)) == [(1, 1), (0.5, 1), (2, 1), (1, 0.5), (1, 2)]
    assert trends_of("either", (0, 0, 0)) == ((0, 0, 0), (1, 1, 1))
    assert stretches_of((0, 0, 1, 2), (1, 4), (1.0,)) == [(1, 1, a, b) for a in (1, 4) for b in (1, 4)]
    assert trends_of("either", (0, 0, 1)) == ((0, 0, 0), (0, 0, 1), (1, 1, 1))


def test_a_lapse_rate_is_learned_from_the_stations():
    """By far better than places alone, and no worse than regression kriging."""
    errors = {name: np.mean([rmse(seed, 6.5, *how) for seed in range(4)]) for name, how in {
        "places": (PLACES,), "elevation": (HIGH,), "regression": (PLACES, 60, True)}.items()}  # fmt: skip
    assert errors["elevation"] < 0.5 * errors["places"]
    assert errors["elevation"] < 1.05 * errors["regression"]


def test_a_covariate_that_says_nothing_costs_little():
    errors = [np.mean([rmse(seed, 0.0, domain) for seed in range(6)]) for domain in (PLACES, HIGH)]
    assert errors[1] < 1.03 * errors[0]


def test_the_gradient_along_a_covariate_is_the_lapse_rate():
    where, _, reading = stations(0, 6.5)
    field = KRIGING.encode(gl.Samples.from_points(where, reading[:, None], domain=HIGH))
    slope = field.gradient({"lat": [46.0, 47.0], "lon": [8.0, 12.0], "elevation": [500.0, 800.0]})[:, 0, 2]
    assert slope.tolist() == pytest.approx([-0.0065, -0.0065], abs=0.0008)


def test_a_day_of_the_year_joins_at_its_end():
    """Readings of many days at few places; the last day of the year is beside the first."""
    rng = np.random.default_rng(1)
    domain = gl.Domain.box({"x": (0, 100)}, x="km").with_covariate("day", 0, 365.25, "d", period=365.25)
    x, day = rng.uniform(0, 100, 80), rng.uniform(20, 345, 80)
    value = 10 * np.cos(2 * np.pi * (day - 200) / 365.25) + 0.02 * x
    field = KRIGING.encode(gl.Samples.from_points({"x": x, "day": day}, value[:, None], domain=domain))
    turn = field({"x": 50.0, "day": [0.0, 365.25, 364.0, 1.0]})[:, 0]
    assert turn[0] == turn[1] and (turn[2] - turn[3]).abs() < 0.3
    assert turn[0] == pytest.approx(10 * np.cos(2 * np.pi * 200 / 365.25) + 1, abs=0.7)


@pytest.mark.parametrize("hours", [2.0, 200.0], ids=["quick", "slow"])
def test_places_and_time_have_lengths_of_their_own(hours):
    """Latitude, longitude and time in one kriging: a field that changes fast or slowly is answered as if its length in time
    were known, and better than with one length for both."""
    rng = np.random.default_rng(int(hours))
    times = np.datetime64("2024-01-01") + (rng.uniform(0, 48, 260) * 3600).astype("timedelta64[s]")
    lat, lon = rng.uniform(44, 49, 260), rng.uniform(5, 15, 260)
    passed = (times - np.datetime64("2024-01-01")) / np.timedelta64(1, "h")
    value = smooth(rng, [lat, lon, passed], [1.5, 2.2, hours * 1.5]) + rng.normal(0, 0.05, 260)
    domain = gl.Domain.around({"lat": lat, "lon": lon, "time": times})
    assert domain.groups == (0, 0, 0, 1)
    seen = gl.Samples.from_points(
        {"lat": lat[:160], "lon": lon[:160], "time": times[:160]}, value[:160, None], domain=domain
    )
    asked = {"lat": lat[160:], "lon": lon[160:], "time": times[160:]}
    errors = {}
    for name, ratios in {"weighed": (0.25, 1.0, 4.0, 64.0), "one": (1.0,)}.items():
        kriging = gl.bases.Kriging(kernels=("matern32", "squared-exponential"), ratios=ratios)
        errors[name] = float((kriging.encode(seen)(asked)[:, 0].numpy() - value[160:]).std())
    assert errors["weighed"] < (0.8 if hours > 100 else 1.01) * errors["one"]
    if hours > 100:
        assert errors["weighed"] < 0.35


def test_units_batch_mates_and_order_say_nothing_beside_covariates():
    fields = [stations(seed, 6.5, 40) for seed in range(2)]
    samples = [gl.Samples.from_points(w, r[:, None], domain=HIGH) for w, _, r in fields]
    coords = torch.rand(1, 9, 3, generator=torch.Generator().manual_seed(0))
    together = KRIGING.encode(gl.Samples.stack(samples))(coords.expand(2, -1, -1))
    alone = KRIGING.encode(samples[0])(coords)
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-4)
    where, _, reading = fields[0]
    order = np.random.default_rng(0).permutation(40)
    shuffled = gl.Samples.from_points({k: v[order] for k, v in where.items()}, reading[order, None], domain=HIGH)
    torch.testing.assert_close(KRIGING.encode(shuffled)(coords), alone, rtol=0, atol=1e-4)
    hot = gl.Samples.from_points(where, 9 * reading[:, None] + 300, domain=HIGH)
    torch.testing.assert_close(KRIGING.encode(hot)(coords), 9 * alone + 300, rtol=1e-5, atol=1e-3)
    mean, std = KRIGING.encode(samples[0]).mean_and_std(coords)
    assert mean.isfinite().all() and (std > 0).all()


def test_many_readings_are_near_by_what_matters():
    """Neighbours are chosen by the likeliest stretch: a random covariate must not scatter them."""
    x = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stretched = Neighbourhoods.of(x, 60, torch.tensor([1.0, 1.0, 1 / 64], dtype=torch.float64))
    away = (x[stretched.index][..., :2] - stretched.centre[:, None, :2]).norm(dim=-1)
    assert away.max() < 0.25  # a disk of 60 of 2,000 has a radius of 0.1, a ball one of 0.19
    one = Neighbourhoods.of(x, 60, torch.ones(3, dtype=torch.float64))
    assert (x[one.index][..., :2] - one.centre[:, None, :2]).norm(dim=-1).mean() > 1.4 * away.mean()


def test_neighbourhoods_answer_beside_a_covariate(monkeypatch):
    monkeypatch.setattr("gridless.bases.kriging.LARGEST", 270)
    where, truth, reading = stations(3, 6.5, 420)
    seen, asked = split(where, 300, HIGH.names)
    field = KRIGING.encode(gl.Samples.from_points(seen, reading[:300, None], domain=HIGH))
    assert field.solved.pieces[0].neighbourhoods is not None
    assert np.sqrt(np.square(field(asked)[:, 0].numpy() - truth[300:]).mean()) < 0.5
    assert field.sample(asked, n=2).isfinite().all()


def test_pooled_hypotheses_know_the_quantities():
    fields = [
        gl.Samples.from_points(w, r[:, None], domain=HIGH) for w, _, r in (stations(s, 6.5, 40) for s in range(3))
    ]
    small = gl.bases.Kriging(kernels=("matern32",), lengths=(0.1, 0.5), noises=(0.03, 0.2), ratios=(1.0, 64.0))
    pooled = gl.bases.Kriging.pooled(fields, small)
    assert len(pooled.extent) == 4 and pooled.encode(fields[0])(torch.rand(5, 3)).isfinite().all()


def test_known_noise_and_several_channels_beside_covariates():
    where, truth, reading = stations(5, 6.5, 50)
    values = np.stack([reading, -reading], -1)
    samples = gl.Samples.from_points(where, values, noise=np.full(50, 0.3), domain=HIGH)
    mean, std = KRIGING.encode(samples).mean_and_std(where)
    assert (std > 0).all() and np.sqrt(np.square(mean[:, 0].numpy() - truth).mean()) < 0.3
    torch.testing.assert_close(mean[:, 0], -mean[:, 1], rtol=1e-4, atol=1e-4)
