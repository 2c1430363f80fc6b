"""Reports: numbers computed a second way, pages that need nothing outside, files that are missing or broken."""

import csv
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridless.reports import plots
from gridless.reports import report as reporting
from gridless.scoring import results
from gridless.scoring.statistics import t_quantile

BASELINES = ("nearest", "bicubic")
IMAGES = ("cat", "dog", "owl")
SCALES = (2.0, 3.7)


def value(model: str, image: str, scale: float, metric: str) -> float:
    """A made-up measurement with no pattern that a wrong mean could reproduce."""
    seed = [ord(c) for c in f"{model}{image}{scale}{metric}"]
    return float(
        np.random.default_rng(seed).uniform(0.5, 1) if metric == "ssim" else np.random.default_rng(seed).uniform(20, 35)
    )


def make_run(folder: Path, model: str = "hybrid", extra: float = 0.0, full: bool = True, images=IMAGES) -> Path:
    """A run folder; `extra` shifts the trained model's values; full = with run.json, metrics.jsonl and predictions."""
    folder.mkdir(parents=True)
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(results.NEEDED)
        for image in images:
            for scale in SCALES:
                for name in (model, *BASELINES):
                    for metric in ("psnr_rgb", "ssim"):
                        number = value(name, image, scale, metric) + (extra if name == model else 0)
                        trained = (98765, 241.3) if name == model else (0, 0)
                        writer.writerow([name, "sr", "photos", "test", image, scale, metric, number, *trained, 0])
    if full:
        facts = {
            "model": model,
            "params": 98765,
            "steps": 4000,
            "commit": "abc1234",
            "hardware": {"cores": 2, "gpu": None},
        }
        (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
        lines = [{"step": 10 * i, "loss": 0.1 / i} for i in range(1, 30)] + [{"step": 290, "val_gain_x2": 0.5}]
        (folder / "metrics.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 300, "lo', encoding="utf-8"
        )
        make_predictions(folder, model)
    return folder


def make_predictions(folder: Path, model: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)
    where = folder / "predictions" / "cat" / "x2"
    where.mkdir(parents=True)
    noisy = {
        name: np.clip(truth.astype(int) + rng.integers(-20, 21, truth.shape), 0, 255) for name in (model, *BASELINES)
    }
    for name, data in {"truth": truth, "input": truth[::2, ::2], **noisy}.items():
        Image.fromarray(data.astype(np.uint8)).save(where / f"{name.replace('/', '-')}.png")


def width(file) -> int:
    with Image.open(file) as picture:
        return picture.width


def pages(output: Path) -> tuple[str, str]:
    return (output / "report.html").read_text(encoding="utf-8"), (output / "report.md").read_text(encoding="utf-8")


def test_every_mean_and_gain_of_the_csv_is_on_both_pages(tmp_path):
    output = reporting.report([make_run(tmp_path / "run")], tmp_path / "out")
    html, markdown = pages(output)
    with (tmp_path / "run" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for metric, digits in (("psnr_rgb", 2), ("ssim", 4)):
        for scale in ("2.0", "3.7"):
            found = [row for row in rows if (row["scale"], row["metric"]) == (scale, metric)]
            got = {
                model: np.array([float(row["value"]) for row in found if row["model"] == model])
                for model in ("hybrid", *BASELINES)
            }
            for values in got.values():
                assert f'<span class="mean">{values.mean():.{digits}f}</span>' in html
                assert re.search(rf"\| (\*\*)?{values.mean():.{digits}f}", markdown)
            best = max(values.mean() for values in got.values())
            assert f'<td class="best"><span class="mean">{best:.{digits}f}<' in html
            assert f"**{best:.{digits}f}**" in markdown
            gains = got["hybrid"] - got["bicubic"]
            margin = t_quantile(0.975, len(gains) - 1) * gains.std(ddof=1) / math.sqrt(len(gains))
            sign = "−" if gains.mean() < 0 else "+"
            text = f"{sign}{abs(gains.mean()):.{digits}f} ± {margin:.{digits}f}"
            assert text in html and text in markdown
    for image in IMAGES:  # the tables per photo
        assert f">{value('hybrid', image, 3.7, 'psnr_rgb'):.2f}<" in html
    assert "98,765" in html and "98,765" in markdown and "abc1234" in html


def test_paired_margin_by_hand():
    rows = [
        {"model": model, "task": "sr", "data": "d", "split": "test", "image": image, "scale": 2.0, "metric": "psnr_rgb",
         "value": v, "params": params, "train_seconds": None, "seed": 0}
        for model, params, values in (("net", 7, (31.0, 23.0, 28.0)), ("bicubic", 0, (30.0, 20.0, 26.0)))
        for image, v in zip("abc", values, strict=True)
    ]  # fmt: skip
    table = results.summarise(rows, "psnr_rgb")
    bicubic, net = table.lines  # the trained one is last
    assert (bicubic.label, net.label, net.params, table.scales) == ("bicubic", "net", 7, (2.0,))
    # gains 1, 3, 2: mean 2, standard deviation 1, t(2) = 4.303; unpaired it would be about 13
    assert net.cells[0].gain == pytest.approx(2)
    assert net.cells[0].margin == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert (net.cells[0].best, bicubic.cells[0].best, bicubic.cells[0].gain) == (True, False, None)
    # an image that bicubic lacks counts for the mean, not for the gain
    more = results.summarise([*rows, rows[0] | {"image": "d", "value": 99.0}], "psnr_rgb").lines[1].cells[0]
    assert (more.count, more.gain, more.mean) == (4, pytest.approx(2), pytest.approx(181 / 4))
    # the same image again (a second seed) is averaged before, so it does not narrow the margin
    again = results.summarise(rows + [row | {"seed": 1} for row in rows], "psnr_rgb").lines[1].cells[0]
    assert (again.count, again.margin) == (3, pytest.approx(4.3027 / math.sqrt(3), rel=1e-4))


def test_fewer_images_do_not_compete_for_the_best(tmp_path):
    runs = [make_run(tmp_path / "a", "net"), make_run(tmp_path / "b", "cheat", extra=50, images=IMAGES[:1])]
    html, _ = pages(reporting.report(runs, tmp_path / "out"))
    rows = [row for run in runs for row in results.read_results(run / "results.csv")]
    cells = {line.label: line.cells[0] for line in results.summarise(rows, "psnr_rgb").lines}
    assert cells["cheat"].count == 1 and not cells["cheat"].best
    assert "1 of 3 images" in html


class Resources(HTMLParser):
    """Collects what a browser would load."""

    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [text for name, text in attrs if name in ("src", "href", "srcset", "data", "action", "poster")]


def test_the_page_needs_nothing_outside_itself(tmp_path):
    html, markdown = pages(reporting.report([make_run(tmp_path / "run")], tmp_path / "out"))
    page = Resources()
    page.feed(html)
    assert len(page.found) == 2  # a strip and the training curve
    assert all(text.startswith("data:image/png;base64,") for text in page.found)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "http" not in re.sub(r"base64,[^\"]*", "", html) and "url(" not in html and "@import" not in html
    files = re.findall(r"!\[[^]]*\]\(([^)]*)\)", markdown)
    assert len(files) == 2 and all(width(tmp_path / "out" / file) > 100 for file in files)
    assert not [file for file in (tmp_path / "out").rglob("*") if file.name.endswith(".tmp")]


def test_missing_parts_leave_their_sections_out(tmp_path):
    html, markdown = pages(reporting.report([make_run(tmp_path / "bare", full=False)], tmp_path / "out"))
    assert "<img" not in html and ">Training<" not in html and "## Training" not in markdown and "![" not in markdown
    assert "Run facts" in html and "<span>–</span>" in html
    whole, _ = pages(reporting.report([make_run(tmp_path / "whole")], tmp_path / "out"))
    assert whole.count("<img") == 2 and ">Training<" in whole


def test_what_must_be_there_is_asked_for(tmp_path):
    with pytest.raises(ValueError, match="expected a run folder"):
        reporting.report([tmp_path / "nowhere"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"run `gridless eval .*empty` first"):
        reporting.report([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(ValueError, match="at least one run folder"):
        reporting.report([], tmp_path / "out")
    table = tmp_path / "empty" / "results.csv"
    table.write_text("model,value\nnet,1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no column task"):
        results.read_results(table)
    table.write_text(",".join(results.NEEDED) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no row"):
        results.read_results(table)
    table.write_text(",".join(results.NEEDED) + "\nnet,sr,d,test,cat,two,ssim,1,1,1,0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 2: got scale 'two'"):
        results.read_results(table)
    assert not (tmp_path / "out").exists()


def test_results_are_typed(tmp_path):
    row = results.read_results(make_run(tmp_path / "run") / "results.csv")[0]
    assert (row["model"], row["scale"], row["params"], row["train_seconds"], row["seed"]) == (
        "hybrid",
        2.0,
        98765,
        241.3,
        0,
    )
    assert row["value"] == value("hybrid", "cat", 2.0, "psnr_rgb")


def test_broken_and_repeated_metrics_lines(tmp_path):
    run = make_run(tmp_path / "run")
    text = '{"step": 10, "loss": 1.0}\n{"step": 20, "loss": 9.0}\n{"step": 20, "loss": 2.0}\n[3]\n{"step": 30, "los'
    (run / "metrics.jsonl").write_text(text, encoding="utf-8")
    read = reporting._read_run(run, "run")
    assert read.curve == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0}]  # a resumed run: the later line holds
    assert reporting.report([run], tmp_path / "out")


def test_names_are_escaped(tmp_path):
    run = make_run(tmp_path / "run", model="<b>x|y", full=False)
    (run / "run.json").write_text(json.dumps({"commit": "<script>alert(1)</script>"}), encoding="utf-8")
    html, markdown = pages(reporting.report([run], tmp_path / "out"))
    assert "<b>" not in html and "&lt;b&gt;x|y" in html
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "<b>" not in markdown and r"&lt;b&gt;x\|y" in markdown and "<script" not in markdown


def test_models_of_one_name_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / "one"), make_run(tmp_path / "two", extra=3.0)]
    html, markdown = pages(reporting.report(runs, tmp_path / "out"))
    mean = np.mean([value("hybrid", image, 2.0, "psnr_rgb") for image in IMAGES])
    for label, expected in (("hybrid (one)", mean), ("hybrid (two)", mean + 3)):
        assert f">{label}</th>" in html
        assert re.search(rf"\| {re.escape(label)} \| 98,765 \| (\*\*)?{expected:.2f}", markdown)
    assert "bicubic (" not in html  # the runs agree about it: one row
    strip = tmp_path / "out" / "strips" / "cat-x2.png"
    single = reporting.report(runs[:1], tmp_path / "single") / "strips" / "cat-x2.png"
    assert width(strip) > width(single)  # both answers stand beside one truth
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 2 * 3 * 2 and {row["run"] for row in rows} == {"one", "two"}


def test_baselines_that_disagree_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / "a" / "run", "net"), make_run(tmp_path / "b" / "run", "other")]
    text = (
        (runs[1] / "results.csv")
        .read_text(encoding="utf-8")
        .replace("bicubic,sr,photos,test,cat,2.0,psnr_rgb,", "bicubic,sr,photos,test,cat,2.0,psnr_rgb,1")
    )
    (runs[1] / "results.csv").write_text(text, encoding="utf-8")
    html, _ = pages(reporting.report(runs, tmp_path / "out"))
    assert ">bicubic (a/run)</th>" in html and ">bicubic (b/run)</th>" in html and ">nearest</th>" in html


