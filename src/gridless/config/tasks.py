"""What is seen and what is asked, in training and in evaluation: the options of every task, declared once.

`gridless.tasks` has the same classes with what they do.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BeforeValidator, ConfigDict, Discriminator, FiniteFloat
from pydantic.dataclasses import dataclass

from gridless.config.frozen import config, with_config_errors
from gridless.config.numbers import Count, Natural, NonNegative, Positive


@with_config_errors
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Uniform:
    """A range to draw from."""

    low: Positive
    high: Positive

    def __post_init__(self):
        if not self.low <= self.high:
            raise ValueError(f"Uniform needs 0 < low ≤ high, got {self.low}, {self.high}")


def _several(value):
    """One number on the command line is a list of one."""
    return value if isinstance(value, (list, tuple)) else (value,)


def _span(value):
    """One count is a range from itself to itself."""
    return (value, value) if isinstance(value, int) else value


Factor = Positive | Uniform
Factors = Annotated[tuple[Positive, ...], BeforeValidator(_several)]
Noises = Annotated[tuple[NonNegative, ...], BeforeValidator(_several)]


@config
class SuperResolution:
    """A coarse grid is seen, the fine one asked."""

    kind: Literal["super-resolution"] = "super-resolution"
    scale: Factor | tuple[Factor, ...] = Uniform(1.0, 4.0)
    """What training draws from: a number or a Uniform, for all axes or one for each."""
    scales: Annotated[tuple[Positive | Factors, ...], BeforeValidator(_several)] | None = None
    """Evaluation asks at these, each a number or one per axis; None: the whole numbers from 2 on within `scale`."""
    profile: Literal["bicubic", "box", "gaussian"] = "bicubic"
    """What a coarse sample weighs of the fine ones: the widened bicubic kernel; the mean over its width; or a gaussian as
    wide at half its height, which is about what a scanner's slice does. Pictures take the first alone."""
    slices: bool = False
    """Signals are scans: one axis, a random one of those whose samples are closest, is made coarser by `scale` and comes
    last, the others in any order. So a scan of thick slices teaches what its own planes show."""
    recolour: bool = False
    """Training crops of pictures get random colours, so that a few photos are not learned by heart; those of other data are
    negatives every other time."""
    turned: bool | None = None
    """Training crops come in their orientations; None: pictures do, other data not."""
    seen: Count | None = None
    """Evaluation cuts signals into crops that are seen at this size (a few of each, spread evenly); None: whole ones."""
    largest: Count | None = None
    """Evaluation takes the middle of a larger signal, so many samples along every axis; None: all of it."""


@config
class Reconstruction:
    """A grid is seen, the same grid is asked."""

    kind: Literal["reconstruction"] = "reconstruction"
    seen: Count | None = None
    """Evaluation cuts signals into crops of this size (a few of each, spread evenly); None: whole ones."""
    largest: Count | None = None
    """Evaluation takes the middle of a larger signal, so many samples along every axis; None: all of it."""
    turned: bool | None = None
    """Training crops come in their orientations; None: pictures do, other data not."""
    jitter: NonNegative = 0.0
    """Training asks at points shifted by N(0, jitter²), in units of the crop, kept inside."""
    jitter_share: Annotated[FiniteFloat, Gt(0), Le(1)] = 1.0
    """Of a batch's crops that are asked there; the others are asked at their samples."""
    offset: NonNegative = 0.0
    """Training decodes at points shifted by N(0, offset²) from those where the latents are read."""
    resampled: bool = True
    """The target is the signal's value at the shifted point; false: at the sample that was shifted, as published."""


