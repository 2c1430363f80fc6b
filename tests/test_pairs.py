"""One quantity is seen, another one asked: pairs as data, as a task, and at other resolutions of the same domain."""

import numpy as np
import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless.bases import Interpolation
from gridless.config.errors import ConfigError


def nodes(count: int) -> gl.Domain:
    """`count` nodes of the unit square, from 0 on, as every second one of twice as many."""
    x = np.arange(count) / count
    return gl.Domain.of_grid({"y": x, "x": x}, samples="nodes")


def pair(seed: int, count: int = 8, domain: bool = True) -> gl.Pair:
    """A smooth coefficient and its running integral, times 100 and plus 300."""
    a, b = np.random.default_rng(seed).uniform(1, 3, 2)
    y, x = np.meshgrid(*[np.arange(count) / count] * 2, indexing="ij")
    seen, asked = np.sin(a * y + b * x), 300 - 100 * np.cos(a * y + b * x) / b
    where = nodes(count) if domain else None
    grids = [gl.GridSignal(f"{name}-{seed}", values[..., None].astype(np.float32), None, where)
             for name, values in (("seen", seen), ("asked", asked))]  # fmt: skip
    return gl.Pair(f"pair-{seed}", *grids)


def trained(preset: str = "hybrid", steps: int = 5, **options) -> gl.FieldModel:
    model = tiny(preset, {"signal": {"channels": 1}, "base": {"kind": "none"}, "local": None})
    gl.fit(model, [pair(i) for i in range(6)], gl.Operator(), steps=steps, quiet=True, **options)
    return model


@pytest.fixture(scope="module", params=["hybrid", "scattered"])
def model(request) -> gl.FieldModel:
    """Trained on 8 × 8 nodes; of the latter, grids are points."""
    if request.param == "scattered":
        model = tiny("scattered", {"base": {"kind": "none"}, "head": {"kind": "point"}})
        gl.fit(model, [pair(i) for i in range(6)], gl.Operator(), steps=5, quiet=True)
        return model
    return trained()


def test_both_quantities_have_units_of_their_own(model):
    signal, pairs = model.config.signal, [pair(i) for i in range(6)]
    assert signal.out_mean[0] == pytest.approx(np.mean([p.asked.values for p in pairs]), rel=1e-5)
    assert signal.std[0] == pytest.approx(np.std([p.seen.values for p in pairs]), rel=1e-4)
    untrained = tiny("hybrid", {"signal": {"channels": 1, "out_mean": 300.0, "out_std": 9.0}, "base": {"kind": "none"}})
    answer = untrained.encode(pair(0).seen.samples())(gl.grid(5, 5))
    assert answer.std() < 1e-3 or untrained.head.linear.weight.any()
    field = model.encode(pair(0).seen.samples())
    assert (field(gl.grid(5, 5)) - 300).abs().max() < 500


def test_a_model_asked_before_training_answers_in_the_units_of_training_after_it():
    model = tiny("hybrid", {"signal": {"channels": 1}, "base": {"kind": "none"}, "local": None})
    fine = pair(3, 16).seen.samples()
    model.eval().encode(fine)  # keeps a copy for answering
    gl.fit(model, [pair(i) for i in range(6)], gl.Operator(), steps=1, quiet=True)
    answer = model.encode(fine)(gl.grid(5, 5))
    again = gl.FieldModel(model.config)
    again.load_state_dict(model.state_dict())
    assert torch.equal(answer, again.eval().encode(fine)(gl.grid(5, 5)))