def test_a_report_into_the_run_leaves_its_results_alone(tmp_path):
    run = make_run(tmp_path / "run")
    before = (run / "results.csv").read_bytes()
    assert reporting.report([run], run) == run
    assert (run / "results.csv").read_bytes() == before and (run / "report.html").is_file()


def test_number():
    assert [results.number(v, 2) for v in (1.005e3, -0.5, -0.001, math.inf, -math.inf, math.nan)] == [
        "1005.00", "−0.50", "0.00", "∞", "−∞", "–"]  # fmt: skip
    assert [results.number(v, 1, signed=True) for v in (0.52, -0.52, -0.01)] == ["+0.5", "−0.5", "+0.0"]


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_hardest_window_is_where_the_error_is():
    errors = np.zeros((200, 300))
    errors[150:160, 250:260] = 1
    left, top, right, bottom = plots.hardest_window(errors, 96)
    assert (right - left, bottom - top) == (96, 96) and left <= 250 and right >= 260 and top <= 150 and bottom >= 160
    assert plots.hardest_window(np.zeros((20, 300)), 96) == (0, 0, 96, 20)  # ties: the first


def test_error_map_is_black_at_zero_and_brightest_from_the_limit():
    truth = Image.new("RGB", (3, 1), (100, 100, 100))
    prediction = truth.copy()
    prediction.putpixel((1, 0), (151, 151, 151))  # 51 / 255 = 0.2
    prediction.putpixel((2, 0), (255, 255, 255))
    colours = np.asarray(plots.error_map(prediction, truth, limit=0.2))[0].tolist()
    assert colours == [[0, 0, 4], [252, 255, 164], [252, 255, 164]]
    with pytest.raises(ValueError, match="3 x 1 px"):
        plots.error_map(Image.new("RGB", (2, 1)), truth)


