"""Forecasts in pictures: a few windows of a film at a few leads, truth above forecast above error; and as an animation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from gridless.config import Forecast
from gridless.data.durations import Duration
from gridless.data.pictures import safe_name
from gridless.data.signals import GridSignal, Signal
from gridless.data.stamps import named
from gridless.domain import TIME, Domain
from gridless.protocols import Case, Task
from gridless.reports import plots
from gridless.reports.field_maps import FAR, ground_of
from gridless.reports.panels import BELOW, GROUND, INK, MEAN, SPREAD, Ground, Panel, draw_panel, name_axes
from gridless.scoring.evaluate import Encoder, predictions

WINDOWS = 3  # are drawn, spread evenly over the split
COLUMNS = 4  # leads of a picture
SIDE, GAP, HEAD = 288, 12, 26  # pixels of an animation
SEEN_FOR, EACH_FOR = 350, 550  # milliseconds
SIGNALS = 4  # films that are looked at


@dataclass(frozen=True, eq=False)
class Moment:
    """One moment of a window, first channel: maps of the truth and of the forecast, None of frames that were seen."""

    lead: float
    title: str
    truth: Float[np.ndarray, "H W"]
    mean: Float[np.ndarray, "H W"] | None = None
    std: Float[np.ndarray, "H W"] | None = None


def picture_films(model: Encoder, data: Sequence[Signal], task: Task, folder: str | Path) -> None:
    """<window>.png and <window>.webp of a few windows of films of two axes of space with a domain."""
    if not isinstance(task, Forecast):
        return
    folder, several = Path(folder), replace(task, windows=WINDOWS, leads=None)
    films = [data[i] for i in range(min(len(data), SIGNALS))]
    films = [film for film in films if isinstance(film, GridSignal) and film.axes == 3 and film.domain is not None]
    windows: dict[str, list[Case]] = {}
    for film in films[:1]:
        for case in several.cases([film]):
            windows.setdefault(case.name, []).append(case)
    for name, cases in windows.items():
        moments = moments_of(model, [case for case in cases if float(case.tags["lead"] or 0) > 0])
        folder.mkdir(parents=True, exist_ok=True)
        file = safe_name(name.replace(" ", "-"))
        domain = cases[0].samples.domain
        assert domain is not None
        ground, unit = ground_of_frames(cases[0], domain), domain.quantities[0].unit if domain.quantities else ""
        (folder / f"{file}.png").write_bytes(frames_picture(moments, ground, unit, title_of(cases[0])))
        (folder / f"{file}.webp").write_bytes(animation(seen_moments(cases[0], task.seen) + moments, ground))


def moments_of(model: Encoder, cases: Sequence[Case]) -> list[Moment]:
    """What the model answers to the moments of one window."""
    answers = predictions(model, cases) if len({case.truth.shape for case in cases}) == 1 else []
    answers = answers or [predictions(model, [case])[0] for case in cases]
    moments = []
    for case, answer in zip(cases, answers, strict=True):
        shape = frame_shape(case)
        known = np.ones(shape, bool) if case.measured is None else case.measured.reshape(shape)
        maps = [
            None if v is None else np.where(known, v[:, 0].reshape(shape), np.nan) for v in (answer.mean, answer.std)
        ]
        truth = np.where(known, case.truth[:, 0].reshape(shape), np.nan)
        lead = float(case.tags["lead"] or 0)
        moments.append(Moment(lead, lead_text(case, lead), truth, maps[0], maps[1]))
    return moments


def seen_moments(case: Case, seen: int) -> list[Moment]:
    """The frames that were seen, as they were."""
    samples, axis = case.samples, axis_of(case)
    values = np.moveaxis(samples.on_grid()[0, ..., 0].numpy(), axis, 0)
    mask = samples.mask_on_grid()
    known = np.ones(values.shape, bool) if mask is None else np.moveaxis(mask[0].numpy(), axis, 0)
    frames = np.where(known, values, np.nan).astype(np.float64)
    return [Moment(k - seen + 1.0, lead_text(case, k - seen + 1.0), frames[k]) for k in range(seen)]


def frames_picture(moments: Sequence[Moment], ground: Ground, unit: str, title: str) -> bytes:
    """A PNG: leads side by side; truth, forecast, error and, where it is known, spread below one another. Truth and forecast
    share one range of colours, error and spread another."""
    chosen = [moments[i] for i in sorted({round(x) for x in np.linspace(0, len(moments) - 1, COLUMNS)})]
    truths = np.stack([moment.truth for moment in chosen])
    low, high = float(np.nanmin(truths)), float(np.nanmax(truths))
    wrong = [np.abs(_answer(moment) - moment.truth) for moment in chosen]
    stds = [moment.std for moment in chosen if moment.std is not None]
    far = float(np.nanquantile(np.stack([*wrong, *stds]), FAR)) or 1.0
    rows = [
        ("truth", [moment.truth for moment in chosen], MEAN, low, high),
        ("forecast", [_answer(moment) for moment in chosen], MEAN, low, high),
        ("absolute error", wrong, SPREAD, 0.0, far),
    ]
    if len(stds) == len(chosen):
        rows.append(("standard error", stds, SPREAD, 0.0, far))
    tall, wide = ground.tall, 2.9
    figure = plots.blank(0.9 + wide * len(chosen) + 0.9, 0.5 + len(rows) * (wide * tall + 0.12) + 0.4)
    figure.patch.set_facecolor("white")
    figure.suptitle(title, fontsize=12, x=0.01, ha="left", color=INK)
    grid = figure.subplots(len(rows), len(chosen), squeeze=False)
    for r, (name, maps, colours, least, most) in enumerate(rows):
        for k, (axes, values) in enumerate(zip(grid[r], maps, strict=True)):
            said = [name] if k == 0 else []
            said += [chosen[k].title] if r == 0 else []
            if name == "absolute error":
                said.append(f"RMSE {np.sqrt(np.nanmean(values**2)):.3g} {unit}".rstrip())
            head = ", ".join(said)
            drawn = draw_panel(axes, Panel(head, values, unit, colours, least, most), ground, tall)
            name_axes(axes, ground, k == 0, r == len(rows) - 1)
            if k:
                axes.set_yticklabels([])
        bar = figure.colorbar(drawn, ax=grid[r].tolist(), pad=0.01, aspect=14, shrink=0.92)
        bar.set_label(unit, color=INK, fontsize=9)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=plots.GREY, labelsize=8, length=0)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def animation(moments: Sequence[Moment], ground: Ground) -> bytes:
    """An animated WebP, moment by moment for ever: the truth and, beside it or below flat maps, the forecast, which begins
    where the seen frames end."""
    every = np.concatenate([moment.truth[np.isfinite(moment.truth)] for moment in moments])
    low, high = float(every.min()), float(every.max())
    flat = ground.tall < BELOW
    side = (2 * SIDE + GAP if flat else SIDE) / max(1.0, ground.tall)
    width, height = max(1, round(side)), max(1, round(side * ground.tall))
    step = (0, height + HEAD) if flat else (width + GAP, 0)
    pictures = []
    for moment in moments:
        paper = Image.new("RGB", (width + step[0], 2 * HEAD + height + step[1]), "white")
        draw = ImageDraw.Draw(paper)
        plots.write_line(draw, (0, 4), moment.title, 16, paper.width, bold=True)
        both = (("truth", moment.truth), ("seen", moment.truth) if moment.mean is None else ("forecast", moment.mean))
        for i, (name, values) in enumerate(both):
            x, y = i * step[0], HEAD + i * step[1]
            plots.write_line(draw, (x, y + 3), name, 15, width)
            shown = _coloured(values, low, high, ground).resize((width, height), Image.Resampling.NEAREST)
            paper.paste(shown, (x, y + HEAD))
        pictures.append(paper)
    last = 2 * EACH_FOR
    lasting = [SEEN_FOR if moment.mean is None else EACH_FOR for moment in moments[:-1]] + [last]
    file, first = BytesIO(), pictures[0]
    first.save(file, "WEBP", save_all=True, append_images=pictures[1:], duration=lasting, loop=0, quality=85, method=4)
    return file.getvalue()


def frame_shape(case: Case) -> tuple[int, ...]:
    """Of one moment: the grid without its axis of time."""
    axis = axis_of(case)
    return tuple(n for i, n in enumerate(case.samples.grid_shape) if i != axis)


def axis_of(case: Case) -> int:
    domain = case.samples.domain
    return 0 if domain is None or domain.time is None else domain.time


def title_of(case: Case) -> str:
    """What the window is a part of, and when it was seen last."""
    domain = case.samples.domain
    axis = None if domain is None else domain.axes[axis_of(case)]
    if domain is None or axis is None or axis.unit != TIME or case.coords is None:
        return case.name
    step, lead = axis.length / case.samples.grid_shape[axis_of(case)], float(case.tags["lead"] or 0)
    asked = domain.to_user(case.coords[:1].double())[axis.name][0]
    last = asked - np.timedelta64(round(lead * step * 1e3), "ms")
    return f"{case.name}, last seen {named(np.array([last.astype('datetime64[s]')]))}"


def lead_text(case: Case, lead: float) -> str:
    """How far after the last seen frame, in the unit of the domain's time."""
    domain = case.samples.domain
    axis = None if domain is None else domain.axes[axis_of(case)]
    if lead == 0:
        return "last seen frame"
    if axis is None or axis.unit not in (TIME, "s", "month"):
        return f"lead {lead:+g}".replace("-", "−")
    step = round(axis.length / case.samples.grid_shape[axis_of(case)], 3)
    text = str(Duration(abs(lead) * step, "month" if axis.unit == "month" else "s"))
    return f"{'+' if lead > 0 else '−'}{text}"


def ground_of_frames(case: Case, domain: Domain) -> Ground:
    """Where the cells of a frame lie."""
    axis = axis_of(case)
    return ground_of(frame_shape(case), replace(domain, axes=domain.axes[:axis] + domain.axes[axis + 1 :], sphere=None))


def _answer(moment: Moment) -> Float[np.ndarray, "H W"]:
    assert moment.mean is not None
    return moment.mean


def _coloured(values: Float[np.ndarray, "H W"], low: float, high: float, ground: Ground) -> Image.Image:
    """North is up, whatever the order of the rows."""
    import matplotlib

    colours = matplotlib.colormaps[MEAN].with_extremes(bad=GROUND)
    shown = np.ma.masked_invalid((values - low) / ((high - low) or 1.0))
    shown = shown[::-1] if ground.y[0] < ground.y[-1] else shown
    shown = shown[:, ::-1] if ground.x[0] > ground.x[-1] else shown
    return Image.fromarray((colours(shown)[..., :3] * 255).round().astype(np.uint8))
