"""What several tests share: tiny models of every preset, woken from their zero head."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.bases import Modes, fit_modes
from gridless.config import Model, Pod, Signal
from gridless.config.merging import build, dump, merge
from gridless.data.sources import signals
from gridless.data.waves import Waves, WaveSource, fixed, place

CLAIM_RECIPES = sorted(map(str, (Path(__file__).parents[1] / "benchmarks" / "claims" / "recipes").glob("*.toml")))
"""Recipes by path, which do not ship."""
PRESETS = ("mamba-ginr", "hybrid", "lainr", "lainr-large", "mlp", "trans-inr", "ipc", "scent", "conv")
PUBLISHED = {
    "encoder": {"tokens": {"init": "normal", "content": False}},
    "decoder": {
        "linear": False,
        "attention": {"rotation": False, "bias": {"kind": "none"}},
    },
}
"""What MAMBA-GINR's and LAINR's presets change of their sources, but for sizes."""
VARIANTS = {
    "skip-and-widths": ("mamba-ginr", {"decoder": {"skip": True, "widths": [24, 40]}}),
    "blocks": ("mamba-ginr", {"decoder": {"block": {"depth": 1, "expansion": 2.0, "gated": True, "norm": True}}}),
    "all-tokens": ("mamba-ginr", {"encoder": {"tokens": {"read": "all"}}}),
    "patches-alone": ("lainr", {"encoder": {"tokens": {"read": "all", "count": 0}}}),
    "mean-of-all": ("mlp", {"encoder": {"tokens": {"read": "all"}}}),
    "growing-hybrid": ("hybrid", {"decoder": {"widths": [32, 48]}}),
    "narrow": ("mamba-ginr", {"processor": {"latent": 5, "group": 4, "depth": 1}}),
    "published": ("mamba-ginr", PUBLISHED),
}
"""Config paths that no preset takes: name -> preset and difference. They obey the same laws."""
LOCAL = {
    "signal": {"finest_cell": 0.25},
    "tokenizer": {"stem": {"width": 8, "blocks": 1}},
    "local": {},
    "base": {"kind": "bicubic"},
}


def drawn(task, data, rng: np.random.Generator, side: int, batch: int, queries: int | None) -> gl.Batch:
    """A training batch of pictures that are seen at side × side."""
    return task.draw(signals(data), rng, window=(side, side), batch=batch, queries=queries)


def read(waves: Waves, coords: torch.Tensor, rng: np.random.Generator | None, noise=0.0) -> gl.Samples:
    """What sensors at `coords` say of a batch of waves: the value plus normal noise (one deviation, or one per field)."""
    values = waves(coords)
    if np.any(noise):
        sigma = np.broadcast_to(np.asarray(noise, np.float32), (len(coords),)).reshape(-1, 1, 1)
        values = values + torch.from_numpy(sigma * rng.standard_normal(values.shape, np.float32))
    return gl.Samples(values, coords=coords)


def question(family: str, split: str, fields: int, count: int, noise: float = 0.0) -> tuple[Waves, gl.Samples]:
    """Fixed fields of a family, and readings of them at random places."""
    waves, rng = fixed(family, split, fields), np.random.default_rng((count, round(1000 * noise)))
    return waves, read(waves, place(rng, fields, count), rng, noise)


def tiny(name: str, diff: dict | None = None, seed: int = 0) -> gl.FieldModel:
    """A tiny model whose head is no longer zero, so that its answers depend on everything inside."""
    torch.manual_seed(seed)
    preset, variant = VARIANTS.get(name, (name, {}))
    model = gl.FieldModel(build(Model, merge(dump(gl.preset(preset, "tiny")), variant, diff or {})))
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)
    return model.eval()


def bicubic_model() -> gl.FieldModel:
    """A model that answers as its bicubic base does: it is not trained."""
    model = tiny("hybrid", LOCAL)
    model.head.linear.weight.data.zero_()
    return model


@pytest.fixture(params=[(name, arm) for name in (*PRESETS, *VARIANTS) for arm in ("plain", "photo")], ids="-".join)
def model(request) -> gl.FieldModel:
    """Every system and variant, as it is and with base, stem and local read-out."""
    name, arm = request.param
    return tiny(name, LOCAL if arm == "photo" else None)


def fitted_modes(config: Pod, source: WaveSource, fallback=None) -> Modes:
    modes = Modes(config, Signal(channels=1, mean=0.5, std=0.35), fallback)
    fit_modes(modes, source.first(2000))
    return modes
