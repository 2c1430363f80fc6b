"""Flow matching: the solver, the paths, V1 and V2 as published, posterior samples that are functions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import drawn, tiny

import gridless as gl
from gridless import config
from gridless.config import FlowHead
from gridless.config.merging import merge, recipe, recipe_table
from gridless.network.decoders.joint import SharedState
from gridless.network.flow import arrived, flow_loss, heun, mixed, spectrum
from gridless.tasks import task_of
from gridless.training.loading import load_data

LATENT = {"encoder": {"tokens": {"count": 6, "read": "tokens"}}, "head": {"kind": "flow", "steps": 3, "samples": 2}}
TECHNIQUES = {
    "rectified": {"head": {"reflow": 0.5}},
    "several scales": {"tokenizer": {"fourier": {"octaves": 3}}},
    "consistency": {"head": {"consistency": 0.5}},
    "frequency": {"head": {"frequency": 0.5}},
    "adaln": {"head": {"time": {"how": "adaln"}}},
    "self-conditioning": {"head": {"self_condition": True}},
    "schedule": {"head": {"times": "logit-normal", "path": "cosine"}},
    "drop-path": {"decoder": {"drop_path": 0.3}},
}
REPAIRS = {
    "residual": {"decoder": {"residual": True}},
    "fixed step": {"decoder": {"mixer": {"dt": "fixed"}}},
    "learned step": {"decoder": {"mixer": {"dt": "learned"}}},
    "hold": {"decoder": {"mixer": {"hold": True}}},
    "state": {"head": {"keeps_state": True}},
    "time": {"head": {"time": {"scale": 1000.0, "mlp": True}}},
    "sigmoid": {"head": {"sigmoid": True}},
    "fourier": {"tokenizer": {"fourier": {"learned": True}}},
}
ARMS = {
    "v1": ("v1", {}),
    "v2": ("v2", {}),
    "latent": ("scattered", LATENT),
    **{f"v1, {name}": ("v1", diff) for name, diff in REPAIRS.items()},
    **{f"v2, {name}": ("v2", diff) for name, diff in TECHNIQUES.items()},
    "latent, all": ("scattered", merge(LATENT, {"head": {"consistency": 0.1, "self_condition": True, "reflow": 0.2}})),
}


@pytest.fixture
def samples() -> gl.Samples:
    torch.manual_seed(1)
    return gl.Samples.from_points(torch.rand(2, 9, 2), torch.rand(2, 9, 1))


@pytest.mark.parametrize(("name", "count"), [("v1", 167_201), ("v2", 884_481)])
def test_published_size(name, count):
    assert gl.FieldModel(gl.preset(name, "base")).parameter_count() == count


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_the_waves_recipe_trains_them_as_they_were(name):
    whole, _ = recipe(recipe_table("waves"), {"preset": name, "size": "tiny"})
    task, data = task_of(whole.task), load_data(whole.data, "train")
    batches = [drawn(task, data, np.random.default_rng(seed), 32, 200, whole.train.queries) for seed in (0, 1)]
    fields = [{tuple(values.flatten().tolist()) for values in batch.samples.values} for batch in batches]
    assert fields[0] & fields[1] and batches[0].coords.shape == (200, 51, 2)  # the same readings come again
    train = replace(whole.train, steps=2, batch=2)
    facts = gl.fit(gl.FieldModel(whole.model), data, task, train=train, validation=(), quiet=True)
    assert facts["steps"] == 2 and whole.train.steps == 1500


@pytest.mark.parametrize("path", ["linear", "cosine"])
def test_a_perfect_velocity_arrives(path):
    """Heun is exact on a straight path; from any time on it the answer is pointed at."""
    x0, x1 = torch.randn(2, 3, 5, 1, dtype=torch.float64)
    steps = 1 if path == "linear" else 200

    def velocity(x, t):
        return mixed(path, x0, x1, t)[1]

    torch.testing.assert_close(heun(velocity, x0, steps), x1, rtol=0, atol=1e-9 if path == "linear" else 1e-4)
    for t in torch.tensor([[0.1, 0.5, 0.9], [0.021, 0.99, 0.9999], [1 - 1e-6, 1 - 1e-9, 1.0]], dtype=torch.float64):
        x, slope = mixed(path, x0, x1, t)
        torch.testing.assert_close(arrived(path, x, slope, t), x1, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path", ["linear", "cosine"])
def test_an_error_of_the_velocity_is_enlarged_within_bounds_at_any_time(path):
    """The frequency and consistency terms square it: towards the start of a cosine path it was enlarged 1,000 times."""
    t = torch.cat([torch.zeros(1), torch.logspace(-8, 0, 99)])
    error = arrived(path, torch.zeros(100, 1), torch.ones(100, 1), t)
    assert error.isfinite().all() and (error.diff(dim=0) < 1e-6).all() and float(error.max()) <= 10
    assert float(error[-1]) == pytest.approx(0, abs=1e-6)


def test_a_held_input_is_exact_for_short_steps():
    """h_n = e^{dt A} h_{n−1} + (e^{dt A} − 1) / A · B u_n, in float64 by a loop; the short step left two digits."""
    torch.manual_seed(0)
    layer, x = SharedState(config.SharedState(dt="fixed", hold=True), 8), torch.randn(1, 40, 8)
    with torch.no_grad():
        layer.A_log.sub_(5)  # slow: dt A is about −2e-6
        layer.B.weight.mul_(1000)  # so that what is added to x stands out of its rounding
        layer.gate.weight.zero_(), layer.gate.bias.fill_(100), layer.D.zero_()
        got = layer(x, None) - x
        u, A = layer.norm(x).double(), -layer.A_log.double().exp()
        h, want = torch.zeros(1, len(A), dtype=torch.float64), []
        for n in range(40):
            h = (A / 1024).exp() * h + torch.expm1(A / 1024) / A * (u[:, n] @ layer.B.weight.double().T)
            want.append(h @ layer.C.weight.double().T)
    want = torch.stack(want, 1)
    assert float((got - want).abs().max() / want.abs().max()) < 1e-5


def test_the_loss_of_a_blind_velocity_is_the_variance():
    """What V1 as shipped stays at: Var(x₁ − x₀)."""
    torch.manual_seed(0)
    x1 = torch.randn(400, 50, 1) * 0.5 + 2
    loss = flow_loss(FlowHead(), lambda x, t, guess: torch.full_like(x, 2.0), x1)
    assert float(loss) == pytest.approx(1.25, abs=0.03)


def test_the_frequency_term_finds_a_wave_at_scattered_points():
    coords = torch.rand(1, 4000, 2)
    wave = (2 * torch.pi * coords @ torch.tensor([3.0, -2.0])).sin()[..., None]
    found = spectrum(wave, coords).unflatten(1, (17, 17))[0]
    peaks = (found > found.max() / 2).nonzero() - 8
    assert sorted(map(tuple, peaks.tolist())) == [(-3, 2), (3, -2)]


@pytest.mark.parametrize("arm", ARMS)
def test_every_repair_and_technique_trains_and_answers(arm, samples):
    model, coords = tiny(*ARMS[arm]), torch.rand(2, 12, 2)
    model.train()
    torch.manual_seed(2)
    for _ in range(2):
        model.zero_grad()
        model(samples, coords, torch.zeros(2, 1, 2), target=torch.rand(2, 12, 1)).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.05 * p.grad
    assert not [name for name, p in model.named_parameters() if not p.grad.any()]
    with torch.no_grad():
        field = model.eval().encode(samples)
        assert torch.equal(field(coords), field(coords))  # the same question has the same answer
        draws = field.sample(coords, 3, seed=1)
        assert draws.shape == (3, 2, 12, 1) and draws.isfinite().all()
        assert torch.equal(draws, field.sample(coords, 3, seed=1))
        assert (draws[0] - draws[1]).abs().max() > 1e-4
        assert field.has_spread == (model.config.head.samples > 1)  # one sample says nothing of its doubt


def test_posterior_samples_of_latents_are_functions(samples):
    """A seed is a function: asked alone, in chunks, or without its batch-mate it says the same."""
    model, coords = tiny("scattered", LATENT), torch.rand(2, 12, 2)
    with torch.no_grad():
        field = model.encode(samples)
        whole = field.sample(coords, 2, seed=3)
        torch.testing.assert_close(field.sample(coords, 2, seed=3, chunk=5), whole, rtol=0, atol=1e-5)
        torch.testing.assert_close(field.sample(coords[:, 4:5], 2, seed=3), whole[:, :, 4:5], rtol=0, atol=1e-5)
        alone = model.encode(gl.Samples.from_points(samples.coords[1], samples.values[1]))
        torch.testing.assert_close(alone.sample(coords[1], 2, seed=3), whole[:, 1], rtol=0, atol=1e-5)
        assert (field.sample(coords, 2, seed=4) - whole).abs().max() > 1e-4


def test_joint_answers_depend_on_the_other_questions_and_refuse_chunks(samples):
    model, coords = tiny("v2"), torch.rand(2, 12, 2)
    with torch.no_grad():
        field = model.encode(samples)
        with pytest.raises(
            ValueError, match="answers depend on one another .* 12 questions cannot be asked in chunks of 5"
        ):
            field(coords, chunk=5)
        with pytest.raises(ValueError, match="in chunks of 5"):
            field.sample(coords, chunk=5)
        other = field(torch.cat([coords[:, :6], torch.rand(2, 6, 2)], 1))
        assert (other[:, :6] - field(coords)[:, :6]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("preset", "diff", "message"),
    [
        ("v1", {"head": {"kind": "gaussian"}}, "decoder.kind 'joint' needs tokenizer.kind 'points', head.kind 'flow'"),
        ("scattered", {"head": {"kind": "flow"}}, "head.kind 'flow' needs .* as many latents for any readings"),
    ],
)
def test_parts_that_do_not_fit(preset, diff, message):
    with pytest.raises(ValueError, match=message):
        tiny(preset, diff)
