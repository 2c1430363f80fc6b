"""How good and how fast are photos made larger, beside who else does it?

    python -m benchmarks.photo MODEL [MODEL …] --data DIR -o results/photo.json [--best] [--liif FILE] [--answers FOLDER]

MODEL: a run folder, a folder of weights or a name that ships, also NAME=MODEL. DIR holds Set5, Set14 and val
(`benchmarks/photo_pairs.py` says how, and what the scores are). Beside the models stand bicubic (Keys, a = −0.5) and Lanczos
(a = 3), ours, which are Pillow's to rounding; models compute in bf16 where the machine does, as `predict` lets them, and
with `--exact` in single precision too; `--best`: each model once more, the mean of its answers to the 8 orientations;
`--liif`: LIIF trained by `benchmarks/liif.py`; `--answers`: what `benchmarks/photo_rivals.py` has collected from rivals in
environments of their own; figures that were published, as context.

Seconds are those of an answer, encoding included, from pixels in memory to pixels in memory: start-up, the loading of
weights and the files are left out. `seconds` is the clock's sum over a set's pictures, each asked once; `cpu_seconds` what
the process was computing in that time, the same for one thread on a machine that does nothing else. Speed in megapixels of
output a second is the median of `--rounds` answers to one picture, methods in turns, after one that does not count.
"""

from benchmarks import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

import gridless as gl
from benchmarks.liif import Liif
from benchmarks.photo_pairs import SCALES, Pair, pairs
from benchmarks.photo_rivals import answers
from gridless.files import write_json
from gridless.nn.precision import bf16
from gridless.runs.picture_answers import network_answers
from gridless.scoring.evaluate import Encoder
from gridless.training.provenance import commit, hardware

Pixels = UInt8[np.ndarray, "h w 3"]
Answer = Callable[[Pixels, tuple[int, int]], Float[np.ndarray, "H W 3"]]

PUBLISHED = {
    "published: bicubic": {("Set5", 2): 33.66, ("BSD100", 2): 29.56, ("Set5", 4): 28.42, ("BSD100", 4): 25.96},
    "published: VDSR": {("Set5", 2): 37.53, ("BSD100", 2): 31.90, ("Set5", 4): 31.35, ("BSD100", 4): 27.29},
    "published: EDSR-baseline": {("Set5", 2): 37.99, ("BSD100", 2): 32.16, ("Set5", 4): 32.09, ("BSD100", 4): 27.57},
    "published: SMFANet+": {("Set5", 2): 38.18, ("BSD100", 2): 32.28, ("Set5", 4): 32.43, ("BSD100", 4): 27.70},
}
"""PSNR of the luma, from the tables of SMFANet's repository; of BSD100 with MATLAB's reduction, ours is Pillow's."""


@dataclass(frozen=True, eq=False)
class Method:
    """What answers pictures: (low, (H, W)) -> (H W 3) in [0, 1]."""

    name: str
    answer: Answer
    params: int = 0


def of_encoder(name: str, encoder: Encoder, half: bool = False) -> Method:
    """`half`: in bf16 where the machine computes in it, as `gridless predict` does."""
    count = getattr(encoder, "parameter_count", None)
    return Method(name, partial(answer_of, encoder, half), 0 if count is None else count())


@torch.no_grad()
def answer_of(encoder: Encoder, half: bool, low: Pixels, shape: tuple[int, int]) -> Float[np.ndarray, "H W 3"]:
    with bf16(torch.device("cpu"), half):
        field = encoder.encode(gl.Samples.from_grid(low / np.float32(255)))
        return np.asarray(field.to_grid(shape=shape))


@torch.no_grad()
def of_eight(model: gl.FieldModel, low: Pixels, shape: tuple[int, int]) -> Float[np.ndarray, "H W 3"]:
    """As `gridless predict --best` answers."""
    answer = network_answers(model, torch.from_numpy(low / np.float32(255)), shape, None, None, best=True, half=True)
    return np.asarray(answer((slice(0, shape[0]), slice(0, shape[1]))))


def methods(models: Sequence[str], best: bool, liif: Path | None, exact: bool = False) -> list[Method]:
    """Raises ValueError where two would have one name."""
    out = [of_encoder(kernel, gl.bases.Interpolation(kernel)) for kernel in ("bicubic", "lanczos")]
    for model in models:
        label, _, place = model.rpartition("=")
        model = gl.FieldModel.from_pretrained(place).eval()
        method = of_encoder(label or Path(place).name, model, half=True)
        out.append(method)
        if exact:
            out.append(of_encoder(f"{method.name}, single precision", model))
        if best:
            out.append(Method(f"{method.name}, 8 orientations", partial(of_eight, model), method.params))
    if liif is not None:
        out.append(of_encoder("LIIF", Liif.load(liif, first_layer_once=True)))
    names = [method.name for method in out]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several methods are called {', '.join(twice)}; give models as NAME=MODEL")
    return out


