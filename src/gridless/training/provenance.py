"""Where a number comes from: commit, versions, hardware, backend."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import gridless
from gridless.nn.scan import backend

PACKAGES = ("torch", "numpy", "numba", "pillow")


def describe(model, seed: int) -> dict:
    """The facts of a run that its results carry."""
    return {
        "model": model.name,
        "params": model.parameter_count(),
        "latent_floats": model.latent_floats(),
        "seed": seed,
        "commit": commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "backend": backend(),
        "hardware": hardware(),
        "versions": {"gridless": gridless.__version__, "python": platform.python_version(), **_versions()},
    }


def commit() -> str | None:
    """The source tree's commit, with + if its code has changes; None outside a checkout."""
    try:
        if "src/gridless/training/provenance.py" not in _git("ls-files", "--full-name", Path(__file__).name):
            return None  # some other repository that a virtual environment happens to lie in
        changed = _git("status", "--porcelain", "-uno", "--", ":/src", ":/benchmarks")
        return _git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*args: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def hardware() -> dict:
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(pages / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> dict:
    out = {}
    for name in PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = None
    return out
