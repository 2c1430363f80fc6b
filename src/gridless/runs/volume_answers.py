"""Volumes in, volumes of other voxels out: what is answered, where it goes, what failed."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from gridless.bases import KINDS, Interpolation
from gridless.data.kinds import kind_of_file
from gridless.data.volume_writing import SUFFIXES, AskedGrid, write_nifti
from gridless.data.volumes import SUFFIXES as READ
from gridless.data.volumes import grid_shape, open_volume, read_frames, space_of
from gridless.model import FieldModel
from gridless.nn.precision import bf16


@dataclass(frozen=True, kw_only=True)
class VolumeOptions:
    """Where volumes are asked: at a `spacing` or at the voxels of `like`; of neither along the coarsest axis at the spacing
    of the finest."""

    spacing: tuple[float, ...] | None = None
    like: Path | None = None
    spread: Path | None = None
    """A second file, of the standard deviations."""
    exact: bool = False
    """The network computes in single precision; else in bf16 where the machine does."""
    overwrite: bool = False

    def __post_init__(self):
        if self.spacing is not None and self.like is not None:
            raise ValueError("ask at --spacing 1 1 1 or at the voxels of --like FILE, got both; leave one out")
        if self.spacing is not None and len(self.spacing) not in (1, 3):
            raise ValueError(
                f"--spacing is one number or three, one for each axis of the file, got {len(self.spacing)}"
            )


def volume_model(name: str, device: str | torch.device = "cpu") -> Any:
    """What answers: a run folder, a model that ships, a Hub repository, or a base by its name, such as bspline."""
    if name in KINDS and not Path(name).exists():
        return Interpolation(name)
    model = FieldModel.from_pretrained(name, device)
    signal = model.config.signal
    if (signal.axes, signal.channels) != (3, 1):
        raise ValueError(
            f"{name} takes {signal.axes} axes and {signal.channels} channels, a volume has 3 and 1; `volume` and `bspline` "
            "answer volumes"
        )
    return model


def predict_volumes(model: Any, sources: Sequence[str], output: str, options: VolumeOptions) -> list[str]:
    """Answers files, and those in folders, into one file or a folder; a line for each that failed. What is wrong with the
    command itself, or with its only file, raises ValueError, or what the file raises."""
    jobs = volume_jobs(sources, output, options)
    failures = []
    for number, (source, target) in enumerate(jobs):
        try:
            print(answer_volume(model, source, target, options, f"{number + 1}/{len(jobs)} {source.name}"))
        except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
            if len(jobs) == 1:
                raise
            line = " ".join(str(error).split()) or type(error).__name__
            failures.append(line if str(source) in line else f"{source}: {line}")
    return failures


def answer_volume(model: Any, source: Path, target: Path, options: VolumeOptions, title: str = "") -> str:
    """Writes the answer to one file; a line that says what was written."""
    if target.exists() and target.samefile(source) and not options.overwrite:
        raise ValueError(f"{str(target)!r} is the input itself; give another output, or --overwrite to replace it")
    device = next(model.parameters()).device if isinstance(model, FieldModel) else torch.device("cpu")
    image = open_volume(source)
    space, frames = space_of(image, source), prod(grid_shape(image, source)[3:])
    spacing = options.spacing
    if spacing is None and options.like is None:
        spacing = (min(space.voxel_sizes),) * 3
    elif spacing is not None and len(spacing) == 1:
        spacing = spacing * 3
    total = frames * prod(AskedGrid.of(space, spacing, options.like).shape) * (1 if options.spread is None else 2)
    with torch.no_grad(), bf16(device, not options.exact), _bar(title, total) as advance:
        fields = (model.encode(samples.to(device)) for samples in read_frames(source))
        asked = write_nifti(fields, target, spacing=spacing, like=options.like, spread=options.spread, advance=advance)
    sizes = " × ".join(f"{n}" for n in asked.shape)
    return f"{target}: {sizes} voxels of {' × '.join(f'{size:.4g}' for size in asked.voxel_sizes)}"


def volume_jobs(sources: Sequence[str], output: str, options: VolumeOptions) -> list[tuple[Path, Path]]:
    """What is answered, and where it goes: into a folder, which is made if need be, a file keeps its name as .nii.gz.
    Raises ValueError for what is no command."""
    if not sources:
        raise ValueError("predict what? give volumes (.nii, .nii.gz) or folders of them after the model")
    if mistyped := [name for name in sources if name.startswith("-") and not Path(name).exists()]:
        raise ValueError(
            f"unknown option {mistyped[0]!r}, and no file of that name; see gridless predict volumes --help"
        )
    several, path = len(sources) > 1 or Path(sources[0]).is_dir(), Path(output)
    named = output.lower().endswith(SUFFIXES) and not path.is_dir()
    if not several and named:
        return [(Path(sources[0]), path)]
    if several and options.spread is not None:
        raise ValueError("--spread names one file; answer one volume at a time")
    if named or path.is_file() or (not several and path.suffix and not path.is_dir()):
        wanted = "a folder for several volumes" if several else "a name that ends in .nii or .nii.gz, or a folder"
        raise ValueError(f"{output!r} is no place for the answer, expected {wanted}; give another with -o")
    jobs: dict[Path, Path] = {}
    for source, kept in _inside(sources):
        target = path / kept.with_name(bare(kept.name) + ".nii.gz")
        if jobs.setdefault(target, source) != source:
            raise ValueError(f"{jobs[target]} and {source} would both become {target}; answer them into two folders")
    for target in jobs:
        target.parent.mkdir(parents=True, exist_ok=True)
    return [(source, target) for target, source in jobs.items()]


def bare(name: str) -> str:
    """A file's name without the suffix of a volume."""
    ending = next((suffix for suffix in sorted(READ, key=len, reverse=True) if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(ending)]


def _inside(sources: Sequence[str]) -> list[tuple[Path, Path]]:
    """Files, and those in folders, each with the path that it keeps."""
    out = []
    for source in map(Path, sources):
        if not source.is_dir():
            out.append((source, Path(source.name)))
            continue
        files = (file for file in source.rglob("*") if file.is_file() and file.name[0] != ".")
        inside = sorted(file for file in files if kind_of_file(file) == "volume" and ".img" not in file.suffixes)
        if not inside:
            raise ValueError(f"the folder {str(source)!r} holds no volume; give another, or files")
        out += [(file, file.relative_to(source)) for file in inside]
    return out


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """What is told of voxels that are done: on a terminal a bar with the time left."""
    if not sys.stderr.isatty():
        yield lambda voxels: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), "left", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda voxels: bar.advance(task, voxels)
