"""Fields scored from fixed readings, baselines kept, and results that serve pictures and fields."""

import numpy as np
import pytest
import torch
from conftest import tiny

from gridless.bases import fit_modes
from gridless.data.waves import WaveSource
from gridless.scoring import field_scores, metrics
from gridless.scoring.results import grouped, plain_table, read_results, summarise, write_results
from gridless.tasks import SparseField


def test_metrics_of_fields():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200_000)
    assert metrics.r2(np.zeros_like(truth), truth) == pytest.approx(0, abs=1e-4)
    assert metrics.relative_l2(0.5 * truth, truth) == pytest.approx(0.5)
    one = np.ones_like(truth)
    assert metrics.coverage(0 * one, one, truth, 0.5) == pytest.approx(0.5, abs=0.01)
    assert metrics.coverage(0 * one, one, truth, 0.9) == pytest.approx(0.9, abs=0.01)
    assert metrics.crps(0 * one, one, truth) == pytest.approx(1 / np.sqrt(np.pi), abs=0.005)  # of a perfect forecast
    assert metrics.crps(0 * one, 2 * one, truth) > metrics.crps(0 * one, one, truth)
    assert metrics.crps(truth + 0.3, 0 * one, truth) == pytest.approx(0.3)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    model = tiny("sensors")
    task = SparseField(counts=(10, 20), noises=(0.0, 0.1), size=6, fields=3)
    cache = tmp_path_factory.mktemp("kept")
    source, facts = WaveSource(("simple",), "test"), {"train_seconds": 1.5, "seed": 0}
    first = field_scores.evaluate_fields(model, source, task, facts=facts, cache=cache)
    again = field_scores.evaluate_fields(model, source, task, facts=facts, cache=cache)
    assert first == again and len(list(cache.glob("*.json"))) == 2 * 2 * len(field_scores.BASELINES)
    return first


def test_rows_of_fields_go_through_a_file(rows, tmp_path):
    write_results(rows, tmp_path / "results.csv")
    read = read_results(tmp_path / "results.csv")
    assert len(read) == len(rows) and {(r["sensors"], r["noise"]) for r in read} == {
        (n, s) for n in (10, 20) for s in (0, 0.1)
    }
    groups = grouped(read)
    assert list(groups) == ["sparse-field, simple, test, noise 0", "sparse-field, simple, test, noise 0.1"]
    table = summarise(groups["sparse-field, simple, test, noise 0"], "psnr")
    assert table.heads == ("10 sensors", "20 sensors") and table.lines[-1].label == "sensors"
    assert [line.label for line in table.lines if line.trained] == ["sensors"] and table.lines[-1].cells[
        0
    ].gain is not None
    assert "gp" in plain_table(read, "crps") and "nearest" not in plain_table(read, "crps")


def test_the_base_alone_has_a_row_and_rivals_can_be_left_out():
    base = {"kind": "pod", "clusters": 2, "modes": 20, "rank": 8, "degree": 10}
    model, source = tiny("sensors", {"base": base}), WaveSource(("simple",), "test")
    fit_modes(model.base, WaveSource(("simple",)).first(1200))
    task = SparseField(counts=(20,), noises=(0.0,), size=6, fields=2)
    found = field_scores.evaluate_fields(model, source, task, baselines=())
    assert {(row["model"], bool(row["params"])) for row in found} == {("base", False), ("sensors", True)}


def test_joint_answers_are_scored_apart_too():
    """Questions asked in another number get other answers, of a joint decoder alone."""
    asked = "simple", "test", 2, 9, 0.0, "random"
    found = field_scores.scores(tiny("v2"), asked, 6)
    assert all(one["psnr_apart"] != one["psnr"] for one in found)
    assert all("psnr_apart" not in one for one in field_scores.scores(tiny("sensors"), asked, 6))


def test_readings_are_the_same_for_ever():
    one, two = (field_scores.question("radial", "test", count, 20, 0.1, "random") for count in (3, 8))
    assert torch.equal(one[1].values, two[1].values[:3]) and torch.equal(one[1].coords, two[1].coords[:3])
