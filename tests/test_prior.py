"""The broad prior: every kind on every domain is finite, normalised and without a seam, and its draws are what they say."""

import pickle
from typing import get_args

import numpy as np
import pytest
import torch

import gridless as gl
from gridless import config
from gridless.config.merging import build, recipe
from gridless.coords import grid
from gridless.data import random_fields as made
from gridless.data.cropping import noisy
from gridless.data.field_kinds import KINDS, Ground
from gridless.data.prior import DOMAINS, FieldPrior, PriorField, _field
from gridless.data.signals import Reading
from gridless.data.waves import fixed, place
from gridless.runs.train import train_run

DENSE = grid(64, 64)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_on_every_domain_is_finite_and_normalised(kind, domain):
    fields = list(FieldPrior((kind,), "val", each=10, domains=(domain,)))
    values = torch.stack([field.at(DENSE) for field in fields])
    assert values.shape == (10, 64**2, 1) and values.dtype == torch.float32 and values.isfinite().all()
    assert values.mean(1).abs().mean() < 0.3 and 0.7 < values.std(1).mean() < 1.4
    assert (values.std(1) > 0.3).all()
    assert all(field.group == kind and field.peak > 1 for field in fields)


@pytest.mark.parametrize("kind", KINDS)
def test_a_period_and_a_sphere_have_no_seam(kind):
    for field in FieldPrior((kind,), each=6, domains=("cylinder", "globe")):
        axis = field.domain.joins.index(True)
        left = torch.rand(50, 2)
        right = left.clone()
        left[:, axis], right[:, axis] = 0.0, 1.0
        torch.testing.assert_close(field.at(left), field.at(right), rtol=0, atol=0.02)  # float32, and cells' hard edges
    for field in FieldPrior((kind,), each=6, domains=("globe",)):
        pole = torch.stack([torch.ones(20), torch.rand(20)], -1)
        values = field.at(pole)
        torch.testing.assert_close(values, values[:1].expand_as(values), rtol=0, atol=0.02)


def test_fixed_fields_are_reproducible_and_of_one_split_only():
    train, again, val = FieldPrior(each=2), FieldPrior(each=5), FieldPrior(split="val", each=2)
    assert len(train) == 16 and [field.group for field in train][::2] == list(KINDS)
    values = [torch.stack([field.at(DENSE) for field in source]) for source in (train, val)]
    assert torch.equal(values[0][3], again[6].at(DENSE))  # whatever their number
    assert torch.equal(values[0][-1], train[-1].at(DENSE))
    every = torch.cat(values).squeeze(-1)
    apart = torch.cdist(every, every) + 1e9 * torch.eye(len(every))
    assert apart.min() > 1
    with pytest.raises(IndexError):
        train[16]


def test_only_one_kind_of_a_source_keeps_its_fields():
    assert torch.equal(FieldPrior(("plumes",), each=3)[1].at(DENSE), FieldPrior(each=3)[5 * 3 + 1].at(DENSE))


def test_a_draw_lies_on_one_domain_and_mixes_the_kinds():
    source, rng = FieldPrior(), np.random.default_rng(0)
    domains = []
    for _ in range(60):
        fields = source.draw(rng, 16)
        assert {field.group for field in fields} == set(KINDS)
        assert all(field.domain == fields[0].domain for field in fields)
        domains.append(fields[0].domain)
    flat = sum(domain is None for domain in domains)
    assert 12 < flat < 36 and sum(d is not None and d.sphere is not None for d in domains) > 8
    values = PriorField.batch_at(fields, DENSE.expand(16, -1, -1)).squeeze(-1)
    assert (torch.cdist(values, values) + 1e9 * torch.eye(16)).min() > 1
    one, two = (source.draw(np.random.default_rng(3), 4) for _ in range(2))
    assert all(torch.equal(a.at(DENSE), b.at(DENSE)) for a, b in zip(one, two, strict=True))


def test_every_field_can_be_pickled():
    for field in FieldPrior(each=4):
        assert torch.equal(pickle.loads(pickle.dumps(field)).at(DENSE), field.at(DENSE))


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no kind 'storms'; there are stationary, trend"):
        FieldPrior(("storms",))
    with pytest.raises(ValueError, match="no domain 'torus'"):
        FieldPrior(domains=("torus",))
    with pytest.raises(ValueError, match="no split 'all'"):
        FieldPrior(split="all")
    with pytest.raises(ValueError, match="at least one kind"):
        FieldPrior(())


def test_a_field_that_does_not_vary_is_drawn_again(monkeypatch):
    flat = [made.Rescaled(made.Cosines.gaussian(np.random.default_rng(0), 2, 0.3), 0.0, 1.0)]
    monkeypatch.setitem(KINDS, "trend", lambda rng, ground: flat.pop() if flat else KINDS["fronts"](rng, ground))
    assert _field(np.random.default_rng(0), "trend", Ground(), "x").at(DENSE).std() > 0.5
    monkeypatch.setitem(
        KINDS, "trend", lambda rng, ground: made.Polynomial(*(np.zeros(n, "f4") for n in (2, 2, (2, 2))))
    )
    with pytest.raises(RuntimeError, match="'trend' did not vary"):
        _field(np.random.default_rng(0), "trend", Ground(), "x")


