"""Simulated flows against closed forms, budgets and finer grids; their films repeat, share nothing and are kept on disk."""

import json
import sys
from dataclasses import replace
from math import pi
from pathlib import Path

import numpy as np
import pytest
import torch

from gridless.config import FlowData
from gridless.config.errors import ConfigError
from gridless.config.merging import build
from gridless.data import flows
from gridless.data.burgers import Burgers, random_velocity
from gridless.data.flows import flow_films, resolution, simulated
from gridless.data.marching import march
from gridless.data.navier_stokes import (
    NavierStokes,
    energy,
    energy_spectrum,
    enstrophy,
    forcing,
    random_vorticity,
)
from gridless.data.spectra import at_cells, mean_square, spectrum_of, wave_numbers
from gridless.training.loading import load_data

ROOT = Path(__file__).parents[1]
SMALL = FlowData(side=8, frames=3, step=0.5, count=3, val=2, test=1)


def waves(*modes, side=64, axes=2):
    """A spectrum of cos(2π k·x + φ): (k, amplitude, φ) each, kx > 0 or ky = 0 alone."""
    block = torch.zeros(1, *[17] * (axes - 1), 9, dtype=torch.complex128)
    for k, amplitude, phase in modes:
        value = complex(amplitude / 2 * np.exp(1j * phase))
        block[(0, *k)] = torch.tensor(value, dtype=torch.complex128)
        if k[-1] == 0:
            block[(0, *(-n for n in k))] = block[(0, *k)].conj()
    return spectrum_of(block, side)


def last(equation, spectrum, times, **options):
    return list(march(equation, spectrum, times, **options))[-1].spectrum


def distance(a, b):
    return float((a - b).norm() / b.norm())


def mean_product(a, b):
    """Of two fields whose modes a grid of 64 tells apart, also in their product."""
    return float((at_cells(a, 64) * at_cells(b, 64)).mean())


# --- spectra --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", (64, 32, 13))
def test_a_field_is_read_at_the_centres_of_cells_of_any_side(side):
    x = (np.arange(side) + 0.5) / side
    y = x[:, None]
    expected = 1.5 * np.cos(2 * pi * (2 * y + 3 * x) + 0.4) + np.cos(2 * pi * 5 * y) - np.cos(2 * pi * (4 * x - 3 * y))
    spectrum = waves(((2, 3), 1.5, 0.4), ((5, 0), 1, 0), ((-3, 4), -1, 0))
    np.testing.assert_allclose(at_cells(spectrum, side)[0].numpy(), expected, atol=1e-12)
    assert float(mean_square(spectrum, 2)) == pytest.approx((1.5**2 + 1 + 1) / 2, rel=1e-12)


def test_modes_that_a_film_cannot_tell_apart_are_left_out():
    coarse = at_cells(waves(((2, 3), 1, 0.4), ((1, 7), 1, 0)), 12)
    torch.testing.assert_close(coarse, at_cells(waves(((2, 3), 1, 0.4)), 12))
    with pytest.raises(ValueError, match="modes below 6, got some of 8; make it finer"):
        spectrum_of(torch.zeros(1, 9), 12)


def test_a_random_vorticity_is_that_of_its_number_and_has_its_covariance():
    together, alone = random_vorticity(range(300), 64), random_vorticity([7], 96)
    assert distance(at_cells(alone, 32), at_cells(together[7:8], 32)) < 1e-12
    ky, kx = wave_numbers(256, 2)
    square = ky.square() + kx.square()
    whole = torch.where(square > 0, 2 * 7**3 * (4 * pi**2 * square + 49) ** -2.5, 0.0).to(torch.complex128).sqrt()
    ratio = float(mean_square(together, 2).mean() / mean_square(whole, 2))
    assert abs(ratio - 1) < 0.05
    assert at_cells(together, 64).mean((1, 2)).abs().max() < 1e-14
    others = at_cells(random_vorticity([1_000_000, 2_000_000], 64), 8)[:, 0, 0]
    assert not set(at_cells(together, 8)[:, 0, 0].tolist()) & set(others.tolist())


def test_a_random_velocity_is_that_of_its_number_and_has_its_covariance():
    together = random_velocity(range(400), 64)
    assert distance(at_cells(random_velocity([7], 256), 32), at_cells(together[7:8], 32)) < 1e-12
    expected = 2 * sum(625 * (4 * pi**2 * k**2 + 25) ** -2.0 for k in range(1, 10_000))
    assert abs(float(mean_square(together, 1).mean()) / expected - 1) < 0.1


# --- Navier–Stokes --------------------------------------------------------------------------------------------------