def test_saved_and_loaded_it_answers_in_the_same_units(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = gl.FieldModel.from_pretrained(tmp_path / "saved")
    samples, coords = pair(9).seen.samples(), gl.grid(7, 7)
    assert torch.equal(again.encode(samples)(coords), model.encode(samples)(coords))


def test_a_finer_grid_of_the_domain_is_the_same_domain(model):
    """Twice as many nodes: half of them are the coarse ones, and a place is asked where it is."""
    coarse, fine = pair(3), pair(3, 16)
    places = {"y": np.linspace(0.0, 0.9, 11), "x": np.linspace(0.1, 0.6, 11)}
    seen_coarse, seen_fine = (p.seen.samples() for p in (coarse, fine))
    expected, answer = model.encode(seen_coarse)(places), model.encode(seen_fine)(places)
    if model.points:  # every reading counts: close, not equal
        spread = model.config.signal.out_std[0]
        assert (answer - expected).abs().max() < 0.3 * spread
    else:
        torch.testing.assert_close(answer, expected, rtol=0, atol=1e-3)
        grid_answer = model.encode(seen_fine).to_grid(shape=(16, 16))
        u = seen_fine.domain.to_unit({"y": 0.5, "x": 0.25}).float()[None]
        torch.testing.assert_close(grid_answer[8, 4], model.encode(seen_fine)(u)[0], rtol=0, atol=1e-3)


def test_arrays_without_a_domain_share_one_extent():
    model = tiny("hybrid", {"signal": {"channels": 1}, "base": {"kind": "none"}, "local": None})
    pairs = [(p.seen.values, p.asked.values) for p in (pair(i, domain=False) for i in range(4))]
    gl.fit(model, pairs, gl.Operator(), steps=3, quiet=True)
    small = gl.Samples.from_grid(torch.rand(1, 8, 8, 1))
    large = gl.Samples.from_grid(small.on_grid().repeat_interleave(2, 1).repeat_interleave(2, 2))
    values = Interpolation("bicubic").solve(large)(gl.grid(8, 8)[None], torch.full((1, 1, 2), 1 / 8))
    assert values.shape == (1, 64, 1)
    expected = model.encode(gl.Samples(values, shape=(8, 8)))(gl.grid(5, 5))
    torch.testing.assert_close(model.encode(large)(gl.grid(5, 5)), expected, rtol=1e-5, atol=1e-4)


def test_a_part_of_the_domain_leaves_the_rest_unmeasured():
    model = trained()
    whole = pair(2).seen
    half = gl.Samples.from_grid(whole.values[:4], domain=gl.Domain.of_grid(
        {"y": np.arange(4) / 8, "x": np.arange(8) / 8}, samples="nodes"))  # fmt: skip
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    holes = gl.Samples.from_grid(whole.values, mask=mask, domain=nodes(8))
    place = {"y": [0.1, 0.3], "x": [0.2, 0.7]}
    torch.testing.assert_close(model.encode(half)(place), model.encode(holes)(place), rtol=1e-5, atol=1e-4)


def test_gradients_by_samples_and_places_survive_the_change_of_grid():
    model = trained().double()
    samples = pair(4, 16).seen.samples()
    values = samples.values.double().requires_grad_()
    coords = torch.rand(1, 4, 2, dtype=torch.float64).requires_grad_()

    def asked(values, coords):
        return model.encode(gl.Samples(values, shape=(16, 16), domain=samples.domain))(coords)

    assert torch.autograd.gradcheck(asked, (values, coords), eps=1e-6, atol=1e-3, rtol=1e-3, fast_mode=True)


def test_what_is_asked_may_lie_anywhere_in_the_domain():
    """On another grid, and at places; the cases say where, in the coordinates of what is seen."""
    coarse, fine = pair(5), pair(5, 16)
    mixed = gl.Pair("mixed", coarse.seen, fine.asked)
    (case,) = gl.Operator().cases([mixed])
    assert case.coords.shape == (256, 2) and case.truth.shape == (256, 1)
    user = mixed.domain.to_user(case.coords)
    np.testing.assert_allclose(user["x"].reshape(16, 16)[3], np.arange(16) / 16, atol=1e-6)
    batch = gl.Operator(between=0).draw([mixed], np.random.default_rng(0), window=(8, 8), batch=3, queries=20)
    assert batch.samples.shape == (8, 8) and batch.coords.shape == (3, 20, 2) and batch.target.shape == (3, 20, 1)
    few = gl.Operator(sensors=(10, 10), between=0).draw(
        [mixed], np.random.default_rng(0), window=(8, 8), batch=3, queries=None
    )
    assert few.samples.coords.shape == (3, 10, 2) and few.coords.shape == (3, 256, 2)


def test_between_the_samples_training_asks_their_interpolation():
    one = pair(7)
    batch = gl.Operator(between=2.0).draw([one], np.random.default_rng(0), window=(8, 8), batch=2, queries=10)
    assert batch.coords.shape == (2, 30, 2)
    asked = Interpolation("bicubic").solve(one.asked.samples())(batch.coords.flatten(0, 1)[None])
    torch.testing.assert_close(asked[0], batch.target.flatten(0, 1), rtol=0, atol=1e-3)
    away = (batch.coords * 8 - 0.5 - (batch.coords * 8 - 0.5).round()).abs().amax(-1)
    assert (away[:, :10] < 1e-4).all() and (away[:, 10:] > 1e-4).all()
    inside = batch.coords[:, 10:]
    assert inside.min() >= 1 / 16 and inside.max() <= 15 / 16


def test_pairs_turn_both_signals_alike():
    one, orders = pair(8), set()
    for seed in range(8):
        turned = one.turned(np.random.default_rng(seed))
        swapped = not np.array_equal(turned.seen.values, one.seen.values)
        expected = [s.values.transpose(1, 0, 2) if swapped else s.values for s in (one.seen, one.asked)]
        assert np.array_equal(turned.seen.values, expected[0]) and np.array_equal(turned.asked.values, expected[1])
        orders.add(swapped)
    assert orders == {True, False}
    wide = gl.Pair("wide", gl.GridSignal("wide", np.ones((4, 6, 1))), gl.GridSignal("asked", np.ones((4, 6, 1))))
    with pytest.raises(ValueError, match=r"wide: its axes \(4, 6\) are not alike"):
        gl.Operator(turned=True).draw([wide], np.random.default_rng(0), window=(4, 6), batch=4, queries=None)


def test_a_model_learns_pairs():
    model = trained(steps=150, train=gl.Train(batch=6, optimizer={"lr": 3e-3}))
    rows = gl.evaluate({"model": model}, [pair(i) for i in range(6)], gl.Operator())
    r2 = np.mean([row["value"] for row in rows if row["metric"] == "r2"])
    assert r2 > 0.9


def test_what_is_no_pair_is_refused():
    grids = [pair(i).seen for i in range(2)]
    model = tiny("hybrid", {"signal": {"channels": 1}, "base": {"kind": "none"}})
    with pytest.raises(ValueError, match=r"seen-0 is no pair; task.kind operator takes \(seen, asked\)"):
        gl.fit(model, grids, gl.Operator(), steps=1, quiet=True)
    with pytest.raises(ValueError, match="pair-0 is a pair of signals, which task.kind operator reads"):
        list(gl.SparseField(counts=(3,)).cases([pair(0)]))
    with pytest.raises(ValueError, match="one signal has a domain and the other none"):
        gl.Pair("half", pair(0).seen, pair(0, domain=False).asked)
    with pytest.raises(ConfigError, match="the pairs ask 1 channels, the model answers 2; set signal.out_channels"):
        other = tiny("hybrid", {"signal": {"channels": 1, "out_channels": 2}, "base": {"kind": "none"}})
        gl.fit(other, [pair(0)], gl.Operator(), steps=1, quiet=True)


def test_samples_beyond_the_domain_of_training_are_refused():
    model = trained()
    x = np.arange(16) / 8
    wide = gl.Samples.from_grid(np.ones((16, 16, 1), np.float32), domain=gl.Domain.of_grid({"y": x, "x": x}))
    with pytest.raises(ValueError, match=r"along y these samples reach from -0.0625 to 1.9375, training was"):
        model.encode(wide)
    named = gl.Samples.from_grid(np.ones((8, 8, 1), np.float32), domain=gl.Domain.of_grid({"a": x[:8], "b": x[:8]}))
    with pytest.raises(ValueError, match="training saw the axes y, x, these samples have a, b; name them alike"):
        model.encode(named)


@pytest.mark.parametrize("kind", ["mean", "nearest", "ridge"])
def test_regressions_answer_the_same_places_from_every_grid(kind):
    base = gl.bases.Regression(kind)
    with pytest.raises(ValueError, match=f"the base '{kind}' knows no pairs; call fit"):
        base.encode(pair(0).seen.samples())
    base.fit([pair(i) for i in range(40)])
    coarse, fine = base.encode(pair(50).seen.samples()), base.encode(pair(50, 16).seen.samples())
    places = {"y": [0.25, 0.5], "x": [0.5, 0.125]}
    torch.testing.assert_close(coarse(places), fine(places), rtol=1e-5, atol=1e-3)
    rows = gl.evaluate({kind: base}, [pair(i) for i in range(40)], gl.Operator())
    error = np.mean([row["value"] for row in rows if row["metric"] == "rmse"])
    assert error < {"mean": 40, "nearest": 1e-3, "ridge": 10}[kind]
