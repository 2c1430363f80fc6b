"""A run on a film: its rows and pictures, its report, what it says of later frames; the commands of docs/forecasts.md."""

import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridless.cli import main
from gridless.config.merging import recipe, recipe_table
from gridless.data.archives import open_archive
from gridless.reports.lead_curves import lead_curves
from gridless.reports.report import report
from gridless.runs.evaluation import evaluate_run
from gridless.runs.forecast import Trained, forecast_model
from gridless.runs.train import train_run
from gridless.scoring.results import headline, plain_table, read_results, summarise
from tests.test_films import FIVE, START, film

xr = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")

PAGE = Path(__file__).parents[1] / "docs" / "forecasts.md"
FRAMES = 30
SMALL = ["--size", "tiny", "--train.seconds", "none", "--train.steps", "2", "--train.batch", "2", "--train.queries", "9",
         "--train.validate_every", "2", "--data.val", "8", "--data.test", "8"]  # fmt: skip


def shower(path: Path) -> Path:
    """Rain that moves to the right, and a place that no frame measures."""
    times = START + FIVE * np.arange(FRAMES)
    made = film(times, shape=(8, 12))
    t, y, x = np.meshgrid(np.arange(FRAMES), np.arange(8), np.arange(12), indexing="ij")
    made.rain[:] = 3 * np.exp(-((x - 0.3 * t) ** 2 + (y - 4) ** 2) / 6)
    made.rain[:, 0, 0] = np.nan
    made.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("radar")
    flags = {
        "data": {"path": str(shower(folder / "radar.nc")), "val": 8, "test": 8},
        "train": {"seconds": None, "steps": 2, "batch": 2, "queries": 9, "validate_every": 2},
    }
    train_run(recipe(recipe_table("films"), flags)[0], folder / "run", quiet=True)
    evaluate_run(folder / "run", baselines=("persistence", "advection"))
    return folder / "run"


def test_rows_are_tables_of_leads_beside_persistence(run):
    rows = read_results(run / "results.csv")
    assert {row["model"] for row in rows} == {"persistence", "advection", "films"}
    assert {row["lead"] for row in rows} == {1, 2, 3, 4} and headline(rows) == "rmse"
    table = summarise(rows, "rmse")
    assert table.heads == ("lead 1", "lead 2", "lead 3", "lead 4")
    persistence, advection, model = table.lines
    assert (persistence.label, advection.label, model.trained) == ("persistence", "advection", True)
    means = [cell.mean for cell in persistence.cells if cell]
    assert means == sorted(means) and persistence.cells[0].gain is None and advection.cells[0].gain < 0
    assert "lead 4" in plain_table(rows, "rmse")


def test_a_report_shows_windows_animations_and_scores_against_the_lead(run, tmp_path):
    png, webp = sorted((run / "fields").iterdir())
    assert (png.suffix, webp.suffix) == (".png", ".webp") and png.stem == webp.stem == "radar-test-0"
    with Image.open(png) as still, Image.open(webp) as moving:
        assert still.width > 1000 and moving.n_frames == 8 and moving.width > moving.height
    report([run], tmp_path)
    html, text = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    assert (
        "Forecasts: what comes after" in html
        and "Below a trained model’s mean stands its gain over persistence" in html
    )
    assert html.count("data:image/webp;base64") == 1 and "Against the lead" in html and "Window by window" in html
    assert "Photo by photo" not in html and "strips/leads.png" in text and "lead 3" in text
    with Image.open(tmp_path / "strips" / "leads.png") as curves:
        assert curves.width > 1000


def test_curves_need_leads_and_do_without_persistence():
    usual = {"task": "forecast", "data": "d", "split": "test", "image": "a", "metric": "rmse", "value": 1.0}
    assert lead_curves([{**usual, "model": "m", "lead": None}]) is None
    alone = lead_curves([{**usual, "model": "m", "lead": k, "value": k} for k in (1.0, 2.0)])
    beside = lead_curves([{**usual, "model": m, "lead": 1.0} for m in ("m", "persistence")])
    assert alone is not None and beside is not None
    assert Image.open(io.BytesIO(alone)).width < Image.open(io.BytesIO(beside)).width


def test_the_run_goes_on_after_the_film_and_other_tasks_are_refused(run, tmp_path):
    assert forecast_model(str(run))[1] == Trained(4, 4)
    source = run.parent / "radar.nc"
    main(["forecast", str(run), str(source), "--until", "30min", "--every", "10min", "-o", str(tmp_path / "next.nc")])
    back = open_archive(tmp_path / "next.nc")
    assert back.rain.shape == (3, 8, 12) and np.isnan(back.rain.values).sum() == 3
    assert np.isnan(back.rain.values[:, 0, 0]).all() and back.attrs["source"].endswith("films")
    assert back.attrs["comment"].startswith("training asked up to 20 min ahead")
    table = (run / "recipe.json").read_text(encoding="utf-8")
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "model.safetensors"):
        (other / name).write_bytes((run / name).read_bytes())
    assert forecast_model(str(other))[1] == Trained(4, 4)  # of the model's own config
    (other / "recipe.json").write_text(
        re.sub(r'"task": \{.*?\n  \}', '"task": {"kind": "reconstruction"}', table, flags=re.S), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="was trained for reconstruction, not for forecasts"):
        forecast_model(str(other))


def test_the_commands_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shower(tmp_path / "radar.nc")
    lines = re.findall(r"^gridless .*$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(lines) == 6
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        main([*words, *(SMALL if words[0] == "train" else [])])
    assert {"next.nc", "minutes.nc", "after.nc"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "runs" / "radar" / "report.html").is_file()
    assert open_archive(tmp_path / "minutes.nc").sizes["time"] == 5 and "after.nc: rain" in capsys.readouterr().out
