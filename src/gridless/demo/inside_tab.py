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

    asked, shown = [path, name, view, down, across], [picture, text]
    live: dict[str, Any] = {
        "trigger_mode": "always_last", "show_progress": "minimal", "concurrency_id": "views", "concurrency_limit": 2,
        "api_visibility": "private",
    }  # fmt: skip
    for slider in (across, down):
        slider.input(refusing(look), asked, shown, **live)
    view.input(refusing(look), asked, shown, **live)
    name.input(refusing(look_anew), asked, [canvas, *shown], **live)
    canvas.select(refusing(look_there), asked, [down, across, *shown], **live)
    file.upload(receiving(opened, 4), [file, name, view, down, across], [path, canvas, *shown, file], **live)
    return refusing(look_anew), [asked, [canvas, *shown]]


def look(path: str | None, name: str, view: str, down: float, across: float) -> tuple[Any, str]:
    """A picture of the inside, and what it says."""
    inside = insides.look(name, view, insides.square(path), (down / 100, across / 100))
    image = None if inside.picture is None else Image.open(io.BytesIO(inside.picture)).convert("RGBA")
    return gr.Image(image, visible=image is not None), inside.text


def look_anew(path: str | None, name: str, view: str, down: float, across: float) -> tuple[Any, ...]:
    """As `look`, of another model, with what that sees."""
    return insides.canvas(name, insides.square(path)), *look(path, name, view, down, across)


def look_there(
    path: str | None, name: str, view: str, down: float, across: float, at: gr.SelectData
) -> tuple[Any, ...]:
    """As `look`, where the canvas was clicked."""
    height, width = insides.canvas(name, insides.square(path)).shape[:2]
    across, down = (float(np.clip(100 * n / size, 0, 100)) for n, size in zip(at.index, (width, height), strict=True))
    return round(down, 1), round(across, 1), *look(path, name, view, down, across)


def opened(path: str, name: str, view: str, down: float, across: float) -> tuple[Any, ...]:
    """Another picture, once it is known to be one."""
    return path, *look_anew(path, name, view, down, across)
