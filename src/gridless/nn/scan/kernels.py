"""How the CPU's kernels are compiled, called on tensors, and kept the same for any number of threads."""

from functools import reduce
from threading import Lock

import numba
import torch
from torch import Tensor

# One call at a time, each on all threads: numba's fallback threading layer aborts the process on concurrent calls
_lock = Lock()
_torch_threads = torch.get_num_threads()
numba.get_num_threads()  # starts numba's threads, and with that sets OpenMP's number, which torch may share:
torch.set_num_threads(_torch_threads)  # put it back


def kernel(function):
    """Compile at the first call, and keep the result on disk for the next process where a folder can be written."""
    try:
        return numba.njit(parallel=True, nogil=True, cache=True)(function)
    except RuntimeError:  # no such folder
        return numba.njit(parallel=True, nogil=True)(function)


def run(kernel, *args: Tensor | bool) -> None:
    """Call a kernel on the memory of these tensors; bfloat16 becomes the uint16 of `lanes.py`."""
    with _lock:
        before = numba.get_num_threads()
        numba.set_num_threads(threads())
        try:
            kernel(*(_array(a) if isinstance(a, Tensor) else a for a in args))
        finally:
            numba.set_num_threads(before)


def _array(tensor: Tensor):
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def threads() -> int:
    """How many threads a kernel uses: torch's number, as far as numba started that many."""
    return min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]  set at run time


def ordered_sum(parts: Tensor) -> Tensor:
    """The sum over the first axis, the same bits however many threads torch has."""
    return reduce(torch.add, parts.unbind(0))
