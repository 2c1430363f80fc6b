"""`gridless forecast`: the last frames of a film in, the next ones out, at any moments, as a file by the rules of CF."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from gridless import __version__
from gridless import config as c
from gridless.bases import Advection, DampedPersistence, LinearInverse, Persistence
from gridless.config.merging import build, load_json
from gridless.data.archive_writing import write_netcdf, write_zarr
from gridless.data.archives import is_archive
from gridless.data.clocks import Clock
from gridless.data.durations import Duration, whole
from gridless.data.films import Film, read_film
from gridless.data.forecast_files import forecast_dataset
from gridless.data.room import COPIES, check_room
from gridless.data.stamps import named
from gridless.model import FieldModel
from gridless.runs.baselines import FORECASTS
from gridless.scoring.evaluate import Encoder

if TYPE_CHECKING:
    import xarray as xr

MOST = 100_000  # moments of one file
VALUE_BYTES = 192  # of memory for each value of the film and of the hole behind it; measured: 171


@dataclass(frozen=True, kw_only=True)
class ForecastOptions:
    """`until`, `every`: durations such as 30min; without `every`, the film's own step. `frames`: so many of the last are
    read; None: as many as the model saw in training, of a base all. `fill`: also places that no frame measured."""

    until: str
    every: str | None = None
    variable: tuple[str, ...] | None = None
    frames: int | None = None
    fill: bool = False
    spread: bool = True

    def __post_init__(self):
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"--frames is how many of the last frames are seen, at least 1, got {self.frames}")


@dataclass(frozen=True)
class Trained:
    """What a model was asked in training: frames seen and frames ahead, so many frames of its film apart, whose own frames
    lay `every` so often."""

    seen: int | None = None
    ahead: int | None = None
    step: int = 1
    every: str | None = None


@dataclass(frozen=True)
class Classical:
    """A base by its name; those that learn do so from the film that they go on with."""

    name: str

    def of_film(self, film: Film) -> Encoder:
        signal = film.signal()
        shape = c.Signal(axes=signal.axes, channels=signal.channels)
        match self.name:
            case "persistence":
                return Persistence()
            case "advection":
                return Advection()
            case "damped-persistence":
                base = DampedPersistence(c.DampedPersistence(), shape)
            case _:
                base = LinearInverse(c.LinearInverse(), shape)
        base.fit([signal])
        return base


def forecast_model(name: str, device: str | torch.device = "cpu") -> tuple[Encoder | Classical, Trained]:
    """What answers: a run folder, a model that ships, a Hub repository, or a base by its name, such as persistence; and
    what it was trained for. Raises ValueError for a run of another task."""
    if name in FORECASTS and not Path(name).exists():
        return Classical(name), Trained()
    model = FieldModel.from_pretrained(name, device)
    file = Path(name, "recipe.json")
    if not file.is_file():
        film = model.config.film
        return model, Trained() if film is None else Trained(film.seen, film.ahead)
    recipe = build(c.Recipe, load_json(file), "recipe")
    task: Any = recipe.task
    if task.kind != "forecast":
        raise ValueError(f"{name} was trained for {task.kind}, not for forecasts; give a run of task.kind 'forecast'")
    every = recipe.data.every if isinstance(recipe.data, c.FilmData) else None
    return model, Trained(task.seen, task.ahead, task.step, every)


def forecast(
    model: Encoder | Classical,
    trained: Trained,
    source: "str | Path | xr.Dataset",
    output: Path,
    options: ForecastOptions,
    history: str | None = None,
) -> str:
    """Writes what comes after the last frame of `source`; a line that says what was written.

    Raises ValueError for durations that do not fit the film or one another, for fewer frames than the model saw, and for
    an output that is no archive, before anything is computed.
    """
    if not is_archive(output):
        raise ValueError(f"{output}: a forecast is a dataset; give a name that ends in .nc or .zarr")
    if isinstance(source, str | Path) and output.exists() and output.resolve() == Path(source).resolve():
        raise ValueError(f"{output} is what is read; give the forecast another name")
    until = Duration.of(options.until, "--until")
    step = None if options.every is None else Duration.of(options.every, "--every")
    film = read_film(source, options.variable, trained.every)
    measured = film.until_the_last_seen()
    empty, film = len(film) - len(measured), measured.thinned(trained.step)
    moments = moments_ahead(film.clock, until, step or Duration(measured.clock.step, measured.clock.unit))
    seen = options.frames or trained.seen or len(film)
    if seen > len(film):
        raise ValueError(
            f"{film.name} holds {len(film)} frames until its last one, {seen} are to be seen; give a longer film"
        )
    frame = prod(film.dataset[film.names[0]].sizes[dim] for dim in film.geometry.dims) * len(film.names)
    check_room(frame * (seen + ceil(float(moments.max()))), f"a forecast of {film.name}", VALUE_BYTES // COPIES)
    model = model.of_film(film) if isinstance(model, Classical) else model
    recent = film.part(len(film) - seen, len(film))
    samples = recent.samples(ceil(float(moments.max()) - 1e-9))
    field = model.encode(samples.to(device_of(model)))
    spread = options.spread and field.has_spread
    dataset = forecast_dataset(field, recent, moments, fill=options.fill, spread=spread, history=history)
    dataset.attrs["source"] = f"gridless {__version__}, {getattr(model, 'name', type(model).__name__)}"
    notes = _notes(trained, recent.clock, float(moments.max()), empty)
    if notes:
        dataset.attrs["comment"] = "; ".join([*filter(None, [dataset.attrs.get("comment")]), *notes])
    (write_zarr if output.suffix.lower() == ".zarr" else write_netcdf)(dataset, output)
    return _summary(output, dataset, recent.names, notes)


def moments_ahead(clock: Clock, until: Duration, every: Duration) -> Float[np.ndarray, " n"]:
    """Where the asked moments lie after the last frame, in frames. Raises ValueError for an `until` that is no multiple of
    `every`, and for months of a film whose steps are seconds."""
    last, step = clock.frames_in(until, "--until"), clock.frames_in(every, "--every")
    if not whole(last / step):
        raise ValueError(f"--until is {until}, no multiple of {every}; give a multiple, or another --every")
    count = round(last / step)
    if count > MOST:
        raise ValueError(f"--until {until} at every {every} is {count:,} moments, at most {MOST:,} go into a file")
    return step * np.arange(1, count + 1)


def device_of(model: object) -> torch.device:
    """Where a model computes; of a base, the CPU."""
    parameters = iter(model.parameters()) if isinstance(model, torch.nn.Module) else iter(())
    return next((each.device for each in parameters), torch.device("cpu"))


def _notes(trained: Trained, clock: Clock, last: float, empty: int) -> list[str]:
    """What a reader of the file has to know."""
    notes = []
    if trained.ahead is not None and last > trained.ahead + 1e-9:
        asked = Duration(trained.ahead * clock.step, clock.unit)
        notes.append(f"training asked up to {asked} ahead; what lies beyond goes on from the model's own answers")
    if empty:
        notes.append(f"nothing was measured in the last {empty} frames of the film; the forecast starts before them")
    return notes


def _summary(output: Path, dataset: "xr.Dataset", names: Sequence[str], notes: Sequence[str]) -> str:
    array = dataset[next(name for name in dataset.data_vars if name in names)]
    also = " and its standard error" if len(dataset.data_vars) > len(names) else ""
    sizes = " × ".join(f"{n:,}" for n in array.shape)
    times = dataset[str(array.dims[0])].values
    ends = " … ".join(dict.fromkeys(named(times[[i]]) for i in (0, -1)))
    said = "".join(f"; {note}" for note in notes)
    return f"{output}: {', '.join(names)}{also}, {sizes} ({', '.join(map(str, array.dims))}), {ends}{said}"
