"""Periodic fields on the unit line or square as Fourier coefficients: f(x) = Σ_k c_k exp(2πi k·x).

A spectrum of `side` holds what the real transform of side^axes values holds: (side, side/2 + 1) in the plane, its last axis
from 0 on, (side/2 + 1) on the line. Its coefficients do not depend on the side, and so neither does a field.
"""

from collections.abc import Callable, Sequence
from math import pi

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor


def wave_numbers(side: int, axes: int, device=None) -> list[Float[Tensor, "..."]]:
    """Those of every axis, float64, shaped to broadcast over a spectrum."""
    numbers = [torch.fft.fftfreq(side, 1 / side, dtype=torch.float64, device=device)] * (axes - 1)
    numbers.append(torch.arange(side // 2 + 1, dtype=torch.float64, device=device))
    return [k.reshape(-1, *[1] * (axes - 1 - i)) for i, k in enumerate(numbers)]


def dealiased(side: int, axes: int, device=None) -> Bool[Tensor, "*half"]:
    """The two thirds of the modes of which products alias into none of them."""
    inside = [k.abs() <= (side - 1) // 3 for k in wave_numbers(side, axes, device)]
    return torch.stack(torch.broadcast_tensors(*inside)).all(0)


def mean_square(spectrum: Complex[Tensor, "*B half"], axes: int, weight: Tensor | float = 1.0) -> Float[Tensor, "*B"]:
    """Of the field, over its domain: Σ_k `weight` |c_k|². No mode of the highest number may be in it."""
    squares = weight * (spectrum.real.square() + spectrum.imag.square())
    twice = 2 * squares.sum(tuple(range(-axes, 0)))  # every mode has a conjugate, but for those of number 0
    return twice - squares[..., 0].sum(tuple(range(1 - axes, 0)) if axes > 1 else ())


def modes_within(spectrum: Complex[Tensor, "B *half"], highest: int) -> Complex[Tensor, "B *block"]:
    """The modes up to the number `highest` of every axis: (2 highest + 1, highest + 1) in the plane."""
    spectrum = spectrum[..., : highest + 1]
    return spectrum if spectrum.ndim == 2 else spectrum[:, _rows(spectrum.shape[1], highest).to(spectrum.device)]


def spectrum_of(block: Complex[Tensor, "B *block"], side: int) -> Complex[Tensor, "B *half"]:
    """A spectrum of `side` with these modes, and no others. Raises ValueError where it has no room for them."""
    highest = block.shape[-1] - 1
    if 2 * highest >= side:
        raise ValueError(f"a grid of {side} holds modes below {side / 2:g}, got some of {highest}; make it finer")
    if block.ndim == 2:
        out = block.new_zeros(len(block), side // 2 + 1)
        out[:, : highest + 1] = block
        return out
    out = block.new_zeros(len(block), side, side // 2 + 1)
    out[:, _rows(side, highest).to(block.device), : highest + 1] = block
    return out


def random_modes(
    rngs: Sequence[np.random.Generator], axes: int, highest: int, variance: Callable[[Tensor], Tensor]
) -> Complex[Tensor, "B *block"]:
    """A real Gaussian field of mean 0 from each generator. `variance`: E|c_k|² of squared wave numbers |k|²."""
    shape = (*[2 * highest + 1] * (axes - 1), highest + 1)
    drawn = np.stack([rng.standard_normal((*shape, 2)) for rng in rngs]) * 0.5**0.5
    block = torch.view_as_complex(torch.from_numpy(drawn))
    if axes == 2:  # the field is real: on the axis of number 0 a mode and its opposite are conjugate
        block[:, highest + 1 :, 0] = block[:, 1 : highest + 1, 0].flip(1).conj()
    square = sum(k.square() for k in block_numbers(axes, highest))
    assert isinstance(square, Tensor)
    return block * torch.where(square > 0, variance(square), 0.0).sqrt()


def block_numbers(axes: int, highest: int) -> list[Float[Tensor, "..."]]:
    """The wave numbers of the modes up to `highest`, as `modes_within` orders them."""
    return wave_numbers(2 * highest + 1, axes)


def at_cells(spectrum: Complex[Tensor, "B *half"], side: int) -> Float[Tensor, "B *grid"]:
    """The field at the centres of side^axes cells; modes that they cannot tell apart are left out."""
    axes, n = spectrum.ndim - 1, 2 * (spectrum.shape[-1] - 1)
    block = modes_within(spectrum, min((side - 1) // 2, (n - 1) // 2))
    highest = block.shape[-1] - 1
    for k in wave_numbers(2 * highest + 1, axes, spectrum.device):  # half a cell from the node to the centre
        block = block * torch.polar(torch.ones_like(k), pi * k / side)
    return torch.fft.irfftn(spectrum_of(block, side), s=(side,) * axes, dim=tuple(range(-axes, 0)), norm="forward")


def _rows(side: int, highest: int) -> Int[Tensor, " n"]:
    """Where the numbers 0 … highest, −highest … −1 stand."""
    return torch.cat([torch.arange(highest + 1), torch.arange(side - highest, side)])
