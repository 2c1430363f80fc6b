"""CIFAR-10's published files, python and binary, whole or in part; and the tasks that train and score on such pictures."""

import pickle

import numpy as np
import pytest
import torch
from conftest import drawn

import gridless as gl
from gridless.data import ImageError, cifar10, cifar10_labels
from gridless.data.cropping import CROPS
from gridless.data.sources import signals
from gridless.tasks import Reconstruction, SuperResolution


@pytest.fixture
def batches() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(256, size=(n, 32, 32, 3), dtype=np.uint8), rng.integers(10, size=n, dtype=np.uint8))
        for name, n in (("data_batch_1", 20), ("data_batch_2", 20), ("test_batch", 7))
    }


def planes(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


@pytest.fixture(params=["binary", "python"])
def folder(request, batches, tmp_path):
    inside = tmp_path / ("cifar-10-batches-bin" if request.param == "binary" else "cifar-10-batches-py")
    inside.mkdir()
    for name, (pixels, labels) in batches.items():
        if request.param == "binary":
            records = np.concatenate([labels[:, None], planes(pixels)], 1)
            (inside / f"{name}.bin").write_bytes(records.tobytes())
        else:
            table = {b"data": planes(pixels), b"labels": labels.tolist()}
            (inside / name).write_bytes(pickle.dumps(table, protocol=2))
    return tmp_path


def test_splits_are_those_of_the_files(folder, batches):
    train, val, test = (cifar10(folder, split) for split in ("train", "val", "test"))
    assert [len(part) for part in (train, val, test)] == [36, 4, 7]
    whole = np.concatenate([batches["data_batch_1"][0], batches["data_batch_2"][0]])
    assert np.array_equal(np.stack([p.pixels for p in train + val]), whole)
    assert np.array_equal(np.stack([p.pixels for p in test]), batches["test_batch"][0])
    assert np.array_equal(cifar10_labels(folder, "test"), batches["test_batch"][1])
    assert test[3].name == "test-00003"


def test_what_is_not_cifar10_is_refused(tmp_path, batches):
    with pytest.raises(ImageError, match=r"holds no data_batch_1 or data_batch_1.bin, expected"):
        cifar10(tmp_path)
    with pytest.raises(ValueError, match="no split 'dev'"):
        cifar10(tmp_path, "dev")
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073 * 2 - 1))
    with pytest.raises(ImageError, match=r"6145 bytes, expected a multiple of 3073"):
        cifar10(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps({b"data": [], b"labels": []}))
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073))
    with pytest.raises(ImageError, match=r"data_batch_2 holds no pictures"):
        cifar10(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(bytes([77]) + bytes(3072))
    with pytest.raises(ImageError, match=r"the class 77, CIFAR-10 has 0 … 9"):
        cifar10(tmp_path)


def test_a_pickle_runs_no_code(tmp_path):
    class Harm:
        def __reduce__(self):
            return print, ("harm",)

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({b"data": Harm(), b"labels": [1]}))
    with pytest.raises(ImageError, match=r"not a python batch of CIFAR-10 \(it asks for builtins.print\)"):
        cifar10(tmp_path)


def test_jittered_targets_are_the_picture_at_the_jittered_points():
    rng = np.random.default_rng
    picture = [rng(1).integers(256, size=(16, 16, 3), dtype=np.uint8)]
    plain = drawn(Reconstruction(turned=False), picture, rng(2), 16, 2, None)
    jittered = drawn(Reconstruction(turned=False, jitter=0.02), picture, rng(2), 16, 2, None)
    unsampled = Reconstruction(turned=False, jitter=0.02, resampled=False)
    published = drawn(unsampled, picture, rng(2), 16, 2, None)
    shift = jittered.coords - plain.coords
    assert torch.equal(published.coords, jittered.coords) and torch.equal(published.target, plain.target)
    assert 0.015 < float(shift.std()) < 0.022 and not torch.equal(shift[0], shift[1])
    base = gl.bases.Interpolation("bicubic")
    torch.testing.assert_close(jittered.target, base.encode(jittered.samples)(jittered.coords))
    assert torch.equal(base.encode(plain.samples)(plain.coords), plain.target)
    apart = drawn(Reconstruction(turned=False, offset=0.02), picture, rng(2), 16, 2, None)
    assert torch.equal(apart.latents_at, plain.coords) and not torch.equal(apart.coords, plain.coords)
    torch.testing.assert_close(apart.target, base.encode(apart.samples)(apart.coords))


def test_crops_are_seen_at_one_size():
    photo = gl.data.Photo("x", np.random.default_rng(3).integers(256, size=(70, 100, 3), dtype=np.uint8))
    cases = list(SuperResolution(scales=(2, 4), seen=16).cases(signals([photo])))
    assert {case.samples.shape for case in cases} == {(16, 16)}
    assert [case.tags["scale"] for case in cases] == [2] * CROPS + [4]  # 2 × 3 crops of 32 fit, and one of 64
    assert len({case.truth.tobytes() for case in cases}) == CROPS + 1
    assert [case.truth.shape for case in Reconstruction(seen=16).cases(signals([photo]))] == [(16, 16, 3)] * CROPS


def test_small_pictures_answered_together_are_answered_as_alone():
    photos = [
        gl.data.Photo(f"{i}", np.random.default_rng(i).integers(256, size=(8, 8, 3), dtype=np.uint8)) for i in range(5)
    ]
    torch.manual_seed(0)
    model = gl.FieldModel(gl.preset("mamba-ginr", "tiny")).eval()
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)
    together = gl.evaluate([model], photos, Reconstruction())
    alone = [row for photo in photos for row in gl.evaluate([model], [photo], Reconstruction())]
    assert [(r["image"], r["metric"]) for r in together] == [(r["image"], r["metric"]) for r in alone]
    for a, b in zip(together, alone, strict=True):
        assert abs(a["value"] - b["value"]) < 1e-3
    floats = {r["value"] for r in together if r["metric"] == "floats_per_value"}
    assert floats == {(16 * 32 + 6) / (8 * 8 * 3)}  # latents, and the picture's own level and deviation
