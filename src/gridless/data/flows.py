"""Films of simulated flows: the vorticity of a plane over (time, y, x), or the velocity of a line over (time, x).

A trajectory's number is its seed: number, equation and grid fix it, whatever else is simulated with it. Training takes the
numbers from 0 on, validation and test those from a million and two millions on.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from hashlib import blake2b
from math import ceil
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gridless.config import Axis, FlowData, Quantity
from gridless.data.burgers import Burgers, random_velocity
from gridless.data.marching import Equation, march
from gridless.data.navier_stokes import NavierStokes, forcing, random_vorticity
from gridless.data.signals import GridSignal
from gridless.data.spectra import at_cells
from gridless.domain import Domain
from gridless.files import replacing

FIRST = {"train": 0, "val": 1_000_000, "test": 2_000_000}
"""The number of the first trajectory of a split."""
SOLVER = 1  # files of another solver are not read
COARSEST = 64  # cells of a simulation along every axis, at least
TOGETHER = 1 << 14  # cells of the flows that are computed at once: what a processor's cache holds


def flow_films(data: FlowData, split: str) -> list[GridSignal]:
    """The films of `split`: train, val or test. Those that `data.path` holds are read, others are simulated and written
    there. ValueError for a split that there is not, and a file that is damaged or belongs to other data."""
    if split not in FIRST:
        raise ValueError(f"no split {split!r}; there are {', '.join(FIRST)}")
    count = {"train": data.count, "val": data.val, "test": data.test}[split]
    numbers, domain = range(FIRST[split], FIRST[split] + count), _domain(data)
    options = replace(data, count=1, val=0, test=0, path=None)  # what fixes a trajectory of a number
    values = _remembered(options, numbers) if data.path is None else _kept(options, numbers, Path(data.path))
    return [
        GridSignal(f"{data.equation}-{number}", film[..., None], domain=domain, group=data.equation)
        for number, film in zip(numbers, values, strict=True)
    ]


def simulated(
    data: FlowData, numbers: Sequence[int], cells: int | None = None
) -> Iterator[Float[np.ndarray, "T *grid"]]:
    """The trajectories of these numbers, float32, some of them computed at once; `cells`: along every axis of the
    simulation, None: as many as `resolution` says."""
    cells, axes = cells or resolution(data), 2 if data.equation == "navier-stokes" else 1
    times = [data.start + data.step * frame for frame in range(data.frames)]
    together = max(1, TOGETHER // cells**axes)
    for first in range(0, len(numbers), together):
        equation, spectrum = _beginning(data, numbers[first : first + together], cells)
        frames = [at_cells(moment.spectrum, data.side).float() for moment in march(equation, spectrum, times)]
        yield from torch.stack(frames, 1).numpy()


def resolution(data: FlowData) -> int:
    """Cells along every axis of the simulation, which `side` of a film does not change unless it is larger."""
    smallest = 2 / data.viscosity if data.equation == "burgers" else 0.8 / data.viscosity**0.5
    return 32 * ceil(max(COARSEST, data.side, smallest) / 32)


def _beginning(data: FlowData, numbers: Sequence[int], cells: int) -> tuple[Equation, Complex[Tensor, "B *half"]]:
    if data.equation == "burgers":
        return Burgers(cells, data.viscosity), random_velocity(numbers, cells)
    driven = None if data.forcing is None else forcing(data.forcing, numbers)
    return NavierStokes(cells, data.viscosity, driven), random_vorticity(numbers, cells)


def _domain(data: FlowData) -> Domain:
    """Seconds since the first frame, and the square or the line, whose ends join."""
    time = Axis(name="time", unit="s", start=-data.step / 2, length=data.step * data.frames)
    plane = data.equation == "navier-stokes"
    space = [Axis(name=name, period=1.0) for name in (("y", "x") if plane else ("x",))]
    quantity = Quantity(name="vorticity", unit="s-1") if plane else Quantity(name="velocity", unit="s-1")
    return Domain(axes=(time, *space), quantities=(quantity,))


@lru_cache(maxsize=8)
def _remembered(data: FlowData, numbers: range) -> list[Float[np.ndarray, "T *grid"]]:
    return list(_shown(simulated(data, numbers), len(numbers)))


def _kept(data: FlowData, numbers: range, path: Path) -> list[Float[np.ndarray, "T *grid"]]:
    """Of the folder `path`; each is written as soon as it is there, so that an interrupted simulation goes on."""
    folder = path / _folder_name(data)
    files = {number: folder / f"{number:07d}.npz" for number in numbers}
    missing = [number for number, file in files.items() if not file.is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
    for number, film in zip(missing, _shown(simulated(data, missing), len(missing)), strict=True):
        _write(files[number], film, data, number)
    return [_read(file, data, number) for number, file in files.items()]


def _shown(trajectories: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """As they come; on a terminal a bar with the time left."""
    if count == 0 or not sys.stderr.isatty():
        yield from trajectories
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(trajectories, "simulating", total=count, console=Console(stderr=True), transient=True)


def _folder_name(data: FlowData) -> str:
    digest = blake2b(_options(data).encode(), digest_size=4).hexdigest()
    return f"{data.equation}-{data.viscosity:g}-{data.forcing or 'free'}-{data.side}x{data.frames}-{digest}"


def _options(data: FlowData) -> str:
    """All that a trajectory depends on besides its number."""
    kept = {name: value for name, value in asdict(data).items() if name not in ("kind", "count", "val", "test", "path")}
    return json.dumps({**kept, "cells": resolution(data), "solver": SOLVER}, sort_keys=True)


def _write(file: Path, film: Float[np.ndarray, "T *grid"], data: FlowData, number: int) -> None:
    with replacing(file) as part, open(part, "wb") as opened:
        np.savez(opened, film=film, options=_options(data), number=number)


def _read(file: Path, data: FlowData, number: int) -> Float[np.ndarray, "T *grid"]:
    try:
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as kept:
            film, options, its_number = kept["film"], str(kept["options"]), int(kept["number"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(f"{file} cannot be read as a film ({error}); remove it, and it is simulated again") from None
    if options != _options(data) or its_number != number:
        raise ValueError(
            f"{file} holds number {its_number} of {options}, expected {number} of {_options(data)}; remove it"
        )
    return film
