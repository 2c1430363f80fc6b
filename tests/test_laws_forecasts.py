"""The laws of a base over those of films, and of models that start at them."""

import pickle
from functools import cache

import pytest
import torch
from conftest import tiny
from films import HOUR, ahead, autoregressive, blobs, domain

import gridless as gl
from gridless import config as c
from gridless.bases import Advection, DampedPersistence, LinearInverse, Persistence
from gridless.data.signals import GridSignal
from gridless.samples import Samples

SIGNAL = c.Signal(axes=3, channels=2)
KINDS = ("persistence", "damped-persistence", "advection", "linear-inverse")
FRAMES, SEEN, SIZE = 8, 5, 10


@cache
def base_of(kind: str):
    with torch.inference_mode(False):
        film = torch.cat([autoregressive(200, 0.8, SIZE), autoregressive(200, 0.5, SIZE, seed=1)], -1)
        base = {
            "persistence": Persistence,
            "advection": Advection,
            "damped-persistence": lambda: DampedPersistence(c.DampedPersistence(usual="day", leads=6), SIGNAL),
            "linear-inverse": lambda: LinearInverse(c.LinearInverse(modes=4, leads=6), SIGNAL),
        }[kind]()
        if hasattr(base, "fit"):
            base.fit([GridSignal("past", film.numpy(), domain=domain(len(film)))])
        if kind == "linear-inverse":  # noise has no law; one is given, so that its part of an answer is there
            base.patterns = torch.randn(SIZE**2, 2, 2, generator=torch.Generator().manual_seed(0))
            base.propagator = torch.tensor([[0.9, -0.3], [0.3, 0.8]], dtype=torch.float64)
            base.covariance = torch.tensor([[1.0, 0.2], [0.2, 0.5]], dtype=torch.float64)
        return base


def film_samples(batch: int = 2, dtype=torch.float32, holes: bool = True) -> Samples:
    parts = []
    for b in range(batch):
        film = 280 + torch.cat([blobs(FRAMES, SIZE, (0.7, 0.4), seed=2 * b + k) for k in range(2)], -1).to(dtype)
        mask = torch.rand(film.shape[:-1], generator=torch.Generator().manual_seed(b)) > 0.2 * holes
        mask[2 + b : 3 + b] = not holes
        parts.append(ahead(film, SEEN - b, mask, domain=domain(FRAMES, 30)))
    return Samples.stack(parts)


def asked(count: int = 41, batch: int = 2, dtype=torch.float32) -> torch.Tensor:
    return torch.rand(batch, count, 3, generator=torch.Generator().manual_seed(3), dtype=dtype)


