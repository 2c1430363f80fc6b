"""The command line as a user meets it: the verbs end to end, pictures of every kind, one clear line for what is wrong."""

import csv
import json
import os
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import png
import pytest
from conftest import LOCAL, tiny
from PIL import Image

import gridless as gl
from gridless import cli
from gridless.scoring.results import NEEDED, read_results

QUICK = ["--train.steps", "2", "--train.batch", "2", "--train.queries", "16", "--train.seconds", "none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A photo recipe's run, trained for two steps and evaluated on one small picture."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    pictures = tmp_path_factory.mktemp("pictures")
    Image.fromarray(read_photo_like((40, 36, 3))).save(pictures / "noise.png")
    cli.main(["train", "photos", "-o", str(folder), *QUICK])
    cli.main(["eval", str(folder), "--scales", "2", "3.7", "--data", str(pictures)])
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A tiny model that has learned something arbitrary."""
    folder = tmp_path_factory.mktemp("weights")
    tiny("hybrid", LOCAL).save_pretrained(folder)
    return folder


def read_photo_like(shape, dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def test_train_writes_a_run(run):
    assert {"config.json", "model.safetensors", "README.md", "run.json", "recipe.json", "metrics.jsonl"} <= {
        p.name for p in run.iterdir()
    }
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["steps"] == 2 and facts["complete"] and facts["params"] > 0 and facts["hardware"]["cores"]


def test_eval_writes_every_row(run):
    rows = list(csv.DictReader((run / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert tuple(rows[0]) == NEEDED
    assert len(rows) == 1 * 2 * 5 * 4  # pictures × scales × (four baselines and the model) × metrics
    assert {r["split"] for r in rows} == {"test"} and {r["scale"] for r in rows} == {"2", "3.7"}


def test_eval_waits_for_no_other_writer(run, capsys):
    """It is told who writes, and leaves what is there."""
    script = "import sys; from gridless.training.locking import held\n"
    script += "with held(sys.argv[1]): print('held', flush=True), input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"}
    with subprocess.Popen([sys.executable, "-c", script, str(run)], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        assert "another process writes into" in fails(capsys, "eval", run, "--scales", "2")
        other.communicate("\n")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"} == before


def test_report_is_one_page(run, tmp_path):
    cli.main(["report", str(run), "-o", str(tmp_path / "page")])
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "noise" in page and "hybrid" in page and "data:image/png;base64," in page
    assert {p.name for p in (tmp_path / "page").iterdir()} >= {"report.html", "report.md", "results.csv"}


def test_two_processes_train_one_run(tmp_path):
    folder = tmp_path / "shared"
    processes = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    flags = [*QUICK, "--size", "tiny", "--train.precision", "fp32", "--task.scales", "2"]
    done = subprocess.run(
        [*processes, "-m", "gridless", "train", "photos", "-o", str(folder), *flags],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parameters, 2 steps") == 1
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["complete"]
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in logged if "loss" in line] == [2]


def test_training_again_with_the_same_flags_is_done_at_once(run, capsys):
    before = (run / "model.safetensors").read_bytes()
    cli.main(["train", "photos", "-o", str(run), *QUICK])
    assert (run / "model.safetensors").read_bytes() == before and "2 steps" in capsys.readouterr().out


def test_other_models_stand_beside_a_run(tmp_path, capsys):
    (tmp_path / "seen").mkdir()
    gl.data.write_photo(tmp_path / "seen" / "cat.png", gl.data.photos("test")[0].values[100:180, 100:190])
    run = tmp_path / "run"
    cli.main(
        [
            "train",
            "photo-quick",
            "-o",
            str(run),
            *QUICK,
            "--size",
            "tiny",
            "--model.signal",
            "{ window = 8, overlap = 2 }",
        ]
    )
    cli.main(["eval", str(run), "--beside", "photo", "--data", str(tmp_path / "seen"), "--scales", "2"])
    rows = read_results(run / "results.csv")
    psnr = {row["model"]: row["value"] for row in rows if row["metric"] == "psnr_rgb"}
    assert {"bicubic", "photo", "conv"} <= set(psnr) and psnr["photo"] > psnr["bicubic"] + 0.5
    capsys.readouterr()
    for taken in ("conv", "bicubic"):
        shutil.copytree(run, tmp_path / taken)
        assert f"'{taken}' is a row already" in fails(capsys, "eval", run, "--beside", tmp_path / taken)


def fails(capsys, *argv) -> str:
    """The command ends with exit code 2 and one line; returns the line."""
    with pytest.raises(SystemExit) as stop:
        cli.main(list(map(str, argv)))
    captured = capsys.readouterr()
    assert stop.value.code == 2
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("gridless: "), captured.err
    return lines[0]


def test_what_cannot_be_done_is_said_in_one_line(run, capsys, tmp_path):
    assert "another model.encoder.depth (1, not 3)" in fails(
        capsys, "train", "photos", "-o", run, *QUICK, "--model.encoder.depth", "3"
    )
    line = fails(capsys, "train", "photos", "-o", tmp_path / "x", "--model.encoder.dept", "1")
    assert "did you mean 'model.encoder.depth'" in line
    assert "no recipe 'fotos'" in fails(capsys, "train", "fotos") and not (tmp_path / "x").exists()
    assert "no run at" in fails(capsys, "eval", tmp_path / "nowhere")
    assert "run folder" in fails(capsys, "report", tmp_path / "nowhere", "-o", tmp_path / "page")


# --- predict ----------------------------------------------------------------------------------------------------


def png16(array: np.ndarray) -> bytes:
    out = BytesIO()
    kind = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[-1]]
    png.from_array(array.reshape(len(array), -1), f"{kind};16").write(out)
    return out.getvalue()


KINDS = {"grey": 1, "grey and alpha": 2, "RGB": 3, "RGBA": 4}


@pytest.mark.parametrize("channels", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["8 bits", "16 bits"])
def test_at_its_own_size_every_png_comes_back_bit_for_bit(weights, tmp_path, channels, dtype):
    pixels = read_photo_like((19, 23, channels), dtype)
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    if dtype == np.uint16:
        source.write_bytes(png16(pixels))
    else:
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(source)
    cli.main(["predict", str(weights), str(source), "--scale", "1", "-o", str(target)])
    _, _, rows, info = png.Reader(bytes=target.read_bytes()).read()
    assert info["planes"] == channels and info["bitdepth"] == 8 * pixels.itemsize
    assert np.array_equal(np.vstack([np.asarray(row, dtype) for row in rows]).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("kind", ["grey.png", "rgb.png", "rgba.png", "rgb.jpg", "grey.jpg"])
def test_enlarged_pictures_keep_their_kind(weights, tmp_path, kind):
    mode = {"grey": "L", "rgb": "RGB", "rgba": "RGBA"}[kind.split(".")[0]]
    source = tmp_path / kind
    pixels = read_photo_like((12, 10, 4))[..., : len(mode)]
    Image.fromarray(pixels[..., 0] if mode == "L" else pixels).save(source)
    cli.main(["predict", str(weights), str(source), "--scale", "3.7", "-o", str(tmp_path / "out.png")])
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode == mode and out.size == (37, 44)


def bomb() -> bytes:
    """A PNG whose header says 10,000 × 10,000 pixels; it holds none."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def bad_files() -> dict[str, bytes | None]:
    whole = BytesIO()
    Image.fromarray(read_photo_like((40, 40, 3))).save(whole, "PNG")
    return {
        "missing.png": None,
        "empty.png": b"",
        "truncated.png": whole.getvalue()[: len(whole.getvalue()) // 2],
        "text.png": b"this is not a picture\n" * 20,
        "bomb.png": bomb(),
        "zero.png": bomb().replace((10_000).to_bytes(4, "big"), bytes(4)),
    }


@pytest.mark.parametrize("name", bad_files())
def test_a_bad_file_is_one_line_and_no_output(weights, tmp_path, capsys, name):
    data, target = bad_files()[name], tmp_path / "out.png"
    if data is not None:
        (tmp_path / name).write_bytes(data)
    before = sorted(p.name for p in tmp_path.iterdir())
    line = fails(capsys, "predict", weights, tmp_path / name, "-o", target)
    assert name in line and sorted(p.name for p in tmp_path.iterdir()) == before


def test_predict_refuses_what_would_lose_something(weights, tmp_path, capsys):
    Image.fromarray(read_photo_like((8, 8, 4))).save(tmp_path / "a.png")
    assert "transparency" in fails(capsys, "predict", weights, tmp_path / "a.png", "-o", tmp_path / "a.jpg")
    assert "positive number, got -2" in fails(
        capsys, "predict", weights, tmp_path / "a.png", "--scale", "-2", "-o", tmp_path / "b.png"
    )
    assert "does not exist" in fails(capsys, "predict", weights, tmp_path / "a.png", "-o", tmp_path / "no" / "b.png")
    assert "no model at" in fails(capsys, "predict", tmp_path / "nothing", tmp_path / "a.png", "-o", tmp_path / "b.png")


# --- importing --------------------------------------------------------------------------------------------------


def python(code: str, **env: str) -> str:
    """What a fresh interpreter prints, warnings being errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env={**os.environ, **env}
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_import_prints_nothing_and_loads_little():
    assert python("import gridless") == ""
    loaded = python(
        "import gridless, sys; print([m for m in ('torch', 'numba', 'PIL', 'matplotlib') if m in sys.modules])"
    )
    assert loaded.strip() == "[]"
    heavy = "('torch._dynamo', 'accelerate', 'numba', 'triton', 'matplotlib', 'skimage')"  # a second each, or nearly
    loaded = python(f"import gridless as gl, sys; gl.FieldModel; print([m for m in {heavy} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_torchvision_is_not_needed_anywhere():
    names = "gl.FieldModel; gl.fit; gl.evaluate; gl.report"
    code = f"import sys; sys.modules['torchvision'] = None; import gridless as gl; {names}"
    assert python(code) == ""


def test_without_numba_it_still_answers_and_says_so():
    code = """
import sys
sys.modules["numba"] = None
import torch, gridless as gl
field = gl.FieldModel(gl.preset("hybrid", "tiny")).encode(gl.Samples.from_grid(torch.rand(8, 8, 3)))
print(tuple(field(gl.grid(3, 3)).shape), gl.backend()["scan"])
"""
    assert "(9, 3) reference" in python(code)


def test_every_name_is_there():
    import gridless as gl

    for name in gl.__all__:
        assert getattr(gl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gl.nothing


def test_what_a_task_of_ones_own_needs_has_a_name():
    import gridless as gl
    from gridless import config, domain, protocols, tasks
    from gridless.data import signals, sources

    homes = {config: ["Train"], protocols: ["Task", "Batch", "Case"], signals: ["Signal"], tasks: ["SparseField"]}
    for module, names in {**homes, domain: ["Domain"], sources: ["read"]}.items():
        for name in names:
            assert name in gl.__all__ and getattr(gl, name) is getattr(module, name)


def test_what_ships_is_read_in_the_c_locale():
    """Whose text is ASCII unless an encoding is named; some of the files are not."""
    code = """
import locale
from importlib.resources import files
from gridless.config.merging import preset_table, recipe_table, shipped
assert locale.getpreferredencoding(False) not in ("UTF-8", "utf-8"), locale.getpreferredencoding(False)
for room in ("presets", "recipes"):
    texts = [files("gridless.config").joinpath(room, name + ".toml").read_bytes() for name in shipped(room)]
    print(len(texts), any(not text.isascii() for text in texts))
for name in shipped("presets"):
    preset_table(name, "small")
for name in shipped("recipes"):
    recipe_table(name)
"""
    presets, recipes = python(code, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0").splitlines()
    assert int(presets.split()[0]) > 8 and int(recipes.split()[0]) > 3
    assert "True" in presets + recipes
