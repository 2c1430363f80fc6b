"""Which parts of the photo model pay: every arm trains for as many seconds on the same data, then answers held-out photos.

    python -m benchmarks.photo_arms --data DIR --seconds 600 -o results/photo-arms.json [--arms whole gelu …]

DIR holds train and val; brick, grass and gravel of scikit-image are answered too, as repeated structure. An arm is a
difference to the first. Beside the gain over bicubic (dB, RGB, the mean over the pictures) stand what tells a trained model
from one that broke: the loss along the way, its largest jump, the steps.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import gridless as gl
from benchmarks.common import hardware
from gridless.config import Train
from gridless.config.merging import build, dump, merge
from gridless.data import folder
from gridless.data.sources import signals
from gridless.scoring.evaluate import validation_scores

SCALES = (2.0, 3.0, 4.0)
MODEL = {
    "signal": {"window": 32},
    "tokenizer": {"stem": {"width": 64, "blocks": 12, "activation": "relu"}},
    "decoder": {"hidden": 128},
    "base": {"kind": "bicubic"},
}
TRAIN = {"batch": 16, "queries": 1024, "loss": "l1", "precision": "bf16", "optimizer": {"lr": 1e-3}}
TASK = {"recolour": True}
STEM = {"width": 64, "blocks": 8, "activation": "relu"}
NETWORK = {"kind": "scent", "hidden": 64, "fourier": {"count": 32, "std": 6.0}, "depth": 1, "expansion": 2.0}
SSM = {"merge": "concat"}
PATCHES = {
    "tokenizer": {"size": 4, "position": "concat", "position_width": 16, "stem": STEM},
    "local": {"patches": True},
    "signal": {"tile": None, "overlap": 10},
    "width": 64,
}
ARMS: dict[str, dict] = {
    "whole": {},
    "lr x2": {"train": {"optimizer": {"lr": 2e-3}}},
    "lr /2": {"train": {"optimizer": {"lr": 5e-4}}},
    "gelu": {"model": {"tokenizer": {"stem": {"activation": "gelu"}}}},
    "network behind the waves": {"model": {"decoder": NETWORK}},
    "64 waves": {"model": {"decoder": {"hidden": 64}}},
    "6 blocks of 96": {"model": {"tokenizer": {"stem": {"width": 96, "blocks": 6}}}},
    "20 blocks of 64": {"model": {"tokenizer": {"stem": {"blocks": 20}}}},
    "8 blocks of 64": {"model": {"tokenizer": {"stem": STEM}}},
    "256 questions": {"train": {"queries": 256}},
    "4096 questions": {"train": {"queries": 4096}},
    "batch 32": {"train": {"batch": 32}},
    "window 48": {"model": {"signal": {"window": 48}}},
    "8 blocks and a Mamba layer": {
        "model": {
            **PATCHES,
            "encoder": {"kind": "mamba", "depth": 1, "expansion": 2.0, "ssm": SSM, "tokens": {"count": 0}},
        }
    },
    "8 blocks and a forward Mamba layer": {
        "model": {
            **PATCHES,
            "encoder": {
                "kind": "mamba",
                "depth": 1,
                "expansion": 2.0,
                "ssm": {"direction": "forward"},
                "tokens": {"count": 0},
            },
        }
    },
    "no recolouring": {"task": {"recolour": False}},
    "average": {"train": {"optimizer": {"ema": 0.999}}},
}
"""Name -> what differs, in model, train and task."""


def arm_row(name: str, data: Path, seconds: float, workers: int, seed: int) -> dict:
    diff = ARMS[name]
    config = build(gl.config.Model, merge(dump(gl.preset("conv", "base")), MODEL, diff.get("model", {})))
    train = build(Train, merge(TRAIN, {"seconds": seconds, "workers": workers, "seed": seed}, diff.get("train", {})))
    task = gl.SuperResolution(**(TASK | diff.get("task", {})))
    torch.manual_seed(seed)
    model = gl.FieldModel(config)
    with tempfile.TemporaryDirectory() as run:
        facts = gl.fit(model, folder(data / "train"), task, train=train, folder=run, quiet=True)
        lines = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = np.array([line["loss"] for line in lines if "loss" in line])
    textures = [photo for photo in gl.data.photos("train") if photo.name in ("brick", "grass", "gravel")]
    gains = {
        kind: validation_scores(model, signals(pictures, 3), gl.SuperResolution(scales=SCALES))
        for kind, pictures in (("photos", folder(data / "val")), ("textures", textures))
    }
    return {
        "arm": name,
        "diff": diff,
        "seed": seed,
        "parameters": model.parameter_count(),
        "steps": facts["steps"],
        "train_seconds": facts["train_seconds"],
        "gain": {kind: [scores[f"val_gain_x{s:g}"] for s in SCALES] for kind, scores in gains.items()},
        "loss": [round(float(x), 5) for x in losses[:: max(1, len(losses) // 20)]],
        "largest_jump": round(float((losses[1:] / losses[:-1]).max()), 2) if len(losses) > 1 else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    rows: list[dict] = []
    for seed in arguments.seeds:
        for name in arguments.arms:
            start = time.perf_counter()
            try:
                row = arm_row(name, arguments.data, arguments.seconds, arguments.workers, seed)
            except Exception as error:  # the other arms go on
                row = {"arm": name, "error": f"{type(error).__name__}: {error}"[:300]}
            row["seconds"] = round(time.perf_counter() - start, 1)
            rows.append(row)
            print({k: v for k, v in row.items() if k not in ("diff", "loss")}, flush=True)
            table = {"rows": rows, "whole": {"model": MODEL, "train": TRAIN, "task": TASK}, "hardware": hardware()}
            arguments.output.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
