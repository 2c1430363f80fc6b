"""Films: what a forecasting task shows and asks, and the laws of a network that is told the moment."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny
from every_model import FILM, Arm

import gridless as gl
from gridless.bases import Kriging
from gridless.config import Axis, DampedPersistence, Signal
from gridless.config.merging import merge
from gridless.data.forecasts import FilmWindow, window_domain
from gridless.data.signals import GridSignal
from gridless.data.sources import signals
from gridless.domain import RELATIVE_TIME, TIME, Domain
from gridless.network.encoded import Tokens
from gridless.network.encoders.contexts import partition

FILMS = ("film", "film-mamba", "film-untold", "film-latent", "film-field", "film-thinned")
HOUR = 3600.0


def film(frames: int = 12, side: int = 6) -> GridSignal:
    """A blob that moves to the right, on a plane in metres, every hour."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(side), np.arange(side), indexing="ij")
    values = np.exp(-((x - 0.3 * t) ** 2 + (y - 2.5) ** 2) / 4)[..., None].astype(np.float32)
    axes = (
        Axis(name="time", unit=TIME, start=1e9, length=frames * HOUR),
        Axis(name="y", unit="m", start=0, length=side),
        Axis(name="x", unit="m", start=0, length=side),
    )
    return GridSignal("blob", values, domain=Domain(axes=axes))


def drawn(task: gl.Forecast, batch: int = 4, queries: int | None = None):
    return task.draw(signals([film()]), np.random.default_rng(3), window=(1,), batch=batch, queries=queries)


def test_what_comes_is_a_hole_at_the_end():
    batch = drawn(gl.Forecast(seen=3, ahead=2))
    mask = batch.samples.mask_on_grid()
    assert batch.samples.shape == (5, 6, 6) and mask[:, :3].all() and not mask[:, 3:].any()
    assert not batch.samples.values.unflatten(1, (5, 6, 6))[:, 3:].any()  # nobody sees the truth behind the hole


def test_one_moment_of_each_window_is_asked_and_its_truth_is_the_frame():
    batch, blob = drawn(gl.Forecast(seen=3, ahead=2)), film()
    for coords, target in zip(batch.coords, batch.target, strict=True):
        assert coords[:, 0].unique().numel() == 1
        assert any(np.allclose(target[:, 0], frame[..., 0].ravel()) for frame in blob.values)


@pytest.mark.parametrize(
    ("task", "seen"),
    [
        (gl.Forecast(seen=2, ahead=1, sensors=7), 14),
        (gl.Forecast(seen=2, ahead=1, sensors=7, moving=True), 14),
        (gl.Forecast(seen=2, ahead=1, missing=0.25), 2 * 27),
    ],
    ids=["sensors", "moving", "missing"],
)
def test_sensors_and_missing_regions_are_holes(task, seen):
    mask = drawn(task).samples.mask_on_grid()
    assert (mask.sum((1, 2, 3)) == seen).all() and not mask[:, 2].any()
    assert bool((mask[:, 0] == mask[:, 1]).all()) is not task.moving


def test_noise_grows_with_the_value():
    clean, noisy = (drawn(gl.Forecast(seen=2, ahead=1, noise=noise)).samples for noise in (0.0, 0.5))
    error = (noisy.values - clean.values).abs()
    assert error.max() > 0.1 and not error[clean.values.abs() < 1e-6].any()


def test_evaluation_asks_what_comes_and_what_lies_between():
    leads = [case.tags["lead"] for case in gl.Forecast(seen=2, ahead=2, step=2, windows=1).cases(signals([film()]))]
    assert leads == [-0.5, 0.5, 1.0, 1.5, 2.0]
    few = gl.Forecast(seen=2, ahead=2, leads=(2,), stride=3)
    cases = list(few.cases(signals([film()])))
    assert [case.tags["lead"] for case in cases] == [2.0] * 3
    assert np.array_equal(cases[1].truth, film().values[3 + 3].reshape(-1, 1))
    assert cases[1].samples.domain.axes[0].start == 1e9 + 3 * HOUR  # an evaluation knows the date


