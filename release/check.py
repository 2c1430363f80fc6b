"""Whether this checkout can go out: `make release-check`, or

    python -m release.check                        # all: builds, an environment for every extra, the README's commands
    python -m release.check --quick                # what can be seen without installing anything
    python -m release.check --extras fields onnx   # these environments only; none: the wheel alone
    python -m release.check --write-licences       # and writes licences.csv from what was installed

One line for everything that is wrong, and exit code 1.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from release import cards, distributions, documents, environments, licences, rehearsal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--extras", nargs="*")
    parser.add_argument("--write-licences", action="store_true")
    parser.add_argument("--layer", type=Path, help="where torch and the dependencies stay for the next check")
    arguments = parser.parse_args()
    wrong: list[str] = []

    def report(name: str, complaints: list[str]) -> None:
        print(
            f"{'ok   ' if not complaints else 'WRONG'} {name}",
            *(f"      {line}" for line in complaints),
            sep="\n",
            flush=True,
        )
        wrong.extend(complaints)

    report("documents, links, versions", documents.complaints())
    report("cards of the weights", cards.complaints())
    report("licences in the table", licences.complaints(licences.table()))
    report(
        "no paths or names of machines in pages and tables", list(distributions.machine_marks(distributions.checkout()))
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdist, wheel = distributions.build(folder / "dist")
        sizes = f"{sdist.stat().st_size / 1e6:.1f} MB and {wheel.stat().st_size / 1e6:.1f} MB"
        report(f"sdist and wheel, {sizes}", distributions.complaints(sdist, wheel))
        if not arguments.quick:
            layer = environments.layer((arguments.layer or folder / "layer").absolute())
            said: dict[str, str] = {}
            for extras in sets_of_extras(arguments.extras):
                start = time.perf_counter()
                with tempfile.TemporaryDirectory() as place:
                    complaints = list(tried(wheel, extras, layer, Path(place), said))
                label = f"the wheel with {', '.join(extras)}" if extras else "the wheel alone"
                report(f"{label}, {time.perf_counter() - start:.0f} s", complaints)
            report("licences of all that was installed", licences.complaints(said))
            if arguments.write_licences:
                licences.write(said)
    if wrong:
        sys.exit(f"release-check: {len(wrong)} wrong")
    print("release-check: all is well")


def sets_of_extras(names: list[str] | None) -> list[tuple[str, ...]]:
    """None, each extra alone, and what the README installs together."""
    known = documents.project()["optional-dependencies"]
    if names is not None and (unknown := set(names) - set(known)):
        sys.exit(f"release-check: no extra {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    alone = [(name,) for name in known if names is None or name in names]
    together = [extras for extras in rehearsal.combinations() if names is None or set(extras) <= set(names)]
    return list(dict.fromkeys([(), *alone, *together]))


def tried(wheel: Path, extras: tuple[str, ...], layer: Path, place: Path, said: dict[str, str]) -> Iterator[str]:
    """What is wrong with the wheel and these extras; `said` takes the licences of what they install."""
    python = environments.made(place / "venv", layer)
    try:
        environments.install(python, f"{wheel}[{','.join(extras)}]" if extras else str(wheel))
    except RuntimeError as error:
        yield str(error)
        return
    said |= licences.installed(python)
    stage = place / "stage"
    stage.mkdir()
    props(stage)
    declared = [line for name in extras for line in documents.project()["optional-dependencies"][name]]
    if broken := environments.imports(python, [names_of(line) for line in declared], stage):
        yield f"an import fails: {broken}"
    for command, failure in rehearsal.rehearse(python.parent, extras, stage):
        print(f"      {'ran' if not failure else 'FAILED'}: {command}", flush=True)
        if failure:
            yield f"{command}: {failure}"
    shutil.rmtree(stage)


def names_of(requirement: str) -> str:
    return Requirement(requirement).name


def props(stage: Path) -> None:
    from release.props import lay_out  # needs the packages of the extra dev

    lay_out(stage)


if __name__ == "__main__":
    main()
