"""gridless: continuous fields from samples. Measure anywhere, ask anywhere.

    Signal    a picture | an array on a grid | readings of stations | a volume | a formula        what there is
       │ task         what is seen, what is asked: reconstruction | super-resolution | sparse field | operator | forecast
    Samples   grid shape | coords (B N d)   values (B N C)   mask (B N)   noise   domain           what was measured
       │ standardise  each field's own level and spread
       │ tokenizer    patches (grids), after a convolutional stem | points (scattered)
    Tokens    x (B T D)  pos (B T d)  mask (B T)
       │ encoder      Mamba + learnable position tokens | Transformer + learnable tokens | Perceiver cascade | none
       │ processor    self-attention × depth (0 = identity)
    Encoded   latents: Tokens (B M ·)   local: features at the samples
       │ decoder      Direct | Lainr | Scent | Mlp | Composer | Joint   each may also read `local` at the query
    Field     field(coords (B Q d), cell=None) -> solved base(coords) + head(decoder(coords, cell | encoded))      (B Q C)

B batch, N samples, T tokens, M latents, Q queries, D width, d axes, C channels.
Names are loaded on first use, so that `import gridless` costs next to nothing and never fails for want of an
optional package.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gridless")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"

_HOMES = {
    "Samples": "samples",
    "Domain": "domain",
    "Axis": "config",
    "Quantity": "config",
    "own": "config",
    "Tokens": "network.encoded",
    "Encoded": "network.encoded",
    "Field": "field",
    "FieldModel": "model",
    "preset": "config.merging",
    "grid": "coords",
    "cells": "coords",
    "Uniform": "config",
    "Train": "config",
    "Task": "protocols",
    "Batch": "protocols",
    "Case": "protocols",
    "Signal": "data.signals",
    "GridSignal": "data.signals",
    "Formula": "data.signals",
    "Pair": "data.pairs",
    "read": "data.sources",
    "read_table": "data.tables",
    "read_film": "data.films",
    "Snapshots": "data.snapshots",
    "FieldSeries": "data.snapshots",
    "Forecast": "tasks",
    "SparseField": "tasks",
    "Operator": "tasks",
    "Reconstruction": "tasks",
    "SuperResolution": "tasks",
    "fit": "training.fit",
    "evaluate": "scoring.evaluate",
    "report": "reports.report",
    "backend": "nn.scan",
}
_ROOMS = {
    "bases": "bases",
    "config": "config",
    "data": "data",
    "metrics": "scoring.metrics",
    "plots": "reports.plots",
}

__all__ = [*_HOMES, *_ROOMS, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]  names are loaded lazily


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return import_module(f"{__name__}.{_ROOMS[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
