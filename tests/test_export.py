"""Exported photo models answer as the models do: any picture, any factor, the base included."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import gridless as gl
from benchmarks.onnx_graphs import table
from gridless.export.onnx_files import export_onnx, session

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

ROOT = Path(__file__).parents[1]
ROUNDING = 3e-5  # of values in [0, 1]
SIZES = [(1, 1), (2, 9), (11, 6), (31, 17)]


@pytest.fixture(scope="module")
def model() -> gl.FieldModel:
    """A small photo model whose network says something."""
    torch.manual_seed(0)
    model = gl.FieldModel(gl.preset("conv", "tiny", signal={"tile": 64}, base={"kind": "bicubic"}))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return model.eval()


@pytest.fixture(scope="module")
def any_factor(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    exported = export_onnx(model, folder / "small.onnx")
    assert [file.name for file in exported.files] == ["small-encoder.onnx", "small-queries.onnx"]
    assert exported.difference < ROUNDING
    encoder, queries = (session(str(file)) for file in exported.files)

    def answer(picture: np.ndarray, coords: np.ndarray, cell: np.ndarray) -> np.ndarray:
        features, deviation = encoder.run(None, {"picture": picture})
        asked = {"picture": picture, "features": features, "deviation": deviation, "coords": coords, "cell": cell}
        return queries.run(None, asked)[0]

    return answer


def picture(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(size).random((*size, 3), np.float32)


def field(model: gl.FieldModel, values: np.ndarray) -> gl.Field:
    return model.encode(gl.Samples.from_grid(values))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1, 1.3, 2, 3.7, 12])
def test_any_factor(model, any_factor, size, scale):
    values = picture(size)
    expected = field(model, values).to_grid(scale=scale).numpy()
    shape = expected.shape[:2]
    coords = gl.grid(*shape, dtype=torch.float64).numpy()
    cell = np.tile(1 / np.array(shape, float), (len(coords), 1))
    answer = any_factor(values, coords, cell).reshape(expected.shape)
    assert np.abs(answer - expected).max() < ROUNDING
    assert scale > 1 or np.abs(answer - values).max() < 1e-6


def test_every_question_has_its_own_place_and_cell(model, any_factor):
    values, rng = picture((13, 10)), np.random.default_rng(0)
    coords, cell = rng.random((40, 2)), rng.uniform(0.001, 1 / 13, (40, 2))
    expected = field(model, values)(torch.from_numpy(coords), torch.from_numpy(cell)).numpy()
    assert np.abs(any_factor(values, coords, cell) - expected).max() < ROUNDING


def test_a_cell_larger_than_a_sample_has_no_answer(any_factor):
    cell = np.array([[0.1, 0.1], [0.2, 0.1], [0.1, 0.101]])
    answer = any_factor(picture((10, 10)), np.full((3, 2), 0.4), cell)
    assert np.isnan(answer).all(-1).tolist() == [False, True, True]


@pytest.mark.parametrize("factor", [3, 8])
def test_whole_factors(model, tmp_path, factor):
    exported = export_onnx(model, tmp_path / "whole.onnx", factor)
    assert exported.files == (tmp_path / "whole.onnx",)
    enlarge = session(str(exported.files[0]))
    for size in SIZES:
        values = picture(size)
        expected = field(model, values).to_grid(scale=factor).numpy()
        (answer,) = enlarge.run(None, {"picture": values})
        assert answer.shape == expected.shape and np.abs(answer - expected).max() < ROUNDING


def test_the_model_that_ships_on_the_command_line(tmp_path, capsys):
    from gridless.cli import main

    main(["export", "photo", "-o", str(tmp_path / "photo.onnx"), "--scale", "4"])
    assert "differ by at most" in capsys.readouterr().out
    data = (tmp_path / "photo.onnx").read_bytes()
    assert b".py" not in data and str(tmp_path).encode() not in data  # no stack of the machine that made it
    values = gl.data.photos("test")[0].values[:37, :53].copy()
    (answer,) = session(data).run(None, {"picture": values})
    expected = field(gl.FieldModel.from_pretrained("photo"), values).to_grid(scale=4).numpy()
    assert np.abs(answer - expected).max() < ROUNDING


def test_other_models_and_factors_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="only photo models of convolutions .* tokenizer.size must be 1"):
        export_onnx(gl.FieldModel(gl.preset("hybrid", "tiny")), tmp_path / "no.onnx")
    with pytest.raises(ValueError, match="a whole factor from 2 to 8, got 9"):
        export_onnx(model, tmp_path / "no.onnx", 9)
    assert not list(tmp_path.iterdir())


def test_the_page_is_that_of_the_committed_results():
    report = json.loads((ROOT / "results" / "onnx.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    assert table(report) in text
    files, rows = report["megabytes"], [row for row in report["rows"] if "larger_than_a_tile" in row]
    away = max(row["larger_than_a_tile"]["largest"] for row in rows)
    for figure in (
        f"{files['photo-x4.onnx']:.1f} MB",
        f"{files['photo/model.safetensors']:.1f} MB",
        f"at most {away:.4f}",
    ):
        assert figure in " ".join(text.split()), figure
