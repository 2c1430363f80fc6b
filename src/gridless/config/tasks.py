"""What is seen and what is asked, in training and in evaluation."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, NonNegativeFloat, PositiveFloat, PositiveInt

from gridless.config.frozen import config


def _several(value):
    """One number on the command line is a list of one."""
    return value if isinstance(value, (list, tuple)) else (value,)


@config
class SuperResolutionTask:
    kind: Literal["super-resolution"] = "super-resolution"
    scale: tuple[PositiveFloat, PositiveFloat] = (1.0, 4.0)
    """Training draws its scale from this range."""
    scales: Annotated[tuple[PositiveFloat, ...], BeforeValidator(_several)] = (2.0, 3.0, 4.0)
    """Evaluation asks at these."""
    recolour: bool = False
    """Training crops get random colours."""
    seen: PositiveInt | None = None
    """Evaluation cuts pictures into crops that are seen at this size; None: whole pictures."""


@config
class ReconstructionTask:
    kind: Literal["reconstruction"] = "reconstruction"
    seen: PositiveInt | None = None
    """Evaluation cuts pictures into crops of this size; None: whole pictures."""
    turned: bool = True
    """Training crops come in their eight orientations."""
    jitter: NonNegativeFloat = 0.0
    """Training asks at points shifted by N(0, jitter²), in units of the picture."""
    offset: NonNegativeFloat = 0.0
    """Training decodes at points shifted by N(0, offset²) from those where the latents are read."""
    resampled: bool = True
    """The target is the picture's value at the shifted point; false: at the pixel that was shifted, as published."""


@config
class SparseFieldTask:
    """A field from scattered readings: how many, how noisy and where, in training (ranges) and in evaluation (lists)."""

    kind: Literal["sparse-field"] = "sparse-field"
    sensors: tuple[PositiveInt, PositiveInt] = (51, 51)
    noise: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.0)
    """Half of the fields are read without noise, the others with a standard deviation from this range."""
    placement: Literal["random", "grid", "clustered", "any"] = "random"
    lattice: PositiveInt | None = None
    """Training reads and asks different cell centres of a lattice × lattice grid instead of any coordinates."""
    frozen: bool = False
    """A field of a fixed set (data.fields) is always read and asked at the same places."""
    counts: Annotated[tuple[PositiveInt, ...], BeforeValidator(_several)] = (26, 51, 102, 204)
    noises: Annotated[tuple[NonNegativeFloat, ...], BeforeValidator(_several)] = (0.0, 0.05, 0.1)
    size: PositiveInt = 32
    """Evaluation asks a size × size grid."""
    fields: PositiveInt = 64
    """… of so many fixed fields per family."""


Task = Annotated[SuperResolutionTask | ReconstructionTask | SparseFieldTask, Discriminator("kind")]