def test_taylor_green_decays_as_its_closed_form():
    w = waves(((2, 2), 0.5, 0), ((-2, 2), 0.5, 0))  # cos(4πx) cos(4πy)
    for moment in march(NavierStokes(64, 1e-3), w, [0.0, 0.7, 2.0]):
        expected = w * np.exp(-1e-3 * 4 * pi**2 * 8 * moment.time)
        assert distance(moment.spectrum, expected) < 1e-12


def test_waves_of_one_length_do_not_move_one_another():
    w = waves(((3, 4), 1, 0.3), ((5, 0), 2, 1.0), ((-4, 3), -1.5, 0.2), ((0, 5), 1, 2.0))
    assert float(NavierStokes(64, 0).velocities(w).abs().max()) > 0.1
    assert distance(last(NavierStokes(64, 1e-3), w, [3.0]), w * np.exp(-1e-3 * 4 * pi**2 * 25 * 3)) < 1e-12


def test_a_flow_without_viscosity_keeps_energy_and_enstrophy():
    equation, w = NavierStokes(64, 0), random_vorticity([0, 1], 64)
    after = last(equation, w, [2.0])
    assert distance(after, w) > 0.1
    torch.testing.assert_close(energy(after), energy(w), rtol=1e-8, atol=0)
    torch.testing.assert_close(enstrophy(after), enstrophy(w), rtol=1e-6, atol=0)
    lost = [1 - enstrophy(last(equation, 4 * w, [1.0], courant=c)) / enstrophy(4 * w) for c in (1, 0.5)]
    assert bool((lost[0] > 12 * lost[1]).all())  # what is lost is that of steps of the fourth order


@pytest.mark.parametrize("kind", (None, "fno", "kolmogorov", "random"))
def test_energy_and_enstrophy_change_by_what_is_put_in_and_what_is_lost(kind):
    driven = None if kind is None else forcing(kind, [3])
    viscosity, drag = 1e-3, 0.0 if driven is None else driven.drag
    times = [1 + i / 32 for i in range(33)]
    square = sum(k.square() for k in wave_numbers(64, 2)) * 4 * pi**2
    sources, energies, enstrophies = [], [], []
    for moment in march(NavierStokes(64, viscosity, driven), random_vorticity([3], 64), times):
        w, psi = moment.spectrum, moment.spectrum * torch.where(square > 0, 1 / square, 0.0)
        gained = gained_twice = 0.0
        if driven is not None:
            source = spectrum_of(driven.at(torch.tensor([moment.time], dtype=torch.float64)), 64)
            gained, gained_twice = mean_product(psi, source), mean_product(w, source)
        lost = 2 * viscosity * float(enstrophy(w)) + 2 * drag * float(energy(w))
        lost_twice = viscosity * float(mean_square(w * square.sqrt(), 2)) + 2 * drag * float(enstrophy(w))
        sources.append((gained - lost, gained_twice - lost_twice))
        energies.append(float(energy(w)))
        enstrophies.append(float(enstrophy(w)))
    simpson = np.array([1, *[4, 2] * 15, 4, 1]) / 96
    for number, budget in enumerate((energies, enstrophies)):
        change = budget[-1] - budget[0]
        assert abs(change) > 1e-3 * budget[0]
        assert change == pytest.approx(float(simpson @ np.array(sources)[:, number]), rel=1e-5)


def test_the_forcings_are_what_they_say():
    x = (np.arange(32) + 0.5) / 32
    y, time = x[:, None], torch.zeros(1, dtype=torch.float64)

    def values(driven, seconds=0.0):
        return at_cells(spectrum_of(driven.at(time + seconds), 64), 32)

    diagonal = 2 * pi * (x + y)
    np.testing.assert_allclose(
        values(forcing("fno", [0]))[0].numpy(), 0.1 * (np.sin(diagonal) + np.cos(diagonal)), atol=1e-13
    )
    shear = np.broadcast_to(0.5 * np.cos(8 * pi * y), (32, 32))
    np.testing.assert_allclose(values(forcing("kolmogorov", [0]))[0].numpy(), shear, atol=1e-13)
    stirred = values(forcing("random", range(200)))
    assert float(stirred.square().mean().sqrt()) == pytest.approx(0.2, rel=0.05)
    torch.testing.assert_close(values(forcing("random", [9]), 5.0)[0], values(forcing("random", range(10)), 5.0)[9])
    assert distance(values(forcing("random", [9]), 5.0), stirred[9:10]) > 0.3
    turned = spectrum_of(forcing("random", [4]).at(time + 3), 64)  # still the modes of a real field
    torch.testing.assert_close(turned[:, 1:5, 0], turned[:, -4:, 0].flip(1).conj())
    with pytest.raises(ValueError, match="no forcing 'wind'; there are fno, kolmogorov, random"):
        forcing("wind", [0])


