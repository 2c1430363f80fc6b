"""A report of what was evaluated, without a run folder."""

import numpy as np

import gridless as gl


def test_rows_of_an_evaluation_make_a_report(tmp_path):
    volumes = [np.random.default_rng(i).random((8, 9, 12, 1), np.float32) for i in range(3)]
    rivals = {kind: gl.bases.Interpolation(kind) for kind in ("nearest", "bicubic")}
    task = gl.SuperResolution(scale=(1, 1, gl.Uniform(1, 3)))
    rows = gl.evaluate(rivals, volumes, task)
    page = gl.report(rows, tmp_path / "page")
    text = (page / "report.md").read_text(encoding="utf-8")
    assert "# Grids, answered at other resolutions" in text and "×1×1×2" in text and "×1×1×3" in text
    assert "RMSE" in text and (page / "report.html").is_file() and (page / "results.csv").is_file()
