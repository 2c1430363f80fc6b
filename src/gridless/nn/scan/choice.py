"""`selective_scan`: the one name that the layers call.  It picks the implementation at run time."""

import os
from importlib.metadata import version
from importlib.util import find_spec

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .reference import selective_scan_reference

LANES = 16  # the kernels of a CPU take so many channels at once
_NEEDS = {"cpu": "numba", "cuda": "triton"}  # what the fused kernel of a device is written in
_MISSING = {
    device: "" if find_spec(package) else f"{package} is not installed: pip install {package}"
    for device, package in _NEEDS.items()
}


def selective_scan(
    x: Float[Tensor, "batch length width"],
    dt: Float[Tensor, "batch length width"],
    A: Float[Tensor, "width state"],
    B: Float[Tensor, "batch length state"],
    C: Float[Tensor, "batch length state"],
    reverse: bool = False,
) -> Float[Tensor, "batch length width"]:
    """Mamba's selective scan (arXiv 2312.00752, eq. 2): h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t and y_t = <C_t, h_t>.

    `A` is negative and `dt` at least 0.  A step with dt = 0 is padding: the state passes it unchanged, x is ignored.
    `reverse` runs from the last step to the first.  Differentiable once in all five tensors; for second derivatives set
    GRIDLESS_SCAN=reference in the environment, which takes the plain loop everywhere.  float64 always takes that loop,
    other dtypes are computed in float32 by one fused kernel (on a CPU it needs numba, on a GPU triton) and come back in
    x's dtype.

    Raises ValueError if the shapes do not fit together.
    """
    _check(x, dt, A, B, C)
    if _why_reference(x.device, x, dt, A, B, C):
        return selective_scan_reference(x, dt, A, B, C, reverse).to(x.dtype)
    from .operator import selective_scan_fused  # at the first use: numba and triton are slow to import

    return selective_scan_fused(x, dt, A, B, C, reverse)


def mixer_fits(xz: Float[Tensor, "B L C"], width: int) -> bool:
    """Whether `mamba_mixer` can do it, for directions of `width` channels: on a CPU, in float32 or bfloat16."""
    halves = xz.dtype in (torch.float32, torch.bfloat16)
    return xz.device.type == "cpu" and halves and width % LANES == 0 and not _why_reference(xz.device, xz)


def mamba_mixer(
    xz: Float[Tensor, "B L 2*K*D"],
    mask: Bool[Tensor, "B L"] | None,
    conv_weight: Float[Tensor, "K taps D"],
    conv_bias: Float[Tensor, "K D"],
    x_proj: Float[Tensor, "K R+2*N D"],
    dt_proj: Float[Tensor, "K D R"],
    dt_bias: Float[Tensor, "K D"],
    A: Float[Tensor, "K D N"],
    D: Float[Tensor, "K D"],
) -> Float[Tensor, "B L K*D"]:
    """All of Mamba between its two projections, where `mixer_fits`: the gated outputs of the directions (the second runs
    backwards) side by side, in the dtype of xz. Parameters are read in float32; differentiable once in everything but the
    mask."""
    from .mixer import mixer  # at the first use, as above

    parameters = (conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A, D)
    tensors = (xz.contiguous(), mask, *(p.float().contiguous() for p in parameters))
    keep = torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in tensors)
    return mixer(*tensors, keep)[0]


def backend() -> dict[str, str]:
    """Which implementation float32 tensors get, with its version and threads, or why it is the slow one: `scan` on the
    CPU and, where there is a GPU, `scan_gpu` on that."""
    if torch.cuda.is_available():
        reason = _why_reference(torch.device("cuda"))
        return {"scan": _on_cpu(), "scan_gpu": f"reference ({reason})" if reason else f"triton {version('triton')}"}
    return {"scan": _on_cpu()}


def _on_cpu() -> str:
    reason = _why_reference(torch.device("cpu"))
    if reason:
        return f"reference ({reason})"
    try:
        import numba

        from .kernels import threads
    except Exception as error:  # a broken numba may raise anything, and a report is the place to say so
        return f"none (numba does not work: {error}; repair it or set GRIDLESS_SCAN=reference)"
    layer = numba.threading_layer()  # pyright: ignore[reportPrivateImportUsage]  public by numba's manual
    return f"cpu-numba {numba.__version__} ({layer}, {threads()} threads)"


def _why_reference(device: torch.device, *tensors: Tensor) -> str:
    """Why the plain loop has to do it; empty if the fused kernel can."""
    if os.environ.get("GRIDLESS_SCAN") == "reference":
        return "GRIDLESS_SCAN=reference"
    if device.type not in _NEEDS:
        return f"no fused kernel for {device.type}"
    if any(v.dtype == torch.float64 for v in tensors):
        return "float64"
    return _MISSING[device.type]


def _check(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> None:
    got = f"x {tuple(x.shape)}, dt {tuple(dt.shape)}, A {tuple(A.shape)}, B {tuple(B.shape)}, C {tuple(C.shape)}"
    if x.ndim != 3 or A.ndim != 2:
        raise ValueError(
            f"selective_scan got {got}; expected x and dt (batch, length, width), A (width, state), B and C (batch, "
            "length, state). Add the missing axes, for example x[None] for a single sample."
        )
    batch, length, width = x.shape
    state = A.shape[1]
    expected = {"dt": x.shape, "A": (width, state), "B": (batch, length, state), "C": (batch, length, state)}
    wrong = [name for name, v in zip(["dt", "A", "B", "C"], (dt, A, B, C), strict=True) if v.shape != expected[name]]
    if wrong:
        raise ValueError(
            f"selective_scan got {got}; with this x and a state of {state} it expects "
            + ", ".join(f"{name} {tuple(shape)}" for name, shape in expected.items())
            + f". Change {' and '.join(wrong)}."
        )
    if 0 in (batch, length, width, state):
        raise ValueError(f"selective_scan got {got}; every size must be at least 1. Leave out the empty call.")
