"""Scans of thick slices at the spacing of their planes: classical answers, a trained linear filter, and the weights.

    python benchmarks/volumes.py --json results/volumes.json [--scan ch2.nii.gz] [--template mni.nii.gz] [--own RUN]
        [--training RUN/run.json --taught "what the weights learned from"] [--parts scan box template time own]
    python benchmarks/volumes.py --thicken 4 --json thick.nii.gz      # what --own learns from
    python benchmarks/volumes.py --page                               # docs/volumes.md from results/volumes.json

The scan is one person's head (Colin 27, 1 mm, Debian's mricron-data), the template the average of 152 (MNI, 1 mm, inside the
package nilearn). Both are made thicker along their third axis: a gaussian as wide at half its height as a slice is thick,
taken at the slices' centres. Parts that are not measured are kept from the file.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import common  # before torch
import numpy as np
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity
from volumes_page import HEAD, SCALES, page

import gridless as gl
from gridless.bases import Interpolation
from gridless.data.signals import GridSignal
from gridless.data.sources import as_signal
from gridless.data.volume_splits import template
from gridless.data.volumes import read_frames
from gridless.nn.precision import bf16
from gridless.tasks import SuperResolution

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "results" / "volumes.json", ROOT / "docs" / "volumes.md"
BASES = {"nearest": "nearest", "linear": "bilinear", "bicubic": "bicubic", "lanczos": "lanczos", "bspline": "bspline"}
PARTS = ("scan", "box", "template", "time", "own")
PLANES = 8  # of SSIM: every so many
TAPS = (-2, 4)  # of the filter: slices from the first beside a voxel on
SAMPLES, DAMPING = 40_000, 1e-4  # voxels that teach each filter; share of the mean square


def thickened(signal: GridSignal, scale: float, profile: str = "gaussian") -> tuple[gl.Samples, np.ndarray]:
    """What is seen of a signal, and the truth (x y z)."""
    task = SuperResolution(scales=(scale,), slices=True, profile=profile)
    case = next(iter(task.cases([signal])))
    return case.samples, case.truth[..., 0]


def head(truth: np.ndarray) -> np.ndarray:
    """Where it is measured."""
    return ndimage.binary_fill_holes(truth > HEAD * np.percentile(truth, 98))


def scored(answer: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Inside the head: PSNR, whose peak is the truth's range, and the mean SSIM of planes along the thick axis."""
    peak = float(truth.max() - truth.min())
    similar, count = 0.0, 0
    for y in range(0, truth.shape[1], PLANES):
        if not mask[:, y].any():
            continue
        options = {"data_range": peak, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        whole = structural_similarity(truth[:, y], answer[:, y], full=True, **options)[1]
        similar, count = similar + whole[mask[:, y]].sum(), count + mask[:, y].sum()
    error = float(np.square(answer - truth)[mask].mean())
    return {"psnr": 10 * np.log10(peak**2 / error), "ssim": float(similar / count)}


class LinearFilter:
    """Ridge regression of a voxel on 3 × 3 × 6 samples around it, one for each place between two slices: what a filter that
    knows the profile and the kind of picture can do."""

    def __init__(self, scale: float):
        self.scale, self.period = scale, Fraction(scale).limit_denominator(10).numerator
        self.weights: list[np.ndarray] = []

    def fit(self, seen: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> "LinearFilter":
        rng, columns = np.random.default_rng(0), list(self._columns(seen))
        for phase in range(self.period):
            x, y, z = np.nonzero(mask[:, :, phase :: self.period])
            chosen = rng.permutation(len(x))[:SAMPLES]
            x, y, z = x[chosen], y[chosen], z[chosen] * self.period + phase
            first = self._first(z)
            design = np.stack([column(x, y, first) for column in columns], -1)
            gram = design.T @ design
            gram += DAMPING * np.trace(gram) / len(gram) * np.eye(len(gram))
            self.weights.append(np.linalg.solve(gram, design.T @ truth[x, y, z]))
        return self

    def answer(self, seen: np.ndarray, count: int) -> np.ndarray:
        out = np.zeros((*seen.shape[:2], count), np.float32)
        x, y = np.indices(seen.shape[:2])
        columns = list(self._columns(seen))
        for z in range(count):
            first = np.full_like(x, self._first(np.array([z]))[0])
            weights = self.weights[z % self.period]
            out[:, :, z] = sum(w * column(x, y, first) for w, column in zip(weights, columns, strict=True))
        return out

    def _first(self, z: np.ndarray) -> np.ndarray:
        return np.floor((z + 0.5) / self.scale - 0.5).astype(int)

    def _columns(self, seen: np.ndarray) -> Iterator[Callable[..., np.ndarray]]:
        low, high = TAPS
        padded = np.pad(seen, ((1, 1), (1, 1), (-low + 1, high + 1)), mode="edge").astype(np.float64)
        for dx in (0, 1, 2):
            for dy in (0, 1, 2):
                for dz in range(low, high):
                    yield lambda x, y, first, dx=dx, dy=dy, dz=dz: padded[x + dx, y + dy, first + dz - low + 1]


def asked(model, samples: gl.Samples, shape: tuple[int, ...]) -> np.ndarray:
    with torch.no_grad(), bf16(torch.device("cpu")):
        return model.encode(samples).to_grid(shape=shape)[..., 0].float().numpy()


def rows_of(
    subject: str,
    signal: GridSignal,
    teacher: GridSignal | None,
    scale: float,
    models: dict,
    profile: str = "gaussian",
) -> list[dict]:
    samples, truth = thickened(signal, scale, profile)
    mask, seen = head(truth), samples.on_grid()[0, ..., 0].numpy()
    about = {"subject": subject, "scale": scale, "profile": profile, "shape": list(truth.shape)}
    rows = []

    def add(method: str, call: Callable[[], np.ndarray], fitted: float = 0.0) -> None:
        start = time.process_time()
        answer = call()
        taken = time.process_time() - start
        rows.append(about | {"method": method, "seconds": taken, "fit": fitted} | scored(answer, truth, mask))
        print({k: v for k, v in rows[-1].items() if k != "shape"}, file=sys.stderr, flush=True)

    if teacher is not None:
        for name, kind in BASES.items():
            add(name, lambda kind=kind: asked(Interpolation(kind), samples, truth.shape))
        start = time.process_time()
        taught, example = thickened(teacher, scale)
        linear = LinearFilter(scale).fit(taught.on_grid()[0, ..., 0].numpy(), example, head(example))
        add("linear filter", lambda: linear.answer(seen, truth.shape[2]), time.process_time() - start)
    for name, model in models.items():
        add(name, lambda model=model: asked(model, samples, truth.shape))
    return rows


def over_time(model) -> list[dict]:
    """A functional scan (nibabel's own, 17 × 21 × 3, 20 times) thickened along its second axis, frame by frame; and a film
    of moving blobs with every other frame left out, asked at all frames as one field of four axes."""
    import nibabel

    path = Path(nibabel.__file__).parent / "tests" / "data" / "functional.nii"
    frames = [as_signal(samples, f"{n}") for n, samples in enumerate(read_frames(path))]
    rows = []
    for name, method in {**{n: Interpolation(k) for n, k in BASES.items()}, "volume": model}.items():
        errors, start = [], time.process_time()
        for frame in frames:
            samples, truth = thickened(frame, 2.0)
            errors.append(np.square(asked(method, samples, truth.shape) - truth)[head(truth)])
        peak = max(frame.peak for frame in frames)
        rows.append(
            {"data": "functional.nii, ×2, frame by frame", "method": name, "seconds": time.process_time() - start}
        )
        rows[-1]["psnr"] = float(10 * np.log10(peak**2 / np.concatenate(errors).mean()))
    film = blobs((24, 24, 12, 32))
    for name, kind in BASES.items():
        start = time.process_time()
        samples = gl.Samples.from_grid(film[..., ::2, None], axes=4)
        cell, where = gl.cells(24, 24, 12, 16), gl.grid(24, 24, 12, 32)
        where[:, 3] = (torch.arange(32).repeat(24 * 24 * 12) / 2 + 0.5) / 16  # every other frame is a sample
        inner = where[:, 3] <= 1 - 0.5 / 16
        answer = Interpolation(kind).encode(samples)(where[inner], cell)[:, 0].numpy()
        error = np.square(answer - film.reshape(-1)[inner.numpy()])
        rows.append({"data": "a film of blobs, every other frame, four axes", "method": name})
        rows[-1] |= {
            "seconds": time.process_time() - start,
            "psnr": float(10 * np.log10(np.ptp(film) ** 2 / error.mean())),
        }
    return rows


def blobs(shape: tuple[int, int, int, int]) -> np.ndarray:
    """Eight gaussian blobs on circles."""
    rng = np.random.default_rng(0)
    x, y, z, t = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij", sparse=True)
    out = np.zeros(shape, np.float32)
    for _ in range(8):
        centre, radius, phase, width = rng.uniform(0.3, 0.7, 3), rng.uniform(0.1, 0.3), rng.uniform(0, 7), 0.1
        turn = phase + 2 * np.pi * t
        square = (x - centre[0] - radius * np.cos(turn)) ** 2 + (y - centre[1] - radius * np.sin(turn)) ** 2
        out += np.exp(-(square + (z - centre[2]) ** 2) / (2 * width**2)).astype(np.float32)
    return out


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--scan", type=Path, default=Path("/usr/share/mricron/templates/ch2.nii.gz"))
    parser.add_argument("--template", type=Path, help="of the MNI, where nilearn is not installed")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="what is measured; the rest is kept")
    parser.add_argument("--scales", nargs="+", type=float, default=SCALES, help="of the part scan")
    parser.add_argument("--own", type=Path, help="a run that learned from the thickened scan")
    parser.add_argument("--training", type=Path, help="run.json of the training of the weights")
    parser.add_argument("--taught", default="the MNI template", help="what the weights learned from, in words")
    parser.add_argument("--thicken", type=float, help="write the scan this much thicker to --json and stop")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    if args.page:
        PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
        return
    if args.thicken:
        write_thick(args.scan, args.thicken, args.json)
        return
    torch.set_num_threads(1)
    before = json.loads(args.json.read_text(encoding="utf-8")) if args.json and args.json.exists() else {}
    volume = gl.FieldModel.from_pretrained("volume")
    report = {name: before.get(name) for name in ("rows", "over_time", "own", "training")}
    report |= {"parameters": volume.parameter_count()}
    rows: list[dict] = []
    if {"scan", "box", "template", "own"} & set(args.parts):
        scan, average = as_signal(args.scan), as_signal(args.template or template())
        if "scan" in args.parts:
            for scale in args.scales:
                rows += rows_of("scan", scan, average, scale, {"volume": volume})
            report["training"] = {"data": args.taught} | training_facts(args.training)
        if "box" in args.parts:
            rows += rows_of("scan", scan, average, 4.0, {"volume": volume}, "box")
        if "own" in args.parts:
            report["own"] = run_facts(args.own)
            scale = report["own"]["scale"]
            rows += rows_of("scan", scan, None, scale, {"own scan": gl.FieldModel.from_pretrained(args.own)})
        if "template" in args.parts:
            for scale in (3.0, 4.0):
                rows += rows_of("template", average, scan, scale, {})
    if "time" in args.parts:
        report["over_time"] = over_time(volume)
    report["rows"] = joined(report["rows"] or [], rows)
    common.finish("volumes", report, args.json, ("torch", "nibabel", "scikit-image"))


def joined(old: list[dict], new: list[dict]) -> list[dict]:
    """The new rows in place of those of their names, the others as they were."""
    names = ("subject", "profile", "scale", "method")
    every = {tuple(row[name] for name in names): row for row in [*old, *new]}
    order = {name: place for place, name in enumerate((*BASES, "linear filter", "volume", "own scan"))}
    return sorted(every.values(), key=lambda row: (row["subject"], row["profile"], row["scale"], order[row["method"]]))


def training_facts(path: Path | None) -> dict:
    facts = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    return {name: facts.get(name, 0) for name in ("steps", "train_seconds")}


def run_facts(run: Path) -> dict:
    """Of a run on one scan: its steps, its seconds, and how thick the slices were."""
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    sizes = gl.read(recipe["data"]["path"]).space.voxel_sizes if Path(str(recipe["data"]["path"])).is_file() else (1.0,)
    return training_facts(run / "run.json") | {"scale": round(max(sizes) / min(sizes), 2)}


def write_thick(path: Path, scale: float, target: Path) -> None:
    """The scan with thicker slices, as a file."""
    import nibabel

    samples, truth = thickened(as_signal(path), scale)
    affine = np.array(nibabel.load(path).affine)
    inside = np.diag([1.0, 1.0, scale, 1.0])
    inside[2, 3] = (scale - 1) / 2
    values = samples.on_grid()[0, ..., 0].numpy()
    assert truth.shape[2] == round(values.shape[2] * scale)
    nibabel.save(nibabel.Nifti1Image(values, affine @ inside), target)


if __name__ == "__main__":
    main()
