"""Graphs as ONNX files: each is held against the model before it takes its name, and appears whole or not at all."""

import logging
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gridless import __version__
from gridless.data.optional import optional
from gridless.export.picture_graphs import PictureEncoder, PictureEnlarger, PictureQueries
from gridless.files import write_bytes
from gridless.model import FieldModel
from gridless.samples import Samples

PROBE = (29, 41)  # samples of the picture that every file is tried with
PLACES = 500  # … and places in it
ALLOWED = 1e-4  # difference from the model's answer to values in [0, 1]; half a level of 16 bits is 8e-6
AXES = {
    "picture": ("height", "width"),
    "features": ("height", "width"),
    "deviation": (),
    "coords": ("places",),
    "cell": ("places",),
}


@dataclass(frozen=True)
class Exported:
    """The files of a model, and the largest difference of their answers from the model's on a picture of noise in [0, 1]."""

    files: tuple[Path, ...]
    difference: float


def export_onnx(model: FieldModel, path: str | Path, factor: int | None = None) -> Exported:
    """Writes a photo model as ONNX (`picture_graphs.py` says what goes in and comes out).

    With `factor` (2 … 8) `path` is one graph from picture to picture. Without, PATH-encoder.onnx and PATH-queries.onnx
    answer any place and factor. Raises ValueError for other models, and before anything is written if a graph does not
    answer as the model does; ImportError without gridless[onnx].
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        optional(package, "an ONNX file", extra="onnx")
    path = Path(path)
    picture = torch.rand(*PROBE, model.config.signal.channels, generator=torch.Generator().manual_seed(0))
    if factor is not None:
        graph = PictureEnlarger(model, factor)
        files = {path: encoded(graph, {"picture": picture}, ("enlarged",), model.name)}
        enlarge = session(files[path])
        (answer,) = enlarge.run(None, {"picture": picture.numpy()})
        expected = model.encode(Samples.from_grid(picture)).to_grid(scale=factor)
    else:
        encoder, queries = (path.with_name(f"{path.stem}-{part}{path.suffix}") for part in ("encoder", "queries"))
        graph = PictureEncoder(model)
        features, deviation = graph(picture)
        coords = torch.rand(PLACES, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        cell = torch.rand(PLACES, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) / max(PROBE)
        asked = {"picture": picture, "features": features, "deviation": deviation, "coords": coords, "cell": cell}
        files = {
            encoder: encoded(graph, {"picture": picture}, ("features", "deviation"), model.name),
            queries: encoded(PictureQueries(model), asked, ("values",), model.name),
        }
        features, deviation = session(files[encoder]).run(None, {"picture": picture.numpy()})
        inputs = {name: value.numpy() for name, value in asked.items()} | {"features": features, "deviation": deviation}
        (answer,) = session(files[queries]).run(None, inputs)
        expected = model.encode(Samples.from_grid(picture))(coords, cell)
    difference = float(np.abs(answer - expected.detach().numpy()).max())
    if not difference <= ALLOWED:
        raise ValueError(
            f"the graph answers {model.name} up to {difference:.2g} away from the model, at most {ALLOWED:g} is rounding; "
            f"nothing was written: try another torch than {torch.__version__} or onnxruntime than {version('onnxruntime')}"
        )
    for file, data in files.items():
        write_bytes(file, data)
    return Exported(tuple(files), difference)


def encoded(graph: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...], name: str) -> bytes:
    """An ONNX file of the graph, whose named axes may have any length; nothing in it says where it was made."""
    free = {key: dict(enumerate(AXES[key])) for key in inputs}
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it speaks of packages that are not here and not needed
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            program = torch.onnx.export(
                graph.eval(), kwargs=inputs, dynamo=True, verbose=False,
                input_names=list(inputs), output_names=list(outputs), dynamic_shapes=free,
            )  # fmt: skip
    finally:
        log.setLevel(level)
    assert program is not None
    program.model.metadata_props.update(model=name, gridless=__version__)
    proto = program.model_proto
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        part.ClearField("metadata_props")  # the stack that made it, with the paths of this machine
    return proto.SerializeToString()


def session(data: bytes | str):
    """An `onnxruntime.InferenceSession` on as many threads of the CPU as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
