"""Networks beside classical forecasts of real films: what `scent-time` and `films` learn from one film's past.

The films, windows and figures of forecast_rows.py. What every method sees and answers are anomalies: the hour of the day
(era5) and the month (ersst), as the frames that teach have them, are known to all. Rain is made coarser, blocks of 4 × 4
cells of 1 km, and the sea, 3 × 3 of 2°, for every method of this table. A network corrects a base; it learns from the first
85 % of the frames that teach, the rest says when it was best (an untrained network is its base) and at which of two rates.

    python benchmarks/forecast_networks.py DIR --json results/forecast_networks.json [--steps 400 --seeds 2 --films …]
    python benchmarks/forecast_networks.py --page

What the JSON file holds is not run again.
"""

import common  # isort: skip  (before torch)

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from forecast_rows import FILMS, LEADS, STEPS, Film, methods, rows

import gridless as gl
from gridless.bases.past_films import PastFilms
from gridless.bases.usual import Usual
from gridless.data.signals import GridSignal
from gridless.training.provenance import commit

ROOT = Path(__file__).parents[1]
RATES = (5e-4, 2e-3)
BLOCKS = {"radar": 4, "era5": 1, "ersst": 3}
DAMPED = {"kind": "damped-persistence", "usual": "mean"}
PRESETS = {"scent": "scent-time", "films": "films"}
BASES = {"radar": {"kind": "advection"}, "era5": DAMPED, "ersst": DAMPED}


def networks(name: str) -> dict[str, str]:
    """Presets of a film's networks, by what the tables call them."""
    return {f"{short} on {BASES[name]['kind']}": preset for short, preset in PRESETS.items()}


@dataclass(frozen=True, eq=False)
class Anomalies:
    """A film without what is usual at the hour or month."""

    film: Film
    parts: Film

    @classmethod
    def of(cls, film: Film) -> "Anomalies":
        if film.usual not in ("day", "year"):
            return cls(film, film)
        usual = Usual(film.usual, film.values.ndim - 1, 1)
        usual.fit(PastFilms.of(film.past(), film.values.ndim, 1))
        whole = GridSignal(film.name, film.values[..., None], np.isfinite(film.values), film.domain)
        parts = usual.anomalies(PastFilms.of([whole], film.values.ndim, 1))[0].view(film.values.shape)
        return cls(film, replace(film, values=parts.numpy().astype(np.float32), usual="mean"))


