"""Classical forecasts of real films, by lead: what stands beside every forecast model.

    radar   rain over Finland, dBZ, 5 minutes, 512 × 512   frames 1–22 teach, windows of 4 frames after them ask 5 … 30 min
    era5    2 m temperature, hourly, Britain               20 days teach, windows of 6 hours ask 1 … 24 h
    ersst   sea surface temperature, monthly, the globe    96 months teach, windows of 6 months ask 1 … 6 months

    python benchmarks/forecast_rows.py DIR --json results/forecasts.json [--rival FILE]
    python benchmarks/forecast_rows.py --page

`rows(film, methods(film))` are the figures: root mean squared errors of all windows together, and of answers with a spread
their CRPS and the share within their 90 % interval; of rain the critical success index, hits over hits, misses and false
alarms, at two thresholds. Cells on a sphere count by their area in the first. `--rival`: the lines that
`benchmarks/rivals/pysteps_rain.py` prints. `--page` writes the tables of docs/forecasts.md.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import common  # before torch
import field_sets
import numpy as np
import torch
from jaxtyping import Float

import gridless as gl
from gridless import config as c
from gridless.bases import Advection, DampedPersistence, LinearInverse, Persistence
from gridless.config import Axis
from gridless.data.signals import GridSignal
from gridless.domain import TIME
from gridless.protocols import Learned
from gridless.scoring import metrics
from gridless.scoring.evaluate import Encoder
from gridless.training.provenance import commit, hardware


@dataclass(frozen=True, eq=False)
class Film:
    """`values`: NaN where nothing was measured. `domain`: of all frames, time first."""

    name: str
    unit: str
    values: Float[np.ndarray, "T *grid"]
    domain: gl.Domain
    usual: str
    """The climatology of methods that know one."""
    learned: int
    """So many frames teach."""
    seen: int
    leads: tuple[int, ...]
    """In frames."""
    stride: int
    """Frames from window to window."""
    thresholds: tuple[float, ...] = ()
    """Above which it rains."""

    def part(self, start: int, stop: int) -> gl.Domain:
        """The domain of some frames."""
        axis = self.domain.axes[0]
        step = axis.length / len(self.values)
        time_axis = replace(axis, start=axis.start + step * start, length=step * (stop - start))
        return replace(self.domain, axes=(time_axis, *self.domain.axes[1:]))

    def past(self) -> list[GridSignal]:
        """What teaches, as one film."""
        values = self.values[: self.learned]
        mask = np.isfinite(values)
        held = np.where(mask, values, 0).astype(np.float32)[..., None]
        return [GridSignal(self.name, held, None if mask.all() else mask, self.part(0, self.learned))]

    def windows(self) -> Iterator[tuple[gl.Samples, Float[np.ndarray, "L *grid"]]]:
        """What is seen, with the frames to come as holes, and the truth at the leads."""
        ahead = max(self.leads)
        for start in range(self.learned, len(self.values) - self.seen - ahead + 1, self.stride):
            values = self.values[start : start + self.seen + ahead]
            mask = np.isfinite(values)
            mask[self.seen :] = False
            held = torch.from_numpy(np.where(mask, values, 0).astype(np.float32))[..., None]
            domain = self.part(start, start + len(values))
            yield (
                gl.Samples.from_grid(held, values.ndim, torch.from_numpy(mask), domain=domain),
                np.stack([values[self.seen - 1 + lead] for lead in self.leads]),
            )

    def asked(self, lead: int) -> Float[torch.Tensor, "Q d"]:
        """The grid of one moment."""
        place = gl.grid(*self.values.shape[1:], dtype=torch.float64)
        when = torch.full(
            (len(place), 1), (self.seen - 0.5 + lead) / (self.seen + max(self.leads)), dtype=torch.float64
        )
        return torch.cat([when, place], 1)

    @property
    def weights(self) -> Float[np.ndarray, "*grid"]:
        """Of cells, by their area on a sphere."""
        shape = self.values.shape[1:]
        if self.domain.sphere is None:
            return np.ones(shape)
        latitude = self.domain.axes[1]
        degrees = latitude.start + latitude.length * (np.arange(shape[0]) + 0.5) / shape[0]
        return np.broadcast_to(np.cos(np.radians(degrees)).clip(0)[:, None], shape)


def timed(domain: gl.Domain | None, times: np.ndarray, space: tuple[Axis, ...] = ()) -> gl.Domain:
    """A domain with an axis of time before the others, evenly through what may be months."""
    seconds = times.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    step = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
    axis = Axis(name="time", unit=TIME, start=float(seconds[0] - step / 2), length=float(step * len(seconds)))
    sphere = None if domain is None or domain.sphere is None else (domain.sphere[0] + 1, domain.sphere[1] + 1)
    return gl.Domain(axes=(axis, *(space if domain is None else domain.axes)), sphere=sphere)


def radar(folder: Path) -> Film:
    data = np.load(folder / "fmi_radar_20160928.npz")
    values = ((data["raw"].astype(np.float32) - 64) / 2).clip(0)
    times = np.datetime64("2016-09-28T00:00") + np.arange(len(values)) * np.timedelta64(5, "m")
    space = tuple(Axis(name=name, unit="km", length=float(n)) for name, n in zip("yx", values.shape[1:], strict=True))
    return Film("radar", "dBZ", values, timed(None, times, space), "level", 22, 4, (1, 2, 3, 4, 5, 6), 4, (20.0, 35.0))


def era5(folder: Path) -> Film:
    archive = field_sets.era5(folder)
    domain = timed(archive.domain, archive.times)
    return Film("era5", "K", archive.values, domain, "day", 480, 6, (1, 3, 6, 12, 24), 9)


def ersst(folder: Path) -> Film:
    archive = field_sets.ersst(folder)
    domain = timed(archive.domain, archive.times)
    return Film("ersst", "K", archive.values, domain, "year", 96, 6, (1, 2, 3, 4, 5, 6), 1)


FILMS = {"radar": radar, "era5": era5, "ersst": ersst}


def methods(film: Film, chosen: Sequence[str] | None = None) -> dict[str, Encoder]:
    """By name; those that learn are fitted to the frames that teach. `chosen`: only these."""
    signal = c.Signal(axes=film.values.ndim, channels=1)
    rows: dict[str, Encoder] = {
        "persistence": Persistence(),
        "damped-persistence": DampedPersistence(c.DampedPersistence(usual=film.usual), signal),  # pyright: ignore
        "advection": Advection(),
        "advection-bilinear": Advection(kind="bilinear"),
        "linear-inverse": LinearInverse(c.LinearInverse(usual=film.usual), signal),  # pyright: ignore
    }
    rows = {name: base for name, base in rows.items() if chosen is None or name in chosen}
    for base in rows.values():
        if isinstance(base, Learned):
            base.fit(film.past())
    return rows


def rows(film: Film, models: Mapping[str, Encoder]) -> list[dict]:
    """One row for each method and lead."""
    errors = {(name, lead): [] for name in models for lead in film.leads}
    seconds = dict.fromkeys(models, 0.0)
    for samples, truth in film.windows():
        for name, model in models.items():
            begun = time.process_time()
            field = model.encode(samples)
            with torch.no_grad():
                for k, lead in enumerate(film.leads):
                    asked = film.asked(lead)
                    mean, std = field.mean_and_std(asked) if field.has_spread else (field(asked), None)
                    errors[name, lead].append((mean, std, truth[k].reshape(-1)))
            seconds[name] += time.process_time() - begun
    out, weights = [], film.weights.reshape(-1)
    for (name, lead), answers in errors.items():
        truth = np.concatenate([part[2] for part in answers]).astype(np.float64)
        known, weight = np.isfinite(truth), np.tile(weights, len(answers))
        mean = torch.cat([part[0][:, 0] for part in answers]).double().numpy()
        square = np.square(mean - truth)[known]
        row = {"film": film.name, "unit": film.unit, "model": name, "lead": lead, "windows": len(answers)}
        row["rmse"] = round(float(np.sqrt(np.average(square, weights=weight[known]))), 4)
        for threshold in film.thresholds:
            row[f"csi_{threshold:g}"] = round(success_index(mean, truth, threshold), 4)
        if answers[0][1] is not None:
            std = torch.cat([part[1][:, 0] for part in answers]).double().numpy()
            row["crps"] = round(metrics.crps(mean[known], std[known], truth[known]), 4)
            row["coverage_90"] = round(metrics.coverage(mean[known], std[known], truth[known], 0.9), 4)
        out.append(row | {"cpu_seconds_a_window": round(seconds[name] / len(answers), 3)})
    return out


def success_index(answer: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    """Critical success index of what lies above a threshold."""
    said, real = answer >= threshold, truth >= threshold
    return float((said & real).sum() / max(1, (said | real).sum()))


LEADS = {"radar": "{} min", "era5": "{} h", "ersst": "month {}"}
STEPS = {"radar": 5, "era5": 1, "ersst": 1}
BEGIN, END = "<!-- forecasts.json -->", "<!-- end -->"


def tables(report: dict) -> str:
    """Markdown: for each film its methods by lead."""
    out = []
    for film in FILMS:
        of = [row for row in report["rows"] if row["film"] == film]
        leads = sorted({row["lead"] for row in of})
        if not of:
            continue
        marks = [key for key in ("rmse", *(k for k in of[0] if k.startswith("csi"))) if key in of[0]]
        for key in marks:
            words = f"RMSE, {of[0]['unit']}" if key == "rmse" else f"CSI above {key[4:]} {of[0]['unit']}"
            head = " | ".join(LEADS[film].format(STEPS[film] * lead) for lead in leads)
            out.append(f"| {film}: {words} | {head} |\n| --- |" + " ---: |" * len(leads))
            for name in dict.fromkeys(row["model"] for row in of):
                by_lead = {row["lead"]: row.get(key) for row in of if row["model"] == name}
                cells = ["–" if (v := by_lead.get(lead)) is None else f"{v:.3f}" for lead in leads]
                out.append(f"| {name} | " + " | ".join(cells) + " |")
            out.append("")
    return "\n".join(out).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where the npz files of the films lie")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rival", type=Path, help="lines of benchmarks/rivals/pysteps_rain.py")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--films", nargs="+", choices=list(FILMS), default=list(FILMS))
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    if options.page:
        text = tables(json.loads((root / "results" / "forecasts.json").read_text(encoding="utf-8")))
        common.write_between(root / "docs" / "forecasts.md", BEGIN, END, text)
        return
    made = []
    for name in options.films:
        film = FILMS[name](options.folder)
        for row in rows(film, methods(film, options.methods)):
            print(json.dumps(row), flush=True)
            made.append(row)
    lines = options.rival.read_text(encoding="utf-8").splitlines() if options.rival else []
    for line in (line for line in lines if line.startswith("{")):  # pysteps says where its settings are
        made += rival_rows(json.loads(line))
    if options.json:
        report = {"benchmark": "forecasts", "commit": commit(), "hardware": hardware(), "rows": made}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def rival_rows(line: dict) -> list[dict]:
    """One for each lead."""
    each = [key for key, value in line.items() if isinstance(value, list)]
    facts = {"film": "radar", "unit": "dBZ", "model": line["model"]}
    return [facts | {"lead": i + 1} | {key: line[key][i] for key in each} for i in range(len(line[each[0]]))]


if __name__ == "__main__":
    main()
