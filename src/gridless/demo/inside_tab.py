"""The tab that looks into the shipped models: what a clicked place reads, position tokens, spectra."""

import io
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from gridless.data.picture_reading import READ_SUFFIXES
from gridless.demo import insides
from gridless.demo.models import NAMES
from gridless.demo.orders import LATEST, QUEUED
from gridless.demo.refusals import receiving, refusing

FIRST = "cifar10-mamba-ginr"


def inside_tab() -> tuple[Callable[..., Any], list[Any]]:
    """The tab; what is to be called when the page is opened, and what that fills in."""
    path = gr.State(None)
    gr.Markdown(
        "Choose a model and what to look at, then click a place. `cifar10-mamba-ginr` and `photo` see the middle of your "
        "picture; `sensors` an invented map of readings, `volume` a slice of an invented volume.",
        elem_classes="hint",
    )
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            name = gr.Radio(sorted(NAMES), value=FIRST, label="Model", elem_id="inside-model")
            views = [(title, view) for view, title in insides.VIEWS.items()]
            view = gr.Radio(views, value="reads", label="What to look at", elem_id="inside-view")
            canvas = gr.Image(
                label="What the model sees: click a place", interactive=False, buttons=[], format="png",
                elem_id="inside-canvas", elem_classes=["click", "pixels"], alt_text="What the model sees, sample by sample",
            )  # fmt: skip
            with gr.Row():
                across = gr.Slider(
                    0, 100, 50, step=0.5, label="Across %", buttons=[], min_width=120, elem_id="inside-across"
                )
                down = gr.Slider(0, 100, 50, step=0.5, label="Down %", buttons=[], min_width=120, elem_id="inside-down")
            file = gr.File(
                label="Another picture (up to 20 MB)", file_types=list(READ_SUFFIXES), type="filepath", height=110,
                elem_id="inside-file", elem_classes="drop",
            )  # fmt: skip
        with gr.Column(scale=3, min_width=280):
            picture = gr.Image(
                label="Inside", interactive=False, buttons=["fullscreen"], format="png", image_mode="RGBA",
                elem_id="inside-picture", alt_text="What was measured inside of the model; the text below explains it",
            )  # fmt: skip
            text = gr.Markdown(elem_classes="status", elem_id="inside-text")

    file.upload(receiving(opened, 1), file, [path, file], **{**QUEUED, "show_progress": "minimal"})
    canvas.select(refusing(pointed), [path, name], [down, across], **QUEUED)
    seen, asked = [path, name], [path, name, view, down, across]
    gr.on([part.change for part in seen], refusing(canvas_of), seen, canvas, **LATEST)
    gr.on([part.change for part in asked], refusing(look), asked, [picture, text], **LATEST)
    return refusing(first), [asked, [canvas, picture, text]]


def look(path: str | None, name: str, view: str, down: float, across: float) -> tuple[Any, str]:
    """A picture of the inside, and what it says."""
    inside = insides.look(name, view, insides.square(path), (down / 100, across / 100))
    image = None if inside.picture is None else Image.open(io.BytesIO(inside.picture)).convert("RGBA")
    return gr.Image(image, visible=image is not None), inside.text


def canvas_of(path: str | None, name: str) -> Any:
    """What the model sees of the picture, or of its invented data."""
    return insides.canvas(name, insides.square(path))


def first(path: str | None, name: str, view: str, down: float, across: float) -> tuple[Any, ...]:
    """All that is shown, when the tab is opened."""
    return canvas_of(path, name), *look(path, name, view, down, across)


def pointed(path: str | None, name: str, at: gr.SelectData) -> tuple[float, float]:
    """Where the canvas was clicked, down and across in percent."""
    height, width = canvas_of(path, name).shape[:2]
    across, down = (float(np.clip(100 * n / size, 0, 100)) for n, size in zip(at.index, (width, height), strict=True))
    return round(down, 1), round(across, 1)


def opened(path: str) -> str:
    """Another picture, once it is known to be one."""
    insides.square(path)
    return path