@config
class SparseField:
    """A field from scattered readings: how many, how noisy and where, in training (ranges) and in evaluation (lists)."""

    kind: Literal["sparse-field"] = "sparse-field"
    sensors: Annotated[tuple[Count, Count], BeforeValidator(_span)] = (51, 51)
    """How many are seen, log-uniform, one number for a batch."""
    noise: tuple[NonNegative, NonNegative] = (0.0, 0.0)
    """Half of the fields are read without noise, the others with a standard deviation from this range, in units of the
    value."""
    multiplicative: NonNegative = 0.0
    """Share of the noisy fields whose noise grows with the distance of the value from the field's smallest one."""
    placement: Literal["random", "grid", "clustered", "tracks", "any"] = "random"
    """Where sensors stand that may stand anywhere; stations stand where they are."""
    lattice: Count | None = None
    """Training reads and asks different cell centres of a lattice × lattice grid instead of any coordinates."""
    frozen: bool = False
    """A field of a fixed set (data.fields) is always read and asked at the same places."""
    counts: Annotated[tuple[Count, ...], BeforeValidator(_several)] = (26, 51, 102, 204)
    noises: Noises = (0.0, 0.05, 0.1)
    size: Count = 32
    """Evaluation asks a formula on a size × size grid; of grids and stations it asks what is not seen."""
    fields: Natural = 64
    """… of so many fixed fields per family of waves."""

    def __post_init__(self):
        if self.multiplicative > 1:
            raise ValueError(f"task.multiplicative is a share from 0 to 1, got {self.multiplicative:g}")
        for name in ("sensors", "noise"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"task.{name} is a range from low to high, got {low}, {high}")


@config
class Operator:
    """One signal is seen, another one asked: pairs, such as a coefficient and the solution that belongs to it."""

    kind: Literal["operator"] = "operator"
    sensors: Annotated[tuple[Count, Count], BeforeValidator(_span)] | None = None
    """Training sees so many random samples of what there is to see, log-uniform, one number for a batch (for models of
    points); None: all of them."""
    counts: Annotated[tuple[Count, ...], BeforeValidator(_several)] | None = None
    """Evaluation sees so many; None: all of them."""
    between: NonNegative = 1.0
    """For every sample of a grid that training asks, so many places between samples, whose truth is the grid's bicubic
    interpolation: asked at its samples alone, a network learns nothing of what lies between. Evaluation asks what was
    measured."""
    turned: bool = False
    """Training pairs come with their axes in any order, both signals alike: of problems that prefer no axis."""
    size: Count = 32
    """Evaluation asks a formula on a size × size grid; of grids and stations it asks all that was measured."""

    def __post_init__(self):
        if self.sensors is not None and self.sensors[0] > self.sensors[1]:
            raise ValueError(f"task.sensors is a range from low to high, got {self.sensors[0]}, {self.sensors[1]}")


@config
class Forecast:
    """The first frames of a film are seen, any moment is asked: those frames, what lies between them, and what comes."""

    kind: Literal["forecast"] = "forecast"
    seen: Count = 4
    """Frames."""
    ahead: Count = 4
    """So many frames after the last one that is seen are asked."""
    step: Count = 1
    """Frames of the film from one of these to the next; evaluation asks the frames between as well."""
    between: bool = False
    """Of frames that are seen, training hides one between the first and the last while it asks for it: what teaches a model
    whose base already has the seen frames to answer between them."""
    ask: Literal["window", "ahead"] = "window"
    """Which moments training asks: all frames of the window, or those alone that come after what is seen, for a model whose
    base has the seen ones already."""
    sensors: Annotated[tuple[Count, Count], BeforeValidator(_span)] | None = None
    """So many places of a frame are seen, log-uniform, one number for a batch; None: all of them."""
    moving: bool = False
    """The sensors stand at other places in every frame."""
    noise: NonNegative = 0.0
    """Every value that is seen is multiplied by 1 + N(0, noise²)."""
    missing: Annotated[FiniteFloat, Ge(0), Lt(1)] = 0.0
    """This share of the area, a box at a random place, is not seen in any frame."""
    stride: Count | None = None
    """Evaluation's windows start so many frames of the film apart; None: they lie side by side."""
    windows: Count | None = None
    """Evaluation takes at most so many windows of a film, spread evenly."""
    leads: Annotated[tuple[FiniteFloat, ...], BeforeValidator(_several)] | None = None
    """Evaluation asks so many steps after the last seen frame; None: every frame that is not seen."""

    def __post_init__(self):
        if self.sensors is not None and self.sensors[0] > self.sensors[1]:
            raise ValueError(f"task.sensors is a range from low to high, got {self.sensors[0]}, {self.sensors[1]}")
        if self.moving and self.sensors is None:
            raise ValueError("task.moving is about sensors; say how many, task.sensors")
        if self.between and self.seen < 3:
            raise ValueError(
                f"task.between hides a frame between two others, task.seen has {self.seen}; take 3 or more"
            )


Task = Annotated[SuperResolution | Reconstruction | SparseField | Operator | Forecast, Discriminator("kind")]