def coarser(film: Film, block: int) -> Film:
    """Means over blocks of cells."""
    count, *space = film.values.shape
    y, x = (n // block for n in space)
    values = film.values[:, : y * block, : x * block]
    blocks = values.reshape(count, y, block, x, block).swapaxes(2, 3).reshape(count, y, x, block * block)
    known = np.isfinite(blocks)
    means = np.where(known, blocks, 0).sum(-1) / known.sum(-1).clip(1)
    axes = [
        replace(axis, length=axis.length * n * block / whole)
        for axis, n, whole in zip(film.domain.axes[1:], (y, x), space, strict=True)
    ]
    domain = replace(film.domain, axes=(film.domain.axes[0], *axes))
    return replace(film, values=np.where(known.any(-1), means, np.nan).astype(np.float32), domain=domain)


def film_of(name: str, folder: Path) -> Film:
    film = FILMS[name](folder)
    return Anomalies.of(coarser(film, BLOCKS[name])).parts


def split(film: Film) -> tuple[list[GridSignal], list[GridSignal]]:
    """What teaches a network, and what says when it was best."""
    frames = film.seen + max(film.leads)
    end = min(round(0.85 * film.learned), film.learned - frames)
    (past,) = film.past()

    def part(start: int, stop: int) -> GridSignal:
        mask = None if past.mask is None else past.mask[start:stop]
        return GridSignal(f"{film.name}-{start}", past.values[start:stop], mask, film.part(start, stop))

    return [part(0, end)], [part(end, film.learned)]


def network(film: Film, preset: str, steps: int, rate: float, seed: int) -> tuple[gl.FieldModel, dict]:
    learned, known = split(film)
    task = gl.Forecast(
        seen=film.seen, ahead=max(film.leads), windows=12, stride=1, ask="ahead", leads=tuple(map(float, film.leads))
    )
    torch.manual_seed(seed)
    model = gl.FieldModel(gl.preset(preset, "tiny", film={"readings": 1024}, base=BASES[film.name]))
    train = gl.Train(
        steps=steps, batch=8, queries=512, precision="bf16", seed=seed, loss="skill", keep="best", validate_every=100,
        optimizer={"lr": rate, "muon": 2.5, "ema": 0.99},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        gl.fit(model, learned, task, train=train, validation=known, folder=folder, quiet=True)
        seconds = round(time.process_time() - began, 1)
        lines = (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return model, {"seconds": seconds, "log": [json.loads(line) for line in lines]}


def validated(log: list[dict]) -> float:
    """Of the weights that are kept: lower is better."""
    return min(line["val_crps"] if "val_crps" in line else -line["val_psnr"] for line in log if "val_psnr" in line)


def measure(folder: Path, path: Path, steps: int, seeds: int, only: list[str]) -> None:
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": [], "runs": []}
    report |= {"steps": steps}
    for name in only:
        film = film_of(name, folder)
        if not any(row["film"] == name for row in report["rows"]):
            report["rows"] += rows(film, methods(film))
            common.finish("forecast_networks", report, path)
        for model, preset in networks(name).items():
            for seed in range(seeds):
                of = [r for r in report["runs"] if (r["film"], r["model"]) == (name, model)]
                best = min(of, key=lambda r: r["validated"])["rate"] if of else None
                for rate in RATES if seed == 0 else (best,):
                    if any((r["seed"], r["rate"]) == (seed, rate) for r in of):
                        continue
                    trained, facts = network(film, preset, steps, rate, seed)
                    scores = rows(film, {model: trained})
                    log = facts.pop("log")
                    report["runs"].append(
                        {"film": name, "model": model, "seed": seed, "rate": rate, "commit": commit(), **facts}
                        | {"validated": round(validated(log), 5), "curve": curve(log)}
                        | {"parameters": trained.parameter_count(), "rows": scores}
                    )
                    common.finish("forecast_networks", report, path)


def curve(log: list[dict]) -> list[tuple[int, float]]:
    """Steps and losses, few of them."""
    losses = [(line["step"], round(line["loss"], 4)) for line in log if "loss" in line]
    return losses[:: max(1, len(losses) // 10)]


def tables(report: dict) -> str:
    """Markdown: by film and lead, networks at the rate that validated best, the mean over seeds."""
    out = []
    for name in dict.fromkeys(row["film"] for row in report["rows"]):
        classical = [row for row in report["rows"] if row["film"] == name]
        leads = sorted({row["lead"] for row in classical})
        head = " | ".join(LEADS[name].format(STEPS[name] * lead) for lead in leads)
        for key in ("rmse", *(k for k in classical[0] if k.startswith("csi"))):
            unit = classical[0]["unit"]
            words = f"RMSE, {unit}" if key == "rmse" else f"CSI above {key[4:]} {unit}"
            out.append(f"| {name}: {words} | {head} |\n| --- |" + " ---: |" * len(leads))
            for model in dict.fromkeys(row["model"] for row in classical):
                cells = [row[key] for row in classical if row["model"] == model]
                out.append(f"| {model} | " + " | ".join(f"{v:.3f}" for v in cells) + " |")
            for model in networks(name):
                of = [run for run in report["runs"] if (run["film"], run["model"]) == (name, model)]
                if of:
                    rate = min(of, key=lambda r: r["validated"])["rate"]
                    chosen = [run for run in of if run["rate"] == rate]
                    cells = np.mean([[row[key] for row in run["rows"]] for run in chosen], 0)
                    seeds = f"{len(chosen)} seed{'s' if len(chosen) > 1 else ''}"
                    out.append(f"| {model}, {seeds} | " + " | ".join(f"{v:.3f}" for v in cells) + " |")
            out.append("")
    return "\n".join(out).strip()


BEGIN, END = "<!-- forecast_networks.json -->", "<!-- end of networks -->"


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the npz files of the films lie")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--films", nargs="+", choices=list(FILMS), default=list(FILMS))
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.page:
        measure(options.folder, options.json, options.steps, options.seeds, options.films)
        return
    text = tables(json.loads((ROOT / "results" / "forecast_networks.json").read_text(encoding="utf-8")))
    common.write_between(ROOT / "docs" / "forecasts.md", BEGIN, END, text)


if __name__ == "__main__":
    main()
