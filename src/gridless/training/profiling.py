"""Where the time of a training step goes: `gridless train RECIPE --profile` writes profile.txt into the run folder."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from gridless.files import write_text

WARM, STEPS, ROWS = 5, 10, 40


def write_profile(step: Callable[[int], object], path: str | Path) -> None:
    """Runs a few training steps under torch's profiler; a table of operations by their own time, the costliest first."""
    for number in range(WARM):
        step(number)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])
    with profile(activities=activities, acc_events=True) as trace:
        for number in range(WARM, WARM + STEPS):
            step(number)
    order = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    table = trace.key_averages().table(sort_by=order, row_limit=ROWS, max_name_column_width=60)
    write_text(path, f"{STEPS} training steps after {WARM} to warm up\n{table}\n")
