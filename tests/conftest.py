"""What several tests share: tiny models of every preset, woken from their zero head."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import pytest
import torch

import gridless as gl
from gridless.config import Model
from gridless.config.merging import build, dump, merge

CLAIM_RECIPES = sorted(map(str, (Path(__file__).parents[1] / "benchmarks" / "claims" / "recipes").glob("*.toml")))
"""Recipes by path, which do not ship."""
PRESETS = ("mamba-ginr", "hybrid", "lainr", "lainr-large", "mlp", "trans-inr", "ipc", "scent")
VARIANTS = {
    "skip-and-widths": ("mamba-ginr", {"decoder": {"skip": True, "widths": [24, 40]}}),
    "blocks": ("mamba-ginr", {"decoder": {"block": {"depth": 1, "expansion": 2.0, "gated": True, "norm": True}}}),
    "all-tokens": ("mamba-ginr", {"encoder": {"tokens": {"read": "all"}}}),
    "patches-alone": ("lainr", {"encoder": {"tokens": {"read": "all", "count": 0}}}),
    "mean-of-all": ("mlp", {"encoder": {"tokens": {"read": "all"}}}),
    "growing-hybrid": ("hybrid", {"decoder": {"widths": [32, 48]}}),
}
"""Config paths that no preset takes: name -> preset and difference. They obey the same laws."""
LOCAL = {
    "signal": {"finest_cell": 0.25},
    "tokenizer": {"stem": {"width": 8, "blocks": 1}},
    "local": {},
    "base": {"kind": "bicubic"},
}


def tiny(name: str, diff: dict | None = None, seed: int = 0) -> gl.FieldModel:
    """A tiny model whose head is no longer zero, so that its answers depend on everything inside."""
    torch.manual_seed(seed)
    preset, variant = VARIANTS.get(name, (name, {}))
    model = gl.FieldModel(build(Model, merge(dump(gl.preset(preset, "tiny")), variant, diff or {})))
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)
    return model.eval()


@pytest.fixture(params=[(name, arm) for name in (*PRESETS, *VARIANTS) for arm in ("plain", "photo")], ids="-".join)
def model(request) -> gl.FieldModel:
    """Every system and variant, as it is and with base, stem and local read-out."""
    name, arm = request.param
    return tiny(name, LOCAL if arm == "photo" else None)
