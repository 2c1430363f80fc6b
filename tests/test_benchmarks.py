"""The speed page is that of the committed results; the peers compute what ours does; work is counted, never timed."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import gridless as gl
from gridless.nn.mamba import shifted_convolution
from gridless.nn.scan import selective_scan

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))


def test_the_speed_page_is_that_of_the_committed_results():
    import speed_page

    assert (ROOT / "docs" / "speed.md").read_text(encoding="utf-8") == speed_page.page()


def test_the_sizes_beside_the_speed_ratio_are_those_of_the_two_models():
    import decode

    ours, liif = (sum(p.numel() for p in model.parameters()) for model in (decode.photo_model(), decode.Liif()))
    sizes = f"{ours / 1e3:.0f} k against {liif / 1e6:.2f} M parameters"
    assert sizes in " ".join((ROOT / "docs" / "speed.md").read_text(encoding="utf-8").split())


def test_the_page_of_waves_is_that_of_the_committed_results():
    import waves

    found, shipped = (json.loads(path.read_text(encoding="utf-8")) for path in (waves.TRAINED_JSON, waves.SHIPPED_JSON))
    assert (ROOT / "docs" / "waves.md").read_text(encoding="utf-8") == waves.page(found, shipped)
    assert waves.main_table(found) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_weights_that_ship_are_asked_beside_their_base_and_kriging():
    import waves

    scores = waves.measure_shipped("sensors", 1, (8,), (0.0,))["scores"]
    assert {row["model"] for row in scores} == {"model", "base", "kriging"}
    assert {row["family"] for row in scores} == set(waves.FAMILIES)
    assert all(waves.value({"scores": scores}, "simple", 8, 0.0, name) > 0 for name in ("model", "base", "kriging"))


def test_the_tables_of_concepts_are_those_of_the_committed_results():
    import darcy
    import many_readings

    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    for benchmark, file in ((darcy, "darcy"), (many_readings, "many-readings")):
        assert benchmark.table(json.loads((ROOT / "results" / f"{file}.json").read_text(encoding="utf-8"))) in page


def test_the_page_of_real_fields_is_that_of_the_committed_results():
    import fields_page

    found = json.loads((ROOT / "results" / "fields.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "fields.md").read_text(encoding="utf-8") == fields_page.page(found)


def test_rows_of_real_fields_join_those_that_are_there_by_their_names():
    pytest.importorskip("sklearn")
    import fields

    row = {"set": "ostia", "method": "OI", "sensors": 25, "rmse": 0.5}
    before = fields.joined(None, [row, {**row, "sensors": 50}], {"ostia": {}})
    after = fields.joined(before, [{**row, "rmse": 0.4}, {**row, "method": "mine"}], {"noaa": {}})
    assert [(r["method"], r["sensors"], r["rmse"]) for r in after["rows"]] == [
        ("OI", 25, 0.4),
        ("OI", 50, 0.5),
        ("mine", 25, 0.5),
    ]
    assert list(after["sets"]) == ["ostia", "noaa"]


def test_scores_of_real_fields_are_those_of_their_definitions():
    pytest.importorskip("sklearn")
    import fields
    import numpy as np
    from field_sets import Question

    from gridless.scoring import metrics

    rng = np.random.default_rng(0)
    truth, answer, std = rng.normal(size=(3, 40)), rng.normal(size=(3, 40)), rng.uniform(0.5, 2, (3, 40))
    samples = gl.Samples.from_points(torch.rand(3, 2), torch.rand(3, 1))
    steps = np.arange(3)
    question = Question(samples, torch.rand(40, 2), truth, np.full(40, 1 / 40), steps, 0, 3, False, steps, steps)
    scores = fields.scores(answer, std, question)
    assert scores["rmse"] == pytest.approx(metrics.rmse(answer, truth))
    assert scores["crps"] == pytest.approx(metrics.crps(answer, std, truth))
    assert scores["coverage_90"] == pytest.approx(metrics.coverage(answer, std, truth, 0.9))
    assert fields.scores(answer, None, question)["crps"] is None
    truth[0, 3] = np.nan  # nobody knows
    assert fields.scores(answer, std, question)["rmse"] < scores["rmse"] * 1.1


def test_the_public_parts_compute_the_same():
    pytest.importorskip("mambapy")
    import train_step

    torch.manual_seed(0)
    x, dt, A, B, C = torch.randn(2, 9, 6), torch.rand(2, 9, 6), -torch.rand(6, 3), *torch.randn(2, 2, 9, 3)
    weight, bias = torch.randn(4, 6), torch.randn(6)
    for reverse in (False, True):
        torch.testing.assert_close(
            train_step.public_scan(x, dt, A, B, C, reverse),
            selective_scan(x, dt, A, B, C, reverse),
            rtol=1e-4,
            atol=1e-5,
        )
        torch.testing.assert_close(
            train_step.public_convolution(x, weight, bias, reverse), shifted_convolution(x, weight, bias, reverse)
        )


def test_ssd_is_its_own_recurrence():
    import lengths

    torch.manual_seed(0)
    layer = lengths.Ssd(16, state=4, head=8, chunk=4)
    projected = torch.randn(2, 12, 2 * layer.inner + 2 * layer.state + layer.heads)
    z, x, B, C, dt = projected.split([layer.inner, layer.inner, 4, 4, layer.heads], -1)
    dt = torch.nn.functional.softplus(dt - 2)
    h, want = torch.zeros(2, layer.heads, 8, 4), []
    for t in range(12):
        u = x[:, t].unflatten(-1, (layer.heads, 8)) * dt[:, t, :, None]
        h = h * (-dt[:, t] * layer.decay[0].exp()).exp()[..., None, None] + u[..., None] * B[:, t, None, None]
        want.append((h * C[:, t, None, None]).sum(-1).flatten(1))
    got = layer.one(projected, layer.decay[0])
    torch.testing.assert_close(got, torch.stack(want, 1) * torch.nn.functional.silu(z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset,most", [("hybrid", 0.2), ("mamba-ginr", 0.6)])
def test_a_query_costs_a_bounded_number_of_flops(preset, most):
    """Megaflops per answered point of the small models, encoding excluded; and linear in the points."""
    model = gl.FieldModel(gl.preset(preset, size="small")).eval()
    field = model.encode(gl.Samples.from_grid(torch.rand(32, 32, 3)))

    def megaflops(points):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            field(torch.rand(points, 2))
        return counter.get_total_flops() / 1e6

    few, many = megaflops(1000), megaflops(4000)
    assert many / 4000 < most
    assert many == pytest.approx(4 * few, rel=0.3)


def test_memory_of_an_answer_does_not_grow_with_its_points():
    """Largest tensor made while answering: bounded by the block, whatever the size of the answer."""
    model = gl.FieldModel(gl.preset("hybrid", size="tiny")).eval()
    field = model.encode(gl.Samples.from_grid(torch.rand(20, 20, 3)))
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(tensor, torch.Tensor):
                    self.seen = max(self.seen, tensor.numel())
            return out

    def largest(side):
        result = torch.empty(side, side, 3).numpy()
        with Largest() as mode:
            field.to_image(shape=(side, side), chunk=500, out=result)
        return mode.seen

    assert largest(100) <= 1.5 * largest(50)


def test_the_page_of_lengths_is_that_of_the_committed_results():
    import encoders

    path = ROOT / "results" / "encoders.json"
    if not path.exists():
        pytest.skip("not measured yet")
    report = json.loads(path.read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "lengths.md").read_text(encoding="utf-8") == encoders.page(report)


def test_from_which_length_on_is_said_only_where_it_holds_to_the_end():
    import encoders

    def run(encoder, tokens, seed, psnr):
        return {"encoder": encoder, "tokens": tokens, "seed": seed, "curve": [{"psnr": psnr}]}

    def verdict(gains, seeds=2):
        runs = [run("attention", n, seed, 20.0) for n in gains for seed in range(seeds)]
        runs += [run("mamba", n, seed, 20.0 + g + 0.01 * seed) for n, g in gains.items() for seed in range(seeds)]
        return encoders.verdicts({"runs": runs})[0]

    assert "from 1,024 tokens on (+1.01 ± 0.06 dB at 1,024, +2.01 ± 0.06 dB at 4,096)" in verdict(
        {256: -1.0, 1_024: 1.0, 4_096: 2.0}
    )
    assert "no length" in verdict({256: 1.0, 1_024: 1.0, 4_096: -1.0})
    assert "no length" in verdict({256: 0.02})  # less than its interval
    assert "from 256 tokens on (+0.02 dB at 256)" in verdict({256: 0.02}, seeds=1)  # one seed has none
    assert "nothing is measured" in encoders.verdicts({"runs": []})[0]


def test_the_four_encoders_hand_on_as_many_latents():
    import encoders

    x = torch.rand(1, 64, 64, 3)
    for name in encoders.ENCODERS:
        model = encoders.build(name, 256, 0)
        latents, _ = model.encoder(model.tokenizer(x, None)[0])
        assert tuple(latents.x.shape) == (1, encoders.LATENTS, encoders.WIDTH)


def test_parts_that_are_switched_off_compute_the_same_and_are_switched_on_again():
    import train_step

    from gridless.nn import mamba

    torch.manual_seed(0)
    layer, x, fits = mamba.BiMamba(16, gl.config.Ssm()), torch.randn(2, 9, 16), mamba.mixer_fits
    want = torch.autograd.grad(layer(x).square().sum(), [*layer.parameters()])
    for arm in ("the convolution written out", "all written out, as before"):
        train_step.switch_off(*train_step.ARMS[arm])
        got = torch.autograd.grad(layer(x).square().sum(), [*layer.parameters()])
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
        assert (mamba.mixer_fits is fits) == (arm == "the convolution written out")
    train_step.switch_off()
    assert mamba.mixer_fits is fits


def test_the_page_of_volumes_is_that_of_the_committed_results():
    import volumes_page

    found = json.loads((ROOT / "results" / "volumes.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "volumes.md").read_text(encoding="utf-8") == volumes_page.page(found)
    gain = volumes_page.gains(found["rows"])
    assert gain and min(gain) > 1 and min(volumes_page.gains(found["rows"], over="linear filter")) > 0


def test_the_page_of_cifar10_is_that_of_the_committed_results():
    import reconstruction_page

    found = json.loads((ROOT / reconstruction_page.RESULTS).read_text(encoding="utf-8"))
    assert (ROOT / reconstruction_page.PAGE).read_text(encoding="utf-8") == reconstruction_page.page(found)
    rows = {row["name"]: row for row in found["rows"]}
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    long, shipped = rows["mamba-ginr"], rows[reconstruction_page.SHIPPED]
    before = json.loads((ROOT / "results" / "claims" / "cifar10.json").read_text(encoding="utf-8"))["runs"]
    stood = next(run["scores"]["psnr"] for run in before if run["arm"] == "mamba-ginr")
    pca = max(row["psnr"] for row in found["rows"] if row["name"] == "pca")
    assert f"stood at {stood:.1f} dB" in readme and f"2,048 numbers reaches {pca:.1f}" in readme
    assert f"{long['train_seconds'] / 60:.0f} minutes on one core" in readme
    for figure in (f"{long['psnr']:.2f} dB", f"{long['parameters']:,} parameters", f"{shipped['psnr']:.2f} dB"):
        assert figure in readme
    assert long["psnr"] > 52 and shipped["psnr"] > 52
    assert reconstruction_page.parts_text({}) == reconstruction_page.systems_text({}) == ""


@pytest.mark.parametrize("name", ["forecast_rows", "frames_between", "forecast_networks"])
def test_the_tables_of_forecasts_are_those_of_the_committed_results(name):
    module = import_module(name)
    file = {"forecast_rows": "forecasts"}.get(name, name)
    report = json.loads((ROOT / "results" / f"{file}.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "forecasts.md").read_text(encoding="utf-8")
    assert page.split(module.BEGIN)[1].split(module.END)[0].strip() == module.tables(report)


def test_the_page_of_scent_is_that_of_the_committed_results():
    import flow_forecasts_page

    report = json.loads((ROOT / "results" / "flow_forecasts.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "scent.md").read_text(encoding="utf-8") == flow_forecasts_page.page(report)


def test_the_readme_says_of_forecasts_what_was_measured():
    rows = json.loads((ROOT / "results" / "forecasts.json").read_text(encoding="utf-8"))["rows"]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for model in ("advection-bilinear", "pysteps 1.21.5 LK, order 1", "persistence"):
        near, far = (
            next(row["rmse"] for row in rows if (row["film"], row["model"], row["lead"]) == ("radar", model, lead))
            for lead in (1, 6)
        )
        assert f"{near:.2f} and {far:.2f}" in readme