def test_strip_shows_the_pixels_themselves():
    truth = picture(40, 60)
    answer = picture(40, 60, seed=1)
    image = plots.strip(truth.resize((30, 20)), truth, {"bicubic": answer, "net": truth}, crop=24, panel=96)
    box = plots.hardest_window(plots.error(answer, truth), 24)
    shown = (
        image.convert("RGB")
        .crop((image.width - 96, 30, image.width, 30 + 96))
        .resize((24, 24), Image.Resampling.NEAREST)
    )
    assert np.array_equal(np.asarray(shown), np.asarray(truth.crop(box)))
    assert image.width == 4 * 96 + 3 * 12 and plots.png(image) == plots.png(
        plots.strip(truth.resize((30, 20)), truth, {"bicubic": answer, "net": truth}, crop=24, panel=96))  # fmt: skip
    assert plots.psnr(truth, truth) == math.inf
    assert plots.psnr(answer, truth) == pytest.approx(
        -10 * math.log10(np.mean((plots.pixels(answer) - plots.pixels(truth)) ** 2))
    )
    with pytest.raises(ValueError, match="at least one"):
        plots.strip(truth, truth, {})


def test_training_curve_bears_what_runs_log():
    losses = [{"step": i, "loss": 1 / i} for i in range(1, 50)]
    gains = [{"step": 10, "val_gain_x2": 0.1}, {"step": 40, "val_gain_x2": 0.4, "val_gain_x4": math.nan}]
    narrow, wide = (width(io.BytesIO(plots.training_curve({"net": lines}))) for lines in (losses, losses + gains))
    assert wide > narrow  # a second panel
    assert plots.training_curve({"a": losses + gains, "b": [{"step": 1, "loss": -2.0}, {"step": 2, "loss": math.inf}]})
    assert plots.training_curve({"net": gains}) is None and plots.training_curve({}) is None
