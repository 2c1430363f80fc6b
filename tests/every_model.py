"""Every model that a preset can make, tiny and woken from its zero head, and samples that it takes."""

from dataclasses import dataclass
from functools import cache

import torch
from conftest import LOCAL, PRESETS, VARIANTS, tiny

import gridless as gl
from gridless.bases import Modes, fit_modes
from gridless.config import Model
from gridless.config.merging import build, dump, merge
from gridless.data.waves import WaveSource

TOKENS, ALL = {"count": 6, "std": 0.5, "read": "tokens"}, {"count": 0, "read": "all"}
SSM = {"state": 4, "gap": 0.1}
NO_WAVES = {"base": {"waves": 0}}
"""These readings are of a wave: a base that finds it leaves a network nothing to say."""
POD = {"kind": "pod", "modes": 20, "degree": 10}
FILM = {"signal": {"axes": 2}}
"""Time is the first axis."""
FLOW = {"kind": "flow", "steps": 3, "samples": 3, "depth": 1, "heads": 2}

GRIDS = {
    f"{name}-{arm}": (name, diff) for name in (*PRESETS, *VARIANTS) for arm, diff in (("plain", {}), ("photo", LOCAL))
}
POINTS = {
    "sensors": ("sensors", NO_WAVES),
    "sensors-pod": ("sensors", {"base": POD, "tokenizer": {"base": False}}),
    "scattered": ("scattered", {}),
    "sensors-precision": ("scattered", {"head": {"combine": "precision"}}),
    "sensors-point": ("sensors", merge(NO_WAVES, {"head": {"kind": "point"}})),
    "sensors-alone": ("scattered", {"base": {"kind": "none"}}),
    "sensors-perceiver": (
        "scattered",
        {"encoder": {"kind": "perceiver", "count": 8, "widths": [32], "head_width": 16}},
    ),
    "sensors-mamba": (
        "scattered",
        {"encoder": {"kind": "mamba", "depth": 1, "order": "hilbert", "ssm": SSM, "tokens": TOKENS}},
    ),
    "sensors-lainr": (
        "scattered",
        {"decoder": {"kind": "lainr", "hidden": 32, "attention": {"bias": {"kind": "euclid"}}}},
    ),
    "scattered-pod": ("scattered", {"base": POD}),
    "sensors-pod-precision": ("scattered", {"base": POD, "head": {"combine": "precision"}}),
    "film": ("scent-time", FILM),
    "film-mamba": ("scent-time", merge(FILM, {"encoder": {"context": {"kind": "mamba", "depth": 1, "ssm": SSM}}})),
    "film-untold": ("scent-time", merge(FILM, {"film": {"target": False}, "encoder": {"context": None}})),
    "film-latent": ("scent-time", merge(FILM, {"film": {"frames": 5, "seen": 4, "unroll": "latent"}})),
    "film-thinned": ("scent-time", merge(FILM, {"film": {"readings": 9}})),
    "film-field": ("scent-time", merge(FILM, {"film": {"frames": 5, "seen": 4}, "decoder": {"calibration": None}})),
    "films": ("films", FILM),
    "films-fewer": ("films", merge(FILM, {"encoder": {"count": 5}, "film": {"frames": 5, "seen": 4}})),
    "sensors-flow": ("scattered", {"encoder": {"tokens": TOKENS}, "head": FLOW}),
    "sensors-flow-alone": ("scattered", {"encoder": {"tokens": TOKENS}, "head": FLOW, "base": {"kind": "none"}}),
}
JOINT = {
    "v1": ("v1", {}),
    "v2": ("v2", {}),
    "film-calibrated": ("scent-time", merge(FILM, {"decoder": {"calibration": {"kind": "queries"}}})),
}
"""Their answers depend on the other questions of a call."""
ARMS = (*GRIDS, *POINTS, *JOINT)
SIZES = {"window": (8, 8), "mosaic": (17, 12)}
ASKED = [(name, size) for name in ARMS for size in SIZES if name in GRIDS or size == "window"]
"""Readings have no mosaic."""


