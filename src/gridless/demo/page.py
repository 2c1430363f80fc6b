"""The whole page: a title and three tabs."""

import gradio as gr

from gridless.demo.inside_tab import inside_tab
from gridless.demo.photo_tab import photo_tab
from gridless.demo.sensors_tab import sensors_tab

OFTEN, OLD = 600, 3600  # seconds: how often files are looked through, and how old they become
FIRST = "photo"  # the tab that is seen first; others are filled when they are opened


def page() -> gr.Blocks:
    """What `serve` launches."""
    with gr.Blocks(title="gridless", analytics_enabled=False, delete_cache=(OFTEN, OLD)) as blocks:
        gr.Markdown(
            "# gridless\nMeasure anywhere, ask anywhere: samples go in, a function of coordinates comes out.",
            elem_id="title",
        )
        with gr.Tabs():
            for title, name, tab in (
                ("Photo", "photo", photo_tab),
                ("Sensors", "sensors", sensors_tab),
                ("Inside", "inside", inside_tab),
            ):
                with gr.Tab(title, id=name, elem_id=f"{name}-tab") as opened:
                    fill, (inputs, outputs) = tab()
                opens = blocks.load if name == FIRST else opened.select
                opens(fill, inputs, outputs, show_progress="hidden", api_visibility="private", concurrency_id="views")
    return blocks