# --- Scores ----------------------------------------------------------------------------------------------------------


def row(name: str, set_name: str, scale: float, by_image: dict[str, dict[str, float]], **facts) -> dict:
    """Means over the pictures, sums of their seconds."""
    values = list(by_image.values())
    out = {"method": name, "set": set_name, "scale": scale, "images": len(values), **facts}
    for key in ("psnr_y", "psnr_rgb"):
        out[key] = round(float(np.mean([v[key] for v in values])), 4)
    for key in ("seconds", "cpu_seconds"):
        out[key] = round(sum(v[key] for v in values), 3)
    out["megapixels"] = round(sum(v["megapixels"] for v in values), 4)
    rounded = {image: {key: round(v, 4) for key, v in scores.items()} for image, scores in by_image.items()}
    return out | {"by_image": rounded}


def scored(pair: Pair, answer: np.ndarray, seconds: float, cpu_seconds: float) -> dict[str, float]:
    megapixels = pair.shape[0] * pair.shape[1] / 1e6
    return pair.scores(answer) | {"seconds": seconds, "cpu_seconds": cpu_seconds, "megapixels": megapixels}


def method_row(method: Method, set_name: str, asked: Sequence[Pair]) -> dict:
    by_image = {}
    for pair in asked:
        start, began = time.perf_counter(), time.process_time()
        answer = method.answer(pair.low, pair.shape)
        taken = time.perf_counter() - start, time.process_time() - began
        by_image[pair.name] = scored(pair, answer, *taken)
    return row(method.name, set_name, asked[0].scale, by_image, params=method.params)


def rival_rows(root: Path, set_name: str, asked: Sequence[Pair], bicubic: dict) -> list[dict]:
    """Of the pictures that were answered, which the row counts; where they are not all, the row says what `bicubic`, a
    row too, has on the same ones."""
    rows, scale = [], asked[0].scale
    for rival in answers(root, set_name, scale):
        by_image = {}
        for pair in asked:
            if (seconds := rival.seconds(pair)) is not None:
                cpu_seconds = rival.facts["cpu_seconds"][pair.name]
                by_image[pair.name] = scored(pair, rival.picture(pair), seconds, cpu_seconds)
        if by_image:
            facts = {key: rival.facts.get(key) for key in ("threads", "versions", "hardware", "peak_gib")}
            same = [bicubic["by_image"][name]["psnr_y"] for name in by_image]
            notes = [rival.note(scale)]
            if len(by_image) < len(asked):
                notes.append(f"pictures: {len(by_image)}, of which bicubic {np.mean(same):.2f}")
            rows.append(row(rival.name, set_name, scale, by_image, note="; ".join(filter(None, notes)), **facts))
    return rows


# --- Speed -----------------------------------------------------------------------------------------------------------


def speed(several: Sequence[Method], low: Pixels, scale: float, rounds: int) -> list[dict]:
    """Megapixels of output a second, and the most memory that this whole process holds while a method answers."""
    height, width = (round(scale * n) for n in low.shape[:2])
    calls = {method.name: partial(method.answer, low, (height, width)) for method in several}
    peaks = {}
    for name, call in calls.items():  # which warms up, too
        common.resident()
        call()
        peaks[name] = round(common.peak(), 3)
    taken = common.in_turns(calls, rounds, warm=0)
    size = {"scale": scale, "input": low.shape[:2], "output": (height, width)}
    return [
        {"method": name, **size, "peak_gib": peaks[name]}
        | {"megapixels_per_second": common.spread([height * width / 1e6 / s for s in seconds], digits=4)}
        for name, seconds in taken.items()
    ]


# --- The page --------------------------------------------------------------------------------------------------------


