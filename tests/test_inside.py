"""Looking inside: every measure on what it must be by definition, and the page of a tiny run."""

import json
import re

import numpy as np
import pytest
import torch
from conftest import tiny
from PIL import Image

import gridless as gl
from gridless import cli
from gridless.bases import Interpolation
from gridless.config import Recipe
from gridless.config.merging import build
from gridless.nn.rotation import rotated
from gridless.reports.inside.answers import jitter_curve, radial_spectrum, tapered
from gridless.reports.inside.exhibits import telling_points
from gridless.reports.inside.page import report_inside
from gridless.reports.inside.reading import attention, modulations, pooled_latents, position_tokens, without_attention
from gridless.reports.inside.vectors import (
    centred_cosine,
)
from gridless.runs.train import train_run

RNG = np.random.default_rng
READERS = ("mamba-ginr", "hybrid", "lainr", "lainr-large", "scent")
ATTENTION = {
    "plain": {},
    "euclid": {"bias": {"kind": "euclid", "alpha": 30.0}},
    "raster": {"bias": {"kind": "raster"}},
    "nearest": {"bias": {"kind": "euclid"}, "nearest": 3},
}


@pytest.fixture
def window() -> gl.Samples:
    torch.manual_seed(1)
    return gl.Samples.from_grid(torch.rand(8, 8, 3))


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", READERS)
@pytest.mark.parametrize("arm", ATTENTION.values(), ids=ATTENTION.keys())
def test_weights_times_values_are_what_the_decoder_reads(preset, arm, window):
    weights = read_as_decoded(tiny(preset, {"decoder": {"attention": arm}}), window)
    if "nearest" in arm:
        assert ((weights > 0).sum(-1) == 3).all()


def test_so_they_are_for_queries_among_themselves_and_for_all_outputs(window):
    joint = {"block": {"depth": 1, "joint": True}}
    model = tiny("mamba-ginr", {"encoder": {"tokens": {"read": "all"}}, "decoder": joint})
    assert read_as_decoded(model, window).shape[-1] == model.latents == 32


def read_as_decoded(model: gl.FieldModel, window: gl.Samples) -> np.ndarray:
    """The weights of a few queries, after they and the modulations were compared with the decoder's own way."""
    coords = RNG(0).random((11, 2))
    heard = {}
    hook = model.decoder.attention.register_forward_hook(lambda module, args, out: heard.update(args=args, out=out))
    with torch.no_grad():
        model.encode(window)(torch.from_numpy(coords).float())
    hook.remove()
    found = attention(model, window, coords)
    assert (found.weights >= 0).all() and np.allclose(found.weights.sum(-1), 1, atol=1e-6)
    layer, keys_values = model.decoder.attention, heard["args"][1]
    values = keys_values.unflatten(-1, (2, layer.heads, -1))[0, :, 1].transpose(0, 1).detach().double().numpy()
    with torch.no_grad():
        read, place = torch.from_numpy(found.weights @ values).float(), heard["args"][5]
        if layer.rotation is not None:
            read = rotated(read[None], -layer.rotation.angle(place))[0]
        read = read.transpose(0, 1).flatten(1)
        torch.testing.assert_close(layer.to_out(read), heard["out"][0], rtol=0, atol=1e-5)
    assert np.allclose(modulations(model, window, coords), heard["out"][0], atol=1e-6)
    return found.weights


def test_masked_latents_are_not_read():
    layer = tiny("scent").decoder.attention
    x, latents, mask = torch.randn(2, 5, 64), torch.randn(2, 7, layer.to_kv.in_features), torch.rand(2, 7) > 0.4
    weights = layer.weights(x, layer.to_kv(latents), mask=mask)
    assert not weights[~mask[:, None, None].expand_as(weights)].any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, layer.heads, 5))