@pytest.mark.parametrize("degrees", made.DEGREES)
def test_gaussian_fields_have_their_covariance(degrees):
    """Over many fields, at a distance of one length: that of Matérn 1/2, 3/2, 5/2 and the squared exponential."""
    rng = np.random.default_rng(1)
    x = np.array([[0.3, 0.3], [0.3, 0.6], [0.3, 0.45]], np.float32)
    fields = made.Cosines.gaussian(rng, 2, 0.3, degrees, outputs=4000, features=2000)(x)
    covariance = fields @ fields.T / fields.shape[1]
    expected = {1: np.exp(-1), 3: (1 + 3**0.5) * np.exp(-(3**0.5)), 5: (1 + 5**0.5 + 5 / 3) * np.exp(-(5**0.5))}
    assert abs(covariance[0, 0] - 1) < 0.12 and abs(covariance[0, 1] - expected.get(degrees, np.exp(-0.5))) < 0.1
    assert covariance[0, 2] > covariance[0, 1]


def test_mechanisms_are_their_formulas():
    p = np.random.default_rng(0).random((40, 2), np.float32)
    g = made.Cosines.gaussian(np.random.default_rng(2), 2, 0.2)
    values = g(p)
    shaped = {
        "exponential": np.exp(0.7 * values), "rain": np.maximum(values - 0.7, 0), "square": values**2,
        "ridges": abs(values), "filaments": np.exp(-((values / 0.7) ** 2)),
    }  # fmt: skip
    assert set(shaped) == set(get_args(made.Shape))
    for shape, expected in shaped.items():
        np.testing.assert_allclose(made.Shaped(g, shape, 0.7)(p), expected, atol=1e-5)
    step = made.Blend(made.Rescaled(g, 1.0), 1e-4, made.Rescaled(g, 0.0, -2.0), made.Rescaled(g, 0.0, 3.0))(p)
    np.testing.assert_allclose(step, np.where(values < 0, -2, 3), atol=1e-4)
    seeds = p[:5]
    cells = made.Voronoi(seeds, np.eye(2, dtype="f4"), np.arange(5, dtype="f4"), np.zeros((5, 2), "f4"))(p)
    np.testing.assert_array_equal(cells[:, 0], np.linalg.norm(p[:, None] - seeds, axis=-1).argmin(-1))
    np.testing.assert_allclose(made.Amplified(g, g)(p), values * np.exp(values), rtol=1e-5)
    waves = fixed("radial", "val", 1)
    np.testing.assert_allclose(made.WaveFamily(waves)(p), waves(torch.from_numpy(p)[None])[0], atol=1e-5)
    one = np.ones(1, "f4")
    source, wind = np.array([[0.5, 0.5]], "f4"), np.array([[0, 1]], "f4")
    plume = made.Plumes(source, wind, 0.05 * one, 0.3 * one, one, one)
    up, here, down, side = plume(np.array([[0.5, 0.2], [0.5, 0.5], [0.5, 0.8], [0.6, 0.8]], "f4"))[:, 0]
    assert here == 1 and up < 1e-6 < side < down < here


@pytest.mark.parametrize("count", [1, 3, 50, 400])
def test_tracks_stay_inside_and_are_lines(count):
    coords = place(np.random.default_rng(count), 20, count, "tracks")
    assert coords.shape == (20, count, 2) and coords.min() >= 0 and coords.max() <= 1
    if count == 400:  # most readings have their neighbours on a line, close by
        near = torch.cdist(coords, coords).topk(2, largest=False).values[..., 1]
        anywhere = torch.rand(20, 400, 2)
        assert near.mean() < 0.5 * torch.cdist(anywhere, anywhere).topk(2, largest=False).values[..., 1].mean()


def test_growing_noise_is_in_proportion_to_the_height():
    values = torch.tensor([[1.0], [2.0], [4.0], [9.0]])
    reading = Reading(torch.rand(4, 2), values)
    rng = np.random.default_rng(0)
    errors = torch.stack([noisy(reading, rng, 0.2, True).values - values for _ in range(4000)])
    torch.testing.assert_close(errors.std(0)[:, 0], 0.2 * torch.tensor([0.0, 1.0, 3.0, 8.0]) / 3, rtol=0.05, atol=1e-6)
    assert noisy(reading, rng, 0.2, True).noise is None
    level = Reading(torch.rand(4, 2), torch.full((4, 1), 5.0))
    assert (noisy(level, rng, 0.2, True).values != 5).all()


def test_growing_noise_changes_the_draws_only_where_it_is_asked():
    def draw(share):
        task = gl.SparseField(sensors=(30, 30), noise=(0.1, 0.1), multiplicative=share)
        return task.draw(FieldPrior(), np.random.default_rng(5), window=(8, 8), batch=12, queries=20)

    plain, growing = draw(0.0), draw(1.0)
    assert torch.equal(plain.target, growing.target) and torch.equal(plain.samples.coords, growing.samples.coords)
    same = (plain.samples.values == growing.samples.values).flatten(1).all(1)
    assert 2 < same.sum() < 10  # half of the fields have no noise
    with pytest.raises(ValueError, match="a share from 0 to 1, got 2"):
        gl.SparseField(multiplicative=2.0)


def test_the_options_of_the_recipe_are_the_kinds():
    assert get_args(config.FieldKind) == tuple(KINDS) == config.PriorData().kinds
    with pytest.raises(ValueError, match="kinds"):
        build(config.PriorData, {"kind": "prior", "kinds": ["storms"]})


def test_a_model_trains_on_the_prior(tmp_path):
    table = {
        "preset": "sensors", "size": "tiny",
        "data": {"kind": "prior", "each": 1},
        "task": {"kind": "sparse-field", "sensors": [5, 20], "noise": [0.0, 0.1], "placement": "any"}
        | {"multiplicative": 0.5, "counts": [9], "noises": [0.0], "size": 6},
        "train": {"steps": 2, "batch": 4, "queries": 8, "precision": "fp32"},
    }  # fmt: skip
    whole, _ = recipe(table, {})
    facts = train_run(whole, tmp_path / "run", quiet=True)
    assert facts["steps"] == 2
