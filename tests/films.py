"""Small films whose past and future are known."""

import torch

import gridless as gl
from gridless import config as c
from gridless.bases import DampedPersistence
from gridless.config import Axis
from gridless.data.signals import GridSignal
from gridless.domain import TIME

HOUR = 3600.0
SIGNAL = c.Signal(axes=3, channels=1)


def domain(frames: int, first: int = 0, joins: bool = False) -> gl.Domain:
    """Hourly frames of a plane of 1 km, the first so many hours after the beginning of 2020."""
    time = Axis(name="time", unit=TIME, start=1577836800.0 + HOUR * (first - 0.5), length=HOUR * frames)
    space = (Axis(name=name, unit="km", length=1.0, period=1.0 if joins else None) for name in "yx")
    return gl.Domain(axes=(time, *space))


def blobs(frames: int, size: int = 32, velocity: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> torch.Tensor:
    """(T, size, size, 1): many Gaussian blobs on a plane that joins at its ends, moved by so many cells a frame."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(20, 2, generator=generator) * size
    heights = 0.5 + torch.rand(20, generator=generator)
    cells = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), -1).float()
    film = []
    for t in range(frames):
        away = (cells[None] - centres[:, None, None] - t * torch.tensor(velocity) + size / 2) % size - size / 2
        film.append((heights[:, None, None] * torch.exp(-away.square().sum(-1) / (2 * (size / 10) ** 2))).sum(0))
    return torch.stack(film)[..., None]


def turning(frames: int, angle: float, size: int = 32) -> torch.Tensor:
    """(T, size, size, 1): blobs that turn around the middle by so many radians a frame."""
    generator = torch.Generator().manual_seed(1)
    radius, start = size * (0.1 + 0.25 * torch.rand(9, generator=generator)), torch.arange(9) * 0.7
    cells = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), -1).float()
    film = []
    for t in range(frames):
        phi = start + angle * t
        centres = torch.stack([phi.sin(), phi.cos()], -1) * radius[:, None] + (size - 1) / 2
        away = cells[None] - centres[:, None, None]
        film.append(torch.exp(-away.square().sum(-1) / (2 * (size / 12) ** 2)).sum(0))
    return torch.stack(film)[..., None]


def ahead(film: torch.Tensor, seen: int, mask: torch.Tensor | None = None, **options) -> gl.Samples:
    """A film whose frames after the first `seen` are holes."""
    shown = torch.ones(film.shape[:-1], dtype=torch.bool) if mask is None else mask.clone()
    shown[seen:] = False
    return gl.Samples.from_grid(torch.where(shown[..., None], film, torch.nan), 3, shown, **options)


def moment(frames: int, number: float, size: int, dtype=torch.float32) -> torch.Tensor:
    """The grid at frame `number` of so many."""
    place = gl.grid(size, size, dtype=dtype)
    return torch.cat([torch.full_like(place[:, :1], (number + 0.5) / frames), place], 1)


def autoregressive(frames: int, rho: float, size: int = 6, seed: int = 0) -> torch.Tensor:
    """(T, size, size, 1): AR(1) of variance 1 at every cell around 280."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(frames, size, size, 1, generator=generator) * (1 - rho**2) ** 0.5
    film = [noise[0] / (1 - rho**2) ** 0.5]
    for t in range(1, frames):
        film.append(rho * film[-1] + noise[t])
    return 280 + torch.stack(film)


def rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


def past(*films: torch.Tensor, first: int = 0) -> list[GridSignal]:
    return [GridSignal(f"film {i}", film.numpy(), domain=domain(len(film), first)) for i, film in enumerate(films)]


def damped(*films: torch.Tensor, **options) -> DampedPersistence:
    base = DampedPersistence(c.DampedPersistence(**options), SIGNAL)
    base.fit(past(*films))
    return base
