"""The benchmark of weights for any field: its questions, its ratios, and a page that is that of its results."""

import json
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.data.field_kinds import KINDS

pytest.importorskip("sklearn")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import sensor_questions  # noqa: E402
import sensors  # noqa: E402
import sensors_page  # noqa: E402
import unseen_fields  # noqa: E402

RESULTS = ROOT / "results" / "sensors.json"
PLAN = sensor_questions.Plan({12: (0, 1), 20: (0, 1)}, rivals=(0, 1), darcy=2, rounds=1)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict:
    """A quick run of an untrained model, as its JSON says it."""
    folder = tmp_path_factory.mktemp("data")
    np.savez(
        folder / "darcy_16_32.npz", y_test32=np.random.default_rng(0).standard_normal((2, 12, 12)).cumsum(1).cumsum(2)
    )
    model = gl.FieldModel(gl.preset("sensors", "tiny")).eval()
    found = sensors.measure(model, {"prior": PLAN, "unseen": PLAN}, folder)
    facts = {"quick": True, "command": "python benchmarks/sensors.py", "params": 1, "commit": "0", "seconds": 1,
             "hardware": {"cpu": "a CPU", "threads": 1}, "clock": sensors.clocked(model, 1, (12,))}  # fmt: skip
    return json.loads(json.dumps(sensors.short(found | facts)))


def test_an_untrained_model_is_worth_exactly_its_base(measured):
    blocks = Counter(row["block"] for row in measured["kinds"])
    assert blocks == {"prior": len(KINDS), "unseen": len(unseen_fields.UNSEEN), "darcy": 1}
    for row in [*measured["kinds"], *measured["slices"]]:
        assert row["scores"]["model"] == row["scores"]["kriging"]
        for ratio in row["ratios"].values():
            assert (ratio["typical"], ratio["low"], ratio["high"], ratio["pooled"]) == (1, 1, 1, 1)
    assert not sensors_page.verdict(measured["kinds"])["met"]


def test_every_row_answers_and_only_those_with_a_spread_have_one(measured):
    for row in measured["kinds"]:
        scores = row["scores"]
        assert {"model", "kriging", *sensors.PLAIN, *sensors.SCIKIT} == set(scores)
        assert all(np.isfinite(value) for each in scores.values() for value in each.values())
        assert {name for name, each in scores.items() if "crps" in each} == {"model", "kriging", *sensors.SCIKIT}
        rivals = row["rivals"]
        assert rivals["scores"][rivals["best"]]["rmse"] == min(
            rivals["scores"][name]["rmse"] for name in sensors.SCIKIT
        )


def test_the_page_is_made_of_the_results_alone(measured):
    text = sensors_page.page(measured)
    assert "A quick run" in text and "Darcy" in text and "1.000 [1.000, 1.000]" in text
    assert "not met" in text and "nan" not in text and "None" not in text
    without = measured | {name: [r for r in measured[name] if r["block"] != "darcy"] for name in ("kinds", "slices")}
    assert "Darcy" not in sensors_page.page(without)


@pytest.mark.parametrize(
    "ratios,met",
    [((0.9, 0.85, 0.9, 1.01), True), ((0.9, 0.85, 0.9, 1.02), False), ((0.9, 0.85, 0.91, 1.0), False)],
)
def test_the_bar_is_nowhere_worse_and_better_on_three_kinds(ratios, met):
    kinds = [{"kind": str(i), "ratios": {"rmse": {"typical": ratio}}} for i, ratio in enumerate(ratios)]
    assert sensors_page.verdict(kinds)["met"] is met


def test_a_ratio_is_that_of_fields_and_not_of_questions():
    def row(number: int, ours: float) -> dict:
        return {"kind": "a", "number": number, "scores": {"model": {"rmse": ours}, "kriging": {"rmse": 1.0}}}

    ratio = sensors.ratio([row(0, 0.5), row(0, 0.5), row(0, 0.5), row(1, 2.0)], "rmse")
    assert ratio["typical"] == pytest.approx(1) and ratio["fields"] == 2
    assert ratio["low"] * ratio["high"] == pytest.approx(1) and ratio["low"] < 0.5
    assert ratio["pooled"] == pytest.approx(((3 * 0.25 + 4) / 4) ** 0.5)
    with pytest.raises(ValueError, match="needs two"):
        sensors.ratio([row(0, 0.5)], "rmse")


def test_nine_fields_have_every_noise_with_every_placement_at_every_count():
    field = unseen_fields.unseen_field("spirals", 0)
    for turn in range(5):
        pairs = {
            (q.noise, q.placement) for q in (sensor_questions.question("unseen", field, i, 3, turn) for i in range(9))
        }
        assert len(pairs) == 9
        few = [sensor_questions.question("unseen", field, i, 3, turn) for i in sensor_questions.FEW]
        assert len({q.noise for q in few}) == len({q.placement for q in few}) == 3


def test_questions_are_the_same_every_time_and_their_truth_has_no_noise():
    plans = {"prior": replace(PLAN, counts={12: (0, 1)})}
    first, second = (list(sensor_questions.questions(plans, None)) for _ in range(2))
    assert len(first) == 2 * len(KINDS)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.samples.values, b.samples.values) and np.array_equal(a.truth, b.truth)
    field = unseen_fields.unseen_field("wavelets", 3)
    clean, noisy = (sensor_questions.question("unseen", field, number, 300) for number in (0, 2))
    assert (clean.noise, noisy.noise) == (0.0, 0.3)
    assert torch.equal(clean.samples.values[0], field.at(clean.samples.point_coords[0]))
    away = noisy.samples.values[0] - field.at(noisy.samples.point_coords[0])
    assert away.std() == pytest.approx(0.3, rel=0.15)
    np.testing.assert_array_equal(noisy.truth, field.at(noisy.coords)[:, 0].double().numpy())


@pytest.mark.parametrize("kind", unseen_fields.UNSEEN)
def test_unseen_fields_have_mean_0_and_deviation_1(kind):
    for field in unseen_fields.unseen_fields(kind, 4):
        values = field.at(gl.grid(150, 150))
        assert abs(values.mean()) < 0.05 and values.std() == pytest.approx(1, abs=0.05)


def test_the_shock_tube_is_that_of_sod():
    density = unseen_fields.sod(np.array([-2.0, -1.1832, -0.0703, -0.0702, 0.92, 0.93, 1.75, 1.76]))
    np.testing.assert_allclose(density, [1, 1, 0.42632, 0.42632, 0.42632, 0.26557, 0.26557, 0.125], atol=2e-3)


@pytest.mark.skipif(not RESULTS.exists(), reason="the weights were not measured yet")
def test_the_page_of_sensors_is_that_of_the_committed_results():
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "sensors.md").read_text(encoding="utf-8") == sensors_page.page(found)
    assert not found["quick"]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    rmse, crps = (
        re.search(rf"\*\*{name}, typical field: .*?Ratios from (\S+) to (\S+);", sensors_page.page(found))
        for name in ("RMSE", "CRPS")
    )
    assert rmse and crps
    assert f"{rmse[1]} to {rmse[2]} of the base's, and its CRPS {crps[1]} to {crps[2]};" in readme
    image = ROOT / "docs" / "images" / "sensors.png"
    assert image.exists() and image.stat().st_size <= 300_000
