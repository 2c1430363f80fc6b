"""Saved models: whole, checked before they are built, and found where they lie."""

import json
import os
import random
import stat

import pytest
import torch
from conftest import LOCAL, PRESETS, tiny
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

import gridless as gl
from gridless.weights import pretrained
from gridless.weights.pretrained import load, save


@pytest.fixture
def saved(tmp_path):
    save(tiny("hybrid", LOCAL), tmp_path / "saved")
    return tmp_path / "saved"


def edit(file, change):
    table = json.loads(file.read_text(encoding="utf-8"))
    change(table)
    file.write_text(json.dumps(table), encoding="utf-8")


@pytest.mark.parametrize("preset", [*PRESETS, "sensors", "scattered", "v1", "v2"])
def test_saved_and_loaded_is_bit_equal_and_readable_by_others(preset, tmp_path):
    model = tiny(preset)
    model.trained_steps = 70
    save(model, tmp_path)
    again = load(gl.FieldModel, tmp_path)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    assert again.trained_steps == 70 and not again.training
    modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert len(modes) == 1 and not any(p.name.startswith(".") for p in tmp_path.iterdir())


@pytest.mark.parametrize("key", ["mean", "std"])
def test_a_checkpoint_without_the_statistics_of_its_signal_is_refused(saved, key):
    edit(saved / "config.json", lambda table: table["signal"].pop(key))
    with pytest.raises(ValueError, match=rf"config.json does not say signal.{key}"):
        load(gl.FieldModel, saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["encoder"].update(depth=4_000), "has more parts, or larger ones"),
        (lambda t: t["encoder"].update(depth=1_000_000), "has more parts, or larger ones"),
        (lambda t: t.update(width=1_000_000), "has more parts, or larger ones"),
        (lambda t: t.update(width=10**12), "width is 1000000000000, and no tensor of model.safetensors is so large"),
        (lambda t: t["encoder"]["tokens"].update(count=20_000), "has more parts, or larger ones"),
        (lambda t: t["encoder"].update(depth=2), r"lacks encoder.blocks.1.\S+ and \d+ more|lacks encoder.blocks.1"),
        (lambda t: t["decoder"].update(skip=False), "has beside them decoder.skip"),
        (lambda t: t["tokenizer"].update(size=3), "config.json describes no model of these weights: tokenizer.size 3"),
        (lambda t: t.update(colour="red"), "config.json describes no model of these weights: .*colour'"),
    ],
)
def test_a_config_that_does_not_fit_its_weights_costs_nothing(saved, change, message):
    """Nothing large is made: not a hundredth of what the config describes."""
    edit(saved / "config.json", change)
    made = Made()
    with pytest.raises(ValueError, match=message), made:
        load(gl.FieldModel, saved)
    assert made.numbers < 3_000_000


class Made(TorchDispatchMode):
    """How many numbers were made in memory."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.device.type != "meta":
            self.numbers += out.numel()
        return out


def test_weights_say_which_tensor_is_not_finite(saved):
    tensors = load_file(saved / "model.safetensors")
    tensors["head.linear.bias"][0] = float("nan")
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(ValueError, match=r"model.safetensors: head.linear.bias holds numbers that are not finite"):
        load(gl.FieldModel, saved)
    model = tiny("hybrid")
    with torch.no_grad():
        model.head.linear.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"head.linear.weight holds numbers that are not finite in torch.float16"):
        save(model, saved, dtype=torch.float16)


def test_half_precision_is_the_models_own_type_again(tmp_path):
    save(tiny("hybrid"), tmp_path, dtype=torch.float16)
    assert load(gl.FieldModel, tmp_path).head.linear.weight.dtype == torch.float32


@pytest.mark.parametrize(
    "name",
    ["mymodel", "runs/mymodel", "./a/b", "/a/b", "~/b", "a/b/c", "-a/b", "owner/", "a b/c", "tests/nothing"],
)
def test_a_mistyped_folder_never_asks_the_hub(name, tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "hf_hub_download", lambda *a, **k: pytest.fail("asked the Hub"))
    with pytest.raises(ValueError, match="expected a folder with config.json, a name that ships, or a Hub repository"):
        load(gl.FieldModel, name)


def test_the_hub_is_asked_for_what_was_said(saved, monkeypatch):
    asked = []

    def download(name, file, **options):
        asked.append((name, file, options))
        return str(saved / file)

    monkeypatch.setattr(pretrained, "hf_hub_download", download)
    monkeypatch.setattr(pretrained, "_hub_answers", lambda: True)
    load(gl.FieldModel, "owner/model.v1", revision="v2", token="secret")
    options = {"revision": "v2", "token": "secret", "local_files_only": False}
    assert asked == [("owner/model.v1", file, options) for file in ("config.json", "model.safetensors")]


def test_without_a_network_one_line_names_the_repository_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained.constants, "HF_HUB_CACHE", str(tmp_path))

    def refuse(*_):
        raise OSError("no route")

    monkeypatch.setattr(pretrained.socket, "create_connection", refuse)
    monkeypatch.setattr(pretrained, "getproxies", dict)
    with pytest.raises(
        OSError, match="config.json of the Hub repository 'owner/nothing' could not be fetched"
    ) as caught:
        load(gl.FieldModel, "owner/nothing")
    assert "\n" not in str(caught.value)


def mutations(file, seed: int):
    """The file damaged in many ways."""
    rng, data = random.Random(seed), file.read_bytes()
    yield b""
    yield from (data[: rng.randrange(len(data))] for _ in range(4))
    for _ in range(12):
        flipped = bytearray(data)
        flipped[rng.randrange(min(len(data), 4000))] ^= 1 << rng.randrange(8)
        yield bytes(flipped)
    yield from (b"[" * 100_000, b"[1]", b"3", b"null", b'{"a": 1}', os.urandom(200))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_every_damage_is_answered_with_the_file(name, saved):
    whole, refused = (saved / name).read_bytes(), 0
    for damaged in mutations(saved / name, 0):
        (saved / name).write_bytes(damaged)
        try:
            load(gl.FieldModel, saved)
        except (ValueError, OSError) as error:
            refused += 1
            assert str(saved) in str(error) and "\n" not in str(error), str(error)
    (saved / name).write_bytes(whole)
    load(gl.FieldModel, saved)
    assert refused >= 11


def test_the_same_model_is_the_same_file_to_the_bit(tmp_path):
    model = tiny("hybrid")
    model.trained_steps = 7
    files = set()
    for number in range(8):
        model.save_pretrained(tmp_path / str(number))
        files.add((tmp_path / str(number) / "model.safetensors").read_bytes())
    assert len(files) == 1
    assert gl.FieldModel.from_pretrained(tmp_path / "0").trained_steps == 7
