"""What an answer of the photo model costs: the share of the machine's matrix rate that it reaches, and its memory.

    python -m benchmarks.photo_cost [--threads 2] -o results/photo-cost.json

The rate of a bf16 matrix product and answers to one picture are timed in turns, so that whatever else the machine does hits
both. Operations are those of the convolutions and the linear layer, two for every weight and pixel seen. Memory is the peak
of a process that answers a file, as a whole and above what it held once the model had answered a tiny picture.
"""

from benchmarks import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import gridless as gl
from gridless.data.pictures import resize_bicubic
from gridless.files import write_json
from gridless.nn.precision import bf16
from gridless.runs.predict import predict_file
from gridless.runs.predict_options import PredictOptions
from gridless.training.provenance import commit, hardware

MODEL, INPUT, LARGE = "photo", (160, 240), (1000, 1500)
MATRIX, ROUNDS = 4096, 7


@torch.no_grad()
def answer(model: gl.FieldModel, samples: gl.Samples, scale: float) -> torch.Tensor:
    with bf16(torch.device("cpu")):
        return model.encode(samples).to_grid(scale=scale)


def rates(model: gl.FieldModel) -> dict:
    """Operations a second of answers at ×2 and ×4, beside a square matrix product's."""
    a, b = torch.randn(2, MATRIX, MATRIX).bfloat16()
    samples = gl.Samples.from_grid(torch.rand(*INPUT, 3))
    calls = {"matmul": lambda: a @ b} | {f"x{s}": lambda s=s: answer(model, samples, s) for s in (2, 4)}
    taken = common.in_turns(calls, ROUNDS, warm=2)
    weights = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 4 or name == "local.stem.weight")
    operations = 2 * weights * INPUT[0] * INPUT[1]
    peak = [2 * MATRIX**3 / t for t in taken.pop("matmul")]
    shares = {name: [operations / t / p for t, p in zip(times, peak, strict=True)] for name, times in taken.items()}
    return {
        "operations_per_pixel_seen": 2 * weights,
        "matmul_gflops": common.spread([p / 1e9 for p in peak], digits=0),
        "share_of_matmul": {name: common.spread(values) for name, values in shares.items()},
    }


def child(suffix: str, folder: Path) -> None:
    height, width = LARGE
    picture = resize_bicubic(gl.data.photos("test")[1].pixels, LARGE)
    gl.data.write_photo(folder / "in.png", picture / 255)
    model = gl.FieldModel.from_pretrained(MODEL)
    answer(model, gl.Samples.from_grid(torch.rand(8, 8, 3)), 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    predict_file(model, folder / "in.png", folder / f"out{suffix}", PredictOptions(scale=4))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_mib": peak // 1024, "above_model_mib": (peak - before) // 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/photo-cost.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
        return
    table = {"threads": arguments.threads, "commit": commit(), "hardware": hardware()}
    table |= rates(gl.FieldModel.from_pretrained(MODEL)) | {"memory": {}}
    for suffix in (".png", ".jpg"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.photo_cost", "--child", suffix, folder]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        table["memory"][f"x4 of {LARGE[1]} x {LARGE[0]}, {suffix}"] = json.loads(said.splitlines()[-1])
    write_json(arguments.output, table)
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
