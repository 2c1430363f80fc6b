"""Persistence, advection, damped persistence and linear inverse models: what each of them is right about."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from films import SIGNAL, ahead, autoregressive, blobs, damped, domain, moment, past, rms, turning

import gridless as gl
from gridless import config as c
from gridless.bases import Advection, DampedPersistence, Persistence
from gridless.bases.motion import velocities
from gridless.domain import RELATIVE_TIME

# --- persistence --------------------------------------------------------------------------------------------------------


def test_persistence_is_linear_between_frames_and_stays_after_the_last():
    film = blobs(6, 12)
    field = Persistence().encode(ahead(film, 4))
    for number in (0, 3):
        torch.testing.assert_close(field(moment(6, number, 12)).view(12, 12, 1), film[number], rtol=0, atol=1e-6)
    between = field(moment(6, 1.25, 12)).view(12, 12, 1)
    torch.testing.assert_close(between, 0.75 * film[1] + 0.25 * film[2], rtol=0, atol=1e-6)
    for number in (3.4, 5, 5.5):
        torch.testing.assert_close(field(moment(6, number, 12)).view(12, 12, 1), film[3], rtol=0, atol=1e-6)


def test_a_grid_is_the_film_at_its_points():
    samples = ahead(blobs(6, 12), 4)
    field = Persistence().encode(samples)
    torch.testing.assert_close(
        field.to_grid(shape=(9, 5, 7)).flatten(0, 2), field(gl.grid(9, 5, 7), gl.cells(9, 5, 7)), rtol=0, atol=1e-5
    )


def test_time_may_be_any_axis_that_the_domain_names():
    film = blobs(6, 12)
    turned = domain(6)
    turned = gl.Domain(axes=(turned.axes[1], turned.axes[2], turned.axes[0]))
    mask = torch.ones(12, 12, 6, dtype=torch.bool)
    mask[..., 4:] = False
    samples = gl.Samples.from_grid(film.movedim(0, 2), 3, mask, domain=turned)
    asked = moment(6, 4.7, 12)
    for base in (Persistence(), Advection()):
        first = base.encode(ahead(film, 4, domain=domain(6)))(asked)
        torch.testing.assert_close(base.encode(samples)(asked[:, [1, 2, 0]]), first, rtol=0, atol=1e-5)
    field = Persistence().encode(samples)
    torch.testing.assert_close(
        field.to_grid(shape=(5, 7, 9)).flatten(0, 2), field(gl.grid(5, 7, 9), gl.cells(5, 7, 9)), rtol=0, atol=1e-5
    )


def test_scattered_readings_are_asked_no_later_than_the_last_of_them():
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(60, 3, generator=generator) * torch.tensor([0.5, 1, 1])
    values = torch.sin(5 * places[:, 1:2]) + places[:, 2:]
    field = Persistence().encode(gl.Samples.from_points(places, values))
    asked = torch.rand(20, 3, generator=generator)
    asked[:, 0] = places[:, 0].max()
    later = asked.clone()
    later[:, 0] = 0.99
    assert torch.equal(field(later), field(asked))
    assert rms(field(later) - (torch.sin(5 * asked[:, 1:2]) + asked[:, 2:])) < 0.1
    with pytest.raises(ValueError, match="no spread"):
        field.std(later)


# --- advection ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("velocity", [(0.0, 0.0), (1.3, -0.7), (-3.0, 2.4)])
def test_a_moved_film_has_its_velocity_everywhere(velocity):
    film = blobs(8, 32, velocity)
    solved = Advection().solve(ahead(film, 5, domain=domain(8, joins=True)))
    flow = velocities(solved.film, solved.film.last, 2).values[0, 0] * 32
    assert (flow - torch.tensor(velocity)).abs().max() < 0.1
    for number in (5, 7):
        moved = solved(moment(8, number, 32)[None])[0].view(32, 32, 1)
        assert rms(moved - film[number]) < 0.02


def test_inside_a_border_too():
    film = blobs(8, 48, (1.2, 0.8), seed=3)
    solved = Advection().solve(ahead(film, 5))
    flow = solved.latest.values[0, 0].view(48, 48, 2)[8:-8, 8:-8] * 48
    assert (flow.mean((0, 1)) - torch.tensor([1.2, 0.8])).abs().max() < 0.1


def test_a_turning_film_turns_on():
    film = turning(9, 0.12)
    samples = ahead(film, 5)
    advected, persisted = (
        base.encode(samples)(moment(9, 7, 32)).view(32, 32, 1) for base in (Advection(), Persistence())
    )
    assert rms(advected - film[7]) < 0.2 * rms(persisted - film[7])


def test_between_seen_frames_both_are_moved_to_the_time():
    """A frame that was left out comes back where it was; a blend of its neighbours shows everything twice."""
    film = blobs(9, 32, (2.0, 1.0))
    mask = torch.ones(film.shape[:-1], dtype=torch.bool)
    mask[3] = False
    samples = ahead(film, 7, mask, domain=domain(9, joins=True))
    moved, blended = (base.encode(samples)(moment(9, 3, 32)).view(32, 32, 1) for base in (Advection(), Persistence()))
    assert rms(moved - film[3]) < 0.15 * rms(blended - film[3])


def test_units_do_not_matter_to_motion():
    film = blobs(7, 24, (1.0, 0.5))
    asked = moment(7, 6, 24)
    plain, scaled = (Advection().encode(ahead(x, 5))(asked) for x in (film, 1000 * film + 273))
    torch.testing.assert_close(scaled, 1000 * plain + 273, rtol=0, atol=2)


@pytest.mark.parametrize("base", [Persistence(), Advection()], ids=["persistence", "advection"])
def test_frames_of_nothing_crash_no_forecast(base):
    """A frame without rain, frames of which nothing was measured, a single frame, and one that never changes."""
    film = blobs(7, 16, (1.0, 0.0))
    film[2] = 0
    mask = torch.ones(film.shape[:-1], dtype=torch.bool)
    mask[3] = False
    everywhere = torch.rand(1, 40, 3, generator=torch.Generator().manual_seed(0))
    for samples in (
        ahead(film, 5, mask),
        ahead(torch.zeros_like(film), 5),
        ahead(film, 1),
        ahead(torch.full_like(film, 7.0), 5),
        gl.Samples.from_grid(film[:1], 3),
        ahead(film[:, :1, :1], 4),
    ):
        assert base.solve(samples)(everywhere).isfinite().all()
    constant = base.solve(ahead(torch.full_like(film, 7.0), 5))(everywhere)
    torch.testing.assert_close(constant, torch.full_like(constant, 7.0))


@pytest.mark.parametrize("base", [Persistence(), Advection()], ids=["persistence", "advection"])
def test_holes_and_borders_never_answer_zero(base):
    """What comes from outside, and what was not measured, takes the nearest values that were."""
    film = 50 + blobs(7, 16, (2.5, 0.0))
    mask = torch.rand(film.shape[:-1], generator=torch.Generator().manual_seed(0)) > 0.4
    mask[:, 9:, 9:] = False
    values = base.encode(ahead(film, 5, mask))(torch.rand(200, 3, generator=torch.Generator().manual_seed(1)))
    assert values.isfinite().all() and values.min() > 49 and values.max() < 58


def test_advection_beats_persistence_on_a_random_field_that_moves():
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.fft.rfft2(torch.randn(48, 48, generator=generator))
    k = torch.hypot(torch.fft.fftfreq(48)[:, None], torch.fft.rfftfreq(48)[None]) * 48
    smooth = torch.fft.irfft2(spectrum * torch.exp(-((k / 6) ** 2)), s=(48, 48))
    film = torch.stack([smooth.roll((t, -2 * t), (0, 1)) for t in range(9)])[..., None] / smooth.std()
    samples = ahead(film, 5)
    errors = {
        base.name: rms((base.encode(samples)(moment(9, 7, 48)).view(48, 48, 1) - film[7])[10:-10, 10:-10])
        for base in (Advection(), Persistence())
    }
    assert errors["advection"] < 0.2 * errors["persistence"]


def test_advection_of_points_or_a_line_is_refused():
    with pytest.raises(ValueError, match="got scattered samples"):
        Advection().solve(gl.Samples.from_points(torch.rand(9, 3), torch.rand(9, 1)))
    with pytest.raises(ValueError, match="axis of space"):
        Advection().solve(gl.Samples.from_grid(torch.rand(9, 1), 1))


# --- damped persistence -------------------------------------------------------------------------------------------------


def test_the_autocorrelation_of_an_ar_1_is_recovered():
    base = damped(autoregressive(600, 0.8), leads=6)
    expected = 0.8 ** torch.arange(7.0)
    torch.testing.assert_close(base.correlation[:, 0], expected, rtol=0, atol=0.02)
    torch.testing.assert_close(base.error[:, 0], (1 - expected**2).sqrt(), rtol=0, atol=0.02)


@pytest.mark.parametrize("usual", ["level", "mean", "day"])
def test_damped_persistence_beats_persistence_and_knows_its_error(usual):
    film = autoregressive(700, 0.7)
    base = damped(film[:500], usual=usual, leads=4)
    errors, persisted, deviations = [], [], []
    for start in range(500, 690, 5):
        samples = ahead(film[start : start + 6], 3, domain=domain(6, start))
        field, asked = base.encode(samples), moment(6, 5, 6)
        mean, std = field.mean_and_std(asked)
        errors.append(mean - film[start + 5].flatten(0, 1))
        persisted.append(Persistence().encode(samples)(asked) - film[start + 5].flatten(0, 1))
        deviations.append(std)
    errors, deviations = torch.stack(errors), torch.stack(deviations)
    assert rms(errors) < 0.85 * rms(torch.stack(persisted))
    assert 0.9 < rms(errors) / rms(deviations) < 1.15


def test_at_seen_frames_it_is_what_was_seen_and_nearly_certain():
    film = autoregressive(200, 0.8)
    base = damped(film[:150])
    field = base.encode(ahead(film[150:156], 4, domain=domain(6, 150)))
    for number in (0, 3):
        mean, std = field.mean_and_std(moment(6, number, 6))
        torch.testing.assert_close(mean.view(6, 6, 1), film[150 + number], rtol=0, atol=1e-3)
        assert (std > 0).all() and (std < 0.01).all()
    between = field.std(moment(6, 1.5, 6))
    assert (between > 0.2).all() and (field.std(moment(6, 4.5, 6)) > between).all()


def test_it_is_unsure_at_holes():
    film = autoregressive(200, 0.8)
    base = damped(film[:150])
    mask = torch.ones(6, 6, 6, dtype=torch.bool)
    mask[:, 3, 3] = False
    std = base.encode(ahead(film[150:156], 4, mask, domain=domain(6, 150))).std(moment(6, 3, 6)).view(6, 6)
    assert 0.7 < std[3, 3] < 1.3 and std[0, 0] < 0.01


def test_beyond_the_longest_lead_it_goes_on_fading():
    film = autoregressive(400, 0.8)
    base = damped(film, leads=3)
    samples = ahead(film[100:130], 4, domain=domain(30, 100))
    field, usual = base.encode(samples), film.mean(0).flatten(0, 1)
    away = [rms(field(moment(30, number, 6)) - usual) for number in (3, 6, 9, 29)]
    assert away[0] > away[1] > away[2] > away[3] and away[3] < 0.05
    assert 0.8 < rms(field.std(moment(30, 29, 6))) < 1.2


def test_a_day_comes_back_to_its_hour():
    """The climatology of the day knows the hour of a lead; that of the mean does not."""
    hours = torch.arange(240.0)
    film = autoregressive(240, 0.5) + 5 * torch.sin(hours * 2 * torch.pi / 24)[:, None, None, None]
    samples = ahead(film[200:210], 4, domain=domain(10, 200))
    asked, truth = moment(10, 9, 6), film[209].flatten(0, 1)
    errors = {u: rms(damped(film[:190], usual=u).encode(samples)(asked) - truth) for u in ("mean", "day")}
    assert errors["day"] < 1.5 < errors["mean"]
    time = c.Axis(name="time", unit=RELATIVE_TIME, start=-1800.0, length=36000.0)
    relative = gl.Domain(axes=(time, *samples.domain.axes[1:]))
    base = damped(film[:190], usual="day")
    first = np.datetime64("2020-01-01T00") + np.timedelta64(200, "h")
    epoch = torch.tensor([first.astype("datetime64[s]").astype(float)], dtype=torch.float64)
    answer = base.encode(replace(ahead(film[200:210], 4, domain=relative), epoch=epoch))(asked)
    torch.testing.assert_close(answer, base.encode(samples)(asked), rtol=0, atol=1e-3)
    with pytest.raises(ValueError, match="needs to know when"):
        base.solve(ahead(film[200:210], 4, domain=relative))


def test_a_lead_is_counted_in_the_step_of_the_past():
    """Two-hourly frames fade by two hours each."""
    film = autoregressive(400, 0.8)
    base = damped(film[:300])
    hourly = base.encode(ahead(film[300:308], 5, domain=domain(8, 300)))
    sparse = domain(8, 300)
    every = film[300:308:2]
    coarse = gl.Samples.from_grid(every, 3, torch.tensor([1, 1, 1, 0]).bool().view(4, 1, 1).expand(4, 6, 6),
                                  domain=gl.Domain(axes=(c.Axis(name="time", unit=sparse.axes[0].unit,
                                                                start=sparse.axes[0].start - 1800.0, length=28800.0),
                                                         *sparse.axes[1:])))  # fmt: skip
    asked = moment(4, 3, 6)
    torch.testing.assert_close(base.encode(coarse)(asked), hourly(moment(8, 6, 6)), rtol=0, atol=1e-3)


def test_scattered_readings_fade_too():
    film = autoregressive(300, 0.8)
    base = damped(film[:250])
    index = torch.randperm(36, generator=torch.Generator().manual_seed(0))[:20]
    coords = moment(4, 1, 6)[index]
    readings = gl.Samples(film[260].flatten(0, 1)[index][None], coords=coords[None], domain=domain(4, 259))
    field = base.encode(readings)
    seen, later = field.mean_and_std(coords), field.mean_and_std(moment(4, 3, 6)[index])
    usual = film.mean(0).flatten(0, 1)[index]
    assert rms(later[0] - usual) < 0.8 * rms(seen[0] - usual)
    assert (later[1] > seen[1]).all()


def test_another_place_is_refused_unless_the_usual_knows_none():
    film = autoregressive(60, 0.8)
    other = domain(6)
    other = gl.Domain(axes=(other.axes[0], *(c.Axis(name=n, unit="km", start=5.0, length=2.0) for n in "yx")))
    with pytest.raises(ValueError, match="another domain than the films of the past"):
        damped(film).solve(ahead(film[:6], 4, domain=other))


def test_films_of_other_kinds_are_refused():
    base = DampedPersistence(c.DampedPersistence(), SIGNAL)
    film = autoregressive(20, 0.5)
    with pytest.raises(ValueError, match="films on a grid of 3 axes"):
        base.fit([film[0]])
    with pytest.raises(ValueError, match="share one grid"):
        base.fit(past(film, film[:, :4]))
    with pytest.raises(ValueError, match="at least 3 frames"):
        base.fit(past(film[:2]))
    with pytest.raises(ValueError, match="needs films with times"):
        DampedPersistence(c.DampedPersistence(usual="year"), SIGNAL).fit([film])


# --- beside a model -----------------------------------------------------------------------------------------------------


def test_they_are_rows_of_a_forecast(monkeypatch):
    from gridless.runs import baselines

    film = autoregressive(60, 0.8)
    monkeypatch.setattr(baselines, "load_data", lambda data, split: past(film))
    task = gl.Forecast(seen=3, ahead=3, windows=4, leads=(1, 3))
    recipe = c.Recipe(task=task, model=c.Model(signal=SIGNAL, base=c.DampedPersistence(usual="level")))
    model = gl.FieldModel.__new__(gl.FieldModel)
    torch.nn.Module.__init__(model)
    model.base = DampedPersistence(recipe.model.base, SIGNAL)
    model.base.fit(past(film))
    rows = baselines.classical(task, recipe, model)
    assert tuple(rows) == baselines.FORECASTS
    assert rows["damped-persistence"].base is model.base
    assert set(baselines.classical(task, recipe, model, ("advection",))) == {"advection"}
    scores = gl.evaluate(rows, past(autoregressive(40, 0.8, seed=3)), task)
    rmse = {name: [r["value"] for r in scores if (r["model"], r["metric"]) == (name, "rmse")] for name in rows}
    assert len(rmse["persistence"]) == 8 and np.mean(rmse["damped-persistence"]) < np.mean(rmse["persistence"])


def test_the_benchmark_asks_what_was_not_learned(monkeypatch):
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import forecast_rows

    values = autoregressive(50, 0.8).numpy()[..., 0]
    values[:, 2, 2] = np.nan
    film = forecast_rows.Film("test", "K", values, domain(50), "mean", 30, 3, (1, 2), 4)
    assert len(film.past()[0].values) == 30 and not film.past()[0].mask[:, 2, 2].any()
    windows = list(film.windows())
    assert len(windows) == 4 and np.array_equal(windows[0][1][0], values[33], equal_nan=True)
    methods = forecast_rows.methods(film, ("persistence", "damped-persistence"))
    scores = {(row["model"], row["lead"]): row for row in forecast_rows.rows(film, methods)}
    assert scores["damped-persistence", 2]["rmse"] < scores["persistence", 2]["rmse"]
    assert 0.6 < scores["damped-persistence", 2]["coverage_90"] <= 1
    truth = np.stack([truth[1] for _, truth in windows])
    last = np.stack([values[start + 2] for start in (30, 34, 38, 42)])
    assert abs(scores["persistence", 2]["rmse"] - np.sqrt(np.nanmean((truth - last) ** 2))) < 1e-3