@pytest.mark.parametrize("kind", ("fno", "random"))
def test_the_spectrum_falls_and_nothing_piles_up_at_its_end(kind):
    data = FlowData(viscosity=1e-4, forcing=kind)
    cells = resolution(data)
    w = last(NavierStokes(cells, 1e-4, forcing(kind, [0])), random_vorticity([0], cells), [8.0])
    shells = energy_spectrum(w)[0]
    assert float(shells.sum()) == pytest.approx(float(energy(w)), rel=1e-6)
    assert float(shells[-1]) < 1e-8 * float(shells.max())
    falling = shells[1:].unfold(0, 4, 4).sum(1)
    assert bool((falling.diff() < 0).all()), falling


@pytest.mark.parametrize("kind", (None, "fno", "random"))
def test_finer_grids_and_shorter_steps_agree(kind):
    driven = None if kind is None else forcing(kind, [5])

    def frames(cells, **options):
        equation = NavierStokes(cells, 1e-3, driven)
        return at_cells(last(equation, random_vorticity([5], cells), [4.0], **options), 32)

    usual = frames(64)
    assert distance(frames(96), usual) < 1e-6
    assert distance(frames(64, courant=0.2), usual) < 1e-5


def test_steps_are_counted_and_those_of_faster_flows_are_shorter():
    w = random_vorticity([0], 64) * torch.tensor([1.0, 40.0])[:, None, None]
    moments = list(march(NavierStokes(64, 1e-3), w, [0.0, 0.5, 1.0]))
    assert [m.time for m in moments] == [0.0, 0.5, 1.0] and moments[0].steps.tolist() == [0, 0]
    slow, fast = moments[-1].steps.tolist()
    assert slow == 10 and fast > 3 * slow
    alone = list(march(NavierStokes(64, 1e-3), w[:1], [0.0, 0.5, 1.0]))[-1]
    assert torch.equal(alone.spectrum[0], moments[-1].spectrum[0])


def test_a_flow_that_leaves_all_bounds_is_refused():
    with pytest.raises(RuntimeError, match="left all bounds after 0 s; take a finer grid or more viscosity"):
        last(NavierStokes(64, 1e-3), torch.nan * waves(((1, 1), 1, 0)), [1.0])


# --- Burgers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("viscosity", (0.02, 0.1))
def test_burgers_is_the_solution_of_cole_and_hopf(viscosity):
    n, time = 512, 0.6
    data = FlowData(equation="burgers", viscosity=viscosity)
    u = 0.8 * random_velocity([1], n)
    k = wave_numbers(n, 1)[0]
    potential = torch.fft.irfft(torch.where(k > 0, u / (2j * pi * k), 0.0), n=n, norm="forward")
    heat = torch.fft.rfft(torch.exp(-potential / (2 * viscosity)), norm="forward")
    heat = heat * torch.exp(-viscosity * 4 * pi**2 * k.square() * time)
    phi, slope = (torch.fft.irfft(c, n=n, norm="forward") for c in (heat, 2j * pi * k * heat))
    expected = at_cells(torch.fft.rfft(-2 * viscosity * slope / phi, norm="forward"), 64)
    cells = resolution(data)
    equation, beginning = Burgers(cells, viscosity), 0.8 * random_velocity([1], cells)
    usual, shorter = (at_cells(last(equation, beginning, [time], courant=c), 64) for c in (1, 0.25))
    assert distance(at_cells(u, 64), expected) > 0.3
    assert distance(usual, expected) < 1e-5 and distance(shorter, expected) < 1e-6


# --- films ----------------------------------------------------------------------------------------------------------


def test_films_are_signals_over_time_and_a_square_whose_ends_join():
    one = flow_films(SMALL, "train")[0]
    assert one.values.shape == (3, 8, 8, 1) and one.values.dtype == np.float32 and one.name == "navier-stokes-0"
    assert one.domain is not None and one.domain.names == ("time", "y", "x") and one.domain.joins == (False, True, True)
    centres = one.domain.to_user(torch.tensor([[0.5 / 3, 0.5 / 8, 0.5 / 8], [2.5 / 3, 0.5, 0.5]]).double())
    np.testing.assert_allclose(centres["time"], [0, 1.0], atol=1e-7)
    np.testing.assert_allclose(centres["y"], [0.0625, 0.5])
    np.testing.assert_allclose(one.values[0, ..., 0], at_cells(random_vorticity([0], 64), 8)[0].numpy(), rtol=1e-5)
    line = flow_films(FlowData(equation="burgers", viscosity=0.05, side=16, frames=2, count=1), "train")[0]
    assert line.values.shape == (2, 16, 1) and line.domain.joins == (False, True)
    assert line.domain.quantities[0].name == "velocity"


