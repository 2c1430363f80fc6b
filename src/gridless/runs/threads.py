"""How many threads a process computes with, and how they wait. Settled before torch is imported."""

import os


def wait_briefly() -> None:
    """Idle OpenMP threads that spin for long slow every other thread of the machine many times; threads that never spin
    pay a wake-up at each of a small model's thousands of operations a step. So: spin briefly."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compute_with(count: int) -> None:
    """OpenMP, numba and torch use `count` threads in this process."""
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(count)
    wait_briefly()
    import torch

    torch.set_num_threads(count)
