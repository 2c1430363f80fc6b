"""Arrays of numpy, and models."""

import io
import random
import shutil
import struct
from functools import cache
from pathlib import Path

import damage
import numpy as np
import torch
from doors.door import Case, given
from doors.pictures import pictures
from safetensors.torch import load_file, save

import gridless as gl


@cache
def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(4).random((6, 5, 3), np.float32))
    return buffer.getvalue()


def read_array(rng: random.Random) -> Case:
    data, buffer = array(), io.BytesIO()
    match rng.randrange(5):
        case 0:
            shape, kind = (
                rng.choice(
                    ("(1000000, 1000000, 3)", "(6, 5, 1)", "(-1,)", "(4611686018427387904,)", "()", "(30000, 30000, 3)")
                ),
                "<f4",
            )
            if rng.random() < 0.4:
                shape, kind = (
                    "(6, 5, 3)",
                    rng.choice(("|O", "<c8", "|V4", "<U9", "|b1", "<i8", "__import__('os')", "<M8[s]")),
                )
            head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
            head = head.ljust(-(len(head) + 11) % 64 + len(head)) + "\n"
            how, data = "npy header", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data[128:]
        case 1:
            np.save(buffer, np.array([damage._Canary()], object), allow_pickle=True)
            how, data = "npy of objects", buffer.getvalue()
        case 2:
            np.savez(buffer, a=np.zeros((3, 3, 1), np.float32))
            how, data = "npz", rng.choice((buffer.getvalue(), damage.zipped(data)))
        case _:
            how, data = damage.damaged(data, rng)
    name = given("in.npy", data)
    return Case(how, call=lambda: gl.read(name), about="gl.read")


@cache
def checkpoint(preset: str) -> dict[str, bytes]:
    torch.manual_seed(0)
    folder = Path("valid")
    if preset == "photo":
        gl.FieldModel(gl.preset("hybrid", "tiny", base={"kind": "bicubic"})).save_pretrained(folder)
    else:
        gl.FieldModel(gl.preset(preset, "tiny")).save_pretrained(folder)
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    shutil.rmtree(folder)
    return files


def _checkpoint(rng: random.Random) -> tuple[str, str]:
    files = dict(checkpoint(rng.choice(("photo", "sensors", "mamba-ginr", "lainr"))))
    chance = rng.random()
    if chance < 0.5:
        how, files["config.json"] = damage.damaged_json(files["config.json"], rng)
    elif chance < 0.65:
        how, files["model.safetensors"] = damage.damaged(files["model.safetensors"], rng)
    elif chance < 0.85:
        data = files["model.safetensors"]
        size = int.from_bytes(data[:8], "little")
        how, head = damage.damaged_json(data[8 : 8 + size], rng)
        how, files["model.safetensors"] = (
            f"safetensors header, {how}",
            len(head).to_bytes(8, "little") + head + data[8 + size :],
        )
    elif chance < 0.95:
        how, files["model.safetensors"] = _tensors(files["model.safetensors"], rng)
    else:
        how = "a file gone"
        del files[rng.choice(("config.json", "model.safetensors"))]
    Path("model").mkdir()
    for name, data in files.items():
        Path("model", name).write_bytes(data)
    return how, "model"


def _tensors(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    Path("valid.safetensors").write_bytes(data)
    tensors = load_file("valid.safetensors")
    Path("valid.safetensors").unlink()
    name = rng.choice(list(tensors))
    how = rng.choice(("a pickle", "not finite", "type", "shape", "name", "bomb"))
    match how:
        case "a pickle":
            buffer = io.BytesIO()
            torch.save({"a": damage._Canary(), **tensors}, buffer)
            return how, rng.choice((buffer.getvalue(), damage.canary()))
        case "not finite":
            tensors[name] = (
                torch.full_like(tensors[name], rng.choice((np.nan, np.inf)))
                if tensors[name].is_floating_point()
                else tensors[name] - 999
            )
        case "type":
            tensors[name] = tensors[name].to(
                rng.choice((torch.int64, torch.bool, torch.float64, torch.complex64, torch.uint8))
            )
        case "shape":
            tensors[name] = torch.zeros(rng.choice(((), (0,), (1, 1, 1, 1), (3, 5))))
        case "name":
            tensors[rng.choice(damage.TRICKS)] = tensors.pop(name)
        case "bomb":
            return how, rng.choice((damage.bomb()[: 1 << 20], damage.zipped(data)))
    return f"tensors: {how}", save(tensors)


def load_checkpoint(rng: random.Random) -> Case:
    how, name = _checkpoint(rng)
    return Case(how, call=lambda: gl.FieldModel.from_pretrained(name), about="FieldModel.from_pretrained")


def predict_checkpoint(rng: random.Random) -> Case:
    how, name = _checkpoint(rng)
    Path("good.png").write_bytes(pictures()["rgb.png"])
    return Case(how, ("predict", name, "good.png", "--scale", "1.5", "-o", "out.png"), outputs=("out.png",))