def tables(report: dict) -> str:
    """Markdown: of every set the PSNR of the luma and the output per computing second, then the speed."""
    out = []
    for set_name in dict.fromkeys(r["set"] for r in report["rows"]):
        rows = [r for r in report["rows"] if r["set"] == set_name]
        scales = list(dict.fromkeys(r["scale"] for r in rows))
        lines: dict[str, dict[float, str]] = {}
        for r in rows:
            text = f"{r['psnr_y']:.2f}" + (f" ({r['note']})" if r.get("note") else "")
            lines.setdefault(r["method"], {})[r["scale"]] = text
        for name, known in PUBLISHED.items():
            if cells := {s: f"{known[set_name, s]:.2f}" for s in scales if (set_name, s) in known}:
                lines[name] = cells
        head = [f"{set_name}, PSNR of the luma in dB", *(f"×{s:g}" for s in scales)]
        out.append(table(head, [[name, *(cells.get(s, "") for s in scales)] for name, cells in lines.items()]))
        speeds: dict[str, dict[float, str]] = {}
        for r in rows:
            speeds.setdefault(r["method"], {})[r["scale"]] = f"{r['megapixels'] / max(r['cpu_seconds'], 1e-9):.3f}"
        head = [f"{set_name}, megapixels of output per second of a core", *(f"×{s:g}" for s in scales)]
        out.append(table(head, [[name, *(cells.get(s, "") for s in scales)] for name, cells in speeds.items()]))
    timed = report["speed"]
    scales = list(dict.fromkeys(r["scale"] for r in timed))
    cells = {(r["method"], r["scale"]): f"{r['megapixels_per_second']['median']:.3f}" for r in timed}
    head = [
        f"one picture in turns, megapixels of output a second, {report['threads']} threads",
        *(f"×{s:g}" for s in scales),
    ]
    names = dict.fromkeys(r["method"] for r in timed)
    if timed:
        out.append(table(head, [[name, *(cells[name, s] for s in scales)] for name in names]))
    return "\n".join(out)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(argv: list[str]) -> None:
    parser = common.parser(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a run, a folder of weights, a name; or NAME=MODEL")
    parser.add_argument("--data", type=Path, required=True, help="holds Set5, Set14 and val")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/photo.json"))
    parser.add_argument("--sets", nargs="+", choices=SCALES, default=list(SCALES))
    parser.add_argument("--scales", type=float, nargs="+", help="default: those of each set")
    parser.add_argument("--images", type=int, help="so many of each set")
    parser.add_argument("--best", action="store_true", help="each model also as the mean of 8 orientations")
    parser.add_argument("--exact", action="store_true", help="each model also in single precision")
    parser.add_argument("--liif", type=Path, help="weights of benchmarks/liif.py")
    parser.add_argument("--answers", type=Path, help="the folder of benchmarks/photo_rivals.py")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5, help="of the speed; 0: it is not measured")
    parser.add_argument("--speed-scales", type=float, nargs="+", default=[2.0, 3.7, 4.0])
    parser.add_argument("--speed-input", type=int, nargs=2, default=[160, 240], metavar=("HEIGHT", "WIDTH"))
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    several = methods(args.models, args.best, args.liif, args.exact)
    report = {
        "benchmark": "photo",
        "command": " ".join(["python -m benchmarks.photo", *argv]),
        "commit": commit(),
        "hardware": hardware(),
        "versions": {package: common.installed(package) for package in ("torch", "numpy", "pillow")},
        "threads": args.threads,
        "load_before": os.getloadavg(),
        "excluded": "start-up, loading of weights, reading and writing of files",
        "rows": [],
        "speed": [],
    }
    (first,) = pairs(args.data, args.sets[0], 2.0, most=1)
    for method in several:
        method.answer(first.low[:64, :64], (128, 128))  # the first answer of a process pays for what later ones reuse
    for set_name in args.sets:
        for scale in SCALES[set_name]:
            if args.scales and scale not in args.scales:
                continue
            asked = list(pairs(args.data, set_name, scale, args.images))
            rows = []
            for method in several:
                rows.append(done := method_row(method, set_name, asked))
                said = f"{set_name} ×{scale:g} {method.name}: {done['psnr_y']:.3f} dB, {done['seconds']:.1f} s"
                print(said, file=sys.stderr, flush=True)
            if args.answers is not None:
                rows += rival_rows(args.answers, set_name, asked, bicubic=rows[0])
            report["rows"] += rows
            write_json(args.output, report)
    if args.rounds:
        seen = speed_input(args.data, args.speed_input)
        timed = several
        if args.liif is not None:
            timed = [
                *several,
                of_encoder("LIIF, bf16", Liif.load(args.liif, first_layer_once=True, bf16=True)),
                of_encoder("LIIF, features unfolded as published", Liif.load(args.liif)),
            ]
        for scale in args.speed_scales:
            report["speed"] += speed(timed, seen, scale, args.rounds)
            write_json(args.output, report)
    write_json(args.output, report | {"load_after": os.getloadavg()})
    print(tables(report))


def speed_input(data: Path, size: Sequence[int]) -> Pixels:
    """The top left of the first large enough picture of BSD100, as it is seen at ×2."""
    for pair in pairs(data, "BSD100", 2.0):
        if all(n >= m for n, m in zip(pair.low.shape, size, strict=False)):
            return np.ascontiguousarray(pair.low[: size[0], : size[1]])
    raise ValueError(f"no picture of BSD100 at ×2 is {tuple(size)} large; give a smaller --speed-input")


if __name__ == "__main__":
    main(sys.argv[1:])
