"""How many numbers does a picture need? CIFAR-10, 1,000 test pictures: the systems, PCA, cosines, JPEG, WebP.

    python benchmarks/reconstruction.py --train --data DIR [--only NAME …]    train what is missing, into runs/reconstruction
    python benchmarks/reconstruction.py --data DIR [--only NAME …] --json results/reconstruction.json   (others' rows stay)
    python benchmarks/reconstruction.py --page                                 docs/cifar10.md and its figure

Every arm is a training of `gridless train cifar10` with the flags of ARMS. PSNR is that of the floats, neither clipped nor
rounded, the mean over pictures. PCA and the fixed cosines are fitted on the same 18,000 training pictures. Bytes: a
field's numbers in steps of a 256th of the range they have over the validation pictures, entropy-coded with their histogram
there (constriction); a file's bytes without those of a grey picture's file, which are headers and tables.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import json
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from reconstruction_code import Code, psnr, reconstructed

import gridless as gl
from gridless.data.cifar10 import cifar10
from gridless.training.provenance import commit, hardware

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "reconstruction"
SHIPPED = "cifar10-mamba-ginr"  # weights in the package, another row
FINER = "finer-"  # arms that answer at twice the resolution
LONG, SHORT, BRIEF = 16_000, 2_000, 600  # steps of 16 pictures
FLOATS = (64, 128, 256, 512, 1_024, 2_048)
BETWEEN = 100
QUALITIES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 98, 100)


@dataclass(frozen=True)
class Arm:
    """One training."""

    name: str
    flags: tuple[str, ...] = ()
    steps: int = SHORT
    seeds: tuple[int, ...] = (0,)

    def folder(self, seed: int) -> Path:
        return RUNS / f"{self.name}-{seed}"


def narrow(latent: int) -> tuple[str, ...]:
    return ("--model.processor.latent", str(latent), "--model.processor.depth", "2")


def beside_components(count: int) -> tuple[str, ...]:
    """The field is its principal components; the network sees their sum and answers what belongs to it."""
    base = ("--model.base.kind", "components", "--model.base.count", str(count), "--model.signal.seen", "base")
    return (*base, "--train.loss", "skill", "--train.optimizer.lr", "2e-3")


def tuned(preset: str, lr: str = "4e-3") -> tuple[str, ...]:
    return ("--preset", preset, "--train.optimizer.lr", lr)


def finer(preset: str, base: str) -> tuple[str, ...]:
    """Pictures of 16 × 16 are seen, those of 32 × 32 asked."""
    task = (
        "--task.kind",
        "super-resolution",
        "--task.scale",
        "2",
        "--model.signal.window",
        "16",
        "--model.signal.overlap",
        "4",
    )
    return (*tuned(preset), *task, "--model.tokenizer.size", "2", "--model.base.kind", base)


def without(*flags: str) -> tuple[str, ...]:
    """The recipe with some of its parts as published."""
    values = {
        "tokens": ("--model.encoder.tokens.content", "false"),
        "offsets": ("--model.decoder.attention.rotation", "false"),
        "linear": ("--model.decoder.linear", "false"),
        "near": ("--model.decoder.attention.bias.alpha", "10"),
        "muon": ("--train.optimizer.muon", "none"),
    }
    return tuple(part for flag in flags for part in values[flag])


PARTS = ("tokens", "offsets", "linear", "near", "muon")
ARMS = (
    Arm("mamba-ginr", steps=LONG),
    Arm("mamba-ginr-1024", beside_components(1_024), 3_500),
    Arm("narrowed-1024", narrow(16), 10_000),
    Arm("mamba-ginr-512", beside_components(512), 8_000),
    *(
        Arm(f"short-{name}", tuned(name), seeds=(0, 1))
        for name in ("mamba-ginr", "lainr", "hybrid", "trans-inr", "scent")
    ),
    Arm("part-all", steps=BRIEF),
    *(Arm(f"part-{part}", without(part), BRIEF) for part in PARTS),
    Arm("part-none", without(*PARTS), BRIEF),
    *(Arm(f"short-mamba-ginr-{64 * n}", narrow(n)) for n in (1, 2, 4, 8, 16, 32, 128)),
    *(
        Arm(f"{FINER}{name}-{base}", finer(name, base), BRIEF)
        for name in ("mamba-ginr", "hybrid", "scent")
        for base in ("none", "bicubic")
    ),
)


def train(arms: list[Arm], data: Path) -> None:
    for seed in sorted({seed for arm in arms for seed in arm.seeds}):
        for arm in arms:
            if seed in arm.seeds:
                fixed = ("--train.seconds", "none", "--train.steps", str(arm.steps), "--train.seed", str(seed))
                command = ("-m", "gridless", "train", "cifar10", "--data", str(data), "-o", str(arm.folder(seed)))
                subprocess.run([sys.executable, *command, *fixed, *arm.flags], check=True)


def pixels(data: Path, split: str) -> np.ndarray:
    """(N 32 32 3), in [0, 1]."""
    return np.stack([photo.pixels for photo in cifar10(data, split)]).astype(np.float32) / 255


# --- models -------------------------------------------------------------------------------------------------------------


def scores(model: gl.FieldModel, known: np.ndarray, pictures: np.ndarray, coded: bool = True) -> dict:
    model.eval()
    facts = {"floats": model.latent_floats(), "parameters": model.parameter_count()}
    facts["psnr"] = psnr(reconstructed(model, pictures), pictures)
    return facts | (Code(model, known).score(pictures) if coded else {})


def model_row(arm: Arm, seed: int, known: np.ndarray, pictures: np.ndarray) -> dict | None:
    """None of a training that is not complete."""
    folder = arm.folder(seed)
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8")) if (folder / "run.json").is_file() else {}
    if not facts.get("complete"):
        return None
    row = {
        "name": arm.name, "seed": seed, "flags": " ".join(arm.flags), "steps": facts["steps"],
        "train_seconds": round(facts["train_seconds"]), "commit": facts.get("commit"),
    }  # fmt: skip
    model = gl.FieldModel.from_pretrained(folder)
    if arm.name.startswith(FINER):
        return row | finer_scores(model, pictures)
    return row | scores(model, known, pictures, coded=arm.steps > SHORT)


def finer_scores(model: gl.FieldModel, pictures: np.ndarray) -> dict:
    """Of pictures made smaller by Pillow, in 8 bits, against themselves; bicubic beside it."""
    whole = [np.round(picture * 255).astype(np.uint8) for picture in pictures]
    task = gl.SuperResolution(scale=2.0)
    rows = gl.evaluate({"model": model.eval(), "bicubic": gl.bases.Interpolation("bicubic")}, whole, task)
    means = {
        name: float(np.mean([r["value"] for r in rows if r["model"] == name and r["metric"] == "psnr_rgb"]))
        for name in ("model", "bicubic")
    }
    return {"parameters": model.parameter_count(), "psnr": means["model"], "bicubic": means["bicubic"]}


def shipped_row(known: np.ndarray, pictures: np.ndarray) -> dict:
    model = gl.FieldModel.from_pretrained(SHIPPED)
    row = {"name": SHIPPED, **scores(model, known, pictures)}
    with torch.no_grad():
        few = gl.Samples.from_grid(torch.from_numpy(pictures[:BETWEEN]))
        fine = gl.grid(128, 128).expand(BETWEEN, -1, -1)
        answers, smooth = model.eval()(few, fine), gl.bases.Interpolation("bicubic").solve(few)(fine)
    return row | {"from_bicubic_at_128": psnr(answers[..., None].numpy(), smooth[..., None].numpy())}


# --- baselines ----------------------------------------------------------------------------------------------------------


def principal_rows(known: np.ndarray, pictures: np.ndarray) -> list[dict]:
    x, y = known.reshape(len(known), -1), pictures.reshape(len(pictures), -1)
    mean = x.mean(0)
    _, vectors = np.linalg.eigh(np.cov((x - mean).T.astype(np.float64)))
    rows = []
    for count in FLOATS:
        basis = vectors[:, ::-1][:, :count].astype(np.float32)
        answers = ((y - mean) @ basis @ basis.T + mean).reshape(pictures.shape)
        rows.append({"name": "pca", "floats": count, "psnr": psnr(answers, pictures)})
    return rows


def cosine_rows(known: np.ndarray, pictures: np.ndarray) -> list[dict]:
    """Cosines of each principal colour, those of the largest variance over the training pictures."""
    from scipy.fft import dctn, idctn

    colours = np.linalg.eigh(np.cov(known.reshape(-1, 3)[::7].T))[1].astype(np.float32)
    spectra = dctn(known @ colours, axes=(1, 2), norm="ortho")
    mean, order = spectra.mean(0), np.argsort(-spectra.var(0), axis=None)
    asked, rows = dctn(pictures @ colours, axes=(1, 2), norm="ortho"), []
    for count in FLOATS:
        kept = np.zeros(mean.size, bool)
        kept[order[:count]] = True
        answers = idctn(np.where(kept.reshape(mean.shape), asked, mean), axes=(1, 2), norm="ortho") @ colours.T
        rows.append({"name": "dct", "floats": count, "psnr": psnr(answers, pictures)})
    return rows


def file_rows(pictures: np.ndarray) -> list[dict]:
    whole, rows = np.round(pictures * 255).astype(np.uint8), []
    for kind, options in (("JPEG", {"subsampling": 0, "optimize": True}), ("WebP", {"method": 6})):
        for quality in QUALITIES:

            def stored(picture, kind=kind, options=options, quality=quality):
                file = BytesIO()
                Image.fromarray(picture).save(file, kind, quality=quality, **options)
                return file

            empty = len(stored(np.full_like(whole[0], 128)).getvalue())
            files = [stored(picture) for picture in whole]
            answers = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]) / np.float32(255)
            size = np.mean([len(file.getvalue()) for file in files]) - empty
            rows.append({"name": kind, "quality": quality, "bytes": float(size), "psnr": psnr(answers, pictures)})
    return rows


def measured(data: Path, only: list[str] | None) -> dict:
    known, validation, pictures = (pixels(data, split) for split in ("train", "val", "test"))
    arms = [arm for arm in ARMS if not only or arm.name in only]
    rows = [row for arm in arms for seed in arm.seeds if (row := model_row(arm, seed, validation, pictures))]
    if not only or SHIPPED in only:
        rows.append(shipped_row(validation, pictures))
    if not only:
        rows += principal_rows(known, pictures) + cosine_rows(known, pictures) + file_rows(pictures)
    rows = [{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    return {
        "command": "python benchmarks/reconstruction.py --data DIR --json results/reconstruction.json",
        "commit": commit(), "hardware": hardware(), "pictures": len(pictures), "training": len(known), "rows": rows,
    }  # fmt: skip


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--data", type=Path, help="the folder of CIFAR-10's batches")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of arms")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    if args.page:
        from reconstruction_page import write

        write(ROOT)
    elif args.train:
        train([arm for arm in ARMS if not args.only or arm.name in args.only], args.data)
    else:
        report = measured(args.data, args.only)
        if args.only and args.json and args.json.is_file():  # the other rows stay
            before = json.loads(args.json.read_text(encoding="utf-8"))["rows"]
            made = {row["name"] for row in report["rows"]}
            report["rows"] += [row for row in before if row["name"] not in made]
        if args.json:
            args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        for row in report["rows"]:
            print(row)


if __name__ == "__main__":
    main()
