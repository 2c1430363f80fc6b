"""What happens in the shipped models: what one place reads, their position tokens, the spectra of their answers.

A model with latents reads them by attention, and its weights are drawn. Others read samples, and what a place reads is the
derivative of its answer by each sample: by how much the answer changes where the sample does.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from gridless import config as c
from gridless.coords import grid
from gridless.data.photos import photos
from gridless.data.pictures import quantise, resize_bicubic
from gridless.data.signals import Picture
from gridless.demo.models import shipped
from gridless.demo.photos import read_picture
from gridless.demo.readings import Readings, invented
from gridless.model import FieldModel
from gridless.reports.inside.exhibits import Exhibits
from gridless.reports.inside.plots import attention_map
from gridless.reports.inside.reading import attention, without_attention
from gridless.reports.inside.sections import Section, spectra_section, tokens_section
from gridless.reports.plots import GREY, blank, drawn, quiet
from gridless.samples import Samples
from gridless.tasks import task_of

SIDE = {"cifar10-mamba-ginr": 32, "photo": 64}  # samples of a picture that is looked into
VOLUME = 20, 20, 12  # samples of one: a window of its model
MAP = 48, 80  # cells of the map of readings
WHOLE = 240  # pixels of a picture whose spectrum is drawn
FACTOR = 3.0  # at which the photo model is asked for a spectrum
VIEWS = {"reads": "What one place reads", "tokens": "Position tokens", "spectra": "Spectra"}


@dataclass(frozen=True, eq=False)
class Inside:
    """A picture (PNG) and what it says; or why there is none."""

    text: str
    picture: bytes | None = None


def square(path: str | Path | None) -> UInt8[np.ndarray, "n n 3"]:
    """The middle square of a visitor's picture, at most 384 pixels wide; of one that ships in a wheel if None."""
    values = photos("test")[1].rgb() if path is None else quantise(read_picture(path).values)
    side = min(values.shape[:2])
    y, x = (values.shape[0] - side) // 2, (values.shape[1] - side) // 2
    values = np.ascontiguousarray(values[y : y + side, x : x + side])
    return resize_bicubic(values, (384, 384)) if side > 384 else values


