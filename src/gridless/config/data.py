"""What is learnt from: pictures, waves with a formula, random fields of many kinds, simulated flows, an archive of fields
over time, or scans."""

from typing import Annotated, Literal

from annotated_types import Ge, Lt, MinLen
from pydantic import BeforeValidator, Discriminator

from gridless.config.frozen import config
from gridless.config.numbers import Count, Natural, NonNegative, Positive

Family = Literal["simple", "multi_frequency", "radial", "interference", "modulated", "composite"]
FieldKind = Literal["stationary", "trend", "waves", "fronts", "patches", "plumes", "nonstationary", "skewed"]


@config
class Data:
    """`photos`: those inside the scikit-image and scikit-learn wheels; `folder`: a directory of pictures, or one with
    `train`, `val` and `test` inside; `cifar10`: a directory with the published batches of CIFAR-10."""

    kind: Literal["photos", "folder", "cifar10"] = "photos"
    path: str | None = None
    held_out: Count | None = None
    """So many of the validation and the test pictures, the first ones; None: all."""


@config
class WaveData:
    """Waves with a formula. `fields`: train on so many, the same ones every time; None: fresh ones for every step."""

    kind: Literal["waves"] = "waves"
    families: Annotated[tuple[Family, ...], MinLen(1)] = ("simple",)
    fields: Count | None = None


@config
class PriorData:
    """Random fields of many kinds on planes, cylinders, regions of a sphere and the globe: fresh ones for every step.
    `each`: so many fixed fields of every kind are asked in validation and evaluation."""

    kind: Literal["prior"] = "prior"
    kinds: Annotated[tuple[FieldKind, ...], MinLen(1)] = (
        "stationary", "trend", "waves", "fronts", "patches", "plumes", "nonstationary", "skewed",
    )  # fmt: skip
    each: Count = 32


def _several(value):
    return (value,) if isinstance(value, str) else value


@config
class ArchiveData:
    """Fields over time in a file of NetCDF or Zarr, one for each step, read when they are drawn. The last steps are the
    test, those before them validate, and all earlier ones are learnt from: neighbours in time look alike, and steps
    drawn here and there would give one another's answers away."""

    kind: Literal["archive"] = "archive"
    path: str | None = None
    variable: Annotated[tuple[str, ...], BeforeValidator(_several)] | None = None
    """The data variable, or several, which are channels then; None: the only one."""
    val: NonNegative = 0.1
    """Below 1 a share of the steps, else a number of them."""
    test: NonNegative = 0.2

    def __post_init__(self):
        for name in ("val", "test"):
            size = getattr(self, name)
            if size >= 1 and size != int(size):
                raise ValueError(f"data.{name} is a share below 1 or a whole number of steps, got {size:g}")


@config
class VolumeData:
    """Scans: a file of NIfTI, of which all is learnt from, or a folder of them, which may have `train`, `val` and `test`
    inside; None: the MNI template that ships inside the package nilearn."""

    kind: Literal["volumes"] = "volumes"
    path: str | None = None


@config
class FlowData:
    """Films of flows that are simulated, on the periodic unit square (Navier–Stokes, the vorticity) or line (Burgers, the
    velocity). A trajectory's number is its seed; the splits share none."""

    kind: Literal["flows"] = "flows"
    equation: Literal["navier-stokes", "burgers"] = "navier-stokes"
    viscosity: Positive = 1e-3
    forcing: Literal["fno", "kolmogorov", "random"] | None = None
    """What drives a flow of Navier–Stokes: the diagonal waves of the published sets, a shear, or random large waves that
    turn; None: nothing, it decays."""
    side: Annotated[Count, Ge(2)] = 32
    """Cells of a film along every axis; the simulation has at least 64, and more where viscosity asks for them."""
    frames: Count = 20
    step: Positive = 1.0
    """Seconds from frame to frame."""
    start: NonNegative = 0.0
    """Seconds from the random field at the beginning to the first frame."""
    count: Annotated[Count, Lt(1_000_000)] = 64
    """Films to learn from."""
    val: Annotated[Natural, Lt(1_000_000)] = 8
    test: Annotated[Natural, Lt(1_000_000)] = 16
    path: str | None = None
    """A folder that keeps what was simulated; None: it is kept in memory alone."""

    def __post_init__(self):
        if self.equation == "burgers" and self.forcing is not None:
            raise ValueError(f"data.forcing is of navier-stokes, burgers has none; leave {self.forcing!r} out")


AnyData = Annotated[Data | WaveData | PriorData | ArchiveData | VolumeData | FlowData, Discriminator("kind")]
