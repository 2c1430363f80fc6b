"""What a user's arrays must be before they become Samples: one error for each way in which they are not."""

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gridless.domain import Domain

FILL_VALUES = (-9999.0, -999.0, -99999.0, -32768.0, 9999.0, 99999.0, 32767.0)
FAR = 20.0  # times the largest other value: there a fill value cannot be a reading
LARGEST = 1e19  # its square is a float32; NetCDF's own fill values are larger


def as_tensor(array: object) -> Tensor:
    """Any array as a tensor: also one that runs backwards or has the other byte order."""
    if isinstance(array, np.ndarray):
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    elif not isinstance(array, Tensor):
        array = np.asarray(array)
        if array.dtype == object:
            raise ValueError("expected an array of numbers, got a list of unequal or other things")
    try:
        return torch.as_tensor(array)
    except TypeError:  # of text, dates, records
        raise ValueError(f"expected an array of numbers, got {getattr(array, 'dtype', type(array))}") from None


def measured(values: object, mask: object) -> tuple[Tensor, Tensor | None]:
    """Values and mask as tensors of fitting shapes; a numpy masked array brings its mask."""
    if isinstance(values, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(values)
        if mask is None:
            mask = ~hidden.any(-1)
        values = np.where(hidden, 0, values.data)
    values = as_tensor(values)
    if values.ndim < 2:
        raise ValueError(
            f"values must have their channels last, (…, C), got {tuple(values.shape)}; of one channel: values[..., None]"
        )
    if not values.is_floating_point():
        raise ValueError(f"values must be floats (pictures in [0, 1]), got {values.dtype}; divide by the largest value")
    mask = None if mask is None else as_tensor(mask).to(values.device)
    if mask is not None and (mask.shape != values.shape[:-1] or mask.dtype != torch.bool):
        expected = f"bool {tuple(values.shape[:-1])}"
        raise ValueError(f"mask must be {expected} to match values, got {mask.dtype} {tuple(mask.shape)}")
    return values, mask


def unit_coordinates(
    coords: object, mask: Tensor | None, domain: Domain | None, shape: torch.Size
) -> tuple[Float[Tensor, "*B N d"], Domain | None]:
    """Coordinates in [0, 1], and the domain they have that from."""
    if isinstance(coords, Mapping):
        if domain is None:
            domain = Domain.around(coords)
            _announce(domain)
        u = domain.to_unit(coords)
        try:  # one set of places may serve a batch
            return u.expand(*shape, -1), domain
        except RuntimeError:
            places = f"{tuple(u.shape[:-1])} places for readings {tuple(shape)}"
            raise ValueError(f"coordinates of {places}; give one for each") from None
    coords = as_tensor(coords)
    if not coords.is_floating_point():
        raise ValueError(f"coords must be floats, got {coords.dtype}")
    if mask is not None and mask.shape == coords.shape[:-1]:  # what is masked lies nowhere; any place will do
        somewhere = coords[mask][:1] if mask.any() else torch.zeros_like(coords.reshape(-1, coords.shape[-1])[:1])
        coords = torch.where(mask[..., None], coords, somewhere)
    if domain is not None:
        return domain.to_unit(coords), domain
    if not coords.isfinite().all():
        raise ValueError(f"{int((~coords.isfinite()).sum())} coordinates are NaN or infinite; leave these readings out")
    low, high = (float(coords.min()), float(coords.max())) if coords.numel() else (0.0, 1.0)
    if low >= -1e-5 and high <= 1 + 1e-5:
        return coords.clamp(0, 1), None
    names = [f"x{i}" for i in range(coords.shape[-1])]
    columns = dict(zip(names, coords.unbind(-1), strict=True))
    domain = Domain.around({name: column.flatten() for name, column in columns.items()})
    _announce(domain)
    return domain.to_unit(columns), domain


def _announce(domain: Domain) -> None:
    ranges = ", ".join(f"{a.name} {a.start:.6g} … {a.start + a.length:.6g}" for a in domain.axes)
    warnings.warn(
        f"no domain was given; made one around the readings: {ranges}. Give domain=… to ask beyond it", stacklevel=4
    )


def finite(values: Float[Tensor, "B N C"], mask: Tensor | None) -> Tensor:
    """Measured values must be finite and of a size that can be squared; what was not measured becomes zero, so that a NaN
    cannot travel. A fill value among other numbers is refused: it is no reading."""
    if mask is not None:
        values = values.masked_fill(~mask[..., None], 0)
    bad = int((~values.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{bad} of {values.numel()} values are NaN or infinite; give mask=… (False there) or fill them"
        )
    plain = values.detach()
    if plain.numel() and float(plain.abs().max()) > LARGEST:
        raise ValueError(
            f"values reach {float(plain.abs().max()):.3g}, which looks like a fill value; give mask=… (False there)"
        )
    for fill in FILL_VALUES:
        marked = plain == fill
        if marked.any() and not marked.all():
            rest = float(plain.masked_fill(marked, 0).abs().max())
            if abs(fill) > FAR * rest:
                raise ValueError(
                    f"{int(marked.sum())} values are {fill:g}, all others within ± {rest:.4g}: that looks like a fill "
                    "value; give mask=… (False there)"
                )
    return values


def positive(noise: Tensor | None, mask: Tensor | None) -> Tensor | None:
    if noise is None:
        return None
    noise = noise if mask is None else noise.masked_fill(~mask, 0)
    if not (noise.isfinite().all() and (noise >= 0).all()):
        raise ValueError("noise is a standard deviation: expected finite numbers of at least 0")
    return noise


def within_unit(coords: object, batch: int, axes: int, checked: bool = True) -> Float[Tensor, "*B Q d"]:
    """Coordinates of questions, for all fields of a batch or for each; `checked`: none may lie outside [0, 1]."""
    coords = as_tensor(coords)
    if not coords.is_floating_point():
        raise ValueError(f"coordinates must be floats in [0, 1], got {coords.dtype}")
    known = coords.ndim in (2, 3) and coords.shape[-1] == axes and (coords.ndim == 2 or len(coords) in (1, batch))
    if not known:
        raise ValueError(f"expected coordinates (Q, {axes}) or ({batch}, Q, {axes}), got {tuple(coords.shape)}")
    low, high = map(float, coords.detach().aminmax()) if checked and coords.numel() else (0.0, 1.0)
    if not (low >= -1e-5 and high <= 1 + 1e-5):
        raise ValueError(
            f"coordinates must lie in [0, 1] per axis, got {low:.4g} … {high:.4g}; divide pixels by the size"
        )
    return coords


def pixel_sizes(cell: object, coords: Float[Tensor, "B Q d"], checked: bool = True) -> Float[Tensor, "B #Q d"] | None:
    """The size of the asked pixel for every field; `checked`: none may be zero or negative, where that costs no wait."""
    if cell is None:
        return None
    sizes = as_tensor(cell).to(coords.dtype)
    points, d = coords.shape[1:]
    if sizes.ndim == 0 or sizes.shape[-1] != d or (sizes.ndim > 1 and sizes.shape[-2] not in (1, points)):
        expected = f"({d},), (1|{points}, {d}) or (B, 1|{points}, {d})"
        raise ValueError(f"cell must be {expected}, the size per axis, got {tuple(sizes.shape)}")
    if checked and sizes.device.type == "cpu" and not (sizes > 0).all():
        raise ValueError(f"cell is the size of a pixel, a positive number, got {float(sizes.min()):g}")
    sizes = sizes.expand(len(coords), 1, d) if sizes.ndim < 2 else (sizes[None] if sizes.ndim == 2 else sizes)
    return sizes.expand(len(coords), -1, -1)


def writable(out: np.ndarray | None, shape: tuple[int, ...], batch: int) -> np.ndarray | None:
    """The caller's array as (B, *shape, C), the same memory."""
    if out is None:
        return None
    if out.shape != shape or not np.issubdtype(out.dtype, np.floating) or not out.flags.c_contiguous:
        raise ValueError(f"out must be a C-contiguous float array {shape}, got {out.dtype} {out.shape}")
    return out if batch > 1 else out[None]


def merged(
    coords: Tensor, values: Tensor, mask: Tensor | None, noise: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Readings at one place become their mean, held by the first of them (its noise that of a mean); the others are
    masked."""
    real = torch.ones(coords.shape[:2], dtype=torch.bool, device=coords.device) if mask is None else mask
    values, keep = values.clone(), real.clone()
    noise = None if noise is None else noise.clone()
    for b in range(len(coords)):
        index = real[b].nonzero().flatten()
        places, owner, count = coords[b, index].unique(dim=0, return_inverse=True, return_counts=True)
        if len(places) == len(index):
            continue
        mean = values.new_zeros(len(places), values.shape[-1]).index_add(0, owner, values[b, index]) / count[:, None]
        first = torch.full_like(count, len(index)).scatter_reduce(
            0, owner, torch.arange(len(index), device=index.device), "amin"
        )
        keep[b, index] = False
        keep[b, index[first]] = True
        values[b, index[first]] = mean
        if noise is not None:
            squares = noise.new_zeros(len(places)).index_add(0, owner, noise[b, index].square())
            noise[b, index[first]] = squares.sqrt() / count
    return values, mask if mask is None and keep.all() else keep, noise