def test_a_window_of_training_counts_its_time_from_its_first_frame():
    domain = window_domain(film(), 4, 2)
    assert domain.axes[0] == Axis(name="time", unit=RELATIVE_TIME, start=-HOUR, length=8 * HOUR)
    assert domain.axes[1:] == film().domain.axes[1:]


def test_a_film_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="blob has 12 frames; task.seen, task.ahead and task.step ask for 13"):
        drawn(gl.Forecast(seen=12, ahead=1))


def test_training_teaches_the_model_its_window_of_time():
    model = gl.FieldModel(gl.preset("scent-time", "tiny"))
    task = gl.Forecast(seen=3, ahead=2)
    gl.fit(model, [film()], task, steps=2, train=gl.Train(batch=2, queries=9, loss="relative"), quiet=True)
    assert (model.config.film.frames, model.config.film.seen) == (5, 3)
    assert model.domain.axes[0].length == 5 * HOUR


# --- laws of the reader ------------------------------------------------------------------------------------------------


def field_and_questions(name: str, dtype=torch.float32) -> tuple[gl.Field, torch.Tensor]:
    """Questions about four moments, before, among and after the readings."""
    arm = Arm(name)
    field = arm.fresh().to(dtype).encode(arm.samples(dtype=dtype))
    coords = torch.rand(2, 12, 2, generator=torch.Generator().manual_seed(4), dtype=dtype)
    coords[..., 0] = torch.tensor([0.02, 0.4, 0.7, 0.98], dtype=dtype).repeat(3)
    return field, coords


@pytest.mark.parametrize("name", FILMS)
def test_an_answer_depends_on_no_other_moment(name):
    field, coords = field_and_questions(name)
    with torch.no_grad():
        whole = field(coords)
        for q in range(12):
            torch.testing.assert_close(field(coords[:, q : q + 1]), whole[:, q : q + 1], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", FILMS)
def test_the_slope_by_time_holds_the_encoding_s_part(name):
    field, coords = field_and_questions(name, torch.float64)
    gradient, step = field.gradient(coords), 1e-6
    for axis in range(2):
        shift = torch.zeros(2, dtype=torch.float64)
        shift[axis] = step
        with torch.no_grad():
            difference = (field(coords + shift) - field(coords - shift)) / (2 * step)
        torch.testing.assert_close(gradient[..., axis], difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FILMS)
def test_the_order_of_readings_says_nothing(name):
    arm, coords = Arm(name), torch.rand(2, 9, 2)
    samples, model = arm.samples(), arm.fresh()
    order = torch.randperm(samples.values.shape[1])
    other = replace(samples, values=samples.values[:, order], coords=samples.coords[:, order])
    with torch.no_grad():
        torch.testing.assert_close(model.encode(samples)(coords), model.encode(other)(coords), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "diff", [{}, {"film": {"unroll": "latent"}}, {"base": {"kind": "kriging"}, "film": {"unroll": "latent"}}]
)
def test_holes_of_a_grid_are_readings_that_nobody_has(diff):
    model, generator = tiny("scent-time", {**FILM, **diff}), torch.Generator().manual_seed(0)
    values, mask = torch.rand(8, 5, 1, generator=generator), torch.rand(8, 5, generator=generator) < 0.4
    mask[5:] = False
    holed = gl.Samples.from_grid(values, mask=mask)
    points = gl.Samples.from_points(gl.grid(8, 5)[mask.flatten()], values.flatten(0, 1)[mask.flatten()])
    coords = torch.rand(9, 2, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(holed)(coords), model.encode(points)(coords), rtol=0, atol=1e-4)


@pytest.mark.parametrize("unroll", ["field", "latent"])
def test_how_far_the_domain_reaches_changes_no_answer(unroll):
    """A film of eight frames, and the same in a domain of twenty: the first moments are the same ones."""
    model = tiny("scent-time", {**FILM, "film": {"unroll": unroll}})
    axes = (Axis(name="time", unit="s", length=8.0), Axis(name="x", unit="m", length=1.0))
    model.adopt(replace(model.config, domain=gl.config.Domain(axes=axes)))
    values = torch.rand(4, 5, 1)
    coords = torch.rand(9, 2)
    answers = []
    for frames in (8, 20):
        full = torch.cat([values, torch.zeros(frames - 4, 5, 1)])
        mask = (torch.arange(frames) < 4)[:, None].expand(frames, 5)
        domain = Domain(axes=(replace(axes[0], length=float(frames)), axes[1]))
        samples = gl.Samples.from_grid(full, mask=mask, domain=domain)
        with torch.no_grad():
            answers.append(model.encode(samples)(coords * torch.tensor([8 / frames, 1.0])))
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=2e-5)


