"""Environments to try the wheel in. Empty means: Python, pip, and a layer that all share, which holds torch (the CPU build
that constraints.txt names) and what the wheel itself depends on; the wheel and one extra are installed on top."""

import re
import subprocess
import sys
from pathlib import Path

from release.documents import ROOT, project

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
CONSTRAINTS = ROOT / "constraints.txt"


def python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


def made(environment: Path, layer: Path | None = None) -> Path:
    """A fresh environment that also sees the packages of `layer`; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    if layer is not None:
        (seen,) = layer.glob("lib/python*/site-packages")
        (own,) = environment.glob("lib/python*/site-packages")
        (own / "layer.pth").write_text(f"{seen}\n", encoding="utf-8")
    return python_of(environment)


def install(python: Path, *packages: str) -> None:
    """Raises RuntimeError with pip's last line."""
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "-c", CONSTRAINTS, *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip install {' '.join(packages)}: {done.stderr.strip().splitlines()[-1]}")


def layer(environment: Path) -> Path:
    """The packages that every environment shares, installed once; what stands there already is kept."""
    done = environment / "complete"
    if not done.exists():
        python = made(environment)
        torch = re.search(r"^torch==([\w.]+)", CONSTRAINTS.read_text(encoding="utf-8"), re.M)
        if torch is None:
            raise RuntimeError(f"{CONSTRAINTS.name} names no torch==…")
        try:
            install(python, f"torch=={torch[1]}+cpu")
        except RuntimeError:
            install(python, "--index-url", TORCH_INDEX, f"torch=={torch[1]}")
        install(python, *project()["dependencies"])
        done.touch()
    return environment


IMPORTS = """
import sys
from importlib import import_module
from importlib.metadata import packages_distributions
import re
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
wanted = {normal(name) for name in sys.argv[1:]}
for module, names in packages_distributions().items():
    if wanted & {normal(name) for name in names} and module.isidentifier() and not module.startswith("_"):
        import_module(module)
import gridless as gl
assert "site-packages" in gl.__file__, gl.__file__
gl.FieldModel.from_pretrained("photo")
"""


def imports(python: Path, extra_packages: list[str], folder: Path) -> str:
    """What goes wrong when the packages of an extra and gridless are imported; empty: nothing."""
    done = subprocess.run([python, "-I", "-c", IMPORTS, *extra_packages], cwd=folder, capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""
