"""Files that visitors take away: in folders of their own inside of the page's, gone after an hour, and with the page."""

import shutil
import tempfile
import time
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

KEPT = 3600  # seconds


def new_folder() -> Path:
    """An empty folder for one answer; those of an hour ago go."""
    root = answers()
    root.mkdir(parents=True, exist_ok=True)
    for old in root.iterdir():
        if old.stat().st_mtime < time.time() - KEPT:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=root))


def answers() -> Path:
    """Where answers lie until they are taken."""
    return Path(get_upload_folder(), "answers")


def download(name: str) -> gr.DownloadButton:
    """A button that nobody sees: a script presses it when its file is there."""
    return gr.DownloadButton("Take the file", elem_id=name, visible="hidden")
