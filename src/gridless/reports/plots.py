"""Pictures for reports: strips of one photo, error maps, training curves.

Every function takes values and returns a picture; none reads or writes a file. Strips are composed with Pillow, pixel
for pixel, because a plotting library would resample what the reader is asked to judge. Pictures have transparent paper
and mid-grey ink, so that the same file is legible on a light and on a dark page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = (118, 124, 134)  # about 4.3 : 1 on white and on near-black
GREY = tuple(channel / 255 for channel in INK)  # the same for matplotlib
LINES = ("#d67a1e", "#3f88c5", "#4c9f70", "#a06cd5", "#c8553d", "#8a8f98")
# The error scale: black, purple, red, orange, yellow (brightness grows steadily, so it also reads without colour).
_HEAT = np.array([(0, 0, 4), (65, 10, 105), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)], float)
_LIMITS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


def pixels(image: Image.Image) -> np.ndarray:
    """Image -> float64 (H W 3) in [0, 1]."""
    return np.asarray(image.convert("RGB"), dtype=np.float64) / 255


def psnr(prediction: Image.Image, truth: Image.Image) -> float:
    """PSNR in dB over the R, G, B values of two pictures of one size, no shave; infinite where they are equal."""
    mse = float(np.mean((pixels(prediction) - _like(truth, prediction)) ** 2))
    return -10 * math.log10(mse) if mse else math.inf


def error(prediction: Image.Image, truth: Image.Image) -> np.ndarray:
    """|prediction - truth|, mean over channels: float64 (H W) in [0, 1]. ValueError where the sizes differ."""
    return np.abs(pixels(prediction) - _like(truth, prediction)).mean(axis=2)


def error_map(prediction: Image.Image, truth: Image.Image, limit: float = 0.2) -> Image.Image:
    """The error as colours, RGB at truth's size: black at 0, pale yellow from `limit` (fraction of full range) up."""
    return Image.fromarray(_heat(error(prediction, truth) / limit))


def error_limit(errors: Sequence[np.ndarray]) -> float:
    """The smallest round limit that leaves at most 0.5 % of each array of errors (H W) saturated, so that maps compare."""
    high = max(float(np.quantile(e, 0.995)) for e in errors)
    return next((limit for limit in _LIMITS if limit >= high), 1.0)


