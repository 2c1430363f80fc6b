"""Parts of the user's own: a decoder of 25 lines trains, saves and loads without touching the package."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import gridless as gl
from gridless.bases.interpolation import SolvedConstant


class Ripples(nn.Module):
    """Sines of the coordinate, their phases shifted by the mean of the latents."""

    joint = False

    def __init__(self, signal, width, patch, latents, hidden=24):
        super().__init__()
        self.width = self.local_width = hidden
        self.wave = nn.Linear(signal.axes, hidden)
        nn.init.normal_(self.wave.weight, std=4.0)
        self.shift, self.scale = nn.Linear(width, hidden), nn.Linear(width, hidden)

    def prepare(self, latents):
        return latents

    def forward(self, coords, latents, local=None):
        mean = latents.x.mean(1, keepdim=True)
        waves = torch.sin(self.wave(coords) + self.shift(mean)) * self.scale(mean)
        return waves if local is None else waves + local


class Same(nn.Module):
    """An encoder that hands the tokens on."""

    def __init__(self, signal, width, positions):
        super().__init__()
        self.width = width

    def forward(self, tokens):
        return tokens, tokens.x


@dataclass(frozen=True)
class Ceiling:
    """A base: the largest value of each field."""

    name = "ceiling"

    def solve(self, samples):
        return SolvedConstant(samples.values.amax(1))

    def encode(self, samples):
        return gl.Field(samples, self.solve(samples))


def model() -> gl.FieldModel:
    torch.manual_seed(0)
    return gl.FieldModel(gl.preset("mamba-ginr", "tiny", decoder=gl.own(Ripples, hidden=32), base=gl.own(Ceiling)))


def test_an_own_decoder_and_base_train_save_and_load(tmp_path):
    pictures = [np.random.default_rng(i).random((12, 12, 3), np.float32) for i in range(2)]
    trained = model()
    samples = gl.Samples.from_grid(torch.from_numpy(pictures[0]))
    assert torch.equal(trained.eval().encode(samples)(gl.grid(2, 2)), samples.values.amax(1).expand(4, -1))  # the base
    facts = gl.fit(trained, pictures, gl.Reconstruction(), steps=30, quiet=True)
    assert facts["steps"] == 30
    trained.save_pretrained(tmp_path)
    again = gl.FieldModel.from_pretrained(tmp_path)
    assert isinstance(again.decoder, Ripples) and again.config == trained.config
    assert torch.equal(again.encode(samples)(gl.grid(5, 5)), trained.encode(samples)(gl.grid(5, 5)))
    rows = gl.evaluate({"ripples": again, "ceiling": Ceiling()}, pictures, gl.Reconstruction())
    assert {row["model"] for row in rows} == {"ripples", "ceiling"}


def test_a_file_does_not_decide_what_is_imported(tmp_path):
    model().save_pretrained(tmp_path)
    code = "import sys, gridless as gl; gl.FieldModel.from_pretrained(sys.argv[1])"
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert run.returncode != 0 and "import test_own_parts first" in run.stderr


def test_a_part_that_could_not_be_loaded_again_is_refused():
    class Local(nn.Module):
        pass

    with pytest.raises(ValueError, match="defined inside a function; move it to a module"):
        gl.own(Local)
    wrapped = type("Ripples", (Ripples,), {"__module__": __name__, "__qualname__": "Ripples"})
    with pytest.raises(ValueError, match="Ripples is another class by now"):
        gl.own(wrapped)
    config = gl.config.Own(module="__main__", name="OfAnotherScript")
    with pytest.raises(ValueError, match="defined in a script or notebook: define OfAnotherScript there"):
        config.load()


class Unfinished(nn.Module):
    def __init__(self, signal, width, patch, latents):
        super().__init__()
        self.width = width


def test_a_part_that_lacks_what_it_must_have_is_refused():
    with pytest.raises(
        ValueError, match=r"Unfinished lacks local_width, joint, prepare, .* see Decoder in gridless.net"
    ):
        gl.FieldModel(gl.preset("hybrid", "tiny", decoder=gl.own(Unfinished)))


def test_an_own_encoder_says_how_many_latents_it_has():
    with pytest.raises(ValueError, match=r"gl.own\(Same, count=…\)"):
        gl.FieldModel(gl.preset("hybrid", "tiny", encoder=gl.own(Same)))


def test_a_formula_is_read_at_random_places_unless_it_knows_others():
    class Slope(gl.Formula):
        name, axes, channels = "slope", 2, 1

        def at(self, coords):
            return coords.sum(-1, keepdim=True)

    reading = Slope().read(np.random.default_rng(0), 5)
    assert torch.equal(reading.values, reading.coords.sum(-1, keepdim=True)) and reading.coords.unique(dim=0).shape == (
        5,
        2,
    )
    with pytest.raises(ValueError, match="slope: its sensors stand at random places, got placement 'grid'"):
        Slope().read(np.random.default_rng(0), 5, "grid")
