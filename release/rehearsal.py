"""The README's commands, run from the wheel: in an empty folder outside the checkout, without a network."""

import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from release.documents import ROOT

RULES = Path(__file__).with_name("readme_commands.toml")
PATIENCE = 1200  # seconds for one command
GUARD = """
import socket
def refuse(self, address):
    if self.family != socket.AF_UNIX:
        raise OSError(f"no network in a rehearsal, asked for {address}")
socket.socket.connect = socket.socket.connect_ex = refuse
"""


@dataclass(frozen=True)
class Rule:
    """How a command is rehearsed: see readme_commands.toml."""

    starts: str
    needs: tuple[str, ...] = ()
    swap: dict[str, str] = field(default_factory=dict)
    add: str = ""
    skip: str = ""

    def short(self, command: str) -> str:
        for long, word in self.swap.items():
            command = command.replace(long, word)
        return f"{command} {self.add}".strip()


def rules() -> list[Rule]:
    entries = tomllib.loads(RULES.read_text(encoding="utf-8"))["rule"]
    return [Rule(**entry | {"needs": tuple(sorted(entry.get("needs", ())))}) for entry in entries]


def commands() -> list[str]:
    """Of the README's blocks without a language, in order, each once."""
    found: list[str] = []
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M):
        if language:
            continue
        lines = (re.sub(r"\s{2,}#.*", "", line).strip() for line in block.splitlines())
        found += [line for line in lines if re.match(r"gridless |curl .*\| gridless ", line)]
    return list(dict.fromkeys(found))


def rule_of(command: str, known: Sequence[Rule]) -> Rule | None:
    fitting = [rule for rule in known if command.startswith(rule.starts)]
    return max(fitting, key=lambda rule: len(rule.starts), default=None)


def combinations() -> list[tuple[str, ...]]:
    """Extras that the README installs together."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lists = re.findall(r"pip install [\"']?[.\w]*\[([\w,-]+)\]", text)
    return [tuple(sorted(names.split(","))) for names in dict.fromkeys(lists)]


def rehearse(binaries: Path, extras: tuple[str, ...], folder: Path) -> Iterator[tuple[str, str]]:
    """Each command for an environment with just these extras, and what went wrong (empty: nothing). `folder` holds what
    the commands name."""
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
        "PYTHONNOUSERSITE": "1",
    }
    environment.pop("PYTHONPATH", None)
    if not (cut_off := without_network()):
        guard = folder / "guard"
        guard.mkdir(exist_ok=True)
        (guard / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
        environment["PYTHONPATH"] = str(guard)
    for command in commands():
        rule = rule_of(command, rules())
        if rule is None or rule.skip or rule.needs != extras:
            continue
        short = rule.short(command)
        try:
            done = subprocess.run(
                [*cut_off, "bash", "-c", f"set -o pipefail; {short}"],
                cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            yield short, f"took more than {PATIENCE} s"
            continue
        lost = [name for name in outputs(short) if not (folder / name).exists()]
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield short, said if done.returncode else (f"did not write {', '.join(lost)}" if lost else "")


def outputs(command: str) -> list[str]:
    """What a command is to write."""
    words = shlex.split(command, comments=True)
    named = [
        after for word, after in zip(words, words[1:], strict=False) if word in ("-o", "--output") and after != "-"
    ]
    return [] if named and command.endswith("--all-frames -o pages.tif") else named


def without_network() -> list[str]:
    """Words before a command that take the network from it, where the system permits; else none."""
    try:
        allowed = subprocess.run(["unshare", "--map-root-user", "--net", "true"], capture_output=True).returncode == 0
    except OSError:
        allowed = False
    return ["unshare", "--map-root-user", "--net"] if allowed else []
