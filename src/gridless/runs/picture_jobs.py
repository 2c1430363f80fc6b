"""Files and folders to answer, one after another: what goes where, how much is left, and what failed."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path

from gridless.data.folders import walk
from gridless.data.picture_reading import frame_count, photo_size
from gridless.data.picture_writing import FORMATS
from gridless.data.pictures import ImageError
from gridless.model import FieldModel
from gridless.runs.predict import Job, predict_picture
from gridless.runs.predict_options import PredictOptions

PIPE = "-"


def predict_pictures(
    model: Callable[[], FieldModel], sources: Sequence[str], output: str, options: PredictOptions
) -> list[str]:
    """Answers files and folders of pictures, or standard input (`-`), into one file, a folder, or standard output (`-`).

    Every file is tried; returns a line for each that failed. What is wrong with the command itself, or with its only file,
    raises ValueError (ImageError), or what `predict_file` raises. `model` is loaded when there is something to do.
    """
    jobs = picture_jobs(sources, output, options)
    loaded, failures, alone = model(), [], len(jobs) == 1
    with _bar(lambda: [_pixels(job, options) for job in jobs]) as (started, advance):
        for number, job in enumerate(jobs):
            started(number, job.name)
            try:
                for one in _frames(job, options):
                    height, width = predict_picture(loaded, one, options, advance)
                    if one.target is not None:
                        print(f"{one.name}: {width} × {height}")
            except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
                if alone:
                    raise
                line = " ".join(str(error).split()) or type(error).__name__
                source = "standard input" if isinstance(job.source, io.BytesIO) else str(job.source)
                failures.append(line if source in line else f"{source}: {line}")
    return failures


def picture_jobs(sources: Sequence[str], output: str, options: PredictOptions) -> list[Job]:
    """What to answer and where it goes. Into a folder, which is made if need be, a file keeps its name, and a folder its
    names and the folders inside. Raises ImageError for what is no command: an output that is none, or one for two inputs."""
    if not sources:
        raise ImageError("predict what? give pictures or folders after the model")
    if mistyped := [name for name in sources if name.startswith("-") and name != PIPE and not Path(name).exists()]:
        raise ImageError(f"unknown option {mistyped[0]!r}, and no file of that name; see gridless predict --help")
    if sources.count(PIPE) > 1:
        raise ImageError("standard input (-) can be read once; give it once")
    suffix, several = options.suffix, len(sources) > 1 or Path(sources[0]).is_dir()
    if output == PIPE:
        if several or options.all_frames:
            raise ImageError("standard output (-) takes one picture; give a folder with -o")
        if suffix is None:
            raise ImageError("standard output (-) has no suffix that says the format; give it, e.g. --format png")
        return [Job(_source(sources[0]), None, suffix)]
    path = Path(output)
    named = path.suffix.lower() in FORMATS or not (output.endswith(("/", "\\")) or suffix)
    if not several and not path.is_dir() and named:
        if suffix is not None and FORMATS[suffix] != FORMATS.get(path.suffix.lower()):
            raise ImageError(
                f"{output!r} ends in {path.suffix!r}, --format says {options.format}; leave one of them out"
            )
        return [Job(_source(sources[0]), path, path.suffix.lower())]
    if path.exists() and not path.is_dir():
        raise ImageError(
            f"{output!r} is a file, expected a folder for {len(sources)} inputs; give another name with -o"
        )
    if path.suffix.lower() in FORMATS and not path.is_dir():
        raise ImageError(f"{output!r} is named like a picture, expected a folder for several; give -o DIR")
    jobs: dict[Path, Job] = {}
    for source, kept in _inside(sources):
        ending = suffix or (kept.suffix.lower() if kept.suffix.lower() in FORMATS else ".png")
        job, target = _source(source), path / kept.with_suffix(ending)
        if target in jobs and jobs[target].source != job:  # a file may be given in its folder and alone
            raise ImageError(
                f"{jobs[target].source} and {source} would both become {target}; answer them into two folders"
            )
        jobs[target] = Job(job, target, ending)
    for target in jobs:
        target.parent.mkdir(parents=True, exist_ok=True)
    return list(jobs.values())


def _inside(sources: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Files, and those in folders, each with the path that it keeps in the output's folder."""
    for source in sources:
        folder = Path(source)
        if source != PIPE and folder.is_dir():
            inside = sorted(Path(parent, name) for parent, name in walk(folder, recursive=True))
            if not inside:
                raise ImageError(f"the folder {source!r} holds no picture; give another, or files")
            yield from ((str(file), file.relative_to(folder)) for file in inside)
        else:
            yield source, Path("stdin.png" if source == PIPE else folder.name)


def _source(text: str) -> Path | io.BytesIO:
    return io.BytesIO(sys.stdin.buffer.read()) if text == PIPE else Path(text)


def _frames(job: Job, options: PredictOptions) -> list[Job]:
    """A job for every frame or page, to numbered files, if all are asked for and there are several."""
    count = frame_count(job.source) if options.all_frames else 1
    if count == 1 or job.target is None:
        return [job]
    digits = len(str(count))
    names = (job.target.with_stem(f"{job.target.stem}-{number:0{digits}}") for number in range(1, count + 1))
    return [Job(job.source, name, job.suffix, number) for number, name in enumerate(names)]


def _pixels(job: Job, options: PredictOptions) -> int:
    """Of the answer, for the time left; 0 of what will fail or has several frames."""
    with suppress(Exception):
        return prod(options.shape(*photo_size(job.source)))
    return 0


@contextmanager
def _bar(sizes: Callable[[], list[int]]) -> Iterator[tuple[Callable[[int, str], object], Callable[[int], object]]]:
    """What is told which file is begun, and of pixels that are done: on a terminal a bar with the time left."""
    if not sys.stderr.isatty():
        yield lambda number, name: None, lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    pixels = sizes()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), "left", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(pixels) or None)

        def started(number: int, name: str) -> None:
            before = sum(pixels[:number])
            bar.update(task, description=f"{number + 1}/{len(pixels)} {Path(name).name}", completed=before)

        yield started, lambda count: bar.advance(task, count)
