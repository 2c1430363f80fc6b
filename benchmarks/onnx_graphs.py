"""The photo model as ONNX beside itself: size, speed, and by how much the answers differ.

    python -m benchmarks.onnx_graphs -o results/onnx.json

One thread, one picture, all methods in turns, seconds of the processor, loading not counted. A graph reads a picture whole;
a field cuts one larger than `signal.tile` into windows, which is compared on a larger one.
"""

from benchmarks import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import gridless as gl
from gridless.coords import lattice_points, scaled
from gridless.data.pictures import resize_bicubic
from gridless.export.onnx_files import export_onnx, session
from gridless.files import write_json
from gridless.nn.precision import bf16
from gridless.training.provenance import commit, hardware

MODEL, INPUT, LARGE, ROUNDS = "photo", (160, 240), (400, 600), 5
PLACES = 1 << 15  # asked at once: their features stay in the cache
FACTORS = (2, 3.7, 4)

Answers = dict[str, Callable[[np.ndarray, float], np.ndarray]]


def ours(model: gl.FieldModel, half: bool) -> Callable[[np.ndarray, float], np.ndarray]:
    @torch.no_grad()
    def answer(picture: np.ndarray, scale: float) -> np.ndarray:
        with bf16(torch.device("cpu"), half):
            return model.encode(gl.Samples.from_grid(picture)).to_grid(scale=scale).numpy()

    return answer


def exported(model: gl.FieldModel, folder: Path) -> tuple[Answers, dict[str, float]]:
    """Answers by onnxruntime, and the files' sizes in MB."""
    files = export_onnx(model, folder / "photo.onnx").files
    encoder, queries = (session(str(file)) for file in files)

    def anywhere(picture: np.ndarray, scale: float) -> np.ndarray:
        features, deviation = encoder.run(None, {"picture": picture})
        shape = scaled(picture.shape[:2], scale)
        axes = [torch.from_numpy((np.arange(n) + 0.5) / n) for n in shape]
        out = np.empty((*shape, 3), np.float32).reshape(-1, 3)
        seen = {"picture": picture, "features": features, "deviation": deviation}
        for start in range(0, len(out), PLACES):
            coords = lattice_points(axes, start, min(start + PLACES, len(out))).numpy()
            cell = np.tile(1 / np.array(shape, float), (len(coords), 1))
            out[start : start + PLACES] = queries.run(None, seen | {"coords": coords, "cell": cell})[0]
        return out.reshape(*shape, 3)

    whole = {}
    for factor in (2, 4):
        (file,) = export_onnx(model, folder / f"photo-x{factor}.onnx", factor).files
        whole[factor], files = session(str(file)), (*files, file)

    def enlarged(picture: np.ndarray, scale: float) -> np.ndarray:
        return whole[int(scale)].run(None, {"picture": picture})[0]

    sizes = {file.name: round(file.stat().st_size / 1e6, 2) for file in files}
    return {"onnx, any factor": anywhere, "onnx, one factor": enlarged}, sizes


def table(report: dict) -> str:
    """The rows as Markdown."""
    lines = [
        "| CPU seconds, and how many times as fast as single precision | "
        + " | ".join(f"×{scale:g}" for scale in FACTORS)
        + " | largest difference |",
        "| --- |" + " ---: |" * (len(FACTORS) + 1),
    ]
    for name in dict.fromkeys(row["method"] for row in report["rows"]):
        rows = {row["scale"]: row for row in report["rows"] if row["method"] == name}
        cells = [
            f"{rows[s]['cpu_seconds']['median']:.2f} ({rows[s]['times_as_fast_as_single_precision']['median']:.2f}×)"
            if s in rows
            else ""
            for s in FACTORS
        ]
        away = [row["largest_difference"] for row in rows.values() if "largest_difference" in row]
        lines.append(f"| {name} | {' | '.join(cells)} | {f'{max(away):.0e}' if away else ''} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/onnx.json"))
    output = parser.parse_args().output
    torch.set_num_threads(1)
    start = time.perf_counter()
    model = gl.FieldModel.from_pretrained(MODEL)
    photo = gl.data.photos("test")[1].pixels
    small, large = ((resize_bicubic(photo, size) / 255).astype(np.float32) for size in (INPUT, LARGE))
    methods: Answers = {"photo": ours(model, half=True), "photo, single precision": ours(model, half=False)}
    with tempfile.TemporaryDirectory() as folder:
        graphs, sizes = exported(model, Path(folder))
        methods |= graphs
        card = Path(gl.__file__).parent / "weights" / MODEL / "model.safetensors"
        sizes = {f"{MODEL}/{card.name}": round(card.stat().st_size / 1e6, 2)} | sizes
        rows = []
        for scale in FACTORS:
            asked = {name: m for name, m in methods.items() if name != "onnx, one factor" or scale % 1 == 0}
            taken = common.in_turns(
                {name: lambda m=m, s=scale: m(small, s) for name, m in asked.items()}, ROUNDS, clock=time.process_time
            )
            reference = {
                size: methods["photo, single precision"](x, scale) for size, x in (("small", small), ("large", large))
            }
            for name, method in asked.items():
                row = {"method": name, "scale": scale, "cpu_seconds": common.spread(taken[name])}
                row["times_as_fast_as_single_precision"] = common.ratios(taken["photo, single precision"], taken[name])
                if name.startswith("onnx"):
                    row["largest_difference"] = float(np.abs(method(small, scale) - reference["small"]).max())
                    away = np.abs(method(large, scale) - reference["large"])
                    row["larger_than_a_tile"] = {"largest": float(away.max()), "mean": float(away.mean())}
                rows.append(row)
    report = {
        "commit": commit(),
        "hardware": hardware(),
        "threads": 1,
        "versions": {name: common.installed(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")},
        "input": INPUT,
        "larger_input": LARGE,
        "megabytes": sizes,
        "rows": rows,
        "benchmark_seconds": round(time.perf_counter() - start),
    }
    write_json(output, report)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
