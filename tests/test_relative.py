"""The network of the preset `sensors`: it sees differences of places alone, and what the base says without each reading."""

import pytest
import torch

import gridless as gl
from gridless.bases import Kriging
from gridless.config.merging import build, dump, merge
from gridless.network.heads import crps

FIXED = Kriging(kernels=("matern32",), lengths=(0.3,), noises=(0.1,), trend="constant", extent=1.0)


def readings(batch: int = 2, count: int = 20, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(batch, count, 2, generator=generator, dtype=torch.float64)
    y = torch.sin(5 * x[..., :1]) + x[..., 1:] + 0.1 * torch.randn(batch, count, channels, generator=generator)
    return x, y


def awake(**diff) -> gl.FieldModel:
    """With a head that answers something."""
    torch.manual_seed(0)
    model = gl.FieldModel(build(gl.config.Model, merge(dump(gl.preset("sensors", "tiny")), diff))).eval()
    torch.nn.init.normal_(model.head.linear.weight, std=0.5)
    torch.nn.init.normal_(model.head.spread[-1].weight, std=0.3)
    return model


@pytest.mark.parametrize("channels", [1, 2])
def test_a_reading_left_out_is_that_reading_masked(channels):
    """With the units and the hypothesis held, which leaving out keeps: z over the scale of all readings."""
    x, y = readings(1, 20, channels)
    samples = gl.Samples(y, coords=x)
    solved = FIXED.solve(samples)
    left = solved.left_out()
    standard, covariance = solved.standard, solved.pieces[0].mixture.mean.covariance
    for c in range(channels):
        place, z = standard.readings.x[c], standard.readings.z[c]
        some = covariance.select((c, 0))
        matrix = some.of_readings(place, torch.ones(20, dtype=torch.bool))
        unit = solved.pieces[0].mixture.variance[c, 0]
        for i in range(20):
            rest = torch.arange(20) != i
            gain = torch.linalg.solve(matrix[rest][:, rest], matrix[rest, i])
            mean = (gain @ z[rest]) * standard.scale[c] + standard.location[c]
            std = (unit * (matrix[i, i] - gain @ matrix[rest, i])).sqrt() * standard.scale[c]
            at = standard.order[0, i]
            torch.testing.assert_close(left.mean[0, at, c], mean)
            torch.testing.assert_close(left.std[0, at, c], std)


def test_left_out_in_neighbourhoods_is_about_that_of_the_whole(monkeypatch):
    x, y = readings(1, 300)
    samples = gl.Samples(y, coords=x)
    whole = FIXED.solve(samples).left_out()
    monkeypatch.setattr("gridless.bases.kriging.LARGEST", 200)
    monkeypatch.setattr("gridless.bases.kriging.WHOLE", 100)
    near = FIXED.solve(samples).left_out()
    assert float((near.mean - whole.mean).abs().mean()) < 0.1 * float((whole.mean - y).abs().mean())
    torch.testing.assert_close(near.std, whole.std, rtol=0.3, atol=0)


def test_moved_and_scaled_places_have_the_same_field():
    x, y = readings()
    model, q = awake(), torch.rand(2, 15, 2, dtype=torch.float64)
    small = gl.Samples(y.float(), coords=(0.1 + 0.3 * x).float())
    before = model.encode(gl.Samples(y.float(), coords=x.float())).answer(q.float())
    after = model.encode(small).answer((0.1 + 0.3 * q).float())
    torch.testing.assert_close(before.mean, after.mean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(before.std, after.std, rtol=1e-3, atol=1e-4)


def test_the_readings_frame_does_not_see_masked_readings():
    x, y = readings()
    mask = torch.ones(2, 21, dtype=torch.bool)
    mask[:, -1] = False
    far = gl.Samples(
        torch.cat([y, 9 * y[:, :1]], 1).float(), coords=torch.cat([x * 0.5, 1 + 0 * x[:, :1]], 1).float(), mask=mask
    )
    model, q = awake(), torch.rand(2, 15, 2)
    without = model.encode(gl.Samples(y.float(), coords=(x * 0.5).float()))
    torch.testing.assert_close(model.encode(far)(q), without(q), rtol=1e-4, atol=1e-5)


def test_the_network_knows_what_the_base_says():
    x, y = readings()
    model, q = awake(), torch.rand(2, 15, 2)
    samples = gl.Samples(y.float(), coords=x.float())
    reader, solved = model.reader(samples, solved=model.solve_base(samples)), model.solve_base(samples)
    cell, base = torch.zeros(2, 1, 2), solved.mean_and_std(q)
    wider = gl.protocols.Answer(base.mean, 3 * base.std)
    with torch.no_grad():
        assert float((reader(q, cell, None, base) - reader(q, cell, None, wider)).abs().max()) > 1e-3


def test_without_a_base_there_is_nothing_to_know():
    model = awake(base={"kind": "none"})
    assert model.known is None and model.tokenizer.base is None
    assert model.encode(gl.Samples(torch.rand(1, 5, 1), coords=torch.rand(1, 5, 2)))(torch.rand(3, 2)).isfinite().all()


def test_more_readings_than_it_reads_are_answered_by_the_base_and_it_says_so():
    model, q = awake(encoder={"most": 30}, base={"waves": 0}), torch.rand(1, 8, 2)
    x, y = (t.float() for t in readings(1, 31))
    with pytest.warns(UserWarning, match="31 readings are more than the 30 that the network sensors reads"):
        field = model.encode(gl.Samples(y, coords=x))
    assert torch.equal(field(q), model.base.solve(gl.Samples(y, coords=x))(q)) and field.has_spread
    fewer = gl.Samples(y[:, :30], coords=x[:, :30])
    assert not torch.equal(model.encode(fewer)(q), model.base.solve(fewer)(q))


def test_crps_is_the_integral():
    error, std = torch.tensor([0.3, -2.0]), torch.tensor([1.0, 0.5])
    x = torch.linspace(-30, 30, 600_001)
    for e, s in zip(error, std, strict=True):
        below = torch.distributions.Normal(e, s).cdf(x)
        integral = float(((below - (x >= 0).float()).square()).mean() * 60)
        assert float(crps(e, s)) == pytest.approx(integral, rel=1e-3)


def test_relative_errors_of_a_field_whose_readings_do_not_vary_do_not_count():
    model = awake(base={"kind": "kriging"}).train()
    x, _ = readings()
    loss = model(
        gl.Samples(torch.zeros(2, 20, 1), coords=x.float()),
        torch.rand(2, 9, 2), torch.zeros(2, 1, 2), target=torch.rand(2, 9, 1),
    )  # fmt: skip
    assert float(loss.detach()) == 0


def test_a_few_readings_as_latents_know_of_all():
    """Beyond `most` readings too, for their cost does not grow with the square of the readings."""
    model, (x, y) = awake(encoder={"count": 6, "most": 10}, base={"kind": "none"}, head={"relative": False}), readings()
    values = y.float().requires_grad_()
    level, scale = gl.Samples(y.float(), coords=x.float()).standard()
    samples = gl.Samples(values, coords=x.float(), level=level, scale=scale)
    assert model.latent(samples).x.shape[1] == 6
    model.encode(samples)(torch.tensor([[[0.3, 0.6]]])).sum().backward()
    assert values.grad is not None and (values.grad[..., 0] != 0).all()


def test_fewer_latents_need_a_layer_that_reads():
    with pytest.raises(ValueError, match="encoder.count 6 readings read all others in the first layer"):
        gl.preset("sensors", "tiny", encoder={"count": 6, "depth": 0})
