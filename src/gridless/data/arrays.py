"""An array as a signal: floats, pictures of 8 and 16 bits; what is NaN was not measured."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.data.signals import GridSignal, Picture
from gridless.intake import as_tensor, finite


def array_signal(item: Float[np.ndarray, "*grid C"] | Tensor, name: str) -> GridSignal:
    """Raises ValueError, naming the signal, for whole numbers that are no picture, and for fill values."""
    if isinstance(item, np.ma.MaskedArray):
        hidden = np.asarray(np.ma.getmaskarray(item).any(-1))
        array = np.where(hidden[..., None], np.nan, item.filled(0).astype(np.promote_types(item.dtype, np.float32)))
    else:
        array = as_tensor(item).detach().cpu().numpy()
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] in (1, 3):
        return Picture(name, array)
    if array.dtype == np.uint16:
        array = array.astype(np.float32) / np.float32(65535)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"{name} holds {array.dtype} {array.shape}; expected floats (*grid, C), or a picture of 8 or 16 bits"
        )
    array = array.astype(np.promote_types(array.dtype, np.float32), copy=False)
    measured = np.asarray(np.isfinite(array).all(-1))
    mask = None if measured.all() else measured
    signal = GridSignal(name, array if mask is None else np.where(mask[..., None], array, 0), mask)
    _refuse_fill_values(signal)
    return signal


def _refuse_fill_values(signal: GridSignal) -> None:
    """Before any is averaged away or cut off."""
    mask = None if signal.mask is None else torch.from_numpy(signal.mask).reshape(1, -1)
    try:
        finite(torch.from_numpy(np.ascontiguousarray(signal.values)).reshape(1, -1, signal.channels), mask)
    except ValueError as error:
        raise ValueError(f"{signal.name}: {error}".replace("give mask=… (False there)", "make them NaN")) from None
