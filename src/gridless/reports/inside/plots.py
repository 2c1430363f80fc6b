"""Pictures of what is measured inside a model, in the manner of `gridless.reports.plots`: values in, PNG bytes out.

Positions are in [0, 1] per axis in array order (y, x); pictures are (H W 3) floats in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from gridless.reports.inside.answers import Spectrum
from gridless.reports.inside.reading import Attention
from gridless.reports.inside.vectors import Components, Probe
from gridless.reports.plots import GREY, LINES, blank, drawn, quiet

COSINE = "PuOr_r"  # orange where vectors point the same way, purple where they point apart
HEADS = 4  # at most so many are drawn


def attention_map(
    picture: Float[np.ndarray, "H W 3"], points: Mapping[str, Float[np.ndarray, " 2"]], attention: Attention
) -> bytes:
    """Rows: the points; columns: the mean over heads, then heads. A disc's area is the latent's weight, the largest of
    a panel as large as fits. Latents beyond the picture are not drawn."""
    heads = len(attention.weights)
    names = ["mean over heads", *(f"head {h + 1}" for h in range(min(heads, HEADS)))] if heads > 1 else ["one head"]
    parts = [attention.weights.mean(0), *attention.weights[:HEADS]]
    shown = ((attention.positions >= 0) & (attention.positions <= 1)).all(1)
    figure = blank(2.1 * len(names) + 0.4, 2.15 * len(points) + 0.2)
    grid = figure.subplots(len(points), len(names), squeeze=False)
    panel = 135 / np.sqrt(attention.weights.shape[-1])  # points from latent to latent
    counts = attention.count()
    for row, (point, at) in enumerate(points.items()):
        for axes, name, weights in zip(grid[row], names, parts, strict=False):
            _picture(axes, 0.25 + 0.45 * picture.mean(-1, keepdims=True).repeat(3, -1))
            y, x = attention.positions[shown].T
            axes.scatter(x, y, s=(0.16 * panel) ** 2, color="white", alpha=0.55, linewidth=0)
            share = (weights[row] / weights[row].max())[shown]
            style = {"color": LINES[0], "edgecolor": "white", "linewidth": 0.5, "clip_on": False}
            axes.scatter(x, y, s=share * np.clip(panel, 9, 22) ** 2, **style)
            _cross(axes, at)
            axes.set_xlim(0, 1)
            axes.set_ylim(1, 0)
            if row == 0:
                axes.set_title(name, loc="left", color=GREY, fontsize=10.5)
        total = attention.weights.shape[-1]
        note = f"{point}\nreads {counts[:, row].mean():.1f} of {total}"
        grid[row, 0].set_ylabel(note, color=GREY, fontsize=9.5)
    return drawn(figure)


def token_similarity(
    similarity: Mapping[str, Float[np.ndarray, "M M"]], by_distance: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> bytes:
    """One matrix for each label, and the mean similarity against the distance of two tokens' positions."""
    figure = blank(10.5, 3.4)
    figure.set_layout_engine("constrained", wspace=0.06)
    *grid, last = figure.subplots(1, len(similarity) + 1, width_ratios=[1] * len(similarity) + [1.25])
    for axes, (label, matrix) in zip(grid, similarity.items(), strict=True):
        image = axes.imshow(matrix, cmap=COSINE, vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(label, loc="left", color=GREY, fontsize=10.5)
        axes.set_xlabel("token", color=GREY)
        quiet(axes)
        axes.grid(False)
    grid[0].set_ylabel("token", color=GREY)
    _scale(figure, image, grid, "centred cosine")
    for i, (label, (distance, mean)) in enumerate(by_distance.items()):
        colour = (GREY, LINES[0])[i % 2]
        last.plot(distance, mean, color=colour, linewidth=1.8, marker="o", markersize=3, label=label)
    last.axhline(0, color=GREY, linewidth=1, alpha=0.6)
    height = max(0.25, 1.15 * max(np.abs(mean).max() for _, mean in by_distance.values()))
    last.set_ylim(-height, height)  # else chance would look like structure
    last.set_title("similarity against distance", loc="left", color=GREY, fontsize=10.5)
    last.set_xlabel("distance of two tokens, in windows", color=GREY)
    last.legend(frameon=False, labelcolor=GREY, fontsize=9)
    quiet(last)
    return drawn(figure)


def modulation_space(
    neighbourhood: Float[np.ndarray, "N 2"], components: Components, colours: Float[np.ndarray, "N 3"], share: float
) -> bytes:
    """t-SNE, the first two principal components (points in their pixels' colours), and the variance that they add up to."""
    figure = blank(10.5, 3.7)
    figure.set_layout_engine("constrained", wspace=0.04)
    near, plane, curve = figure.subplots(1, 3)
    first = components.scores[:, :2]
    first = np.pad(first, ((0, 0), (0, 2 - first.shape[1])))
    for axes, points in ((near, neighbourhood), (plane, first)):
        axes.scatter(*points.T, s=6, c=np.clip(colours, 0, 1), edgecolor=GREY, linewidth=0.2)
        quiet(axes)
        axes.set_xticklabels([])
        axes.set_yticklabels([])
    explained = np.pad(components.explained, (0, max(0, 2 - len(components.explained))))
    near.set_title("t-SNE", loc="left", color=GREY, fontsize=10.5)
    plane.set_title("two principal components", loc="left", color=GREY, fontsize=10.5)
    plane.set_xlabel(f"first, {100 * explained[0]:.0f} % of the variance", color=GREY)
    plane.set_ylabel(f"second, {100 * explained[1]:.0f} %", color=GREY)
    needed, total = components.reaching(share), components.explained.cumsum()
    curve.plot(np.arange(1, len(total) + 1), 100 * total, color=LINES[0], linewidth=1.8)
    curve.plot([needed, needed], [0, 100 * total[needed - 1]], color=GREY, linewidth=1, linestyle="--")
    curve.plot([1, needed], [100 * share] * 2, color=GREY, linewidth=1, linestyle="--")
    curve.annotate(f"{needed} components", (needed, 8), (6, 0), textcoords="offset points", color=GREY, fontsize=9.5)
    curve.set_xscale("log")
    curve.set_xticks(ticks := [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n <= max(2, len(total))])
    curve.set_xticklabels(map(str, ticks))
    curve.minorticks_off()
    curve.set_ylim(0, 103)
    curve.set_title("variance explained, %", loc="left", color=GREY, fontsize=10.5)
    curve.set_xlabel("components", color=GREY)
    quiet(curve)
    return drawn(figure)


def component_maps(pictures: Mapping[str, Float[np.ndarray, "H W 3"]], maps: Sequence[np.ndarray]) -> bytes:
    """Above the pictures, below their maps of three components (H W 3), in [0, 1]."""
    figure = blank(2.6 * len(pictures) + 0.3, 5.3)
    grid = figure.subplots(2, len(pictures), squeeze=False)
    for column, ((name, picture), values) in enumerate(zip(pictures.items(), maps, strict=True)):
        _picture(grid[0, column], picture)
        _picture(grid[1, column], values)
        grid[0, column].set_title(name, loc="left", color=GREY, fontsize=10.5)
    grid[0, 0].set_ylabel("picture", color=GREY, fontsize=9.5)
    grid[1, 0].set_ylabel("components 1, 2, 3 as R, G, B", color=GREY, fontsize=9.5)
    return drawn(figure)


def similar_pixels(
    picture: Float[np.ndarray, "H W 3"],
    points: Mapping[str, Float[np.ndarray, " 2"]],
    nearest: Sequence[Float[np.ndarray, "n 2"]],
    similarity: Sequence[Float[np.ndarray, "H W"]],
) -> bytes:
    """Columns: the points. Above where their nearest neighbours lie, below the similarity with every pixel."""
    figure = blank(2.9 * len(points) + 0.9, 5.5)
    grid = figure.subplots(2, len(points), squeeze=False)
    for column, ((name, at), others, values) in enumerate(zip(points.items(), nearest, similarity, strict=True)):
        above, below = grid[:, column]
        _picture(above, picture)
        y, x = np.asarray(others).T
        above.scatter(x, y, s=26, facecolor=LINES[0], edgecolor="white", linewidth=0.8)
        image = _picture(below, values, cmap=COSINE, vmin=-1, vmax=1)
        for axes in (above, below):
            _cross(axes, at)
        above.set_title(name, loc="left", color=GREY, fontsize=10.5)
    grid[0, 0].set_ylabel("nearest in modulation space", color=GREY, fontsize=9.5)
    grid[1, 0].set_ylabel("similarity of every pixel", color=GREY, fontsize=9.5)
    _scale(figure, image, list(grid.ravel()), "centred cosine")
    return drawn(figure)


def spectra(pictures: Mapping[str, Mapping[str, Spectrum]], limit: float | None = None) -> bytes:
    """One panel for each picture: power against frequency. `limit`: the highest frequency of the input, marked."""
    figure = blank(10.5, 3.5)
    grid = figure.subplots(1, len(pictures), squeeze=False, sharey=True)[0]
    styles = {"truth": (GREY, 2.4), "bicubic": (LINES[1], 1.6)}
    for axes, (name, curves) in zip(grid, pictures.items(), strict=True):
        for label, spectrum in curves.items():
            seen = (spectrum.frequency > 0) & (spectrum.frequency <= 0.5) & (spectrum.power > 0)
            colour, width = styles.get(label, (LINES[0], 1.8))
            axes.plot(spectrum.frequency[seen], spectrum.power[seen], color=colour, linewidth=width, label=label)
        if limit is not None:
            axes.axvline(limit, color=GREY, linewidth=1, linestyle="--", alpha=0.8)
        axes.set_yscale("log")
        axes.set_title(name, loc="left", color=GREY, fontsize=10.5)
        axes.set_xlabel("cycles per pixel", color=GREY)
        quiet(axes)
    grid[0].set_ylabel("power per wave", color=GREY, fontsize=9.5)
    grid[-1].legend(frameon=False, labelcolor=GREY, fontsize=9)
    return drawn(figure)


def jitter(stds: Sequence[float], curves: Mapping[str, Float[np.ndarray, "P S"]]) -> bytes:
    """PSNR against jitter, and what of it jitter changes: the mean over pictures strong, each picture faint. What is
    infinite is left out."""
    figure = blank(10.5, 3.5)
    whole, change = figure.subplots(1, 2)
    styles = {"truth": (GREY, "--"), "bicubic": (LINES[1], "-")}
    for label, values in curves.items():
        values = np.where(np.isfinite(values), values, np.nan)
        colour, dashes = styles.get(label.split(",")[0], (LINES[0], "-"))
        for axes, shown in ((whole, values), (change, values - values[:, :1])):
            for row in shown if len(shown) > 1 else ():
                axes.plot(stds, row, color=colour, linewidth=0.8, alpha=0.35, linestyle=dashes)
            style = {"color": colour, "linestyle": dashes, "marker": "o", "markersize": 3}
            axes.plot(stds, shown.mean(0), linewidth=1.8, label=label, **style)
    low, high = change.get_ylim()
    change.set_ylim(min(low, -0.5), max(high, 0.5))
    change.axhline(0, color=GREY, linewidth=1, alpha=0.6)
    for axes, title in ((whole, "PSNR where it was asked, dB"), (change, "change from the pixels' centres, dB")):
        axes.set_title(title, loc="left", color=GREY, fontsize=10.5)
        axes.set_xlabel("jitter of the asked coordinates, std in pixels", color=GREY)
        quiet(axes)
    whole.legend(frameon=False, labelcolor=GREY, fontsize=9)
    return drawn(figure)


def probe(result: Probe) -> bytes:
    """Two bars, each with its chance level as a line."""
    figure = blank(7, 1.9)
    axes = figure.subplots()
    names = ["linear probe, accuracy", f"{result.neighbours} nearest, purity"]
    values, chances = (result.accuracy, result.purity), (result.chance, result.purity_chance)
    axes.barh([1, 0], [100 * v for v in values], height=0.5, color=LINES[0])
    for y, value, chance in zip((1, 0), values, chances, strict=True):
        axes.plot([100 * chance] * 2, [y - 0.36, y + 0.36], color=GREY, linewidth=2)
        axes.text(
            100 * value + 1,
            y,
            f"{100 * value:.1f} %  (chance {100 * chance:.1f} %)",
            color=GREY,
            va="center",
            fontsize=9.5,
        )
    axes.set_yticks([1, 0], names)
    axes.set_xlim(0, max(100 * max(*values, *chances) * 1.45, 10))
    axes.set_xlabel("%", color=GREY)
    quiet(axes)
    axes.grid(False, axis="y")
    return drawn(figure)


def _picture(axes, values: np.ndarray, cmap=None, vmin=None, vmax=None):
    """A picture, pixel by pixel, in coordinates from 0 to 1, with nothing around it."""
    image = axes.imshow(
        np.clip(values, 0, 1) if values.ndim == 3 else values,
        extent=(0, 1, 1, 0), aspect=values.shape[0] / values.shape[1], interpolation="nearest",
        cmap=cmap, vmin=vmin, vmax=vmax,
    )  # fmt: skip
    quiet(axes)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    return image


def _cross(axes, at: np.ndarray) -> None:
    """Marks the asked point (y, x), dark in light, so that it shows on anything."""
    axes.plot(at[1], at[0], "+", color="black", markersize=13, markeredgewidth=3.4)
    axes.plot(at[1], at[0], "+", color="white", markersize=12, markeredgewidth=1.6)


def _scale(figure, image, axes: list, label: str) -> None:
    """A colour bar beside axes."""
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label(label, color=GREY, fontsize=9.5)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=GREY, labelcolor=GREY, labelsize=9, length=0)