def canvas(name: str, picture: UInt8[np.ndarray, "n n 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """What a visitor clicks into: the picture as the model sees it, pixel for pixel, or a map of readings, or a slice."""
    if name == "sensors":
        values = _shades(_grid_of_readings())
    elif name == "volume":
        values = _shades(_volume()[:, :, VOLUME[2] // 2])
    else:
        values = seen_by(name, picture)
    times = max(1, 400 // values.shape[1])
    return values.repeat(times, 0).repeat(times, 1)


def look(name: str, view: str, picture: UInt8[np.ndarray, "n n 3"], place: tuple[float, float]) -> Inside:
    """One of `VIEWS` of a model, at a `place` (down, across, in [0, 1]) of its canvas. Raises ValueError for others."""
    if view not in VIEWS:
        raise ValueError(f"no view {view!r}; expected one of {', '.join(VIEWS)}")
    model = shipped(name)
    if view == "reads":
        return (
            _attention(model, picture, place) if without_attention(model) is None else _derivative(name, picture, place)
        )
    if view == "tokens":
        return _said(tokens_section(_untrained(name), model))
    return _spectra(name, model, picture)


def seen_by(name: str, picture: UInt8[np.ndarray, "n n 3"]) -> UInt8[np.ndarray, "m m 3"]:
    """The picture on as many samples as are looked into."""
    side = min(SIDE[name], picture.shape[0])
    return resize_bicubic(picture, (side, side))


def derivative(model: FieldModel, samples: Samples, coords: Float[torch.Tensor, "1 d"]) -> Float[np.ndarray, " N"]:
    """|∂ answer / ∂ sample| at one place, summed over the channels of the sample, mean over those of the answer."""
    with torch.enable_grad():
        values = samples.values.clone().requires_grad_(True)
        answered = model.encode(replace(samples, values=values))(coords, None)
        total = torch.zeros_like(values[0, :, 0])
        for channel in range(answered.shape[-1]):
            (by,) = torch.autograd.grad(answered[0, channel], values, retain_graph=True)
            total = total + by[0].abs().sum(-1)
    return (total / answered.shape[-1]).double().numpy()


def _attention(model: FieldModel, picture: np.ndarray, place: tuple[float, float]) -> Inside:
    values = seen_by(model_name(model), picture).astype(np.float32) / 255
    samples, at = Samples.from_grid(torch.from_numpy(values)), np.array([place])
    weights = attention(model, samples, at)
    near, all_alike = weights.reach(at)
    text = (
        f"This place reads {weights.count().mean():.1f} of {weights.weights.shape[-1]} latents (exp of the entropy of its "
        f"attention, mean over heads), {near.mean():.2f} of the window's width away; all latents alike would be "
        f"{all_alike.mean():.2f} away. A disc is a latent, its area the weight with which it is read."
    )
    return Inside(text, attention_map(values, {"here": at[0]}, weights))


def _derivative(name: str, picture: np.ndarray, place: tuple[float, float]) -> Inside:
    model = shipped(name)
    if name == "sensors":
        readings = invented()
        places = dict(zip(readings.domain.names, readings.rows.T[:2], strict=True))
        samples = Samples.from_points(places, torch.from_numpy(readings.rows[:, 2:].copy()), domain=readings.domain)
        by = derivative(model, samples, torch.tensor([[1 - place[0], place[1]]], dtype=torch.float64))
        where = np.asarray(samples.positions(samples.point_coords)[0])
        here = np.asarray(samples.positions(torch.tensor([[1 - place[0], place[1]]], dtype=torch.float64))[0])
        return Inside(_read_of("reading", by, np.linalg.norm(where - here, axis=-1)), _dots(readings, by, place))
    if name == "volume":
        samples, shape = Samples.from_grid(torch.from_numpy(_volume()[..., None]), axes=3), VOLUME
        at = torch.tensor([[*place, 0.5]], dtype=torch.float64)
    else:
        values = seen_by(name, picture).astype(np.float32) / 255
        samples, shape = Samples.from_grid(torch.from_numpy(values)), values.shape[:2]
        at = torch.tensor([list(place)], dtype=torch.float64)
    by = derivative(model, samples, at)
    where = (np.asarray(grid(*shape).double()) - at.numpy()) * np.array(shape)
    heat = by.reshape(shape)
    drawing = _heat(heat if heat.ndim == 2 else heat.sum(-1), place)
    return Inside(_read_of("sample", by, np.linalg.norm(where, axis=-1), " samples"), drawing)


def _read_of(what: str, by: np.ndarray, away: np.ndarray, unit: str = " of the map's longer side") -> str:
    share = by / max(float(by.sum()), 1e-30)
    count = float(np.exp(-(share * np.log(np.clip(share, 1e-30, None))).sum()))
    return (
        f"By how much the answer at this place changes with each {what}: the exact derivative. "
        f"It reads {count:.1f} of {len(by):,} (exp of the entropy), {float((share * away).sum()):.2f}{unit} away in the "
        f"mean; the {what} that counts most has {100 * float(share.max()):.0f} % of the whole."
    )


def _spectra(name: str, model: FieldModel, picture: np.ndarray) -> Inside:
    if name not in SIDE:
        return Inside(
            "Spectra are drawn of pictures, and this model answers none: docs/sensors.md and docs/volumes.md say what its "
            "answers are worth."
        )
    whole = name == "cifar10-mamba-ginr"
    side = min(SIDE[name] if whole else WHOLE, picture.shape[0])
    values = resize_bicubic(picture, (side, side))
    task = c.Reconstruction() if whole else c.SuperResolution(scales=(FACTOR,))
    case = next(task_of(task).cases([Picture("picture", values)]))
    section = spectra_section(model, Exhibits([], [case], 1.0 if whole else FACTOR))
    return _said(section)


def _said(section: Section) -> Inside:
    if section.reason is not None:
        return Inside(section.reason)
    return Inside("\n\n".join([section.finding, *section.caption]), section.picture)


@cache
def _untrained(name: str) -> FieldModel:
    """The same model before its first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FieldModel(shipped(name).config)


def model_name(model: FieldModel) -> str:
    """By which it ships."""
    return "cifar10-mamba-ginr" if model.name == "mamba-ginr" else model.name


@cache
def _grid_of_readings() -> Float[np.ndarray, "n n"]:
    field = invented().field()
    with torch.no_grad():
        return field(grid(*MAP, dtype=torch.float64)).double().numpy().reshape(MAP)[::-1].copy()


@cache
def _volume() -> Float32[np.ndarray, "n n n"]:
    """An invented one: soft blobs."""
    at = np.asarray(grid(*VOLUME)).reshape(*VOLUME, 3)
    rng = np.random.default_rng(1)
    blobs = [(rng.random(3), 0.06 + 0.16 * rng.random(), rng.random()) for _ in range(14)]
    total = sum(height * np.exp(-(((at - middle) / width) ** 2).sum(-1)) for middle, width, height in blobs)
    return np.asarray(total, np.float32)


def _shades(values: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    from matplotlib import colormaps

    low, high = float(values.min()), float(values.max())
    return (colormaps["viridis"]((values - low) / max(high - low, 1e-30))[..., :3] * 255).astype(np.uint8)


def _heat(by: Float[np.ndarray, "H W"], place: tuple[float, float]) -> bytes:
    """Derivatives on a scale of logarithms, over four decades, with a cross where it was asked."""
    figure = blank(5.4, 4.6)
    axes = figure.subplots()
    share = np.log10(np.clip(by / max(float(by.max()), 1e-30), 1e-4, 1))
    image = axes.imshow(share, extent=(0, 1, 1, 0), cmap="magma", vmin=-4, vmax=0, interpolation="nearest")
    axes.plot(place[1], place[0], "+", color="white", markersize=12, markeredgewidth=1.6)
    _bare(axes)
    bar = figure.colorbar(image, ax=axes, ticks=[-4, -3, -2, -1, 0], fraction=0.045, pad=0.02)
    bar.ax.set_yticklabels(["1/10,000", "1/1,000", "1/100", "1/10", "largest"])
    bar.ax.tick_params(colors=GREY, labelsize=9, length=0)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return drawn(figure)


def _dots(readings: Readings, by: Float[np.ndarray, " N"], place: tuple[float, float]) -> bytes:
    figure = blank(6.2, 4.0)
    axes = figure.subplots()
    high, wide = np.abs(np.asarray(readings.domain.lengths))
    axes.imshow(_grid_of_readings(), extent=(0, wide, 0, high), cmap="Greys", alpha=0.35, interpolation="bicubic")
    y, x = readings.rows.T[:2]
    axes.scatter(x, y, s=12, color=GREY, linewidth=0)
    axes.scatter(x, y, s=900 * by / max(float(by.max()), 1e-30), color="#d67a1e", alpha=0.8, edgecolor="white")
    axes.plot(place[1] * wide, (1 - place[0]) * high, "+", color="black", markersize=14, markeredgewidth=2)
    _bare(axes)
    axes.set_xlim(0, wide)
    axes.set_ylim(0, high)
    return drawn(figure)


def _bare(axes) -> None:
    quiet(axes)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
