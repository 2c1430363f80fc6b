"""A field is a value: it can be pickled, copied, moved, sent to a worker, and asked by threads."""

import copy
import functools
import gc
import importlib
import operator
import pickle
import pkgutil
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from types import FunctionType, ModuleType

import pytest
import torch
from every_model import ARMS, ASKED, Arm, assert_same, everything, field_of, places

import gridless as gl
from gridless.bases import KINDS, SCATTERED, Constant, Interpolation, Kriging, Scattered
from gridless.network import mosaic

BASES = {
    **{f"grid {kind}": Interpolation(kind, fill=kind == "bicubic") for kind in KINDS},
    **{kind: Scattered(kind) for kind in SCATTERED},
    "constant": Constant(None, 1),
    "kriging": Kriging(),
}
WORKERS = ("hybrid-photo", "mamba-ginr-plain", "sensors", "sensors-pod", "sensors-flow", "v2")


def assert_a_value(field: gl.Field):
    coords = places(9, len(field.samples))
    before = everything(field, coords)
    for other in (pickle.loads(pickle.dumps(field)), copy.deepcopy(field), field.to("cpu")):
        assert_same(before, everything(other, coords))
    assert_same(before, everything(field, coords))


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), ASKED)
def test_pickled_copied_or_moved_a_field_answers_bit_for_bit(name, size):
    assert_a_value(field_of(Arm(name), size))


@pytest.mark.parametrize("name", BASES)
def test_so_do_the_baselines(name):
    base = BASES[name]
    samples = Arm("hybrid-plain" if "grid" in name else "sensors").samples((7, 6))
    assert_a_value(base.encode(samples))


def test_so_does_kriging_of_many_readings(monkeypatch):
    monkeypatch.setattr("gridless.bases.kriging.WHOLE", 8)
    monkeypatch.setattr("gridless.bases.kriging.LARGEST", 30)
    for count in (20, 60):
        coords = places(count, 1)
        assert_a_value(Kriging(neighbours=8).encode(gl.Samples.from_points(coords, coords.sum(-1, keepdim=True))))


def test_a_pickled_field_answers_in_another_process():
    fields = [field_of(Arm(name)) for name in WORKERS] + [Kriging().encode(Arm("sensors").samples())]
    coords = places(9)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as workers:
        answers = list(workers.map(operator.call, fields, [coords] * len(fields)))
    for field, answer in zip(fields, answers, strict=True):
        torch.testing.assert_close(answer, field(coords), rtol=0, atol=1e-6)


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hybrid-photo", "mamba-ginr-plain", "trans-inr-photo"])
def test_four_threads_get_one_answer(name, monkeypatch):
    """Of a mosaic with more windows than are kept, so that they push one another's out."""
    monkeypatch.setattr(mosaic, "BYTES_KEPT", 1)
    monkeypatch.setattr(mosaic, "WINDOWS_AT_ONCE", 3)
    field = Arm(name).model().encode(Arm(name).samples((30, 20)))
    assert len(field.correction.reader.windows.starts[0]) * len(field.correction.reader.windows.starts[1]) > 6
    questions = [places(40)[:, torch.randperm(40, generator=torch.Generator().manual_seed(i))] for i in range(8)]
    alone = [field(coords) for coords in questions]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(field, questions * 3))
    for answer, expected in zip(together, alone * 3, strict=True):
        torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["sensors", "sensors-pod", "sensors-flow", "v2"])
def test_four_threads_get_one_answer_of_readings(name):
    field, coords = field_of(Arm(name)), places(40)
    expected = everything(field, coords)
    with ThreadPoolExecutor(4) as threads:
        for answer in threads.map(everything, [field] * 8, [coords] * 8):
            assert_same(expected, answer)


def test_no_cache_of_the_package_holds_a_tensor():
    """One that was filled in inference mode, or on one device, would be met in training, or on another."""
    for module in pkgutil.walk_packages(gl.__path__, "gridless."):
        if ".scan" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)
    with torch.inference_mode():
        for name in ARMS:
            Arm(name).model().encode(Arm(name).samples())(places(3))
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("gridless")]
    cached = {f for module in modules for f in vars(module).values() if hasattr(f, "cache_info")}
    assert cached and not [f.__name__ for f in cached if holds_a_tensor(f)]


def holds_a_tensor(cached) -> bool:
    """A value, or what is in it; not what the function itself refers to."""
    kept = [cached]
    for _ in range(5):
        inner = [x for part in kept for x in gc.get_referents(part)]
        kept = [x for x in inner if not isinstance(x, (type, FunctionType, ModuleType))]
        if any(isinstance(x, torch.Tensor) for x in kept):
            return True
    return False


def test_a_tensor_in_a_cache_is_seen():
    for wrapper in (functools.cache, functools.lru_cache(maxsize=8)):
        cached = wrapper(lambda n: gl.grid(n))
        assert not holds_a_tensor(cached)
        cached(3)
        assert holds_a_tensor(cached)
        nested = wrapper(lambda n: {"samples": gl.Samples.from_grid(torch.rand(n, n, 3))})
        nested(3)
        assert holds_a_tensor(nested)