@pytest.mark.parametrize(
    "data",
    (
        FlowData(viscosity=2e-4, forcing="random", side=16, frames=3, start=0.5),
        FlowData(equation="burgers", viscosity=0.01, frames=3, step=0.2),
    ),
    ids=lambda data: data.equation,
)
def test_a_trajectory_is_that_of_its_number_whatever_is_simulated_with_it(data):
    together = dict(zip(range(5), simulated(data, range(5)), strict=True))
    for numbers in ([4], [2, 0], [3, 1, 4]):
        for number, film in zip(numbers, simulated(data, numbers), strict=True):
            np.testing.assert_array_equal(film, together[number])
    later = next(simulated(replace(data, frames=1, start=data.start + 2 * data.step), [4]))
    np.testing.assert_allclose(later[0], together[4][2], rtol=1e-4, atol=1e-5)


def test_splits_share_nothing_and_are_as_long_as_asked():
    splits = {split: load_data(SMALL, split) for split in ("train", "val", "test")}
    assert {split: len(each) for split, each in splits.items()} == {"train": 3, "val": 2, "test": 1}
    every = [film for each in splits.values() for film in each]
    assert len({film.name for film in every}) == len({film.values.tobytes() for film in every}) == 6
    assert flow_films(FlowData(side=8, val=0), "val") == []
    with pytest.raises(ValueError, match="no split 'all'; there are train, val, test"):
        flow_films(SMALL, "all")


def test_what_was_simulated_is_kept_and_not_simulated_again(tmp_path, monkeypatch):
    data = FlowData(side=8, frames=3, step=0.5, count=2, path=str(tmp_path / "kept"))
    first = flow_films(data, "train")
    asked = []

    def counted(options, numbers):
        asked.extend(numbers)
        return simulated(options, numbers)

    monkeypatch.setattr(flows, "simulated", counted)
    more = FlowData(side=8, frames=3, step=0.5, count=3, path=str(tmp_path / "kept"))
    again = flow_films(more, "train")
    assert asked == [2] and all(np.array_equal(a.values, b.values) for a, b in zip(first, again[:2], strict=True))
    assert np.array_equal(again[2].values, flow_films(SMALL, "train")[2].values)
    (folder,) = (tmp_path / "kept").iterdir()
    assert folder.name.startswith("navier-stokes-0.001-free-8x3-")
    assert sorted(file.name for file in folder.iterdir()) == ["0000000.npz", "0000001.npz", "0000002.npz"]
    flow_films(FlowData(side=8, frames=2, step=0.5, count=1, path=str(tmp_path / "kept")), "train")
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_film_that_is_damaged_or_of_other_data_is_refused(tmp_path):
    data = FlowData(side=8, frames=2, step=0.5, count=2, path=str(tmp_path))
    flow_films(data, "train")
    one, two = sorted(tmp_path.rglob("*.npz"))
    whole = one.read_bytes()
    one.write_bytes(whole[:200])
    with pytest.raises(
        ValueError, match=r"0000000\.npz cannot be read as a film .*; remove it, and it is simulated again"
    ):
        flow_films(data, "train")
    one.write_bytes(two.read_bytes())
    with pytest.raises(ValueError, match=r"0000000\.npz holds number 1 of .*, expected 0 of .*; remove it"):
        flow_films(data, "train")


def test_options_are_checked():
    assert build(FlowData, {"kind": "flows", "forcing": "kolmogorov"}).forcing == "kolmogorov"
    with pytest.raises(ConfigError, match="forcing"):
        build(FlowData, {"kind": "flows", "forcing": "wind"})
    with pytest.raises(ConfigError, match="data.forcing is of navier-stokes, burgers has none; leave 'fno' out"):
        FlowData(equation="burgers", forcing="fno")
    with pytest.raises(ConfigError, match="viscosity"):
        FlowData(viscosity=0)


def test_viscosity_and_side_say_how_fine_a_simulation_is():
    sizes = [resolution(FlowData(viscosity=v)) for v in (1e-2, 1e-3, 1e-4, 1e-5)]
    assert sizes == [64, 64, 96, 256] and resolution(FlowData(side=100)) == 128
    assert [resolution(FlowData(equation="burgers", viscosity=v)) for v in (0.1, 0.01, 0.001)] == [64, 224, 2016]


def test_the_page_is_that_of_the_committed_results():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from flows import table

    report = json.loads((ROOT / "results" / "flows.json").read_text(encoding="utf-8"))
    assert table(report) in (ROOT / "docs" / "simulations.md").read_text(encoding="utf-8")