def test_beyond_the_horizon_answers_are_read_again():
    """A jump of the field equals what a user does by hand: ask at the readings' places, encode, ask again."""
    model = tiny("scent-time", {**FILM, "film": {"frames": 3, "seen": 1}})
    axes = (Axis(name="time", unit="s", length=3.0), Axis(name="x", unit="m", length=1.0))
    model.adopt(replace(model.config, domain=gl.config.Domain(axes=axes)))
    domain = Domain(axes=(replace(axes[0], length=6.0), axes[1]))
    x = torch.linspace(0.1, 0.9, 7)

    def places(time: float) -> torch.Tensor:
        return torch.stack([torch.full_like(x, time), x], -1)

    def at(time: float) -> torch.Tensor:
        return places(time) / torch.tensor([6.0, 1.0])

    with torch.no_grad():
        first = model.encode(gl.Samples.from_points(places(0.5), torch.rand(7, 1), domain=domain))
        between = first(at(2.5))  # two frames after the only one that is seen: the horizon
        level, scale = first.samples.standard()
        again = gl.Samples.from_points(places(2.5), between, domain=domain)
        second = model.encode(replace(again, level=level, scale=scale))
        torch.testing.assert_close(first(at(4.0)), second(at(4.0)), rtol=0, atol=1e-5)
        assert (first(at(4.0)) - between).abs().max() > 1e-3


def test_groups_follow_from_places_outside_of_training():
    tokens = Tokens(torch.rand(1, 20, 4), torch.rand(1, 20, 3))
    fixed = [partition(tokens, layer, random=False) for layer in (0, 0, 1)]
    assert torch.equal(fixed[0], fixed[1]) and not torch.equal(fixed[0], fixed[2])
    assert not torch.equal(partition(tokens, 0, random=True), partition(tokens, 0, random=True))


def test_the_relative_loss_weighs_weak_fields_as_strong_ones():
    model = tiny(
        "scattered", {"head": {"kind": "point"}, "base": {"kind": "none"}, "signal": {"mean": 0.0, "std": 1.0}}
    )
    model.head.linear.weight.data.zero_()
    coords, target = torch.rand(2, 30, 2), torch.randn(2, 30, 1)
    samples = gl.Samples.from_points(torch.rand(2, 9, 2), torch.rand(2, 9, 1))
    target[1] *= 100
    loss = model(samples, coords, target=target, loss="relative")
    assert loss.item() == pytest.approx(1.0, rel=1e-5)  # an answer of zero misses all of both
    half = torch.rand(2, 30) < 0.5
    assert model(samples, coords, target=target, measured=half, loss="relative").item() == pytest.approx(1.0, rel=1e-5)


def test_a_model_that_starts_at_kriging_answers_films_too():
    film_, coords = tiny("scent-time", {**FILM, "base": {"kind": "kriging"}}), torch.rand(2, 9, 2)
    film_.head.linear.weight.data.zero_()
    samples = Arm("film").samples()
    with torch.no_grad():
        torch.testing.assert_close(film_.encode(samples)(coords), Kriging().encode(samples)(coords))