def answers(base, samples: Samples, coords: torch.Tensor) -> list[torch.Tensor]:
    solved = base.solve(samples)
    return [solved(coords), solved.std(coords)] if solved.spread else [solved(coords)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_depends_on_no_other_question_nor_on_the_batch(kind):
    base, samples, coords = base_of(kind), film_samples(), asked()
    for whole, some in zip(answers(base, samples, coords), answers(base, samples, coords[:, 7:9]), strict=True):
        assert whole.isfinite().all()
        torch.testing.assert_close(some, whole[:, 7:9], rtol=0, atol=1e-4)
    for b in range(2):
        one = answers(base, samples.select(slice(b, b + 1)), coords[b : b + 1])
        for whole, alone in zip(answers(base, samples, coords), one, strict=True):
            torch.testing.assert_close(alone[0], whole[b], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_by_coordinates_is_the_finite_difference(kind):
    samples = film_samples(1, torch.float64)
    coords = asked(23, 1, torch.float64) * 0.9 + 0.05
    field = gl.Field(samples, base_of(kind).solve(samples))
    gradient, step = field.gradient(coords), 1e-6
    for axis in range(3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[axis] = step
        middle = field(coords)
        sides = torch.stack([field(coords + shift) - middle, middle - field(coords - shift)]) / step
        nearest = (sides - gradient[..., axis]).abs().argmin(0, keepdim=True)
        torch.testing.assert_close(gradient[..., axis], sides.gather(0, nearest)[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_by_samples_is_the_finite_difference(kind):
    base, samples, coords = base_of(kind), film_samples(1, torch.float64), asked(9, 1, torch.float64)
    direction = torch.randn(samples.values.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    direction = direction * samples.mask[..., None]

    def value(t: torch.Tensor) -> torch.Tensor:
        moved = Samples(samples.values + t * direction, samples.shape, mask=samples.mask, domain=samples.domain)
        return base.solve(moved)(coords).sum()

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(t), t)
    with torch.no_grad():
        torch.testing.assert_close(slope, (value(t + 1e-5) - value(t - 1e-5)) / 2e-5, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_pickled_or_moved_it_answers_the_same(kind):
    base, samples, coords = base_of(kind), film_samples(), asked()
    solved = base.solve(samples)
    before = solved(coords)
    for again in (
        pickle.loads(pickle.dumps(solved)),
        solved.to("cpu"),
        pickle.loads(pickle.dumps(base)).solve(samples),
    ):
        assert torch.equal(again(coords), before)
        if solved.spread:
            assert torch.equal(again.std(coords), solved.std(coords))


@pytest.mark.parametrize("kind", KINDS)
def test_channels_do_not_mix_in_what_was_seen(kind):
    samples = film_samples(1)
    coords = asked(30, 1) * torch.tensor([0.4, 1, 1])
    turned = Samples(samples.values.flip(-1), samples.shape, mask=samples.mask, domain=samples.domain)
    if kind == "advection":  # they move together
        coords = asked(30, 1)
    first, second = (base_of(kind).solve(s)(coords) for s in (samples, turned))
    torch.testing.assert_close(second.flip(-1), first, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["damped-persistence", "linear-inverse"])
def test_unfitted_it_is_persistence_and_as_unsure_as_the_readings_vary(kind):
    config = {"damped-persistence": c.DampedPersistence(), "linear-inverse": c.LinearInverse()}[kind]
    base = {"damped-persistence": DampedPersistence, "linear-inverse": LinearInverse}[kind](config, SIGNAL)
    samples, coords = film_samples(), asked()
    solved = base.solve(samples)
    assert base.needs_fit and torch.equal(solved(coords), Persistence().solve(samples)(coords))
    torch.testing.assert_close(solved.std(coords), samples.standard()[1][:, None].expand(-1, 41, -1))


def small(kind: str, **signal) -> gl.FieldModel:
    diff = {"signal": {"axes": 3, "channels": 1, "window": SIZE, "overlap": 3} | signal, "base": {"kind": kind}}
    return tiny("hybrid", diff)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_starts_at_it_learns_and_is_saved(kind, tmp_path):
    model = small(kind)
    model.head.linear.weight.data.zero_()
    film = autoregressive(60, 0.8, SIZE)
    if hasattr(model.base, "fit"):
        model.base.fit([GridSignal("past", film.numpy(), domain=domain(60))])
    samples, coords = ahead(film[:FRAMES], SEEN, domain=domain(FRAMES)), asked(11, 1)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(samples)(coords), model.base.solve(samples)(coords), rtol=0, atol=1e-4)
    model.train()
    (model(samples, coords, torch.full((1, 1, 3), 0.1)) - 280).square().mean().backward()
    assert model.head.linear.weight.grad.any()
    model.eval().save_pretrained(tmp_path / "saved")
    again = gl.FieldModel.from_pretrained(tmp_path / "saved")
    for first, second in zip(answers(model.base, samples, coords), answers(again.base, samples, coords), strict=True):
        assert torch.equal(first, second)


def test_points_start_at_persistence():
    model = gl.FieldModel(gl.preset("sensors", "tiny", axes=3, channels=1, base={"kind": "persistence"})).eval()
    generator = torch.Generator().manual_seed(0)
    samples = gl.Samples.from_points(torch.rand(30, 3, generator=generator), torch.rand(30, 1, generator=generator))
    field, coords = model.encode(samples), asked(11, 1)
    torch.testing.assert_close(field(coords), model.base.solve(samples)(coords), rtol=0, atol=1e-5)
    assert field.std(coords).isfinite().all()


def test_training_fits_the_base_first():
    model = small("damped-persistence")
    films = [autoregressive(SIZE, 0.8, SIZE, seed=s) for s in range(3)]
    signals = [GridSignal(str(i), film.numpy(), domain=domain(SIZE)) for i, film in enumerate(films)]
    gl.fit(model, signals, gl.Reconstruction(), steps=1)
    assert not model.base.needs_fit and float(model.base.usual.step) == HOUR


def test_films_without_a_domain_are_counted_in_frames(tmp_path):
    model = small("damped-persistence")
    film = autoregressive(60, 0.8, SIZE)
    model.base.fit([film.numpy()])
    samples, coords = ahead(film[:FRAMES], SEEN), asked(11, 1)
    timed = DampedPersistence(c.DampedPersistence(), c.Signal(axes=3, channels=1))
    timed.fit([GridSignal("past", film.numpy(), domain=domain(60))])
    expected = timed.solve(ahead(film[:FRAMES], SEEN, domain=domain(FRAMES)))(coords)
    torch.testing.assert_close(model.base.solve(samples)(coords), expected, rtol=0, atol=1e-4)
    model.save_pretrained(tmp_path / "saved")
    again = gl.FieldModel.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.base.solve(samples)(coords), model.base.solve(samples)(coords))
    points = Samples(torch.ones(1, 5, 1), coords=torch.rand(1, 5, 3))
    with pytest.raises(ValueError, match="how long a frame is nobody knows"):
        model.base.solve(points)
