"""Volumes: NIfTI and MGH."""

import gzip
import io
import random
import struct
from functools import cache
from pathlib import Path

import damage
import nibabel
import numpy as np
from doors.door import Case, given

import gridless as gl


@cache
def volumes() -> dict[str, bytes]:
    rng = np.random.default_rng(3)
    affine = np.array([[0, -1.0, 0, 4], [-1.0, 0, 0, 5], [0, 0, 2.5, -3], [0, 0, 0, 1]])
    whole = (1000 * rng.random((6, 7, 4))).astype(np.int16)
    scaled = nibabel.Nifti1Image(whole, affine)
    scaled.header.set_slope_inter(0.5, 3)
    kinds = {
        "in.nii": nibabel.Nifti1Image(rng.random((6, 7, 4), np.float32), affine),
        "scaled.nii": scaled,
        "two.nii": nibabel.Nifti2Image(rng.random((6, 7, 4)), affine),
        "times.nii": nibabel.Nifti1Image(rng.random((5, 4, 3, 2), np.float32), affine),
    }
    out = {name: image.to_bytes() for name, image in kinds.items()}
    mgh = nibabel.MGHImage(rng.random((5, 4, 3), np.float32), affine)
    buffer = io.BytesIO()
    mgh.to_stream(buffer)
    return out | {"in.mgh": buffer.getvalue()}


FIELDS = {
    "dim": (40, "h", 8), "datatype": (70, "h", 1), "bitpix": (72, "h", 1), "pixdim": (76, "f", 8),
    "vox_offset": (108, "f", 1), "slope": (112, "f", 2), "units": (123, "b", 1), "toffset": (136, "f", 1),
    "codes": (252, "h", 2), "quatern": (256, "f", 6), "srow": (280, "f", 12), "magic": (344, "b", 4),
    "extension": (348, "b", 4),
}  # fmt: skip
"""Of a NIfTI-1 header: where, what and how many."""


def _volume(rng: random.Random) -> tuple[str, str]:
    valid = volumes()
    which = rng.choice(list(valid))
    data, suffix = valid[which], Path(which).suffix
    if suffix == ".nii" and which != "two.nii" and rng.random() < 0.6:
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 2))):
            at, kind, count = FIELDS[rng.choice(list(FIELDS))]
            numbers = (
                (0, -1, 1, 2, 3, 5, 16, 128, 1536, 32767)
                if kind != "f"
                else (0.0, -1.0, np.nan, np.inf, 1e30, 1e-30, 352.0, 3e9)
            )
            limit = 100 if kind == "b" else None
            number = rng.choice([n for n in numbers if limit is None or -limit <= n <= limit])
            size = struct.calcsize(kind)
            struct.pack_into(kind, out, at + size * rng.randrange(count), number)
        how, data = "NIfTI fields", bytes(out)
    else:
        how, data = damage.damaged(data, rng, tuple(valid.values()))
    if rng.random() < 0.3 and suffix == ".nii":
        data, suffix = gzip.compress(data), ".nii.gz"
        match rng.randrange(6):
            case 0:
                how, data = f"{how}, gzip", damage.damaged(data, rng)[1]
            case 1:
                head = bytearray(valid["in.nii"])
                struct.pack_into(
                    "8h", head, 40, 3, *rng.choice(((2000, 2000, 250), (30_000, 30_000, 30_000))), 1, 1, 1, 1
                )
                how, data = "a bomb", gzip.compress(bytes(head[:352])) + damage.bomb()
    return how, given(f"in{suffix}", data)


def predict_volume(rng: random.Random) -> Case:
    how, name = _volume(rng)
    model, out = rng.choice(("bspline", "bspline", "volume")), rng.choice(("out.nii", "out.nii.gz"))
    match rng.randrange(4):
        case 0:
            Path("good.nii").write_bytes(volumes()["in.nii"])
            argv = ("predict", model, "good.nii", "--like", name, "-o", out)
            return Case(f"{how}, as template", argv, outputs=(out,))
        case 1:
            return Case(how, ("predict", model, name, "--spacing", "1", "1", "1", "-o", out), outputs=(out,))
    return Case(how, ("predict", model, name, "-o", out), outputs=(out,))


def read_volume(rng: random.Random) -> Case:
    how, name = _volume(rng)
    return Case(how, call=lambda: gl.read(name), about="gl.read")