def test_a_strong_bias_reads_the_nearest_latent(window):
    diff = {"decoder": {"attention": {"bias": {"kind": "euclid", "alpha": 1e4}}}}
    model = tiny("mamba-ginr", diff)
    small = gl.Samples.from_grid(window.on_grid()[:, :6, :4])  # its positions must be those of the smaller picture
    here = attention(model, small, np.array([[0.5, 0.5]])).positions
    inside = (here < 1).all(1)
    found = attention(model, small, here[inside])
    assert (found.weights.argmax(-1) == np.flatnonzero(inside)).all()
    assert np.allclose(found.count(), 1, atol=0.2)
    near, everywhere = found.reach(here[inside])
    assert near.max() < 0.1 < everywhere.min()


def test_alike_weights_read_all_latents():
    model = tiny("lainr", {"decoder": {"attention": {"bias": {"kind": "none"}}}})
    torch.nn.init.zeros_(model.decoder.attention.to_q.weight)
    found = attention(model, gl.Samples.from_grid(torch.rand(8, 8, 3)), RNG(0).random((4, 2)))
    near, everywhere = found.reach(RNG(0).random((4, 2)))
    assert np.allclose(found.count(), 16) and np.allclose(near, everywhere)


def test_where_nothing_is_read_it_is_said(window):
    none = {"local": {}, "encoder": {"tokens": {"count": 0}}}
    for model, word in ((tiny("mlp"), "'mlp'"), (tiny("ipc"), "'composer'"), (tiny("hybrid", none), "no latents")):
        assert word in without_attention(model)
        with pytest.raises(ValueError, match=word):
            attention(model, window, np.zeros((1, 2)))
    assert without_attention(tiny("hybrid")) is None
    assert position_tokens(tiny("scent")) is None and position_tokens(tiny("hybrid", none)) is None
    with pytest.raises(ValueError, match="one window of at most 8"):
        attention(tiny("hybrid"), gl.Samples.from_grid(torch.rand(9, 8, 3)), np.zeros((1, 2)))


def test_pooled_latents_are_the_mean_of_what_the_decoder_gets():
    model = tiny("mlp")  # its `prepare` is that mean
    windows = [gl.Samples.from_grid(torch.rand(*shape, 3)) for shape in ((8, 8), (7, 5))]
    for pooled, samples in zip(pooled_latents(model, windows), windows, strict=True):
        with torch.no_grad():
            expected = model.encode_window(model.standard_grid(samples)).latents.x[0, 0]
        assert np.allclose(pooled, expected, atol=1e-6)


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(32, 32, 3), (17, 40, 1)])
def test_spectra_obey_parseval(shape):
    picture = RNG(0).random(shape)
    found = radial_spectrum(picture)
    assert found.modes.sum() == shape[0] * shape[1]
    assert (found.power * found.modes).sum() / found.modes.sum() == pytest.approx((picture**2).mean())
    assert found.above(-1) == pytest.approx((picture**2).mean()) and found.above(1) == 0
    assert found.power[0] == pytest.approx((picture.mean((0, 1)) ** 2).mean() * shape[0] * shape[1])