def test_a_film_needs_an_axis_of_time():
    globe = gl.Samples.from_points({"lat": [10.0, 20.0], "lon": [0.0, 5.0]}, torch.rand(2, 1), domain=Domain.globe())
    with pytest.raises(ValueError, match="none of the axes lat, lon is one of time"):
        Arm("film").model().encode(globe)


def test_training_hides_the_frame_between_that_it_asks():
    task, asked = gl.Forecast(seen=4, ahead=1, between=True), 0
    for seed in range(20):
        batch = task.draw(signals([film()]), np.random.default_rng(seed), window=(1,), batch=1, queries=5)
        frame = round(float(batch.coords[0, 0, 0]) * 5 - 0.5)
        seen = batch.samples.mask_on_grid()[0].flatten(1).any(1)
        assert seen.tolist() == [k < 4 and not (k == frame and k in (1, 2)) for k in range(5)]
        asked += frame in (1, 2)
    assert asked, "none of the moments lay between"
    with pytest.raises(ValueError, match="task.seen has 2; take 3"):
        gl.Forecast(seen=2, between=True)


def test_the_network_reads_as_many_readings_as_it_takes():
    """Others change nothing of its answer."""
    model, samples = tiny("scent-time", merge(FILM, {"film": {"readings": 9}})), Arm("film").samples()
    level, scale = samples.as_points().standard()
    values = samples.values.clone().requires_grad_()
    fixed = replace(samples, values=values, level=level, scale=scale)
    model.encode(fixed)(torch.tensor([[[0.95, 0.3], [0.95, 0.8]]])).square().sum().backward()  # of one window
    assert values.grad is not None
    assert (values.grad[..., 0] != 0).sum(1).tolist() == [9] * len(values)


def test_windows_that_training_draws_know_when_they_were():
    """A base that knows the hour answers them as it answers the same window in its own times."""
    task, cycle = gl.Forecast(seen=3, ahead=2), film(72)
    hours = torch.arange(72.0)[:, None, None, None]
    cycle = replace(cycle, values=(5 * torch.sin(hours * 2 * torch.pi / 24) + torch.from_numpy(cycle.floats)).numpy())
    base = gl.bases.DampedPersistence(DampedPersistence(usual="day"), Signal(axes=3, channels=1))
    base.fit([cycle])
    batch = task.draw(signals([cycle]), np.random.default_rng(3), window=(1,), batch=3, queries=None)
    for i, epoch in enumerate(batch.samples.epoch.tolist()):
        absolute = FilmWindow(cycle, round((epoch - cycle.domain.axes[0].start) / HOUR - 0.5), 5)
        known = absolute.samples(*absolute.seen(), absolute=True)
        known = replace(known, mask=batch.samples.mask[i : i + 1])
        answer = base.solve(batch.samples.select(slice(i, i + 1)))(batch.coords[i : i + 1])
        torch.testing.assert_close(answer, base.solve(known)(batch.coords[i : i + 1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("ask", "frames"), [("window", {0, 1, 2, 3, 4}), ("ahead", {3, 4})])
def test_training_asks_the_window_or_what_comes_after_what_is_seen(ask: str, frames: set[int]):
    task = gl.Forecast(seen=3, ahead=2, ask=ask)
    batches = (
        task.draw(signals([film()]), np.random.default_rng(s), window=(1,), batch=4, queries=1) for s in range(12)
    )
    assert {round(5 * float(time) - 0.5) for batch in batches for time in batch.coords[:, 0, 0]} == frames


def test_going_on_in_the_latents_needs_a_processor():
    with pytest.raises(ValueError, match="unroll 'latent' goes on by the processor, and processor.depth is 0"):
        tiny("films", {"film": {"unroll": "latent"}})
