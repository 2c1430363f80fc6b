"""gridless train | eval | report | predict | forecast | sweep. Other flags are config paths: --model.encoder.depth 2.

Errors are one line and exit code 2; --debug shows the traceback.
"""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from gridless.runs.threads import wait_briefly
from gridless.runs.warning_lines import warnings_as_lines

wait_briefly()  # before torch is imported

app = App(
    name="gridless",
    help="Continuous fields from samples: measure anywhere, ask anywhere. `train` and `sweep` also take any setting of the "
    "recipe by its path: --model.encoder.depth 2 --train.steps 500.",
    version_flags=["--version"],
)
Flags = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]
Recipe = Annotated[str, Parameter(help="A recipe that ships (photos, cifar10, …), or the path of a .toml file.")]
Run = Annotated[Path, Parameter(help="A folder written by `gridless train`.")]
Data = Annotated[
    Path | None,
    Parameter(
        help="Pictures instead of the recipe's: a folder with train, val and test inside. For cifar10, its batches; for "
        "fields and films, an archive over time (.nc, .zarr); for volumes, a scan (.nii.gz) or a folder of them."
    ),
]
Pictures = Annotated[
    Path | None, Parameter(help="A folder of pictures, instead of the recipe's data. For cifar10, its batches.")
]


def _output(text: str) -> Parameter:
    return Parameter(name=["-o", "--output"], help=text)


def _many(text: str) -> Parameter:
    return Parameter(consume_multiple=True, negative="", help=text)


@app.command
def train(
    recipe: Recipe,
    *flags: Flags,
    output: Annotated[Path | None, _output("The run folder; runs/RECIPE if not given.")] = None,
    data: Data = None,
    variable: Annotated[list[str] | None, _many("Of the archive; several are channels.")] = None,
    preset: Annotated[
        str | None, Parameter(help="Another system than the recipe's, such as mamba-ginr or lainr.")
    ] = None,
    size: Annotated[str | None, Parameter(help="Of the preset: tiny, small or base.")] = None,
    profile: Annotated[bool, Parameter(negative="", help="First write where a step's time goes: profile.txt.")] = False,
) -> None:
    """Train a recipe into a run folder. An interrupted run goes on when the same command is given again.

    Any setting can be given by its path: --model.encoder.depth 2 --train.steps 500.
    """
    from gridless.runs.recipe_flags import recipe_of
    from gridless.runs.train import train_run

    parsed = recipe_of(recipe, flags, data, preset, size, variable)[0]
    output = output or Path("runs", Path(recipe).stem)
    facts = train_run(parsed, output, profile=profile)
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        kept = f"; kept: the weights of step {facts['kept_step']}" if "kept_step" in facts else ""
        print(
            f"{output}: {facts['params']:,} parameters, {facts['steps']} steps in {facts['train_seconds']:.0f} s{kept}"
        )


@app.command(name="eval")
def evaluate(
    run: Run,
    *,
    scales: Annotated[list[float] | None, _many("Ask at these instead of the recipe's.")] = None,
    data: Pictures = None,
    split: Annotated[str, Parameter(help="test, or val while tuning.")] = "test",
    beside: Annotated[list[str] | None, _many("Other models: run folders, or names that ship.")] = None,
) -> None:
    """Answer held-out pictures beside the classical baselines: RUN/results.csv and RUN/predictions/."""
    from gridless.runs.evaluation import evaluate_run
    from gridless.scoring.results import grouped, headline, plain_table

    rows = evaluate_run(run, scales, split, data, beside=beside or ())
    groups = grouped(rows)
    for caption, of_one in groups.items():
        if len(groups) > 1:
            print(caption)
        print(plain_table(of_one, headline(of_one)))
    print(f"{Path(run, 'results.csv')}: {len(rows)} rows")


