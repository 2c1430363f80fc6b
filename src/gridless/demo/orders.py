"""In what order a visitor's wishes are met.

What is shown is an answer to what the visitor has now. Whatever changes that, a drag or a file, wakes the one event that
answers; an answer to an older question never comes after the answer to a newer one, because one is worked on at a time (a
view takes all cores anyway) and the queue is first in, first out.
"""

from typing import Any

_ONE: dict[str, Any] = {
    "show_progress": "hidden", "concurrency_id": "views", "concurrency_limit": 1, "api_visibility": "private",
}  # fmt: skip
LATEST: dict[str, Any] = {**_ONE, "trigger_mode": "always_last"}
"""Of many wishes that come while one is met, the last counts: sliders."""
QUEUED: dict[str, Any] = {**_ONE, "trigger_mode": "multiple"}
"""Every wish counts: clicks and files."""