def hardest_window(errors: np.ndarray, size: int) -> tuple[int, int, int, int]:
    """Box (left, top, right, bottom) of at most `size` pixels a side, on a coarse grid, where errors (H W) sum highest.

    Deterministic: the first such box in reading order. The grid steps by a quarter window and ends at the border.
    """
    height, width = errors.shape
    h, w = min(size, height), min(size, width)
    total = np.zeros((height + 1, width + 1))
    total[1:, 1:] = errors.cumsum(0).cumsum(1)
    tops = np.array([*range(0, height - h, max(1, h // 4)), height - h])
    lefts = np.array([*range(0, width - w, max(1, w // 4)), width - w])
    top, left = np.meshgrid(tops, lefts, indexing="ij")
    sums = total[top + h, left + w] - total[top, left + w] - total[top + h, left] + total[top, left]
    # Rounded: boxes that tie up to the rounding of the running sums must not be told apart by it.
    best = int(np.argmax(np.round(sums, 9)))
    y, x = int(top.flat[best]), int(left.flat[best])
    return x, y, x + w, y + h


def strip(
    low: Image.Image,
    truth: Image.Image,
    predictions: Mapping[str, Image.Image],
    title: str = "",
    reference: str = "bicubic",
    crop: int = 96,
    panel: int = 288,
    limit: float | None = None,
) -> Image.Image:
    """One photo at one scale, labels drawn in: *input | each prediction | truth*, the errors below.

    The panels show one crop of the photo, `crop` truth pixels wide, where the `reference` prediction, or else the
    first, errs most, enlarged by a whole factor to at most `panel` pixels, so that pixels can be seen. Below the input
    stands the whole photo with the crop framed; below the truth, the error scale (0 to `limit`, chosen when None).
    PSNR is of the whole photo.

    low          the low-resolution picture, enlarged here with nearest to truth's size
    predictions  name -> picture of truth's size, in the order shown
    Returns RGBA with transparent paper. ValueError without predictions or where a size differs from truth's.
    """
    if not predictions:
        raise ValueError(
            "strip: got no predictions, expected at least one {name: picture}; give e.g. {'bicubic': picture}"
        )
    errors = {name: error(picture, truth) for name, picture in predictions.items()}
    box = hardest_window(errors.get(reference, next(iter(errors.values()))), crop)
    left, top, right, bottom = box
    cut = [e[top:bottom, left:right] for e in errors.values()]
    limit = error_limit(cut) if limit is None else limit
    zoom = max(1, panel // max(right - left, bottom - top))
    width, height = (right - left) * zoom, (bottom - top) * zoom

    def enlarged(picture: Image.Image) -> Image.Image:
        return picture.convert("RGB").crop(box).resize((width, height), Image.Resampling.NEAREST)

    whole = (right - left, bottom - top) == truth.size
    columns = [("input", f"{low.width} × {low.height} px", enlarged(low.resize(truth.size, Image.Resampling.NEAREST)))]
    for name, picture in predictions.items():
        columns.append((name, f"{psnr(picture, truth):.2f} dB", enlarged(picture)))
    columns.append(("truth", f"{truth.width} × {truth.height} px", enlarged(truth)))
    below = [None if whole else _thumbnail(truth, box, width, height)]
    below += [enlarged(Image.fromarray(_heat(e / limit))) for e in errors.values()]
    below.append(_legend(width, limit, "" if whole else f"crop at columns {left}–{right - 1}, rows {top}–{bottom - 1}"))

    gap, head, names = 12, 40 if title else 0, 30
    paper = Image.new("RGBA", (len(columns) * (width + gap) - gap, head + names + 2 * height + gap), (*INK, 0))
    draw = ImageDraw.Draw(paper)
    if title:
        write_line(draw, (0, 4), title, 20, paper.width, bold=True)
    for i, ((name, note, picture), under) in enumerate(zip(columns, below, strict=True)):
        x = i * (width + gap)
        room = width - write_line(draw, (x + width, head + 6), note, 15, width, right=True) - 10
        write_line(draw, (x, head + 5), name, 16, room, bold=True)
        paper.paste(picture, (x, head + names))
        if under is not None:
            paper.paste(under, (x, head + names + height + gap))
    return paper


def training_curve(metrics: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes | None:
    """PNG bytes of loss against steps (log where every loss is positive) and, where there is one, the validation gain.

    metrics  label -> lines of metrics.jsonl, {"step": int, "loss": float, ...} or {"step": int, "val_...": float}
    Returns None where no line has a finite loss. The faint line is the loss as logged, the strong one its running mean.
    """
    try:
        from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
    except ImportError as missing:
        raise ImportError(f"a training curve needs matplotlib ({missing}); pip install 'gridless[eval]'") from missing

    losses = {label: _series(lines, "loss") for label, lines in metrics.items()}
    losses = {label: series for label, series in losses.items() if len(series)}
    if not losses:
        return None
    keys = list(
        dict.fromkeys(key for lines in metrics.values() for line in lines for key in line if key.startswith("val_"))
    )
    gains = [key for key in keys if "gain" in key]
    keys = gains or keys[:1]

    figure = blank(10.5 if keys else 7, 3.4)
    axes = figure.subplots(1, 2 if keys else 1, squeeze=False)[0]
    grey = GREY
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    positive = all((series[:, 1] > 0).all() for series in losses.values())
    shown = {}  # key -> its first line, for the legend
    for i, (label, series) in enumerate(losses.items()):
        colour = LINES[i % len(LINES)]
        axes[0].plot(*series.T, color=colour, linewidth=0.7, alpha=0.3)
        axes[0].plot(
            series[:, 0], _smooth(series[:, 1], positive), color=colour, linewidth=1.8, label=_shorten(label, 40)
        )
        for j, key in enumerate(keys):
            points = _series(metrics[label], key).T
            colour = LINES[(i if len(losses) > 1 else j) % len(LINES)]
            style = {"color": colour, "linestyle": ("-", "--", ":", "-.")[j % 4], "linewidth": 1.6}
            if points.size:
                shown.setdefault(key, *axes[1].plot(*points, **style, marker="o", markersize=3))
    axes[0].set_title("training loss" + (", log scale" if positive else ""), loc="left", color=grey, fontsize=10.5)
    if positive:
        axes[0].set_yscale("log")
        axes[0].yaxis.set_major_formatter(plain)
        axes[0].yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes[0].yaxis.set_minor_formatter(plain if _decades(losses.values()) < 3 else NullFormatter())
    if keys:
        name = "validation gain over the baseline, dB" if gains else keys[0].replace("_", " ")
        axes[1].set_title(name, loc="left", color=grey, fontsize=10.5)
        if gains:
            axes[1].axhline(0, color=grey, linewidth=1, alpha=0.6)
    if len(shown) > 1:
        names = [re.sub("^val_(gain_)?(x(?=[0-9]))?", lambda m: "×" if m[2] else "", key) for key in shown]
        axes[1].legend(shown.values(), names, frameon=False, labelcolor=grey, fontsize=9)
    for ax in axes:
        ax.set_xlabel("steps", color=grey)
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        quiet(ax)
    if len(losses) > 1:
        axes[0].legend(frameon=False, labelcolor=grey, fontsize=9)
    return drawn(figure)


def blank(width: float, height: float) -> Figure:
    """An empty matplotlib figure, inches; without pyplot, so that no window system and no state is involved."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise ImportError(f"a figure needs matplotlib ({missing}); pip install 'gridless[eval]'") from missing
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: Axes) -> None:
    """Axes as all figures here have them: a faint grid, grey numbers, no frame, no paper."""
    axes.patch.set_alpha(0)
    axes.grid(color=GREY, alpha=0.18, linewidth=0.7)
    axes.tick_params(which="both", colors=GREY, labelcolor=GREY, labelsize=9, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def drawn(figure: Figure) -> bytes:
    """PNG bytes on transparent paper."""
    out = io.BytesIO()
    figure.savefig(out, format="png", transparent=True)
    return out.getvalue()


def png(image: Image.Image) -> bytes:
    """PNG bytes of a picture, as small as Pillow makes them."""
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()


def _like(truth: Image.Image, prediction: Image.Image) -> np.ndarray:
    if prediction.size != truth.size:
        raise ValueError(
            f"got a prediction of {prediction.width} x {prediction.height} px for a truth of {truth.width} x "
            f"{truth.height} px; expected one size: ask the field for the truth's size"
        )
    return pixels(truth)


def _heat(values: np.ndarray) -> np.ndarray:
    """values (H W), 0 ... 1 and clipped -> uint8 (H W 3)."""
    at = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(values, at, channel) for channel in _HEAT.T], axis=-1).round().astype(np.uint8)


def _thumbnail(truth: Image.Image, box: tuple[int, int, int, int], width: int, height: int) -> Image.Image:
    """The whole photo inside width x height, with the box framed in a light line between two dark ones."""
    ratio = min(width / truth.width, height / truth.height)
    size = max(1, round(truth.width * ratio)), max(1, round(truth.height * ratio))
    picture = truth.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = (round(v * ratio) for v in box)
    for grow, colour in ((1, "black"), (0, "white"), (-1, "white"), (-2, "black")):
        draw.rectangle((left - grow, top - grow, right - 1 + grow, bottom - 1 + grow), outline=colour)
    return picture


def _legend(width: int, limit: float, note: str) -> Image.Image:
    """The error scale, RGBA: a colour bar from 0 to limit and what it measures."""
    legend = Image.new("RGBA", (width, 96), (*INK, 0))
    bar = Image.fromarray(np.repeat(_heat(np.linspace(0, 1, width)[None]), 14, axis=0))
    legend.paste(bar, (0, 0))
    draw = ImageDraw.Draw(legend)
    write_line(draw, (0, 19), "0", 14, width)
    write_line(draw, (width, 19), f"{limit:g} and more", 14, width - 20, right=True)
    write_line(draw, (0, 45), "|prediction − truth|, full range 1", 14, width)
    write_line(draw, (0, 67), note, 14, width)
    return legend


def write_line(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    room: int,
    bold: bool = False,
    right: bool = False,
) -> int:
    """Writes one line in at most `room` pixels, the end left out where it is longer; returns the width used."""
    font, complete = _font(size, bold)
    if not complete:
        text = text.translate({ord("×"): "x", ord("−"): "-", ord("–"): "-"})
    if font.getlength(text) > room:
        while text and font.getlength(text + "…") > room:
            text = text[:-1]
        text += "…"
    length = math.ceil(font.getlength(text))
    draw.text((at[0] - length if right else at[0], at[1]), text, font=font, fill=(*INK, 255))
    return length


def _font(size: int, bold: bool) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, bool]:
    """matplotlib's font and True, or without matplotlib Pillow's own, which lacks a few signs, and False."""
    try:
        import matplotlib
    except ImportError:
        return ImageFont.load_default(size), False
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size), True


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _series(lines: Sequence[Mapping[str, float]], key: str) -> np.ndarray:
    """The finite (step, value) pairs of a key: float64 (n 2)."""
    pairs = [(line["step"], line[key]) for line in lines if key in line and "step" in line]
    series = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return series[np.isfinite(series).all(axis=1)]


def _decades(losses: Iterable[np.ndarray]) -> float:
    """The powers of ten that positive losses span."""
    values = np.concatenate([series[:, 1] for series in losses])
    return float(np.log10(values.max() / values.min()))


def _smooth(values: np.ndarray, positive: bool) -> np.ndarray:
    """Centred running mean over about a twentieth of the values (n), shorter at the ends; geometric where positive."""
    values = np.log(values) if positive else values
    half = len(values) // 40
    total = np.concatenate([[0.0], values.cumsum()])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    mean = (total[high] - total[low]) / (high - low)
    return np.exp(mean) if positive else mean