@app.command
def report(
    *runs: Run,
    output: Annotated[Path | None, _output("Where the page goes; may be a run folder. --inside: RUN/inside.")] = None,
    inside: Annotated[
        bool, Parameter(negative="", help="Of one run, what happens in the model: attention, tokens, spectra …")
    ] = False,
) -> None:
    """One self-contained page about one or more evaluated runs: report.html, report.md, results.csv."""
    if inside:
        from gridless.reports.inside.page import report_inside

        if len(runs) != 1:
            raise ValueError(f"report --inside looks into one run, got {len(runs)}; name one run folder")
        print(report_inside(runs[0], output) / "inside.html")
        return
    from gridless.reports.report import report as write

    if output is None:
        raise ValueError("report: where should the page go? give a folder with -o, e.g. -o report")
    print(write(runs, output) / "report.html")


def _flag(text: str) -> Parameter:
    return Parameter(negative="", help=text)


predict = App(
    name="predict",
    help="Answer pictures, readings or volumes: `gridless predict MODEL FILES … -o OUTPUT`. What the files are, their names "
    "say: tables and archives (.csv, .parquet, .nc, .zarr) are readings, .nii and .nii.gz volumes, all others pictures. The "
    "options of each: `gridless predict pictures --help`, `… readings --help`, `… volumes --help`.",
)
app.command(predict)


