"""What a sweep says of its runs: paired effects, the table, sweep.json, the status."""

import io

import numpy as np
import pytest

from gridless.config.errors import ConfigError
from gridless.runs.status import Standing, Status, progress
from gridless.scoring.comparison import (
    Comparison,
    Scored,
    as_markdown,
    effect,
    paired,
    read_comparison,
    write_comparison,
)

LONG = 300  # seconds; a machine may be busy


def comparison() -> Comparison:
    """Two seeds, three pictures; the arm is worse by 1, 2, 3 dB with seed 0 and by 2, 3, 4 with seed 1."""
    whole, facts = np.array([30.0, 31.0, 32.0]), {"params": 1234, "steps": 5}
    runs = [
        Scored(arm, "steps", seed, facts, {"psnr": whole - lost})
        for seed in (0, 1)
        for arm, lost in (("full", 0.0), ("less", np.array([1.0, 2.0, 3.0]) + seed))
    ]
    return Comparison([(name, 1.0) for name in "abc"], {}, runs)


def test_effects_are_paired_and_their_errors_are_over_pictures_and_over_seeds():
    gains = paired(comparison(), "steps", "less")[1.0]
    assert gains.shape == (2, 3)
    found = effect(gains)
    assert found.mean == pytest.approx(2.5)
    assert found.over_pictures == pytest.approx(4.3027 * 1 / 3**0.5, rel=1e-4)  # 1.5, 2.5, 3.5
    assert found.over_seeds == pytest.approx(12.7062 * 0.5**0.5 / 2**0.5, rel=1e-4)  # 2, 3
    assert effect(gains[:1]).over_seeds is None
    table = as_markdown(comparison()).splitlines()
    assert table[0] == "| arm | equal | params | steps | PSNR of the floats | full − arm |"
    assert table[2] == "| full | both | 1,234 | 5 | 31.00 |  |"
    assert table[3] == "| less | steps | 1,234 | 5 | 28.50 | +2.500 ± 2.484 (± 6.353) |"


def test_an_arm_without_its_whole_model_has_a_score_and_no_effect():
    whole = comparison()
    table = as_markdown(Comparison(whole.cases, {}, [run for run in whole.runs if run.arm == "less"]))
    assert table.splitlines()[2] == "| less | steps | 1,234 | 5 | 28.50 |  |"
    assert as_markdown(Comparison()) == "no run is finished"


def test_a_thousand_pictures_take_little_room_and_come_back(tmp_path):
    values = np.random.default_rng(0).normal(30, 5, 1000).round(4)
    values[3] = np.inf  # equal pictures
    scores = {"psnr": values, "same": np.full(1000, 2.0)}
    runs = [Scored("full", "steps", seed, {"params": 1, "steps": 1}, scores) for seed in range(3)]
    path = tmp_path / "sweep.json"
    write_comparison(Comparison([(f"{i:04d}", 1.0) for i in range(1000)], {}, runs), path)
    assert path.stat().st_size < 60_000 and "Infinity" not in path.read_text(encoding="utf-8")
    back = read_comparison(path)
    assert np.array_equal(back.runs[1].scores["same"], scores["same"])
    assert np.array_equal(back.runs[2].scores["psnr"], values) and back.cases[7] == ("0007", 1.0)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a sweep.json"):
        read_comparison(path)


def test_the_status_says_each_change_once(tmp_path, capsys):
    run = Standing("full", "steps", 0, 100, tmp_path / "full-steps-seed0")
    with Status([run]) as status:
        run.state = "running"
        status.show()
        status.show()
        run.state, run.score = "done", 31.234
        status.show()
    assert capsys.readouterr().err == "full-steps-seed0: running\nfull-steps-seed0: done, 31.23\n"
    run.folder.mkdir()
    (run.folder / "metrics.jsonl").write_text(
        '{"step": 25, "seconds": 5.0}\n{"step": 25, "val_psnr": 1}\n{"st', encoding="utf-8"
    )
    assert progress(run.folder, 100) == (25, 15.0) and progress(tmp_path, 100) == (0, None)


def test_the_live_table_names_states_and_the_best(tmp_path):
    from rich.console import Console

    runs = [Standing(f"arm{i}", "steps", 0, 10, tmp_path / f"arm{i}", "done", 20.0 + i) for i in range(6)]
    runs += [Standing("[odd]", "steps", 0, 10, tmp_path / "odd", "failed", error="the loss is nan")]
    runs += [Standing("now", "steps", 0, 10, tmp_path / "now", "running")]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(Status(runs)._table(4))
    text = console.export_text()
    assert "0 queued, 1 running, 6 done, 1 failed" in text and "25.00 best" in text and "and 4 more" in text
    assert "[odd]" in text and "odd: the loss is nan" in text and "arm0" not in text
