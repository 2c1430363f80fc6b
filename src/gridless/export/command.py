"""gridless export."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def export(
    model: Annotated[str, Parameter(help="A photo model: one that ships, a run folder, or a Hub repository.")],
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output"], help="The new file (.onnx).")],
    scale: Annotated[
        int | None, Parameter(help="One graph for this factor, 2 … 8; without, two graphs that answer any.")
    ] = None,
) -> None:
    """Write a photo model as ONNX: from a picture in [0, 1] to the finished values, base included."""
    from gridless.export.onnx_files import export_onnx
    from gridless.model import FieldModel

    exported = export_onnx(FieldModel.from_pretrained(model), output, scale)
    for file in exported.files:
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB")
    print(f"onnxruntime and the model differ by at most {exported.difference:.1g} on a picture of noise in [0, 1]")