@predict.default
def predict_any(*words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
    from gridless.data.kinds import kind_of_inputs

    predict[kind_of_inputs(words[1:])](words, exit_on_error=False, print_error=False, result_action="return_value")


@predict.command(name="pictures")
def predict_pictures(
    run: Annotated[str, Parameter(help="A run folder, a model that ships, or a Hub repository.")],
    *pictures: Annotated[
        str,
        Parameter(
            help="PNG, JPEG, WebP, BMP, GIF, AVIF or TIFF, folders of them, or - for a pipe.", allow_leading_hyphen=True
        ),
    ],
    output: Annotated[
        str, Parameter(name=["-o", "--output"], help="The new file, a folder, or -.", allow_leading_hyphen=True)
    ],
    scale: Annotated[float | None, Parameter(help="Of width and height; need not be whole; 4 if no size.")] = None,
    width: Annotated[int | None, Parameter(help="Pixels; the height follows. Instead of --scale.")] = None,
    height: Annotated[int | None, Parameter(help="Pixels; the width follows.")] = None,
    long_side: Annotated[int | None, Parameter(help="Pixels of the longer side.")] = None,
    format: Annotated[str | None, Parameter(help="png, jpg, webp, bmp or tif: of a folder's files, or of -.")] = None,
    quality: Annotated[int | None, Parameter(help="1 … 100, of JPEG (95) and WebP (lossless if not given).")] = None,
    best: Annotated[
        bool, _flag("The mean of the eight turned and mirrored answers: often a little better, eight times as long.")
    ] = False,
    exact: Annotated[
        bool, _flag("Single precision also where the machine computes in bf16, which is twice as fast.")
    ] = False,
    compare: Annotated[bool, _flag("Also OUTPUT-compare.png: bicubic and the answer side by side.")] = False,
    tile_wrap: Annotated[bool, _flag("The picture repeats along both axes, and so does its answer.")] = False,
    all_frames: Annotated[bool, _flag("Every frame or page of a file, to numbered files.")] = False,
    strip: Annotated[bool, _flag("Write no EXIF, XMP and resolution; the colour profile stays.")] = False,
    overwrite: Annotated[bool, _flag("The output may be the input.")] = False,
) -> None:
    """Answer pictures at any scale. Grey stays grey; alpha, colour profile, EXIF and XMP are kept, 16 bits in PNG and TIFF,
    floats in TIFF, which both are written tile by tile and may be larger than memory. One failing file stops no other."""
    from gridless.model import FieldModel
    from gridless.runs import picture_jobs
    from gridless.runs.predict_options import PredictOptions
    from gridless.training.loading import device

    options = PredictOptions(
        scale=scale, width=width, height=height, long_side=long_side, format=format, quality=quality, best=best,
        exact=exact, compare=compare, tile_wrap=tile_wrap, all_frames=all_frames, strip=strip, overwrite=overwrite,
    )  # fmt: skip
    failures = picture_jobs.predict_pictures(
        lambda: FieldModel.from_pretrained(run, device()), pictures, output, options
    )
    for line in failures:
        print(f"gridless: {line}", file=sys.stderr)
    if failures:
        raise SystemExit(2)


@predict.command(name="readings")
def predict_readings(
    run: Annotated[
        str,
        Parameter(help="sensors (any two axes, one value), kriging (any table), a run folder, or a Hub repository."),
    ],
    readings: Annotated[Path, Parameter(help="A table (.csv, .parquet), or gridded readings (.nc, .zarr).")],
    *,
    output: Annotated[Path, _output("A dataset (.nc, .zarr), a table (.csv, .parquet) or a map (.png).")],
    coords: Annotated[list[str] | None, _many("Columns of the coordinates; lat lon if not given.")] = None,
    value: Annotated[list[str] | None, _many("Columns of the readings, one per channel.")] = None,
    time: Annotated[str | None, Parameter(help="Column of the time stamps: a field for each.")] = None,
    noise: Annotated[str | None, Parameter(help="Column of the readings' standard errors.")] = None,
    units: Annotated[list[str] | None, _many("Of columns: tmax=degC x=m.")] = None,
    tz: Annotated[str | None, Parameter(help="Of stamps without a time zone; UTC if not given.")] = None,
    fill_values: Annotated[list[float] | None, _many("Numbers that mean that nothing was measured.")] = None,
    like: Annotated[Path | None, Parameter(help="Ask at the coordinates of this dataset (.nc, .zarr).")] = None,
    grid: Annotated[str | None, Parameter(help="Ask on a regular grid of this step: 0.25deg, 500m.")] = None,
    at: Annotated[Path | None, Parameter(help="Ask at the places of this table (.csv, .parquet).")] = None,
    variable: Annotated[
        str | None, Parameter(help="Of an archive that is read; else the one of --like that is the same quantity.")
    ] = None,
    mask: Annotated[bool, _flag("Leave out what the template's variable has masked, such as land.")] = False,
    no_spread: Annotated[bool, _flag("The mean alone.")] = False,
) -> None:
    """Answer readings at other places: the mean and its standard error, by the rules of CF, in the readings' units."""
    from gridless.runs import sensor_answers
    from gridless.runs.reading_options import ReadingOptions
    from gridless.training.loading import device

    options = ReadingOptions(
        coords=tuple(coords or ("lat", "lon")), value=tuple(value or ()), time=time, noise=noise, units=tuple(units or ()),
        tz=tz, fill_values=tuple(fill_values or ()), like=like, grid=grid, at=at, variable=variable, mask=mask,
        spread=not no_spread,
    )  # fmt: skip
    model = sensor_answers.model_of(run, device())
    command = " ".join(["gridless", *sys.argv[1:]])
    print(sensor_answers.predict_readings(model, readings, output, options, command))


@predict.command(name="volumes")
def predict_volumes(
    run: Annotated[
        str, Parameter(help="volume, a run folder, a Hub repository, or a base by its name, such as bspline.")
    ],
    *volumes: Annotated[
        str, Parameter(help="NIfTI files (also .mgz, .img), or folders of them.", allow_leading_hyphen=True)
    ],
    output: Annotated[str, Parameter(name=["-o", "--output"], help="The new file (.nii, .nii.gz), or a folder.")],
    spacing: Annotated[
        list[float] | None, _many("Of voxels, one number or one for each axis of the file; if not given, the finest.")
    ] = None,
    like: Annotated[Path | None, Parameter(help="Ask at the voxels of this file.")] = None,
    spread: Annotated[Path | None, Parameter(help="Also the standard deviations, of a model that knows them.")] = None,
    exact: Annotated[bool, _flag("Single precision also where the machine computes in bf16.")] = False,
    overwrite: Annotated[bool, _flag("The output may be the input.")] = False,
) -> None:
    """Answer volumes (NIfTI) at other voxels. The box, the header and the type of the values stay; the affine is that of the
    new voxels. Volumes over time are answered one by one. One failing file stops no other."""
    from gridless.runs import volume_answers as answers
    from gridless.training.loading import device

    options = answers.VolumeOptions(
        spacing=None if spacing is None else tuple(spacing), like=like, spread=spread, exact=exact, overwrite=overwrite
    )
    failures = answers.predict_volumes(answers.volume_model(run, device()), volumes, output, options)
    for line in failures:
        print(f"gridless: {line}", file=sys.stderr)
    if failures:
        raise SystemExit(2)


@app.command
def forecast(
    run: Annotated[
        str, Parameter(help="A run folder, a model that ships, a Hub repository, or a base, such as persistence.")
    ],
    film: Annotated[Path, Parameter(help="What was seen until now, at even steps of time (.nc, .zarr).")],
    *,
    until: Annotated[str, Parameter(help="How far after the last frame: 30min, 6h, 3D, 2months.")],
    output: Annotated[Path, _output("The new dataset (.nc, .zarr).")],
    every: Annotated[str | None, Parameter(help="How far apart; the film's own step if not given.")] = None,
    variable: Annotated[list[str] | None, _many("Of the film; several are channels.")] = None,
    frames: Annotated[int | None, Parameter(help="So many of the last are seen; as many as in training.")] = None,
    fill: Annotated[bool, _flag("Answer also places that no frame measured, such as land.")] = False,
    no_spread: Annotated[bool, _flag("The mean alone.")] = False,
) -> None:
    """What comes after the last frame of a film, at any moments: the mean and, where the model knows it, its standard error,
    by the rules of CF."""
    from gridless.runs import forecast as runs
    from gridless.training.loading import device

    options = runs.ForecastOptions(
        until=until, every=every, variable=None if variable is None else tuple(variable), frames=frames, fill=fill,
        spread=not no_spread,
    )  # fmt: skip
    model, trained = runs.forecast_model(run, device())
    print(runs.forecast(model, trained, film, output, options, " ".join(["gridless", *sys.argv[1:]])))


@app.command
def sweep(
    recipe: Recipe,
    *flags: Flags,
    seeds: Annotated[int, Parameter(help="How many.")] = 3,
    equal: Annotated[str, Parameter(help="steps, seconds (arms that step faster take more steps), or both.")] = "steps",
    output: Annotated[Path | None, _output("Where runs and table go; runs/RECIPE-sweep if not given.")] = None,
    arms: Annotated[list[str] | None, _many("Only these arms.")] = None,
    data: Data = None,
    workers: Annotated[int | None, Parameter(help="Runs at a time; one per two cores if not given.")] = None,
    ray: Annotated[str | None, Parameter(help="Run on the Ray cluster at this address (or: auto, local).")] = None,
) -> None:
    """The whole model and every arm of the recipe's [ablate] table, with several seeds, in processes of their own.

    Goes on after a kill, tries failed runs again, and adds seeds or arms to a sweep when the same folder is given.
    """
    from gridless.runs.pool import Cluster, Processes
    from gridless.runs.recipe_flags import recipe_of
    from gridless.runs.sweep import sweep as run
    from gridless.scoring.comparison import as_markdown

    output = output or Path("runs", f"{Path(recipe).stem}-sweep")
    whole, ablate = recipe_of(recipe, flags, data)
    place = Processes(workers) if ray is None else Cluster(ray, workers)
    comparison, failed = run(whole, ablate, place=place, seeds=seeds, equal=equal, output=output, only=arms)
    print(as_markdown(comparison))
    if failed:
        errors = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise ValueError(f"{len(failed)} failed, the same command tries again what failed: {errors}")


def main(argv: list[str] | None = None) -> None:
    """The command line: whatever goes wrong is one line and exit code 2, and a warning is a line too."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without × or ü shows ? for it; the work is done
    try:
        with warnings_as_lines():
            words = [a for a in argv if a != "--debug"]
            app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if "--debug" in argv:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError):
            text = f"there is too little memory ({text}); take a part of the input, or ask for less"
        expected = isinstance(error, (ValueError, OSError, ImportError, MemoryError, FloatingPointError, CycloptsError))
        hint = "" if expected else f" ({type(error).__name__}; --debug shows where)"
        print(f"gridless: {text}{hint}", file=sys.stderr)
        raise SystemExit(2) from None
