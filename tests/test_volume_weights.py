"""The weights for scans of thick slices: by name, nearer the truth than B-splines, in any units and any order of axes."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.bases import Interpolation
from gridless.data.sources import as_signal
from gridless.nn.precision import bf16, has_bf16

nibabel = pytest.importorskip("nibabel")
SCAN = Path(nibabel.__file__).parent / "tests" / "data" / "anatomical.nii"
"""A head at 2 mm, which validated the training."""
HELD_OUT = Path("/usr/share/mricron/templates/ch2.nii.gz")
"""Of one person who was never seen: Debian's mricron-data."""


@cache
def volume() -> gl.FieldModel:
    with torch.inference_mode(False):
        return gl.FieldModel.from_pretrained("volume")


def cases(path, scales, part=None):
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    signal = as_signal(path)
    if part is not None:
        values = np.ascontiguousarray(signal.values[part])
        domain = gl.Domain.of_grid({n: np.arange(m) * 1.0 for n, m in zip("ijk", values.shape[:-1], strict=True)})
        signal = as_signal(gl.Samples.from_grid(values, axes=3, domain=domain))
    return list(gl.SuperResolution(scales=scales, slices=True, profile="gaussian").cases([signal]))


def psnr(model, case) -> float:
    answer = model.encode(case.samples).to_grid(shape=case.shape).float().numpy()
    return float(10 * np.log10(case.peak**2 / np.square(answer - case.truth).mean()))


@pytest.mark.parametrize(
    "path, part, least",
    [(SCAN, None, (0.9, 0.9, 0.6)), (HELD_OUT, (slice(40, 120), slice(60, 100), slice(30, 130)), (1.0, 1.0, 1.0))],
    ids=["validation", "held out"],
)
def test_it_is_nearer_the_truth_than_a_b_spline_at_any_factor(path, part, least):
    for case, gain in zip(cases(path, (2.5, 3, 4), part), least, strict=True):
        assert psnr(volume(), case) > psnr(Interpolation("bspline"), case) + gain, case.tags


def test_units_and_the_order_of_axes_change_nothing():
    case = cases(SCAN, (3,))[0]
    seen = case.samples.on_grid()[0]
    field = volume().encode(case.samples).to_grid(shape=case.shape)
    values, steps = (seen / 700 - 3).permute(2, 0, 1, 3).contiguous(), {"k": 6.0, "i": 2.0, "j": 2.0}
    domain = gl.Domain.of_grid(
        {n: np.arange(m) * s for (n, s), m in zip(steps.items(), values.shape[:-1], strict=True)}
    )
    turned = gl.Samples.from_grid(values, axes=3, domain=domain)
    other = volume().encode(turned).to_grid(shape=(case.shape[2], *case.shape[:2])).permute(1, 2, 0, 3)
    np.testing.assert_allclose((other + 3) * 700, field, atol=2.0)  # of 30,000


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this machine has no bf16 of its own")
def test_half_precision_costs_little():
    case = cases(SCAN, (3,))[0]
    with bf16(torch.device("cpu")):
        half = psnr(volume(), case)
    assert abs(half - psnr(volume(), case)) < 0.05


def test_a_scan_is_answered_in_slabs_without_a_seam():
    case = cases(SCAN, (2,))[0]
    field = volume().encode(case.samples)
    whole = field.to_grid(shape=case.shape)
    parts = [
        field.to_grid(shape=case.shape, part=(slice(a, b), slice(None), slice(None))) for a, b in ((0, 9), (9, 33))
    ]
    np.testing.assert_allclose(torch.cat(parts), whole, atol=0.5)  # of 30,000