def test_noise_is_flat_at_every_size_and_a_wave_is_one_ring():
    for side in (64, 128):
        found = radial_spectrum(RNG(side).normal(size=(side, side, 3)))
        assert np.allclose(found.power[side // 8 : side // 2], 1, atol=0.35)
        assert found.power[side // 8 : side // 2].mean() == pytest.approx(1, abs=0.03)
    wave = np.cos(2 * np.pi * 5 * np.arange(40) / 40)[None, :, None].repeat(40, 0)
    found = radial_spectrum(wave)
    assert found.frequency[found.power.argmax()] == pytest.approx(5 / 40)
    assert found.above(5.5 / 40) < 1e-20


def test_fading_out_removes_the_border_s_jump():
    ramp = np.linspace(0, 1, 64)[:, None, None].repeat(64, 1)
    assert radial_spectrum(tapered(ramp)).above(0.25) < 1e-4 * radial_spectrum(ramp).above(0.25)
    noise = RNG(0).normal(size=(96, 96, 1))
    assert (tapered(noise) ** 2).mean() == pytest.approx(1, abs=0.05)


def test_jitter_tells_a_field_from_one_that_knows_pixels_only():
    torch.manual_seed(0)
    coarse = gl.Samples.from_grid(torch.rand(9, 9, 3))
    truth = gl.Samples.from_grid(Interpolation("bicubic").encode(coarse).to_image(shape=(36, 36)))
    fields = {name: Interpolation(name).encode(truth) for name in ("bicubic", "bilinear", "nearest")}
    curves = jitter_curve(fields, truth, (0.0, 0.1, 0.5))
    assert min(curves["bicubic"]) > 150 and min(curves["bilinear"][0], curves["nearest"][0]) > 150
    assert curves["nearest"][0] > curves["nearest"][1] > curves["nearest"][2]
    assert curves["bilinear"][2] > curves["nearest"][2] + 5
    assert curves == jitter_curve(fields, truth, (0.0, 0.1, 0.5))
    with pytest.raises(ValueError, match="more than 72 px"):
        jitter_curve(fields, truth, (9.0,))


def test_telling_points_are_an_edge_a_flat_place_and_the_middle():
    picture = np.zeros((32, 32, 3))
    picture[:, 20:] = 1
    picture[:16] += RNG(0).random((16, 32, 3)) * 0.2
    points = telling_points(picture)
    assert abs(points["edge"][1] - 20 / 32) <= 1 / 32
    assert points["flat"][0] > 0.5 and abs(points["flat"][1] - 20 / 32) > 2 / 32
    assert np.allclose(points["middle"], 16.5 / 32)


# --- the page ---------------------------------------------------------------------------------------------------------


def make_run(folder, preset: str, task: dict, diff: dict | None = None, data: dict | None = None):
    """Two steps on noise; eight test pictures unless `data` says otherwise."""
    for split, count in (("train", 1), ("val", 1), ("test", 8)):
        (folder / "data" / split).mkdir(parents=True)
        for i in range(count):
            noise = RNG((i, count)).integers(0, 256, (40, 44, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / "data" / split / f"{split}{i}.png")
    model = gl.config.merging.merge(gl.config.merging.preset_table(preset, "tiny"), diff or {})
    train = {"steps": 2, "batch": 2, "optimizer": {"lr": 1e-2}, "seed": 3}
    data = data or {"kind": "folder", "path": str(folder / "data")}
    recipe = build(Recipe, {"model": model, "data": data, "task": task, "train": train})
    train_run(recipe, folder / "run", quiet=True)
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    task = {"kind": "super-resolution", "scale": {"low": 1.0, "high": 2.5}, "scales": [2.0, 4.0]}
    return make_run(tmp_path_factory.mktemp("mamba-ginr"), "mamba-ginr", task, {"base": {"kind": "bicubic"}})


PICTURES = {"attention", "tokens", "modulations", "components", "neighbours", "spectra", "jitter"}


@pytest.fixture(scope="module")
def page(run):
    """Where the command line put it."""
    cli.main(["report", "--inside", str(run)])
    return run / "inside"


def test_the_page_holds_every_picture_and_needs_nothing_outside(page):
    assert {p.name for p in page.iterdir()} == {f"{n}.png" for n in PICTURES} | {
        "inside.html",
        "inside.md",
        "inside.json",
    }
    html, markdown = (
        (page / "inside.html").read_text(encoding="utf-8"),
        (page / "inside.md").read_text(encoding="utf-8"),
    )
    assert len(re.findall(r'<img src="data:image/png;base64,', html)) == len(PICTURES)
    assert not re.search(r'(src|href)="(?!data:)', html) and "http" not in html
    assert html.count("How to read it") == markdown.count("How to read it") == len(PICTURES)
    assert html.count("Left out.") == 1 and "these pictures have none" in html and "asked at ×2" in html
    assert set(re.findall(r"\]\((\w+)\.png\)", markdown)) == PICTURES
    for name in PICTURES:
        with Image.open(page / f"{name}.png") as picture:
            assert picture.width > 600


def test_the_numbers_are_those_of_the_run(run, page):
    found = json.loads((page / "inside.json").read_text(encoding="utf-8"))
    assert set(found) == PICTURES | {"probe"}
    model = gl.FieldModel.from_pretrained(run)
    torch.manual_seed(3)
    for label, m in (("before", gl.FieldModel(model.config)), ("after", model)):
        expected = centred_cosine(position_tokens(m)[0])
        assert np.allclose(found["tokens"]["centred_cosine"][f"{label} training"], expected, atol=1e-4)
    assert np.mean(found["tokens"]["moved"]) > 1e-4
    assert np.allclose(np.sum(found["attention"]["weights"], -1), 1, atol=1e-3)
    assert sum(found["modulations"]["explained"]) == pytest.approx(1, abs=1e-3)
    assert found["spectra"]["limit"] == 0.25  # half of what ×2 leaves
    assert set(found["jitter"]["psnr"]) == {"mamba-ginr", "bicubic", "truth, by Lanczos"}
    assert "labels" in found["probe"]["left_out"]


def test_labels_bring_a_probe_and_change_nothing_else(run, page, tmp_path):
    labels = ["a", "b"] * 4
    found = json.loads((report_inside(run, tmp_path, labels) / "inside.json").read_text(encoding="utf-8"))
    probe = found.pop("probe")
    assert probe["classes"] == 2 and 0 <= probe["accuracy"] <= 1 and (tmp_path / "probe.png").is_file()
    before = json.loads((page / "inside.json").read_text(encoding="utf-8"))
    assert found == {name: numbers for name, numbers in before.items() if name != "probe"}
    with pytest.raises(ValueError, match="one label for each of 8 test pictures, got 3"):
        report_inside(run, tmp_path, labels[:3])


def test_cifar10_brings_its_labels_and_a_joint_decoder_answers_one_window(tmp_path):
    for name, count in (("data_batch_1", 20), ("test_batch", 30)):
        labels = np.arange(count)[:, None] % 3
        planes = RNG(count).integers(0, 256, (count, 3072))
        np.concatenate([labels, planes], 1).astype(np.uint8).tofile(tmp_path / f"{name}.bin")
    data = {"kind": "cifar10", "path": str(tmp_path), "held_out": 18}
    joint = {"decoder": {"block": {"depth": 1, "joint": True}}, "signal": {"window": 24, "overlap": 8}}
    run = make_run(tmp_path, "mamba-ginr", {"kind": "reconstruction", "seen": 24}, joint, data)
    found = json.loads((report_inside(run) / "inside.json").read_text(encoding="utf-8"))
    assert found["probe"]["classes"] == 3 and found["probe"]["train"] + found["probe"]["test"] == 18
    assert len(found["jitter"]["psnr"]["mamba-ginr"]) == 3 and found["spectra"]["limit"] == 0.25
    assert "depend on one another" in (run / "inside" / "inside.md").read_text(encoding="utf-8")


def test_what_does_not_apply_is_left_out_with_a_reason(tmp_path):
    perceiver = {"kind": "perceiver", "count": 4, "widths": [16], "cross_heads": 1, "heads": 1, "head_width": 16}
    run = make_run(tmp_path, "mlp", {"kind": "reconstruction"}, {"encoder": perceiver})
    html = (report_inside(run, tmp_path / "out") / "inside.html").read_text(encoding="utf-8")
    assert html.count("do not attend to the latents") == 4 and "no learnable position tokens" in html
    assert {p.stem for p in (tmp_path / "out").glob("*.png")} == {"spectra", "jitter"}
    numbers = json.loads((tmp_path / "out" / "inside.json").read_text(encoding="utf-8"))
    assert "'mlp'" in numbers["attention"]["left_out"]
    assert "bicubic" not in numbers["jitter"]["psnr"]  # at ×1 it is the input itself


def test_mistakes_are_one_line(run, capsys, tmp_path):
    for arguments, words in (
        (["--inside", str(run), str(run)], "one run, got 2"),
        (["--inside", str(tmp_path)], "holds no run.json"),
        ([str(run)], "give a folder with -o"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["report", *arguments])
        assert words in capsys.readouterr().err
