"""A picture answered by a model, part by part: the one place that asks a field about pictures.

The network sees RGB as it is encoded (a grey picture three times) and answers each picture in units of its own level and
spread: pictures that use few of their levels are answered as well as others.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from gridless.bases import Interpolation
from gridless.config import Axis
from gridless.data.pictures import Photo
from gridless.data.transparency import spread_colours
from gridless.domain import Domain
from gridless.model import FieldModel
from gridless.nn.precision import bf16
from gridless.samples import Samples

Part = tuple[slice, slice]
Turn = tuple[bool, bool, bool]
Answer = Callable[[Part], Float32[Tensor, "h w C"]]
WRAPPED = Domain(axes=(Axis(name="y", period=1.0), Axis(name="x", period=1.0)))
"""Of a picture that repeats along both axes."""
TURNS = tuple((turned, up, left) for turned in (False, True) for up in (False, True) for left in (False, True))
"""The eight symmetries of a square: transposed or not, then mirrored along each axis or not."""


def answerer(
    model: FieldModel,
    photo: Photo,
    shape: tuple[int, int],
    *,
    best: bool = False,
    tile_wrap: bool = False,
    half: bool = True,
) -> Callable[[Part], Float32[np.ndarray, "h w C"]]:
    """A function of rows and columns that gives the picture at `shape` there: values (h w C), alpha the last if any.

    best       the mean of the answers to the picture turned and mirrored in all eight ways, turned back
    tile_wrap  the picture repeats along both axes, and its answer joins there
    half       the network computes in bf16 where the machine does; the base keeps its precision
    A grey picture is the mean of the three channels. Of a picture with alpha the colours are interpolated as Pillow does,
    weighted by alpha, and the network's correction is added, which sees hidden pixels in the colours around; alpha is
    interpolated: it is a shape, not a photograph. Where the answer is fully transparent it holds the stored colour again.
    Where floats are NaN or infinite, nothing was measured: beyond the reach of the others the answer is NaN.
    """
    domain = WRAPPED if tile_wrap else None
    values = torch.from_numpy(photo.values)
    measured = torch.from_numpy(np.isfinite(photo.values).all(-1)) if photo.depth == 32 else None
    measured = None if measured is None or bool(measured.all()) else measured
    veil = None
    if photo.alpha is None:
        network = network_answers(model, values, shape, domain, measured, best, half)
    else:
        veil = Veil(photo, shape, domain)
        network = network_answers(model, veil.seen, shape, domain, measured, best, half)

    def answer(part: Part) -> np.ndarray:
        picture = network(part)
        if values.shape[-1] == 1:
            picture = picture.mean(-1, keepdim=True)
        return (picture if veil is None else veil.over(picture, part)).numpy()

    return answer


def network_answers(
    model: FieldModel,
    seen: Float32[Tensor, "H W C"],
    shape: tuple[int, int],
    domain: Domain | None,
    measured: Bool[Tensor, "H W"] | None,
    best: bool,
    half: bool,
) -> Answer:
    """What the model says of colours (C = 1 or 3) at `shape`: three channels of rows and columns, on the CPU."""
    turns = TURNS if best else TURNS[:1]
    answers = [_turned_answer(model, seen.expand(-1, -1, 3), shape, domain, measured, turn, half) for turn in turns]

    def mean(part: Part) -> Tensor:
        total = answers[0](part)
        for answer in answers[1:]:
            total = total + answer(part)
        return total / len(answers)

    return mean


def _turned_answer(
    model: FieldModel,
    seen: Float32[Tensor, "H W 3"],
    shape: tuple[int, int],
    domain: Domain | None,
    measured: Bool[Tensor, "H W"] | None,
    turn: Turn,
    half: bool,
) -> Answer:
    """The answer to the turned colours, turned back."""
    mask = None if measured is None else turned(measured, turn)
    size = (shape[1], shape[0]) if turn[0] else shape
    device = next(model.parameters()).device
    with torch.no_grad(), bf16(device, half):
        field = model.encode(Samples.from_grid(turned(seen, turn), mask=mask, domain=domain).to(device))
        whole = field.to_image(shape=size) if field.joint else None  # its questions cannot be asked apart

    def answer(part: Part) -> Tensor:
        part = turned_part(part, turn, size)
        with bf16(device, half):
            there = field.to_image(shape=size, part=part) if whole is None else whole[part]
        return turned_back(there, turn).cpu()

    return answer


def turned(picture: Tensor, turn: Turn) -> Tensor:
    """A picture (H W …) transposed, then mirrored."""
    picture = picture.transpose(0, 1) if turn[0] else picture
    return picture.flip([axis for axis in (0, 1) if turn[1 + axis]]).contiguous()


def turned_back(picture: Tensor, turn: Turn) -> Tensor:
    picture = picture.flip([axis for axis in (0, 1) if turn[1 + axis]])
    return picture.transpose(0, 1) if turn[0] else picture


def turned_part(part: Part, turn: Turn, size: tuple[int, int]) -> Part:
    """Where rows and columns of a picture lie in the turned one, which is of this size."""
    rows, columns = part[::-1] if turn[0] else part
    ends = [piece.indices(n)[:2] for piece, n in zip((rows, columns), size, strict=True)]
    first, second = (
        slice(n - b, n - a) if mirrored else slice(a, b)
        for (a, b), n, mirrored in zip(ends, size, turn[1:], strict=True)
    )
    return first, second


class Veil:
    """The alpha of a picture: what a network is to see beneath it, and how its answer gets alpha again."""

    def __init__(self, photo: Photo, shape: tuple[int, int], domain: Domain | None):
        peak = 1 if photo.depth == 32 else 2**photo.depth - 1
        self.least = 0.5 / (peak if peak > 1 else 65535)  # below it an answer's alpha is written as 0
        assert photo.alpha is not None
        opacity = np.clip(photo.alpha.astype(np.float32) / np.float32(peak), 0, 1)
        self.stored, self.shape = torch.from_numpy(photo.values), shape
        self.seen = torch.from_numpy(spread_colours(photo.values, opacity))
        """The colours, those of hidden pixels taken from around."""
        weighted = np.concatenate([photo.values * opacity[..., None], opacity[..., None]], -1)
        both = torch.cat([torch.from_numpy(weighted), self.seen], -1)
        self.fields = Interpolation("bicubic").encode(Samples.from_grid(both, domain=domain))
        self.limit = 1.0 if peak > 1 else None

    def over(self, picture: Float32[Tensor, "h w C"], part: Part) -> Float32[Tensor, "h w C+1"]:
        """An answer to `seen` there, with the colours and the alpha of the veiled picture."""
        colours = picture.shape[-1]
        weighted, alpha, plain = self.fields.to_image(shape=self.shape, part=part).split([colours, 1, colours], -1)
        base = weighted / torch.where(alpha > self.least, alpha, 1.0)
        base = base if self.limit is None else base.clamp(0, self.limit)
        rows, columns = (
            torch.arange(n)[p] * size // n for n, p, size in zip(self.shape, part, self.stored.shape[:2], strict=True)
        )
        hidden = self.stored[rows][:, columns]  # the stored pixel that the asked one begins in
        return torch.cat([torch.where(alpha <= self.least, hidden, base + picture - plain), alpha], -1)
