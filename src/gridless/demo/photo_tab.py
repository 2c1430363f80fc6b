"""The tab of pictures: drop one, drag the factor, look closer at a place, take the enlarged file."""

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from gridless.coords import scaled
from gridless.data.photos import photos
from gridless.data.picture_reading import READ_SUFFIXES
from gridless.demo import photos as field
from gridless.demo.files import download, new_folder
from gridless.demo.orders import LATEST, QUEUED
from gridless.demo.refusals import receiving, refusing

FACTOR, CLOSER = 3.7, 1.0
Shown = tuple[np.ndarray, tuple[np.ndarray, np.ndarray], str, Any]


def photo_tab() -> tuple[Callable[..., Any], list[Any]]:
    """The tab; what is to be called when the page is opened, and what that fills in."""
    path = gr.State(None)
    gr.Markdown(
        "Drop a picture and drag the handle: left of it bicubic, right of it the field. The field is asked at every pixel "
        "that is shown, however close you look; no bitmap is stretched.",
        elem_classes="hint",
    )
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            file = gr.File(
                label="Picture (PNG, JPEG, WebP, TIFF … up to 20 MB)", file_types=list(READ_SUFFIXES), type="filepath",
                elem_id="photo-file", elem_classes="drop",
            )  # fmt: skip
            whole = gr.Image(
                label="The picture: click where to look", interactive=False, buttons=[], format="png", elem_id="photo-whole",
                elem_classes="click", alt_text="Your picture, with a frame around the place that is shown magnified",
            )  # fmt: skip
            with gr.Row():
                across = gr.Slider(
                    0, 100, 50, step=0.5, label="Across %", buttons=[], min_width=120, elem_id="photo-across"
                )
                down = gr.Slider(0, 100, 50, step=0.5, label="Down %", buttons=[], min_width=120, elem_id="photo-down")
        with gr.Column(scale=3, min_width=300):
            pair = gr.ImageSlider(
                label="Bicubic | the field", interactive=False, format="png", buttons=["fullscreen"], elem_id="photo-pair",
                max_height=460,
            )  # fmt: skip
            handle = gr.Slider(
                0,
                100,
                50,
                step=1,
                label="Handle: bicubic left of it, the field right (%)",
                buttons=[],
                elem_id="photo-handle",
            )
            shown = gr.Markdown(elem_classes="status", elem_id="photo-shown")
            factor = gr.Slider(
                *field.FACTOR,
                FACTOR,
                step=0.1,
                label="Factor of the enlarged picture",
                buttons=[],
                elem_id="photo-factor",
            )
            closer = gr.Slider(
                1, 8, CLOSER, step=0.1, label="Look closer, times the factor", buttons=[], elem_id="photo-closer"
            )
            make = gr.Button("Download the enlarged picture", variant="primary", elem_id="photo-make")
    taken = download("photo-taken")

    place = [path, down, across]
    file.upload(receiving(opened, len(place)), file, [*place, file], **{**QUEUED, "show_progress": "minimal"})
    whole.select(refusing(pointed), path, [down, across], **QUEUED)
    handle.input(placed, handle, pair, **QUEUED)
    asked = [path, factor, closer, down, across]
    gr.on([part.change for part in asked], refusing(look), asked, [whole, pair, shown, make], **LATEST)
    made = make.click(
        refusing(enlarged), [path, factor], taken, concurrency_id="files", concurrency_limit=1, api_visibility="private",
        show_progress_on=make,
    )  # fmt: skip
    made.success(None, js="() => document.querySelector('#photo-taken').click()")
    return refusing(first), [path, place]


def look(path: str | None, factor: float, closer: float, down: float, across: float) -> Shown | Any:
    """The whole picture with a frame, bicubic and the field inside of it, a line that says what is seen, and the button."""
    if path is None:  # a slider stirred before the page had its example
        return [gr.skip()] * 4
    picture, times = field.read_picture(path), min(factor * closer, field.CLOSEST)
    before, after, view = field.before_after(picture, (down / 100, across / 100), times)
    height, width = picture.size
    rows, columns = scaled(picture.size, factor)
    samples = [round((high - low) * n) for (low, high), n in zip(view.seen, picture.size, strict=True)]
    line = (
        f"{width:,} × {height:,} pixels. Shown ×{times:.3g}: {samples[1]:,} × {samples[0]:,} of them, asked at "
        f"{after.shape[1]:,} × {after.shape[0]:,} places. The file at ×{factor:g} has {columns:,} × {rows:,}."
    )
    return field.overview(picture, view), (before, after), line, gr.Button(f"Download at ×{factor:g}")


def placed(percent: float) -> Any:
    """The pair with its handle elsewhere, for those who have no pointer."""
    return gr.ImageSlider(slider_position=percent)


def pointed(path: str | None, at: gr.SelectData) -> tuple[float, float]:
    """Where the picture was clicked, down and across in percent."""
    if path is None:
        raise ValueError("no picture yet; drop one")
    height, width = field.read_picture(path).size
    shrink = min(1.0, field.OVERVIEW / max(height, width))
    shown = (shrink * width, shrink * height)
    across, down = (float(np.clip(100 * n / size, 0, 100)) for n, size in zip(at.index, shown, strict=True))
    return round(down, 1), round(across, 1)


def opened(path: str) -> tuple[str, float, float]:
    """A visitor's picture, once it is known to be one, to be looked at in its middle."""
    field.read_picture(path)
    return path, 50, 50


def first(path: str | None) -> Any:
    """For a visitor who has nothing yet a cup of coffee, from the wheel of scikit-image; the models that ship have not
    learned from it."""
    return (str(photos("test").files[1]), 33, 42) if path is None else [gr.skip()] * 3


def enlarged(path: str | None, factor: float, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008  gradio's way
    """The enlarged picture's file."""
    if path is None:
        raise ValueError("no picture yet; drop one")
    picture = field.read_picture(path)
    return str(
        field.enlarge(picture, round(factor, 2), new_folder(), lambda share: progress(share, desc="asking the field"))
    )
