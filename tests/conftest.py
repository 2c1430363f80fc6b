"""What several tests share: tiny models of every preset, woken from their zero head."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import pytest
import torch

import gridless as gl
from gridless.config import Model
from gridless.merging import build, dump, merge

PRESETS = ("mamba-ginr", "hybrid", "lainr", "lainr-large", "mlp", "trans-inr", "ipc", "scent")
LOCAL = {
    "signal": {"finest_cell": 0.25},
    "tokenizer": {"stem": {"width": 8, "blocks": 1}},
    "local": {},
    "base": {"kind": "bicubic"},
}


def tiny(name: str, diff: dict | None = None, seed: int = 0) -> gl.FieldModel:
    """A tiny model whose head is no longer zero, so that its answers depend on everything inside."""
    torch.manual_seed(seed)
    model = gl.FieldModel(build(Model, merge(dump(gl.preset(name, "tiny")), diff or {})))
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)
    return model.eval()


@pytest.fixture(params=[(name, arm) for name in PRESETS for arm in ("plain", "photo")], ids="-".join)
def model(request) -> gl.FieldModel:
    """Both presets, as they are and with base, stem and local read-out."""
    name, arm = request.param
    return tiny(name, LOCAL if arm == "photo" else None)