@dataclass(frozen=True)
class Arm:
    """A model of a preset and a difference, on a grid or at points."""

    name: str

    @property
    def parts(self) -> tuple[str, dict]:
        return (GRIDS | POINTS | JOINT)[self.name]

    @property
    def grid(self) -> bool:
        return self.name in GRIDS

    def fresh(self, diff: dict | None = None) -> gl.FieldModel:
        """A model of one's own, to train or change."""
        preset, own = self.parts
        model = tiny(preset, merge(own, diff or {}))
        if model.head.has_spread and hasattr(model.head, "spread"):
            torch.nn.init.normal_(model.head.spread[-1].weight, std=0.1)
        return fitted(model)

    def untrained(self) -> gl.FieldModel:
        preset, own = self.parts
        torch.manual_seed(0)
        if preset in VARIANTS:
            preset, variant = VARIANTS[preset]
            own = merge(variant, own)
        return fitted(gl.FieldModel(build(Model, merge(dump(gl.preset(preset, "tiny")), own))).eval())

    def model(self) -> gl.FieldModel:
        """The same one for every test: to ask, not to change."""
        return _shared(self.name)

    def samples(self, size: tuple[int, int] = (8, 8), batch: int = 2, dtype=torch.float32) -> gl.Samples:
        """A grid of this size, or readings at 19 places."""
        generator = torch.Generator().manual_seed(1)
        if self.grid:
            return gl.Samples.from_grid(torch.rand(batch, *size, 3, generator=generator, dtype=dtype))
        places = torch.rand(batch, 19, 2, generator=generator, dtype=dtype)
        return gl.Samples.from_points(places, _smooth(places))


@cache
def _shared(name: str) -> gl.FieldModel:
    with torch.inference_mode(False):  # whichever test asks first
        return Arm(name).fresh()


@cache
def _modes() -> dict[str, torch.Tensor]:
    """Buffers of modes that were fitted once."""
    with torch.inference_mode(False):
        model = tiny("scattered", {"base": POD})
        fit_modes(model.base, WaveSource(("simple",)).first(200))
        return dict(model.base.named_buffers())


def fitted(model: gl.FieldModel) -> gl.FieldModel:
    """With modes, if it has such a base."""
    if isinstance(model.base, Modes):
        for name, buffer in _modes().items():
            setattr(model.base, name, buffer.clone())
    return model


def _smooth(x: torch.Tensor) -> torch.Tensor:
    """A wave of the family that the modes know."""
    return 0.5 + 0.3 * torch.sin(2 * torch.pi * (1.2 * x[..., :1] + 0.9 * x[..., 1:]))


def places(count: int = 23, batch: int = 2, dtype=torch.float32) -> torch.Tensor:
    return torch.rand(batch, count, 2, generator=torch.Generator().manual_seed(2), dtype=dtype)


def field_of(arm: Arm, size: str = "mosaic") -> gl.Field:
    return arm.model().encode(arm.samples(SIZES[size]))


def everything(field: gl.Field, coords: torch.Tensor) -> list[torch.Tensor]:
    """What a field can be asked for, as far as it knows it."""
    answer = field.answer(coords)
    out = [answer.mean] if answer.std is None else [answer.mean, answer.std]
    draws = field.solved.draws(2, 3) if field.correction is None else field.correction.draws(field.solved, 2, 3)
    if draws is not None:
        out.append(field.sample(coords, 2, seed=3))
    if field.solved.differentiable and not field.joint:
        out.append(field.gradient(coords))
    out.append(field.to_grid(shape=(5, 6)))
    return out


def assert_same(before: list[torch.Tensor], after: list[torch.Tensor]):
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a.nan_to_num(7e7), b.nan_to_num(7e7))
